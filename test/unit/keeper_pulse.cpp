// When a heartbeat goes out beside one that has not ended.
#include <catch2/catch.hpp>

#include "agents/keeper/pulse.hpp"

using namespace wardom;
using namespace wardom::keeper;
using namespace std::chrono_literals;
using Step = Pulse::Step;

namespace {

constexpr Duration kPatience = 5s;
constexpr Duration kTick{1};
constexpr Instant at(Duration d) { return Instant{1000s + d}; }

// One heartbeat was submitted at(0), and has not ended.
Pulse beating() {
  Pulse pulse(kPatience);
  pulse.submitted();
  return pulse;
}

}  // namespace

TEST_CASE("pulse_beats_while_heartbeats_end_well") {
  auto pulse = beating();
  pulse.ended(true, at(1ms));
  CHECK_FALSE(pulse.asks());
  CHECK(pulse.due(false, at(250ms)) == Step::write);
}

TEST_CASE("pulse_asks_before_it_uses_the_other_extent") {
  auto pulse = beating();
  CHECK(pulse.due(true, at(250ms)) == Step::ask);
  CHECK(pulse.asks());
  pulse.read(true, at(250ms) - kTick, at(251ms));  // issued too early to say anything
  CHECK(pulse.due(true, at(252ms)) == Step::ask);
  pulse.read(true, at(250ms), at(253ms));
  CHECK_FALSE(pulse.asks());
  CHECK(pulse.due(true, at(254ms)) == Step::write);
  // That answer was for this one time.
  pulse.submitted();
  CHECK(pulse.due(true, at(500ms)) == Step::ask);
}

TEST_CASE("pulse_that_was_answered_before_the_time_beats_in_time") {
  auto pulse = beating();
  pulse.open(at(125ms));
  CHECK(pulse.asks());
  pulse.read(true, at(125ms), at(126ms));
  pulse.open(at(130ms));  // asked and answered
  CHECK(pulse.due(true, at(250ms)) == Step::write);
}

TEST_CASE("pulse_uses_the_other_extent_unanswered_only_after_its_patience") {
  auto pulse = beating();
  CHECK(pulse.due(true, at(0s)) == Step::ask);
  CHECK(pulse.due(true, at(kPatience - kTick)) == Step::ask);
  CHECK(pulse.due(true, at(kPatience)) == Step::write);
}

TEST_CASE("pulse_waits_for_as_long_as_reads_end_in_errors") {
  auto pulse = beating();
  pulse.ended(false, at(1ms));
  for (int i = 1; i < 100; ++i) {
    const auto now = at(i * kPatience / 2);
    REQUIRE(pulse.due(false, now) == Step::ask);
    pulse.read(false, now, now);
  }
  pulse.read(true, at(60 * kPatience), at(60 * kPatience));
  CHECK(pulse.due(false, at(60 * kPatience)) == Step::write);
}

TEST_CASE("pulse_goes_on_when_a_late_heartbeat_ends_well") {
  auto pulse = beating();
  CHECK(pulse.due(true, at(250ms)) == Step::ask);
  pulse.ended(true, at(300ms));
  CHECK_FALSE(pulse.asks());
  CHECK(pulse.due(false, at(300ms)) == Step::write);
}
