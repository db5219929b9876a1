#include "hook.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "libha/core/local_formats.hpp"
#include "libha/guestxml/guest_xml.hpp"
#include "libha/proc/descriptor.hpp"

namespace wardom::hook {
namespace {

using proc::Descriptor;

using Clock = std::chrono::steady_clock;

void append_json(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(c));
      out += escaped;
    } else {
      out += c;
    }
  }
  out += '"';
}

// Reads one flat JSON object of strings and booleans: all that the daemon answers. Anything else is
// not understood.
class FlatJson {
 public:
  explicit FlatJson(std::string_view text) : text_(text) {}

  std::optional<Reply> read() {
    Reply reply;
    bool saw_ok = false;
    if (!eat('{')) return std::nullopt;
    if (!eat('}')) {
      do {
        std::string key;
        if (!string(key) || !eat(':')) return std::nullopt;
        std::string text;
        bool flag = false;
        const bool is_text = peek() == '"';
        if (is_text ? !string(text) : !boolean(flag)) return std::nullopt;
        if (key == "ok") {
          if (is_text || saw_ok) return std::nullopt;
          saw_ok = true;
          reply.ok = flag;
        } else if (key == "error" && is_text) {
          reply.error = text;
        }
      } while (eat(','));
      if (!eat('}')) return std::nullopt;
    }
    if (!saw_ok || peek() != '\0') return std::nullopt;
    return reply;
  }

 private:
  char peek() {
    while (at_ < text_.size() && std::strchr(" \t\r\n", text_[at_]) && text_[at_] != '\0') ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool eat(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  bool boolean(bool& out) {
    peek();
    for (const auto& [word, value] : {std::pair{"true", true}, std::pair{"false", false}})
      if (text_.substr(at_).starts_with(word)) {
        at_ += std::strlen(word);
        out = value;
        return true;
      }
    return false;
  }
  bool string(std::string& out) {
    if (!eat('"')) return false;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '"') return true;
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c != '\\') {
        out += c;
      } else if (!escape(out)) {
        return false;
      }
    }
    return false;
  }
  bool escape(std::string& out) {
    if (at_ >= text_.size()) return false;
    const char c = text_[at_++];
    constexpr std::string_view kFrom = "\"\\/bfnrt";
    constexpr std::string_view kTo = "\"\\/\b\f\n\r\t";
    if (const auto i = kFrom.find(c); i != std::string_view::npos) {
      out += kTo[i];
      return true;
    }
    if (c != 'u' || text_.size() - at_ < 4) return false;
    at_ += 4;
    out += '?';  // the sentence is for people; its rare letters are not worth a decoder
    return true;
  }

  std::string_view text_;
  std::size_t at_{0};
};

bool wait_for(int fd, short events, Clock::time_point until) {
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    if (left <= 0) return false;
    pollfd one{fd, events, 0};
    const int ready = poll(&one, 1, static_cast<int>(left));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

bool send_all(int fd, std::string_view text, Clock::time_point until) {
  while (!text.empty()) {
    const ssize_t sent = send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      text.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      if (!wait_for(fd, POLLOUT, until)) return false;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

std::optional<std::string> receive_line(int fd, Clock::time_point until) {
  std::string line;
  char buffer[1024];
  while (line.size() <= kMaxReplyBytes) {
    if (!wait_for(fd, POLLIN, until)) return std::nullopt;
    const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got == 0) return std::nullopt;
    if (got < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return std::nullopt;
    }
    line.append(buffer, static_cast<std::size_t>(got));
    if (const auto end = line.find('\n'); end != std::string::npos) return line.substr(0, end);
  }
  return std::nullopt;
}

// One that says of itself that it is another version's. A comment or a UUID does not.
bool of_another_version(std::string_view list) {
  const auto line = list.substr(0, list.find('\n'));
  const std::string_view known = kProtectedListLine;
  return line != known && line.starts_with(known.substr(0, known.rfind(' ') + 1));
}

// Absent: nothing is listed. Unreadable for any other reason, too large, or of another version:
// nobody knows.
struct List {
  bool readable{true};
  std::string text;
};
List read_list(const std::string& path) {
  List list;
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) {
    list.readable = errno == ENOENT || errno == ENOTDIR;
    return list;
  }
  char buffer[16384];
  for (;;) {
    const ssize_t got = read(file.get(), buffer, sizeof buffer);
    if (got == 0) {
      list.readable = !of_another_version(list.text);
      return list;
    }
    if (got < 0 && errno == EINTR) continue;
    if (got > 0) list.text.append(buffer, static_cast<std::size_t>(got));
    if (got < 0 || list.text.size() > kMaxListBytes) {
      list.readable = false;
      return list;
    }
  }
}

}  // namespace

