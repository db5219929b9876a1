// Grants: who gives one and when, what one means to the giver, and when all are there.
#include <catch2/catch.hpp>

#include "core_samples.hpp"
#include "libha/core/outage.hpp"
#include "libha/core/proofs.hpp"

using namespace wardom;
using namespace wardom::core;
using namespace wardom::core::sample;

namespace {

const Timing kTiming{};  // T_F 20 s
constexpr DirectoryWord kUnder{LockVersion{7}, 70};
constexpr DirectoryWord kChanged{LockVersion{8}, 80}, kSame{LockVersion{9}, 70};

Outage outage(bool takes_part = true, bool always = false) {
  Outage made({kSelf, takes_part, always}, kTiming);
  made.on_ready(boot(5));
  return made;
}

// As of `now`, the newest acknowledged heartbeat was submitted so long ago.
Rights rights(Instant now, Duration old, bool granted = false) {
  const auto submitted = now - old;
  return {LeaseState::held, submitted + kTiming.feed_window / 2, submitted + kTiming.feed_window,
          granted, {}};
}

Outage asking(Instant now) {
  auto made = outage();
  made.on_rights(rights(now, seconds{6}), true, now);
  made.on_stamp({now});
  return made;
}

Outage::Asking of(std::vector<HostId> asked, DirectoryWord under = kUnder) {
  return {under, std::move(asked), {}};
}

Beat grant(HostId from, Instant stamp, DirectoryWord under = kUnder, std::uint64_t to = 5) {
  auto made = beat(from, Link::mgmt, 1);
  made.word = {kSelf, 5, boot(to), static_cast<std::uint64_t>(stamp.since_boot.count()), under};
  return made;
}

}  // namespace

TEST_CASE("all_who_must_have_to_grant_the_same_request_or_a_later_one", "[outage]") {
  auto made = asking(at(0));
  const auto both = of({kPeer, kThird});
  CHECK(made.request(both) == static_cast<std::uint64_t>(at(0).since_boot.count()));
  CHECK_FALSE(made.complete(both));
  made.on_beat(grant(kPeer, at(0)), both);
  CHECK_FALSE(made.complete(both));
  made.on_stamp({at(1000)});
  made.on_beat(grant(kThird, at(1000)), both);
  CHECK(made.complete(both) == at(0));
  CHECK_FALSE(made.complete(both));  // told once
  CHECK(made.missing(both, at(5500)) == std::vector{kPeer});
  made.on_beat(grant(kPeer, at(1000)), both);
  CHECK(made.complete(both) == at(1000));
}

TEST_CASE("who_has_nobody_to_ask_needs_no_grant", "[outage]") {
  auto made = asking(at(0));
  CHECK(made.complete(of({})) == at(0));
}

TEST_CASE("a_grant_names_the_life_that_asked_and_the_same_directory", "[outage]") {
  auto made = asking(at(0));
  const auto one = of({kPeer});
  made.on_beat(grant(kPeer, at(0), kUnder, 4), one);
  CHECK_FALSE(made.complete(one));
  made.on_beat(grant(kPeer, at(0), kChanged), one);
  CHECK_FALSE(made.complete(one));
  made.on_beat(grant(kPeer, at(0), kSame), one);
  CHECK_FALSE(made.complete(of({kPeer}, kChanged)));  // granted before that one was known
  CHECK(made.complete(one) == at(0));
}

TEST_CASE("who_does_not_know_the_versions_owner_asks_nobody", "[outage]") {
  auto made = asking(at(0));
  CHECK(made.request(of({kPeer}, {})) == 0);
  CHECK_FALSE(made.complete(of({}, {})));
}

TEST_CASE("ask_only_while_heartbeats_are_late_and_the_lease_stands", "[outage]") {
  const auto asks = [](Duration old, LeaseState lease, bool ready, bool takes_part) {
    auto made = outage(takes_part);
    auto now = rights(at(0), old);
    now.lease = lease;
    made.on_rights(now, ready, at(0));
    made.on_stamp({at(0)});
    return made.request(of({kPeer})) != 0;
  };
  CHECK(asks(seconds{5}, LeaseState::held, true, true));
  CHECK_FALSE(asks(seconds{5} - Duration{1}, LeaseState::held, true, true));
  CHECK_FALSE(asks(seconds{5}, LeaseState::none, true, true));
  CHECK_FALSE(asks(seconds{5}, LeaseState::ending, true, true));
  CHECK_FALSE(asks(seconds{5}, LeaseState::held, false, true));
  CHECK_FALSE(asks(seconds{5}, LeaseState::held, true, false));
}

