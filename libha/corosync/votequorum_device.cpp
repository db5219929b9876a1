#include "libha/corosync/votequorum_device.hpp"

#include <corosync/cmap.h>
#include <corosync/votequorum.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "libha/corosync/adapter_thread.hpp"

namespace wardom {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t kMaxHostId = 2000;
constexpr const char* kReloading = "config.reload_in_progress";
constexpr const char* kPrefixes[] = {"quorum.", "nodelist.node."};
constexpr const char* kModel = "quorum.device.model";
// A process that has closed its sockets ends soon.
constexpr milliseconds kEnds{500};
constexpr std::size_t kMaxVotesWaiting = 64;

// Only the keys that matter here, as text.
using Settings = std::map<std::string, std::string>;

bool matters(const std::string& key) {
  static constexpr const char* kNodeId = ".nodeid";
  return key == "quorum.device.model" || key == "quorum.device.timeout" ||
         key == "quorum.device.sync_timeout" || key == "quorum.device.votes" ||
         key == "quorum.wait_for_all" ||
         (key.starts_with("nodelist.node.") && key.ends_with(kNodeId));
}

// nullopt: a type that none of these keys has.
std::optional<std::string> text_of(cmap_value_types_t type, const void* data, std::size_t length) {
  if (type == CMAP_VALUETYPE_UINT32 && length == sizeof(std::uint32_t)) {
    std::uint32_t number = 0;
    std::memcpy(&number, data, sizeof number);
    return std::to_string(number);
  }
  if (type == CMAP_VALUETYPE_UINT8 && length == sizeof(std::uint8_t)) {
    std::uint8_t number = 0;
    std::memcpy(&number, data, sizeof number);
    return std::to_string(number);
  }
  if (type == CMAP_VALUETYPE_STRING) {
    const auto* text = static_cast<const char*>(data);
    return std::string(text, strnlen(text, length));
  }
  return std::nullopt;
}

milliseconds time_of(const Settings& settings, const char* key, unsigned otherwise) {
  const auto found = settings.find(key);
  return milliseconds{found == settings.end()
                          ? otherwise
                          : std::strtoul(found->second.c_str(), nullptr, 10)};
}

core::DeviceSet device_of(const Settings& settings) {
  core::DeviceSet device;
  device.timeout =
      time_of(settings, "quorum.device.timeout", VOTEQUORUM_QDEVICE_DEFAULT_TIMEOUT);
  device.sync_timeout =
      time_of(settings, "quorum.device.sync_timeout", VOTEQUORUM_QDEVICE_DEFAULT_SYNC_TIMEOUT);
  if (const auto votes = settings.find("quorum.device.votes"); votes != settings.end())
    device.votes = static_cast<std::uint32_t>(std::strtoul(votes->second.c_str(), nullptr, 10));
  if (const auto waits = settings.find("quorum.wait_for_all"); waits != settings.end())
    device.wait_for_all = waits->second != "0";
  for (const auto& [key, value] : settings) {
    if (!key.starts_with("nodelist.")) continue;
    // A node id that is no host's makes the core refuse: as any other number that is none.
    const auto node = std::strtoul(value.c_str(), nullptr, 10);
    device.nodes.push_back(node <= kMaxHostId ? HostId{static_cast<std::uint16_t>(node)}
                                              : kNoHost);
  }
  std::sort(device.nodes.begin(), device.nodes.end());
  return device;
}

std::string model_of(const Settings& settings) {
  const auto found = settings.find(kModel);
  return found == settings.end() ? std::string{} : found->second;
}

std::string words_of(cs_error_t error) { return cs_strerror(error); }

// The process at the other end of a connection; -1: not known. To be closed.
int process_behind(int connection) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || peer.pid <= 0)
    return -1;
  return static_cast<int>(::syscall(SYS_pidfd_open, peer.pid, 0));
}

bool has_ended(int process) {
  pollfd waiting{process, POLLIN, 0};
  return process >= 0 && ::poll(&waiting, 1, static_cast<int>(kEnds.count())) == 1;
}

Instant clock_now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC_RAW, &time);
  return {std::chrono::seconds{time.tv_sec} + std::chrono::nanoseconds{time.tv_nsec}};
}

}  // namespace

