#include <catch2/catch.hpp>

#include "core_samples.hpp"
#include "libha/core/fencing.hpp"

using namespace wardom;
using namespace wardom::core;
using namespace wardom::core::sample;

namespace {

constexpr Duration kLate = seconds{10};
constexpr HostState kAlive = HostState::alive;

// What host 1 knows of host 2, boot 5, while Pacemaker wants it fenced. Host 2 lives up to 0 ms.
struct Site {
  Evidence evidence{domain()};
  Board board{{kSelf, kPeer, kThird}};
  Fencing fencing;
  std::int64_t reads{0};

  explicit Site(bool stay_up = false, Duration late_after_off = {})
      : fencing(evidence, board, stay_up) {
    VolumeReady ready;
    ready.late_writes = kLate;
    ready.late_writes_after_off = late_after_off;
    fencing.on_ready(ready);
    evidence.on_quorum(true, {kSelf, kPeer, kThird});
    evidence.on_ring_members({kSelf, kPeer, kThird});
    evidence.on_observer(true);
    evidence.on_slot(slot(kPeer, 1), at(-700), at(-690));
    evidence.on_slot(slot(kPeer, 2), at(-200), at(-190));
    evidence.on_power(kPeer, Power::on, "", at(-100), at(-90));
    evidence.on_beat(beat(kPeer, Link::mgmt, 1), at(0));
  }
  void ask(std::int64_t ms, Wish wish = Wish::fence, Duration patience = seconds{50}) {
    OperatorAsk ask;
    ask.from = kThird;
    ask.request = Ticket{9};
    ask.wish = wish;
    ask.host = kPeer;
    ask.time = std::chrono::floor<milliseconds>(patience);
    REQUIRE(fencing.take(ask, at(ms)));
  }
  void power(Power power, std::int64_t ms) {
    evidence.on_power(kPeer, power, "", at(ms), at(ms + 5));
  }
  void slot_stands(std::int64_t ms) { evidence.on_slot(slot(kPeer, 2), at(ms), at(ms + 5)); }
  void leaves_ring() { evidence.on_quorum(true, {kSelf, kThird}); }
  void joins_ring() { evidence.on_quorum(true, {kSelf, kPeer, kThird}); }
  void verdict(Proof proof, std::uint64_t number = 5) {
    Decision decision;
    decision.version = LockVersion{1};
    Verdict verdict;
    verdict.host = kPeer;
    verdict.incarnation = boot(number);
    verdict.proof = proof;
    decision.verdicts.push_back(verdict);
    CellSeen cell;
    cell.cell = {Region::decision, kSelf.value};
    cell.health = CellHealth::valid;
    cell.incarnation = boot(5);
    cell.sequence = Sequence{static_cast<std::uint64_t>(++reads)};
    cell.content = decision;
    board.on_read(cell, at(reads));
  }
  // How it ended; nullopt: it has not. "" : in vain.
  std::optional<std::string> ended(std::int64_t ms, bool decides = true) {
    fencing.look(decides, at(ms));
    const auto all = fencing.take_ended();
    if (all.empty()) return std::nullopt;
    CHECK(all[0].ask.request == Ticket{9});
    return all[0].done ? all[0].how.substr(0, all[0].how.find(':')) : std::string();
  }
  // Off as read twice, and silent, from that moment on.
  void goes_off(std::int64_t ms) {
    power(Power::off, ms);
    power(Power::off, ms + 50);
    slot_stands(ms + 1500);
  }
};

}  // namespace

TEST_CASE("a_living_host_is_fenced_by_two_readings_and_a_verdict", "[fencing]") {
  Site site;
  site.ask(0);
  CHECK(site.fencing.wish(kPeer, kAlive) != nullptr);
  CHECK(site.fencing.wish(kThird, kAlive) == nullptr);
  CHECK_FALSE(site.ended(50));
  site.goes_off(100);
  CHECK_FALSE(site.ended(2000));  // nothing stands on the volume
  site.verdict(Proof::power_off);
  CHECK(site.ended(2010) == "power-off");  // though corosync has not noticed it yet
  CHECK(site.fencing.wish(kPeer, kAlive) == nullptr);
}

