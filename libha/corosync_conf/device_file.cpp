#include "libha/corosync_conf/device_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>

#include "libha/core/digest.hpp"
#include "libha/proc/replace_file.hpp"

namespace wardom::corosync_conf {
namespace {

constexpr const char* kSbdDefaults = "/etc/default/sbd";
constexpr unsigned kSbdDefaultSeconds = 5;
constexpr const char* kQdevicePid = "/run/corosync-qdevice/corosync-qdevice.pid";
constexpr std::chrono::milliseconds kTurnLook{20};

std::string system_error() { return std::strerror(errno); }

Result<void> write_all(int fd, const std::string& text, const std::string& path) {
  for (std::size_t at = 0; at < text.size();) {
    const auto wrote = ::write(fd, text.data() + at, text.size() - at);
    if (wrote < 0) return failure(path + ": " + system_error());
    at += static_cast<std::size_t>(wrote);
  }
  if (::fsync(fd) != 0) return failure(path + ": " + system_error());
  return success();
}

// Another owner than one's own cannot always be given: only where it is needed.
bool make_like(int fd, const struct stat& like) {
  struct stat made {};
  if (::fstat(fd, &made) != 0) return false;
  const bool same = made.st_uid == like.st_uid && made.st_gid == like.st_gid;
  return (same || ::fchown(fd, like.st_uid, like.st_gid) == 0) &&
         ::fchmod(fd, like.st_mode & 07777) == 0;
}

std::string fresh_name(const std::string& path) { return path + ".new"; }

// Beside the file, with the mode and owner of `like`.
Result<void> write_fresh(const std::string& path, const std::string& text,
                         const struct stat& like) {
  const auto fresh = fresh_name(path);
  ::unlink(fresh.c_str());
  const int fd =
      ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return failure(fresh + ": " + system_error());
  auto done = write_all(fd, text, fresh);
  if (done && !make_like(fd, like)) done = failure(fresh + ": " + system_error());
  ::close(fd);
  if (!done) ::unlink(fresh.c_str());
  return done;
}

// So that no reader finds half a file.
Result<void> replace(const std::string& path, const std::string& text, const struct stat& like) {
  if (auto done = write_fresh(path, text, like); !done) return done;
  if (::rename(fresh_name(path).c_str(), path.c_str()) != 0) {
    auto failed = failure(path + ": " + system_error());
    ::unlink(fresh_name(path).c_str());
    return failed;
  }
  return proc::flush_folder_of(path);
}

Result<struct stat> stat_of(const std::string& path) {
  struct stat found {};
  if (::stat(path.c_str(), &found) != 0) return failure(path + ": " + system_error());
  return found;
}

}  // namespace

Turn::Turn(const std::string& path) {
  std::error_code failed;
  const auto folder = std::filesystem::canonical(path, failed).parent_path().string();
  if (!failed)
    folder_ = proc::Descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder_.get() < 0) {
    trouble_ = path + ": " + (failed ? failed.message() : system_error());
    return;
  }
  const auto until = std::chrono::steady_clock::now() + kTurnPatience;
  while (::flock(folder_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (std::chrono::steady_clock::now() >= until) {
      trouble_ = path + ": another program is changing it; nothing was written";
      return;
    }
    std::this_thread::sleep_for(kTurnLook);
  }
}

Result<std::string> read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  if (in) text << in.rdbuf();
  if (!in || !text) return failure(path + ": " + system_error());
  return text.str();
}

std::uint64_t digest_of(const std::string& text) {
  Digest digest;
  for (const char c : text) digest.byte(static_cast<unsigned char>(c));
  return digest.value();
}

Result<Plan> plan(const std::string& path, const Wish& wish) {
  std::error_code failed;
  const auto file = std::filesystem::canonical(path, failed).string();
  if (failed) return failure(path + ": " + failed.message());
  auto before = read_text(file);
  if (!before) return before.error();
  auto after = wish ? with_device(before.value(), *wish) : without_device(before.value());
  if (!after) return failure(path + ": " + after.error().message);
  return Plan{file, std::move(before).value(), std::move(after).value()};
}

std::string other_device() {
  return ::access(kQdevicePid, F_OK) == 0
             ? "corosync-qdevice runs: `systemctl disable --now corosync-qdevice` first"
             : "";
}

Result<void> rehearse(const Plan& plan) {
  if (!plan.changes()) return success();
  const auto like = stat_of(plan.path);
  if (!like) return like.error();
  auto done = write_fresh(plan.path, plan.after, like.value());
  ::unlink(fresh_name(plan.path).c_str());
  return done;
}

Result<std::string> carry_out(const Plan& plan) {
  const auto like = stat_of(plan.path);
  if (!like) return like.error();
  // As it was before Wardom first changed it.
  auto backup = plan.path + ".wardom-before";
  const auto named = device_section(plan.before);
  const bool ours = named && named.value() && named.value()->model == kDeviceModel;
  const bool kept = ours && ::access(backup.c_str(), F_OK) == 0;
  auto done = kept ? success() : replace(backup, plan.before, like.value());
  if (const auto still = read_text(plan.path); done && (!still || still.value() != plan.before))
    done = failure(plan.path + " was changed by somebody else meanwhile; nothing was written");
  if (done) done = replace(plan.path, plan.after, like.value());
  if (!done) return done.error();
  return backup;
}

std::string sbd_warning(const DeviceTimes& times) {
  std::ifstream in(kSbdDefaults);
  if (!in) return {};
  unsigned seconds = kSbdDefaultSeconds;
  constexpr const char* kKey = "SBD_WATCHDOG_TIMEOUT=";
  for (std::string line; std::getline(in, line);)
    if (line.rfind(kKey, 0) == 0) {
      const auto value = line.substr(std::strlen(kKey));
      seconds = static_cast<unsigned>(
          std::strtoul(value.c_str() + (value.rfind('"', 0) == 0 ? 1 : 0), nullptr, 10));
    }
  if (times.sync_timeout_ms < seconds * 1000) return {};
  return std::string(kSbdDefaults) + ": SBD_WATCHDOG_TIMEOUT is " + std::to_string(seconds) +
         " s, and must be above sync_timeout (" + std::to_string(times.sync_timeout_ms) +
         " ms): raise the one or lower the other";
}

}  // namespace wardom::corosync_conf
