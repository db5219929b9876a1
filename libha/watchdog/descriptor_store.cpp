#include "libha/watchdog/descriptor_store.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace wardom::watchdog {
namespace {

constexpr int kFirstKept = 3;  // SD_LISTEN_FDS_START

std::optional<int> number_in(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  int value = 0;
  const auto* end = text + std::strlen(text);
  const auto parsed = std::from_chars(text, end, value);
  if (parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
  return value;
}

}  // namespace

std::optional<int> kept_descriptor(const std::string& name) {
  const auto pid = number_in("LISTEN_PID");
  const auto count = number_in("LISTEN_FDS");
  const char* names = std::getenv("LISTEN_FDNAMES");
  if (pid != static_cast<int>(::getpid()) || !count || names == nullptr) return std::nullopt;
  std::string_view left(names);
  for (int fd = kFirstKept; fd < kFirstKept + *count; ++fd) {
    const auto own = left.substr(0, left.find(':'));
    if (own == name && ::fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) return fd;
    left.remove_prefix(std::min(left.size(), own.size() + 1));
  }
  return std::nullopt;
}

bool has_descriptor_store() {
  const char* path = std::getenv("NOTIFY_SOCKET");
  return path != nullptr && (path[0] == '/' || path[0] == '@');
}

namespace {

// `fd` -1: words alone.
Result<void> notify(std::string words, int fd) {
  if (!has_descriptor_store())
    return failure("nobody keeps descriptors for this process ($NOTIFY_SOCKET is not set)");
  const std::string path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return failure("$NOTIFY_SOCKET is too long");
  path.copy(address.sun_path, path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';  // an abstract name
  iovec part{words.data(), words.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  }
  const int channel = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool sent = channel >= 0 && ::sendmsg(channel, &message, MSG_NOSIGNAL) >= 0;
  const std::string why = std::strerror(errno);
  if (channel >= 0) ::close(channel);
  if (!sent) return failure("cannot tell " + path + " about a descriptor: " + why);
  return success();
}

}  // namespace

Result<void> keep_descriptor(const std::string& name, int fd) {
  return notify("FDSTORE=1\nFDNAME=" + name, fd);
}

Result<void> forget_descriptor(const std::string& name) {
  return notify("FDSTOREREMOVE=1\nFDNAME=" + name, -1);
}

}  // namespace wardom::watchdog
