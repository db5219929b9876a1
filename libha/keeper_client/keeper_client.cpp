#include "libha/keeper_client/keeper_client.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "libha/core/check.hpp"
#include "libha/wire/keeper_protocol.hpp"
#include "libha/wire/layout.hpp"

namespace wardom::keeper_client {
namespace {

constexpr std::size_t kReceiveBytes = 64 * 1024;

Instant now_raw() {
  timespec now{};
  WARDOM_CHECK(::clock_gettime(CLOCK_MONOTONIC_RAW, &now) == 0);
  return Instant{std::chrono::seconds{now.tv_sec} + std::chrono::nanoseconds{now.tv_nsec}};
}

port::CellStatus status_of(wire::ExtentState state) {
  switch (state) {
    case wire::ExtentState::valid: return port::CellStatus::valid;
    case wire::ExtentState::empty: return port::CellStatus::empty;
    case wire::ExtentState::torn:
    case wire::ExtentState::damaged: return port::CellStatus::damaged;
    case wire::ExtentState::foreign: return port::CellStatus::foreign;
    case wire::ExtentState::unknown_version: return port::CellStatus::unknown_version;
    case wire::ExtentState::unreadable: break;
  }
  return port::CellStatus::unreadable;
}

port::CellRead to_port(wire::CellView view) {
  port::CellRead read;
  read.cell = view.cell;
  read.status = status_of(view.state);
  read.twin_damaged = view.twin_damaged;
  read.writer = view.writer;
  read.incarnation = view.incarnation;
  read.sequence = view.sequence;
  read.payload = std::move(view.payload);
  read.error = std::move(view.error);
  read.level = view.level;
  read.speaks = view.speaks;
  read.domain = view.domain;
  return read;
}

std::uint64_t draw_run() {
  std::uint64_t run = 0;
  WARDOM_CHECK(::getrandom(&run, sizeof run, 0) == static_cast<ssize_t>(sizeof run));
  return run;
}

}  // namespace

class KeeperClient::Worker {
 public:
  Worker(std::string socket, port::VolumeEvents events)
      : socket_(std::move(socket)), events_(std::move(events)), run_(draw_run()) {
    wake_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    WARDOM_CHECK(wake_fd_ >= 0);
    thread_ = std::thread([this] { serve(); });
  }

  ~Worker() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake();
    thread_.join();
    disconnect();
    ::close(wake_fd_);
  }

  void ask(wire::DaemonMessage message) {
    {
      const std::lock_guard lock(mutex_);
      asked_.push_back(std::move(message));
    }
    wake();
  }

 private:
  struct ReadTicket {
    std::vector<Cell> cells;
    std::vector<port::CellRead> answered;
    Instant deadline;
  };
  struct WriteTicket {
    Cell cell;
    Instant deadline;
  };
  struct ListTicket {
    GuestId guest;
    Instant deadline;
  };

  void wake() {
    const std::uint64_t one = 1;
    // Fails only when the counter is full; then it is readable anyway.
    [[maybe_unused]] const auto put = ::write(wake_fd_, &one, sizeof one);
  }

  void serve() {
    while (true) {
      const auto now = now_raw();
      if (fd_ < 0 && now >= next_connect_) connect(now);
      expire(now);
      wait();
      std::vector<wire::DaemonMessage> asked;
      {
        const std::lock_guard lock(mutex_);
        if (stop_) return;
        asked.swap(asked_);
      }
      for (auto& message : asked) take(std::move(message));
      flush();
    }
  }

