// UdpBeats over real sockets: loopback addresses, and networks of namespaces where links go down.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <mutex>

#include "libha/net/udp_beats.hpp"
#include "net_hosts.hpp"

namespace {

using namespace wardom;
using namespace std::chrono_literals;
using sandbox::Clock;
using sandbox::eventually;

using Bytes = std::vector<std::uint8_t>;

Bytes text(const std::string& words) { return {words.begin(), words.end()}; }

// A bare UDP socket on a loopback address.
class Bare {
 public:
  explicit Bare(const std::string& address, std::uint16_t port = 0) {
    fd_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const sockaddr_in own = at(address, port);
    bound_ = bind(fd_, reinterpret_cast<const sockaddr*>(&own), sizeof own) == 0;
  }
  ~Bare() { close(fd_); }
  Bare(const Bare&) = delete;
  Bare& operator=(const Bare&) = delete;
  bool bound() const { return bound_; }
  int fd() const { return fd_; }
  std::uint16_t port() const {
    sockaddr_in own{};
    socklen_t length = sizeof own;
    getsockname(fd_, reinterpret_cast<sockaddr*>(&own), &length);
    return ntohs(own.sin_port);
  }
  void send(const Bytes& bytes, const std::string& address, std::uint16_t port) const {
    const sockaddr_in to = at(address, port);
    sendto(fd_, bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
  }

 private:
  static sockaddr_in at(const std::string& address, std::uint16_t port) {
    sockaddr_in out{};
    out.sin_family = AF_INET;
    out.sin_port = htons(port);
    inet_pton(AF_INET, address.c_str(), &out.sin_addr);
    return out;
  }
  int fd_{-1};
  bool bound_{false};
};

std::uint16_t free_port() { return Bare("127.0.0.1").port(); }

// An adapter and what it has received.
class Listener {
 public:
  Listener() = default;
  ~Listener() { adapter.reset(); }  // its thread fills what is below
  port::BeatEvents events() {
    return {[this](port::Datagram d) {
      const std::lock_guard lock(mutex_);
      if (keep) all_.push_back(std::move(d));
    }};
  }
  void open(const BeatOptions& options) {
    auto made = UdpBeats::create(options, events());
    if (made) adapter = std::move(made.value());
    else error = made.error().message;
  }
  std::vector<port::Datagram> all() {
    const std::lock_guard lock(mutex_);
    return all_;
  }
  bool has(std::size_t count, std::chrono::milliseconds limit = 2s) {
    return eventually([&] { return all().size() >= count; }, limit);
  }
  std::unique_ptr<UdpBeats> adapter;
  std::string error;
  bool keep{true};

