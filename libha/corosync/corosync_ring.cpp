#include "libha/corosync/corosync_ring.hpp"

#include <corosync/cpg.h>
#include <corosync/quorum.h>
#include <poll.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <utility>

#include "libha/corosync/adapter_thread.hpp"

namespace wardom {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kSendAgain{10};  // totem is busy or re-forming: no event tells its end
constexpr std::size_t kSendBatch = 64;  // messages sent between two looks at what came in
constexpr std::size_t kMaxDomainNameBytes = 100;  // CPG's limit is 128 with the prefix
constexpr std::uint32_t kMaxHostId = 2000;

// 0: not a host of ours.
HostId host_of(std::uint32_t node) {
  return node <= kMaxHostId ? HostId{static_cast<std::uint16_t>(node)} : kNoHost;
}

void insert_once(std::vector<HostId>& hosts, HostId host) {
  if (host == kNoHost) return;
  const auto at = std::lower_bound(hosts.begin(), hosts.end(), host);
  if (at == hosts.end() || *at != host) hosts.insert(at, host);
}

bool contains(const std::vector<HostId>& sorted, HostId host) {
  return std::binary_search(sorted.begin(), sorted.end(), host);
}

std::string text_of(cs_error_t error) { return cs_strerror(error); }

}  // namespace

class CorosyncRing::Impl : public std::enable_shared_from_this<CorosyncRing::Impl> {
 public:
  Impl(RingOptions options, port::RingEvents events)
      : options_(std::move(options)), events_(std::move(events)) {}

  void start() {
    thread_.start([self = shared_from_this()] { self->run(); });
  }
  void stop() { thread_.stop(kRingStopLimit); }
  bool send(std::vector<std::uint8_t> bytes);
  RingCounters counters() const;

 private:
  void run();
  bool connect(std::string* reason);
  bool connect_quorum(std::string* reason);
  std::string serve();
  bool send_waiting(std::string* reason);
  void disconnect();
  void lose(const std::string& reason);

  void on_members(const cpg_address* members, std::size_t member_count, const cpg_address* left,
                  std::size_t left_count);
  void on_message(std::uint32_t node, const void* bytes, std::size_t length);
  void on_quorum(bool quorate, std::uint64_t sequence, const std::uint32_t* nodes,
                 std::size_t count);

  static Impl& of(cpg_handle_t handle);
  static void deliver(cpg_handle_t handle, const cpg_name* group, std::uint32_t node,
                      std::uint32_t pid, void* bytes, std::size_t length);
  static void confchg(cpg_handle_t handle, const cpg_name* group, const cpg_address* members,
                      std::size_t member_count, const cpg_address* left, std::size_t left_count,
                      const cpg_address* joined, std::size_t joined_count);
  static void quorum_changed(quorum_handle_t handle, std::uint32_t quorate, quorum_ring_id ring,
                             std::uint32_t count, const std::uint32_t* nodes);
  static void nodes_changed(quorum_handle_t, quorum_ring_id, std::uint32_t, const std::uint32_t*,
                            std::uint32_t, const std::uint32_t*, std::uint32_t,
                            const std::uint32_t*) {}

  const RingOptions options_;
  const port::RingEvents events_;
  AdapterThread thread_;

  // The thread's own.
  cpg_handle_t cpg_{0};
  quorum_handle_t quorum_{0};
  int cpg_fd_{-1};
  int quorum_fd_{-1};
  bool have_cpg_{false};
  bool have_quorum_{false};
  bool send_again_{false};
  std::string last_reason_;

  mutable std::mutex mutex_;
  bool up_{false};
  std::deque<std::vector<std::uint8_t>> queue_;
  std::size_t queued_bytes_{0};
  RingCounters counters_;
};

bool CorosyncRing::Impl::send(std::vector<std::uint8_t> bytes) {
  {
    const std::lock_guard lock(mutex_);
    if (bytes.size() > port::kMaxRingMessageBytes || bytes.empty()) {
      ++counters_.refused_size;
      return false;
    }
    if (!up_) {
      ++counters_.refused_lost;
      return false;
    }
    if (queue_.size() >= port::kMaxRingQueue ||
        queued_bytes_ + bytes.size() > kMaxRingQueueBytes) {
      ++counters_.refused_full;
      return false;
    }
    queued_bytes_ += bytes.size();
    queue_.push_back(std::move(bytes));
    if (queue_.size() > 1) return true;  // the thread has been woken for the first one
  }
  thread_.wake();
  return true;
}

RingCounters CorosyncRing::Impl::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

void CorosyncRing::Impl::run() {
  milliseconds pause = kRingRetryMin;
  while (!thread_.stopping()) {
    std::string reason;
    if (connect(&reason)) {
      pause = kRingRetryMin;
      reason = serve();
    }
    disconnect();
    if (thread_.stopping()) break;
    lose(reason);
    thread_.sleep_until_woken(pause);
    pause = std::min(2 * pause, kRingRetryMax);
  }
}