  void wait() {
    Instant until = fd_ < 0 ? next_connect_ : Instant::never();
    for (const auto& [ticket, read] : reads_) until = std::min(until, read.deadline);
    for (const auto& [ticket, write] : writes_) until = std::min(until, write.deadline);
    for (const auto& [ticket, list] : lists_) until = std::min(until, list.deadline);
    const auto left =
        std::clamp(until - now_raw(), Duration::zero(), Duration{std::chrono::hours{1}});
    const timespec timeout{static_cast<time_t>(left / std::chrono::seconds{1}),
                           static_cast<long>((left % std::chrono::seconds{1}).count())};
    const short wanted = static_cast<short>(POLLIN | (sent_ < outbox_.size() ? POLLOUT : 0));
    pollfd fds[2] = {{wake_fd_, POLLIN, 0}, {fd_, wanted, 0}};
    if (::ppoll(fds, fd_ < 0 ? 1 : 2, &timeout, nullptr) <= 0) return;
    std::uint64_t count = 0;
    if (fds[0].revents != 0) [[maybe_unused]] const auto got = ::read(wake_fd_, &count, 8);
    if (fd_ >= 0 && (fds[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0) receive();
  }

  // --- the connection

  void connect(Instant now) {
    pause_ = std::clamp(pause_ * 2, kReconnectMin, kReconnectMax);
    next_connect_ = now + pause_;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket_.size() >= sizeof address.sun_path) return lose("path of the socket is too long");
    socket_.copy(address.sun_path, socket_.size());
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd_ < 0 || ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      return lose(std::string("cannot reach wardom-keeper at ") + socket_ + ": " +
                  std::strerror(errno) + "; is it running?");
    queue(wire::Hello{static_cast<std::int32_t>(::getpid()), run_});
    flush();
  }

  void disconnect() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    ready_ = false;
    version_ = 0;
    in_ = {};
    outbox_.clear();
    sent_ = 0;
  }

  void lose(const std::string& reason) {
    disconnect();
    for (auto& [ticket, read] : std::exchange(reads_, {})) answer_unreadable(ticket, read, reason);
    for (auto& [ticket, write] : std::exchange(writes_, {}))
      events_.write_done({Ticket{ticket}, write.cell, false, {}, reason});
    for (auto& [ticket, list] : std::exchange(lists_, {}))
      events_.start_listed({Ticket{ticket}, list.guest, false, reason});
    if (reason == reason_) return;
    reason_ = reason;
    events_.lost({reason});
  }

  void receive() {
    std::uint8_t buffer[kReceiveBytes];
    const auto got = ::recv(fd_, buffer, sizeof buffer, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return lose("wardom-keeper closed the connection");
    in_.feed({buffer, static_cast<std::size_t>(got)});
    while (auto frame = in_.next()) {
      const auto version = version_ != 0 ? version_ : wire::version_of(*frame);
      auto message = wire::decode_keeper_frame(*frame, version);
      if (!message) return lose(message.error().message);
      version_ = version;  // the keeper has chosen
      std::visit([this](auto& m) { take(m); }, message.value());
      if (fd_ < 0) return;
    }
    if (in_.broken()) lose("wardom-keeper announced a frame that is too long");
  }

  void queue(const wire::DaemonMessage& message) {
    const auto frame =
        wire::encode_frame(message, version_ == 0 ? wire::keeper_protocol().newest : version_);
    outbox_.insert(outbox_.end(), frame.begin(), frame.end());
  }

  void flush() {
    while (fd_ >= 0 && sent_ < outbox_.size()) {
      const auto put = ::send(fd_, outbox_.data() + sent_, outbox_.size() - sent_, MSG_NOSIGNAL);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0 && errno == EAGAIN) {
        if (outbox_.size() - sent_ > kMaxOutboxBytes) lose("wardom-keeper does not read");
        return;
      }
      if (put < 0) return lose(std::string("wardom-keeper: ") + std::strerror(errno));
      sent_ += static_cast<std::size_t>(put);
    }
    outbox_.clear();
    sent_ = 0;
  }

  // --- from the daemon

  void take(wire::DaemonMessage message) {
    if (auto* read = std::get_if<wire::ReadRequest>(&message)) return take(std::move(*read));
    if (auto* write = std::get_if<wire::WriteRequest>(&message)) return take(std::move(*write));
    if (auto* list = std::get_if<wire::ListStartRequest>(&message)) return take(*list);
    const bool view = std::holds_alternative<wire::PublishRequest>(message);
    // A view that was not sent for want of a reader is overtaken by the next one.
    if (ready_ && (!view || outbox_.size() - sent_ < kReceiveBytes)) queue(message);
  }

