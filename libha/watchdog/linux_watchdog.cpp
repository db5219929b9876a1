#include "libha/watchdog/linux_watchdog.hpp"

#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "libha/watchdog/fingerprint.hpp"

namespace wardom::watchdog {
namespace {

using std::chrono::seconds;

std::string because() { return std::string(": ") + std::strerror(errno); }

// The watchdog core's sysfs has it for every driver that uses the core; false where it is unknown.
bool read_nowayout(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return false;
  std::ifstream file("/sys/dev/char/" + std::to_string(major(status.st_rdev)) + ":" +
                     std::to_string(minor(status.st_rdev)) + "/nowayout");
  int value = 0;
  return (file >> value) && value != 0;
}

}  // namespace

Result<std::unique_ptr<LinuxWatchdog>> LinuxWatchdog::open(const std::string& path,
                                                           Duration timeout) {
  struct stat status {};
  // Opening something else than a watchdog may have effects of its own.
  if (::stat(path.c_str(), &status) != 0) return failure("watchdog " + path + because());
  if (!S_ISCHR(status.st_mode)) return failure("watchdog " + path + ": is not a device");
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return failure("watchdog " + path + because() +
                   (errno == EBUSY ? "; another program feeds it, such as systemd "
                                     "(RuntimeWatchdogSec=), sbd or watchdogd: stop that one"
                                   : ""));
  auto opened = adopt(fd, path, timeout);
  if (!opened) {
    // No lease stands on it yet, so it may be disarmed: a wrong key in a file resets no host.
    [[maybe_unused]] const auto put = ::write(fd, "V", 1);
    ::close(fd);
  }
  return opened;
}

Result<std::unique_ptr<LinuxWatchdog>> LinuxWatchdog::adopt(int fd, const std::string& path,
                                                            Duration timeout) {
  std::unique_ptr<LinuxWatchdog> made(new LinuxWatchdog(fd, path));
  if (auto ok = made->inspect(); !ok) return ok.error();
  if (auto ok = made->set_timeout(timeout); !ok) return ok.error();
  made->facts_.fingerprint = watchdog::fingerprint(made->facts_.driver, made->firmware_,
                                                   read_platform(), made->facts_.timeout);
  return made;
}

Result<void> LinuxWatchdog::inspect() {
  watchdog_info info{};
  if (::ioctl(fd_, WDIOC_GETSUPPORT, &info) != 0)
    return failure("watchdog " + path_ + ": WDIOC_GETSUPPORT" + because() +
                   "; it is not a watchdog device");
  const auto* name = reinterpret_cast<const char*>(info.identity);
  facts_.driver.assign(name, ::strnlen(name, sizeof info.identity));
  facts_.nowayout = read_nowayout(fd_);
  firmware_ = info.firmware_version;
  magic_close_ = (info.options & WDIOF_MAGICCLOSE) != 0;
  settable_ = (info.options & WDIOF_SETTIMEOUT) != 0;
  if ((info.options & WDIOF_KEEPALIVEPING) == 0)
    return failure("watchdog " + path_ + " (" + facts_.driver +
                   "): has no WDIOC_KEEPALIVE; it cannot be used");
  // The kernel stops such a one when its last descriptor goes, whatever became of the process.
  if (!magic_close_ && !facts_.nowayout)
    return failure("watchdog " + path_ + " (" + facts_.driver +
                   "): stops when it is closed (no WDIOF_MAGICCLOSE), so a keeper that is killed "
                   "would disarm it; load its driver with nowayout=1");
  return success();
}

// A driver may round the time up; a longer one than asked for would not fit the lease's W.
Result<void> LinuxWatchdog::set_timeout(Duration timeout) {
  const auto wanted = static_cast<int>(timeout / seconds{1});
  int now = 0;
  if (::ioctl(fd_, WDIOC_GETTIMEOUT, &now) != 0)
    return failure("watchdog " + path_ + ": WDIOC_GETTIMEOUT" + because());
  if (now != wanted && settable_) {
    int set = wanted;
    // Setting feeds in some drivers. What it is set to already is left alone.
    if (::ioctl(fd_, WDIOC_SETTIMEOUT, &set) != 0)
      return failure("watchdog " + path_ + " (" + facts_.driver + "): cannot be set to " +
                     std::to_string(wanted) + " s" + because());
    if (::ioctl(fd_, WDIOC_GETTIMEOUT, &now) != 0)
      return failure("watchdog " + path_ + ": WDIOC_GETTIMEOUT" + because());
  }
  if (now > wanted || now <= 0)
    return failure("watchdog " + path_ + " (" + facts_.driver + "): is set to " +
                   std::to_string(now) + " s, not to the wanted " + std::to_string(wanted) +
                   " s; give `watchdog.timeout` a value that it can keep");
  facts_.timeout = seconds{now};
  return success();
}

bool LinuxWatchdog::feed() noexcept { return ::ioctl(fd_, WDIOC_KEEPALIVE, 0) == 0; }

std::optional<Duration> LinuxWatchdog::time_left() const {
  int left = 0;
  if (::ioctl(fd_, WDIOC_GETTIMELEFT, &left) != 0) return std::nullopt;
  return seconds{left};
}

Result<void> LinuxWatchdog::disarm() {
  if (facts_.nowayout)
    return failure("watchdog " + path_ + " (" + facts_.driver +
                   "): cannot be disarmed (nowayout); it resets the host");
  if (::write(fd_, "V", 1) != 1) return failure("watchdog " + path_ + because());
  ::close(std::exchange(fd_, -1));
  return success();
}

}  // namespace wardom::watchdog
