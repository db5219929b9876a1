#include "agents/wardomctl/quorum_command.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <thread>

#include "agents/wardomctl/command.hpp"
#include "agents/wardomctl/quorum_section.hpp"

namespace wardom::ctl {
namespace {

namespace json = boost::json;

constexpr const char* kCorosyncConf = "/etc/corosync/corosync.conf";
constexpr const char* kSbdDefaults = "/etc/default/sbd";
constexpr unsigned kSbdDefaultSeconds = 5;

// The limits of core/quorum_vote.hpp, beyond which no host casts.
constexpr unsigned kTimeoutMin = 2000;
constexpr unsigned kTimeoutMax = 60'000;
constexpr unsigned kSyncTimeoutMax = 120'000;

// For another command that changes the same file.
constexpr std::chrono::seconds kTurnPatience{3};
constexpr std::chrono::milliseconds kTurnLook{20};

struct QuorumOptions {
  std::string file{kCorosyncConf};
  DeviceTimes times;
  bool print{false};
  bool as_json{false};
};

Result<std::string> read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  if (in) text << in.rdbuf();
  if (!in || !text) return failure(path + ": " + std::strerror(errno));
  return text.str();
}

Result<void> write_all(int fd, const std::string& text, const std::string& path) {
  for (std::size_t at = 0; at < text.size();) {
    const auto wrote = ::write(fd, text.data() + at, text.size() - at);
    if (wrote < 0) return failure(path + ": " + std::strerror(errno));
    at += static_cast<std::size_t>(wrote);
  }
  if (::fsync(fd) != 0) return failure(path + ": " + std::strerror(errno));
  return success();
}

// As a whole and with the mode and owner of `like`, so that no reader finds half a file.
Result<void> replace(const std::string& path, const std::string& text, const struct stat& like) {
  const auto fresh = path + ".new";
  ::unlink(fresh.c_str());
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return failure(fresh + ": " + std::strerror(errno));
  auto done = write_all(fd, text, fresh);
  if (done && (::fchown(fd, like.st_uid, like.st_gid) != 0 ||
               ::fchmod(fd, like.st_mode & 07777) != 0))
    done = failure(fresh + ": " + std::strerror(errno));
  ::close(fd);
  if (done && ::rename(fresh.c_str(), path.c_str()) != 0)
    done = failure(path + ": " + std::strerror(errno));
  if (!done) ::unlink(fresh.c_str());
  return done;
}

// Whoever changes the file takes turns, from its first look at it to its last. The lock is on the
// directory: the file itself is replaced.
class Turn {
 public:
  explicit Turn(const QuorumOptions& options) {
    if (options.print) return;
    const auto& file = options.file;
    std::error_code failed;
    const auto path = std::filesystem::canonical(file, failed).parent_path().string();
    fd_ = failed ? -1 : ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd_ < 0) {
      trouble_ = file + ": " + (failed ? failed.message() : std::strerror(errno));
      return;
    }
    const auto until = std::chrono::steady_clock::now() + kTurnPatience;
    while (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      if (std::chrono::steady_clock::now() >= until) {
        trouble_ = file + ": another wardomctl is changing it; nothing was written";
        return;
      }
      std::this_thread::sleep_for(kTurnLook);
    }
  }
  ~Turn() {
    if (fd_ >= 0) ::close(fd_);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  const std::string& trouble() const { return trouble_; }

 private:
  int fd_{-1};
  std::string trouble_;
};

int change(const QuorumOptions& options, const std::string& before,
           const Result<std::string>& edited) {
  if (!edited) return fail(kFailed, options.file + ": " + edited.error().message);
  if (options.print) {
    std::cout << edited.value();
    return kDone;
  }
  if (edited.value() == before) {
    std::cout << options.file << ": nothing to change\n";
    return kDone;
  }
  // The file itself, should a link lead to it.
  std::error_code failed;
  const auto path = std::filesystem::canonical(options.file, failed).string();
  struct stat like {};
  if (failed || ::stat(path.c_str(), &like) != 0)
    return fail(kFailed, options.file + ": " + (failed ? failed.message() : std::strerror(errno)));
  // As it was before Wardom first changed it.
  const auto backup = path + ".wardom-before";
  const auto named = device_section(before);
  const bool ours = named && named.value() && named.value()->model == kDeviceModel;
  const bool kept = ours && ::access(backup.c_str(), F_OK) == 0;
  auto done = kept ? success() : replace(backup, before, like);
  if (const auto still = read_text(path); done && (!still || still.value() != before))
    done = failure(path + " was changed by somebody else meanwhile; nothing was written");
  if (done) done = replace(path, edited.value(), like);
  if (!done) return fail(kFailed, done.error().message);
  std::cout << options.file << ": changed; as it was: " << backup << "\n"
            << "The same on every host first; then, once, on one of them: corosync-cfgtool -R\n";
  return kDone;
}

// sbd distrusts a quorum that may be as old as its own timeout.
void warn_about_sbd(const DeviceTimes& times) {
  std::ifstream in(kSbdDefaults);
  if (!in) return;
  unsigned seconds = kSbdDefaultSeconds;
  constexpr const char* kKey = "SBD_WATCHDOG_TIMEOUT=";
  for (std::string line; std::getline(in, line);)
    if (line.rfind(kKey, 0) == 0) {
      const auto value = line.substr(std::strlen(kKey));
      seconds = static_cast<unsigned>(
          std::strtoul(value.c_str() + (value.rfind('"', 0) == 0 ? 1 : 0), nullptr, 10));
    }
  if (times.sync_timeout_ms >= seconds * 1000)
    std::cerr << "wardomctl: " << kSbdDefaults << ": SBD_WATCHDOG_TIMEOUT is " << seconds
              << " s, and must be above sync_timeout (" << times.sync_timeout_ms
              << " ms): raise the one or lower the other\n";
}

int setup(const QuorumOptions& options) {
  if (::access("/run/corosync-qdevice/corosync-qdevice.pid", F_OK) == 0)
    return fail(kFailed, "corosync-qdevice runs: `systemctl disable --now corosync-qdevice` first");
  const Turn turn(options);
  if (!turn.trouble().empty()) return fail(kFailed, turn.trouble());
  const auto text = read_text(options.file);
  if (!text) return fail(kFailed, text.error().message);
  warn_about_sbd(options.times);
  return change(options, text.value(), with_device(text.value(), options.times));
}

int remove(const QuorumOptions& options) {
  const Turn turn(options);
  if (!turn.trouble().empty()) return fail(kFailed, turn.trouble());
  const auto text = read_text(options.file);
  if (!text) return fail(kFailed, text.error().message);
  return change(options, text.value(), without_device(text.value()));
}

std::string times_text(const DeviceSection& device) {
  const auto value = [](const std::optional<unsigned>& ms, const char* otherwise) {
    return ms ? std::to_string(*ms) + " ms" : std::string(otherwise);
  };
  return "timeout " + value(device.timeout_ms, "10000 ms") + ", sync_timeout " +
         value(device.sync_timeout_ms, "30000 ms");
}

json::value to_json(const std::optional<DeviceSection>& device) {
  if (!device) return nullptr;
  const auto number = [](const std::optional<unsigned>& ms) {
    return ms ? json::value(*ms) : json::value();
  };
  return json::object{{"model", device->model},
                      {"timeout_ms", number(device->timeout_ms)},
                      {"sync_timeout_ms", number(device->sync_timeout_ms)},
                      {"votes", device->votes ? json::value(*device->votes) : json::value()}};
}

int status(const QuorumOptions& options) {
  const auto text = read_text(options.file);
  if (!text) return fail(kFailed, text.error().message);
  const auto found = device_section(text.value());
  if (!found) return fail(kFailed, options.file + ": " + found.error().message);
  const auto& device = found.value();
  if (options.as_json) {
    std::cout << to_json(device) << "\n";
    return kDone;
  }
  std::cout << options.file << ": ";
  if (!device)
    std::cout << "no quorum device\n";
  else if (device->model != kDeviceModel)
    std::cout << "another quorum device, model " << device->model << "\n";
  else
    std::cout << "Wardom is the quorum device, " << times_text(*device)
              << (device->votes ? "; \"votes: " + *device->votes + "\" has to be taken out" : "")
              << "\nWhether this host casts its vote: wardomctl status\n";
  return kDone;
}

}  // namespace