  std::string unable() const {
    if (!ready_) return reason_.empty() ? "not connected to wardom-keeper yet" : reason_;
    const auto open = reads_.size() + writes_.size() + lists_.size();
    return open >= kMaxTickets ? "too many requests at a time" : "";
  }

  void take(wire::ReadRequest request) {
    ReadTicket ticket{request.cells, {}, now_raw() + patience_};
    const auto why = request.cells.size() > wire::kMaxReadCells ? "too many cells" : unable();
    if (!why.empty()) return answer_unreadable(request.ticket.value, ticket, why);
    if (request.cells.empty()) return events_.read_done({request.ticket, {}});
    WARDOM_CHECK(reads_.emplace(request.ticket.value, std::move(ticket)).second);
    queue(std::move(request));
  }

  void take(wire::WriteRequest request) {
    const bool too_long = request.payload.size() > wire::extent_payload(wire::kMaxTableBlocks);
    const auto why = too_long ? "larger than any extent" : unable();
    if (!why.empty()) return events_.write_done({request.ticket, request.cell, false, {}, why});
    const WriteTicket ticket{request.cell, now_raw() + patience_};
    WARDOM_CHECK(writes_.emplace(request.ticket.value, ticket).second);
    queue(std::move(request));
  }

  void take(wire::ListStartRequest request) {
    if (const auto why = unable(); !why.empty())
      return events_.start_listed({request.ticket, request.guest, false, why});
    const ListTicket ticket{request.guest, now_raw() + patience_};
    WARDOM_CHECK(lists_.emplace(request.ticket.value, ticket).second);
    queue(request);
  }

  // --- from the keeper

  void take(wire::ReadyMessage& m) {
    ready_ = true;
    reason_.clear();
    pause_ = Duration::zero();
    patience_ = std::chrono::milliseconds{m.geometry.t_f_ms} / 2;
    events_.ready({m.self, m.incarnation, m.epoch, std::move(m.geometry), std::move(m.listed),
                   m.stays_up, m.level});
  }

  void take(wire::ReadAnswer& m) {
    const auto found = reads_.find(m.ticket.value);
    if (found == reads_.end()) return;  // its time had ended
    auto& cells = found->second.answered;
    for (auto& view : m.cells) cells.push_back(to_port(std::move(view)));
    if (!m.last) return;
    auto ticket = std::move(found->second);
    reads_.erase(found);
    if (ticket.answered.size() != ticket.cells.size())
      return answer_unreadable(m.ticket.value, ticket, "wardom-keeper left cells out");
    events_.read_done({m.ticket, std::move(ticket.answered)});
  }

  void take(wire::WriteAnswer& m) {
    if (writes_.erase(m.ticket.value) == 0) return;
    events_.write_done({m.ticket, m.cell, m.acknowledged, m.sequence, std::move(m.error)});
  }

  void take(wire::HeartbeatMessage& m) {
    const auto ns = static_cast<std::int64_t>(m.raw_ns);
    events_.heartbeat({m.sequence, Instant{std::chrono::nanoseconds{ns}}, m.votes_under});
  }

  void take(wire::RightsMessage& m) {
    const auto instant = [](std::uint64_t ns) {
      return Instant{std::chrono::nanoseconds{static_cast<std::int64_t>(ns)}};
    };
    events_.rights({m.lease, instant(m.act_until_ns), instant(m.feed_until_ns), m.granted,
                    m.released});
  }

  void take(wire::AskStampMessage& m) {
    events_.ask_stamp({Instant{std::chrono::nanoseconds{static_cast<std::int64_t>(m.stamp_ns)}}});
  }

  void take(wire::StartListedMessage& m) {
    if (lists_.erase(m.ticket.value) == 0) return;  // its time had ended, and it was told so
    events_.start_listed({m.ticket, m.guest, m.listed, std::move(m.error)});
  }

  void take(wire::TroublesMessage& m) {
    port::KeeperTroubles told;
    for (auto& one : m.troubles)
      told.troubles.push_back({std::move(one.what), std::move(one.remedy)});
    events_.troubles(std::move(told));
  }

