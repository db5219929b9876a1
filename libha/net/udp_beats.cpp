#include "libha/net/udp_beats.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <chrono>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

namespace wardom {
namespace {

constexpr int kCs6 = IPTOS_CLASS_CS6;  // "network control", RFC 4594 section 3.1
constexpr int kPriority = 6;           // the highest that needs no capability, socket(7)
constexpr int kSocketErrorPauseMs = 10;  // an error that repeats must not take a core

constexpr std::array<Link, kLinks> kAllLinks{Link::mgmt, Link::storage};
const char* name_of(Link link) { return link == Link::mgmt ? "mgmt" : "storage"; }
std::size_t index_of(Link link) { return static_cast<std::size_t>(link); }

// A socket address of either family.
struct Address {
  sockaddr_storage storage{};
  socklen_t length{0};
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// What is compared of a source: the address without its port. The scope counts only where the same
// address can stand on two interfaces.
struct Source {
  std::array<std::uint8_t, 16> bytes{};
  std::uint32_t scope{0};
  sa_family_t family{AF_UNSPEC};
  friend auto operator<=>(const Source&, const Source&) = default;
};

Source source_of(const sockaddr_storage& address) {
  Source source;
  source.family = address.ss_family;
  if (address.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof v4);
    std::memcpy(source.bytes.data(), &v4.sin_addr, sizeof v4.sin_addr);
  } else if (address.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof v6);
    std::memcpy(source.bytes.data(), &v6.sin6_addr, sizeof v6.sin6_addr);
    if (IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr)) source.scope = v6.sin6_scope_id;
  }
  return source;
}

Result<Address> parse(const std::string& text, std::uint16_t port, const std::string& whose) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;  // never a look-up
  addrinfo* found = nullptr;
  const int error = getaddrinfo(text.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0 || found == nullptr)
    return failure(whose + ": \"" + text + "\" is not a numeric IP address");
  Address address;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.length = found->ai_addrlen;
  freeaddrinfo(found);
  return address;
}

class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int fd() const { return fd_; }
  bool set(int level, int option, int value) const {
    return setsockopt(fd_, level, option, &value, sizeof value) == 0;
  }

 private:
  int fd_{-1};
};

Result<Socket> open_socket(const Address& own, const std::string& whose) {
  const int family = own.storage.ss_family;
  Socket made(::socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const auto failed = [&](const char* what) {
    return failure(whose + ": " + what + ": " + std::strerror(errno));
  };
  if (made.fd() < 0) return failed("no UDP socket");
  const bool v6 = family == AF_INET6;
  // The class first: setting it resets the socket's priority (ip(7)).
  if (v6) {
    made.set(IPPROTO_IPV6, IPV6_V6ONLY, 1);
    made.set(IPPROTO_IPV6, IPV6_TCLASS, kCs6);
    made.set(IPPROTO_IPV6, IPV6_FREEBIND, 1);
  } else {
    made.set(IPPROTO_IP, IP_TOS, kCs6);
    made.set(IPPROTO_IP, IP_FREEBIND, 1);
  }
  made.set(SOL_SOCKET, SO_PRIORITY, kPriority);
  // No SO_REUSEADDR: two daemons that share the port would each get half of the beats.
  if (::bind(made.fd(), own.get(), own.length) != 0) return failed("cannot bind the beat port");
  return made;
}

struct Tally {
  std::atomic<std::uint64_t> sent{0}, send_failed{0}, received{0}, dropped_source{0},
      dropped_size{0}, receive_failed{0};
  std::atomic<int> last_send_error{0};
};

}  // namespace

class UdpBeats::Impl {
 public:
  explicit Impl(port::BeatEvents events) : events_(std::move(events)) {}
  ~Impl();
  Result<void> set_up(const BeatOptions& options);
  void start();
  void send(HostId to, Link link, std::span<const std::uint8_t> bytes);
  BeatCounters counters(Link link) const;
  std::vector<BeatStranger> strangers(std::chrono::milliseconds within) const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Way {
    Socket socket;
    sa_family_t family{AF_UNSPEC};
    std::map<HostId, Address> peers;
    std::vector<Source> sources;  // of the peers, sorted
    Tally tally;
  };
  // Buffers for one recvmmsg(2). Long datagrams are recognised by MSG_TRUNC.
  struct Batch {
    std::array<std::array<std::uint8_t, port::kMaxDatagramBytes>, kBeatBatch> bytes;
    std::array<sockaddr_storage, kBeatBatch> from;
    std::array<iovec, kBeatBatch> parts;
    std::array<mmsghdr, kBeatBatch> headers;
    Batch();
    void reset();
  };

