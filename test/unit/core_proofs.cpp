#include <catch2/catch.hpp>

#include "core_samples.hpp"
#include "libha/core/proofs.hpp"

using namespace wardom;
using namespace wardom::core;
using namespace wardom::core::sample;

namespace {

constexpr std::uint32_t kTf = 20'000;  // of Timing{}: profile default
constexpr std::uint32_t kW = 7'000;    // measured on the victim: not the profile's 10 s
// D = 1.01 * (20 s / 0.99 + 7 s * 1.05 + 1 s), written down once more without timing.cpp.
constexpr double kD_s = 1.01 * (20.0 / 0.99 + 7.0 * 1.05 + 1.0);

Instant after(double s) { return at(0) + Duration{static_cast<std::int64_t>(s * 1e9)}; }

CellSeen leased(std::uint64_t sequence, std::uint64_t number = 5, std::uint32_t w = kW,
                std::uint32_t t_f = kTf) {
  auto seen = slot(kPeer, sequence, number);
  auto& content = std::get<Slot>(seen.content);
  content.t_f_ms = t_f;
  content.w_ms = w;
  return seen;
}

Evidence fit_domain() {
  auto evidence = domain();
  evidence.on_observer(true);
  return evidence;
}

// A silence that begins with a read issued at -100 ms and completed at 0, and its last read.
struct Silence {
  CellSeen last{leased(7)};
  double issued{kD_s + 0.01};
  double completed{kD_s + 0.5};
};

ProofAbout judged(const Silence& silence, std::uint64_t number = 5) {
  auto evidence = fit_domain();
  evidence.on_slot(leased(6), at(-300), at(-290));
  auto newest = silence.last;
  newest.sequence = Sequence{7};
  evidence.on_slot(newest, at(-100), at(0));
  evidence.on_slot(silence.last, after(silence.issued), after(silence.completed));
  return proof_about(evidence, kPeer, boot(number), after(silence.completed));
}

}  // namespace

TEST_CASE("expire_a_lease_by_a_read_issued_d_after_timer_zero", "[proofs]") {
  CHECK(judged({}).proof == Proof::lease_expired);
  CHECK(judged({.issued = kD_s + 1e-6}).stands());
  CHECK_FALSE(judged({.issued = kD_s - 1e-6}).stands());
  // Issued sooner and completed long after: what it shows may be D old or younger.
  CHECK_FALSE(judged({.issued = kD_s - 0.05, .completed = kD_s + 9}).stands());
}

TEST_CASE("time_a_lease_from_the_completion_of_the_first_read", "[proofs]") {
  auto evidence = fit_domain();
  evidence.on_slot(leased(7), at(0), after(2.0));
  evidence.on_slot(leased(7), after(kD_s + 1.99), after(kD_s + 2.1));
  CHECK_FALSE(proof_about(evidence, kPeer, boot(5), after(kD_s + 2.1)).stands());
  evidence.on_slot(leased(7), after(kD_s + 2.01), after(kD_s + 2.2));
  CHECK(proof_about(evidence, kPeer, boot(5), after(kD_s + 2.2)).proof == Proof::lease_expired);
}

TEST_CASE("an_increase_begins_the_silence_anew", "[proofs]") {
  auto evidence = fit_domain();
  evidence.on_slot(leased(7), at(0), at(0));
  evidence.on_slot(leased(8), after(kD_s + 1), after(kD_s + 1));
  CHECK_FALSE(proof_about(evidence, kPeer, boot(5), after(kD_s + 1)).stands());
  evidence.on_slot(leased(8), after(kD_s + 2), after(kD_s + 2));
  CHECK_FALSE(proof_about(evidence, kPeer, boot(5), after(kD_s + 2)).stands());
  evidence.on_slot(leased(8), after(2 * kD_s + 1.01), after(2 * kD_s + 1.02));
  CHECK(proof_about(evidence, kPeer, boot(5), after(2 * kD_s + 1.02)).stands());
}

TEST_CASE("only_a_read_that_shows_the_same_counts_as_silence", "[proofs]") {
  auto torn = leased(7);
  torn.health = CellHealth::damaged;
  CHECK_FALSE(judged({.last = torn}).stands());
  auto unreadable = leased(7);
  unreadable.health = CellHealth::unreadable;
  CHECK_FALSE(judged({.last = unreadable}).stands());
  auto evidence = fit_domain();
  evidence.on_slot(leased(7), at(0), at(0));
  evidence.on_slot(leased(6), after(kD_s + 1), after(kD_s + 1));  // a stale write
  CHECK_FALSE(proof_about(evidence, kPeer, boot(5), after(kD_s + 1)).stands());
}

