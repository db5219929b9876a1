// CorosyncRing against real corosyncs, each in namespaces of its own.
#include <catch2/catch.hpp>
#include <mutex>
#include <optional>

#include "libha/corosync/corosync_ring.hpp"
#include "net_hosts.hpp"

namespace {

using namespace wardom;
using namespace std::chrono_literals;
using sandbox::Clock;
using sandbox::eventually;

using Ids = std::vector<HostId>;
using Bytes = std::vector<std::uint8_t>;

Ids ids(std::initializer_list<int> numbers) {
  Ids out;
  for (int number : numbers) out.push_back(HostId{static_cast<std::uint16_t>(number)});
  return out;
}

// Up to three hosts on one network, each with a corosync that can be started and killed.
class Ring {
 public:
  explicit Ring(int count, std::string provider = "  provider: corosync_votequorum\n")
      : hosts(count, 1, {"/dev/shm", "/run", "/var/lib/corosync"}), daemons_(8) {
    std::string nodes;
    for (int id = 1; id <= count; ++id)
      nodes += "  node {\n    ring0_addr: " + sandbox::Hosts::address(0, id) +
               "\n    nodeid: " + std::to_string(id) + "\n    name: n" + std::to_string(id) +
               "\n  }\n";
    config_ = folder_.write("corosync.conf",
        "totem {\n  version: 2\n  cluster_name: contract\n  transport: knet\n"
        "  crypto_cipher: none\n  crypto_hash: none\n  token: 600\n  token_coefficient: 0\n}\n"
        "system {\n  sched_rr: no\n  move_to_root_cgroup: no\n}\n"
        "logging {\n  to_stderr: yes\n  to_syslog: no\n}\n"
        "quorum {\n" + provider + "}\nnodelist {\n" + nodes + "}\n");
  }
  void start(int id) {
    daemon(id) = hosts.host(id).start({sandbox::find_program("corosync"), "-f", "-c", config_},
                                      folder_ / ("log" + std::to_string(id)));
  }
  void kill(int id) { daemon(id).end(SIGKILL); }
  void freeze(int id) { daemon(id).signal(SIGSTOP); }
  void thaw(int id) { daemon(id).signal(SIGCONT); }

  sandbox::Hosts hosts;

 private:
  sandbox::Process& daemon(int id) { return daemons_[static_cast<std::size_t>(id)]; }
  sandbox::Folder folder_;
  std::string config_;
  std::vector<sandbox::Process> daemons_;
};

// A CorosyncRing inside a host, and everything that it has told.
class Client {
 public:
  Client(const Ring& ring, int host, int self) {
    ring.hosts.host(host).inside([&] {
      RingOptions options;
      options.domain = "contract";
      options.self = HostId{static_cast<std::uint16_t>(self)};
      auto made = CorosyncRing::create(options, events());
      if (made) adapter = std::move(made.value());
    });
    REQUIRE(adapter != nullptr);
  }
  Client(const Ring& ring, int host) : Client(ring, host, host) {}
  ~Client() { adapter.reset(); }  // its thread fills what is below
  bool keep_messages{true};

  template <class Look>
  auto look(Look what) {
    const std::lock_guard lock(mutex_);
    return what(*this);
  }
  bool sees(const Ids& daemons, std::chrono::milliseconds limit = 15s) {
    return eventually(
        [&] {
          return look([&](Client& c) { return !c.members.empty() &&
                                              c.members.back().daemons == daemons; });
        },
        limit);
  }
  bool quorate(bool wanted, std::chrono::milliseconds limit = 15s) {
    return eventually(
        [&] {
          return look([&](Client& c) { return !c.quorum.empty() &&
                                              c.quorum.back().quorate == wanted; });
        },
        limit);
  }
  bool lost_with(const std::string& words, std::chrono::milliseconds limit = 5s) {
    return eventually(
        [&] {
          return look([&](Client& c) {
            return !c.lost.empty() && c.lost.back().find(words) != std::string::npos;
          });
        },
        limit);
  }
  bool hears(std::size_t count, std::chrono::milliseconds limit = 5s) {
    return eventually([&] { return look([&](Client& c) { return c.messages.size() >= count; }); },
                      limit);
  }

  std::unique_ptr<CorosyncRing> adapter;
  std::vector<port::RingMembers> members;
  std::vector<port::RingQuorum> quorum;
  std::vector<port::RingMessage> messages;
  std::vector<std::string> lost;