  Result<void> add_peer(const BeatPeer& peer, std::uint16_t port);
  void run();
  bool receive(Link link, Batch& batch);
  void take(Link link, const mmsghdr& header, const std::uint8_t* bytes,
            const sockaddr_storage& from);
  void note_stranger(Link link, const sockaddr_storage& from);
  Way& way(Link link) { return ways_[index_of(link)]; }

  const port::BeatEvents events_;
  std::array<Way, kLinks> ways_;  // but for the tallies, fixed before the thread starts
  const int wake_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::thread thread_;
  mutable std::mutex mutex_;
  std::map<std::pair<Link, Source>, std::pair<std::string, Clock::time_point>> strangers_;
};

UdpBeats::Impl::Batch::Batch() {
  for (std::size_t i = 0; i < kBeatBatch; ++i) parts[i] = {bytes[i].data(), bytes[i].size()};
  reset();
}

void UdpBeats::Impl::Batch::reset() {
  for (std::size_t i = 0; i < kBeatBatch; ++i) {
    headers[i] = {};
    headers[i].msg_hdr.msg_name = &from[i];
    headers[i].msg_hdr.msg_namelen = sizeof from[i];
    headers[i].msg_hdr.msg_iov = &parts[i];
    headers[i].msg_hdr.msg_iovlen = 1;
  }
}

UdpBeats::Impl::~Impl() {
  if (thread_.joinable()) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake_, &one, sizeof one);
    thread_.join();
  }
  ::close(wake_);
}

Result<void> UdpBeats::Impl::set_up(const BeatOptions& options) {
  if (options.port == 0) return failure("the beat port must not be 0");
  if (options.peers.size() > kMaxDomainHosts) return failure("too many peers in one domain");
  for (const Link link : kAllLinks) {
    const std::string whose = std::string("own address on link ") + name_of(link);
    auto own = parse(options.own[index_of(link)], options.port, whose);
    if (!own) return failure(own.error().message);
    auto made = open_socket(own.value(), whose + " (" + options.own[index_of(link)] + ", port " +
                                             std::to_string(options.port) + ")");
    if (!made) return failure(made.error().message);
    way(link).socket = std::move(made.value());
    way(link).family = own.value().storage.ss_family;
  }
  for (const auto& peer : options.peers) {
    auto added = add_peer(peer, options.port);
    if (!added) return added;
  }
  return success();
}

Result<void> UdpBeats::Impl::add_peer(const BeatPeer& peer, std::uint16_t port) {
  for (const Link link : kAllLinks) {
    const std::string whose = "address of host " + std::to_string(peer.host.value) + " on link " +
                              name_of(link);
    auto address = parse(peer.addresses[index_of(link)], port, whose);
    if (!address) return failure(address.error().message);
    auto& mine = way(link);
    if (!mine.peers.emplace(peer.host, address.value()).second)
      return failure("host " + std::to_string(peer.host.value) + " stands twice among the peers");
    if (address.value().storage.ss_family != mine.family)
      return failure(whose + ": the own address on this link is of the other IP version");
    const Source source = source_of(address.value().storage);
    const auto at = std::lower_bound(mine.sources.begin(), mine.sources.end(), source);
    if (at != mine.sources.end() && *at == source)
      return failure(whose + ": another host has the same address");
    mine.sources.insert(at, source);
  }
  return success();
}

