// The feeding thread with a watchdog that counts.
#include <poll.h>

#include <atomic>
#include <catch2/catch.hpp>

#include "agents/keeper/feeder.hpp"
#include "libha/disk/block_io.hpp"

using namespace wardom;
using namespace wardom::keeper;
using namespace std::chrono_literals;
using disk::raw_now;

namespace {

constexpr auto kLimit = 10s;

class CountingWatchdog final : public port::Watchdog {
 public:
  bool feed() noexcept override {
    fed_at = raw_now().since_boot.count();
    if (stall) ::poll(nullptr, 0, 1200);
    ++feeds;
    return !refuses;
  }
  const port::WatchdogFacts& facts() const override { return facts_; }
  int descriptor() const override { return -1; }
  Result<void> disarm() override { return success(); }

  std::atomic<int> feeds{0};
  std::atomic<std::int64_t> fed_at{0};
  std::atomic<bool> stall{false}, refuses{false};

 private:
  port::WatchdogFacts facts_{"test", 200ms, 1, false, true};
};

template <class Done>
bool wait_for(Done done) {
  const auto until = raw_now() + kLimit;
  while (!done() && raw_now() < until) ::poll(nullptr, 0, 2);
  return done();
}

// Never destroyed: the thread outlives the test case, as it outlives everything in the keeper.
struct Rig {
  CountingWatchdog& watchdog{*new CountingWatchdog};
  Feeder& feeder{*new Feeder(watchdog)};
  void start(Instant until) {
    std::string warning;
    REQUIRE(feeder.start(until, warning));
  }
};

}  // namespace

TEST_CASE("feeder_feeds_inside_the_window_and_never_after_it") {
  Rig rig;
  const auto until = raw_now() + 300ms;
  rig.start(until);
  REQUIRE(wait_for([&] { return rig.feeder.lapse() != Lapse::none; }));
  CHECK(rig.feeder.lapse() == Lapse::window_ended);
  CHECK(rig.watchdog.feeds > 1);
  CHECK(raw_now() >= until);
  CHECK(Instant{Duration{rig.watchdog.fed_at.load()}} < until + kClockGranularity);
  CHECK(rig.feeder.last_fed() < until);
  const int feeds = rig.watchdog.feeds;
  CHECK_FALSE(rig.feeder.extend(raw_now() + 60s));  // the latch
  ::poll(nullptr, 0, 100);
  CHECK(rig.watchdog.feeds == feeds);
}

TEST_CASE("feeder_goes_on_while_it_is_extended") {
  Rig rig;
  const auto first = raw_now() + 1s;
  rig.start(first);
  while (raw_now() < first + 200ms) {
    REQUIRE(rig.feeder.extend(raw_now() + 1s));
    ::poll(nullptr, 0, 20);
  }
  CHECK(rig.feeder.lapse() == Lapse::none);
  CHECK(rig.feeder.last_fed() > first);
  CHECK(rig.feeder.extend(first));  // never shortened
  rig.feeder.stop(Lapse::stalled);
  CHECK_FALSE(rig.feeder.extend(raw_now() + 1s));
  rig.feeder.stop(Lapse::suspended);
  CHECK(rig.feeder.lapse() == Lapse::stalled);  // the first reason stays
}

TEST_CASE("feeder_counts_a_stall_above_g_as_a_lapse") {
  Rig rig;
  rig.watchdog.stall = true;
  rig.start(raw_now() + 60s);
  REQUIRE(wait_for([&] { return rig.feeder.lapse() != Lapse::none; }));
  CHECK(rig.feeder.lapse() == Lapse::stalled);
  CHECK(rig.watchdog.feeds == 1);
}

TEST_CASE("feeder_counts_what_the_driver_refuses") {
  Rig rig;
  rig.watchdog.refuses = true;
  rig.start(raw_now() + 60s);
  REQUIRE(wait_for([&] { return rig.feeder.failures() > 2; }));
  CHECK(rig.feeder.lapse() == Lapse::none);
  CHECK(rig.feeder.last_fed() == Instant{});
  rig.feeder.stop(Lapse::window_ended);
}

TEST_CASE("feeder_tells_suspend_from_slewing_and_from_waiting") {
  const Clocks before{Instant{100s}, 200s};
  const auto jumps = [&](Duration raw, Duration boot) {
    return was_suspended(before, {Instant{100s + raw}, 200s + boot});
  };
  CHECK_FALSE(jumps(500ms, 500ms));
  CHECK_FALSE(jumps(10s, 11s));             // slewed as far as the kernel allows
  CHECK_FALSE(jumps(500ms, 1550ms));        // at the limit
  CHECK(jumps(500ms, 1550ms + Duration{1}));
  CHECK(jumps(1ms, 3600s));
  CHECK_FALSE(jumps(3600s, 3600s));         // a stopped process is not a stopped machine
}
