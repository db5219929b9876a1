#include <catch2/catch.hpp>

#include "core_samples.hpp"
#include "libha/core/lock.hpp"

using namespace wardom;
using namespace wardom::core;
using namespace wardom::core::sample;

namespace {

// hears[a][b]: host a+1 hears host b+1. Who would take a free lock, as host `self` sees it?
struct Views {
  bool hears[3][3]{{true, true, true}, {true, true, true}, {true, true, true}};
  std::uint64_t beats[3]{1000, 1000, 1000};
  bool slots{true};  // everybody's slot can be read by everybody
  bool able[3]{true, true, true};
};

struct First {
  HostId decider;      // the first in line
  bool mine{false};
  bool backup{false};  // next in line, the first one taken out
};

First view_of(const Views& views, std::uint16_t self, MemberSet condemned = {}) {
  Evidence evidence({HostId{1}, HostId{2}, HostId{3}}, HostId{self}, Timing{});
  const auto sees = [&](int host) {
    MemberSet set;
    for (int other = 0; other < 3; ++other)
      if (views.hears[host][other]) set.set(static_cast<std::size_t>(other));
    return set;
  };
  for (int host = 0; host < 3; ++host) {
    const HostId id{static_cast<std::uint16_t>(host + 1)};
    if (views.slots)
      for (std::uint64_t sequence : {1, 2}) {
        auto cell = slot(id, sequence, 5, views.beats[host]);
        std::get<Slot>(cell.content).sees_mgmt = sees(host);
        evidence.on_slot(cell, at(0), at(0));
      }
    if (host + 1 == self || !views.hears[self - 1][host]) continue;
    auto one = beat(id, Link::mgmt, views.beats[host]);
    one.sees_mgmt = sees(host);
    one.volume_ok = views.able[host];
    evidence.on_beat(one, at(0));
  }
  Board board({HostId{1}, HostId{2}, HostId{3}});
  RuleInputs inputs;
  inputs.own_beats = views.beats[self - 1];
  inputs.gone = condemned;
  inputs.proposers.set();
  inputs.able = views.able[self - 1];
  const auto line = contention(evidence, board, inputs, at(1));
  if (line.order.empty() || line.groups.own != 0) return {};
  First first;
  first.decider = line.order[0];
  first.mine = first.decider == HostId{self};
  first.backup =
      !first.mine && (line.place(HostId{self}, first.decider) == std::size_t{0} || line.young);
  return first;
}

}  // namespace

TEST_CASE("decide_by_the_lowest_id", "[lock]") {
  CHECK(view_of({}, 1).mine);
  CHECK(view_of({}, 2).decider == HostId{1});
  CHECK(view_of({}, 2).backup);
  CHECK_FALSE(view_of({}, 3).backup);
}

TEST_CASE("leave_deciding_to_the_heavier_group", "[lock]") {
  Views alone;
  for (int other : {1, 2}) alone.hears[0][other] = alone.hears[other][0] = false;
  CHECK(view_of(alone, 1).decider == kNoHost);
  CHECK(view_of(alone, 2).mine);
  CHECK(view_of(alone, 3).decider == HostId{2});
}

TEST_CASE("decide_nothing_where_nobody_hears", "[lock]") {
  Views mute;  // host 1 hears all and is heard by none
  mute.hears[1][0] = mute.hears[2][0] = false;
  CHECK(view_of(mute, 1).decider == kNoHost);
  CHECK(view_of(mute, 2).mine);
  Views deaf;  // host 1 is heard by all and hears none
  deaf.hears[0][1] = deaf.hears[0][2] = false;
  CHECK(view_of(deaf, 1).decider == kNoHost);
  CHECK(view_of(deaf, 2).mine);
  CHECK(view_of(deaf, 3).decider == HostId{2});
}

TEST_CASE("agree_over_a_link_that_is_cut_between_two", "[lock]") {
  Views cut;  // 1 and 2 do not hear each other, 3 hears both
  cut.hears[0][1] = cut.hears[1][0] = false;
  for (std::uint16_t self = 1; self <= 3; ++self) CHECK(view_of(cut, self).decider == HostId{1});
}

// Over all views of three hosts there is at most one host that counts itself the decider, as long
// as all have the same newest beats and slots.
TEST_CASE("never_two_at_a_time_over_all_views", "[lock]") {
  for (int bits = 0; bits < 64; ++bits) {
    Views views;
    int bit = 0;
    for (int a = 0; a < 3; ++a)
      for (int b = 0; b < 3; ++b)
        if (a != b) views.hears[a][b] = ((bits >> bit++) & 1) != 0;
    int deciders = 0;
    for (std::uint16_t self = 1; self <= 3; ++self) deciders += view_of(views, self).mine ? 1 : 0;
    INFO(bits);
    CHECK(deciders <= 1);
  }
}

