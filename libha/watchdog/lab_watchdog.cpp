#include "libha/watchdog/lab_watchdog.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "libha/watchdog/fingerprint.hpp"

namespace wardom::watchdog {
namespace {

bool say(int fd, std::string_view words) noexcept {
  return ::send(fd, words.data(), words.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
         static_cast<ssize_t>(words.size());
}

}  // namespace

Result<std::unique_ptr<LabWatchdog>> LabWatchdog::open(const std::string& path, Duration timeout) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return failure("lab watchdog " + path + ": too long for a socket's path (107 bytes)");
  path.copy(address.sun_path, path.size());
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      !say(fd, "arm " + std::to_string(whole_ms(timeout)))) {
    const std::string why = std::strerror(errno);
    if (fd >= 0) ::close(fd);
    return failure("lab watchdog " + path + ": " + why);
  }
  std::unique_ptr<LabWatchdog> made(new LabWatchdog(fd));
  made->facts_.driver = "Wardom's lab watchdog";
  made->facts_.timeout = timeout;
  made->facts_.lab = true;
  made->facts_.fingerprint = fingerprint(made->facts_.driver, 0, {}, timeout);
  return made;
}

bool LabWatchdog::feed() noexcept { return say(fd_, "feed"); }

Result<void> LabWatchdog::disarm() {
  if (!say(fd_, "disarm")) return failure(std::string("lab watchdog: ") + std::strerror(errno));
  return success();
}

}  // namespace wardom::watchdog
