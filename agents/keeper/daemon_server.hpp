// The keeper's side of the socket: accepts, checks who it is, cuts frames, keeps to one daemon.
#pragma once

#include <poll.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "libha/core/time.hpp"
#include "libha/wire/keeper_protocol.hpp"

namespace wardom::keeper {

inline constexpr std::size_t kMaxConnections = 8;  // one daemon's, and others to be refused
inline constexpr Duration kHelloPatience = std::chrono::seconds{5};
inline constexpr std::size_t kMaxOutboxBytes = 16 * 1024 * 1024;  // a daemon that never reads

// Names one accepted Hello. Answers to a session that has ended are dropped.
using Session = Number<struct SessionTag, std::uint64_t>;

class DaemonServer {
 public:
  struct Handler {
    // Ready: the session begins, and `begun` follows once that is on its way. Refused: it is told
    // so, and closed.
    // `pid`: by SO_PEERCRED, 0 where it is of another PID namespace.
    std::function<wire::KeeperMessage(const wire::Hello&, std::int32_t pid)> hello;
    std::function<void(Session, wire::DaemonMessage)> message;  // anything but Hello
    std::function<void(Session)> begun;
    std::function<void(Session)> gone;
  };

  explicit DaemonServer(Handler handler);
  ~DaemonServer() { stop(); }
  DaemonServer(const DaemonServer&) = delete;
  DaemonServer& operator=(const DaemonServer&) = delete;

  // Replaces a socket file that a dead keeper left. Mode 0600.
  Result<void> listen(const std::string& path);
  void add_to(std::vector<pollfd>& fds) const;
  void handle(const std::vector<pollfd>& fds, Instant now);
  void tick(Instant now);  // drops who connects and says nothing
  std::optional<Instant> next_deadline() const;
  void send(Session session, const wire::KeeperMessage& message);
  std::optional<Session> session() const;  // the daemon's, while there is one
  void drop_daemon(const std::string& why);
  void stop();  // closes and removes the socket

 private:
  struct Connection {
    int fd{-1};
    std::int32_t pid{0};  // by SO_PEERCRED; 0: of another pid namespace
    Instant since;
    std::uint16_t version{0};  // of the protocol, as agreed; 0: not yet
    std::optional<Session> session;
    bool closing{false};  // once the outbox is empty
    wire::FrameReader in;
    wire::Bytes outbox;
    std::size_t sent{0};
    ~Connection();
  };
  void accept_all(Instant now);
  void receive(Connection& c);
  void take(Connection& c, wire::DaemonMessage message);
  void greet(Connection& c, const wire::Hello& hello);
  void queue(Connection& c, const wire::KeeperMessage& message);
  void flush(Connection& c);
  void close(Connection& c, const std::string& why);
  void remove_closed();
  Connection* daemon() const;

  Handler handler_;
  int listener_{-1};
  std::string path_;
  std::vector<std::unique_ptr<Connection>> connections_;
  Session last_session_;
};

}  // namespace wardom::keeper