TEST_CASE("leave_deciding_to_those_who_saw_it", "[lock]") {
  Views restarted;
  restarted.beats[0] = 3;
  CHECK(view_of(restarted, 1).decider == HostId{2});
  CHECK(view_of(restarted, 2).mine);
  CHECK(view_of(restarted, 1).backup);  // keeps its BMC sessions warm for its turn
  restarted.beats[0] = kYoungBeats;
  CHECK(view_of(restarted, 1).mine);
  Views cold;  // all have just started
  for (auto& beats : cold.beats) beats = 2;
  CHECK(view_of(cold, 1).mine);
  CHECK(view_of(cold, 3).decider == HostId{1});
}

TEST_CASE("leave_deciding_to_those_who_can_use_the_volume", "[lock]") {
  Views cut;
  cut.able[0] = false;
  for (std::uint16_t self = 1; self <= 3; ++self) CHECK(view_of(cut, self).decider == HostId{2});
}

namespace {

// Four hosts in two groups as their slots and beats say, and what stands in their tables.
struct Two {
  Two() {
    for (int number : {1, 2, 3, 4}) {
      const auto id = static_cast<std::uint16_t>(number);
      const HostId host{id};
      MemberSet with;
      for (std::size_t i : {std::size_t{0}, std::size_t{1}}) with.set(id <= 2 ? i : i + 2);
      for (std::uint64_t sequence : {1, 2}) {
        auto cell = slot(host, sequence, 5, sequence);
        std::get<Slot>(cell.content).sees_mgmt = with;
        evidence.on_slot(cell, at(0), at(0));
      }
      if (id != 4) continue;
      auto one = beat(host, Link::mgmt, 1000);
      one.sees_mgmt = with;
      one.volume_ok = true;
      evidence.on_beat(one, at(0));
    }
    inputs.own_beats = 1000;
    inputs.proposers.set();
  }
  void holds(std::uint16_t host, std::size_t guests) {
    CellSeen cell;
    cell.cell = {Region::table, host};
    cell.health = CellHealth::valid;
    cell.incarnation = boot(5);
    cell.sequence = Sequence{1};
    HostTable table;
    for (std::size_t i = 0; i < guests; ++i) {
      GuestEntry entry;
      entry.guest.bytes[0] = static_cast<std::uint8_t>(i + 1);
      entry.phase = GuestPhase::holding;
      entry.holder = boot(5);
      table.guests.push_back(entry);
    }
    cell.content = table;
    board.on_read(cell, at(0));
  }
  Contention line() { return contention(evidence, board, inputs, at(1)); }

  std::vector<HostId> members{HostId{1}, HostId{2}, HostId{3}, HostId{4}};
  Evidence evidence{members, HostId{3}, Timing{}};
  Board board{members};
  RuleInputs inputs;
};

}  // namespace

TEST_CASE("equal_groups_contend_by_the_lowest_id_and_none_outweighs", "[lock]") {
  Two two;
  const auto line = two.line();
  CHECK(to_text(line.groups.division(), two.members) == "host 1, host 2 | host 3, host 4");
  CHECK(line.groups.own == 1);
  CHECK_FALSE(line.groups.outweighed());
  CHECK(line.place(HostId{3}) == kPlacesPerGroup);
  CHECK(line.place(HostId{4}) == kPlacesPerGroup + 1);
  CHECK_FALSE(line.place(HostId{1}));
}

TEST_CASE("more_guests_outweigh_as_many_hosts", "[lock]") {
  Two two;
  two.holds(4, 2);
  two.holds(1, 1);
  CHECK(two.line().groups.own == 0);
  CHECK_FALSE(two.line().groups.outweighed());
  two.holds(2, 3);
  CHECK(two.line().groups.outweighed());
  Two other;
  other.holds(2, 3);
  other.holds(4, 2);
  CHECK(other.line().groups.outweighed());
}

TEST_CASE("hosts_whose_end_is_known_weigh_nothing", "[lock]") {
  Two two;
  two.inputs.gone.set(0);
  CHECK(to_text(two.line().groups.division(), two.members) == "host 3, host 4 | host 2");
  two.inputs.gone.set(1);
  CHECK_FALSE(two.line().groups.split());
  CHECK(two.line().place(HostId{3}) == std::size_t{0});
}

TEST_CASE("a_host_without_daemon_weighs_nothing", "[lock]") {
  Two two;
  const auto later = disk_silent_after(Timing{}) + milliseconds{50};
  for (HostId id : {HostId{1}, HostId{2}}) {  // the slots grow, the daemons' progress does not
    auto cell = slot(id, 3, 5, 2);
    two.evidence.on_slot(cell, at(0) + later, at(0) + later);
  }
  const auto line = contention(two.evidence, two.board, two.inputs, at(1) + later);
  CHECK(to_text(line.groups.division(), two.members) == "host 3");
}

