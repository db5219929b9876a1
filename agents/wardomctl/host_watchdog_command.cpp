#include "agents/wardomctl/host_watchdog_command.hpp"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>

#include "agents/wardomctl/command.hpp"
#include "libha/config/config.hpp"
#include "libha/watchdog/linux_watchdog.hpp"
#include "libha/watchdog/measurement.hpp"

namespace wardom::ctl {
namespace {

using std::chrono::milliseconds;

constexpr Duration kMarkEvery = milliseconds{100};
constexpr const char* kFirstLine = "wardom measurement 1";

struct MeasureOptions {
  std::string config{kDefaultConfigFile};
  std::string file{watchdog::kDefaultMeasurement};
  bool yes{false};
};

Instant raw_now() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return Instant{std::chrono::seconds{now.tv_sec} + std::chrono::nanoseconds{now.tv_nsec}};
}

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  file >> id;
  return id;
}

std::string own_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return {};
  return name.data();
}

// What an earlier run has left: the watchdog's facts, and the marks, each the time since the feed.
struct Marks {
  std::string boot;
  watchdog::Measurement measured;  // all but `worst`
  std::vector<Duration> times;
};

Result<Marks> read_marks(const std::string& path) {
  std::ifstream file(path);
  std::string first;
  Marks marks;
  std::int64_t timeout_ms = 0;
  if (!std::getline(file, first) || first != kFirstLine ||
      !(file >> marks.boot >> marks.measured.fingerprint >> timeout_ms) ||
      !std::getline(file >> std::ws, marks.measured.driver))
    return failure(path + ": is not as an earlier run wrote it; remove it and measure again");
  marks.measured.timeout = milliseconds{timeout_ms};
  for (std::int64_t ns = 0; file >> ns;) marks.times.emplace_back(ns);
  if (marks.times.size() < 2)
    return failure(path + ": has no two marks, the host was reset at once; remove it and measure "
                   "again");
  return marks;
}

// The host lived at the last mark and not at the next one, which was due within the longest pause
// that was seen between two marks.
Duration worst_of(const Marks& marks) {
  Duration pause = kMarkEvery;
  for (std::size_t i = 1; i < marks.times.size(); ++i)
    pause = std::max(pause, marks.times[i] - marks.times[i - 1]);
  return std::chrono::ceil<milliseconds>(marks.times.back() + pause);
}

int conclude(const MeasureOptions& options, const std::string& path) {
  auto marks = read_marks(path);
  if (!marks) return fail(kFailed, marks.error().message);
  if (marks.value().boot == boot_id())
    return fail(kFailed, "the watchdog was armed in this boot and has not reset the host; it does "
                         "not work. Remove " + path + " to try again");
  auto measured = marks.value().measured;
  measured.worst = worst_of(marks.value());
  // A shutdown in between would look like an early reset.
  if (measured.worst < measured.timeout / 2)
    return fail(kFailed, "the host went down after " + std::to_string(whole_ms(measured.worst)) +
                             " ms, long before its watchdog was due (" +
                             std::to_string(whole_ms(measured.timeout)) +
                             " ms): something else ended it. Remove " + path + " to try again");
  if (const auto before = watchdog::load_measurement(options.file);
      before && before.value().fingerprint == measured.fingerprint)
    measured.worst = std::max(measured.worst, before.value().worst);
  if (auto saved = watchdog::save_measurement(options.file, measured); !saved)
    return fail(kFailed, saved.error().message);
  ::unlink(path.c_str());
  std::cout << "W is " << whole_ms(measured.worst) << " ms (" << measured.driver << ", timeout "
            << whole_ms(measured.timeout) << " ms), kept in " << options.file << "\n"
            << "Measure again for a longer one to be found; the longest counts.\n";
  return kDone;
}

bool confirmed(const std::string& device) {
  const auto name = own_name();
  std::cout << "This host will be RESET by " << device << ": everything on it dies at once.\n"
            << "Move its guests away and stop wardom-keeper first.\n"
            << "Type the host's name to go on: " << std::flush;
  std::string typed;
  return std::getline(std::cin, typed) && !name.empty() && typed == name;
}

int measure(const Config& config, const std::string& path) {
  auto opened = watchdog::LinuxWatchdog::open(config.watchdog.device->string(),
                                              config.watchdog.timeout);
  if (!opened) return fail(kFailed, opened.error().message);
  auto& dog = *opened.value();
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  std::ostringstream head;
  head << kFirstLine << '\n' << boot_id() << ' ' << dog.facts().fingerprint << ' '
       << whole_ms(dog.facts().timeout) << ' ' << dog.facts().driver << '\n';
  const auto put = [fd](const std::string& text) {
    return ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
           ::fdatasync(fd) == 0;
  };
  if (fd < 0 || !put(head.str())) {
    const std::string why = std::strerror(errno);
    [[maybe_unused]] const auto disarmed = dog.disarm();
    return fail(kFailed, path + ": " + why);
  }
  ::sync();  // what else is on its way to the disk should not be lost
  std::cout << "waits for the reset by \"" << dog.facts().driver << "\"; afterwards run `wardomctl "
            << "host measure-watchdog` again\n" << std::flush;
  // The time of a feed counts from before the call, so that W is never measured too short.
  const auto fed = raw_now();
  if (!dog.feed()) return fail(kFailed, "the driver refuses to be fed");
  while (raw_now() - fed < watchdog::kLongestW) {
    if (!put(std::to_string((raw_now() - fed).count()) + '\n'))
      std::cerr << "wardomctl: " << path << ": " << std::strerror(errno) << "\n";
    const timespec nap{0, static_cast<long>(kMarkEvery.count())};
    ::nanosleep(&nap, nullptr);
  }
  [[maybe_unused]] const auto disarmed = dog.disarm();
  return fail(kFailed, "no reset within " + std::to_string(whole_ms(watchdog::kLongestW)) +
                           " ms: this watchdog does not work");
}

int run(const MeasureOptions& options) {
  const auto path = options.file + ".running";
  if (::access(path.c_str(), F_OK) == 0) return conclude(options, path);
  const auto config = load_config(options.config);
  if (!config) return fail(kUsage, config.error().message);
  const auto& watchdog = config.value().watchdog;
  if (!watchdog.device)
    return fail(kUsage, options.config + ": names no `watchdog.device`");
  if (watchdog.lab) return fail(kRefused, "the lab's watchdog needs no measurement");
  if (::geteuid() != 0) return fail(kFailed, "only root can open " + watchdog.device->string());
  if (!options.yes && !confirmed(watchdog.device->string()))
    return fail(kRefused, "not confirmed; nothing was done");
  return measure(config.value(), path);
}

}  // namespace

void add_measure_watchdog(CLI::App& host, int& exit_code) {
  const auto options = std::make_shared<MeasureOptions>();
  auto* command = host.add_subcommand(
      "measure-watchdog", "RESETS this host to learn how long its watchdog takes; run it once more "
                          "after the reboot");
  command->add_option("--config", options->config, "The cluster's configuration")
      ->capture_default_str();
  command->add_option("--file", options->file, "Where W is kept, on this host's own disk")
      ->capture_default_str();
  command->add_flag("--yes", options->yes, "Do not ask");
  command->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace wardom::ctl
