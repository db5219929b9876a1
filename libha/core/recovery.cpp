// The decider's second half: from verdicts on the board to guests that run again (decider.hpp).
#include <algorithm>

#include "libha/core/decider.hpp"
#include "libha/core/guest_life.hpp"
#include "libha/core/host_text.hpp"

namespace wardom::core {
namespace {

// A host that is heard by one link only is the last choice: it counts as fully busy.
constexpr std::uint32_t kImpairedLoad = 1000;

// Why a guest whose newest entry this is needs a host.
Cause cause_of(const GuestEntry& entry) {
  if (is_active(entry.phase)) return Cause::verdict;
  return entry.phase == GuestPhase::yielded ? Cause::yielded : Cause::retry;
}

}  // namespace

// Something may have to be assigned, and the time has come to look.
bool Decider::look_due(Turn& turn) {
  if (!armed()) return work_;
  const auto now = turn.now.at;
  for (const auto& [guest, attempt] : attempts_)
    if (!attempt.over() && open_assignment(guest) == nullptr && now >= attempt.next) work_ = true;
  if (next_late_ && now >= *next_late_) {
    next_late_.reset();
    work_ = true;
  }
  // A claim can end without an open assignment: one that came after the withdrawal is refused.
  if (looked_ != board_.revision()) {
    looked_ = board_.revision();
    for (const auto& [guest, facts] : board_.guests())
      work_ = work_ || (open_assignment(guest) == nullptr && lost(facts));
  }
  if (!attempts_.empty() && new_host_is_fit(now)) {
    for (auto& [guest, attempt] : attempts_) attempt = {0, now, attempt.why, attempt.recovery, {}};
    work_ = true;
  }
  return work_;
}

// What is decided next follows from the board alone. Assignments are made only on cells that were
// read after the newest decision was acknowledged, so that a dead host's last writes, and claims
// made under decisions that no longer stand, are seen.
void Decider::reconcile(Turn& turn) {
  if (handed_back_.look(evidence_, turn.now.at)) work_ = true;
  if (!cell_.settled()) return;
  for (const auto& assignment : cell_.wanted().assignments) {
    if (!evidence_.has(assignment.target)) continue;
    const auto& seen = board_.table(assignment.target).sequence;
    const auto& newest = evidence_.of(assignment.target).beats.newest;
    if (newest && newest->table_sequence > seen) board_.want_table(assignment.target);
  }
  if (retire_settled(turn)) return;
  if (!reconcile_since_ && look_due(turn)) {
    work_ = false;
    reconcile_since_ = turn.now.at;
    board_.want_all();
  }
  if (!reconcile_since_ || !board_.read_since(*reconcile_since_)) return;
  reconcile_since_.reset();
  if (!board_.unknown_cell().empty()) {
    work_ = true;  // fail closed, and look again
    return;
  }
  answer_requests(turn);
  if (!armed()) return;
  auto fit = candidates(turn.now.at);
  const auto seeking = seekers(fit, turn);
  if (!seeking.empty()) assign(seeking, std::move(fit), turn);
  close_recoveries(turn);
}

// A recovery ends when nothing of it is left to assign and nothing assigned is open.
void Decider::close_recoveries(Turn& turn) {
  for (auto at = open_recoveries_.begin(); at != open_recoveries_.end();) {
    const auto& recovery = at->first;
    const auto& victim = at->second;
    const auto& open = cell_.wanted().assignments;
    const bool going = std::any_of(open.begin(), open.end(), [&](const Assignment& assignment) {
      return assignment.recovery == recovery;
    });
    const auto& said = cell_.wanted().verdicts;
    const bool unread = std::any_of(said.begin(), said.end(), [&](const Verdict& verdict) {
      return verdict.recovery == recovery &&
             board_.verdict_on(victim, verdict.incarnation) == nullptr;
    });
    if (going || unread || waiting_.contains(recovery)) {
      ++at;
      continue;
    }
    const auto left = std::count_if(attempts_.begin(), attempts_.end(), [&](const auto& attempt) {
      return attempt.second.recovery == recovery;
    });
    turn.note({left == 0 ? Severity::notice : Severity::error, "decider", victim, {}, recovery,
               "finished",
               left == 0 ? "every guest of " + host_text(victim) + " is settled"
                         : "settled but for " + std::to_string(left) +
                               " guests that found no place; no more is tried"});
    at = open_recoveries_.erase(at);
  }
}

// Neither claimed nor refused, and it will not be, or not soon. Withdrawing is safe at any time: a
// claim that comes later finds that its assignment no longer stands, and one that came before is
// seen by the read that follows the withdrawal.
bool Decider::unanswered(const Assignment& assignment, Instant now) {
  const std::pair fresh{assignment.generation, now};
  auto& since = open_since_.try_emplace(assignment.guest, fresh).first->second;
  if (since.first != assignment.generation) since = fresh;
  if (!present(assignment.target, assignment.target_incarnation, assignment.target_epoch))
    return true;
  return now - since.second >= kClaimPatience;
}

// Drops assignments whose target has answered on the volume, is proved dead, or does not answer.
bool Decider::retire_settled(Turn& turn) {
  const auto& guests = board_.guests();
  std::vector<Assignment> open;
  for (const auto& assignment : cell_.wanted().assignments) {
    const auto found = guests.find(assignment.guest);
    const GuestEntry* entry = nullptr;
    if (found != guests.end())
      for (const auto& claim : found->second.claims)
        if (claim.host == assignment.target && claim.entry->generation >= assignment.generation)
          entry = claim.entry;
    const bool dead =
        board_.verdict_on(assignment.target, assignment.target_incarnation) != nullptr;
    const bool answered = entry != nullptr && (entry->phase == GuestPhase::holding ||
                                               entry->phase == GuestPhase::refused ||
                                               entry->phase == GuestPhase::yielded);
    if (entry != nullptr) open_since_.erase(assignment.guest);
    // Who was to hand it over lives no more: it is recovered.
    const auto* ended = board_.verdict_on(assignment.from, assignment.from_incarnation);
    const bool orphaned = assignment.cause == Cause::migrate && ended != nullptr;
    const bool silent =
        !dead && entry == nullptr && (orphaned || unanswered(assignment, turn.now.at));
    const bool handed_back =
        entry != nullptr && handed_back_.over(board_, Claim{assignment.target, entry});
    if (!dead && !answered && !silent && !handed_back) {
      open.push_back(assignment);
      continue;
    }
    if (silent) {
      if (evidence_.has(assignment.target) && !orphaned)
        attempts_[assignment.guest].silent.set(evidence_.index_of(assignment.target));
      turn.note({Severity::warning, "decider", assignment.target, assignment.guest,
                 assignment.recovery, "withdrawn",
                 host_text(assignment.target) + " did not claim it: withdrawn"});
    }
    if (handed_back)
      turn.note({Severity::warning, "decider", assignment.target, assignment.guest,
                 assignment.recovery, "withdrawn",
                 "the wardomd of " + host_text(assignment.target) +
                     " claimed it, and was gone before it started it: withdrawn"});
    if (answered && entry->phase == GuestPhase::refused)
      turn.note({Severity::warning, "decider", assignment.target, assignment.guest,
                 assignment.recovery, "refused",
                 entry->name + ": " + host_text(assignment.target) + " refused: " + entry->reason});
  }
  if (open.size() == cell_.wanted().assignments.size()) return false;
  cell_.change().assignments = std::move(open);
  std::erase_if(open_since_,
                [&](const auto& since) { return open_assignment(since.first) == nullptr; });
  work_ = true;
  return true;
}

// Nothing follows from it any more, whatever its host does.
bool Decider::over(const Claim& claim) const {
  return !is_active(claim.entry->phase) ||
         board_.verdict_on(claim.host, claim.entry->holder) != nullptr ||
         handed_back_.over(board_, claim);
}

// A living host has a claim on it, of whatever generation.
bool Decider::owned(const GuestFacts& facts) const {
  return !std::all_of(facts.claims.begin(), facts.claims.end(),
                      [&](const Claim& claim) { return over(claim); });
}

// Wanted running by Wardom, and no living host's: its host is dead, or gave it up. Pacemaker asks
// for what it manages.
bool Decider::lost(const GuestFacts& facts) const {
  const Claim* newest = facts.newest();
  return newest != nullptr && newest->entry->wanted == Wanted::running &&
         newest->entry->manager == Manager::wardom && !newest->entry->xml.empty() && !owned(facts);
}

// How long a write that the dead had issued may still be on its way through the storage.
Duration Decider::late_writes_after(Proof proof) const {
  switch (proof) {
    case Proof::power_off: return me_.late_writes_after_off;
    case Proof::released:  // its own I/O was drained before it said so; see drained_until()
    case Proof::none:
    case Proof::lease_expired:
    case Proof::rebooted:
    case Proof::operator_word: break;
  }
  return me_.late_writes;
}

namespace {
// By a clock that may run fast; what is off at once needs no clock.
Duration counted(Duration late) {
  return late == Duration::zero() ? late : counted_by_clock(late);
}
}  // namespace

// A released host has waited out L_late by itself. But where the storage stood still for all, it
// has kept what it had: then L_late begins when it answers again.
Instant Decider::drained_until(Instant now) const {
  return evidence_.written_since().value_or(now) + counted(me_.late_writes);
}

bool Decider::writes_may_land(const GuestFacts& facts, Instant now) {
  bool wait = false;
  for (const auto& claim : facts.claims) {
    if (!is_active(claim.entry->phase)) continue;
    const auto* verdict = board_.verdict_on(claim.host, claim.entry->holder);
    if (verdict == nullptr) continue;
    // A verdict on a later boot covers this one, but says nothing of how this one ended.
    const bool own = verdict->incarnation == claim.entry->holder;
    const bool released = own && verdict->proof == Proof::released;
    const auto late = own ? late_writes_after(verdict->proof)
                          : std::max(me_.late_writes, me_.late_writes_after_off);
    const auto until =
        released ? drained_until(now)
                 : late_until_.try_emplace({claim.host, claim.entry->holder}, now + counted(late))
                       .first->second;
    if (now >= until) continue;
    next_late_ = next_late_ ? std::min(*next_late_, until) : until;
    wait = true;
  }
  return wait;
}

// Who was handing it over live, and is dead: its destination has not given it up yet.
const Claim* Decider::stranded(const GuestFacts& facts) const {
  for (const auto& claim : facts.claims)
    if (claim.entry->phase == GuestPhase::claimed_incoming && !over(claim))
      if (const auto* source = facts.comes_from(claim); source != nullptr && over(*source))
        return source;
  return nullptr;
}

RecoveryId Decider::recovery_of(const Claim& claim) const {
  const auto* verdict = is_active(claim.entry->phase)
                            ? board_.verdict_on(claim.host, claim.entry->holder)
                            : nullptr;
  return verdict != nullptr ? verdict->recovery : claim.entry->recovery;
}

void Decider::back_off(GuestId guest, const std::string& name, const std::string& why,
                       const RecoveryId& recovery, Turn& turn) {
  auto& attempt = attempts_[guest];
  ++attempt.rounds;
  attempt.next = turn.now.at + (attempt.rounds < kPlacementRounds
                                    ? attempt.rounds * kPlacementPause
                                    : kPlacementLongPause);
  attempt.why = why;
  attempt.recovery = recovery;
  attempt.silent.reset();
  turn.note({Severity::error, "decider", {}, guest, recovery, "unplaced",
             name + " has no place: " + why});
}

// The guest as one in search of a host; nullopt: it needs none, or not now.
std::optional<Seeker> Decider::seeker(GuestId guest, const GuestFacts& facts,
                                      const std::vector<Candidate>& fit, Turn& turn) {
  const Claim& newest = *facts.newest();
  const auto& entry = *newest.entry;
  const auto attempt = attempts_.find(guest);
  if (attempt != attempts_.end() && (attempt->second.over() || turn.now.at < attempt->second.next))
    return std::nullopt;
  Seeker seeker{guest, entry.name, entry.priority, entry.memory_kib, entry.vcpus, {}};
  const Claim* last_refusal = nullptr;
  for (const auto& claim : facts.claims) {
    if (claim.entry->phase != GuestPhase::refused || claim.entry->generation < entry.generation)
      continue;
    seeker.avoid.push_back(claim.host);
    if (last_refusal == nullptr || claim.entry->generation > last_refusal->entry->generation)
      last_refusal = &claim;
  }
  for (std::size_t i = 0; i < evidence_.members().size(); ++i)
    if (attempt != attempts_.end() && attempt->second.silent.test(i))
      seeker.avoid.push_back(evidence_.members()[i]);
  const bool exhausted =
      !fit.empty() && std::all_of(fit.begin(), fit.end(), [&](const Candidate& candidate) {
        return std::find(seeker.avoid.begin(), seeker.avoid.end(), candidate.host) !=
               seeker.avoid.end();
      });
  if (!exhausted) return seeker;
  // Every fit host has refused: all may be asked again, one in each round.
  const bool first = attempt == attempts_.end() || attempt->second.rounds == 0;
  back_off(guest, entry.name, "every fit host has refused it or not answered", recovery_of(newest),
           turn);
  if (first) return std::nullopt;
  seeker.avoid.clear();
  if (fit.size() > 1 && last_refusal != nullptr) seeker.avoid.push_back(last_refusal->host);
  return seeker;
}

// The guests that are wanted running and that no living host owns.
std::vector<Seeker> Decider::seekers(const std::vector<Candidate>& fit, Turn& turn) {
  std::vector<Seeker> seeking;
  std::set<GuestId> without_owner;
  waiting_.clear();
  for (const auto& [guest, facts] : board_.guests()) {
    if (open_assignment(guest) != nullptr) {
      without_owner.insert(guest);
      continue;
    }
    if (!lost(facts)) {
      // Whoever asks for it does not wait anew for what its dead host had under way.
      if (!owned(facts)) writes_may_land(facts, turn.now.at);
      if (const auto* source = stranded(facts)) waiting_.insert(recovery_of(*source));
      continue;
    }
    const Claim* newest = facts.newest();
    without_owner.insert(guest);
    const bool late = writes_may_land(facts, turn.now.at);
    if (!late)
      if (auto one = seeker(guest, facts, fit, turn)) seeking.push_back(std::move(*one));
    const auto attempt = attempts_.find(guest);
    if (late || attempt == attempts_.end() || !attempt->second.over())
      waiting_.insert(recovery_of(*newest));
  }
  std::erase_if(attempts_,
                [&](const auto& attempt) { return !without_owner.contains(attempt.first); });
  return seeking;
}

std::vector<Candidate> Decider::candidates(Instant now) const {
  std::vector<Candidate> fit;
  const auto& guests = board_.guests();
  for (HostId host : evidence_.members()) {
    if (!board_.in_directory(host)) continue;
    Candidate candidate{host, {}, 0, 0};
    if (host == evidence_.self()) {
      const auto& slot = evidence_.of(host).disk.slot;
      if (!slot || !hypervisor_ok_) continue;
      candidate.load = slot->load;
    } else {
      const auto state = judge(evidence_, host, condemned(host), volume_ok_, now).state;
      const bool impaired = state == HostState::mgmt_lost || state == HostState::storage_lost;
      const auto& newest = evidence_.of(host).beats.newest;
      if ((state != HostState::alive && !impaired) || !newest) continue;
      if (!newest->volume_ok || !newest->hypervisor_ok || newest->leaving || newest->restarting)
        continue;
      candidate.load = newest->load;
      if (impaired) candidate.load.cpu_permille += kImpairedLoad;
    }
    for (const auto& assignment : cell_.wanted().assignments) {
      if (assignment.target != host) continue;
      const auto facts = guests.find(assignment.guest);
      if (facts == guests.end() || facts->second.newest() == nullptr) continue;
      candidate.promised_mib += facts->second.newest()->entry->memory_kib / 1024;
      candidate.promised_vcpus += facts->second.newest()->entry->vcpus;
    }
    fit.push_back(candidate);
  }
  return fit;
}

bool Decider::new_host_is_fit(Instant now) {
  MemberSet fit;
  for (const auto& candidate : candidates(now)) fit.set(evidence_.index_of(candidate.host));
  const bool grown = (fit & ~fit_).any() && fit_.any();
  fit_ = fit;
  return grown;
}

// Its newest boot, and that one's daemon.
void Decider::name_target(Assignment& assignment, HostId target) const {
  const bool self = target == evidence_.self();
  const auto& newest = evidence_.of(target).beats.newest;
  assignment.target = target;
  assignment.target_incarnation = self ? me_.incarnation : newest->incarnation;
  assignment.target_epoch = self ? me_.epoch : newest->epoch;
}

void Decider::assign(const std::vector<Seeker>& seeking, std::vector<Candidate> fit, Turn& turn) {
  const auto& guests = board_.guests();
  for (const auto& chosen : place(seeking, std::move(fit), reserve_mib_)) {
    const auto& facts = guests.at(chosen.guest);
    const auto& old = *facts.newest();
    const RecoveryId recovery = recovery_of(old);
    if (chosen.target == kNoHost) {
      back_off(chosen.guest, old.entry->name, chosen.why, recovery, turn);
      continue;
    }
    if (cell_.wanted().assignments.size() >= kMaxAssignments) break;  // the rest next round
    auto assignment = new_assignment(chosen.guest, &facts, cause_of(*old.entry));
    name_target(assignment, chosen.target);
    assignment.from = old.host;
    assignment.from_incarnation = old.entry->holder;
    assignment.recovery = recovery;
    assignment.priority = old.entry->priority;
    if (!recovery.is_zero()) open_recoveries_.try_emplace(recovery, old.host);
    given_[assignment.guest] = assignment.generation;
    cell_.change().assignments.push_back(assignment);
    // Its host may have had nobody to tell.
    if (assignment.cause == Cause::yielded && facts.top == old.entry->generation)
      turn.note({Severity::notice, "decider", old.host, chosen.guest, recovery, "yielded",
                 old.entry->name + " was yielded by " + host_text(old.host) + ": " +
                     old.entry->reason,
                 old.entry->since});
    turn.note({Severity::notice, "decider", chosen.target, chosen.guest, recovery, "assigned",
               old.entry->name + " to " + host_text(chosen.target) + ", generation " +
                   std::to_string(assignment.generation.value) + ": " + chosen.why});
  }
}

// Its holder asks for it; nobody else has a claim on it.
void Decider::answer_move(const PleaseAssign& please, const GuestFacts* facts, Turn& turn) {
  if (facts == nullptr || !evidence_.has(please.to) || please.to == please.from) return;
  const bool sole = std::all_of(facts->claims.begin(), facts->claims.end(), [&](const Claim& one) {
    const auto& entry = *one.entry;
    const bool holder = one.host == please.from && entry.holder == please.incarnation &&
                        entry.phase == GuestPhase::holding && !entry.parting && !entry.hand_over;
    return holder || over(one);
  });
  const auto fit = candidates(turn.now.at);
  const bool there = std::any_of(fit.begin(), fit.end(),
                                 [&](const Candidate& one) { return one.host == please.to; });
  if (!sole || !owned(*facts) || !there) return;
  auto assignment = new_assignment(please.guest, facts, Cause::migrate);
  name_target(assignment, please.to);
  assignment.from = please.from;
  assignment.from_incarnation = please.incarnation;
  assignment.priority = please.priority;
  given_[assignment.guest] = assignment.generation;
  cell_.change().assignments.push_back(assignment);
  turn.note({Severity::info, "decider", please.to, please.guest, {}, "",
             "assigned to go live from " + host_text(please.from) + " to " +
                 host_text(please.to)});
}

namespace {
bool heard(HostState state) {
  return state == HostState::alive || state == HostState::mgmt_lost ||
         state == HostState::storage_lost;
}
}  // namespace

void Decider::answer_requests(Turn& turn) {
  const auto& guests = board_.guests();
  for (const auto& please : std::exchange(requests_, {})) {
    if (open_assignment(please.guest) != nullptr || !evidence_.has(please.from) ||
        !board_.in_directory(please.from))
      continue;
    if (!present(please.from, please.incarnation, please.epoch)) continue;
    if (please.start && please.from != evidence_.self()) {
      const bool dead = condemned(please.from);
      if (!heard(judge(evidence_, please.from, dead, volume_ok_, turn.now.at).state))
        continue;  // it stands apart, and starts nothing
    }
    if (cell_.wanted().assignments.size() >= kMaxAssignments) return;
    const auto found = guests.find(please.guest);
    const GuestFacts* facts = found == guests.end() ? nullptr : &found->second;
    if (please.to != kNoHost) {
      answer_move(please, facts, turn);
      continue;
    }
    if (facts != nullptr && owned(*facts)) continue;  // the asking host sees it, and says so
    if (facts != nullptr && writes_may_land(*facts, turn.now.at)) continue;  // it asks again
    auto assignment =
        new_assignment(please.guest, facts, please.start ? Cause::start : Cause::protect);
    assignment.target = please.from;
    assignment.target_incarnation = please.incarnation;
    assignment.target_epoch = please.epoch;
    assignment.from = please.from;
    assignment.from_incarnation = please.incarnation;
    const auto* before = please.start && facts != nullptr ? facts->newest() : nullptr;
    if (before != nullptr) {  // whose last word on the guest may not be read yet
      assignment.from = before->host;
      assignment.from_incarnation = before->entry->holder;
    }
    assignment.priority = please.priority;
    given_[assignment.guest] = assignment.generation;
    cell_.change().assignments.push_back(assignment);
    turn.note({Severity::info, "decider", please.from, please.guest, {}, "",
               (please.start ? "assigned, to be started, to " : "assigned for protection to ") +
                   host_text(please.from)});
  }
}

}  // namespace wardom::core