TEST_CASE("who_cannot_be_asked_whom_it_hears_is_no_group_of_its_own", "[lock]") {
  Two two;
  auto one = beat(HostId{4}, Link::mgmt, 1001);
  one.volume_ok = true;  // its bits were dropped: its wardom.toml differs
  two.evidence.on_beat(one, at(0));
  CHECK(to_text(two.line().groups.division(), two.members) == "host 1, host 2 | host 3 | host 4");
  two.inputs.strangers.set(3);
  CHECK(to_text(two.line().groups.division(), two.members) == "host 1, host 2 | host 3, host 4");
}

TEST_CASE("only_proposers_stand_in_the_line", "[lock]") {
  Two two;
  two.inputs.proposers.reset(2);
  CHECK(two.line().order == std::vector{HostId{4}});
}

TEST_CASE("never_by_a_condemned_host", "[lock]") {
  MemberSet condemned;
  condemned.set(0);
  CHECK(view_of({}, 1, condemned).decider == HostId{2});
  CHECK(view_of({}, 2, condemned).mine);
}

namespace {

// Four hosts that hear one another, as host 1 sees them, and the rings of their corosyncs.
struct Rings {
  std::vector<HostId> members{HostId{1}, HostId{2}, HostId{3}, HostId{4}};
  Evidence evidence{members, HostId{1}, Timing{}};
  Board board{members};
  RuleInputs inputs;
  std::uint64_t beats{1000};

  explicit Rings(std::vector<std::uint64_t> rings) {
    inputs.own_beats = 1000;
    inputs.proposers.set();
    inputs.ring = ring(rings[0]);
    for (std::size_t i = 1; i < members.size(); ++i) says(i, rings[i]);
  }
  static RingId ring(std::uint64_t sequence) { return {sequence == 0 ? 0u : 1u, sequence}; }
  void says(std::size_t i, std::uint64_t sequence) {
    auto one = beat(members[i], Link::mgmt, ++beats);
    one.sees_mgmt = MemberSet{0b1111};
    one.volume_ok = true;
    one.ring = ring(sequence);
    evidence.on_beat(one, at(0));
  }
  Contention line() const { return contention(evidence, board, inputs, at(1)); }
  std::vector<int> order() const {
    std::vector<int> ids;
    for (HostId host : line().order) ids.push_back(host.value);
    return ids;
  }
  RingId told(RingFormed formed) const { return ring_to_tell(evidence, formed, at(1)); }
};

}  // namespace

TEST_CASE("who_is_in_no_ring_stands_behind_all_that_are", "[lock]") {
  CHECK(Rings({0, 0, 0, 0}).order() == std::vector{1, 2, 3, 4});
  CHECK(Rings({7, 7, 7, 7}).order() == std::vector{1, 2, 3, 4});
  CHECK_FALSE(Rings({0, 0, 0, 0}).line().outside);
  const Rings out({0, 7, 0, 7});
  CHECK(out.order() == std::vector{2, 4, 1, 3});
  CHECK(out.line().outside);
  CHECK(out.line().place(HostId{4}) == std::size_t{1});
  CHECK(out.line().place(HostId{1}) == 2 + kPlacesOutsideRing);
  CHECK(out.line().place(HostId{3}, HostId{1}) == 2 + kPlacesOutsideRing);
}

TEST_CASE("the_ring_with_most_of_the_line_stands_before", "[lock]") {
  CHECK(Rings({7, 8, 8, 8}).order() == std::vector{2, 3, 4, 1});
  CHECK(Rings({7, 8, 8, 8}).line().outside);
  CHECK(Rings({7, 7, 8, 8}).order() == std::vector{1, 2, 3, 4});
  CHECK_FALSE(Rings({7, 7, 8, 8}).line().outside);
  CHECK(Rings({7, 7, 8, 0}).order() == std::vector{1, 2, 3, 4});
  Rings unable({7, 8, 8, 0});
  unable.inputs.gone.set(1);  // hosts that cannot own the lock make no ring heavier
  CHECK_FALSE(unable.line().outside);
}

TEST_CASE("a_ring_that_another_has_left_for_a_later_one_is_not_told", "[lock]") {
  const RingFormed formed{{1, 7}, {HostId{1}, HostId{2}, HostId{9}}, true};
  CHECK(Rings({7, 7, 9, 9}).told(formed) == RingId{1, 7});
  CHECK(Rings({7, 0, 0, 0}).told(formed) == RingId{1, 7});
  CHECK(Rings({7, 5, 0, 0}).told(formed) == RingId{1, 7});
  CHECK(Rings({7, 9, 0, 0}).told(formed) == RingId{});
}
