#include "agents/keeper/daemon_server.hpp"

#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agents/keeper/log.hpp"

namespace wardom::keeper {
namespace {

constexpr std::size_t kReceiveBytes = 64 * 1024;

// 0 where the peer is not allowed to talk to us: neither root nor our own user.
bool allowed(int fd, std::int32_t& pid) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  pid = peer.pid;
  return peer.uid == 0 || peer.uid == ::geteuid();
}

bool process_lives(std::int32_t pid) {
  return pid <= 0 || ::kill(pid, 0) == 0 || errno != ESRCH;
}

}  // namespace

DaemonServer::Connection::~Connection() {
  if (fd >= 0) ::close(fd);
}

DaemonServer::DaemonServer(Handler handler) : handler_(std::move(handler)) {}

void DaemonServer::stop() {
  if (listener_ < 0) return;
  ::close(std::exchange(listener_, -1));
  ::unlink(path_.c_str());
}

Result<void> DaemonServer::listen(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return failure(path + ": too long for a socket's path (107 bytes)");
  path.copy(address.sun_path, path.size());
  // The run directory's lock says that no other keeper listens here.
  ::unlink(path.c_str());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const auto old_mask = ::umask(0177);
  const bool bound = fd >= 0 && ::bind(fd, reinterpret_cast<sockaddr*>(&address),
                                       sizeof address) == 0;
  ::umask(old_mask);
  if (!bound || ::listen(fd, static_cast<int>(kMaxConnections)) != 0) {
    const std::string why = std::strerror(errno);
    if (fd >= 0) ::close(fd);
    return failure("cannot listen on " + path + ": " + why);
  }
  listener_ = fd;
  path_ = path;
  return success();
}

void DaemonServer::add_to(std::vector<pollfd>& fds) const {
  if (listener_ >= 0) fds.push_back({listener_, POLLIN, 0});
  for (const auto& c : connections_) {
    const bool sends = c->sent < c->outbox.size();
    // Whoever is to be closed is not listened to; a daemon that does not read is not either.
    const bool reads = !c->closing && c->outbox.size() < kMaxOutboxBytes / 2;
    fds.push_back({c->fd, static_cast<short>((reads ? POLLIN : 0) | (sends ? POLLOUT : 0)), 0});
  }
}

void DaemonServer::handle(const std::vector<pollfd>& fds, Instant now) {
  for (const auto& ready : fds) {
    if (ready.revents == 0) continue;
    if (ready.fd == listener_) accept_all(now);
    for (const auto& c : connections_) {
      if (c->fd != ready.fd) continue;
      if ((ready.revents & POLLOUT) != 0) flush(*c);
      if (c->fd >= 0 && (ready.revents & (POLLIN | POLLHUP | POLLERR)) != 0) receive(*c);
    }
  }
  remove_closed();
}

void DaemonServer::accept_all(Instant now) {
  while (true) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    auto c = std::make_unique<Connection>();
    c->fd = fd;
    c->since = now;
    if (connections_.size() >= kMaxConnections || !allowed(fd, c->pid)) continue;  // closes it
    connections_.push_back(std::move(c));
  }
}