TEST_CASE("no_lease_expires_that_was_not_published", "[proofs]") {
  CHECK_FALSE(judged({.last = leased(7, 5, 0)}).stands());
  CHECK_FALSE(judged({.last = leased(7, 5, kW, 0)}).stands());
  CHECK_FALSE(judged({.last = leased(7, 5, kW, 6'000)}).stands());  // another profile's window
  auto left = leased(7);
  std::get<Slot>(left.content).state = SlotState::left;
  CHECK_FALSE(judged({.last = left}).stands());
  CHECK_FALSE(judged({.last = left}).lease_expires.has_value());
  auto joining = leased(7);  // a keeper that has just been restarted: its window goes on
  std::get<Slot>(joining.content).state = SlotState::joining;
  CHECK(judged({.last = joining}).stands());
}

TEST_CASE("wait_as_long_as_the_victims_own_watchdog_needs", "[proofs]") {
  const auto slow = leased(7, 5, 14'000);
  CHECK_FALSE(judged({.last = slow}).stands());
  const double d = kD_s + 1.01 * 7.0 * 1.05;
  CHECK_FALSE(judged({.last = slow, .issued = d - 1e-6, .completed = d + 1}).stands());
  CHECK(judged({.last = slow, .issued = d + 1e-6, .completed = d + 1}).stands());
}

TEST_CASE("a_hosts_own_word_releases_its_incarnation", "[proofs]") {
  auto evidence = fit_domain();
  const auto proved = [&](std::uint64_t number) {
    return proof_about(evidence, kPeer, boot(number), after(1)).proof == Proof::released;
  };
  evidence.on_slot(leased(7), at(0), at(0));
  evidence.on_beat(beat(kPeer, Link::mgmt, 1), at(0));
  CHECK_FALSE(proved(5));
  SECTION("by a beat, though it is heard") {
    auto word = beat(kPeer, Link::mgmt, 2);
    word.released = true;
    CHECK(evidence.on_beat(word, at(1)) == BeatNews::changed);
  }
  SECTION("by its slot") {
    auto word = leased(8, 5, 0);
    std::get<Slot>(word.content).state = SlotState::released;
    evidence.on_slot(word, at(1), at(1));
  }
  CHECK(proved(5));
  CHECK(proved(4));
  CHECK_FALSE(proved(6));  // it says nothing of a later one
  // Neither a later beat without it, nor a later life, takes it back; nor do they inherit it.
  evidence.on_beat(beat(kPeer, Link::mgmt, 3), at(2));
  evidence.on_beat(beat(kPeer, Link::mgmt, 1, 6, 10), at(3));
  CHECK(proved(5));
  CHECK_FALSE(proved(6));
}

TEST_CASE("a_replayed_word_of_release_names_no_other_life", "[proofs]") {
  auto evidence = fit_domain();
  auto word = beat(kPeer, Link::mgmt, 2);
  word.released = true;
  evidence.on_beat(word, at(0));
  evidence.on_beat(beat(kPeer, Link::mgmt, 1, 6, 10), at(1));
  CHECK(evidence.on_beat(word, at(2)) == BeatNews::none);
  CHECK_FALSE(proof_about(evidence, kPeer, boot(6), at(3)).stands());
}

TEST_CASE("no_lease_expires_while_its_host_is_heard", "[proofs]") {
  auto evidence = fit_domain();
  evidence.on_slot(leased(7), at(0), at(0));
  evidence.on_slot(leased(7), after(kD_s + 1), after(kD_s + 1));
  evidence.on_beat(beat(kPeer, Link::mgmt, 1), after(kD_s + 1));
  CHECK_FALSE(proof_about(evidence, kPeer, boot(5), after(kD_s + 1)).stands());
  // A beat of the boot that came after it says nothing for this one.
  evidence.on_beat(beat(kPeer, Link::mgmt, 1, 6, 77), after(kD_s + 1.1));
  CHECK(proof_about(evidence, kPeer, boot(5), after(kD_s + 1.1)).stands());
}

TEST_CASE("an_observer_that_was_unfit_times_every_lease_anew", "[proofs]") {
  const bool stalled = GENERATE(false, true);
  auto evidence = fit_domain();
  evidence.on_slot(leased(7), at(0), at(0));
  if (stalled) {
    evidence.on_stall(after(9));
  } else {
    evidence.on_observer(false);
    CHECK_FALSE(proof_about(evidence, kPeer, boot(5), after(9)).lease_expires.has_value());
    evidence.on_observer(true);
  }
  evidence.on_slot(leased(7), after(9.5), after(10));  // the first read since
  evidence.on_slot(leased(7), after(10 + kD_s - 0.01), after(10 + kD_s));
  CHECK_FALSE(proof_about(evidence, kPeer, boot(5), after(10 + kD_s)).stands());
  evidence.on_slot(leased(7), after(10 + kD_s + 0.01), after(10 + kD_s + 0.02));
  CHECK(proof_about(evidence, kPeer, boot(5), after(10 + kD_s + 0.02)).stands());
}

TEST_CASE("no_verdict_while_the_observer_is_unfit", "[proofs]") {
  auto evidence = fit_domain();
  evidence.on_slot(leased(7), at(0), at(0));
  evidence.on_slot(leased(7), after(kD_s + 1), after(kD_s + 1));
  CHECK(proof_about(evidence, kPeer, boot(5), after(kD_s + 1)).stands());
  evidence.on_observer(false);
  CHECK_FALSE(proof_about(evidence, kPeer, boot(5), after(kD_s + 1)).stands());
}

TEST_CASE("an_expired_lease_ends_the_earlier_boots_too", "[proofs]") {
  CHECK(judged({}, 4).stands());
  CHECK(judged({}, 5).stands());
  CHECK_FALSE(judged({}, 6).stands());  // a later boot, which the slot has not shown
  auto evidence = fit_domain();
  CHECK_FALSE(proof_about(evidence, kPeer, boot(5), at(0)).stands());
  CHECK_FALSE(proof_about(evidence, HostId{99}, boot(5), at(0)).stands());
  CHECK_FALSE(proof_about(evidence, kPeer, Incarnation{}, at(0)).stands());
}

// The new boot states an uptime that reaches back beyond the old boot's last sign: `rebooted`
// fails, and the wait for D goes on.
TEST_CASE("an_earlier_boot_is_over_after_d_under_a_later_one", "[proofs]") {
  auto evidence = fit_domain();
  evidence.on_slot(leased(7), at(-300), at(-290));
  evidence.on_slot(leased(1, 6), at(0), at(0));
  CHECK_FALSE(proof_about(evidence, kPeer, boot(5), at(0)).stands());
  const auto living = [&](double s) {
    evidence.on_slot(leased(2 + static_cast<std::uint64_t>(s), 6), after(s), after(s));
    return proof_about(evidence, kPeer, boot(5), after(s));
  };
  CHECK_FALSE(living(1).stands());
  CHECK(living(1).lease_expires == at(0) + lease_silence(milliseconds{kTf}, milliseconds{kW}));
  CHECK_FALSE(living(kD_s - 0.01).stands());
  CHECK(living(kD_s + 0.01).proof == Proof::lease_expired);
  CHECK_FALSE(proof_about(evidence, kPeer, boot(6), after(kD_s + 0.01)).stands());
}

TEST_CASE("an_earlier_boot_that_is_heard_is_not_over", "[proofs]") {
  auto evidence = fit_domain();
  evidence.on_slot(leased(7), at(-300), at(-290));
  evidence.on_slot(leased(1, 6), at(0), at(0));
  evidence.on_slot(leased(90, 6), after(kD_s + 1), after(kD_s + 1));
  Beat beat;
  beat.from = kPeer;
  beat.incarnation = boot(5);
  beat.run = 1;
  beat.sequence = Sequence{1};
  evidence.on_beat(beat, after(kD_s + 1));
  CHECK_FALSE(proof_about(evidence, kPeer, boot(5), after(kD_s + 1)).stands());
  CHECK(proof_about(evidence, kPeer, boot(5), after(kD_s + 20)).stands());
}

TEST_CASE("an_earlier_boot_that_writes_again_is_not_over", "[proofs]") {
  auto evidence = fit_domain();
  evidence.on_slot(leased(7), at(-300), at(-290));
  evidence.on_slot(leased(1, 6), at(0), at(0));
  evidence.on_slot(leased(8, 5), after(5), after(5));  // two machines write this slot
  evidence.on_slot(leased(9, 6), after(6), after(6));
  evidence.on_slot(leased(30, 6), after(kD_s + 5.9), after(kD_s + 5.9));
  CHECK_FALSE(proof_about(evidence, kPeer, boot(5), after(kD_s + 5.9)).stands());
  evidence.on_slot(leased(31, 6), after(kD_s + 6.1), after(kD_s + 6.1));
  CHECK(proof_about(evidence, kPeer, boot(5), after(kD_s + 6.1)).stands());
}

TEST_CASE("an_earlier_boot_that_published_no_lease_never_expires", "[proofs]") {
  auto evidence = fit_domain();
  evidence.on_slot(leased(7, 5, 0), at(-300), at(-290));
  evidence.on_slot(leased(1, 6), at(0), at(0));
  evidence.on_slot(leased(90, 6), after(90), after(90));
  CHECK_FALSE(proof_about(evidence, kPeer, boot(5), after(90)).stands());
}

// This daemon started after the host had died and come back: it has never seen the old slot.
TEST_CASE("an_earlier_boot_never_seen_waits_for_the_profiles_d", "[proofs]") {
  auto evidence = fit_domain();
  evidence.on_slot(leased(1, 6), at(0), at(0));
  const auto d = lease_silence(evidence.timing());
  REQUIRE(d > lease_silence(milliseconds{kTf}, milliseconds{kW}));
  const auto proof_at = [&](Duration later, std::uint64_t sequence) {
    evidence.on_slot(leased(sequence, 6), at(0) + later, at(0) + later);
    return proof_about(evidence, kPeer, boot(4), at(0) + later);
  };
  CHECK_FALSE(proof_at(d - milliseconds{1}, 50).stands());
  CHECK(proof_at(d, 51).proof == Proof::lease_expired);
}
