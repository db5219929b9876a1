#include "libha/core/decider.hpp"

#include <algorithm>
#include <type_traits>

#include "libha/core/check.hpp"
#include "libha/core/guest_life.hpp"
#include "libha/core/host_text.hpp"

namespace wardom::core {
namespace {

constexpr std::size_t kMaxRequests = 256;

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
  if (rewritten(written, turn)) return;
  if (!cell_.on_written(written, turn.now.at, inquiry_interval(evidence_.timing()))) return;
  if (!written.acknowledged) {
    turn.note({Severity::warning, "decider", {}, {}, {}, "",
               "decision not acknowledged: " + written.error});
    return;
  }
  // What is read before a decision stands says nothing about what follows from it.
  reconcile_since_.reset();
  work_ = true;
}

void Decider::on_power(const PowerSeen& seen, Instant, Turn& turn) {
  const auto found = inquiries_.find(seen.host);
  if (found == inquiries_.end() || found->second.asked != seen.ticket) return;
  auto& inquiry = found->second;
  inquiry.asked.reset();
  const bool fresh = turn.now.at - inquiry.since < kUrgentInquiry;
  inquiry.next_ask = turn.now.at + (fresh ? inquiry_interval(evidence_.timing())
                                          : evidence_.timing().power_poll);
  const int offs = evidence_.of(seen.host).power.offs;
  // Two readings off are told; those that follow while other evidence is missing say nothing new.
  const int told = std::min(offs, 2);
  if (seen.power == inquiry.last_told && told == inquiry.offs_told) return;
  inquiry.last_told = seen.power;
  inquiry.offs_told = told;
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
  if (!taken.sent) --inquiry.off_tries;
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
  const auto incarnation =
      host == evidence_.self() ? me_.incarnation : evidence_.of(host).incarnation();
  if (incarnation.is_none()) return false;
  const auto& mine = cell_.wanted().verdicts;  // also while its write is under way
  return board_.verdict_on(host, incarnation) != nullptr ||
         std::any_of(mine.begin(), mine.end(), [&](const Verdict& verdict) {
           return verdict.host == host && verdict.incarnation == incarnation;
         });
}

bool Decider::knows_all(LockVersion version) const {
  const auto* deciding = std::get_if<Deciding>(&state_);
  return deciding != nullptr && cell_.wanted().version == version && cell_.settled() &&
         board_.read_since(std::max(deciding->since,
                                    cell_.acknowledged_at().value_or(deciding->since))) &&
         board_.unknown_cell().empty();
}

bool Decider::awaits_claims_of(HostId host) const {
  const auto& open = cell_.wanted().assignments;
  return std::any_of(open.begin(), open.end(),
                     [&](const Assignment& assignment) { return assignment.target == host; });
}

bool Decider::urgent(Instant now) const {
  return std::any_of(inquiries_.begin(), inquiries_.end(), [&](const auto& inquiry) {
    return now - inquiry.second.since < kUrgentInquiry;
  });
}

void Decider::tick(const LockView& lock, bool volume_ok, bool hypervisor_ok, Turn& turn) {
  volume_ok_ = volume_ok;
  hypervisor_ok_ = hypervisor_ok;
  owner_awaited_ = lock.owner_awaited ? lock.owner : kNoHost;
  keep_fencing(turn);
  if (!take_over(lock, turn)) {
    rewrite(lock, turn);
    return ask_about_owner(lock, turn);
  }
  asks_ = true;
  if (deciding()) keep_lying_bmcs();
  ask_about_silent(turn);
  if (deciding()) {
    count_disarmed(turn);
    keep_groups(lock, turn);
    keep_level(lock, turn);
    look_for_ended_boots(turn);
    answer_operators(turn);
    reconcile(turn);
  }
  if (const auto ticket = cell_.due(turn))
    turn.orders.decisions.push_back({*ticket, cell_.wanted()});
}

void Decider::keep_groups(const LockView& lock, Turn& turn) {
  if (!lock.groups || *lock.groups == cell_.wanted().groups) return;
  cell_.change().groups = *lock.groups;
  std::string text;
  for (const auto& group : *lock.groups) {
    text += text.empty() ? "" : " | ";
    for (HostId host : group)
      text += (host == group.front() ? "host " : ", host ") + std::to_string(host.value);
  }
  turn.note({lock.groups->empty() ? Severity::notice : Severity::error, "decider", {}, {}, {}, "",
             text.empty() ? "the domain is whole again"
                          : "the domain is split; this host's group, the first, decides: " + text});
}

// For every later decider, and for daemons that start anew: what they have not seen they would
// believe. The evidence holds what earlier deciders have recorded, since each read of a decision
// adds to it (member.cpp). A verdict waits until this stands on the volume.
void Decider::keep_lying_bmcs() {
  if (auto liars = evidence_.lying_bmcs(); liars != cell_.wanted().lying_bmcs)
    cell_.change().lying_bmcs = std::move(liars);
}

// Since the inquiry began; where there is none, as after a while in which this host could not act,
// the readings stand all the same, and what counts is when the silence began.
bool Decider::knows_lying_bmcs(HostId silent) const {
  const auto inquiry = inquiries_.find(silent);
  const auto since = inquiry != inquiries_.end() ? std::optional(inquiry->second.since)
                                                 : evidence_.of(silent).last_life();
  return board_.unknown_word().empty() && (!since || board_.words_read_since(*since));
}

// Raised once everybody whose cells count speaks a higher level, as the slots say: also the silent,
// who may come back. A host that was never there speaks the first one alone, for all that is known.
void Decider::keep_level(const LockView& lock, Turn& turn) {
  if (cell_.wanted().level >= speaks_.newest) return;
  Level highest = speaks_.newest, oldest = speaks_.oldest;
  for (HostId host : board_.proposers()) {
    const bool known = evidence_.has(host) && evidence_.of(host).disk.slot;
    const auto said = known ? evidence_.of(host).disk.speaks : Levels{};
    highest = std::min(highest, said.newest);
    oldest = std::max(oldest, said.oldest);
  }
  if (oldest > highest) return;
  const Level level = std::max(cell_.wanted().level, board_.level());
  if (highest > level && knows_all(lock.version)) {
    cell_.change().level = highest;
    turn.note({Severity::notice, "decider", {}, {}, {}, "",
               "every host speaks format level " + std::to_string(highest.value) +
                   ": the domain goes on in it, and hosts of a release that does not speak it are "
                   "refused from now on"});
  } else if (level > cell_.wanted().level) {
    cell_.change().level = level;
  }
}

// The decision of one who decides no more, in the level that the domain has gone on to: no release
// that follows reads the old one. Only once it is overtaken: the leading one is told by whose life
// it was written. And only what is the last that this host wrote, for certain: a word that was
// once to be read is never taken back.
void Decider::rewrite(const LockView& lock, Turn& turn) {
  const auto& own = board_.decision(evidence_.self());
  const Level level = board_.level();
  const bool behind = own.known() && !own.behind() && own.sequence != Sequence{} &&
                      own.level < level && own.record.domain == lock_domain_ &&
                      own.record.version < lock.version;
  const bool last = cell_.settled() && own.sequence >= cell_.sequence();
  const bool rests = std::holds_alternative<Idle>(state_) && !rewriting_;
  if (!volume_ok_ || !behind || !last || !rests || turn.now.at < next_rewrite_) return;
  auto record = own.record;
  record.level = level;
  rewriting_ = turn.ticket();
  turn.orders.decisions.push_back({*rewriting_, std::move(record)});
}

// true: the answer was the rewriting's.
bool Decider::rewritten(const CellWritten& written, Turn& turn) {
  if (rewriting_ != written.ticket) return false;
  rewriting_.reset();
  next_rewrite_ = turn.now.at + volume_patience(evidence_.timing());
  if (written.acknowledged) cell_.saw(written.sequence);
  board_.want_decision(evidence_.self());
  return true;
}

void Decider::stop_deciding(Turn& turn) {
  if (std::holds_alternative<Idle>(state_)) return;
  state_ = Idle{};
  inquiries_.clear();
  requests_.clear();
  owed_.clear();
  reconcile_since_.reset();
  turn.note({Severity::notice, "decider", {}, {}, {}, "", "no longer the decider"});
}

// false: this host decides nothing now.
bool Decider::take_over(const LockView& lock, Turn& turn) {
  const bool fit = lock.mine && volume_ok_ && !me_.incarnation.is_none() &&
                   !condemned(evidence_.self());
  if (!fit) {
    stop_deciding(turn);
    return false;
  }
  // What was decided under this version stands in the own cell, or is on its way there.
  const bool begun = cell_.wanted().version == lock.version;
  const auto* catching = std::get_if<CatchingUp>(&state_);
  if (begun) {
    if (!deciding()) {
      work_ = true;
      state_ = Deciding{turn.now.at};
    }
  } else if (catching == nullptr || catching->version != lock.version) {
    state_ = CatchingUp{turn.now.at, lock.version};
    board_.want_all();
  } else if (board_.words_read_since(catching->since)) {
    // Other members' silence is asked about at once; verdicts wait until what others have said is
    // known. A table that is not known keeps guests from being assigned, not hosts from verdicts.
    if (board_.unknown_word().empty())
      start_deciding(lock.version, turn);
    else
      board_.want_words();
  }
  return true;
}

// The owner of the lock is silent, and nobody may pronounce its death before the lock is taken. So
// those in line look for the proof; the ballot goes on with it, and the verdict follows.
void Decider::ask_about_owner(const LockView& lock, Turn& turn) {
  const HostId owner = lock.owner;
  const OperatorAsk* wish = nullptr;
  const auto doubtful = [&] {
    const auto state = judge(evidence_, owner, condemned(owner), volume_ok_, turn.now.at).state;
    // Of two groups that both live, the one that has the lock decides, and is not shot at.
    if (fences_owner(owner, state)) wish = fencing_.wish(owner, state);
    return wish != nullptr || to_be_asked_about(owner, state);
  };
  const bool silent =
      volume_ok_ && evidence_.has(owner) && owner != evidence_.self() && doubtful();
  // With proof nothing more is asked; the inquiry goes on as a recovery under the new lock.
  std::erase_if(inquiries_, [&](const auto& inquiry) {
    return !silent || inquiry.first != owner;
  });
  asks_ = silent && lock.asks;
  if (!asks_) return;
  const bool fresh = !inquiries_.contains(owner);
  inquire(owner, wish, turn);
  if (const auto found = inquiries_.find(owner); fresh && found != inquiries_.end())
    found->second.next_off = turn.now.at + static_cast<std::int64_t>(lock.place) * kPowerOffPause;
}

void Decider::ask_about_silent(Turn& turn) {
  for (HostId host : evidence_.members()) {
    if (host == evidence_.self()) continue;
    const auto judged = judge(evidence_, host, condemned(host), volume_ok_, turn.now.at);
    const auto* wish = volume_ok_ ? fencing_.wish(host, judged.state) : nullptr;
    if (wish != nullptr || to_be_asked_about(host, judged.state)) {
      inquire(host, wish, turn);
    } else if (inquiries_.erase(host) > 0 && judged.state != HostState::dead) {
      turn.note({Severity::notice, "decider", host, {}, {}, "",
                 std::string("inquiry ended: ") + to_text(judged.state) + ", " + judged.because()});
    }
  }
}

// Besides suspects: hosts that were gone before this daemon started, if their slot stands still.
bool Decider::to_be_asked_about(HostId host, HostState state) const {
  if (state == HostState::suspect) return true;
  // Who leaves has no guest. Should one have been given to it since, it is asked about as well.
  if (state == HostState::left) return death_awaited(host);
  const auto& disk = evidence_.of(host).disk;
  return state == HostState::unknown && volume_ok_ &&
         disk.silence.lasted(disk_silent_after(evidence_.timing()));
}

// Takes over: every verdict stays, every open assignment of the last decider that ever wrote is
// re-issued unchanged under the own version, so that targets need obey only the highest one.
void Decider::start_deciding(LockVersion version, Turn& turn) {
  Decision mine;
  const auto last = board_.newest_decision();
  newer_decisions_ = last.version > version;
  if (newer_decisions_) return;  // two locks, or a lost one: nobody may go on from here
  mine.version = version;
  mine.domain = lock_domain_;
  mine.level = std::max({board_.level(), speaks_.oldest, cell_.wanted().level});
  if (last.host != kNoHost) mine.disarmed = board_.decision(last.host).record.disarmed;
  disarmed_counted_ = turn.now.at;
  if (last.host != kNoHost)
    for (auto assignment : board_.decision(last.host).record.assignments) {
      assignment.version = version;
      mine.assignments.push_back(assignment);
    }
  for (const auto& [host, verdict] : board_.verdicts()) mine.verdicts.push_back(verdict);
  for (const auto& verdict : cell_.wanted().verdicts)  // said, but perhaps not yet to be read
    if (board_.verdict_on(verdict.host, verdict.incarnation) == nullptr) {
      std::erase_if(mine.verdicts, [&](const Verdict& v) { return v.host == verdict.host; });
      mine.verdicts.push_back(verdict);
    }
  for (const auto& assignment : mine.assignments)
    if (!assignment.recovery.is_zero()) open_recoveries_[assignment.recovery] = assignment.from;
  cell_.change() = std::move(mine);
  cell_.saw(board_.decision(evidence_.self()).sequence);
  state_ = Deciding{turn.now.at};
  open_since_.clear();
  work_ = true;
  turn.note({Severity::notice, "decider", {}, {}, {}, "",
             "this host decides, version " + std::to_string(cell_.wanted().version.value)});
}

void Decider::begin(HostId host, Inquiry& inquiry, const OperatorAsk* wish, Turn& turn) {
  board_.want_all();  // before anything is done about it: who may have been there before?
  const auto life = evidence_.of(host).last_life();
  inquiry.seen_alive = life.has_value();
  inquiry.since = turn.now.at;
  inquiry.first_sign = {turn.now.wall.ms - whole_ms(turn.now.at - life.value_or(turn.now.at))};
  inquiry.next_ask = turn.now.at;
  if (said_dead(host, evidence_.of(host).incarnation())) return;  // no recovery of its own
  inquiry.recovery = RecoveryId{turn.random.bits()};
  if (life)
    turn.note({Severity::info, "judge", host, {}, inquiry.recovery, "last-sign",
               "the last sign of life", inquiry.first_sign});
  if (wish != nullptr)
    turn.note({Severity::warning, "decider", host, {}, inquiry.recovery, "fence",
               "it is to be fenced, says " + wish->by});
  else
    turn.note({Severity::warning, "judge", host, {}, inquiry.recovery, "suspect",
               life ? "silent on both links and on disk for " +
                          std::to_string(whole_ms(turn.now.at - *life)) + " ms"
                    : "not heard of since this wardomd started, and its slot stands still"});
}

// wish: somebody wants it powered off; else it is silent.
void Decider::inquire(HostId host, const OperatorAsk* wish, Turn& turn) {
  auto [found, fresh] = inquiries_.try_emplace(host);
  auto& inquiry = found->second;
  if (fresh) begin(host, inquiry, wish, turn);
  const auto incarnation = evidence_.of(host).incarnation();
  const auto proof = proof_about(evidence_, host, incarnation, turn.now.at);
  // A verdict must rest on a known board and wait for the decisions before it.
  if (proof.stands() && deciding() && cell_.settled() && armed() &&
      !said_dead(host, incarnation)) {
    pronounce(host, incarnation, proof, &inquiry, turn);
    inquiries_.erase(found);
    return;
  }
  ask(host, inquiry, turn);
  consider_power_off(host, inquiry, wish, turn);
}

void Decider::ask(HostId host, Inquiry& inquiry, Turn& turn) {
  // An unanswered question is dropped after twice the BMC's own limit; the adapter answers before.
  const auto patience = 2 * evidence_.timing().bmc_timeout;
  if (inquiry.asked && turn.now.at - inquiry.asked_at > patience) inquiry.asked.reset();
  if (inquiry.off_asked && turn.now.at - inquiry.off_asked_at > patience) inquiry.off_asked.reset();
  if (inquiry.asked || inquiry.off_asked || turn.now.at < inquiry.next_ask) return;
  inquiry.asked = turn.ticket();
  inquiry.asked_at = turn.now.at;
  turn.orders.ask_power.push_back({*inquiry.asked, host});
}

// Another host fell silent at about the same time.
bool Decider::silent_together(HostId host, Instant now) const {
  const auto life = evidence_.of(host).last_life();
  const auto& members = evidence_.members();
  return life && std::any_of(members.begin(), members.end(), [&](HostId other) {
    if (other == host || other == evidence_.self()) return false;
    const auto its = evidence_.of(other).last_life();
    if (!its || std::max(*its - *life, *life - *its) >= kUrgentInquiry) return false;
    // What is proved dead tells of no common cause, though nobody may have pronounced it yet.
    const auto boot = evidence_.of(other).incarnation();
    if (proof_about(evidence_, other, boot, now).stands()) return false;
    return judge(evidence_, other, condemned(other), volume_ok_, now).state == HostState::suspect;
  });
}

// A member that is heard here says that it hears the host.
bool Decider::heard_by_a_peer(HostId host, Instant now) const {
  const auto index = evidence_.index_of(host);
  const auto& members = evidence_.members();
  return std::any_of(members.begin(), members.end(), [&](HostId other) {
    const auto& peer = evidence_.of(other);
    if (other == host || !peer.heard(now, evidence_.timing())) return false;
    return peer.beats.newest->sees_mgmt.test(index) || peer.beats.newest->sees_storage.test(index);
  });
}

// It owns the lock, or a guest that is wanted running is its own or was given to it.
bool Decider::death_awaited(HostId host) const {
  if (host == owner_awaited_) return true;
  const auto& open = cell_.wanted().assignments;
  if (std::any_of(open.begin(), open.end(), [&](const Assignment& a) { return a.target == host; }))
    return true;
  const auto& table = board_.table(host);
  if (!table.known() || table.behind()) return true;  // what it owns is unknown
  const auto& guests = table.record.guests;
  return std::any_of(guests.begin(), guests.end(), [&](const GuestEntry& entry) {
    return is_active(entry.phase) && entry.wanted == Wanted::running &&
           board_.verdict_on(host, entry.holder) == nullptr;
  });
}

// As the last decider left it, while this host has not taken over from it.
bool Decider::armed() const {
  if (deciding()) return !cell_.wanted().disarmed.has_value();
  const auto last = board_.newest_decision();
  return last.host == kNoHost || !board_.decision(last.host).record.disarmed.has_value();
}

// Why the silence of a host alone does not have it powered off; empty: nothing speaks against it.
std::string Decider::why_doubtful(HostId host, const Inquiry& inquiry, Instant now) const {
  const auto& member = evidence_.of(host);
  if (!inquiry.seen_alive) return "it was silent before this wardomd started: it may be booting";
  if (heard_by_a_peer(host, now)) return "another member hears it";
  if (silent_together(host, now))
    return "several hosts are silent at once: power-offs are held, look for a common cause";
  if (!death_awaited(host)) return "it owns no guest: nothing waits for its death";
  if (member.disk.stood() <= disk_silent_after(evidence_.timing()))
    return "waiting for its slot to stay silent";
  return evidence_.disagrees(host);
}

// Why a host that has power is not powered off; empty: nothing speaks against it.
std::string Decider::power_off_held(HostId host, const Inquiry& inquiry, const OperatorAsk* wish,
                                    Instant now) const {
  if (!armed()) return "the domain is disarmed";
  if (!board_.words_read_since(inquiry.since)) return "reading what others have decided";
  if (const auto unknown = board_.unknown_word(); !unknown.empty())
    return "a cell of the state volume cannot be relied upon: " + unknown;
  // Who asks for it knows why; none of the signs of life that count against a silence do.
  if (wish == nullptr)
    if (auto why = why_doubtful(host, inquiry, now); !why.empty()) return why;
  if (evidence_.of(host).bmc_distrusted()) return "its BMC is distrusted";
  if (inquiry.off_tries >= kPowerOffTriesAtMost)
    return "powered off " + std::to_string(inquiry.off_tries) + " times without effect";
  return {};
}

// Silent everywhere and power on: make the proof, if corosync's quorum agrees that it is gone. Or
// it is to be fenced.
void Decider::consider_power_off(HostId host, Inquiry& inquiry, const OperatorAsk* wish,
                                 Turn& turn) {
  const auto& member = evidence_.of(host);
  if (member.power.last != Power::on || !member.power.on_answered ||
      *member.power.on_answered < inquiry.since)
    return;
  const std::string held = power_off_held(host, inquiry, wish, turn.now.at);
  if (held != inquiry.held) {
    inquiry.held = held;
    if (!held.empty())
      turn.note({Severity::notice, "decider", host, {}, inquiry.recovery, "held",
                 "power is on; no power-off yet: " + held});
  }
  if (!held.empty() || inquiry.off_asked || turn.now.at < inquiry.next_off) return;
  ++inquiry.off_tries;
  inquiry.next_off = turn.now.at + (inquiry.off_tries < kPowerOffTries ? kPowerOffPause
                                                                      : kPowerOffLongPause);
  inquiry.off_asked = turn.ticket();
  inquiry.off_asked_at = turn.now.at;
  const std::string why = wish != nullptr ? "to be fenced, says " + wish->by
                                          : "silent on both links and on disk";
  turn.orders.switch_off.push_back({*inquiry.off_asked, host, why});
  turn.note({Severity::warning, "decider", host, {}, inquiry.recovery, "power-off",
             why + (wish != nullptr ? ", power on: powering it off"
                                    : ", power on, quorum agrees: powering it off")});
}

void Decider::pronounce(HostId host, const Incarnation& incarnation, const ProofAbout& proof,
                        const Inquiry* inquiry, Turn& turn) {
  WARDOM_CHECK(proof.stands());
  Verdict verdict;
  verdict.host = host;
  verdict.incarnation = incarnation;
  verdict.proof = proof.proof;
  verdict.version = cell_.wanted().version;
  verdict.recovery = inquiry != nullptr ? inquiry->recovery : RecoveryId{turn.random.bits()};
  verdict.first_sign = inquiry != nullptr ? inquiry->first_sign : turn.now.wall;
  verdict.judged = turn.now.wall;
  verdict.detail = proof.detail;
  auto& mine = cell_.change();
  // The newest verdict on a host covers its earlier boots (board.hpp).
  std::erase_if(mine.verdicts, [&](const Verdict& v) { return v.host == host; });
  mine.verdicts.push_back(verdict);
  turn.note({Severity::warning, "decider", host, {}, verdict.recovery, "verdict",
             std::string("dead, by ") + to_text(proof.proof) + ": " + verdict.detail});
  open_recoveries_[verdict.recovery] = host;
}

// A verdict covers this boot, also while its write is under way.
bool Decider::said_dead(HostId host, const Incarnation& incarnation) const {
  const auto& mine = cell_.wanted().verdicts;
  return board_.verdict_on(host, incarnation) != nullptr ||
         std::any_of(mine.begin(), mine.end(), [&](const Verdict& verdict) {
           return verdict.host == host && verdict.incarnation.number >= incarnation.number;
         });
}

std::set<std::pair<HostId, Incarnation>> Decider::boots_that_hold_guests() const {
  std::set<std::pair<HostId, Incarnation>> boots;
  for (const auto& [guest, facts] : board_.guests())
    for (const auto& claim : facts.claims)
      if (is_active(claim.entry->phase) &&
          board_.verdict_on(claim.host, claim.entry->holder) == nullptr)
        boots.emplace(claim.host, claim.entry->holder);
  return boots;
}

// Earlier boots of hosts that have come back, whose end nobody has pronounced: the machine booted
// before its BMC was ever read off, or while nobody decided. And what its own host calls released,
// which need not be silent.
void Decider::look_for_ended_boots(Turn& turn) {
  if (std::exchange(holding_boots_at_, board_.revision()) != board_.revision())
    holding_boots_ = boots_that_hold_guests();
  auto boots = holding_boots_;
  for (HostId host : evidence_.members()) {
    const auto& member = evidence_.of(host);
    if (const auto& earlier = member.disk.rebooted) boots.emplace(host, *earlier);
    if (member.released) boots.emplace(host, *member.released);
  }
  for (const auto& [host, boot] : boots) {
    if (!cell_.settled() || !armed()) return;  // a verdict waits for the decisions before it
    if (!evidence_.has(host)) continue;
    const auto newest =
        host == evidence_.self() ? me_.incarnation : evidence_.of(host).incarnation();
    const bool released = evidence_.of(host).released == boot;
    if ((boot.number >= newest.number && !released) || said_dead(host, boot)) continue;
    const auto proof = proof_about(evidence_, host, boot, turn.now.at);
    if (!proof.stands()) continue;
    const auto inquiry = inquiries_.find(host);
    pronounce(host, boot, proof,
              released && inquiry != inquiries_.end() ? &inquiry->second : nullptr, turn);
  }
}

const Assignment* Decider::open_assignment(GuestId guest) const {
  for (const auto& assignment : cell_.wanted().assignments)
    if (assignment.guest == guest) return &assignment;
  return nullptr;
}

Assignment Decider::new_assignment(GuestId guest, const GuestFacts* facts, Cause cause) const {
  Assignment assignment;
  assignment.guest = guest;
  assignment.generation = facts != nullptr ? facts->top.next() : Generation{1};
  if (const auto given = given_.find(guest); given != given_.end())
    assignment.generation = std::max(assignment.generation, given->second.next());
  assignment.version = cell_.wanted().version;
  assignment.cause = cause;
  if (facts == nullptr) return assignment;
  for (const auto& claim : facts->claims)
    if (over(claim))
      assignment.ended.push_back({claim.host, claim.entry->holder, claim.entry->generation});
  return assignment;
}

// The target is still the boot and the daemon that an assignment names, as far as is known here.
bool Decider::present(HostId host, const Incarnation& incarnation, DaemonEpoch epoch) const {
  if (host == evidence_.self()) return incarnation == me_.incarnation && epoch == me_.epoch;
  if (!evidence_.has(host)) return false;  // wardom.toml names it no more
  const auto& member = evidence_.of(host);
  if (member.incarnation().number > incarnation.number) return false;
  const auto& disk = member.disk;
  if (disk.slot && disk.incarnation == incarnation && disk.slot->daemon_epoch > epoch) return false;
  const auto& newest = member.beats.newest;
  return !newest || newest->incarnation != incarnation || newest->epoch <= epoch;
}

// Only what tick() can act upon now: a deadline that has come and stays would spin the loop.
Instant Decider::next_deadline() const {
  auto next = Instant::never();
  const auto patience = 2 * evidence_.timing().bmc_timeout;
  for (const auto& [host, inquiry] : inquiries_) {
    if (!asks_) break;
    if (inquiry.asked)
      next = std::min(next, inquiry.asked_at + patience);
    else if (inquiry.off_asked)
      next = std::min(next, inquiry.off_asked_at + patience);
    else
      next = std::min(next, inquiry.next_ask);
  }
  if (std::holds_alternative<Idle>(state_)) return next;  // what is still to be written waits
  if (const auto retry = cell_.retry_deadline()) return std::min(next, *retry);
  if (!deciding() || !cell_.settled() || reconcile_since_) return next;
  if (const auto due = disarmed_deadline()) next = std::min(next, *due);
  next = std::min(next, fencing_.next_deadline());
  for (const auto& [guest, attempt] : attempts_)
    if (armed() && !attempt.over() && open_assignment(guest) == nullptr)
      next = std::min(next, attempt.next);
  for (const auto& [guest, since] : open_since_)
    next = std::min(next, since.second + kClaimPatience);
  if (armed() && next_late_) next = std::min(next, *next_late_);
  return next;
}

std::vector<Problem> Decider::problems(Instant now) const {
  std::vector<Problem> list;
  if (newer_decisions_)
    list.push_back({"decisions on the volume are newer than the domain lock: nothing is decided",
                    "state volume", "it was used by another release: format it anew"});
  for (const auto& [guest, attempt] : attempts_)
    list.push_back({"fits nowhere: " + attempt.why, to_uuid(guest),
                    "free memory on a host, or lower placement.memory_reserve"});
  for (const auto& [host, inquiry] : inquiries_) {
    const auto state = judge(evidence_, host, condemned(host), volume_ok_, now).state;
    const auto* wish = fencing_.wish(host, state);
    if (wish != nullptr && state == HostState::dead) continue;
    std::string what = wish != nullptr ? "is to be fenced, says " + wish->by
                                       : "silent everywhere since " +
                                             std::to_string(inquiry.first_sign.ms) +
                                             " (ms since 1970)";
    if (!inquiry.held.empty()) what += "; " + inquiry.held;
    const auto proof = proof_about(evidence_, host, evidence_.of(host).incarnation(), now);
    what += proof.stands() ? "; proof " + std::string(to_text(proof.proof)) + " is at hand"
                           : "; not proved dead; missing: " + proof.missing;
    if (proof.lease_expires) what += ", then its guests start after L_late " +
                                     wardom::to_text(me_.late_writes);
    if (const auto& error = evidence_.of(host).power.error; !error.empty())
      what += "; its BMC: " + error;
    list.push_back({what, host_text(host),
                    "look at the host and at its BMC; its guests start elsewhere only on proof"});
  }
  return list;
}

}  // namespace wardom::core
