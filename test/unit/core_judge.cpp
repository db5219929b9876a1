#include <catch2/catch.hpp>

#include "core_samples.hpp"
#include "libha/core/judge.hpp"

using namespace wardom;
using namespace wardom::core;
using namespace wardom::core::sample;

namespace {

// What an observer knows, in plain numbers: ages in milliseconds at the moment of judging, -1 for
// never.
struct Facts {
  int mgmt, storage, slot, progress;
  bool volume_ok;
};

constexpr int kSuspect = 400, kSilent = 2 * 250 + 400, kOutlives = 250 + 100;

// The rules of the design, written down once more without a look at judge.cpp.
HostState oracle(const Facts& f) {
  const bool on_mgmt = f.mgmt >= 0 && f.mgmt <= kSuspect;
  const bool on_storage = f.storage >= 0 && f.storage <= kSuspect;
  const bool disk = f.slot >= 0 && f.slot <= kSilent;
  if (on_mgmt && on_storage)
    return f.volume_ok && f.slot > kSilent ? HostState::storage_cut : HostState::alive;
  if (on_storage) return HostState::mgmt_lost;
  if (on_mgmt) return HostState::storage_lost;
  if (!f.volume_ok) return HostState::unknown;
  const bool beat_ever = f.mgmt >= 0 || f.storage >= 0;
  const int beat = f.mgmt < 0 ? f.storage : f.storage < 0 ? f.mgmt : std::min(f.mgmt, f.storage);
  if (disk && (!beat_ever || beat - f.slot > kOutlives))
    return f.progress >= 0 && f.progress <= kSilent ? HostState::isolated : HostState::daemon_down;
  return beat_ever || f.slot >= 0 ? HostState::suspect : HostState::unknown;
}

// progress follows the slot: it moves only when the slot is written.
Evidence evidence_of(const Facts& f, Instant now) {
  auto evidence = domain();
  const auto ago = [&](int ms) { return now - milliseconds{ms}; };
  std::uint64_t sequence = 10;
  // Reads follow one another closely: one just before each that shows something new.
  std::uint64_t before = 0;
  const auto read = [&](int age, std::uint64_t progress) {
    if (before != 0)
      evidence.on_slot(slot(kPeer, sequence, 5, before), ago(age + 250), ago(age + 250));
    before = progress;
    evidence.on_slot(slot(kPeer, ++sequence, 5, progress), ago(age), ago(age));
  };
  if (f.slot >= 0) {
    read(9000, 1);
    if (f.progress >= f.slot) read(f.progress, 2);
    if (f.slot != f.progress) read(f.slot, f.progress >= f.slot ? 2 : 1);
  }
  if (f.mgmt >= 0) evidence.on_beat(beat(kPeer, Link::mgmt, 1), ago(f.mgmt));
  if (f.storage >= 0) evidence.on_beat(beat(kPeer, Link::storage, 1), ago(f.storage));
  return evidence;
}

}  // namespace

TEST_CASE("judge_every_mix_around_every_timeout", "[judge]") {
  const int beats[] = {-1, 0, kSuspect - 1, kSuspect, kSuspect + 1, 3000};
  const int slots[] = {-1, 0, kSuspect, kSilent - 1, kSilent, kSilent + 1, 3000};
  const auto now = at(20000);
  int judged = 0;
  for (int mgmt : beats)
    for (int storage : beats)
      for (int disk : slots)
        for (int progress : {disk, kSilent, kSilent + 1})
          for (bool volume_ok : {true, false}) {
            if (progress < disk || (disk < 0 && progress >= 0)) continue;
            const Facts facts{mgmt, storage, disk, progress, volume_ok};
            const auto evidence = evidence_of(facts, now);
            INFO(mgmt << ' ' << storage << ' ' << disk << ' ' << progress << ' ' << volume_ok);
            CHECK(to_text(judge(evidence, kPeer, false, volume_ok, now).state) ==
                  std::string(to_text(oracle(facts))));
            CHECK(judge(evidence, kPeer, true, volume_ok, now).state == HostState::dead);
            ++judged;
          }
  CHECK(judged > 500);
}