  void take(wire::RefusedMessage& m) { lose("wardom-keeper: " + m.reason); }

  // Completes what has come so far with `unreadable`.
  void answer_unreadable(std::uint64_t ticket, ReadTicket& read, const std::string& why) {
    port::ReadDone done{Ticket{ticket}, std::move(read.answered)};
    done.cells.resize(std::min(done.cells.size(), read.cells.size()));
    for (auto i = done.cells.size(); i < read.cells.size(); ++i) {
      port::CellRead cell;
      cell.cell = read.cells[i];
      cell.error = why;
      done.cells.push_back(std::move(cell));
    }
    events_.read_done(std::move(done));
  }

  void expire(Instant now) {
    constexpr const char* kWhy = "wardom-keeper does not answer in time";
    for (auto it = reads_.begin(); it != reads_.end();) {
      const bool due = now >= it->second.deadline;
      if (due) answer_unreadable(it->first, it->second, kWhy);
      it = due ? reads_.erase(it) : std::next(it);
    }
    for (auto it = writes_.begin(); it != writes_.end();) {
      const bool due = now >= it->second.deadline;
      if (due) events_.write_done({Ticket{it->first}, it->second.cell, false, {}, kWhy});
      it = due ? writes_.erase(it) : std::next(it);
    }
    for (auto it = lists_.begin(); it != lists_.end();) {
      const bool due = now >= it->second.deadline;
      if (due) events_.start_listed({Ticket{it->first}, it->second.guest, false, kWhy});
      it = due ? lists_.erase(it) : std::next(it);
    }
  }

  const std::string socket_;
  const port::VolumeEvents events_;
  const std::uint64_t run_;
  int wake_fd_{-1};
  std::uint16_t version_{0};  // of the protocol, as agreed with the connected keeper; 0: not yet

  std::mutex mutex_;  // guards the next two
  std::vector<wire::DaemonMessage> asked_;
  bool stop_{false};

  // The thread's own.
  int fd_{-1};
  bool ready_{false};
  std::string reason_;
  Instant next_connect_;
  Duration pause_{};
  Duration patience_{};
  wire::FrameReader in_;
  wire::Bytes outbox_;
  std::size_t sent_{0};
  std::map<std::uint64_t, ReadTicket> reads_;
  std::map<std::uint64_t, WriteTicket> writes_;
  std::map<std::uint64_t, ListTicket> lists_;
  std::thread thread_;
};

KeeperClient::KeeperClient(std::string socket, port::VolumeEvents events)
    : worker_(std::make_unique<Worker>(std::move(socket), std::move(events))) {}

KeeperClient::~KeeperClient() = default;

void KeeperClient::read(Ticket ticket, std::vector<Cell> cells) {
  worker_->ask(wire::ReadRequest{ticket, std::move(cells)});
}

void KeeperClient::write(Ticket ticket, Cell cell, std::vector<std::uint8_t> payload,
                         Level level) {
  worker_->ask(wire::WriteRequest{ticket, cell, std::move(payload), level});
}

void KeeperClient::publish(const port::SelfView& view) {
  worker_->ask(wire::PublishRequest{view.progress, view.sees_mgmt, view.sees_storage,
                                    view.sees_disk, view.load, view.unasked, view.votes_under,
                                    view.yielded, view.level, view.speaks});
}

void KeeperClient::list_start(Ticket ticket, GuestId guest) {
  worker_->ask(wire::ListStartRequest{ticket, guest});
}

void KeeperClient::settle_start(GuestId guest, const GuestProcess& process) {
  worker_->ask(wire::SettleStartRequest{guest, process});
}

void KeeperClient::unlist(GuestId guest) { worker_->ask(wire::UnlistRequest{guest}); }

void KeeperClient::extend(Instant stamp, std::vector<HostId> unasked) {
  worker_->ask(wire::ExtendRequest{static_cast<std::uint64_t>(stamp.since_boot.count()),
                                   std::move(unasked)});
}

}  // namespace wardom::keeper_client
