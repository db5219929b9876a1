#include <catch2/catch.hpp>

#include "agents/keeper/daemon_life.hpp"

using namespace wardom;
using namespace wardom::keeper;
using namespace std::chrono_literals;

namespace {

using Order = DaemonLife::Order;
constexpr Duration kTick{1};
constexpr Duration kWindow = 20s;  // so the patience is 10 s
constexpr DaemonLife::Facts kAlive{false, true};
constexpr DaemonLife::Facts kDead{true, true};
constexpr DaemonLife::Facts kInFlight{true, false};
constexpr Instant at(Duration d) { return Instant{1000s + d}; }

DaemonLife working() {
  DaemonLife life({});
  REQUIRE(life.greet(7, at(0s)));
  life.published(1, at(0s));
  return life;
}

}  // namespace

TEST_CASE("daemon_is_killed_when_its_progress_stands_still") {
  auto life = working();
  CHECK(life.tick(at(10s - kTick), kWindow, kAlive) == Order::none);
  life.published(2, at(10s - kTick));
  CHECK(life.tick(at(20s - 2 * kTick), kWindow, kAlive) == Order::none);
  life.published(2, at(20s - 2 * kTick));  // says the same again
  CHECK(life.tick(at(20s - kTick), kWindow, kAlive) == Order::kill);
  CHECK(life.tick(at(20s), kWindow, kAlive) == Order::none);  // once
  CHECK_FALSE(life.next_deadline(kWindow, at(20s)).has_value());
  life.gone(at(20s));
  CHECK(life.tick(at(20s), kWindow, {false, false}) == Order::none);
  // Its exit is not awaited, only its writes.
  CHECK(life.tick(at(21s), kWindow, {false, true}) == Order::epoch_raised);
  CHECK(life.epoch() == DaemonEpoch{1});
  CHECK(life.tick(at(99s), kWindow, kDead) == Order::none);
}

TEST_CASE("daemon_patience_has_a_floor") {
  CHECK(DaemonLife::patience(1s) == kDaemonPatienceLeast);
  CHECK(DaemonLife::patience(60s) == 30s);
}

TEST_CASE("daemon_that_never_published_is_not_judged_and_leaves_nothing") {
  DaemonLife life({});
  REQUIRE(life.greet(7, at(0s)));
  CHECK(life.tick(at(999s), kWindow, kAlive) == Order::none);
  CHECK(life.record() == DaemonLife::Record{});
  life.gone(at(999s));
  CHECK(life.greet(8, at(999s)));
  CHECK(life.epoch() == DaemonEpoch{0});
}

TEST_CASE("daemon_that_died_loses_its_standing_when_its_writes_are_settled") {
  auto life = working();
  life.gone(at(1s));
  CHECK(life.tick(at(1s), kWindow, kInFlight) == Order::none);
  CHECK(life.next_deadline(kWindow, at(1s)) == at(11s));
  CHECK_FALSE(life.next_deadline(kWindow, at(11s)).has_value());  // a loop that waits never spins
  CHECK_FALSE(life.greet(8, at(1s)));
  CHECK(life.tick(at(50s), kWindow, kInFlight) == Order::none);
  CHECK(life.tick(at(50s), kWindow, kDead) == Order::epoch_raised);
  CHECK(life.greet(8, at(50s)));
  CHECK(life.epoch() == DaemonEpoch{1});
}

TEST_CASE("daemon_that_lives_may_come_back_while_it_may_act") {
  auto life = working();
  life.gone(at(1s));
  CHECK(life.tick(at(11s - kTick), kWindow, kAlive) == Order::none);
  SECTION("in time: the same epoch") {
    CHECK(life.greet(7, at(11s - kTick)));
    CHECK(life.epoch() == DaemonEpoch{0});
    CHECK(life.tick(at(11s), kWindow, kAlive) == Order::none);
  }
  SECTION("too late: the next") {
    CHECK(life.tick(at(11s), kWindow, kAlive) == Order::epoch_raised);
    CHECK(life.greet(7, at(11s)));
    CHECK(life.epoch() == DaemonEpoch{1});
  }
}

TEST_CASE("daemon_record_outlives_the_keeper") {
  auto before = working();
  CHECK(before.record() == DaemonLife::Record{DaemonEpoch{0}, 7});
  DaemonLife life(before.record());
  life.begin(at(5s));
  CHECK_FALSE(life.greet(8, at(5s)));
  SECTION("the same daemon") {
    CHECK(life.greet(7, at(6s)));
    CHECK(life.epoch() == DaemonEpoch{0});
    // It has not said anything to this keeper yet, but it has acted.
    CHECK(life.record().run == 7);
  }
  SECTION("another one") {
    CHECK(life.tick(at(5s), kWindow, kDead) == Order::epoch_raised);
    CHECK(life.greet(8, at(5s)));
    CHECK(life.epoch() == DaemonEpoch{1});
  }
}