TEST_CASE("grant_while_the_own_heartbeats_are_late_and_for_a_window_more", "[outage]") {
  auto made = outage();
  made.on_rights(rights(at(0), seconds{1}), true, at(0));
  CHECK_FALSE(made.grants(at(0)));
  made.on_rights(rights(at(0), seconds{5}), true, at(0));
  CHECK(made.grants(at(0)));
  made.on_rights(rights(at(100), seconds{0}), true, at(100));
  CHECK(made.grants(at(20'000)));
  CHECK_FALSE(made.grants(at(20'001)));
  auto none = outage(false, true);
  none.on_rights(rights(at(0), seconds{5}), true, at(0));
  CHECK_FALSE(none.grants(at(0)));
  CHECK(outage(true, true).grants(at(0)));
}

TEST_CASE("a_grant_repeats_the_request_and_names_the_higher_version", "[outage]") {
  auto made = outage(true, true);
  auto asked = beat(kPeer, Link::mgmt, 1);
  asked.request = 77;
  asked.request_under = {LockVersion{6}, 60};
  made.granted(asked, at(0));
  BeatWord word;
  made.say(word, kPeer, kUnder, at(10));
  CHECK((word.granted_to == boot(5) && word.granted == 77 && word.granted_under == kUnder));
  asked.request_under = {LockVersion{9}, 90};
  made.granted(asked, at(10));
  made.say(word, kPeer, kUnder, at(10));
  CHECK(word.granted_under == asked.request_under);
  BeatWord other, late;
  made.say(other, kThird, kUnder, at(10));
  CHECK(other.granted == 0);
  made.say(late, kPeer, kUnder, at(10 + whole_ms(kTiming.suspect_after) + 1));
  CHECK(late.granted == 0);
}

TEST_CASE("tell_since_when_a_window_has_rested_on_grants", "[outage]") {
  auto made = outage();
  made.on_rights(rights(at(0), seconds{6}), true, at(0));
  CHECK_FALSE(made.riding_since());
  made.on_rights(rights(at(1), seconds{6}, true), true, at(1));
  made.on_rights(rights(at(9), seconds{6}, true), true, at(9));
  CHECK(made.riding_since() == at(1));
  made.on_rights(rights(at(10), seconds{0}), true, at(10));
  CHECK_FALSE(made.riding_since());
}

TEST_CASE("a_directorys_digest_tells_its_judges", "[outage]") {
  const auto digest = [](std::vector<Proposer> directory) { return directory_digest(directory); };
  const auto two = digest({{kSelf, false, 1}, {kPeer, false, 1}});
  CHECK(two == digest({{kSelf, false, 9}, {kPeer, false, 1}}));
  CHECK(two != digest({{kSelf, false, 1}}));
  CHECK(two != digest({{kSelf, false, 1}, {kThird, false, 1}}));
  CHECK(two != digest({{kSelf, false, 1}, {kPeer, true, 1}}));
}

namespace {

const Duration kD = lease_silence(kTiming);

CellSeen riding(std::uint64_t sequence, std::vector<HostId> unasked = {}, bool rides = true) {
  auto seen = slot(kPeer, sequence);
  auto& content = std::get<Slot>(seen.content);
  content.t_f_ms = 20'000;
  content.w_ms = 10'000;
  content.rides_out = rides;
  content.unasked = std::move(unasked);
  return seen;
}

Evidence judging(std::optional<Instant> asked_since = at(-1000)) {
  auto evidence = domain();
  evidence.on_observer(true);
  evidence.set_own(boot(3));
  evidence.set_asked_since(asked_since);
  return evidence;
}

// A slot read at 0 that still shows the same at `last`.
bool dead_after(Evidence evidence, const CellSeen& seen, Duration last) {
  evidence.on_slot(seen, at(-10), at(0));
  evidence.on_slot(seen, at(0) + last, at(10) + last);
  return proof_about(evidence, kPeer, boot(5), at(10) + last).stands();
}

}  // namespace

TEST_CASE("a_grant_times_the_asker_anew_and_voids_a_read_under_way", "[outage]") {
  auto evidence = judging();
  evidence.on_slot(riding(6), at(-10), at(0));
  const auto granted = at(0) + kD + seconds{1};
  // Issued before the grant, D after the silence began, and answered after it.
  evidence.grant(kPeer);
  evidence.on_slot(riding(6), granted - milliseconds{5}, granted + milliseconds{5});
  CHECK_FALSE(proof_about(evidence, kPeer, boot(5), granted + milliseconds{5}).stands());
  evidence.on_slot(riding(6), granted + kD, granted + kD + milliseconds{5});
  CHECK_FALSE(proof_about(evidence, kPeer, boot(5), granted + kD + milliseconds{5}).stands());
  evidence.on_slot(riding(6), granted + kD + milliseconds{6}, granted + kD + milliseconds{7});
  CHECK(proof_about(evidence, kPeer, boot(5), granted + kD + milliseconds{7}).stands());
}

TEST_CASE("only_who_is_asked_judges_a_host_that_rides_outages_out", "[outage]") {
  CHECK(dead_after(judging(), riding(6), kD));
  CHECK_FALSE(dead_after(judging(std::nullopt), riding(6), kD));
  CHECK(dead_after(judging(std::nullopt), riding(6, {}, false), kD));
  // From when it was asked on: what it saw before is no part of the silence.
  CHECK_FALSE(dead_after(judging(at(1)), riding(6), kD));
  CHECK(dead_after(judging(at(1)), riding(6), kD + milliseconds{1}));
}

TEST_CASE("a_slot_of_which_one_extent_cannot_be_read_does_not_tell_whom_its_host_asks",
          "[outage]") {
  auto seen = riding(6);
  seen.twin_damaged = true;
  CHECK_FALSE(dead_after(judging(), seen, kD));
}

// It was proved dead, has come back, and the other may not know.
TEST_CASE("who_is_left_out_judges_only_once_the_other_says_that_it_knows_it", "[outage]") {
  const auto told = [](std::uint64_t knows, std::uint64_t number, std::uint32_t epoch) {
    auto evidence = judging();
    auto word = beat(kPeer, Link::mgmt, 1, number);
    word.epoch = DaemonEpoch{epoch};
    word.word.knows = knows;
    evidence.on_beat(word, at(-5000));
    return evidence;
  };
  const auto seen = [] {
    auto one = riding(6, {kThird, kSelf});
    std::get<Slot>(one.content).daemon_epoch = DaemonEpoch{2};
    return one;
  };
  CHECK_FALSE(dead_after(judging(), seen(), kD));
  CHECK(dead_after(told(3, 5, 2), seen(), kD));
  CHECK_FALSE(dead_after(told(2, 5, 2), seen(), kD));  // an earlier boot of this host
  CHECK_FALSE(dead_after(told(3, 5, 1), seen(), kD));  // an earlier daemon, which had not read it
  CHECK_FALSE(dead_after(told(3, 4, 2), seen(), kD));  // an earlier boot of the other
}

// Else the silence that was timed while it did not ask would count at once when it does.
TEST_CASE("silence_before_the_other_knew_this_boot_counts_for_nothing", "[outage]") {
  auto evidence = judging();
  const auto seen = riding(6, {kSelf});
  evidence.on_slot(seen, at(-10), at(0));
  const auto knew = at(0) + kD + seconds{30};
  auto word = beat(kPeer, Link::mgmt, 1, 5);
  word.word.knows = 3;
  evidence.on_beat(word, knew);
  word.sequence = Sequence{2};
  evidence.on_beat(word, knew + milliseconds{200});  // moves nothing
  evidence.on_slot(seen, knew + seconds{1}, knew + seconds{1});
  CHECK_FALSE(proof_about(evidence, kPeer, boot(5), knew + seconds{1}).stands());
  evidence.on_slot(seen, knew + kD - milliseconds{1}, knew + kD);
  CHECK_FALSE(proof_about(evidence, kPeer, boot(5), knew + kD).stands());
  evidence.on_slot(seen, knew + kD, knew + kD + milliseconds{1});
  CHECK(proof_about(evidence, kPeer, boot(5), knew + kD + milliseconds{1}).stands());
}

TEST_CASE("a_lost_extent_means_nothing_once_the_other_knows_this_boot", "[outage]") {
  auto evidence = judging();
  auto word = beat(kPeer, Link::mgmt, 1, 5);
  word.word.knows = 3;
  evidence.on_beat(word, at(-5000));
  auto seen = riding(6);
  seen.twin_damaged = true;
  CHECK(dead_after(evidence, seen, kD));
}

TEST_CASE("who_was_proved_dead_takes_nobody_in_before_all_others_know_its_boot", "[outage]") {
  const auto board_with = [](std::optional<HostId> dead, std::optional<HostId> also = {}) {
    Board board({kSelf, kPeer, kThird});
    Ballot ballot;
    ballot.decided = LockVersion{1};
    ballot.value.owner = {kSelf, boot(3), DaemonEpoch{1}};
    ballot.value.directory = {{kSelf, false, 1}, {kPeer, false, 1}};
    CellSeen cell;
    cell.cell = board.ballot_cell(kSelf);
    cell.health = CellHealth::valid;
    cell.incarnation = boot(3);
    cell.sequence = Sequence{1};
    cell.content = ballot;
    board.on_read(cell, at(1));
    Decision decision;
    decision.version = LockVersion{1};
    for (const auto host : {dead, also}) {
      if (!host) continue;
      Verdict verdict;
      verdict.host = *host;
      verdict.incarnation = boot(*host == kSelf ? 2 : 5);
      verdict.proof = Proof::power_off;
      decision.verdicts.push_back(verdict);
    }
    cell.cell = {Region::decision, kPeer.value};
    cell.content = decision;
    board.on_read(cell, at(2));
    return board;
  };
  auto evidence = judging();
  CHECK(asked_by_all(evidence, board_with(std::nullopt)));
  CHECK_FALSE(asked_by_all(evidence, board_with(kSelf)));  // never heard
  auto word = beat(kPeer, Link::mgmt, 1, 5);
  evidence.on_beat(word, at(10));
  CHECK_FALSE(asked_by_all(evidence, board_with(kSelf)));
  word.word.knows = 2;
  word.sequence = Sequence{2};
  evidence.on_beat(word, at(20));
  CHECK_FALSE(asked_by_all(evidence, board_with(kSelf)));  // the boot that was proved dead
  CHECK(asked_by_all(evidence, board_with(kSelf, kPeer)));
  word.word.knows = 3;
  word.sequence = Sequence{3};
  evidence.on_beat(word, at(30));
  CHECK(asked_by_all(evidence, board_with(kSelf)));
}
