// The ladder at every boundary, against the rules as leases.md states them.
#include <catch2/catch.hpp>

#include "agents/keeper/ladder.hpp"

using namespace wardom;
using namespace wardom::keeper;
using namespace std::chrono_literals;

namespace {

constexpr Duration kTick{1};
constexpr Duration kWindow = 20s;
constexpr Instant at(Duration d) { return Instant{1000s + d}; }

// A ladder under a lease whose window counts from at(0).
Ladder begun(bool lease = true) {
  Ladder ladder(kWindow);
  REQUIRE(ladder.extend(at(0s), at(0s)));
  if (lease) ladder.hold_lease();
  return ladder;
}

// A storage that answers nothing, or only errors, from `start` for `length`, and whether the guests
// of a host whose keeper beats and reads back all the while live on.
bool guests_live_on(Duration start, Duration length, bool errors) {
  constexpr Duration kStep = 50ms, kInterval = 250ms;
  auto ladder = begun();
  Instant next_beat = at(kInterval), next_read = at(kWindow / 4);
  std::optional<Instant> beat, read;
  for (Instant now = at(0s); now < at(start + length + kWindow); now = now + kStep) {
    const bool away = now >= at(start) && now < at(start + length);
    if (beat && (!away || errors)) {
      if (!away) ladder.extend(*beat, now);
      beat.reset();
    }
    if (read && (!away || errors)) {
      if (!away) ladder.read_back(true, *read);
      next_read = std::min(next_read, read_back_due(kWindow, *read, now, !away, kInterval));
      read.reset();
    }
    if (now >= next_read) {
      next_read = now + kWindow / 4;
      if (!read) read = now;
    }
    if (now >= next_beat) {
      next_beat = now + kInterval;
      if (!beat) beat = now;
    }
    if (ladder.rung(now) == Rung::killing) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("ladder_without_a_heartbeat_allows_nothing") {
  Ladder ladder(kWindow);
  CHECK(ladder.rung(at(0s)) == Rung::no_window);
  CHECK(ladder.act_until() == Instant{});
  CHECK(ladder.feed_until() == Instant{});
  CHECK_FALSE(ladder.next_deadline(at(0s)).has_value());
  CHECK(ladder.state() == LeaseState::none);
}

TEST_CASE("ladder_takes_each_rung_exactly_at_its_time") {
  struct Case {
    Duration when;
    Rung rung;
    LeaseState state;
  };
  for (const auto& c : {Case{0s, Rung::full, LeaseState::held},
                        Case{10s - kTick, Rung::full, LeaseState::held},
                        Case{10s, Rung::no_starts, LeaseState::held},
                        Case{10s + kTick, Rung::no_starts, LeaseState::held},
                        Case{15s - kTick, Rung::no_starts, LeaseState::held},
                        Case{15s, Rung::killing, LeaseState::ending},
                        Case{15s + kTick, Rung::killing, LeaseState::ending},
                        Case{20s - kTick, Rung::killing, LeaseState::ending},
                        Case{20s, Rung::ended, LeaseState::ended},
                        Case{20s + kTick, Rung::ended, LeaseState::ended},
                        Case{2000s, Rung::ended, LeaseState::ended}}) {
    auto ladder = begun();
    CAPTURE(c.when.count());
    CHECK(ladder.rung(at(c.when)) == c.rung);
    CHECK(ladder.state() == c.state);
  }
}

TEST_CASE("ladder_without_a_lease_gives_up_acting_only") {
  auto ladder = begun(false);
  CHECK(ladder.rung(at(10s - kTick)) == Rung::full);
  for (const auto when : {10s, 15s, 20s, 2000s}) CHECK(ladder.rung(at(when)) == Rung::no_starts);
  CHECK(ladder.state() == LeaseState::none);
  // What the read-back rule allows, time does not forbid.
  ladder.read_back(true, at(1999s));
  CHECK(ladder.extend(at(1999s), at(2000s)));
  CHECK(ladder.rung(at(2000s)) == Rung::full);
}

TEST_CASE("ladder_counts_from_the_submission_never_from_the_acknowledgement") {
  auto ladder = begun();
  ladder.read_back(true, at(9s));
  REQUIRE(ladder.extend(at(8s), at(9500ms)));
  CHECK(ladder.feed_until() == at(28s));
  CHECK(ladder.act_until() == at(18s));
  CHECK(ladder.kill_at() == at(23s));
}

TEST_CASE("ladder_latches_what_cannot_be_taken_back") {
  SECTION("an acknowledgement just before the killing extends") {
    auto ladder = begun();
    ladder.read_back(true, at(14s));
    CHECK(ladder.extend(at(14s), at(15s - kTick)));
    CHECK(ladder.rung(at(15s)) == Rung::full);
  }
  SECTION("at it and after it does not, although nobody looked at the clock before") {
    for (const auto when : {Duration{15s}, Duration{15s + kTick}, Duration{20s - kTick}}) {
      auto ladder = begun();
      ladder.read_back(true, at(14s));
      CHECK_FALSE(ladder.extend(at(14s), at(when)));
      CHECK(ladder.rung(at(when)) == Rung::killing);
      CHECK(ladder.act_until() == Instant{});
      CHECK(ladder.rung(at(20s)) == Rung::ended);
    }
  }
  SECTION("nor at the end, nor ever after") {
    for (const auto when : {Duration{20s}, Duration{20s + kTick}, Duration{500s}}) {
      auto ladder = begun();
      ladder.read_back(true, at(when));
      CHECK_FALSE(ladder.extend(at(when), at(when)));
      CHECK(ladder.rung(at(0s)) == Rung::ended);
      CHECK(ladder.feed_until() == Instant{});
      CHECK_FALSE(ladder.next_deadline(at(when)).has_value());
    }
  }
  SECTION("a lapse ends it at once") {
    auto ladder = begun();
    ladder.lapse();
    CHECK(ladder.rung(at(1s)) == Rung::ended);
    CHECK_FALSE(ladder.extend(at(1s), at(1s)));
    CHECK(ladder.act_until() == Instant{});
  }
}

TEST_CASE("ladder_is_never_shortened_by_an_older_heartbeat") {
  auto ladder = begun();
  REQUIRE(ladder.extend(at(4s), at(5s)));
  CHECK_FALSE(ladder.extend(at(3s), at(5s)));
  CHECK_FALSE(ladder.extend(at(4s), at(5s)));
  CHECK(ladder.feed_until() == at(24s));
}

TEST_CASE("ladder_extends_only_while_the_slot_is_read_back") {
  SECTION("just before, at and after T_F/2 without a read-back") {
    CHECK(begun().extend(at(9s), at(10s - kTick)));
    CHECK_FALSE(begun().extend(at(9s), at(10s)));
    CHECK_FALSE(begun().extend(at(9s), at(10s + kTick)));
  }
  SECTION("it counts from the issue of the newest good one") {
    auto ladder = begun();
    ladder.read_back(true, at(5s));
    CHECK(ladder.extend(at(12s), at(15s - kTick)));
    CHECK_FALSE(ladder.extend(at(13s), at(15s)));
  }
  SECTION("a bad one stops it until a good one") {
    auto ladder = begun();
    ladder.read_back(false, at(1s));
    CHECK_FALSE(ladder.extend(at(2s), at(2s)));
    ladder.read_back(true, at(3s));
    CHECK(ladder.extend(at(4s), at(4s)));
    CHECK(ladder.feed_until() == at(24s));
  }
}

TEST_CASE("reading_back_is_due_again_at_once_when_it_was_held_up") {
  for (const auto took : {0s, 1s, 4s})
    CHECK(read_back_due(kWindow, at(0s), at(took), true, 1s) == at(5s));
  CHECK(read_back_due(kWindow, at(0s), at(5s - kTick), true, 1s) == at(5s));
  for (const auto took : {5s, 8s, 19s})
    CHECK(read_back_due(kWindow, at(0s), at(took), true, 1s) == at(took));
  for (const auto took : {0s, 5s, 8s})
    CHECK(read_back_due(kWindow, at(0s), at(took), false, 1s) == at(took + 1s));
}

TEST_CASE("a_storage_that_comes_back_in_time_saves_the_guests") {
  // An interval for the last heartbeat before it went, one for a read and one for a heartbeat
  // after it has come back, and the steps of this test.
  constexpr Duration in_time = kWindow * 3 / 4 - 3 * 250ms - 5 * 50ms;
  for (Duration start = 5s; start < 10s; start += 50ms)
    for (const bool errors : {false, true}) {
      CAPTURE(start.count(), errors);
      CHECK(guests_live_on(start, in_time, errors));
      CHECK_FALSE(guests_live_on(start, kWindow * 3 / 4 + 50ms, errors));
    }
}

TEST_CASE("ladder_names_the_next_rung") {
  const auto ladder = begun();
  CHECK(ladder.next_deadline(at(0s)) == at(10s));
  CHECK(ladder.next_deadline(at(10s - kTick)) == at(10s));
  CHECK(ladder.next_deadline(at(10s)) == at(15s));
  CHECK(ladder.next_deadline(at(15s)) == at(20s));
  CHECK_FALSE(ladder.next_deadline(at(20s)).has_value());
}

TEST_CASE("ladder_stays_up_only_when_quiet_before_the_window_ends") {
  auto ladder = begun();
  CHECK_FALSE(ladder.quiet(at(14s)));  // nothing has been killed
  CHECK(ladder.rung(at(15s)) == Rung::killing);
  CHECK_FALSE(Ladder(ladder).quiet(at(20s)));
  CHECK(ladder.quiet(at(20s - kTick)));
  CHECK(ladder.state() == LeaseState::ending);
  CHECK(ladder.rung(at(39s)) == Rung::killing);
  CHECK(ladder.feed_until() == at(40s - kTick));
  CHECK(ladder.act_until() == Instant{});
  CHECK_FALSE(ladder.extend(at(38s), at(39s)));  // writes work again: that changes nothing
  SECTION("while the keeper's loop runs") {
    ladder.stay_up(at(39s));
    CHECK(ladder.rung(at(59s - kTick)) == Rung::killing);
    CHECK(ladder.rung(at(59s)) == Rung::ended);
  }
  SECTION("and nothing of the guests is found after all") {
    ladder.disturbed(at(30s));
    CHECK(ladder.state() == LeaseState::ended);
  }
  SECTION("found and quiet again within the window") {
    auto early = begun();
    REQUIRE(early.rung(at(15s)) == Rung::killing);
    REQUIRE(early.quiet(at(16s)));
    early.disturbed(at(17s));
    CHECK(early.rung(at(17s)) == Rung::killing);
    CHECK(early.quiet(at(18s)));
    CHECK(early.quiet_since() == at(18s));
  }
}

TEST_CASE("ladder_that_is_released_waits_for_a_new_incarnation") {
  auto ladder = begun();
  REQUIRE(ladder.rung(at(15s)) == Rung::killing);
  REQUIRE(ladder.quiet(at(16s)));
  ladder.release(at(30s));
  CHECK(ladder.state() == LeaseState::released);
  CHECK_FALSE(ladder.extend(at(31s), at(32s)));
  CHECK(ladder.act_until() == Instant{});
  SECTION("over a restart of the keeper, whenever it comes") {
    Ladder later(kWindow);
    later.resume(ladder.kept(), at(400s));
    CHECK(later.state() == LeaseState::released);
    CHECK(later.feed_until() == at(420s));
    CHECK_FALSE(later.extend(at(401s), at(402s)));
  }
  SECTION("and begins a window with its first heartbeat") {
    ladder.renew();
    CHECK(ladder.state() == LeaseState::released);
    CHECK(ladder.extend(at(33s), at(34s)));
    CHECK(ladder.state() == LeaseState::held);
    CHECK(ladder.act_until() == at(43s));
    CHECK(ladder.rung(at(48s)) == Rung::killing);
    CHECK_FALSE(ladder.quiet_since().has_value());
  }
  SECTION("and ends where a guest is found") {
    ladder.disturbed(at(31s));
    CHECK(ladder.state() == LeaseState::ended);
    ladder.renew();
    CHECK_FALSE(ladder.extend(at(33s), at(34s)));
  }
}

TEST_CASE("ladder_of_an_incarnation_that_is_over_grants_nothing") {
  Ladder ladder(kWindow);  // the window was lost
  ladder.release(at(0s));
  CHECK_FALSE(ladder.extend(at(1s), at(2s)));
  CHECK(ladder.act_until() == Instant{});
}

TEST_CASE("ladder_resumes_only_inside_the_window") {
  const Ladder::Kept kept{at(0s), {}, true, false, false};
  const auto resumed = [](const Ladder::Kept& k, Duration when) {
    Ladder ladder(kWindow);
    ladder.resume(k, at(when));
    return ladder;
  };
  CHECK(resumed(kept, 1s).rung(at(1s)) == Rung::full);
  CHECK(resumed(kept, 15s - kTick).rung(at(0s)) == Rung::full);
  CHECK(resumed(kept, 15s).rung(at(0s)) == Rung::killing);
  CHECK(resumed(kept, 20s - kTick).state() == LeaseState::ending);
  CHECK(resumed(kept, 20s).rung(at(0s)) == Rung::ended);
  CHECK(resumed({at(0s), {}, true, true, false}, 1s).rung(at(1s)) == Rung::killing);
  CHECK(resumed({at(0s), {}, true, false, true}, 1s).rung(at(1s)) == Rung::ended);
  auto ladder = resumed(kept, 1s);
  CHECK(ladder.extend(at(2s), at(3s)));  // a read-back is owed from the restart on
  CHECK_FALSE(ladder.extend(at(4s), at(11s)));
}

// Every schedule of heartbeats, read-backs and looks on a coarse clock, against a naive oracle
// that remembers everything and decides anew each time.
TEST_CASE("ladder_agrees_with_an_oracle_in_every_short_history") {
  constexpr int kSteps = 7;
  constexpr int kEvents = 4;  // nothing, acknowledged at once, acknowledged late, read back
  constexpr Duration kStep = 3s;
  int histories = 1;
  for (int i = 0; i < kSteps; ++i) histories *= kEvents;
  for (int history = 0; history < histories; ++history) {
    auto ladder = begun();
    Duration base{0}, owed{0};
    bool killing = false, ended = false;
    auto left = history;
    for (int step = 1; step <= kSteps; ++step, left /= kEvents) {
      const auto now = step * kStep;
      killing = killing || now >= base + 15s;
      ended = ended || now >= base + 20s;
      const auto submitted = left % kEvents == 1 ? Duration(now) : Duration(now - 2s);
      if (left % kEvents == 1 || left % kEvents == 2) {
        const bool may = !killing && !ended && now < owed + 10s && submitted > base;
        REQUIRE(ladder.extend(at(submitted), at(now)) == may);
        if (may) base = submitted;
      } else if (left % kEvents == 3) {
        ladder.read_back(true, at(now));
        owed = now;
      }
      const auto expected = ended                ? Rung::ended
                            : killing            ? Rung::killing
                            : now < base + 10s   ? Rung::full
                                                 : Rung::no_starts;
      REQUIRE(ladder.rung(at(now)) == expected);
    }
  }
}

TEST_CASE("grants_move_the_last_two_rungs_and_no_right_to_act") {
  auto ladder = begun();
  REQUIRE(ladder.extend_by_grants(at(6s), at(7s)));
  CHECK(ladder.on_grants());
  CHECK(ladder.act_until() == at(10s));
  CHECK(ladder.kill_at() == at(21s));
  CHECK(ladder.feed_until() == at(26s));
  CHECK(ladder.rung(at(10s)) == Rung::no_starts);
  CHECK(ladder.rung(at(21s - kTick)) == Rung::no_starts);
  CHECK(ladder.next_deadline(at(10s)) == at(21s));
  CHECK(ladder.next_deadline(at(21s)) == at(26s));
  // An older request adds nothing, and a heartbeat that came in after all takes nothing away.
  CHECK_FALSE(ladder.extend_by_grants(at(5s), at(7s)));
  ladder.read_back(true, at(7s));
  CHECK(ladder.extend(at(2s), at(7s)));
  CHECK(ladder.feed_until() == at(26s));
  CHECK(ladder.extend(at(8s), at(9s)));
  CHECK_FALSE(ladder.on_grants());
  CHECK(ladder.feed_until() == at(28s));
}

// By the request's time, and never past it by more than T_F; and not once the host has lost guests.
TEST_CASE("grants_lengthen_only_a_window_that_stands") {
  CHECK_FALSE(begun(false).extend_by_grants(at(6s), at(7s)));
  CHECK_FALSE(Ladder(kWindow).extend_by_grants(at(6s), at(7s)));
  CHECK_FALSE(begun().extend_by_grants(at(7s + kTick), at(7s)));
  CHECK(begun().extend_by_grants(at(6s), at(15s - kTick)));
  CHECK_FALSE(begun().extend_by_grants(at(14s), at(15s)));
  CHECK_FALSE(begun().extend_by_grants(at(19s), at(20s)));
  auto lapsed = begun();
  lapsed.lapse();
  CHECK_FALSE(lapsed.extend_by_grants(at(1s), at(1s)));
  auto other = begun();  // another machine's word stands in the slot
  other.read_back(false, at(1s));
  CHECK_FALSE(other.extend_by_grants(at(2s), at(3s)));
}

TEST_CASE("a_window_that_rests_on_grants_is_resumed_as_such") {
  auto ladder = begun();
  REQUIRE(ladder.extend_by_grants(at(6s), at(7s)));
  Ladder resumed(kWindow);
  resumed.resume(ladder.kept(), at(20s));
  CHECK(resumed.rung(at(20s)) == Rung::no_starts);
  CHECK(resumed.feed_until() == at(26s));
  Ladder late(kWindow);
  late.resume(ladder.kept(), at(21s));
  CHECK(late.rung(at(21s)) == Rung::killing);
}

TEST_CASE("others_are_asked_from_a_quarter_of_the_window_on") {
  auto ladder = begun();
  CHECK(ladder.asks_from() == at(5s));
  CHECK_FALSE(begun(false).asks_from());
  CHECK(ladder.rung(at(15s)) == Rung::killing);
  CHECK_FALSE(ladder.asks_from());
}

TEST_CASE("ladder_that_rode_on_grants_may_stay_up_and_asks_for_none_then") {
  auto ladder = begun();
  REQUIRE(ladder.extend_by_grants(at(10s), at(11s)));
  // Both rungs count from the request.
  CHECK(ladder.kill_at() == at(10s + kWindow * 3 / 4));
  CHECK_FALSE(ladder.quiet(at(24s)));
  REQUIRE(ladder.quiet(at(26s)));
  CHECK_FALSE(ladder.extend_by_grants(at(25s), at(26s)));
  CHECK_FALSE(ladder.asks_from().has_value());
  ladder.release(at(29s));
  CHECK_FALSE(ladder.extend_by_grants(at(29s), at(30s)));
  ladder.renew();
  CHECK_FALSE(ladder.asks_from().has_value());
  CHECK_FALSE(ladder.extend_by_grants(at(29s), at(30s)));
  REQUIRE(ladder.extend(at(31s), at(31s)));
  // Of the next life: nothing is left of what was granted to the last one.
  CHECK_FALSE(ladder.on_grants());
  CHECK(ladder.kept().granted == Instant{});
  CHECK(ladder.feed_until() == at(31s + kWindow));
}

TEST_CASE("ladder_that_rests_takes_no_rung_and_is_fed_while_the_loop_runs") {
  auto ladder = begun();
  REQUIRE(ladder.rest(at(14s)));
  CHECK(ladder.rung(at(14s)) == Rung::rests);
  CHECK(ladder.state() == LeaseState::none);
  CHECK(ladder.act_until() == Instant{});
  CHECK_FALSE(ladder.asks_from());
  CHECK_FALSE(ladder.extend_by_grants(at(14s), at(15s)));
  CHECK_FALSE(ladder.extend(at(15s), at(16s)));
  for (Duration now = 16s; now < 200s; now += 5s) {
    CHECK(ladder.rung(at(now)) == Rung::rests);
    ladder.stay_up(at(now));
    CHECK(ladder.feed_until() == at(now + kWindow));
    CHECK(*ladder.next_deadline(at(now)) <= at(now + kWindow / 4));
  }
  // A loop that stands still is not fed on.
  CHECK(ladder.rung(at(196s + kWindow)) == Rung::ended);
  CHECK(ladder.feed_until() == Instant{});
}

TEST_CASE("ladder_that_woke_begins_its_window_with_the_next_heartbeat") {
  auto ladder = begun();
  REQUIRE(ladder.rest(at(1s)));
  for (Duration now = 1s; now <= 40s; now += 1s) ladder.stay_up(at(now));
  ladder.wake(at(40s));
  // One that was submitted before does not count, however late its acknowledgement comes.
  CHECK_FALSE(ladder.extend(at(40s - kTick), at(41s)));
  CHECK(ladder.rung(at(41s)) == Rung::rests);  // until then
  REQUIRE(ladder.extend(at(41s), at(42s)));
  CHECK_FALSE(ladder.rests());
  CHECK(ladder.state() == LeaseState::held);
  CHECK(ladder.feed_until() == at(41s + kWindow));
  CHECK(ladder.rung(at(41s + kWindow * 3 / 4)) == Rung::killing);
  // One that does not rest is not woken.
  auto awake = begun();
  awake.wake(at(1s));
  CHECK(awake.rung(at(15s)) == Rung::killing);
}

TEST_CASE("ladder_rests_only_under_a_lease_of_which_nothing_was_given_up") {
  CHECK_FALSE(begun(false).rest(at(1s)));
  auto killing = begun();
  CHECK_FALSE(killing.rest(at(15s)));
  CHECK(killing.rung(at(15s)) == Rung::killing);
  auto ended = begun();
  CHECK_FALSE(ended.rest(at(20s)));
  CHECK(ended.rung(at(20s)) == Rung::ended);
}

TEST_CASE("ladder_that_rests_is_resumed_so_and_its_window_may_be_another_one_then") {
  auto ladder = begun();
  REQUIRE(ladder.rest(at(1s)));
  Ladder resumed(kWindow);
  resumed.resume(ladder.kept(), at(100s));
  CHECK(resumed.rung(at(100s)) == Rung::rests);
  CHECK(resumed.feed_until() == at(100s + kWindow));
  resumed.set_window(6s);
  resumed.wake(at(100s));
  REQUIRE(resumed.extend(at(101s), at(101s)));
  CHECK(resumed.feed_until() == at(107s));
  CHECK_FALSE(resumed.kept().rests);
}
