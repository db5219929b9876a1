#include <catch2/catch.hpp>

#include "core_samples.hpp"
#include "libha/core/judge.hpp"

using namespace wardom;
using namespace wardom::core;
using namespace wardom::core::sample;

TEST_CASE("refuse_stale_and_replayed_beats", "[evidence]") {
  auto evidence = domain();
  const auto counts = [&](const Beat& one, Instant now) {
    return evidence.on_beat(one, now) != BeatNews::none;
  };
  CHECK(counts(beat(kPeer, Link::mgmt, 5), at(0)));
  CHECK_FALSE(counts(beat(kPeer, Link::mgmt, 5), at(10)));  // equal
  CHECK_FALSE(counts(beat(kPeer, Link::mgmt, 4), at(10)));  // lower
  CHECK(counts(beat(kPeer, Link::storage, 4), at(10)));     // each link counts by itself
  CHECK(counts(beat(kPeer, Link::mgmt, 1, 5, 10), at(20)));  // a new run starts anew
  CHECK_FALSE(counts(beat(kPeer, Link::mgmt, 99, 5, 9), at(30)));  // the old run is over
  CHECK_FALSE(counts(beat(kPeer, Link::mgmt, 9, 4, 11), at(30)));  // an earlier boot
  CHECK_FALSE(counts(beat(kPeer, Link::mgmt, 9, 5, 0), at(30)));   // no run at all
  CHECK_FALSE(counts(beat(HostId{7}, Link::mgmt, 9), at(30)));     // no member
  CHECK_FALSE(counts(beat(kSelf, Link::mgmt, 9), at(30)));
  CHECK(evidence.of(kPeer).beats.last_any() == at(20));
}

TEST_CASE("on_beat_tells_a_bare_sign_of_life_from_news", "[evidence]") {
  auto evidence = domain();
  const auto silence = evidence.timing().suspect_after;
  const auto second = at(10);
  CHECK(evidence.on_beat(beat(kPeer, Link::mgmt, 1), at(0)) == BeatNews::changed);
  CHECK(evidence.on_beat(beat(kPeer, Link::mgmt, 2), second) == BeatNews::alive);
  CHECK(evidence.on_beat(beat(kPeer, Link::storage, 1), second) == BeatNews::changed);
  CHECK(evidence.on_beat(beat(kPeer, Link::mgmt, 3), second + silence) == BeatNews::alive);
  CHECK(evidence.on_beat(beat(kPeer, Link::mgmt, 4), second + 2 * silence + Duration{1}) ==
        BeatNews::changed);  // it was silent on this link
  auto other = beat(kPeer, Link::mgmt, 5);
  other.table_sequence = Sequence{1};
  CHECK(evidence.on_beat(other, second + 2 * silence + Duration{2}) == BeatNews::changed);
}

TEST_CASE("slot_lives_only_by_growing", "[evidence]") {
  auto evidence = domain();
  evidence.on_slot(slot(kPeer, 10), at(0), at(1));
  CHECK_FALSE(evidence.of(kPeer).disk.grew);  // the first read shows nothing about life
  CHECK_FALSE(evidence.of(kPeer).last_life());
  evidence.on_slot(slot(kPeer, 10), at(100), at(101));
  CHECK(evidence.of(kPeer).disk.same_read_issued == at(100));
  evidence.on_slot(slot(kPeer, 11), at(200), at(205));
  CHECK(evidence.of(kPeer).disk.timer_zero == at(205));  // the completion
  CHECK_FALSE(evidence.of(kPeer).disk.same_read_issued);
  evidence.on_slot(slot(kPeer, 9), at(300), at(301));    // lower: a stale write
  evidence.on_slot(slot(kPeer, 99, 4), at(300), at(301));  // an earlier boot's
  CHECK(evidence.of(kPeer).disk.timer_zero == at(205));
  CHECK_FALSE(evidence.of(kPeer).disk.same_read_issued);
  auto damaged = slot(kPeer, 12);
  damaged.health = CellHealth::damaged;
  evidence.on_slot(damaged, at(400), at(401));
  CHECK(evidence.of(kPeer).disk.sequence == Sequence{11});
  evidence.on_slot(slot(kPeer, 1, 6), at(500), at(501));  // a new boot is life
  CHECK(evidence.of(kPeer).incarnation() == boot(6));
  CHECK(evidence.of(kPeer).last_life() == at(501));
}