bool CorosyncRing::Impl::connect(std::string* reason) {
  cpg_model_v1_data_t model{};
  model.model = CPG_MODEL_V1;
  model.cpg_deliver_fn = deliver;
  model.cpg_confchg_fn = confchg;
  auto error = cpg_model_initialize(&cpg_, CPG_MODEL_V1,
                                    reinterpret_cast<cpg_model_data_t*>(&model), this);
  if (error != CS_OK) {
    *reason = "corosync cannot be reached: " + text_of(error);
    return false;
  }
  have_cpg_ = true;
  unsigned node = 0;
  error = cpg_local_get(cpg_, &node);
  if (error == CS_OK && node != options_.self.value) {
    *reason = "corosync's nodeid is " + std::to_string(node) + ", but this host's id is " +
              std::to_string(options_.self.value) + ": make them equal in corosync.conf";
    return false;
  }
  if (error == CS_OK) error = cpg_fd_get(cpg_, &cpg_fd_);
  if (error == CS_OK) {
    cpg_name group{};
    const std::string name = "wardom." + options_.domain;
    group.length = static_cast<std::uint32_t>(name.size());
    std::memcpy(group.value, name.data(), name.size());
    error = cpg_join(cpg_, &group);
  }
  if (error != CS_OK) {
    *reason = "the domain's CPG group cannot be joined: " + text_of(error);
    return false;
  }
  if (!connect_quorum(reason)) return false;
  last_reason_.clear();
  const std::lock_guard lock(mutex_);
  up_ = true;
  ++counters_.connects;
  return true;
}

bool CorosyncRing::Impl::connect_quorum(std::string* reason) {
  quorum_model_v1_data_t model{};
  model.model = QUORUM_MODEL_V1;
  model.quorum_notify_fn = quorum_changed;
  model.nodelist_notify_fn = nodes_changed;
  std::uint32_t type = QUORUM_FREE;
  auto error =
      quorum_model_initialize(&quorum_, QUORUM_MODEL_V1,
                              reinterpret_cast<quorum_model_data_t*>(&model), &type, this);
  if (error == CS_OK) {
    have_quorum_ = true;
    if (type == QUORUM_FREE) {  // it would call every partition quorate
      *reason = "corosync has no quorum provider: corosync.conf needs quorum.provider "
                "corosync_votequorum";
      return false;
    }
    error = quorum_fd_get(quorum_, &quorum_fd_);
  }
  if (error == CS_OK) error = quorum_trackstart(quorum_, CS_TRACK_CHANGES);
  if (error == CS_OK) return true;
  *reason = "corosync's quorum service cannot be used: " + text_of(error);
  return false;
}

void CorosyncRing::Impl::disconnect() {
  {
    const std::lock_guard lock(mutex_);
    up_ = false;
    counters_.dropped_lost += queue_.size();
    queue_.clear();
    queued_bytes_ = 0;
  }
  if (have_quorum_) quorum_finalize(quorum_);
  if (have_cpg_) cpg_finalize(cpg_);
  have_quorum_ = have_cpg_ = send_again_ = false;
}

void CorosyncRing::Impl::lose(const std::string& reason) {
  if (reason == last_reason_) return;
  last_reason_ = reason;
  thread_.emit(events_.lost, port::RingLost{reason});
}

// Until the ring is lost or the adapter stops. Returns why.
std::string CorosyncRing::Impl::serve() {
  std::string reason;
  while (true) {
    pollfd waiting[3] = {{cpg_fd_, POLLIN, 0}, {quorum_fd_, POLLIN, 0},
                         {thread_.wake_fd(), POLLIN, 0}};
    const int limit = send_again_ ? static_cast<int>(kSendAgain.count()) : -1;
    if (::poll(waiting, 3, limit) < 0 && errno != EINTR) std::abort();  // our own fds are wrong
    if (waiting[2].revents != 0) thread_.drain_wake();
    if (thread_.stopping()) return "stopped";
    if (waiting[0].revents != 0) {
      // ALL: ONE and BLOCKING wait for ever.
      const auto error = cpg_dispatch(cpg_, CS_DISPATCH_ALL);
      if (error != CS_OK && error != CS_ERR_TRY_AGAIN)
        return "the connection to corosync is lost: " + text_of(error);
    }
    if (waiting[1].revents != 0) {
      const auto error = quorum_dispatch(quorum_, CS_DISPATCH_ALL);
      if (error != CS_OK && error != CS_ERR_TRY_AGAIN)
        return "the connection to corosync is lost: " + text_of(error);
    }
    if (!send_waiting(&reason)) return reason;
  }
}