TEST_CASE("writes_after_a_power_off_are_waited_for", "[fencing]") {
  Site site(false, seconds{3});
  site.ask(0);
  site.goes_off(100);
  site.verdict(Proof::power_off);
  CHECK_FALSE(site.ended(2000));
  CHECK(site.fencing.next_deadline() > at(4900));
  CHECK_FALSE(site.ended(4990));
  CHECK(site.ended(5100) == "power-off");
}

TEST_CASE("a_verdict_of_before_fences_nothing_by_itself", "[fencing]") {
  Site site;
  site.goes_off(100);
  site.verdict(Proof::power_off);
  site.fencing.look(true, at(2000));
  site.leaves_ring();
  site.ask(60'000);
  CHECK_FALSE(site.ended(60'010));  // its power was read before it was asked for
  SECTION("its BMC still reads off") {
    site.power(Power::off, 60'020);
    CHECK_FALSE(site.ended(60'030));  // one reading may be a slip
    site.power(Power::off, 60'050);
    CHECK(site.ended(60'060) == "power-off");
  }
  SECTION("it has been switched on since, without Wardom") {
    site.power(Power::on, 60'020);
    CHECK_FALSE(site.ended(70'000));
    CHECK(site.fencing.wish(kPeer, HostState::dead) != nullptr);
    site.power(Power::off, 70'000);
    CHECK_FALSE(site.ended(70'010));
    site.power(Power::off, 70'050);
    CHECK(site.ended(70'060) == "power-off");
  }
  SECTION("its BMC reads off, and it is in corosync's ring") {
    site.joins_ring();
    site.power(Power::off, 60'020);
    CHECK_FALSE(site.ended(60'030));
    site.leaves_ring();
    CHECK_FALSE(site.ended(63'000));
    site.power(Power::off, 63'010);
    CHECK(site.ended(63'020) == "power-off");
  }
  SECTION("its BMC reads off, and it may be in another ring") {
    site.evidence.on_quorum(false, {kSelf});
    site.power(Power::off, 60'020);
    CHECK_FALSE(site.ended(60'030));
  }
  SECTION("its BMC is dead too") {
    site.power(Power::unknown, 60'020);
    CHECK_FALSE(site.ended(60'030));
    CHECK_FALSE(site.ended(60'020 + 2 * 1999));
    CHECK(site.ended(60'100 + 2 * 2000) == "power-off");
  }
  SECTION("its BMC is dead too, and it may be in another ring") {
    site.evidence.on_quorum(false, {kSelf});
    site.power(Power::unknown, 60'020);
    CHECK_FALSE(site.ended(60'030));
    CHECK_FALSE(site.ended(80'000));
  }
  SECTION("its BMC is dead too, and it was in the ring since") {
    site.joins_ring();
    site.leaves_ring();
    site.power(Power::unknown, 60'020);
    CHECK_FALSE(site.ended(60'030));
    CHECK_FALSE(site.ended(80'000));
  }
}

TEST_CASE("a_host_that_released_its_guests_still_runs", "[fencing]") {
  Site site;
  site.verdict(Proof::released);
  site.leaves_ring();
  site.ask(1000);
  SECTION("and its BMC answers nobody") {
    site.slot_stands(2000);
    site.power(Power::unknown, 2000);
    CHECK_FALSE(site.ended(2100));
    CHECK_FALSE(site.ended(40'000));
  }
  SECTION("until its power is off") {
    site.goes_off(2000);
    CHECK(site.ended(4000) == "power-off");
  }
}

TEST_CASE("a_lease_that_expired_is_as_good_once_late_writes_have_landed", "[fencing]") {
  const bool stay_up = GENERATE(false, true);
  Site site(stay_up);
  site.ask(1000);
  site.power(Power::unknown, 1000);
  site.slot_stands(40'000);
  site.leaves_ring();
  site.verdict(Proof::lease_expired);
  CHECK_FALSE(site.ended(40'000));
  CHECK_FALSE(site.ended(49'900));
  site.slot_stands(50'050);
  if (stay_up)  // its guests are gone, and nothing says that the machine was reset
    CHECK_FALSE(site.ended(50'200));
  else
    CHECK(site.ended(50'200) == "lease-expired");
}

TEST_CASE("a_boot_that_began_later_is_not_shot_at", "[fencing]") {
  Site site;
  site.ask(1000);
  const auto leased = [](std::uint64_t sequence, Duration up) {
    auto seen = slot(kPeer, sequence, 6, 1, up);
    std::get<Slot>(seen.content).t_f_ms = 20'000;
    std::get<Slot>(seen.content).w_ms = 7000;
    return seen;
  };
  site.slot_stands(24'000);
  SECTION("it began before") {
    site.evidence.on_slot(leased(3, seconds{24}), at(24'500), at(24'510));
    CHECK(site.fencing.wish(kPeer, kAlive) != nullptr);
    site.verdict(Proof::rebooted);
    CHECK_FALSE(site.ended(25'000));
  }
  SECTION("it began after") {
    site.evidence.on_slot(leased(3, seconds{20}), at(24'500), at(24'510));
    CHECK(site.fencing.wish(kPeer, kAlive) == nullptr);
    CHECK_FALSE(site.ended(25'000));
    site.verdict(Proof::rebooted);
    CHECK_FALSE(site.ended(25'000));
    CHECK_FALSE(site.ended(34'900));
    CHECK(site.ended(35'200) == "rebooted");
  }
  SECTION("it began after, by a clock that may have stood still") {
    auto seen = leased(3, seconds{20});
    std::get<Slot>(seen.content).w_ms = 0;
    site.evidence.on_slot(seen, at(24'500), at(24'510));
    site.verdict(Proof::rebooted);
    CHECK(site.fencing.wish(kPeer, kAlive) == nullptr);
    CHECK_FALSE(site.ended(45'000));
  }
}

TEST_CASE("who_lives_in_another_split_group_is_left_alone_if_so_wished", "[fencing]") {
  Site site;
  site.ask(0, Wish::fence_unless_split);
  const auto state = GENERATE(HostState::isolated, HostState::split);
  CHECK(site.fencing.wish(kPeer, state) == nullptr);
  CHECK(site.fencing.wish(kPeer, HostState::suspect) != nullptr);
  CHECK(site.fencing.wish(kPeer, kAlive) != nullptr);
  Site other;
  other.ask(0, Wish::fence);
  CHECK(other.fencing.wish(kPeer, state) != nullptr);
}

TEST_CASE("a_fencing_ends_with_its_time", "[fencing]") {
  Site site;
  site.ask(0, Wish::fence, seconds{3});
  CHECK(site.fencing.next_deadline() == at(3000));
  CHECK_FALSE(site.ended(2999));
  CHECK(site.ended(3000) == "");
  CHECK(site.fencing.wish(kPeer, kAlive) == nullptr);
  site.ask(4000, Wish::fence, std::chrono::hours{2});
  CHECK(site.fencing.next_deadline() == at(4000) + kFencingPatienceMax);
}

TEST_CASE("what_another_decider_has_seen_to_is_forgotten", "[fencing]") {
  Site site;
  site.ask(0);
  SECTION("by its answer") {
    site.fencing.on_answered({kThird, Ticket{8}, 0, ""});
    CHECK(site.fencing.wish(kPeer, kAlive) != nullptr);
    site.fencing.on_answered({kThird, Ticket{9}, 0, ""});
  }
  SECTION("by its verdict") {
    site.verdict(Proof::power_off);
    site.fencing.look(false, at(100));
    CHECK(site.fencing.take_ended().empty());
  }
  CHECK(site.fencing.wish(kPeer, kAlive) == nullptr);
}

TEST_CASE("no_more_fencings_are_kept_than_have_room", "[fencing]") {
  Site site;
  OperatorAsk ask;
  ask.wish = Wish::fence;
  ask.host = HostId{9};
  ask.time = seconds{5};
  CHECK_FALSE(site.fencing.take(ask, at(0)));  // no member
  ask.host = kPeer;
  for (std::size_t i = 0; i < kMaxFencings; ++i) REQUIRE(site.fencing.take(ask, at(0)));
  CHECK_FALSE(site.fencing.take(ask, at(0)));
}
