// The lease and its watchdog over restarts and an orderly leave, with a device that is made up:
// ioctl(2) and write(2) of this program answer for /dev/null as a watchdog's driver would.
#include <fcntl.h>
#include <linux/watchdog.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdarg>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <vector>

#include "agents/keeper/drain.hpp"
#include "agents/keeper/identity.hpp"
#include "agents/keeper/lease.hpp"
#include "libha/disk/block_io.hpp"
#include "libha/proc/process.hpp"
#include "libha/proc/replace_file.hpp"
#include "libha/watchdog/fingerprint.hpp"
#include "libha/watchdog/linux_watchdog.hpp"
#include "libha/watchdog/measurement.hpp"

using namespace wardom;
using namespace wardom::keeper;
using namespace std::chrono_literals;
using disk::raw_now;

namespace {

constexpr const char* kDriver = "made up";
constexpr int kHeld = 3;  // the first descriptor that a supervisor hands over
constexpr auto kLimit = 10s;

// What the driver was told, in order: "feed", "set 5", "write V".
class Device {
 public:
  void reset() {
    const std::lock_guard lock(mutex_);
    timeout = 10;
    settable = magic_close = true;
    told_.clear();
    window_at_magic.clear();
    window_path.clear();
  }
  int answer(unsigned long request, void* argument) {
    const std::lock_guard lock(mutex_);
    auto* const number = static_cast<int*>(argument);
    switch (request) {
      case WDIOC_GETSUPPORT: {
        auto& info = *static_cast<watchdog_info*>(argument);
        info = {};
        std::strcpy(reinterpret_cast<char*>(info.identity), kDriver);
        info.options = WDIOF_KEEPALIVEPING;
        if (settable) info.options |= WDIOF_SETTIMEOUT;
        if (magic_close) info.options |= WDIOF_MAGICCLOSE;
        return 0;
      }
      case WDIOC_GETTIMEOUT: *number = timeout; return 0;
      case WDIOC_SETTIMEOUT:
        told_.push_back("set " + std::to_string(*number));
        timeout = *number;
        return 0;
      case WDIOC_KEEPALIVE: told_.push_back("feed"); return 0;
      default: return -1;
    }
  }
  void written(const void* bytes, std::size_t count) {
    const std::lock_guard lock(mutex_);
    const std::string text(static_cast<const char*>(bytes), count);
    told_.push_back("write " + text);
    if (text == "V") window_at_magic = proc::read_file(window_path).value_or("");
  }
  std::vector<std::string> told() {
    const std::lock_guard lock(mutex_);
    return told_;
  }
  bool was_told(const std::string& what) {
    const auto all = told();
    return std::find(all.begin(), all.end(), what) != all.end();
  }

  int timeout{10};
  bool settable{true};
  bool magic_close{true};
  std::string window_path;
  std::string window_at_magic;  // what the run directory said when the magic byte came

 private:
  std::mutex mutex_;
  std::vector<std::string> told_;
};

Device device;

bool is_device(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) &&
         status.st_rdev == ::makedev(1, 3);
}

}  // namespace

extern "C" int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list rest;
  va_start(rest, request);
  void* const argument = va_arg(rest, void*);
  va_end(rest);
  if (_IOC_TYPE(request) == WATCHDOG_IOCTL_BASE && is_device(fd))
    return device.answer(request, argument);
  return static_cast<int>(::syscall(SYS_ioctl, fd, request, argument));
}

extern "C" ssize_t write(int fd, const void* bytes, std::size_t count) {
  if (count == 1 && is_device(fd)) device.written(bytes, count);
  return ::syscall(SYS_write, fd, bytes, count);
}

namespace {

// A keeper's surroundings: run directory, measurement, a supervisor that listens.
struct Site {
  std::string path;
  Options options;
  Bits128 boot;
  disk::Completions completions;
  int supervisor{-1};