void add_quorum_commands(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<QuorumOptions>();
  auto* quorum = app.add_subcommand("quorum", "Wardom as corosync's quorum device");
  quorum->require_subcommand(1);
  const auto command = [&](const char* name, const char* help, int (*run)(const QuorumOptions&)) {
    auto* made = quorum->add_subcommand(name, help);
    made->add_option("--file", options->file, "The file")->capture_default_str();
    made->callback([options, run, &exit_code] { exit_code = run(*options); });
    return made;
  };
  auto* set = command("setup", "Name Wardom in this host's corosync.conf", setup);
  set->add_option("--timeout", options->times.timeout_ms,
                  "Milliseconds after which corosync forgets a vote")
      ->check(CLI::Range(kTimeoutMin, kTimeoutMax))
      ->capture_default_str();
  set->add_option("--sync-timeout", options->times.sync_timeout_ms,
                  "Milliseconds that a new ring waits for a vote, at most")
      ->check(CLI::Range(kTimeoutMin, kSyncTimeoutMax))
      ->capture_default_str();
  auto* out = command("remove", "Take Wardom out of it", remove);
  for (auto* each : {set, out})
    each->add_flag("--print", options->print, "Print the new file, and change nothing");
  add_json_flag(*command("status", "What the file says", status), options->as_json);
}

}  // namespace wardom::ctl