class VotequorumDevice::Impl : public std::enable_shared_from_this<VotequorumDevice::Impl> {
 public:
  explicit Impl(port::QuorumDeviceEvents events) : events_(std::move(events)) {}
  void start() {
    thread_.start([self = shared_from_this()] { self->run(); });
  }
  void stop() { thread_.stop(kDeviceStopLimit); }
  void vote(const core::Vote& vote);

 private:
  void run();
  bool connect(std::string* reason);
  std::string serve();
  bool follow_settings(std::string* reason);
  bool register_device(std::string* reason);
  void read_settings(const char* prefix);
  void unregistered();
  bool let_go();
  void disconnect();
  void lose(const std::string& reason, bool forgotten = false);
  bool give(const core::Vote& vote, std::string* reason);
  bool give_waiting(std::string* reason);
  void on_key(const char* key, const cmap_notify_value& value);
  void on_ring(const votequorum_ring_id_t& ring, const std::uint32_t* nodes, std::size_t count);

  static Impl& of(votequorum_handle_t handle) {
    void* context = nullptr;
    votequorum_context_get(handle, &context);
    return *static_cast<Impl*>(context);
  }
  static void ring_formed(votequorum_handle_t handle, std::uint64_t, votequorum_ring_id_t ring,
                          std::uint32_t count, std::uint32_t* nodes) {
    of(handle).on_ring(ring, nodes, count);
  }
  // Without them votequorum calls nothing at all.
  static void quorum_changed(votequorum_handle_t, std::uint64_t, std::uint32_t, std::uint32_t,
                             votequorum_node_t*) {}
  static void votes_changed(votequorum_handle_t, std::uint64_t, std::uint32_t) {}
  static void key_changed(cmap_handle_t, cmap_track_handle_t, std::int32_t, const char* key,
                          cmap_notify_value value, cmap_notify_value, void* self) {
    static_cast<Impl*>(self)->on_key(key, value);
  }

  const port::QuorumDeviceEvents events_;
  AdapterThread thread_;

  // The thread's own.
  cmap_handle_t cmap_{0};
  votequorum_handle_t votes_{0};
  int cmap_fd_{-1};
  int votes_fd_{-1};
  int corosync_{-1};         // the process that the device is registered with
  bool have_cmap_{false};
  bool have_votes_{false};
  bool registered_{false};
  bool first_ring_{false};   // that of the registration comes next: nothing waits for its vote
  Settings settings_;
  bool reloading_{false};
  core::DeviceSet told_;
  std::string last_reason_;

  std::mutex mutex_;
  std::deque<core::Vote> waiting_;
};

void VotequorumDevice::Impl::vote(const core::Vote& vote) {
  {
    const std::lock_guard lock(mutex_);
    // A corosync that does not answer: the newest votes are what counts once it does.
    if (waiting_.size() >= kMaxVotesWaiting) waiting_.pop_front();
    waiting_.push_back(vote);
  }
  thread_.wake();
}

void VotequorumDevice::Impl::run() {
  while (!thread_.stopping()) {
    std::string reason;
    if (connect(&reason)) reason = serve();
    // With corosync its votes have ended. A connection may break without that.
    const bool ended = !thread_.stopping() && has_ended(corosync_);
    disconnect();
    if (thread_.stopping()) break;
    lose(reason, ended);
    give_waiting(&reason);  // each is answered
    thread_.sleep_until_woken(kDeviceRetry);
  }
}

bool VotequorumDevice::Impl::connect(std::string* reason) {
  auto error = cmap_initialize(&cmap_);
  have_cmap_ = error == CS_OK;
  if (error == CS_OK) error = cmap_fd_get(cmap_, &cmap_fd_);
  cmap_track_handle_t track = 0;
  constexpr std::int32_t kAll = CMAP_TRACK_ADD | CMAP_TRACK_DELETE | CMAP_TRACK_MODIFY;
  if (error == CS_OK) error = cmap_track_add(cmap_, kReloading, kAll, key_changed, this, &track);
  for (const char* prefix : kPrefixes)
    if (error == CS_OK)
      error = cmap_track_add(cmap_, prefix, kAll | CMAP_TRACK_PREFIX, key_changed, this, &track);
  if (error != CS_OK) {
    *reason = "corosync cannot be reached: " + words_of(error);
    return false;
  }
  settings_.clear();
  std::uint8_t reloading = 0;
  reloading_ = cmap_get_uint8(cmap_, kReloading, &reloading) == CS_OK && reloading != 0;
  for (const char* prefix : kPrefixes) read_settings(prefix);
  return true;
}