TEST_CASE("judge_waits_for_a_wardomd_that_says_it_may_be_back", "[judge]") {
  const auto said = [](bool restarting, std::int64_t grows_until) {
    auto evidence = domain();
    for (auto link : {Link::mgmt, Link::storage}) {
      auto last = beat(kPeer, link, 1);
      last.restarting = restarting;
      evidence.on_beat(last, at(1000));
    }
    for (std::int64_t ms = 0; ms <= grows_until; ms += 500)
      evidence.on_slot(slot(kPeer, static_cast<std::uint64_t>(10 + ms), 5, 1), at(ms), at(ms));
    return evidence;
  };
  const auto state = [](const Evidence& evidence, std::int64_t ms) {
    return judge(evidence, kPeer, false, true, at(ms)).state;
  };
  const auto patience = whole_ms(kRestartPatience);
  CHECK(state(said(true, 4000), 4000) == HostState::alive);
  CHECK(state(said(false, 4000), 4000) == HostState::daemon_down);
  CHECK(state(said(true, 6000), 1000 + patience) == HostState::alive);
  CHECK(state(said(true, 6000), 1000 + patience + 1) == HostState::daemon_down);
  // What it said proves nothing once the disk heartbeat stands still.
  const auto silent = whole_ms(disk_silent_after(Timing{}));
  CHECK(state(said(true, 2000), 2000 + silent) == HostState::alive);
  CHECK(state(said(true, 2000), 2000 + silent + 1) == HostState::suspect);
  // Nor where this host cannot read the volume, or a verdict stands.
  CHECK(judge(said(true, 4000), kPeer, false, false, at(4000)).state == HostState::unknown);
  CHECK(judge(said(true, 4000), kPeer, true, true, at(4000)).state == HostState::dead);
}

TEST_CASE("judge_tells_a_slot_that_was_not_read_lately_from_a_silent_one", "[judge]") {
  auto evidence = domain();
  const auto& timing = evidence.timing();
  const auto seldom = seldom_read_interval(timing) + volume_patience(timing);
  evidence.set_read_horizon(seldom);
  evidence.on_slot(slot(kPeer, 10, 5, 1), at(0), at(0));
  evidence.on_slot(slot(kPeer, 20, 5, 2), at(5000), at(5000));
  for (auto link : {Link::mgmt, Link::storage}) evidence.on_beat(beat(kPeer, link, 1), at(9000));
  CHECK(judge(evidence, kPeer, false, true, at(9000)).state == HostState::alive);
  CHECK(evidence.fresh_on_disk(at(9000)).test(evidence.index_of(kPeer)));

  // Silent on both links now. The first read shows a write that may be as old as the one before it:
  // that is no life. The next one is.
  evidence.on_slot(slot(kPeer, 30, 5, 3), at(9500), at(9500));
  CHECK(judge(evidence, kPeer, false, true, at(9500)).state == HostState::suspect);
  evidence.on_slot(slot(kPeer, 31, 5, 4), at(9750), at(9750));
  CHECK(judge(evidence, kPeer, false, true, at(9750)).state == HostState::isolated);

  // Reads that should come and do not make it stand, at either pace.
  CHECK(evidence.of(kPeer).slot_fresh(at(9750) + seldom, timing, seldom));
  CHECK(evidence.of(kPeer).slot_stands(at(9750) + seldom + milliseconds{1}, timing, seldom));
  evidence.set_read_horizon(disk_silent_after(timing));
  CHECK_FALSE(evidence.fresh_on_disk(at(10651)).test(evidence.index_of(kPeer)));
}

TEST_CASE("power_a_late_look_at_the_slot_does_not_convict_the_bmc", "[judge]") {
  auto evidence = domain();
  evidence.on_slot(slot(kPeer, 10, 5, 1), at(0), at(0));
  evidence.on_slot(slot(kPeer, 11, 5, 1), at(250), at(250));
  evidence.on_power(kPeer, Power::off, "", at(1000), at(1010));
  evidence.on_slot(slot(kPeer, 12, 5, 1), at(3000), at(3000));  // written some time since 250
  CHECK_FALSE(evidence.of(kPeer).bmc_distrusted());
  CHECK(evidence.of(kPeer).power.offs == 0);  // and yet it ends the run of readings
  for (int i = 0; i < 8; ++i)
    evidence.on_slot(slot(kPeer, 13 + i, 5, 1), at(3250 + 250 * i), at(3250 + 250 * i));
  CHECK(evidence.of(kPeer).bmc_distrusted());
}

