#include "libha/core/judge.hpp"

namespace wardom::core {
namespace {

std::string seconds_text(Duration d) {
  const auto ms = whole_ms(d);
  const auto tenths = std::to_string(ms % 1000 / 100);
  return std::to_string(ms / 1000) + "." + tenths + " s";
}

// The slot has grown since the links fell silent: not what was already under way, but new life.
bool slot_outlived_links(const MemberEvidence& member, const Timing& timing) {
  const auto last = member.beats.last_any();
  if (!member.disk.grew || !member.disk.timer_zero || !member.disk.not_before) return false;
  return !last || (*member.disk.timer_zero - *last > timing.disk_interval + timing.beat_interval &&
                   *member.disk.not_before - *last > timing.beat_interval);
}

Judgement judge_heard(const Evidence& evidence, const MemberEvidence& member, bool volume_ok,
                      Instant now) {
  const auto& timing = evidence.timing();
  const bool mgmt = member.link_fresh(Link::mgmt, now, timing);
  const bool storage = member.link_fresh(Link::storage, now, timing);
  if (!mgmt) return {HostState::mgmt_lost, "heard on the storage link only", {}};
  if (!storage) return {HostState::storage_lost, "heard on the management link only", {}};
  if (volume_ok && member.slot_stands(now, timing, evidence.read_horizon()))
    return {HostState::storage_cut, "heard on both links, but its disk heartbeat stands still",
            {}};
  return {HostState::alive, "heard on both links", {}};
}

Judgement judge_unheard(const Evidence& evidence, const MemberEvidence& member, bool volume_ok,
                        Instant now) {
  const auto& timing = evidence.timing();
  const auto& newest = member.beats.newest;
  if (volume_ok && newest && newest->restarting && newest->incarnation == member.incarnation() &&
      now - *member.beats.last_any() <= kRestartPatience &&
      !member.slot_stands(now, timing, evidence.read_horizon()))
    return {HostState::alive, "its wardomd has said that it stops, and may be back at once", {}};
  if (!volume_ok)
    return {HostState::unknown, "silent on both links, and the state volume cannot be read here",
            {}};
  if (member.slot_fresh(now, timing, evidence.read_horizon()) &&
      slot_outlived_links(member, timing)) {
    if (!member.daemon_progresses(now, timing))
      return {HostState::daemon_down, "its disk heartbeat lives, its wardomd does not", {}};
    const auto index = evidence.index_of(member.host);
    MemberSet others = member.disk.slot->sees_mgmt | member.disk.slot->sees_storage;
    others.reset(index);
    if (others.any())
      return {HostState::split, "silent on both links here; its slot lives and hears others", {}};
    return {HostState::isolated, "silent on both links; its slot lives and hears nobody", {}};
  }
  if (member.beats.newest && member.beats.newest->leaving &&
      member.beats.newest->incarnation == member.incarnation())
    return {HostState::left, "it said that it leaves, and had no protected guest", {}};
  const auto life = member.last_life();
  if (!life) return {HostState::unknown, "not heard of since this wardomd started", {}};
  return {HostState::suspect, "silent on both links and on disk", now - *life};
}

}  // namespace

std::string Judgement::because() const {
  return silent_for ? std::string(reason) + " for " + seconds_text(*silent_for) : reason;
}

const char* to_text(HostState state) {
  switch (state) {
    case HostState::unknown: return "unknown";
    case HostState::alive: return "alive";
    case HostState::daemon_down: return "daemon-down";
    case HostState::mgmt_lost: return "mgmt-lost";
    case HostState::storage_lost: return "storage-lost";
    case HostState::isolated: return "isolated";
    case HostState::split: return "split";
    case HostState::suspect: return "suspect";
    case HostState::storage_cut: return "storage-cut";
    case HostState::dead: return "dead";
    case HostState::maintenance: return "maintenance";
    case HostState::left: return "left";
  }
  return "?";
}

Judgement judge(const Evidence& evidence, HostId host, bool verdict, bool volume_ok, Instant now) {
  if (verdict) return {HostState::dead, "a stored verdict names its incarnation", {}};
  if (host == evidence.self()) return {HostState::alive, "this host", {}};
  const auto& member = evidence.of(host);
  if (member.heard(now, evidence.timing()))
    return judge_heard(evidence, member, volume_ok, now);
  if (member.disk.slot && member.disk.slot->state == SlotState::left)
    return {HostState::left, "it left the domain", {}};
  return judge_unheard(evidence, member, volume_ok, now);
}

PowerProof power_proof(const Evidence& evidence, HostId host, Instant now) {
  const auto& member = evidence.of(host);
  const auto& timing = evidence.timing();
  PowerProof proof;
  proof.offs = member.power.offs;
  const auto life = member.last_life();
  if (!life) {
    proof.missing = "no life sign seen before the silence, so the BMC's word cannot be weighed";
    return proof;
  }
  // Read `on` within the last poll period before the first missed sign (or after it): then the
  // BMC was answering, and telling the truth, while the host lived.
  proof.credible = !member.bmc_distrusted() && member.power.on_answered &&
                   *member.power.on_answered + bmc_word_lasts(timing) >= *life;
  // Silent for more than one interval, jitter included: a read *issued* so long after timer zero.
  proof.slot_silent = member.disk.stood() > slot_misses_one(timing);
  const bool life_older = member.power.first_off_asked && *life < *member.power.first_off_asked;
  if (member.bmc_distrusted())
    proof.missing = "its BMC read off beside a life sign and is distrusted";
  else if (member.heard(now, timing))
    proof.missing = "it is still heard";
  else if (proof.offs < 2 || !life_older)
    proof.missing = "two readings off since the last life sign (now " +
                    std::to_string(life_older ? proof.offs : 0) + ")";
  else if (!proof.credible)
    proof.missing = "a reading on within the poll period before the first missed sign";
  else if (!proof.slot_silent)
    proof.missing = "its slot silent for more than one heartbeat interval";
  else
    proof.complete = true;
  return proof;
}

}  // namespace wardom::core
