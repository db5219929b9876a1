#include "libha/core/proofs.hpp"

#include <algorithm>

#include "libha/core/host_text.hpp"
#include "libha/core/judge.hpp"

namespace wardom::core {
namespace {

std::string seconds_text(Duration d) {
  const auto ms = std::max<std::int64_t>(whole_ms(d), 0);
  return std::to_string(ms / 1000) + "." + std::to_string(ms % 1000 / 100) + " s";
}

// A wait for silence: whether it is over, or when it is and what speaks against it.
struct Wait {
  bool over{false};
  std::optional<Instant> until;  // nullopt: it cannot end by itself
  std::string missing;
};

// Why a host that may outlive its window would do so without asking this one; empty: it would not.
std::string why_not_asked(const Evidence& evidence, const MemberEvidence& member,
                          const Slot& slot) {
  if (!evidence.asked_since())
    return "this host has not been one of the domain lock's proposers for long enough, so that "
           "host may live through an outage of the volume without asking it";
  // What that very daemon, or a later one, has said since is newer than its slot.
  const auto& told = member.knows_me;
  const bool knows = told && told->incarnation == member.disk.incarnation &&
                     told->epoch >= slot.daemon_epoch;
  if (knows) return {};
  if (member.disk.twin_damaged)
    return "one extent of its slot cannot be read, and may name this host as one that it does not "
           "ask before it lives through an outage of the volume";
  if (std::find(slot.unasked.begin(), slot.unasked.end(), evidence.self()) == slot.unasked.end())
    return {};
  return "it held this host for dead when it was last seen, and may live through an outage of the "
         "volume without asking it";
}

// Silence counts from the completion of one read to the issue of another, D apart: whatever the
// host wrote before the first was seen by it, and whatever it wrote in between would be seen by
// the second.
//
// A host that may outlive its window by grants (outage.hpp) is timed only by whom it asks for one,
// and by that one from the moment at which it knew.
Wait wait_for(SlotEvidence::Silence silence, Duration d, const Evidence& evidence,
              const MemberEvidence& member, const Slot& slot, Instant now) {
  Wait wait;
  if (slot.rides_out) {
    wait.missing = why_not_asked(evidence, member, slot);
    if (!wait.missing.empty()) return wait;
    if (silence.since) silence.since = std::max(silence.since, evidence.asked_since());
    // Until it knew this boot it may have left it out, and lived on by what others granted, or by
    // nobody's grant: only what came later was to be asked for here.
    if (silence.since && member.knows_me)
      silence.since = std::max(*silence.since, member.knows_since);
  }
  if (!evidence.observer_fit()) {
    wait.missing = "this host's own reads and heartbeats of the state volume, without which it "
                   "cannot time another's silence";
    return wait;
  }
  wait.until = silence.since.value_or(now) + d;
  wait.over = silence.lasted(d);
  if (!wait.over)
    wait.missing = "its lease expires in " + seconds_text(*wait.until - now) +
                   " if it stays silent";
  return wait;
}

// The lease of the boot that the slot shows now. What ends it ends all earlier boots.
Wait newest_lease(const Evidence& evidence, const MemberEvidence& member, Instant now) {
  const auto& disk = member.disk;
  const auto d = published_lease(*disk.slot, evidence.timing());
  if (!d) return {false, {}, "its slot publishes no lease that could expire"};
  // A host that speaks has not been reset, whatever its slot says: its watchdog has failed.
  if (member.heard(now, evidence.timing()) &&
      member.beats.newest->incarnation.number <= disk.incarnation.number)
    return {false, {}, "it is still heard"};
  return wait_for(disk.silence, *d, evidence, member, *disk.slot, now);
}

// A boot before the one that the slot shows. A keeper takes a slot over only from its own machine's
// earlier boot, or after D of silence (agents/keeper/join.hpp): this host waits for D of its own
// besides. Where it never saw the earlier boot's slot, that boot's values are taken to have been
// those of the present one, and no shorter than the profile's.
Wait earlier_lease(const Evidence& evidence, const MemberEvidence& member,
                   const Incarnation& incarnation, Instant now) {
  const auto& disk = member.disk;
  const auto& timing = evidence.timing();
  if (member.heard(now, timing) &&
      member.beats.newest->incarnation.number <= incarnation.number)
    return {false, {}, "it is still heard"};
  const bool seen = disk.earlier && disk.earlier->incarnation == incarnation;
  auto d = published_lease(seen ? disk.earlier->slot : *disk.slot, timing);
  if (!d)
    return {false, {}, seen ? "the slot of that boot published no lease that could expire"
                            : "its slot publishes no lease that could expire"};
  if (!seen) d = std::max(*d, lease_silence(timing));
  return wait_for(disk.later_boot, *d, evidence, member,
                  seen ? disk.earlier->slot : *disk.slot, now);
}

std::string power_detail(const MemberEvidence& member) {
  return "BMC read off " + std::to_string(member.power.offs) +
         " times, no life sign since the first, slot silent";
}

std::optional<ProofAbout> without_waiting(const Evidence& evidence, const MemberEvidence& member,
                                          const Incarnation& incarnation, Instant now) {
  const auto& disk = member.disk;
  ProofAbout about;
  if (member.released && incarnation.number <= member.released->number) {
    about.proof = Proof::released;
    about.detail = "its own word, recorded there first: incarnation " + to_text(*member.released) +
                   " holds no guest any more, and starts none";
    return about;
  }
  if (disk.rebooted && incarnation.number <= disk.rebooted->number) {
    about.proof = Proof::rebooted;
    about.detail = "the same machine runs as incarnation " + to_text(disk.incarnation) +
                   ", booted after the last sign of " + to_text(*disk.rebooted);
    return about;
  }
  if (incarnation.number <= member.incarnation().number &&
      power_proof(evidence, member.host, now).complete) {
    about.proof = Proof::power_off;
    about.detail = power_detail(member);
    return about;
  }
  const auto& word = member.operator_word;
  if (word && incarnation.number <= word->incarnation.number) {
    about.proof = Proof::operator_word;
    about.detail = "seen off, says " + word->by;
    return about;
  }
  return std::nullopt;
}

}  // namespace

const char* to_text(Proof proof) {
  switch (proof) {
    case Proof::none: return "none";
    case Proof::power_off: return "power-off";
    case Proof::lease_expired: return "lease-expired";
    case Proof::rebooted: return "rebooted";
    case Proof::released: return "released";
    case Proof::operator_word: return "operator";
  }
  return "?";
}

std::optional<Duration> published_lease(const Slot& slot, const Timing& timing) {
  const std::chrono::milliseconds t_f{slot.t_f_ms};
  const std::chrono::milliseconds w{slot.w_ms};
  if (slot.state == SlotState::left || slot.t_f_ms == 0 || slot.w_ms == 0) return std::nullopt;
  if (t_f != timing.feed_window) return std::nullopt;
  return lease_silence(t_f, w);
}

std::string life_sign(const Evidence& evidence, HostId host, Instant now) {
  const auto& timing = evidence.timing();
  const auto& member = evidence.of(host);
  if (host == evidence.self()) return "it is this very host";
  if (member.heard(now, timing)) return "its heartbeats arrive here";
  const auto index = evidence.index_of(host);
  for (HostId other : evidence.members()) {
    const auto& peer = evidence.of(other);
    if (other == host || !peer.heard(now, timing)) continue;
    const auto& newest = *peer.beats.newest;
    if (newest.sees_mgmt.test(index) || newest.sees_storage.test(index))
      return host_text(other) + " hears it";
  }
  if (!evidence.observer_fit())
    return "this host cannot read the state volume, so it cannot tell whether that host writes";
  return member.disk.silence.lasted(disk_silent_after(timing))
             ? ""
             : "its disk heartbeat has not been seen silent for long enough";
}

ProofAbout proof_about(const Evidence& evidence, HostId host, const Incarnation& incarnation,
                       Instant now) {
  const auto* member = evidence.find(host);
  ProofAbout about;
  if (member == nullptr || incarnation.is_none()) {
    about.missing = "it has never been seen on the state volume";
    return about;
  }
  if (auto proved = without_waiting(evidence, *member, incarnation, now)) return *proved;
  const auto& disk = member->disk;
  Wait lease{false, {}, "its slot has not been read"};
  const bool on_volume = disk.slot && incarnation.number <= disk.incarnation.number;
  if (on_volume) {
    lease = newest_lease(evidence, *member, now);
    if (!lease.over && incarnation.number < disk.incarnation.number)
      lease = earlier_lease(evidence, *member, incarnation, now);
  }
  if (lease.over) {
    about.proof = Proof::lease_expired;
    about.detail = "its slot, read here without an increase for longer than D, shows that its "
                   "lease has expired";
    return about;
  }
  about.lease_expires = lease.until;
  about.missing = "power-off: " + power_proof(evidence, host, now).missing +
                  "; lease-expired: " + lease.missing;
  return about;
}

}  // namespace wardom::core