Places places_from(const char* run_dir) {
  Places places;
  if (run_dir != nullptr && *run_dir != '\0') {
    places.socket = std::string(run_dir) + "/wardomd.sock";
    places.protected_list = std::string(run_dir) + "/protected";
  }
  return places;
}

std::optional<std::string_view> guarded(std::string_view operation,
                                        std::string_view sub_operation) {
  if (sub_operation != "begin") return std::nullopt;
  for (const std::string_view one : {"prepare", "start", "migrate", "restore"})
    if (operation == one) return one;
  return std::nullopt;
}

Guest guest_from(std::string_view xml) {
  Guest guest;
  const auto summary = guestxml::summarize(xml, kMaxStdinBytes);
  if (summary.has_error() || summary.value().uuid.is_zero()) {
    guest.marked = xml.find(guestxml::kMarkUri) != std::string_view::npos;
    return guest;
  }
  guest.known = true;
  guest.uuid = to_uuid(summary.value().uuid);
  guest.marked = summary.value().marked.has_value();
  return guest;
}

bool is_listed(std::string_view list, const Guest& guest, std::string_view xml) {
  while (!list.empty()) {
    const auto end = list.find('\n');
    const auto bits = parse_bits(list.substr(0, list.find_first_of(" \t\r\n")));
    list.remove_prefix(end == std::string_view::npos ? list.size() : end + 1);
    if (!bits) continue;
    const std::string uuid = to_uuid(*bits);
    if (guest.known ? uuid == guest.uuid : xml.find(uuid) != std::string_view::npos) return true;
  }
  return false;
}

std::string request(const Guest& guest, std::string_view name, std::string_view operation) {
  std::string out = R"({"version":)" + std::to_string(kControlVersion) +
                    R"(,"do":"may-start","guest":)";
  append_json(out, guest.uuid);
  out += R"(,"name":)";
  append_json(out, name);
  out += R"(,"op":)";
  append_json(out, operation);
  return out + "}\n";
}

std::optional<Reply> parse_reply(std::string_view line) { return FlatJson(line).read(); }

std::optional<Reply> ask(const std::string& socket, const std::string& line,
                         std::chrono::milliseconds deadline, std::string& why) {
  const auto until = Clock::now() + deadline;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.size() >= sizeof address.sun_path) {
    why = "the path of wardomd's socket is too long";
    return std::nullopt;
  }
  std::memcpy(address.sun_path, socket.c_str(), socket.size() + 1);
  const Descriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // EAGAIN: the daemon's queue is full, so it does not serve anybody either.
  if (fd.get() < 0 ||
      connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    why = "wardomd cannot be reached at " + socket + " (" + std::strerror(errno) + ")";
    return std::nullopt;
  }
  std::optional<std::string> answer;
  if (send_all(fd.get(), line, until)) answer = receive_line(fd.get(), until);
  if (!answer) {
    why = "wardomd gave no answer";
    return std::nullopt;
  }
  auto reply = parse_reply(*answer);
  if (!reply) why = "wardomd gave an answer that makes no sense";
  return reply;
}

std::optional<std::string> refusal(const Places& places, std::string_view name,
                                   std::string_view operation, std::string_view xml,
                                   std::chrono::milliseconds deadline) {
  const Guest guest = guest_from(xml);
  std::string why;
  if (const auto reply = ask(places.socket, request(guest, name, operation), deadline, why)) {
    if (reply->ok) return std::nullopt;
    return "Wardom refuses " + std::string(operation) + " of guest " + std::string(name) + ": " +
           (reply->error.empty() ? "no reason given" : reply->error);
  }
  const List list = read_list(places.protected_list);
  if (!guest.marked && list.readable && !is_listed(list.text, guest, xml)) return std::nullopt;
  const std::string because =
      guest.marked || list.readable
          ? "is protected by Wardom"
          : "may be protected by Wardom (" + places.protected_list + " cannot be read)";
  return "guest " + std::string(name) + " " + because + ", and " + why +
         ": it may be running on another host. Start wardomd ('systemctl start wardomd'), then "
         "try again; 'wardomctl why " +
         std::string(name) + "' on another host shows where it belongs";
}

}  // namespace wardom::hook