 private:
  port::RingEvents events() {
    return {[this](port::RingMembers e) { keep(members, e); },
            [this](port::RingQuorum e) { keep(quorum, e); },
            [this](port::RingMessage e) {
              if (keep_messages) keep(messages, e);
            },
            [this](port::RingLost e) { keep(lost, e.reason); }};
  }
  template <class Event>
  void keep(std::vector<Event>& into, const Event& event) {
    const std::lock_guard lock(mutex_);
    into.push_back(event);
  }
  std::mutex mutex_;
};

bool possible(const Ring* ring = nullptr) {
  std::string why;
  if (!sandbox::is_root()) why = "corosync in namespaces needs root";
  else if (sandbox::find_program("corosync").empty()) why = "corosync is not installed";
  else if (sandbox::find_program("ip").empty()) why = "ip is not installed (package iproute2)";
  else if (ring != nullptr && !ring->hosts.usable()) why = "this machine forbids namespaces";
  if (!why.empty()) sandbox::say_skipped(why);
  return why.empty();
}

Bytes text(const std::string& words) { return {words.begin(), words.end()}; }

}  // namespace

TEST_CASE("one host: joins late, hears itself, loses corosync and joins again", "[corosync]") {
  if (!possible()) return;
  Ring ring(1);
  if (!possible(&ring)) return;
  Client client(ring, 1);
  REQUIRE(client.lost_with("cannot be reached"));
  CHECK_FALSE(client.adapter->send(text("too early")));

  ring.start(1);
  REQUIRE(client.sees(ids({1})));
  REQUIRE(client.quorate(true));
  client.look([](Client& c) {
    CHECK(c.quorum.back().nodes == ids({1}));
    CHECK(c.quorum.back().ring_sequence > 0);
    CHECK(c.lost.size() == 1);
    return 0;
  });
  CHECK(client.adapter->send(text("first")));
  CHECK(client.adapter->send(Bytes(port::kMaxRingMessageBytes, 0x5a)));
  CHECK_FALSE(client.adapter->send(Bytes(port::kMaxRingMessageBytes + 1, 0)));
  CHECK_FALSE(client.adapter->send({}));
  REQUIRE(client.hears(2));
  client.look([](Client& c) {
    CHECK(c.messages[0].bytes == text("first"));
    CHECK(c.messages[0].from == HostId{1});
    CHECK(c.messages[1].bytes.size() == port::kMaxRingMessageBytes);
    return 0;
  });

  ring.kill(1);
  CHECK(client.lost_with("is lost", 1s));
  CHECK_FALSE(client.adapter->send(text("nobody")));
  client.look([](Client& c) { c.members.clear(); return 0; });
  ring.start(1);
  REQUIRE(client.sees(ids({1})));
  CHECK(client.adapter->send(text("again")));
  CHECK(client.hears(3));
  CHECK(client.adapter->counters().connects == 2);
  CHECK(client.adapter->counters().refused_size == 2);
}

TEST_CASE("a nodeid that is not the host's id is named", "[corosync]") {
  if (!possible()) return;
  Ring ring(1);
  if (!possible(&ring)) return;
  ring.start(1);
  Client client(ring, 1, 2);
  CHECK(client.lost_with("nodeid is 1, but this host's id is 2", 15s));
  CHECK_FALSE(client.adapter->send(text("stranger")));
  client.look([](Client& c) { CHECK(c.members.empty()); CHECK(c.quorum.empty()); return 0; });
}

TEST_CASE("a corosync without quorum provider is named", "[corosync]") {
  if (!possible()) return;
  Ring ring(1, "");
  if (!possible(&ring)) return;
  ring.start(1);
  Client client(ring, 1);
  CHECK(client.lost_with("quorum provider", 15s));
}

TEST_CASE("a frozen corosync blocks neither send nor the end", "[corosync]") {
  if (!possible()) return;
  Ring ring(1);
  if (!possible(&ring)) return;
  ring.start(1);
  Client client(ring, 1);
  REQUIRE(client.sees(ids({1})));
  ring.freeze(1);
  const auto start = Clock::now();
  std::size_t taken = 0;
  while (taken < 20 * port::kMaxRingQueue && client.adapter->send(Bytes(1000, 1))) ++taken;
  CHECK(Clock::now() - start < 1s);
  CHECK(taken >= port::kMaxRingQueue);
  CHECK(taken < 20 * port::kMaxRingQueue);
  CHECK(client.adapter->counters().refused_full == 1);

  ring.thaw(1);  // what was queued arrives, in full
  CHECK(client.hears(taken));

  ring.freeze(1);
  std::size_t bytes = 0;  // long messages are bounded by their bytes, not by their number
  while (client.adapter->send(Bytes(port::kMaxRingMessageBytes, 1)))
    bytes += port::kMaxRingMessageBytes;
  CHECK(bytes < kMaxRingQueueBytes + 2'000'000);  // and what fits into the way to corosync
  const auto stop = Clock::now();
  client.adapter.reset();
  CHECK(Clock::now() - stop < kRingStopLimit + 500ms);
  ring.thaw(1);
}

