// What the keeper requires before grants lengthen its host's window.
#include <catch2/catch.hpp>

#include "agents/keeper/ride.hpp"

using namespace wardom;
using namespace wardom::keeper;
using namespace std::chrono_literals;

namespace {

constexpr Duration kWindow = 16s;
constexpr HostId kTwo{2}, kThree{3};
constexpr Instant at(Duration d) { return Instant{1000s + d}; }

// Its newest heartbeat, at(0), is acknowledged and names these.
Ride begun(std::vector<HostId> unasked = {}, bool takes_part = true) {
  Ride ride(takes_part, kWindow);
  ride.submitted(at(0s), std::move(unasked));
  ride.acknowledged(at(0s));
  return ride;
}

bool allows(const Ride& ride, Instant stamp, std::vector<HostId> unasked = {}) {
  return ride.allows(stamp, unasked);
}

}  // namespace

TEST_CASE("only_a_moment_that_the_keeper_has_noted_counts") {
  auto ride = begun();
  CHECK_FALSE(allows(ride, at(5s)));
  CHECK(ride.stamp(at(5s)) == at(5s));
  CHECK(allows(ride, at(5s)));
  CHECK_FALSE(allows(ride, at(5s) + Duration{1}));
  CHECK_FALSE(allows(ride, at(9s)));
}

TEST_CASE("a_host_that_does_not_take_part_never_rides") {
  auto ride = begun({}, false);
  ride.stamp(at(5s));
  CHECK_FALSE(ride.takes_part());
  CHECK_FALSE(allows(ride, at(5s)));
}

// Others must be able to read that this host may do it, and whom it leaves out.
TEST_CASE("nothing_counts_before_a_heartbeat_of_this_keeper_is_acknowledged") {
  Ride ride(true, kWindow);
  ride.submitted(at(0s), {kTwo});
  ride.stamp(at(1s));
  CHECK_FALSE(allows(ride, at(1s)));
  ride.acknowledged(at(0s));
  CHECK(allows(ride, at(1s)));
  CHECK(allows(ride, at(1s), {kTwo}));
  CHECK_FALSE(allows(ride, at(1s), {kThree}));
}

TEST_CASE("whoever_is_left_out_is_named_by_every_heartbeat_that_may_be_read") {
  auto ride = begun({kTwo});
  ride.stamp(at(1s));
  ride.submitted(at(2s), {kTwo, kThree});
  CHECK(allows(ride, at(1s), {kTwo}));
  CHECK_FALSE(allows(ride, at(1s), {kTwo, kThree}));  // not acknowledged yet
  ride.acknowledged(at(2s));
  CHECK(allows(ride, at(1s), {kTwo, kThree}));
  ride.submitted(at(3s), {kThree});  // may land, and then host 2 times this one
  CHECK_FALSE(allows(ride, at(1s), {kTwo}));
  CHECK(allows(ride, at(1s), {kThree}));
  ride.submitted(at(4s), {kTwo, kThree});
  CHECK_FALSE(allows(ride, at(1s), {kTwo}));
  ride.acknowledged(at(4s));
  CHECK(allows(ride, at(1s), {kTwo}));
  ride.acknowledged(at(3s));  // late: a newer one stands
  CHECK(allows(ride, at(1s), {kTwo}));
}

TEST_CASE("what_many_unacknowledged_heartbeats_have_said_is_not_forgotten") {
  auto ride = begun({kTwo});
  ride.stamp(at(1s));
  for (int i = 0; i < 200; ++i)
    ride.submitted(at(2s + i * 1s), i == 150 ? std::vector<HostId>{} : std::vector{kTwo});
  CHECK_FALSE(allows(ride, at(1s), {kTwo}));
}

TEST_CASE("moments_are_noted_a_sixteenth_of_the_window_apart") {
  auto ride = begun();
  CHECK(ride.due(at(4s)) == at(4s));
  ride.stamp(at(4s));
  CHECK(ride.due(at(4s)) == at(5s));
  CHECK(ride.due(at(9s)) == at(9s));
}