void VotequorumDevice::Impl::read_settings(const char* prefix) {
  cmap_iter_handle_t iterator = 0;
  if (cmap_iter_init(cmap_, prefix, &iterator) != CS_OK) return;
  char key[CMAP_KEYNAME_MAXLEN + 1];
  std::size_t length = 0;
  cmap_value_types_t type{};
  while (cmap_iter_next(cmap_, iterator, key, &length, &type) == CS_OK) {
    if (!matters(key)) continue;
    std::vector<char> value(length);
    if (cmap_get(cmap_, key, value.data(), &length, &type) != CS_OK) continue;
    if (auto text = text_of(type, value.data(), length)) settings_[key] = std::move(*text);
  }
  cmap_iter_finalize(cmap_, iterator);
}

void VotequorumDevice::Impl::on_key(const char* key, const cmap_notify_value& value) {
  if (std::strcmp(key, kReloading) == 0) {
    std::uint8_t flag = 0;
    if (value.type == CMAP_VALUETYPE_UINT8 && value.len == 1) std::memcpy(&flag, value.data, 1);
    reloading_ = flag != 0;
    return;
  }
  if (!matters(key)) return;
  const auto text = value.data == nullptr ? std::nullopt
                                          : text_of(value.type, value.data, value.len);
  if (text)
    settings_[key] = *text;
  else
    settings_.erase(key);
}

// Until the connection is lost or the adapter stops. Returns why.
std::string VotequorumDevice::Impl::serve() {
  std::string reason;
  while (true) {
    if (!reloading_ && !follow_settings(&reason)) return reason;
    const bool again = model_of(settings_) == kDeviceName && !registered_;
    pollfd waiting[3] = {{thread_.wake_fd(), POLLIN, 0},
                         {cmap_fd_, POLLIN, 0},
                         {votes_fd_, POLLIN, 0}};
    const int limit = again ? static_cast<int>(kDeviceRetry.count()) : -1;
    if (::poll(waiting, have_votes_ ? 3 : 2, limit) < 0 && errno != EINTR) std::abort();
    if (waiting[0].revents != 0) thread_.drain_wake();
    if (thread_.stopping()) return "stopped";
    // ALL: ONE and BLOCKING wait for ever. The rings first: a vote may be for a ring that is past.
    auto error = CS_OK;
    if (have_votes_ && waiting[2].revents != 0)
      error = votequorum_dispatch(votes_, CS_DISPATCH_ALL);
    if ((error == CS_OK || error == CS_ERR_TRY_AGAIN) && waiting[1].revents != 0)
      error = cmap_dispatch(cmap_, CS_DISPATCH_ALL);
    if (error != CS_OK && error != CS_ERR_TRY_AGAIN)
      return "the connection to corosync is lost: " + words_of(error);
    if (!give_waiting(&reason)) return reason;
  }
}

// Registered where corosync.conf says so, and only there. False: the connection is lost.
bool VotequorumDevice::Impl::follow_settings(std::string* reason) {
  const auto model = model_of(settings_);
  if (model != kDeviceName) {
    const bool gone = let_go();
    lose(model.empty() ? "corosync.conf names no quorum device"
                       : "corosync.conf names another quorum device, \"" + model + "\"",
         gone);
    return true;
  }
  if (!registered_) {
    std::string why;
    if (register_device(&why)) return true;
    unregistered();
    lose(why);
    return true;
  }
  auto device = device_of(settings_);
  if (device == told_) return true;
  told_ = device;
  thread_.emit(events_.set, std::move(device));
  reason->clear();
  return true;
}