bool CorosyncRing::Impl::send_waiting(std::string* reason) {
  send_again_ = false;
  for (std::size_t i = 0; i < kSendBatch; ++i) {
    std::unique_lock lock(mutex_);
    if (queue_.empty()) return true;
    auto& bytes = queue_.front();  // a deque: stays in place while others append
    lock.unlock();
    iovec part{bytes.data(), bytes.size()};
    const auto error = cpg_mcast_joined(cpg_, CPG_TYPE_AGREED, &part, 1);
    if (error == CS_ERR_TRY_AGAIN) {
      send_again_ = true;
      return true;
    }
    if (error != CS_OK) {
      *reason = "the connection to corosync is lost: " + text_of(error);
      return false;
    }
    lock.lock();
    queued_bytes_ -= bytes.size();
    queue_.pop_front();
    ++counters_.sent;
  }
  thread_.wake();  // more may wait: go on after a look at what came in
  return true;
}

void CorosyncRing::Impl::on_members(const cpg_address* members, std::size_t member_count,
                                    const cpg_address* left, std::size_t left_count) {
  port::RingMembers now;
  for (std::size_t i = 0; i < member_count; ++i)
    insert_once(now.daemons, host_of(members[i].nodeid));
  for (std::size_t i = 0; i < left_count; ++i) {
    const HostId host = host_of(left[i].nodeid);
    if (contains(now.daemons, host)) continue;  // a successor of that process is in the group
    insert_once(left[i].reason == CPG_REASON_NODEDOWN ? now.gone_host : now.gone_process, host);
  }
  thread_.emit(events_.members, std::move(now));
}

void CorosyncRing::Impl::on_message(std::uint32_t node, const void* bytes, std::size_t length) {
  const HostId from = host_of(node);
  const bool ours = from != kNoHost && length <= port::kMaxRingMessageBytes;
  {
    const std::lock_guard lock(mutex_);
    ++(ours ? counters_.received : counters_.dropped_foreign);
  }
  if (!ours) return;
  const auto* first = static_cast<const std::uint8_t*>(bytes);
  thread_.emit(events_.message, port::RingMessage{from, {first, first + length}});
}

void CorosyncRing::Impl::on_quorum(bool quorate, std::uint64_t sequence,
                                   const std::uint32_t* nodes, std::size_t count) {
  port::RingQuorum now{quorate, sequence, {}};
  for (std::size_t i = 0; i < count; ++i) insert_once(now.nodes, host_of(nodes[i]));
  thread_.emit(events_.quorum, std::move(now));
}

CorosyncRing::Impl& CorosyncRing::Impl::of(cpg_handle_t handle) {
  void* context = nullptr;
  cpg_context_get(handle, &context);
  return *static_cast<Impl*>(context);
}

void CorosyncRing::Impl::deliver(cpg_handle_t handle, const cpg_name*, std::uint32_t node,
                                 std::uint32_t, void* bytes, std::size_t length) {
  of(handle).on_message(node, bytes, length);
}

void CorosyncRing::Impl::confchg(cpg_handle_t handle, const cpg_name*, const cpg_address* members,
                                 std::size_t member_count, const cpg_address* left,
                                 std::size_t left_count, const cpg_address*, std::size_t) {
  of(handle).on_members(members, member_count, left, left_count);
}

void CorosyncRing::Impl::quorum_changed(quorum_handle_t handle, std::uint32_t quorate,
                                        quorum_ring_id ring, std::uint32_t count,
                                        const std::uint32_t* nodes) {
  const void* context = nullptr;
  quorum_context_get(handle, &context);
  // libquorum hands the context out as const; it is the pointer that we gave.
  static_cast<Impl*>(const_cast<void*>(context))->on_quorum(quorate != 0, ring.seq, nodes, count);
}

Result<std::unique_ptr<CorosyncRing>> CorosyncRing::create(RingOptions options,
                                                           port::RingEvents events) {
  if (options.domain.empty() || options.domain.size() > kMaxDomainNameBytes)
    return failure("the detection domain's name must have 1 to 100 bytes");
  if (options.self == kNoHost || options.self.value > kMaxHostId)
    return failure("the host's id must be between 1 and 2000");
  auto impl = std::make_shared<Impl>(std::move(options), std::move(events));
  impl->start();
  return std::unique_ptr<CorosyncRing>(new CorosyncRing(std::move(impl)));
}

CorosyncRing::CorosyncRing(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
CorosyncRing::~CorosyncRing() { impl_->stop(); }
bool CorosyncRing::send(std::vector<std::uint8_t> bytes) { return impl_->send(std::move(bytes)); }
RingCounters CorosyncRing::counters() const { return impl_->counters(); }

}  // namespace wardom
