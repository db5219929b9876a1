// VotequorumDevice against real corosyncs, each in namespaces of its own.
#include <ctime>

#include "corosync_hosts.hpp"
#include "libha/corosync/votequorum_device.hpp"

using namespace corosyncs;

namespace {

const std::string kProvider = "  provider: corosync_votequorum\n";

std::string device(const std::string& model, int timeout_ms = 2000,
                   const std::string& more = "") {
  return kProvider + "  device {\n" + more + "    model: " + model + "\n    timeout: " +
         std::to_string(timeout_ms) + "\n    sync_timeout: 4000\n  }\n";
}

Instant raw_now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC_RAW, &time);
  return {std::chrono::seconds{time.tv_sec} + std::chrono::nanoseconds{time.tv_nsec}};
}

// A VotequorumDevice inside a host, and everything that it has told.
class Device {
 public:
  Device(const Ring& ring, int host) {
    ring.hosts.host(host).inside([&] {
      adapter = std::make_unique<VotequorumDevice>(
          port::QuorumDeviceEvents{[this](core::DeviceSet e) { keep(set, std::move(e)); },
                                   [this](core::DeviceLost e) { keep(lost, std::move(e)); },
                                   [this](core::RingFormed e) { keep(rings, std::move(e)); },
                                   [this](core::VoteTaken e) { keep(taken, std::move(e)); }});
    });
  }
  ~Device() { adapter.reset(); }  // its thread fills what is below

  template <class Look>
  auto look(Look what) {
    const std::lock_guard lock(mutex_);
    return what();
  }

  bool is_set(std::chrono::milliseconds timeout, std::chrono::milliseconds limit = 15s) {
    return eventually(
        [&] { return look([&] { return !set.empty() && set.back().timeout == timeout; }); },
        limit);
  }
  bool lost_with(const std::string& words, std::chrono::milliseconds limit = 15s) {
    return eventually(
        [&] {
          return look([&] {
            return !lost.empty() && lost.back().reason.find(words) != std::string::npos;
          });
        },
        limit);
  }
  // It was told, after so many other words, that corosync keeps no vote any more.
  bool forgotten_since(std::size_t words, std::chrono::milliseconds limit = 2s) {
    return eventually(
        [&] {
          return look([&] {
            return std::any_of(lost.begin() + static_cast<std::ptrdiff_t>(words), lost.end(),
                               [](const auto& one) { return one.forgotten; });
          });
        },
        limit);
  }
  std::size_t losses() {
    return look([&] { return lost.size(); });
  }
  // The newest ring has these nodes.
  bool in_ring(const Ids& nodes, std::chrono::milliseconds limit = 15s) {
    return eventually(
        [&] { return look([&] { return !rings.empty() && rings.back().nodes == nodes; }); },
        limit);
  }
  core::RingFormed ring() {
    return look([&] { return rings.back(); });
  }
  // Gives a vote in this ring and waits for the answer.
  core::VoteTaken votes(bool cast, const RingId& in, Instant until = Instant::never()) {
    const Ticket ticket{++last_};
    adapter->vote({ticket, in, cast, until});
    core::VoteTaken answer;
    CHECK(eventually(
        [&] {
          return look([&] {
            if (taken.empty() || taken.back().ticket != ticket) return false;
            answer = taken.back();
            return true;
          });
        },
        5s));
    return answer;
  }
  core::VoteTaken votes(bool cast) { return votes(cast, ring().ring); }

  std::unique_ptr<VotequorumDevice> adapter;
  std::vector<core::DeviceSet> set;
  std::vector<core::DeviceLost> lost;
  std::vector<core::RingFormed> rings;
  std::vector<core::VoteTaken> taken;

 private:
  template <class Kept, class Event>
  void keep(std::vector<Kept>& into, Event event) {
    const std::lock_guard lock(mutex_);
    into.push_back(std::move(event));
  }
  std::mutex mutex_;
  std::uint64_t last_{0};
};

}  // namespace

TEST_CASE("the device is there as long as corosync.conf names it", "[votequorum]") {
  if (!possible()) return;
  Ring ring(1, kProvider);
  if (!possible(&ring)) return;
  Device one(ring, 1);
  REQUIRE(one.lost_with("cannot be reached"));
  CHECK_FALSE(one.votes(true, {1, 4}).taken);
  ring.start(1);
  REQUIRE(one.lost_with("names no quorum device"));
  ring.configure(device("wardom"));
  REQUIRE(ring.reload(1));
  REQUIRE(one.is_set(2000ms));
  one.look([&] {
    CHECK(one.set.back().sync_timeout == 4000ms);
    CHECK(one.set.back().nodes == ids({1}));
    return 0;
  });
  REQUIRE(one.in_ring(ids({1})));
  CHECK_FALSE(one.ring().syncing);
  CHECK(one.votes(true).taken);
  ring.configure(device("wardom", 3000));
  REQUIRE(ring.reload(1));
  REQUIRE(one.is_set(3000ms));
  CHECK(one.votes(true).taken);
  one.look([&] {
    CHECK_FALSE(one.set.back().votes.has_value());
    return 0;
  });
  ring.configure("  wait_for_all: 1\n" + device("wardom", 3500, "    votes: 1\n"));
  REQUIRE(ring.reload(1));
  REQUIRE(one.is_set(3500ms));
  one.look([&] {
    CHECK(one.set.back().votes == 1);
    CHECK(one.set.back().wait_for_all);
    CHECK_FALSE(one.set.front().wait_for_all);
    return 0;
  });
  CHECK_FALSE(one.forgotten_since(0, 0ms));
  ring.configure(device("net"));
  REQUIRE(ring.reload(1));
  REQUIRE(one.lost_with("another quorum device, \"net\""));
  CHECK_FALSE(one.votes(true).taken);
  CHECK(one.forgotten_since(0));  // it was unregistered
}

