// CorosyncRing against real corosyncs, each in namespaces of its own.
#include "corosync_hosts.hpp"

using namespace corosyncs;

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