TEST_CASE("distrust_a_bmc_that_reads_off_beside_life", "[evidence]") {
  auto evidence = domain();
  std::uint64_t sequence = 0;
  // Asked every 250 ms: each single reading is young when the next beat comes.
  for (int now = 0; now < 4000; now += 50) {
    if (now % 250 == 0) evidence.on_power(kPeer, Power::off, "", at(now), at(now + 5));
    evidence.on_beat(beat(kPeer, Link::mgmt, ++sequence), at(now + 10));
  }
  CHECK(evidence.of(kPeer).bmc_distrusted());
  evidence.on_beat(beat(kPeer, Link::mgmt, 1, 6, 10), at(5000));
  CHECK_FALSE(evidence.of(kPeer).bmc_distrusted());  // another boot, another word
}

TEST_CASE("distrust_a_bmc_that_another_host_saw_lie_in_this_boot_alone", "[evidence]") {
  auto evidence = domain();
  const auto distrusted = [&] { return evidence.of(kPeer).bmc_distrusted(); };
  auto accuser = beat(kThird, Link::mgmt, 1);
  evidence.on_beat(beat(kPeer, Link::mgmt, 1, 5), at(0));
  evidence.on_beat(accuser, at(0));
  CHECK(evidence.lying_bmcs().empty());
  const auto says = [&](std::uint64_t number) {
    accuser.sequence = accuser.sequence.next();
    accuser.lying_bmc = {kPeer, number};
    return evidence.on_beat(accuser, at(10));
  };
  CHECK(says(4) == BeatNews::changed);  // of a boot that is over
  CHECK_FALSE(distrusted());
  CHECK(evidence.lying_bmcs().empty());
  CHECK(says(5) == BeatNews::changed);
  CHECK(distrusted());
  CHECK(says(5) == BeatNews::alive);  // known by now
  CHECK(evidence.lying_bmcs() == std::vector<LyingBmc>{{kPeer, 5}});
  CHECK(says(4) == BeatNews::alive);
  accuser.lying_bmc = {};  // who says it no more takes nothing back
  accuser.sequence = accuser.sequence.next();
  evidence.on_beat(accuser, at(10));
  CHECK(distrusted());
  evidence.on_beat(beat(kPeer, Link::mgmt, 1, 6, 10), at(20));
  CHECK_FALSE(distrusted());
  CHECK(says(5) == BeatNews::alive);  // a host that has not seen the new boot yet
  CHECK_FALSE(distrusted());
  CHECK(says(8) == BeatNews::changed);  // one that has seen a later one than this host
  CHECK(distrusted());
  CHECK(evidence.lying_bmcs() == std::vector<LyingBmc>{{kPeer, 8}});
  evidence.on_slot(slot(kPeer, 1, 8), at(30), at(31));
  CHECK(distrusted());
  evidence.on_slot(slot(kPeer, 1, 9), at(40), at(41));
  CHECK_FALSE(distrusted());
}

TEST_CASE("what_lying_bmcs_are_told_of_is_kept_for_members_alone", "[evidence]") {
  auto evidence = domain();
  CHECK_FALSE(evidence.on_lying_bmc({HostId{9}, 5}));
  CHECK_FALSE(evidence.on_lying_bmc({}));
  CHECK(evidence.on_lying_bmc({kThird, 5}));
  CHECK_FALSE(evidence.on_lying_bmc({kThird, 5}));
  CHECK(evidence.on_lying_bmc({kSelf, 2}));  // the own one as well: others judge by the list
  // Kept also while this host has never heard of the boot.
  CHECK(evidence.lying_bmcs() == std::vector<LyingBmc>{{kSelf, 2}, {kThird, 5}});
}