TEST_CASE("the ring that casts is quorate, and no other", "[votequorum]") {
  if (!possible()) return;
  Ring ring(3, device("wardom"));
  if (!possible(&ring)) return;
  for (int id : {1, 2, 3}) ring.start(id);
  Device one(ring, 1), two(ring, 2), three(ring, 3);
  Client quorum(ring, 1), other(ring, 2);
  for (Device* each : {&one, &two, &three}) {
    REQUIRE(each->is_set(2000ms, 30s));
    REQUIRE(each->in_ring(ids({1, 2, 3}), 30s));
    CHECK(each->votes(false).taken);
  }
  REQUIRE(quorum.quorate(true));  // all nodes are there: three votes of five
  const auto before = one.ring().ring;

  ring.kill(3);
  for (Device* each : {&one, &two}) {
    REQUIRE(each->in_ring(ids({1, 2})));
    CHECK(each->ring().syncing);
  }
  CHECK_FALSE(one.votes(true, before).taken);  // that ring is past
  CHECK(one.votes(true).taken);
  CHECK(two.votes(false).taken);
  CHECK(other.quorate(false));  // two nodes of three, without the device
  CHECK(quorum.quorate(true));
  const auto late = one.votes(true, one.ring().ring, raw_now() - 1ms);
  CHECK_FALSE(late.taken);
  CHECK(late.error == "it came too late");
  CHECK(two.votes(true, two.ring().ring, raw_now() + 5s).taken);
  CHECK(other.quorate(true));

  ring.kill(2);
  REQUIRE(one.in_ring(ids({1})));
  CHECK(one.votes(true).taken);
  CHECK(quorum.quorate(true));  // down to a single host
  CHECK(one.votes(false).taken);
  CHECK(quorum.quorate(false));
}

TEST_CASE("a vote outlives the adapter, for as long as the timeout", "[votequorum]") {
  if (!possible()) return;
  Ring ring(2, device("wardom"));
  if (!possible(&ring)) return;
  ring.start(1);
  Client quorum(ring, 1);
  {
    Device one(ring, 1);
    REQUIRE(one.in_ring(ids({1}), 30s));
    CHECK(quorum.quorate(false));
    CHECK(one.votes(true).taken);
    REQUIRE(quorum.quorate(true));
  }
  {
    Device one(ring, 1);  // takes the registration over, with the vote
    REQUIRE(one.in_ring(ids({1})));
    CHECK_FALSE(one.ring().syncing);
    CHECK(quorum.look([](Client& c) { return c.quorum.back().quorate; }));
    CHECK(one.votes(true).taken);
  }
  CHECK(quorum.quorate(false, 4s));
  Device one(ring, 1);
  REQUIRE(one.in_ring(ids({1})));
  CHECK(one.votes(true).taken);
  CHECK(quorum.quorate(true));

  const auto words = one.losses();
  ring.kill(1);
  CHECK(one.lost_with("corosync", 2s));
  CHECK(one.forgotten_since(words));
  one.look([&] {
    one.rings.clear();
    return 0;
  });
  ring.start(1);
  REQUIRE(one.in_ring(ids({1})));
  CHECK(one.votes(true).taken);
}

// Nobody votes on host 2 when the ring forms anew: corosync holds the sync there, for sync_timeout
// at most. The one that begins then is let in, and ends it.
TEST_CASE("an adapter that begins while a sync is held", "[votequorum]") {
  if (!possible()) return;
  Ring ring(3, device("wardom", 8000));
  if (!possible(&ring)) return;
  for (int id : {1, 2, 3}) ring.start(id);
  Device one(ring, 1);
  Client other(ring, 2);
  {
    Device two(ring, 2);
    for (Device* each : {&one, &two}) {
      REQUIRE(each->in_ring(ids({1, 2, 3}), 30s));
      CHECK(each->votes(true).taken);
    }
  }
  REQUIRE(other.quorate(true));
  ring.kill(3);
  REQUIRE(one.in_ring(ids({1, 2})));
  const auto formed = Clock::now();
  CHECK(one.votes(true).taken);
  Device late(ring, 2);
  REQUIRE(late.in_ring(ids({1, 2}), 6s));
  CHECK(late.votes(true).taken);
  const auto held = Clock::now() - formed;
  INFO("held for " << std::chrono::duration_cast<std::chrono::milliseconds>(held).count() << " ms");
  CHECK(held < 3s);
  CHECK(eventually(
      [&] {
        return other.look([](Client& c) {
          return c.quorum.back().quorate && c.quorum.back().nodes == ids({1, 2});
        });
      },
      2s));
}

TEST_CASE("a frozen corosync blocks neither vote nor the end", "[votequorum]") {
  if (!possible()) return;
  Ring ring(1, device("wardom"));
  if (!possible(&ring)) return;
  ring.start(1);
  Device one(ring, 1);
  REQUIRE(one.in_ring(ids({1}), 30s));
  ring.freeze(1);
  const auto start = Clock::now();
  for (std::uint64_t i = 0; i < 1000; ++i)
    one.adapter->vote({Ticket{100 + i}, one.ring().ring, true, Instant::never()});
  CHECK(Clock::now() - start < 1s);
  const auto stop = Clock::now();
  one.adapter.reset();
  CHECK(Clock::now() - stop < kDeviceStopLimit + 500ms);
  ring.thaw(1);
}