bool VotequorumDevice::Impl::register_device(std::string* reason) {
  votequorum_callbacks_t callbacks{};
  callbacks.votequorum_quorum_notify_fn = quorum_changed;
  callbacks.votequorum_expectedvotes_notify_fn = votes_changed;
  callbacks.votequorum_nodelist_notify_fn = ring_formed;
  auto error = votequorum_initialize(&votes_, &callbacks);
  have_votes_ = error == CS_OK;
  if (error == CS_OK) error = votequorum_context_set(votes_, this);
  if (error == CS_OK) error = votequorum_fd_get(votes_, &votes_fd_);
  if (error == CS_OK) error = votequorum_qdevice_register(votes_, kDeviceName);
  if (error == CS_OK) {
    registered_ = first_ring_ = true;
    corosync_ = process_behind(votes_fd_);
    last_reason_.clear();
    told_ = device_of(settings_);
    thread_.emit(events_.set, core::DeviceSet{told_});
    error = votequorum_trackstart(votes_, 0, CS_TRACK_CHANGES);
  }
  if (error == CS_OK) return true;
  *reason = "the quorum device cannot be registered: ";
  if (error == CS_ERR_EXIST)
    *reason += "another one is; stop corosync-qdevice, or run `corosync-quorumtool -f`";
  else if (error == CS_ERR_ACCESS)
    *reason += "corosync.conf sets two_node, last_man_standing, auto_tie_breaker or "
               "allow_downscale beside it; take them out";
  else
    *reason += words_of(error);
  return false;
}

void VotequorumDevice::Impl::unregistered() {
  if (have_votes_) votequorum_finalize(votes_);
  have_votes_ = registered_ = false;
  if (corosync_ >= 0) ::close(corosync_);
  corosync_ = -1;
}

// Ends the registration, and with it the vote: corosync.conf names this device no more. False:
// there was none, or corosync did not say that it has ended.
bool VotequorumDevice::Impl::let_go() {
  const bool gone =
      registered_ && votequorum_qdevice_unregister(votes_, kDeviceName) == CS_OK;
  unregistered();
  return gone;
}

void VotequorumDevice::Impl::disconnect() {
  unregistered();
  if (have_cmap_) cmap_finalize(cmap_);
  have_cmap_ = false;
}

void VotequorumDevice::Impl::lose(const std::string& reason, bool forgotten) {
  if (reason == last_reason_ && !forgotten) return;
  last_reason_ = reason;
  thread_.emit(events_.lost, core::DeviceLost{reason, forgotten});
}

void VotequorumDevice::Impl::on_ring(const votequorum_ring_id_t& ring, const std::uint32_t* nodes,
                                     std::size_t count) {
  core::RingFormed formed{{ring.nodeid, ring.seq}, {}, !std::exchange(first_ring_, false)};
  for (std::size_t i = 0; i < count; ++i)
    if (nodes[i] <= kMaxHostId)
      formed.nodes.push_back(HostId{static_cast<std::uint16_t>(nodes[i])});
  std::sort(formed.nodes.begin(), formed.nodes.end());
  thread_.emit(events_.ring, std::move(formed));
}

bool VotequorumDevice::Impl::give_waiting(std::string* reason) {
  while (true) {
    core::Vote vote;
    {
      const std::lock_guard lock(mutex_);
      if (waiting_.empty()) return true;
      vote = waiting_.front();
      waiting_.pop_front();
    }
    if (!give(vote, reason)) return false;
  }
}

// False: the connection is lost.
bool VotequorumDevice::Impl::give(const core::Vote& vote, std::string* reason) {
  core::VoteTaken answer{vote.ticket, false, ""};
  bool lives = true;
  if (!registered_) {
    answer.error = "the device is not registered";
  } else if (vote.cast && clock_now() >= vote.until) {
    answer.error = "it came too late";
  } else {
    const auto error = votequorum_qdevice_poll(
        votes_, kDeviceName, vote.cast ? 1 : 0,
        votequorum_ring_id_t{vote.ring.node, vote.ring.sequence});
    answer.taken = error == CS_OK;
    if (error != CS_OK) answer.error = words_of(error);
    // Anybody may take the registration away (`corosync-quorumtool -f`): it is made anew.
    if (error == CS_ERR_NOT_EXIST) unregistered();
    lives = error == CS_OK || error == CS_ERR_MESSAGE_ERROR || error == CS_ERR_TRY_AGAIN ||
            error == CS_ERR_NOT_EXIST;
    if (!lives) *reason = "the connection to corosync is lost: " + words_of(error);
  }
  thread_.emit(events_.taken, std::move(answer));
  return lives;
}

VotequorumDevice::VotequorumDevice(port::QuorumDeviceEvents events)
    : impl_(std::make_shared<Impl>(std::move(events))) {
  impl_->start();
}
VotequorumDevice::~VotequorumDevice() { impl_->stop(); }
void VotequorumDevice::vote(const core::Vote& vote) { impl_->vote(vote); }

}  // namespace wardom