void UdpBeats::Impl::start() {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are the main thread's
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void UdpBeats::Impl::send(HostId to, Link link, std::span<const std::uint8_t> bytes) {
  auto& mine = way(link);
  const auto peer = mine.peers.find(to);
  int error = 0;
  if (peer == mine.peers.end()) {
    error = EDESTADDRREQ;
  } else if (bytes.empty() || bytes.size() > port::kMaxDatagramBytes) {
    error = EMSGSIZE;
  } else if (::sendto(mine.socket.fd(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                      peer->second.get(), peer->second.length) < 0) {
    error = errno;
  }
  if (error == 0) {
    ++mine.tally.sent;
  } else {
    ++mine.tally.send_failed;
    mine.tally.last_send_error = error;
  }
}

BeatCounters UdpBeats::Impl::counters(Link link) const {
  const Tally& tally = ways_[index_of(link)].tally;
  BeatCounters now;
  now.sent = tally.sent;
  now.send_failed = tally.send_failed;
  now.last_send_error = tally.last_send_error;
  now.received = tally.received;
  now.dropped_source = tally.dropped_source;
  now.dropped_size = tally.dropped_size;
  now.receive_failed = tally.receive_failed;
  return now;
}

void UdpBeats::Impl::run() {
  const auto batch = std::make_unique<Batch>();
  while (true) {
    pollfd waiting[kLinks + 1] = {};
    for (std::size_t i = 0; i < kLinks; ++i) waiting[i] = {ways_[i].socket.fd(), POLLIN, 0};
    waiting[kLinks] = {wake_, POLLIN, 0};
    if (::poll(waiting, kLinks + 1, -1) < 0 && errno != EINTR) std::abort();  // our own fds
    if (waiting[kLinks].revents != 0) return;
    bool failed = false;
    for (std::size_t i = 0; i < kLinks; ++i)
      if (waiting[i].revents != 0 && !receive(kAllLinks[i], *batch)) failed = true;
    if (failed && ::poll(&waiting[kLinks], 1, kSocketErrorPauseMs) > 0) return;
  }
}

// One batch. false: the socket reported an error, which reading has cleared.
bool UdpBeats::Impl::receive(Link link, Batch& batch) {
  batch.reset();
  const int count = ::recvmmsg(way(link).socket.fd(), batch.headers.data(), kBeatBatch,
                               MSG_DONTWAIT, nullptr);
  if (count < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return true;
    ++way(link).tally.receive_failed;
    return false;
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i)
    take(link, batch.headers[i], batch.bytes[i].data(), batch.from[i]);
  return true;
}

void UdpBeats::Impl::take(Link link, const mmsghdr& header, const std::uint8_t* bytes,
                          const sockaddr_storage& from) {
  auto& mine = way(link);
  if (!std::binary_search(mine.sources.begin(), mine.sources.end(), source_of(from))) {
    ++mine.tally.dropped_source;
    return note_stranger(link, from);
  }
  if (header.msg_len == 0 || (header.msg_hdr.msg_flags & MSG_TRUNC) != 0) {
    ++mine.tally.dropped_size;
    return;
  }
  ++mine.tally.received;
  if (events_.datagram) events_.datagram({link, {bytes, bytes + header.msg_len}});
}

// The one that has been silent for longest makes room for a new one, if that is long enough for
// nobody to ask about it.
void UdpBeats::Impl::note_stranger(Link link, const sockaddr_storage& from) {
  constexpr std::chrono::seconds kForgotten{60};
  const auto now = Clock::now();
  const std::pair key{link, source_of(from)};
  const std::lock_guard lock(mutex_);
  if (const auto known = strangers_.find(key); known != strangers_.end()) {
    known->second.second = now;
    return;
  }
  std::erase_if(strangers_, [&](const auto& one) { return now - one.second.second > kForgotten; });
  if (strangers_.size() >= kBeatStrangers) return;
  char text[NI_MAXHOST] = {};
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&from), sizeof from, text, sizeof text,
                    nullptr, 0, NI_NUMERICHOST) == 0)
    strangers_[key] = {text, now};
}

std::vector<BeatStranger> UdpBeats::Impl::strangers(std::chrono::milliseconds within) const {
  const auto since = Clock::now() - within;
  std::vector<BeatStranger> found;
  const std::lock_guard lock(mutex_);
  for (const auto& [key, seen] : strangers_)
    if (seen.second >= since) found.push_back({key.first, seen.first});
  return found;
}

Result<std::unique_ptr<UdpBeats>> UdpBeats::create(const BeatOptions& options,
                                                   port::BeatEvents events) {
  auto impl = std::make_unique<Impl>(std::move(events));
  auto ready = impl->set_up(options);
  if (!ready) return failure(ready.error().message);
  impl->start();
  return std::unique_ptr<UdpBeats>(new UdpBeats(std::move(impl)));
}

UdpBeats::UdpBeats(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
UdpBeats::~UdpBeats() = default;
void UdpBeats::send(HostId to, Link link, std::span<const std::uint8_t> bytes) {
  impl_->send(to, link, bytes);
}
BeatCounters UdpBeats::counters(Link link) const { return impl_->counters(link); }
std::vector<BeatStranger> UdpBeats::strangers(std::chrono::milliseconds within) const {
  return impl_->strangers(within);
}

}  // namespace wardom
