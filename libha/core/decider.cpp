#include "libha/core/decider.hpp"

#include <algorithm>
#include <type_traits>

#include "libha/core/guest_life.hpp"

namespace wardom::core {
namespace {

constexpr std::size_t kMaxRequests = 256;

std::string host_text(HostId host) { return "host " + std::to_string(host.value); }

const char* power_text(Power power) {
  switch (power) {
    case Power::on: return "on";
    case Power::off: return "off";
    case Power::unknown: return "unknown";
  }
  return "?";
}

}  // namespace

void Decider::on_written(const CellWritten& written, Turn& turn) {
  if (!cell_.on_written(written, turn.now.at, inquiry_interval(evidence_.timing()))) return;
  if (!written.acknowledged) {
    turn.note({Severity::warning, "decider", {}, {}, {}, "",
               "decision not acknowledged: " + written.error});
    return;
  }
  work_ = true;
}

void Decider::on_power(const PowerSeen& seen, Instant, Turn& turn) {
  const auto found = inquiries_.find(seen.host);
  if (found == inquiries_.end() || found->second.asked != seen.ticket) return;
  auto& inquiry = found->second;
  inquiry.asked.reset();
  inquiry.next_ask = turn.now.at + inquiry_interval(evidence_.timing());
  const int offs = evidence_.of(seen.host).power.offs;
  if (seen.power == inquiry.last_told && offs == inquiry.offs_told) return;
  inquiry.last_told = seen.power;
  inquiry.offs_told = offs;
  std::string text = std::string("BMC reads ") + power_text(seen.power);
  if (seen.power == Power::off) text += " (reading " + std::to_string(offs) + ")";
  if (!seen.error.empty()) text += ": " + seen.error;
  turn.note({Severity::notice, "power", seen.host, {}, inquiry.recovery, "power", text});
}

void Decider::on_power_off(const PowerOffTaken& taken, Turn& turn) {
  const auto found = inquiries_.find(taken.host);
  if (found == inquiries_.end() || found->second.off_asked != taken.ticket) return;
  auto& inquiry = found->second;
  inquiry.off_asked.reset();
  inquiry.next_ask = turn.now.at;
  turn.note({taken.accepted ? Severity::notice : Severity::error, "power", taken.host, {},
             inquiry.recovery, "power-off",
             taken.accepted ? "BMC took the power-off; reading until it is off"
                            : "BMC refused the power-off: " + taken.error});
}

void Decider::on_please(const PleaseAssign& please, Turn&) {
  if (!deciding() || requests_.size() >= kMaxRequests) return;
  requests_.push_back(please);
  work_ = true;
}

bool Decider::condemned(HostId host) const {
  const auto incarnation = evidence_.of(host).incarnation();
  if (incarnation.is_none()) return false;
  const auto& mine = cell_.wanted().verdicts;  // also while its write is under way
  return board_.verdict_on(host, incarnation) != nullptr ||
         std::any_of(mine.begin(), mine.end(), [&](const Verdict& verdict) {
           return verdict.host == host && verdict.incarnation == incarnation;
         });
}

void Decider::tick(const LockView& lock, bool volume_ok, Turn& turn) {
  volume_ok_ = volume_ok;
  if (!lock.mine || !volume_ok || me_.incarnation.is_none()) {
    if (!std::holds_alternative<Idle>(state_)) {
      state_ = Idle{};
      inquiries_.clear();
      requests_.clear();
      reconcile_since_.reset();
      turn.note({Severity::notice, "decider", {}, {}, {}, "", "no longer the decider"});
    }
    return;
  }
  if (std::holds_alternative<Idle>(state_)) {
    state_ = CatchingUp{turn.now.at};
    board_.want_all();
  }
  if (const auto* catching = std::get_if<CatchingUp>(&state_)) {
    // Other members' silence is asked about at once; verdicts wait until the board is known.
    if (board_.read_since(catching->since)) {
      if (board_.unknown_cell().empty()) {
        start_deciding(turn);
      } else {
        state_ = CatchingUp{turn.now.at};
        board_.want_all();
      }
    }
  }
  for (HostId host : evidence_.members()) {
    if (host == evidence_.self()) continue;
    const auto judged = judge(evidence_, host, condemned(host), volume_ok, turn.now.at);
    if (judged.state == HostState::suspect) {
      inquire(host, turn);
    } else if (inquiries_.erase(host) > 0 && judged.state != HostState::dead) {
      turn.note({Severity::notice, "decider", host, {}, {}, "",
                 std::string("inquiry ended: ") + to_text(judged.state) + ", " + judged.because});
    }
  }
  if (deciding()) reconcile(turn);
  if (const auto ticket = cell_.due(turn))
    turn.orders.decisions.push_back({*ticket, cell_.wanted()});
}

// Takes over: every verdict stays, every open assignment of the highest version is re-issued
// unchanged under the own version, so that targets need obey only the highest one.
void Decider::start_deciding(Turn& turn) {
  Decision mine;
  const auto highest = board_.highest_version();
  mine.version = highest.next();
  std::map<HostId, Verdict> verdicts;
  for (HostId host : board_.members()) {
    const auto& decision = board_.decision(host).record;
    for (const auto& verdict : decision.verdicts) {
      auto& kept = verdicts[verdict.host];
      if (kept.incarnation.number <= verdict.incarnation.number) kept = verdict;
    }
    if (decision.version != highest) continue;
    for (auto assignment : decision.assignments) {
      assignment.version = mine.version;
      mine.assignments.push_back(assignment);
    }
  }
  for (const auto& [host, verdict] : verdicts) mine.verdicts.push_back(verdict);
  for (const auto& assignment : mine.assignments)
    if (!assignment.recovery.is_zero()) open_recoveries_[assignment.recovery] = assignment.from;
  cell_.change() = std::move(mine);
  cell_.saw(board_.decision(evidence_.self()).sequence);
  state_ = Deciding{};
  work_ = true;
  turn.note({Severity::notice, "decider", {}, {}, {}, "",
             "this host decides, version " + std::to_string(cell_.wanted().version.value)});
}

void Decider::inquire(HostId host, Turn& turn) {
  auto [found, fresh] = inquiries_.try_emplace(host);
  auto& inquiry = found->second;
  if (fresh) {
    const auto life = evidence_.of(host).last_life().value_or(turn.now.at);
    inquiry.recovery = RecoveryId{turn.random.bits()};
    inquiry.since = turn.now.at;
    inquiry.first_sign = {turn.now.wall.ms - whole_ms(turn.now.at - life)};
    inquiry.next_ask = turn.now.at;
    turn.note({Severity::info, "judge", host, {}, inquiry.recovery, "last-sign",
               "the last sign of life", inquiry.first_sign});
    turn.note({Severity::warning, "judge", host, {}, inquiry.recovery, "suspect",
               "silent on both links and on disk for " +
                   std::to_string(whole_ms(turn.now.at - life)) + " ms"});
  }
  const auto proof = power_proof(evidence_, host, turn.now.at);
  // A verdict must rest on a known board and wait for the decisions before it.
  if (proof.complete && deciding() && cell_.settled()) {
    pronounce(host, inquiry, turn);
    inquiries_.erase(found);
    return;
  }
  ask(host, inquiry, turn);
  if (deciding()) consider_power_off(host, inquiry, turn);
}

void Decider::ask(HostId host, Inquiry& inquiry, Turn& turn) {
  // An unanswered question is dropped after twice the BMC's own limit; the adapter answers before.
  if (inquiry.asked && turn.now.at - inquiry.asked_at > 2 * evidence_.timing().bmc_timeout)
    inquiry.asked.reset();
  if (inquiry.asked || inquiry.off_asked || turn.now.at < inquiry.next_ask) return;
  inquiry.asked = turn.ticket();
  inquiry.asked_at = turn.now.at;
  turn.orders.ask_power.push_back({*inquiry.asked, host});
}

// Silent everywhere and power on: make the proof, if corosync's quorum agrees that it is gone.
void Decider::consider_power_off(HostId host, Inquiry& inquiry, Turn& turn) {
  const auto& member = evidence_.of(host);
  if (member.power.last != Power::on || !member.power.on_answered ||
      *member.power.on_answered < inquiry.since)
    return;
  std::string held;
  const bool slot_silent = member.disk.same_read_issued && member.disk.timer_zero &&
                           *member.disk.same_read_issued - *member.disk.timer_zero >
                               disk_silent_after(evidence_.timing());
  if (inquiries_.size() > 1)
    held = "several hosts are silent at once: power-offs are held, look for a common cause";
  else if (!slot_silent)
    held = "waiting for its slot to stay silent";
  else if (!evidence_.ring_up())
    held = "no corosync ring here to agree";
  else if (!evidence_.quorate())
    held = "corosync's ring here has no quorum";
  else if (member.node_in_ring)
    held = "corosync still counts it as a member";
  else if (member.power.distrusted)
    held = "its BMC is distrusted";
  else if (inquiry.off_tries >= kPowerOffTries)
    held = "powered off " + std::to_string(kPowerOffTries) + " times without effect";
  if (held != inquiry.held) {
    inquiry.held = held;
    if (!held.empty())
      turn.note({Severity::notice, "decider", host, {}, inquiry.recovery, "held",
                 "power is on; no power-off yet: " + held});
  }
  if (!held.empty() || inquiry.off_asked || turn.now.at < inquiry.next_off) return;
  ++inquiry.off_tries;
  inquiry.next_off = turn.now.at + kPowerOffPause;
  inquiry.off_asked = turn.ticket();
  turn.orders.switch_off.push_back({*inquiry.off_asked, host, "silent on both links and on disk"});
  turn.note({Severity::warning, "decider", host, {}, inquiry.recovery, "power-off",
             "silent on both links and on disk, power on, quorum agrees: powering it off"});
}

void Decider::pronounce(HostId host, const Inquiry& inquiry, Turn& turn) {
  Verdict verdict;
  verdict.host = host;
  verdict.incarnation = evidence_.of(host).incarnation();
  verdict.proof = Proof::power_off;
  verdict.version = cell_.wanted().version;
  verdict.recovery = inquiry.recovery;
  verdict.first_sign = inquiry.first_sign;
  verdict.judged = turn.now.wall;
  verdict.detail = "BMC read off " + std::to_string(evidence_.of(host).power.offs) +
                   " times, no life sign since the first, slot silent";
  auto& mine = cell_.change();
  std::erase_if(mine.verdicts, [&](const Verdict& v) { return v.host == host; });
  mine.verdicts.push_back(verdict);
  turn.note({Severity::warning, "decider", host, {}, inquiry.recovery, "verdict",
             "dead, by power-off: " + verdict.detail});
  open_recoveries_[inquiry.recovery] = host;
}

const Assignment* Decider::open_assignment(GuestId guest) const {
  for (const auto& assignment : cell_.wanted().assignments)
    if (assignment.guest == guest) return &assignment;
  return nullptr;
}

// What is decided next follows from the board alone. Assignments are made only on cells that were
// read after the newest verdict was acknowledged, so that a dead host's last writes are seen.
void Decider::reconcile(Turn& turn) {
  if (!cell_.settled()) return;
  for (const auto& assignment : cell_.wanted().assignments) {
    const auto& seen = board_.table(assignment.target).sequence;
    const auto& newest = evidence_.of(assignment.target).beats.newest;
    if (newest && newest->table_sequence > seen) board_.want_table(assignment.target);
  }
  if (retire_settled(board_.guests(), turn)) return;
  for (const auto& [guest, attempt] : attempts_)
    if (attempt.rounds < kPlacementRounds && turn.now.at >= attempt.next) work_ = true;
  if (work_ && !reconcile_since_) {
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
  const auto guests = board_.guests();
  answer_requests(guests, turn);
  const auto seeking = seekers(guests, turn);
  if (!seeking.empty()) assign(guests, seeking, turn);
  close_recoveries(turn);
}

// A recovery ends when nothing of it is left to assign and nothing assigned is open.
void Decider::close_recoveries(Turn& turn) {
  for (auto at = open_recoveries_.begin(); at != open_recoveries_.end();) {
    const auto& open = cell_.wanted().assignments;
    const bool going = std::any_of(open.begin(), open.end(), [&](const Assignment& assignment) {
      return assignment.recovery == at->first;
    });
    const bool unplaced = !attempts_.empty();
    if (going || unplaced || board_.verdict_on(at->second, verdict_incarnation(at->first)) == nullptr) {
      ++at;
      continue;
    }
    turn.note({Severity::notice, "decider", at->second, {}, at->first, "finished",
               "every guest of " + host_text(at->second) + " is settled"});
    at = open_recoveries_.erase(at);
  }
}

Incarnation Decider::verdict_incarnation(const RecoveryId& recovery) const {
  for (const auto& verdict : cell_.wanted().verdicts)
    if (verdict.recovery == recovery) return verdict.incarnation;
  return {};
}

// Drops assignments whose target has answered on the volume, or is proved dead.
bool Decider::retire_settled(const std::map<GuestId, GuestFacts>& guests, Turn& turn) {
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
    if (!dead && !answered) {
      open.push_back(assignment);
      continue;
    }
    if (!dead && entry->phase == GuestPhase::holding) attempts_.erase(assignment.guest);
    if (!dead && entry->phase == GuestPhase::refused)
      turn.note({Severity::warning, "decider", assignment.target, assignment.guest,
                 assignment.recovery, "refused",
                 entry->name + ": " + host_text(assignment.target) + " refused: " + entry->reason});
  }
  if (open.size() == cell_.wanted().assignments.size()) return false;
  cell_.change().assignments = std::move(open);
  work_ = true;
  return true;
}

// The guests that are wanted running and that no living host owns.
std::vector<Seeker> Decider::seekers(const std::map<GuestId, GuestFacts>& guests, Turn& turn) {
  std::vector<Seeker> seeking;
  for (const auto& [guest, facts] : guests) {
    const Claim* newest = facts.newest();
    if (newest == nullptr || open_assignment(guest) != nullptr) continue;
    const auto& entry = *newest->entry;
    if (entry.wanted != Wanted::running || entry.phase == GuestPhase::yielded) continue;
    const bool lost = is_active(entry.phase) && board_.verdict_on(newest->host, entry.holder);
    if (!lost && entry.phase != GuestPhase::refused) continue;
    // Every other active claim must have ended too, whatever its generation.
    const bool owned = std::any_of(
        facts.claims.begin(), facts.claims.end(), [&](const Claim& claim) {
          return is_active(claim.entry->phase) &&
                 board_.verdict_on(claim.host, claim.entry->holder) == nullptr;
        });
    if (owned) continue;
    const auto attempt = attempts_.find(guest);
    if (attempt != attempts_.end() &&
        (attempt->second.rounds >= kPlacementRounds || turn.now.at < attempt->second.next))
      continue;
    Seeker seeker{guest, entry.name, entry.priority, entry.memory_kib, entry.vcpus, {}};
    for (const auto& claim : facts.claims)
      if (claim.entry->phase == GuestPhase::refused) seeker.avoid.push_back(claim.host);
    // Everybody refused: the next round may ask them again, after a pause.
    const bool all_refused = seeker.avoid.size() + 1 >= evidence_.members().size();
    if (all_refused && attempt != attempts_.end()) seeker.avoid.clear();
    seeking.push_back(std::move(seeker));
  }
  return seeking;
}

std::vector<Candidate> Decider::candidates(const std::map<GuestId, GuestFacts>& guests,
                                           Turn& turn) {
  std::vector<Candidate> fit;
  for (HostId host : evidence_.members()) {
    Candidate candidate{host, {}, 0, 0};
    if (host == evidence_.self()) {
      const auto& slot = evidence_.of(host).disk.slot;
      if (!slot) continue;
      candidate.load = slot->load;
    } else {
      const auto judged = judge(evidence_, host, condemned(host), volume_ok_, turn.now.at);
      const auto& newest = evidence_.of(host).beats.newest;
      if (judged.state != HostState::alive || !newest) continue;
      if (!newest->volume_ok || !newest->hypervisor_ok || newest->leaving) continue;
      candidate.load = newest->load;
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

Assignment Decider::new_assignment(GuestId guest, const GuestFacts* facts, Cause cause) const {
  Assignment assignment;
  assignment.guest = guest;
  assignment.generation = facts != nullptr ? facts->top.next() : Generation{1};
  assignment.version = cell_.wanted().version;
  assignment.cause = cause;
  if (facts == nullptr) return assignment;
  for (const auto& claim : facts->claims)
    if (!is_active(claim.entry->phase) || board_.verdict_on(claim.host, claim.entry->holder))
      assignment.ended.push_back({claim.host, claim.entry->holder, claim.entry->generation});
  return assignment;
}

void Decider::assign(const std::map<GuestId, GuestFacts>& guests,
                     const std::vector<Seeker>& seeking, Turn& turn) {
  const auto places = place(seeking, candidates(guests, turn), reserve_mib_);
  for (const auto& chosen : places) {
    const auto& facts = guests.at(chosen.guest);
    const auto& old = *facts.newest();
    const Verdict* verdict = board_.verdict_on(old.host, old.entry->holder);
    const RecoveryId recovery = verdict != nullptr ? verdict->recovery : old.entry->recovery;
    if (chosen.target == kNoHost) {
      auto& attempt = attempts_[chosen.guest];
      ++attempt.rounds;
      attempt.next = turn.now.at + attempt.rounds * kPlacementPause;
      attempt.why = chosen.why;
      turn.note({Severity::error, "decider", {}, chosen.guest, recovery, "unplaced",
                 old.entry->name + " fits nowhere: " + chosen.why});
      continue;
    }
    if (cell_.wanted().assignments.size() >= kMaxAssignments) break;  // the rest next round
    auto assignment = new_assignment(chosen.guest, &facts,
                                     verdict != nullptr ? Cause::verdict : Cause::retry);
    assignment.target = chosen.target;
    const bool self = chosen.target == evidence_.self();
    const auto& newest = evidence_.of(chosen.target).beats.newest;
    assignment.target_incarnation = self ? me_.incarnation : newest->incarnation;
    assignment.target_epoch = self ? me_.epoch : newest->epoch;
    assignment.from = old.host;
    assignment.from_incarnation = old.entry->holder;
    assignment.recovery = recovery;
    assignment.priority = old.entry->priority;
    if (!recovery.is_zero()) open_recoveries_.try_emplace(recovery, old.host);
    cell_.change().assignments.push_back(assignment);
    turn.note({Severity::notice, "decider", chosen.target, chosen.guest, recovery, "assigned",
               old.entry->name + " to " + host_text(chosen.target) + ", generation " +
                   std::to_string(assignment.generation.value) + ": " + chosen.why});
  }
}

void Decider::answer_requests(const std::map<GuestId, GuestFacts>& guests, Turn& turn) {
  for (const auto& please : std::exchange(requests_, {})) {
    if (open_assignment(please.guest) != nullptr || !evidence_.has(please.from)) continue;
    const auto found = guests.find(please.guest);
    const GuestFacts* facts = found == guests.end() ? nullptr : &found->second;
    const bool owned = facts != nullptr &&
                       std::any_of(facts->claims.begin(), facts->claims.end(), [&](auto& claim) {
                         return is_active(claim.entry->phase) &&
                                board_.verdict_on(claim.host, claim.entry->holder) == nullptr;
                       });
    if (owned) continue;  // the asking host sees the owner on its own board, and says so
    auto assignment = new_assignment(please.guest, facts, Cause::protect);
    assignment.target = please.from;
    assignment.target_incarnation = please.incarnation;
    assignment.target_epoch = please.epoch;
    assignment.from = please.from;
    assignment.from_incarnation = please.incarnation;
    assignment.priority = please.priority;
    cell_.change().assignments.push_back(assignment);
    turn.note({Severity::info, "decider", please.from, please.guest, {}, "",
               "assigned for protection to " + host_text(please.from)});
  }
}

Instant Decider::next_deadline() const {
  auto next = Instant::never();
  for (const auto& [host, inquiry] : inquiries_)
    if (!inquiry.asked) next = std::min(next, inquiry.next_ask);
  for (const auto& [guest, attempt] : attempts_)
    if (attempt.rounds < kPlacementRounds) next = std::min(next, attempt.next);
  if (const auto retry = cell_.retry_deadline()) next = std::min(next, *retry);
  return next;
}

std::vector<Problem> Decider::problems() const {
  std::vector<Problem> list;
  for (const auto& [guest, attempt] : attempts_)
    list.push_back({"fits nowhere: " + attempt.why, to_uuid(guest),
                    "free memory on a host, or lower placement.memory_reserve"});
  for (const auto& [host, inquiry] : inquiries_) {
    std::string what = "silent everywhere since " + std::to_string(inquiry.first_sign.ms) +
                       " (ms since 1970); not proved dead";
    if (!inquiry.held.empty()) what += "; " + inquiry.held;
    list.push_back({what, host_text(host),
                    "look at the host and at its BMC; its guests start elsewhere only on proof"});
  }
  return list;
}

}  // namespace wardom::core