void DaemonServer::receive(Connection& c) {
  std::uint8_t buffer[kReceiveBytes];
  const auto got = ::recv(c.fd, buffer, sizeof buffer, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return close(c, got == 0 ? "closed" : std::strerror(errno));
  c.in.feed({buffer, static_cast<std::size_t>(got)});
  while (auto frame = c.in.next()) {
    auto message = wire::decode_daemon_frame(*frame, c.version);
    if (!message) {
      queue(c, wire::RefusedMessage{message.error().message});
      c.closing = true;
      flush(c);
      return;
    }
    take(c, std::move(message).value());
    if (c.fd < 0 || c.closing) return;
  }
  if (c.in.broken()) close(c, "announced a frame that is too long");
}

void DaemonServer::take(Connection& c, wire::DaemonMessage message) {
  if (const auto* hello = std::get_if<wire::Hello>(&message)) {
    greet(c, *hello);
  } else if (c.session) {
    handler_.message(*c.session, std::move(message));
  } else {
    queue(c, wire::RefusedMessage{"say Hello first"});
    c.closing = true;
    flush(c);
  }
}

void DaemonServer::greet(Connection& c, const wire::Hello& hello) {
  const auto refuse = [&](std::string why) {
    queue(c, wire::RefusedMessage{std::move(why)});
    c.closing = true;
    flush(c);
  };
  if (c.session) return refuse("said Hello already");
  const auto version = wire::agreed(hello.versions, wire::keeper_protocol());
  if (!version)
    return refuse("wardomd is of a release that is too far from this wardom-keeper's: they have no "
                  "version of their protocol in common; restart both with one release");
  c.version = *version;
  if (Connection* old = daemon(); old != nullptr) {
    // A daemon that lives keeps its place. One that is dead, or that has lost its own connection,
    // may not have been noticed yet.
    if (old->pid != c.pid && process_lives(old->pid)) {
      log(Severity::warning, "refused a second daemon (pid " + std::to_string(c.pid) +
                                 "): pid " + std::to_string(old->pid) + " is connected");
      return refuse("another wardomd (pid " + std::to_string(old->pid) + ") is connected");
    }
    close(*old, "replaced by a new connection");
  }
  const auto answer = handler_.hello(hello, c.pid);
  if (std::holds_alternative<wire::ReadyMessage>(answer)) {
    last_session_ = last_session_.next();
    c.session = last_session_;
    log(Severity::info, "wardomd (pid " + std::to_string(c.pid) + ") connected");
    queue(c, answer);
    flush(c);
    if (c.session) handler_.begun(*c.session);
  } else {
    queue(c, answer);
    c.closing = true;
    flush(c);
  }
}

void DaemonServer::queue(Connection& c, const wire::KeeperMessage& message) {
  const auto frame = wire::encode_frame(
      message, c.version == 0 ? wire::keeper_protocol().newest : c.version);
  c.outbox.insert(c.outbox.end(), frame.begin(), frame.end());
}

void DaemonServer::flush(Connection& c) {
  while (c.sent < c.outbox.size()) {
    const auto put = ::send(c.fd, c.outbox.data() + c.sent, c.outbox.size() - c.sent, MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno == EAGAIN) {
      if (c.outbox.size() - c.sent > kMaxOutboxBytes) close(c, "does not read its answers");
      return;
    }
    if (put < 0) return close(c, std::strerror(errno));
    c.sent += static_cast<std::size_t>(put);
  }
  c.outbox = wire::Bytes();
  c.sent = 0;
  if (c.closing) close(c, "refused");
}

void DaemonServer::close(Connection& c, const std::string& why) {
  if (c.fd < 0) return;
  ::close(std::exchange(c.fd, -1));
  if (!c.session) return;
  log(Severity::notice, "wardomd (pid " + std::to_string(c.pid) + ") is gone: " + why);
  handler_.gone(*std::exchange(c.session, std::nullopt));
}

void DaemonServer::remove_closed() {
  std::erase_if(connections_, [](const auto& c) { return c->fd < 0; });
}

void DaemonServer::tick(Instant now) {
  for (const auto& c : connections_)
    if (!c->session && now - c->since >= kHelloPatience) close(*c, "said nothing");
  remove_closed();
}

std::optional<Instant> DaemonServer::next_deadline() const {
  std::optional<Instant> next;
  for (const auto& c : connections_)
    if (!c->session && (!next || c->since + kHelloPatience < *next))
      next = c->since + kHelloPatience;
  return next;
}

void DaemonServer::send(Session session, const wire::KeeperMessage& message) {
  Connection* c = daemon();
  if (c == nullptr || c->session != session) return;
  queue(*c, message);
  flush(*c);
}

void DaemonServer::drop_daemon(const std::string& why) {
  if (Connection* c = daemon(); c != nullptr) close(*c, why);
}

std::optional<Session> DaemonServer::session() const {
  const Connection* c = daemon();
  return c == nullptr ? std::nullopt : c->session;
}

DaemonServer::Connection* DaemonServer::daemon() const {
  for (const auto& c : connections_)
    if (c->fd >= 0 && c->session) return c.get();
  return nullptr;
}

}  // namespace wardom::keeper
