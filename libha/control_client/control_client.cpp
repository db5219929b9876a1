#include "libha/control_client/control_client.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "libha/core/local_formats.hpp"
#include "libha/proc/descriptor.hpp"

namespace wardom::control {
namespace {

using proc::Descriptor;

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

// As every Wardom tool ends.
constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr int kRefused = 3;

std::string system_error() { return std::strerror(errno); }

// One conversation. Each step returns what went wrong, or nothing.
class Conversation {
 public:
  Conversation(int fd, Clock::time_point deadline) : fd_(fd), deadline_(deadline) {}

  // EAGAIN: the daemon's queue of connections is full; it is there, but does not take them.
  std::optional<std::string> connect_to(const sockaddr_un& address) {
    const auto* generic = reinterpret_cast<const sockaddr*>(&address);
    if (::connect(fd_, generic, sizeof address) == 0) return std::nullopt;
    if (errno == EAGAIN) return "it takes no connections";
    return system_error();
  }

  std::optional<std::string> send_all(std::string_view data) {
    while (!data.empty()) {
      const auto sent = send(fd_, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent > 0) {
        data.remove_prefix(static_cast<std::size_t>(sent));
      } else if (auto error = wait_for(POLLOUT)) {
        return error;
      }
    }
    return std::nullopt;
  }

  std::optional<std::string> receive_all(std::string& reply) {
    std::array<char, 64 * 1024> buffer;
    for (;;) {
      const auto got = recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (got == 0) return std::nullopt;
      if (got > 0) {
        reply.append(buffer.data(), static_cast<std::size_t>(got));
        if (reply.size() > kMaxReplyBytes) return "its reply is longer than 16 MiB";
      } else if (auto error = wait_for(POLLIN)) {
        return error;
      }
    }
  }

 private:
  // Called after a failed call: waits if it would have blocked, else reports its error.
  std::optional<std::string> wait_for(short events) {
    if (errno == EINTR) return std::nullopt;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return system_error();
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now()).count();
    if (left <= 0) return "no reply in time";
    pollfd one{fd_, events, 0};
    const int ready = poll(&one, 1, static_cast<int>(left));
    if (ready < 0 && errno != EINTR) return system_error();
    if (ready == 0) return "no reply in time";
    return std::nullopt;
  }

  int fd_;
  Clock::time_point deadline_;
};

Answer no_answer(const std::string& socket, const std::string& why, const std::string& remedy) {
  Answer answer;
  answer.error = "wardomd does not answer on " + socket + ": " + why + "; " + remedy;
  return answer;
}

Answer read_reply(const std::string& socket, const std::string& reply) {
  constexpr auto kRemedy = "see `journalctl -u wardomd` for why";
  if (reply.empty()) return no_answer(socket, "it closed the connection", kRemedy);
  boost::system::error_code error;
  auto value = json::parse(reply, error);
  const auto* object = error ? nullptr : value.if_object();
  const auto* ok = object == nullptr ? nullptr : object->if_contains("ok");
  if (ok == nullptr || !ok->is_bool())
    return no_answer(socket, "its reply makes no sense", "are both of the same version?");
  Answer answer;
  answer.heard = Heard::answer;
  if (ok->get_bool()) {
    answer.exit_code = kDone;
    if (const auto* result = object->if_contains("result")) answer.result = *result;
    return answer;
  }
  const auto* code = object->if_contains("exit");
  const auto* why = object->if_contains("error");
  if (code != nullptr && code->is_int64() && code->get_int64() >= kFailed &&
      code->get_int64() <= kRefused)
    answer.exit_code = static_cast<int>(code->get_int64());
  answer.error = why != nullptr && why->is_string() ? std::string(why->get_string())
                                                    : "wardomd gives no reason";
  return answer;
}

}  // namespace

Answer ask(const std::string& socket, const json::object& request,
           std::chrono::milliseconds patience) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.size() >= sizeof address.sun_path) {
    Answer answer;
    answer.exit_code = kUsage;
    answer.error = "--socket " + socket + ": the path is too long for a socket";
    return answer;
  }
  socket.copy(address.sun_path, socket.size());
  const Descriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) return no_answer(socket, system_error(), "try again");

  Conversation talk(fd.get(), Clock::now() + patience);
  if (const auto error = talk.connect_to(address)) {
    const int cause = errno;
    const bool denied = cause == EACCES || cause == EPERM;
    auto answer =
        no_answer(socket, *error,
                  denied ? "run this as root" : "start it with `systemctl start wardomd`");
    if (cause == ENOENT || cause == ECONNREFUSED) answer.heard = Heard::nobody;
    return answer;
  }
  constexpr auto kRemedy = "see `journalctl -u wardomd` for what it is doing";
  auto versioned = request;
  versioned["version"] = kControlVersion;
  if (const auto error = talk.send_all(json::serialize(versioned) + "\n"))
    return no_answer(socket, *error, kRemedy);
  std::string reply;
  if (const auto error = talk.receive_all(reply)) return no_answer(socket, *error, kRemedy);
  return read_reply(socket, reply);
}

}  // namespace wardom::control
