#include "libha/core/fencing.hpp"

#include <algorithm>
#include <utility>

#include "libha/core/host_text.hpp"
#include "libha/core/proofs.hpp"

namespace wardom::core {
namespace {

// So many readings in a row have to be off.
constexpr int kOffs = 2;

Duration counted(Duration late) {
  return late == Duration::zero() ? late : counted_by_clock(late);
}

// The boot that the slot shows began later than that, by this host's clock: whatever ran before it
// is gone. The newest heartbeat was written after the last read that did not show it.
bool began_after(const SlotEvidence& disk, Instant at) {
  if (!disk.slot || disk.slot->raw_ns == 0 || !disk.not_before) return false;
  const auto up = Duration{static_cast<std::int64_t>(disk.slot->raw_ns)};
  return *disk.not_before - at >= up + up * 2 * kClockErrorPercent / 100;
}

std::string words(Proof proof, HostId host, const Incarnation& boot, const std::string& detail) {
  return std::string(to_text(proof)) + ": incarnation " + to_text(boot) + " of " +
         host_text(host) + "; " + detail;
}

}  // namespace

void Fencing::on_ready(const VolumeReady& ready) {
  late_ = ready.late_writes;
  late_after_off_ = ready.late_writes_after_off;
}

bool Fencing::take(const OperatorAsk& ask, Instant now) {
  if (asked_.size() >= kMaxFencings || !evidence_.has(ask.host)) return false;
  Asked asked;
  asked.ask = ask;
  asked.at = now;
  asked.until = now + std::min<Duration>(ask.time, kFencingPatienceMax);
  asked.boot = evidence_.of(ask.host).incarnation();
  asked.said_before =
      !asked.boot.is_none() && board_.verdict_on(ask.host, asked.boot) != nullptr;
  asked_.push_back(std::move(asked));
  return true;
}

void Fencing::on_answered(const OperatorAnswer& answer) {
  std::erase_if(asked_, [&](const Asked& asked) {
    return asked.ask.from == answer.to && asked.ask.request == answer.request;
  });
}

void Fencing::note_verdicts(Instant now) {
  for (const auto& [host, verdict] : board_.verdicts()) {
    auto& said = said_[host];
    if (said.incarnation == verdict.incarnation) continue;
    const auto* member = evidence_.find(host);
    said = {verdict.incarnation, now, member == nullptr ? 0 : member->ring_joins};
  }
}

void Fencing::look(bool decides, Instant now) {
  note_verdicts(now);
  std::erase_if(asked_, [&](Asked& asked) { return look(asked, decides, now); });
}

// true: it has ended.
bool Fencing::look(Asked& asked, bool decides, Instant now) {
  const auto shows = shown(asked, now);
  asked.due.reset();
  if (!shows) {
    asked.shown_since.reset();
  } else {
    if (!asked.shown_since) asked.shown_since = now;
    const auto due = std::max(*asked.shown_since + shows->stands, shows->until);
    // One of the readings that show it may be a slip, and those of before are not counted: it may
    // have been switched on since.
    const auto& asked_power = evidence_.of(asked.ask.host).power.asked;
    const bool again = !shows->read || (asked_power && *asked_power > *asked.shown_since);
    if (now >= due && again) {
      ended_.push_back({asked.ask, true, shows->how});
      return true;
    }
    if (again) asked.due = due;
  }
  if (now >= asked.until) {
    ended_.push_back({asked.ask, false, {}});
    return true;
  }
  if (decides || asked.said_before || asked.boot.is_none()) return false;
  const auto* verdict = board_.verdict_on(asked.ask.host, asked.boot);
  return verdict != nullptr && verdict->proof != Proof::released;
}

// The boot that is there now is not one that began after it was asked for.
bool Fencing::is_about(const Asked& asked) const {
  const auto& member = evidence_.of(asked.ask.host);
  return member.incarnation().number <= asked.boot.number || !began_after(member.disk, asked.at);
}

const OperatorAsk* Fencing::wish(HostId host, HostState state) const {
  for (const auto& asked : asked_) {
    if (asked.ask.host != host || !is_about(asked)) continue;
    if (asked.ask.wish == Wish::fence_unless_split && lives_apart(state)) continue;
    return &asked.ask;
  }
  return nullptr;
}

std::optional<Fencing::Shown> Fencing::shown_by_reboot(const Asked& asked) const {
  const auto& disk = evidence_.of(asked.ask.host).disk;
  if (asked.boot.is_none() || !disk.rebooted || disk.rebooted->number < asked.boot.number)
    return std::nullopt;
  // A host that may be suspended publishes none: then its uptime says less than it seems to.
  if (!published_lease(*disk.slot, evidence_.timing())) return std::nullopt;
  const auto* verdict = board_.verdict_on(asked.ask.host, asked.boot);
  if (verdict == nullptr || verdict->proof == Proof::released) return std::nullopt;
  return Shown{Proof::rebooted,
               words(Proof::rebooted, asked.ask.host, asked.boot,
                     "the same machine has booted since it was to be fenced"),
               counted(late_), {}};
}

// Its BMC says nothing, or nothing that counts. Then a verdict that rests on the silence of a boot
// says nothing of a later one that does not know Wardom: but such a one would be in the ring.
std::optional<Fencing::Shown> Fencing::shown_by_silence(const Verdict& verdict,
                                                        Instant now) const {
  const auto& member = evidence_.of(verdict.host);
  const auto& timing = evidence_.timing();
  const auto said = said_.find(verdict.host);
  if (verdict.proof == Proof::released || said == said_.end()) return std::nullopt;
  if (verdict.proof == Proof::lease_expired && stay_up_) return std::nullopt;
  // Of a ring without quorum it may be in another one.
  if (!evidence_.ring_up() || !evidence_.quorate()) return std::nullopt;
  if (member.node_in_ring || member.ring_joins != said->second.ring_joins) return std::nullopt;
  if (member.slot_fresh(now, timing, evidence_.read_horizon())) return std::nullopt;
  return Shown{verdict.proof,
               words(verdict.proof, verdict.host, verdict.incarnation, verdict.detail),
               2 * timing.bmc_timeout, said->second.at + counted(late_)};
}

std::optional<Fencing::Shown> Fencing::shown(const Asked& asked, Instant now) const {
  const HostId host = asked.ask.host;
  const auto& member = evidence_.of(host);
  if (!is_about(asked)) return shown_by_reboot(asked);
  const auto boot = member.incarnation();
  const auto* verdict = boot.is_none() ? nullptr : board_.verdict_on(host, boot);
  if (verdict == nullptr || member.heard(now, evidence_.timing())) return std::nullopt;
  const auto& power = member.power;
  if (!power.asked || *power.asked < asked.at || power.last == Power::on) return std::nullopt;
  if (power.last == Power::unknown || member.bmc_distrusted())
    return shown_by_silence(*verdict, now);
  if (power.offs < kOffs) return std::nullopt;
  const bool by_bmc = power_proof(evidence_, host, now).complete;
  // A BMC that has not been weighed against this very silence may be another machine's.
  const bool outside = evidence_.ring_up() && evidence_.quorate() && !member.node_in_ring;
  if ((!by_bmc || asked.said_before) && !outside) return std::nullopt;
  if (!by_bmc && verdict->proof == Proof::released) return std::nullopt;
  const bool all_since = power.first_off_asked && *power.first_off_asked >= asked.at;
  const auto proof = by_bmc ? Proof::power_off : verdict->proof;
  return Shown{proof,
               words(proof, host, boot,
                     by_bmc && verdict->proof != proof ? "its BMC reads off" : verdict->detail),
               counted(late_after_off_), {}, !all_since};
}

std::vector<Fencing::Ended> Fencing::take_ended() { return std::exchange(ended_, {}); }

Instant Fencing::next_deadline() const {
  auto next = Instant::never();
  for (const auto& asked : asked_) next = std::min({next, asked.until, asked.due.value_or(next)});
  return next;
}

}  // namespace wardom::core