  Site() {
    device.reset();
    char name[] = "/tmp/wardom-lease-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path = name;
    device.window_path = path + "/window";
    boot.bytes[0] = 7;
    options.run_dir = path;
    options.watchdog_device = "/dev/null";
    options.watchdog_timeout = 10s;
    options.measurement = path + "/watchdog.json";
    measure(10s, 10400ms);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (path + "/notify").copy(address.sun_path, sizeof address.sun_path - 1);
    supervisor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    REQUIRE(::bind(supervisor, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    ::setenv("NOTIFY_SOCKET", (path + "/notify").c_str(), 1);
  }
  ~Site() {
    for (const char* name : {"NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"})
      ::unsetenv(name);
    ::close(supervisor);
    std::filesystem::remove_all(path);
  }
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;

  void measure(Duration timeout, Duration worst) const {
    const auto print =
        watchdog::fingerprint(kDriver, 0, watchdog::read_platform(), timeout);
    REQUIRE(watchdog::save_measurement(options.measurement, {print, worst, timeout, kDriver}));
  }
  // A supervisor hands over the open device.
  static void hold() {
    const int fd = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    if (fd != kHeld) {
      REQUIRE(::dup2(fd, kHeld) == kHeld);
      ::close(fd);
    }
    ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
    ::setenv("LISTEN_FDS", "1", 1);
    ::setenv("LISTEN_FDNAMES", kKeptWatchdog, 1);
  }
  // What an earlier keeper left behind.
  void leave_window(bool lease, bool disarmed, Duration timeout = 10s) const {
    const Ladder::Kept ladder{raw_now() - 1s, {}, lease, false, false};
    const KeptWindow window{boot, 20s, ladder, timeout, disarmed};
    REQUIRE(proc::replace_file(path + "/window", encode_window(window)));
  }
  KeptWindow window() const {
    const auto text = proc::read_file(path + "/window");
    REQUIRE(text.has_value());
    const auto kept = decode_window(*text, boot);
    REQUIRE(kept.has_value());
    return *kept;
  }
  std::string told_supervisor() const {
    char words[256];
    const auto got = ::recv(supervisor, words, sizeof words, 0);
    return got < 0 ? "" : std::string(words, static_cast<std::size_t>(got));
  }
};

bool held_is_open() { return ::fcntl(kHeld, F_GETFD) >= 0 && is_device(kHeld); }

template <class Done>
bool wait_for(Done done) {
  const auto until = raw_now() + kLimit;
  while (!done() && raw_now() < until) ::poll(nullptr, 0, 2);
  return done();
}

// The feeding thread is told before the test's surroundings go.
struct Fed {
  explicit Fed(Site& site) : lease(site.options, site.boot, site.completions) {}
  ~Fed() { lease.leave(); }
  Lease lease;
};

}  // namespace

TEST_CASE("lease_keeps_the_timeout_that_it_was_published_with") {
  for (const Duration configured : {5s, 30s}) {
    Site site;
    Site::hold();
    site.leave_window(true, false);
    site.options.watchdog_timeout = configured;
    Fed fed(site);
    REQUIRE(wait_for([] { return device.was_told("feed"); }));
    CHECK_FALSE(device.was_told("set 5"));
    CHECK_FALSE(device.was_told("set 30"));
    CHECK(fed.lease.published(raw_now()).w_ms == 10400);
    const auto troubles = fed.lease.troubles();
    REQUIRE(troubles.size() == 1);
    CHECK(troubles[0].what.find(std::to_string(whole_ms(configured)) + " ms") !=
          std::string::npos);
    CHECK(troubles[0].what.find("stands on 10000 ms") != std::string::npos);
    CHECK(site.window().timeout == 10s);
  }
}

TEST_CASE("lease_has_no_trouble_with_an_unchanged_configuration") {
  Site site;
  Site::hold();
  site.leave_window(true, false);
  Fed fed(site);
  REQUIRE(wait_for([] { return device.was_told("feed"); }));
  CHECK(fed.lease.troubles().empty());
  CHECK(fed.lease.published(raw_now()).w_ms == 10400);
}

TEST_CASE("lease_stands_on_a_device_that_was_taken_out_of_the_configuration") {
  Site site;
  Site::hold();
  site.leave_window(true, false);
  site.options.watchdog_device.reset();
  Fed fed(site);
  REQUIRE(wait_for([] { return device.was_told("feed"); }));
  REQUIRE(fed.lease.troubles().size() == 1);
  CHECK(fed.lease.troubles()[0].what.find("watchdog.device") != std::string::npos);
}

TEST_CASE("lease_brings_a_device_back_to_its_timeout_or_does_not_feed_it") {
  {
    Site site;
    Site::hold();
    site.leave_window(true, false);
    device.timeout = 60;  // by whomever
    Fed fed(site);
    REQUIRE(wait_for([] { return device.was_told("feed"); }));
    CHECK(device.told().front() == "set 10");
    CHECK(fed.lease.published(raw_now()).w_ms == 10400);
  }
  Site site;
  Site::hold();
  site.leave_window(true, false);
  device.timeout = 60;
  device.settable = false;
  Lease lease(site.options, site.boot, site.completions);
  CHECK(lease.ended());
  CHECK(lease.published(raw_now()).w_ms == 0);
  CHECK(device.told().empty());
}

namespace {

// The predecessor's ladder has killed, and what it wrote about that.
void leave_released(const Site& site, bool in_window, std::optional<Incarnation> recorded) {
  Ladder::Kept kept{raw_now() - 200s, {}, true, true, false, in_window};
  REQUIRE(proc::replace_file(site.path + "/window",
                             encode_window({site.boot, 20s, kept, 10s, false})));
  if (recorded) REQUIRE(save_released(site.path, site.boot, *recorded));
}

constexpr Incarnation kOver{7, {{1}}};
constexpr Incarnation kNext{8, {{2}}};

}  // namespace

TEST_CASE("lease_of_a_released_incarnation_is_fed_and_grants_nothing") {
  Site site;
  Site::hold();
  leave_released(site, true, kOver);
  Fed fed(site);
  REQUIRE(wait_for([] { return device.was_told("feed"); }));
  REQUIRE(fed.lease.begin(20s, 10s, kOver, true));
  fed.lease.acknowledged(raw_now(), raw_now());
  auto rights = fed.lease.rights(raw_now());
  CHECK(rights.lease == LeaseState::released);
  CHECK(rights.act_until_ns == 0);
  CHECK(rights.released == kOver);
  SECTION("until the first heartbeat of the next one") {
    REQUIRE(fed.lease.begin(20s, 10s, kNext, true));
    CHECK(fed.lease.rights(raw_now()).released == kOver);  // never of the next one
    CHECK(fed.lease.rights(raw_now()).act_until_ns == 0);
    fed.lease.acknowledged(raw_now(), raw_now());
    rights = fed.lease.rights(raw_now());
    CHECK(rights.lease == LeaseState::held);
    CHECK(rights.act_until_ns != 0);
    CHECK(rights.released.is_none());
    CHECK_FALSE(site.window().ladder.killing);
    CHECK_FALSE(site.window().ladder.released);
  }
}

TEST_CASE("lease_believes_no_release_that_is_not_recorded") {
  Site site;
  Site::hold();
  leave_released(site, true, std::nullopt);
  Lease lease(site.options, site.boot, site.completions);
  CHECK(lease.ended());  // killed, and past the window: the watchdog resets this host
  CHECK_FALSE(lease.released().has_value());
  CHECK(device.told().empty());
}

TEST_CASE("lease_grants_nothing_to_a_released_incarnation_whose_window_is_lost") {
  Site site;
  REQUIRE(save_released(site.path, site.boot, kOver));
  Lease lease(site.options, site.boot, site.completions);
  REQUIRE(lease.begin(20s, 10s, kOver, true));
  lease.acknowledged(raw_now(), raw_now());
  CHECK(lease.rights(raw_now()).act_until_ns == 0);
  CHECK(lease.rights(raw_now()).released == kOver);
}

namespace {

// A window of 6 s of an earlier keeper, whose last heartbeat was submitted then.
Instant leave_late_window(const Site& site, Duration ago, bool killing) {
  Site::hold();
  const auto submitted = raw_now() - ago;
  const Ladder::Kept ladder{submitted, {}, true, killing, false, false};
  REQUIRE(proc::replace_file(site.path + "/window",
                       encode_window({site.boot, 6s, ladder, 10s, false})));
  return submitted;
}

void tick_until(Site& site, Fed& fed, Instant until) {
  while (raw_now() < until) {
    site.completions.run();
    fed.lease.tick(raw_now());
    ::poll(nullptr, 0, 20);
  }
}

// Guests are killed now; where the host stands when its window is over for long.
LeaseState after_the_window(Site& site, bool stays_up) {
  const auto submitted = leave_late_window(site, 3s, false);
  Fed fed(site);
  REQUIRE(fed.lease.begin(6s, 1s, kOver, stays_up));
  tick_until(site, fed, submitted + 8s);
  const auto state = fed.lease.rights(raw_now()).lease;
  ::poll(nullptr, 0, 1000);  // a look that is under way ends before the lease does
  return state;
}

}  // namespace

TEST_CASE("lease_outlives_its_window_only_where_that_is_switched_on") {
  {
    Site site;
    CHECK(after_the_window(site, false) == LeaseState::ended);
  }
  if (!undrained("", "1").empty()) return;  // the host of the tests would be reset
  Site site;
  CHECK(after_the_window(site, true) == LeaseState::ending);
}

TEST_CASE("lease_does_not_stay_up_after_a_keeper_that_had_begun_to_kill") {
  Site site;
  const auto submitted = leave_late_window(site, 5s, true);
  Fed fed(site);
  REQUIRE(fed.lease.begin(6s, 1s, kOver, true));
  tick_until(site, fed, submitted + 7s);
  CHECK(fed.lease.ended());
}

TEST_CASE("lease_publishes_no_w_below_the_devices_timeout") {
  Site site;
  site.measure(10s, 3s);
  Site::hold();
  site.leave_window(true, false);
  Fed fed(site);
  CHECK(fed.lease.published(raw_now()).w_ms == 10000);
}

TEST_CASE("lease_that_is_left_takes_the_device_from_the_supervisor") {
  Site site;
  Site::hold();
  site.leave_window(true, false);
  Lease lease(site.options, site.boot, site.completions);
  REQUIRE(wait_for([] { return device.was_told("feed"); }));
  lease.leave();
  CHECK(site.told_supervisor() == "FDSTOREREMOVE=1\nFDNAME=wardom-watchdog");
  CHECK_FALSE(held_is_open());
  CHECK(device.told().back() == "write V");
  const auto told = device.told().size();
  CHECK(site.window().disarmed);
  CHECK_FALSE(site.window().ladder.lease);
  // The run directory had it before the device: a keeper killed in between is followed by one that
  // goes on leaving.
  const auto before = decode_window(device.window_at_magic, site.boot);
  REQUIRE(before.has_value());
  CHECK(before->disarmed);
  ::poll(nullptr, 0, 1200);  // two pauses of the feeding thread
  CHECK(device.told().size() == told);
}

TEST_CASE("lease_goes_on_leaving_where_its_keeper_was_killed") {
  Site site;
  Site::hold();
  site.leave_window(false, true);
  Lease lease(site.options, site.boot, site.completions);
  CHECK(device.told() == std::vector<std::string>{"write V"});  // not fed, nor releasable and kept
  CHECK_FALSE(held_is_open());
  CHECK(site.told_supervisor() == "FDSTOREREMOVE=1\nFDNAME=wardom-watchdog");
  CHECK_FALSE(lease.ended());
  CHECK(lease.published(raw_now()).w_ms == 0);
}

TEST_CASE("lease_does_not_feed_a_device_of_which_the_run_directory_knows_nothing") {
  Site site;
  Site::hold();
  Lease lease(site.options, site.boot, site.completions);
  CHECK(lease.ended());
  CHECK(device.told().empty());
  CHECK(held_is_open());
}

TEST_CASE("watchdog_that_any_close_would_stop_is_refused") {
  Site site;
  device.magic_close = false;
  const auto opened = watchdog::LinuxWatchdog::open("/dev/null", 10s);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().message.find("stops when it is closed") != std::string::npos);
  device.magic_close = true;
  REQUIRE(watchdog::LinuxWatchdog::open("/dev/null", 10s));
}

TEST_CASE("lease_that_rests_is_fed_and_publishes_nothing_until_that_is_off_the_record") {
  Site site;
  Site::hold();
  site.leave_window(true, false);
  Fed fed(site);
  auto& lease = fed.lease;
  REQUIRE(lease.begin(20s, 2s, kNext, false));
  lease.acknowledged(raw_now(), raw_now());
  REQUIRE(lease.published(raw_now()).w_ms == 10400);
  lease.rest(raw_now());
  CHECK(lease.rests());
  CHECK(lease.published(raw_now()).w_ms == 0);
  CHECK(lease.rights(raw_now()).lease == LeaseState::none);
  CHECK(site.window().ladder.rests);
  // Another window, as after a change of the profile: only while it rests.
  REQUIRE(lease.begin(6s, 2s, kNext, false));
  lease.wake(raw_now());
  // A successor would take it for resting still: nobody may count on the window.
  std::filesystem::remove(site.path + "/window");
  std::filesystem::create_directories(site.path + "/window/x");
  lease.acknowledged(raw_now(), raw_now());
  CHECK_FALSE(lease.rests());
  CHECK(lease.published(raw_now()).w_ms == 0);
  std::filesystem::remove_all(site.path + "/window");
  lease.acknowledged(raw_now(), raw_now());
  CHECK(lease.published(raw_now()).w_ms == 10400);
  CHECK_FALSE(site.window().ladder.rests);
  CHECK(site.window().t_f == Duration{6s});
  CHECK_FALSE(lease.begin(20s, 2s, kNext, false));
}

TEST_CASE("lease_that_an_earlier_keeper_left_resting_is_fed_on") {
  Site site;
  Site::hold();
  const Ladder::Kept kept{raw_now() - 100s, {}, true, false, false, false, true};
  REQUIRE(proc::replace_file(site.path + "/window",
                             encode_window({site.boot, 20s, kept, 10s, false})));
  Fed fed(site);
  CHECK(fed.lease.rests());
  REQUIRE(wait_for([] { return device.was_told("feed"); }));
  CHECK(fed.lease.published(raw_now()).w_ms == 0);
}