// A host that was off boots anew, and its wardomd is there before its keeper. This daemon knows of
// the boot before by its slot alone.
TEST_CASE("trust_a_bmc_beside_a_beat_of_a_daemon_without_a_keeper", "[evidence]") {
  auto evidence = domain();
  evidence.on_slot(slot(kPeer, 10), at(0), at(1));
  evidence.on_power(kPeer, Power::off, "", at(10), at(20));
  auto starting = beat(kPeer, Link::mgmt, 1);
  starting.incarnation = {};
  evidence.on_beat(starting, at(60'000));
  CHECK_FALSE(evidence.of(kPeer).bmc_distrusted());
}

namespace {

// Reads off beside beats, for long enough.
void lie(Evidence& evidence, int from, std::uint64_t& sequence) {
  evidence.on_beat(beat(kPeer, Link::mgmt, ++sequence), at(from));
  evidence.on_power(kPeer, Power::off, "", at(from), at(from + 5));
  for (int now = from; now < from + 4000; now += 100)
    evidence.on_beat(beat(kPeer, Link::mgmt, ++sequence), at(now + 10));
}

}  // namespace

TEST_CASE("a_mended_bmc_is_trusted_until_it_is_seen_to_lie_again", "[evidence]") {
  auto evidence = domain();
  std::uint64_t sequence = 0;
  lie(evidence, 0, sequence);
  const auto distrusted = [&] { return evidence.of(kPeer).bmc_distrusted(); };
  REQUIRE(distrusted());
  CHECK(evidence.lying_bmcs() == std::vector<LyingBmc>{{kPeer, 5, 1}});
  evidence.on_power(kPeer, Power::on, "", at(5000), at(5005));
  SECTION("by the decider's word") {
    evidence.on_mended_bmc(kPeer, true);
    CHECK(evidence.lying_bmcs() == std::vector<LyingBmc>{{kPeer, 5, 2}});
  }
  SECTION("by the word, and the decider's record of it") {
    evidence.on_mended_bmc(kPeer, false);
    CHECK(distrusted());  // it is not recorded yet
    CHECK(evidence.on_lying_bmc({kPeer, 5, 2}));
  }
  CHECK_FALSE(distrusted());
  CHECK_FALSE(evidence.of(kPeer).power.on_answered);  // its word is weighed anew
  CHECK_FALSE(evidence.on_lying_bmc({kPeer, 5, 1}));  // what is told late is known to be over
  CHECK_FALSE(distrusted());
  lie(evidence, 6000, sequence);
  CHECK(distrusted());
  CHECK(evidence.lying_bmcs() == std::vector<LyingBmc>{{kPeer, 5, 3}});
  evidence.on_beat(beat(kPeer, Link::mgmt, 1, 6, 10), at(12000));
  CHECK_FALSE(distrusted());
  CHECK(evidence.lying_bmcs().empty());
}

// Whether the operator spoke before it or after cannot be told.
TEST_CASE("a_lie_seen_here_outlives_a_mending_whose_word_has_not_come_here", "[evidence]") {
  auto evidence = domain();
  std::uint64_t sequence = 0;
  lie(evidence, 0, sequence);
  CHECK(evidence.on_lying_bmc({kPeer, 5, 2}));
  CHECK(evidence.of(kPeer).bmc_distrusted());
  CHECK(evidence.lying_bmcs() == std::vector<LyingBmc>{{kPeer, 5, 3}});
  auto other = domain();
  other.on_beat(beat(kPeer, Link::mgmt, 1), at(0));
  CHECK(other.on_lying_bmc({kPeer, 5, 1}));  // by hearsay alone
  CHECK(other.on_lying_bmc({kPeer, 5, 2}));
  CHECK_FALSE(other.of(kPeer).bmc_distrusted());
}

TEST_CASE("trust_a_bmc_beside_what_was_still_under_way", "[evidence]") {
  auto evidence = domain();
  evidence.on_power(kPeer, Power::off, "", at(0), at(5));
  evidence.on_beat(beat(kPeer, Link::mgmt, 1), at(400));
  CHECK_FALSE(evidence.of(kPeer).bmc_distrusted());
  CHECK(evidence.of(kPeer).power.offs == 0);  // but the run of readings starts anew
  // A beat that waited here while this host was inattentive, for less than what counts as a stall.
  evidence.on_beat(beat(kPeer, Link::mgmt, 2), at(5) + bmc_word_lasts(evidence.timing()));
  CHECK_FALSE(evidence.of(kPeer).bmc_distrusted());
}

TEST_CASE("unknown_power_is_neither_on_nor_off", "[evidence]") {
  auto evidence = domain();
  evidence.on_power(kPeer, Power::off, "", at(0), at(5));
  evidence.on_power(kPeer, Power::unknown, "no answer", at(10), at(15));
  CHECK(evidence.of(kPeer).power.offs == 1);
  evidence.on_power(kPeer, Power::on, "", at(20), at(25));
  CHECK(evidence.of(kPeer).power.offs == 0);
  evidence.on_power(kPeer, Power::unknown, "reset", at(30), at(35));
  CHECK(evidence.of(kPeer).power.offs == 0);
}

TEST_CASE("prove_a_reboot_by_the_uptime", "[evidence]") {
  const auto up = GENERATE(999, 1000, 1019, 1021, 5000);
  auto evidence = domain();
  evidence.on_slot(slot(kPeer, 10), at(0), at(0));
  evidence.on_slot(slot(kPeer, 11), at(100), at(100));
  evidence.on_slot(slot(kPeer, 12, 6, 0, milliseconds{up}), at(1140), at(1140));  // 1,040 ms later
  const bool proved = evidence.of(kPeer).disk.rebooted.has_value();
  CHECK(proved == (up + up * 2 / 100 <= 1040));
  if (proved) CHECK(*evidence.of(kPeer).disk.rebooted == boot(5));
}

TEST_CASE("no_reboot_of_another_machine", "[evidence]") {
  auto evidence = domain();
  evidence.on_slot(slot(kPeer, 10), at(0), at(0));
  auto other = slot(kPeer, 11, 6, 0, milliseconds{10});
  std::get<Slot>(other.content).machine_id.bytes[0] = 77;
  evidence.on_slot(other, at(9000), at(9000));
  CHECK_FALSE(evidence.of(kPeer).disk.rebooted);
}

TEST_CASE("forget_the_bmc_after_a_stall", "[evidence]") {
  auto evidence = domain();
  evidence.on_slot(slot(kPeer, 10), at(0), at(0));
  evidence.on_slot(slot(kPeer, 11), at(10), at(10));
  evidence.on_power(kPeer, Power::on, "", at(10), at(12));
  evidence.on_stall(at(9000));
  evidence.on_slot(slot(kPeer, 11), at(10000), at(10001));
  for (int i = 0; i < 2; ++i) evidence.on_power(kPeer, Power::off, "", at(10002), at(10003));
  const auto proof = power_proof(evidence, kPeer, at(10010));
  CHECK_FALSE(proof.complete);
  CHECK_FALSE(proof.credible);
}

// A poll under way when the power goes: asked of a living host, answered after its last sign.
TEST_CASE("begin_the_run_of_off_readings_after_the_last_sign", "[evidence]") {
  auto evidence = domain();
  evidence.on_beat(beat(kPeer, Link::mgmt, 1), at(10));
  evidence.on_power(kPeer, Power::off, "", at(0), at(20));
  evidence.on_power(kPeer, Power::off, "", at(100), at(110));
  CHECK(evidence.of(kPeer).power.offs == 1);
  CHECK(evidence.of(kPeer).power.first_off_asked == at(100));
  evidence.on_power(kPeer, Power::off, "", at(150), at(160));
  CHECK(evidence.of(kPeer).power.offs == 2);
  CHECK(evidence.of(kPeer).power.first_off_asked == at(100));
}

TEST_CASE("most_agree_only_to_the_loss_of_an_owner_that_cannot_act", "[evidence]") {
  auto evidence = domain();
  evidence.on_ring_members({kSelf, kPeer});
  evidence.on_quorum(false, {kSelf, kPeer});
  CHECK(evidence.ring_has_most());
  const auto stands = [&](Duration time) {
    evidence.on_slot(slot(kThird, 10), at(0), at(1));
    evidence.on_slot(slot(kThird, 10), at(1) + time, at(2) + time);
  };
  // T_F/2 by two wrong clocks. An array that holds its writes for a second is no such silence.
  const auto enough = milliseconds{10'202};
  stands(enough);
  CHECK_FALSE(evidence.disagrees(kThird).empty());  // it does not own the lock
  evidence.set_counted(kThird);
  CHECK(evidence.disagrees(kThird).empty());
  SECTION("its slot has not stood for long enough") {
    auto other = domain();
    std::swap(evidence, other);
    evidence.on_ring_members({kSelf, kPeer});
    evidence.on_quorum(false, {kSelf, kPeer});
    evidence.set_counted(kThird);
    stands(milliseconds{10'200});
    CHECK(evidence.disagrees(kThird).find("T_F/2") != std::string::npos);
  }
  SECTION("there are not most in the ring") {
    evidence.on_quorum(false, {kSelf});
    CHECK_FALSE(evidence.disagrees(kThird).empty());
  }
  SECTION("it is in the ring") {
    evidence.on_quorum(false, {kSelf, kPeer, kThird});
    CHECK_FALSE(evidence.disagrees(kThird).empty());
  }
  SECTION("there is no ring") {
    evidence.on_ring_lost();
    CHECK_FALSE(evidence.disagrees(kThird).empty());
  }
  SECTION("with quorum it is anybody's loss, and no matter of time") {
    evidence.set_counted(kNoHost);
    evidence.on_quorum(true, {kSelf, kPeer});
    CHECK(evidence.disagrees(kThird).empty());
  }
}