// Submitted before the power went: it lands within L_late_after_off, and is seen after that.
TEST_CASE("power_a_write_that_lands_late_does_not_convict_the_bmc", "[judge]") {
  const int late_ms = GENERATE(0, 5000);
  auto evidence = domain();
  evidence.set_late_after_off(milliseconds{late_ms});
  evidence.on_slot(slot(kPeer, 10, 5, 1), at(0), at(0));
  evidence.on_slot(slot(kPeer, 11, 5, 1), at(250), at(250));
  evidence.on_power(kPeer, Power::off, "", at(1000), at(1010));
  for (int now = 250; now <= 6000; now += 250)
    evidence.on_slot(slot(kPeer, 11, 5, 1), at(now), at(now));
  evidence.on_slot(slot(kPeer, 12, 5, 1), at(6250), at(6250));
  CHECK(evidence.of(kPeer).bmc_distrusted() == (late_ms == 0));
  CHECK(evidence.of(kPeer).power.offs == 0);
  evidence.on_slot(slot(kPeer, 13, 5, 1), at(9250), at(9250));
  evidence.on_slot(slot(kPeer, 14, 5, 1), at(9500), at(9500));
  CHECK(evidence.of(kPeer).bmc_distrusted());
}

namespace {

// Evidence of a clean power cut, with one thing changed at a time.
struct Cut {
  int on_before_life{200};     // the last reading "on", before the last life sign
  int offs{2};
  int first_off_after_life{300};
  int slot_read_after_life{600};
  bool heard{false};
  bool life{true};
};

PowerProof proof_of(const Cut& cut) {
  auto evidence = domain();
  if (cut.life) {
    evidence.on_slot(slot(kPeer, 1), at(-9000), at(-9000));
    evidence.on_slot(slot(kPeer, 2), at(0), at(0));
    evidence.on_beat(beat(kPeer, Link::mgmt, 1), at(0));
  }
  auto later = domain();
  evidence.on_power(kPeer, Power::on, "", at(-cut.on_before_life), at(-cut.on_before_life));
  if (cut.life) evidence.on_beat(beat(kPeer, Link::mgmt, 2), at(0));
  for (int i = 0; i < cut.offs; ++i)
    evidence.on_power(kPeer, Power::off, "", at(cut.first_off_after_life + i),
                      at(cut.first_off_after_life + i + 1));
  evidence.on_slot(slot(kPeer, 2), at(cut.slot_read_after_life), at(cut.slot_read_after_life + 1));
  return power_proof(evidence, kPeer, at(cut.heard ? 390 : 1000));
}

}  // namespace

TEST_CASE("power_proof_needs_every_part", "[judge]") {
  CHECK(proof_of({}).complete);
  CHECK_FALSE(proof_of({.offs = 0}).complete);
  CHECK_FALSE(proof_of({.offs = 1}).complete);
  CHECK(proof_of({.offs = 3}).complete);
  CHECK_FALSE(proof_of({.heard = true}).complete);
  CHECK_FALSE(proof_of({.life = false}).complete);
  // Asked at the very moment of the last life sign: not after it.
  CHECK_FALSE(proof_of({.first_off_after_life = 0}).complete);
  CHECK(proof_of({.first_off_after_life = 1}).complete);
  // Silent for more than one interval (250 ms) and the time that a beat may be late (100 ms).
  CHECK_FALSE(proof_of({.slot_read_after_life = 251}).slot_silent);
  CHECK_FALSE(proof_of({.slot_read_after_life = 350}).slot_silent);
  CHECK(proof_of({.slot_read_after_life = 351}).slot_silent);
  // The poll period is 1 s, and one answer's time of 1 s is allowed.
  CHECK(proof_of({.on_before_life = 2000}).complete);
  CHECK_FALSE(proof_of({.on_before_life = 2001}).complete);
}