TEST_CASE("three hosts: order, a dead daemon, a dead node, quorum lost", "[corosync]") {
  if (!possible()) return;
  Ring ring(3);
  if (!possible(&ring)) return;
  for (int id : {1, 2, 3}) ring.start(id);
  Client one(ring, 1), two(ring, 2), three(ring, 3);
  for (Client* client : {&one, &two, &three}) {
    REQUIRE(client->sees(ids({1, 2, 3}), 30s));
    REQUIRE(client->quorate(true));
  }
  for (int i = 0; i < 50; ++i)
    for (Client* client : {&one, &two, &three})
      CHECK(client->adapter->send(text(std::to_string(i))));
  REQUIRE(one.hears(150));
  REQUIRE(two.hears(150));
  const auto heard = [](Client& c) {
    std::vector<std::pair<HostId, Bytes>> all;
    for (const auto& m : c.messages) all.emplace_back(m.from, m.bytes);
    return all;
  };
  CHECK(one.look(heard) == two.look(heard));  // one order for all

  three.adapter.reset();
  REQUIRE(one.sees(ids({1, 2}), 2s));
  one.look([](Client& c) {
    CHECK(c.members.back().gone_process == ids({3}));
    CHECK(c.members.back().gone_host.empty());
    return 0;
  });
  Client again(ring, 3);
  REQUIRE(one.sees(ids({1, 2, 3})));

  ring.kill(3);
  REQUIRE(one.sees(ids({1, 2})));
  one.look([](Client& c) {
    CHECK(c.members.back().gone_host == ids({3}));
    CHECK(c.members.back().gone_process.empty());
    return 0;
  });
  CHECK(one.look([](Client& c) { return c.quorum.back().quorate; }));
  ring.kill(2);
  REQUIRE(one.sees(ids({1})));
  CHECK(one.quorate(false));
  CHECK(one.look([](Client& c) { return c.quorum.back().nodes; }) == ids({1}));
  CHECK(one.adapter->send(text("to myself")));  // CPG goes on without quorum
  CHECK(one.hears(151));
}

// Hidden: prints figures instead of asserting them. Run with "[measure]".
TEST_CASE("cost of the ring", "[.][measure]") {
  if (!possible()) return;
  Ring ring(3);
  if (!possible(&ring)) return;
  for (int id : {1, 2, 3}) ring.start(id);
  const long before = sandbox::resident_kib();
  Client client(ring, 1);
  REQUIRE(client.sees(ids({1}), 30s));
  REQUIRE(client.quorate(true, 30s));
  client.keep_messages = false;
  std::cout << "resident, joined: +" << sandbox::resident_kib() - before << " KiB\n";
  constexpr std::size_t kMessages = 300;
  std::vector<double> took;
  const double cpu = sandbox::cpu_us_of_this_process();
  for (std::size_t i = 1; i <= kMessages; ++i) {
    const auto sent = Clock::now();
    client.adapter->send(Bytes(300, 7));
    while (client.adapter->counters().received < i && Clock::now() - sent < 1s)
      std::this_thread::sleep_for(100us);
    took.push_back(std::chrono::duration<double, std::milli>(Clock::now() - sent).count());
  }
  std::sort(took.begin(), took.end());
  std::cout << "self-delivery: median " << took[kMessages / 2] << " ms, worst " << took.back()
            << " ms; own CPU with the waiting "
            << (sandbox::cpu_us_of_this_process() - cpu) / kMessages
            << " us each\nresident, 300 messages later: +"
            << sandbox::resident_kib() - before << " KiB\n";
  for (std::size_t i = 1; i <= 200; ++i) {
    client.adapter->send(Bytes(60 * 1024, 7));
    eventually([&] { return client.adapter->counters().received >= kMessages + i; }, 1s);
  }
  std::cout << "resident, 12 MB later: +" << sandbox::resident_kib() - before << " KiB\n";
  const double rest = sandbox::cpu_us_of_this_process();
  std::this_thread::sleep_for(3s);
  std::cout << "at rest: " << (sandbox::cpu_us_of_this_process() - rest) / 3
            << " us of CPU per s\n";
}