 private:
  std::mutex mutex_;
  std::vector<port::Datagram> all_;
};

// Hosts 1 and 2 on loopback: 127.0.0.x is the management, 127.0.1.x the storage network.
std::string loopback(Link link, int host) {
  return (link == Link::mgmt ? "127.0.0." : "127.0.1.") + std::to_string(10 + host);
}
BeatOptions on_loopback(int self, int other, std::uint16_t port) {
  BeatOptions options;
  options.own = {loopback(Link::mgmt, self), loopback(Link::storage, self)};
  options.port = port;
  options.peers = {{HostId{static_cast<std::uint16_t>(other)},
                    {loopback(Link::mgmt, other), loopback(Link::storage, other)}}};
  return options;
}

struct Pair {
  Pair() {
    one.open(on_loopback(1, 2, port));
    two.open(on_loopback(2, 1, port));
    INFO(one.error + two.error);
    REQUIRE(one.adapter);
    REQUIRE(two.adapter);
  }
  std::uint16_t port{free_port()};
  Listener one, two;
};

constexpr HostId kOne{1}, kTwo{2};
constexpr std::uint16_t kPortInside = 5415;  // in namespaces, where nobody else has ports

bool possible(const sandbox::Hosts* hosts = nullptr) {
  std::string why;
  if (!sandbox::is_root()) why = "links that go down need root";
  else if (sandbox::find_program("ip").empty()) why = "ip is not installed (package iproute2)";
  else if (hosts != nullptr && !hosts->usable()) why = "this machine forbids namespaces";
  if (!why.empty()) sandbox::say_skipped(why);
  return why.empty();
}

// Two adapters on two hosts with two links each, in namespaces.
struct LinkedPair {
  explicit LinkedPair(bool v6 = false) : hosts(2, 2) {
    if (!hosts.usable()) return;
    for (int id : {1, 2}) {
      BeatOptions options;
      options.port = kPortInside;
      for (int link : {0, 1}) {
        if (v6)
          hosts.host(id).ip("addr add " + address(link, id, v6) + "/64 dev eth" +
                            std::to_string(link) + " nodad");
        options.own[static_cast<std::size_t>(link)] = address(link, id, v6);
      }
      options.peers = {{id == 1 ? kTwo : kOne,
                        {address(0, 3 - id, v6), address(1, 3 - id, v6)}}};
      hosts.host(id).inside([&] { (id == 1 ? one : two).open(options); });
    }
    INFO(one.error + two.error);
    REQUIRE(one.adapter);
    REQUIRE(two.adapter);
  }
  static std::string address(int link, int id, bool v6) {
    return v6 ? "fd99:" + std::to_string(link) + "::" + std::to_string(id)
              : sandbox::Hosts::address(link, id);
  }
  // Sends until a new datagram has come through on the link.
  bool passes(Link link, std::chrono::milliseconds limit = 3s) {
    const auto before = two.adapter->counters(link).received;
    return eventually(
        [&] {
          one.adapter->send(kTwo, link, text("beat"));
          return two.adapter->counters(link).received > before;
        },
        limit);
  }
  sandbox::Hosts hosts;
  Listener one, two;
};

}  // namespace

TEST_CASE("a datagram arrives on the link it was sent on", "[net]") {
  Pair pair;
  pair.one.adapter->send(kTwo, Link::mgmt, text("m"));
  pair.one.adapter->send(kTwo, Link::storage, Bytes(port::kMaxDatagramBytes, 9));
  REQUIRE(pair.two.has(2));
  for (const auto& datagram : pair.two.all())
    CHECK(datagram.bytes == (datagram.link == Link::mgmt ? text("m")
                                                         : Bytes(port::kMaxDatagramBytes, 9)));
  CHECK(pair.one.adapter->counters(Link::mgmt).sent == 1);
  CHECK(pair.two.adapter->counters(Link::mgmt).received == 1);
  CHECK(pair.two.adapter->counters(Link::storage).received == 1);
  pair.two.adapter->send(kOne, Link::mgmt, text("back"));
  CHECK(pair.one.has(1));
}

TEST_CASE("only peers on their own link are heard; sizes are held", "[net]") {
  Pair pair;
  const auto drops = [&](Link link) { return pair.two.adapter->counters(link); };
  const std::string target = loopback(Link::mgmt, 2);
  Bare("127.0.0.99").send(text("stranger"), target, pair.port);
  CHECK(eventually([&] { return drops(Link::mgmt).dropped_source == 1; }, 2s));
  const auto strangers = pair.two.adapter->strangers(5s);
  REQUIRE(strangers.size() == 1);
  CHECK(strangers[0].link == Link::mgmt);
  CHECK(strangers[0].address == "127.0.0.99");
  // The peer's storage address is nobody on the management link.
  Bare(loopback(Link::storage, 1)).send(text("crossed"), target, pair.port);
  CHECK(eventually([&] { return drops(Link::mgmt).dropped_source == 2; }, 2s));
  const Bare peer(loopback(Link::mgmt, 1));
  peer.send(Bytes(port::kMaxDatagramBytes + 1, 1), target, pair.port);
  peer.send({}, target, pair.port);
  CHECK(eventually([&] { return drops(Link::mgmt).dropped_size == 2; }, 2s));
  CHECK(drops(Link::mgmt).received == 0);
  CHECK(drops(Link::storage).dropped_source == 0);
  CHECK(pair.two.all().empty());
  peer.send(text("other port"), target, pair.port);  // the address counts, not the port
  CHECK(pair.two.has(1));
}

TEST_CASE("what cannot be sent is counted", "[net]") {
  Pair pair;
  pair.one.adapter->send(HostId{77}, Link::mgmt, text("nobody"));
  CHECK(pair.one.adapter->counters(Link::mgmt).last_send_error == EDESTADDRREQ);
  pair.one.adapter->send(kTwo, Link::mgmt, Bytes(port::kMaxDatagramBytes + 1, 1));
  CHECK(pair.one.adapter->counters(Link::mgmt).last_send_error == EMSGSIZE);
  CHECK(pair.one.adapter->counters(Link::mgmt).send_failed == 2);
  CHECK(pair.one.adapter->counters(Link::mgmt).sent == 0);
  // A peer whose port is closed answers with ICMP; beats go on being sent.
  pair.two.adapter.reset();
  for (int i = 0; i < 5; ++i) pair.one.adapter->send(kTwo, Link::storage, text("gone"));
  CHECK(pair.one.adapter->counters(Link::storage).sent == 5);
}

TEST_CASE("beats carry the network-control class", "[net]") {
  const Bare peer(loopback(Link::mgmt, 2));
  const int on = 1;
  setsockopt(peer.fd(), IPPROTO_IP, IP_RECVTOS, &on, sizeof on);
  auto options = on_loopback(1, 2, peer.port());
  Listener one;
  one.open(options);
  REQUIRE(one.adapter);
  one.adapter->send(kTwo, Link::mgmt, text("beat"));
  char bytes[16], control[64];
  iovec part{bytes, sizeof bytes};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  REQUIRE(recvmsg(peer.fd(), &message, 0) == 4);
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  REQUIRE(header != nullptr);
  CHECK(*reinterpret_cast<const std::uint8_t*>(CMSG_DATA(header)) == IPTOS_CLASS_CS6);
}

TEST_CASE("wrong options are named", "[net]") {
  const std::uint16_t port = free_port();
  const auto error_of = [](const BeatOptions& options) {
    Listener listener;
    listener.open(options);
    CHECK_FALSE(listener.adapter);
    return listener.error;
  };
  auto options = on_loopback(1, 2, port);
  options.peers[0].addresses[1] = "storage-2.example";
  CHECK_THAT(error_of(options), Catch::Contains("host 2") && Catch::Contains("storage") &&
                                    Catch::Contains("storage-2.example"));
  options = on_loopback(1, 2, port);
  options.own[0] = "127.0.0.256";
  CHECK_THAT(error_of(options), Catch::Contains("own address on link mgmt"));
  options = on_loopback(1, 2, port);
  options.peers[0].addresses[0] = "::1";
  CHECK_THAT(error_of(options), Catch::Contains("other IP version"));
  options = on_loopback(1, 2, port);
  options.peers.push_back(options.peers[0]);
  CHECK_THAT(error_of(options), Catch::Contains("twice"));
  options = on_loopback(1, 2, 0);
  CHECK_THAT(error_of(options), Catch::Contains("port"));
  const Bare holder(loopback(Link::mgmt, 1), port);
  REQUIRE(holder.bound());
  CHECK_THAT(error_of(on_loopback(1, 2, port)),
             Catch::Contains("cannot bind") && Catch::Contains(std::to_string(port)));
}

TEST_CASE("a link that goes down and up is used again", "[net][root]") {
  if (!possible()) return;
  LinkedPair pair;
  if (!possible(&pair.hosts)) return;
  REQUIRE(pair.passes(Link::mgmt));
  REQUIRE(pair.passes(Link::storage));

  REQUIRE(pair.hosts.host(1).ip("link set eth0 down"));  // the sender's own interface
  const auto failed = pair.one.adapter->counters(Link::mgmt).send_failed;
  pair.one.adapter->send(kTwo, Link::mgmt, text("lost"));
  CHECK(pair.one.adapter->counters(Link::mgmt).send_failed == failed + 1);
  CHECK(pair.one.adapter->counters(Link::mgmt).last_send_error != 0);
  CHECK(pair.passes(Link::storage));
  REQUIRE(pair.hosts.host(1).ip("link set eth0 up"));
  CHECK(pair.passes(Link::mgmt));

  REQUIRE(pair.hosts.host(2).ip("link set eth0 down"));  // the receiver's
  CHECK_FALSE(pair.passes(Link::mgmt, 100ms));
  REQUIRE(pair.hosts.host(2).ip("link set eth0 up"));
  CHECK(pair.passes(Link::mgmt));

  REQUIRE(pair.hosts.fabric().ip("link set h2l1 down"));  // the switch's port
  CHECK_FALSE(pair.passes(Link::storage, 100ms));
  CHECK(pair.passes(Link::mgmt));
  REQUIRE(pair.hosts.fabric().ip("link set h2l1 up"));
  CHECK(pair.passes(Link::storage));
}

TEST_CASE("an address that goes and comes, or comes late, is used", "[net][root]") {
  if (!possible()) return;
  LinkedPair pair;
  if (!possible(&pair.hosts)) return;
  const std::string address = sandbox::Hosts::address(0, 1) + "/24 dev eth0";
  REQUIRE(pair.hosts.host(1).ip("addr del " + address));
  pair.one.adapter->send(kTwo, Link::mgmt, text("lost"));
  CHECK(pair.one.adapter->counters(Link::mgmt).send_failed == 1);
  REQUIRE(pair.hosts.host(1).ip("addr add " + address));
  CHECK(pair.passes(Link::mgmt));

  REQUIRE(pair.hosts.host(1).ip("addr del " + address));
  pair.one.adapter.reset();
  BeatOptions options;
  options.port = kPortInside;
  options.own = {sandbox::Hosts::address(0, 1), sandbox::Hosts::address(1, 1)};
  options.peers = {{kTwo, {sandbox::Hosts::address(0, 2), sandbox::Hosts::address(1, 2)}}};
  pair.hosts.host(1).inside([&] { pair.one.open(options); });
  INFO(pair.one.error);
  REQUIRE(pair.one.adapter);
  CHECK(pair.passes(Link::storage));
  CHECK_FALSE(pair.passes(Link::mgmt, 50ms));
  REQUIRE(pair.hosts.host(1).ip("addr add " + address));
  CHECK(pair.passes(Link::mgmt));
}

TEST_CASE("IPv6 links carry beats", "[net][root]") {
  if (!possible()) return;
  LinkedPair pair(true);
  if (!possible(&pair.hosts)) return;
  CHECK(pair.passes(Link::mgmt));
  CHECK(pair.passes(Link::storage));
  REQUIRE(pair.hosts.host(2).ip("link set eth1 down"));
  CHECK_FALSE(pair.passes(Link::storage, 100ms));
}

// Hidden: prints figures instead of asserting them. Run with "[measure]".
TEST_CASE("cost of a beat", "[.][measure]") {
  Pair pair;
  pair.two.keep = false;
  constexpr int kBeats = 20'000;
  const Bytes beat(300, 1);
  const double before = sandbox::cpu_us_of_this_process();
  for (int i = 0; i < kBeats; ++i) {
    pair.one.adapter->send(kTwo, Link::mgmt, beat);
    if (i % 50 == 0) std::this_thread::sleep_for(1ms);
  }
  const auto count = [&] { return pair.two.adapter->counters(Link::mgmt).received; };
  eventually([&] { return count() == kBeats; }, 2s);
  std::cout << "sent and received: " << (sandbox::cpu_us_of_this_process() - before) / kBeats
            << " us of CPU each, " << count() << " of " << kBeats << " arrived; resident "
            << sandbox::resident_kib() << " KiB\n";
}
