#include "libha/core/member.hpp"

#include <algorithm>
#include <utility>

#include "libha/core/apart.hpp"
#include "libha/core/guest_life.hpp"
#include "libha/core/host_text.hpp"

namespace wardom::core {
namespace {

// A host whose decisions did not reach the volume leaves deciding to others for so long.
constexpr Duration kDecisionPause = std::chrono::seconds{30};
// So many reads in a row may leave a cell in doubt (its newest write was just under way); then the
// next ones come with a pause.
constexpr int kDoubtfulReads = 3;

const char* remedy_for(HostState state) {
  switch (state) {
    case HostState::dead:
      return "repair it and power it on: it returns by itself, without its old guests";
    case HostState::daemon_down: return "start wardomd there";
    case HostState::mgmt_lost:
    case HostState::storage_lost: return "look at its cable, port and switch of that network";
    case HostState::isolated:
    case HostState::split:
      return "look at both networks between it and this host, and whether both have the same "
             "wardom.toml";
    case HostState::storage_cut: return "look at wardom-keeper and at the storage path there";
    case HostState::suspect: return "look at the host and at its BMC";
    case HostState::unknown: return "start wardomd there, or look at the network";
    case HostState::alive:
    case HostState::maintenance:
    case HostState::left: break;
  }
  return "nothing to do";
}

}  // namespace

Member::Member(MemberSettings settings)
    : settings_(std::move(settings)),
      evidence_(settings_.members, settings_.self, settings_.timing),
      board_(settings_.members),
      domain_lock_(settings_.self, settings_.members, settings_.timing, board_),
      decider_(evidence_, board_, settings_.memory_reserve_mib, settings_.speaks,
               settings_.stay_up),
      target_(evidence_, board_, settings_.isolation),
      desk_(evidence_, board_, decider_),
      outage_({settings_.self, settings_.ride_out, settings_.grants_always}, settings_.timing),
      quorum_(settings_.self, settings_.members, settings_.timing, board_),
      random_(settings_.seed),
      told_(settings_.members.size()) {}

void Member::step(const Input& input, Now now, Orders& orders) {
  if (const auto* beat = std::get_if<BeatSeen>(&input)) return step(*beat, now, orders);
  news_ = news_ || is_news(input, now);
  Turn turn{now, orders, last_ticket_, random_};
  look_for_stall(now.at);
  std::visit([&](const auto& one) { take(one, turn); }, input);
}

void Member::step(const BeatSeen& beat, Now now, Orders& orders) {
  Turn turn{now, orders, last_ticket_, random_};
  look_for_stall(now.at);
  take(beat, turn);
}

// What has waited since before a stall comes now, and tells nothing about the time since. It is
// forgotten once more by the tick that follows: it has been taken meanwhile.
bool Member::look_for_stall(Instant now) {
  if (!last_tick_ || now - *last_tick_ <= bmc_word_lasts(settings_.timing)) return false;
  if (stalled_until_ != now) evidence_.on_stall(now);
  stalled_until_ = now;
  return true;
}

void Member::take(const VolumeReady& ready, Turn& turn) {
  if (outdated_ || outdated_by(ready.level, turn)) {
    me_ = ready;  // for its beats: the others hear it, as one without a volume
    return;
  }
  level_found_ = std::max(level_found_, ready.level);
  me_ = ready;
  ready_ = true;
  volume_error_.clear();
  reading_slots_.reset();
  reading_board_.reset();
  if (ready.incarnation != evidence_.own()) {
    // Whom the others ask is theirs to say anew.
    evidence_.set_asked_since(std::nullopt);
    directory_seen_ = {};
  }
  evidence_.set_own(ready.incarnation);
  evidence_.set_late_after_off(ready.late_writes_after_off);
  outage_.on_ready(ready.incarnation);
  board_.set_domain(settings_.domain);
  board_.set_ballot_base(ready.ballot_base);
  domain_lock_.on_ready(ready, turn.now.at);
  quorum_.on_volume_lost();  // what was stated on an earlier connection
  decider_.on_ready(ready, settings_.domain);
  target_.on_ready(ready, turn.now.at);
  target_.on_ladder(turn.now.at);  // nothing was heard of it before
  board_.want_all();
  turn.note({Severity::info, "disk", settings_.self, {}, {}, "",
             "state volume ready, incarnation " + to_text(ready.incarnation)});
}

void Member::take(const VolumeLost& lost, Turn& turn) {
  if (ready_ || volume_error_ != lost.reason)
    turn.note({Severity::error, "disk", settings_.self, {}, {}, "",
               "no use of the state volume: " + lost.reason});
  ready_ = false;
  rights_ = {};
  domain_lock_.on_lost();
  quorum_.on_volume_lost();
  volume_error_ = lost.reason;
  reading_slots_.reset();
  reading_board_.reset();
}

void Member::take(const Rights& rights, Turn& turn) {
  if (rights.lease != rights_.lease) {
    const char* words = "";
    switch (rights.lease) {
      case LeaseState::none: words = "this host holds no lease"; break;
      case LeaseState::held: words = "this host holds its lease"; break;
      case LeaseState::ending: words = "the lease ends: the keeper kills the guests here"; break;
      case LeaseState::ended: words = "the lease has ended: the watchdog resets this host"; break;
      case LeaseState::released:
        words = "the guests here are gone, and this host stays up: its incarnation is released";
        break;
    }
    const bool bad = rights.lease != LeaseState::none && rights.lease != LeaseState::held;
    turn.note({bad ? Severity::error : Severity::notice, "disk", settings_.self, {}, {}, "",
               words});
  }
  if (rights_.lease == LeaseState::ending || rights.lease == LeaseState::ending)
    target_.on_ladder(turn.now.at);
  rights_ = rights;
  // Irrevocable, whatever comes later.
  if (!rights.released.is_none() && rights.released != released_) {
    released_ = rights.released;
    writes_again_.reset();
  }
}

void Member::take(const AskStamp& stamp, Turn&) { outage_.on_stamp(stamp); }

void Member::take(const StartListed& answer, Turn& turn) { target_.on_start_listed(answer, turn); }

void Member::take(const CellsRead& read, Turn& turn) {
  const bool slots = reading_slots_ && reading_slots_->ticket == read.ticket;
  const bool board = reading_board_ && reading_board_->ticket == read.ticket;
  const auto ballots = domain_lock_.reading_since(read.ticket);
  if (!slots && !board && !ballots) return;  // given up on: what comes too late says nothing
  const Instant issued = slots     ? reading_slots_->issued
                         : ballots ? *ballots
                                   : reading_board_->issued;
  bool any = false;
  for (const auto& cell : read.cells) {
    if (cell.health != CellHealth::unknown_version) continue;
    const bool decision = cell.cell.region == Region::decision && cell.domain == settings_.domain;
    if (decision && outdated_by(cell.level, turn)) return;
    if (const auto why = unfit_for(cell); !why.empty()) return take(VolumeLost{why}, turn);
    if (cell.level > settings_.speaks.newest) board_.want_words();  // has the domain gone on?
  }
  for (const auto& cell : read.cells) {
    any = any || cell.health != CellHealth::unreadable;
    if (slots) {
      const auto news = evidence_.on_slot(cell, issued, turn.now.at);
      news_ = news_ || is_news(cell, news, turn.now);
    } else {
      board_.on_read(cell, issued);
      if (cell.cell.region == Region::decision)
        for (const auto& liar :
             board_.decision(HostId{static_cast<std::uint16_t>(cell.cell.index)}).record.lying_bmcs)
          evidence_.on_lying_bmc(liar);
    }
  }
  news_ = news_ || !slots;
  if (domain_lock_.on_read(read.ticket, turn)) return;
  if (slots) {
    reading_slots_.reset();
    // An answer that has waited for this daemon to go on says what was then.
    const bool waited = stalled_until_ && issued < *stalled_until_;
    if (any) slots_read_at_ = waited ? issued : turn.now.at;
    news_ = news_ || !acting_;  // it may be the read that was missing
    next_full_look_ = std::min(next_full_look_, next_slots_);
  } else {
    reading_board_.reset();
    doubtful_reads_ = board_.unknown_cell().empty() ? 0 : doubtful_reads_ + 1;
    if (doubtful_reads_ >= kDoubtfulReads)
      next_board_ = turn.now.at + settings_.timing.disk_interval;
  }
}

void Member::take(const CellWritten& written, Turn& turn) {
  if (written.cell.region == Region::ballot) domain_lock_.on_written(written, turn);
  if (written.cell.region == Region::decision) decider_.on_written(written, turn);
  if (written.cell.region == Region::table) target_.on_written(written, turn);
}

void Member::take(const BeatSeen& seen, Turn& turn) {
  const Beat& beat = seen.beat;
  const bool differs = !same_members(beat.config_digest, settings_.config_digest);
  BeatNews news = BeatNews::none;
  if (differs) {  // its bits may mean other hosts
    Beat bare = beat;
    bare.sees_mgmt.reset();
    bare.sees_storage.reset();
    bare.sees_disk.reset();
    news = evidence_.on_beat(bare, turn.now.at);
  } else {
    news = evidence_.on_beat(beat, turn.now.at);
  }
  if (news == BeatNews::none) return;
  if (news == BeatNews::changed) news_ = true;
  note_file(beat, turn);
  take_grants(beat, turn);
  const bool wanted = board_.wants();
  board_.promise(beat.from, beat.decision_sequence, beat.ballot_sequence, beat.table_sequence);
  board_.on_given_up({beat.from, beat.incarnation, beat.epoch}, beat.given_up);
  news_ = news_ || board_.wants() != wanted;
}

void Member::take(const PowerSeen& seen, Turn& turn) {
  const auto found = asked_power_.find(seen.ticket);
  if (found == asked_power_.end()) return;
  const Asked asked = found->second;
  asked_power_.erase(found);
  evidence_.on_power(asked.host, seen.power, seen.error, asked.at, turn.now.at);
  decider_.on_power(seen, asked.at, turn);
}

void Member::take(const PowerOffTaken& taken, Turn& turn) { decider_.on_power_off(taken, turn); }

void Member::take(const RingMembers& members, Turn& turn) {
  evidence_.on_ring_members(members.daemons);
  for (HostId host : members.gone_process)
    turn.note({Severity::notice, "ring", host, {}, {}, "", "its wardomd left the ring's group"});
  for (HostId host : members.gone_host)
    turn.note({Severity::notice, "ring", host, {}, {}, "", "its node left corosync's ring"});
}

void Member::take(const RingLost& lost, Turn& turn) {
  if (evidence_.ring_up())
    turn.note({Severity::warning, "ring", settings_.self, {}, {}, "",
               "no corosync here: " + lost.reason});
  evidence_.on_ring_lost();
}

void Member::take(const GuestSeen& seen, Turn& turn) {
  const bool struck = seen.stopped == Stopped::by_host || seen.stopped == Stopped::failed;
  if (struck && turn.now.at >= act_until()) target_.on_ladder(seen.guest, turn.now.at);
  target_.on_guest(seen, turn);
}
void Member::take(const HypervisorUp& up, Turn& turn) { target_.on_hypervisor_up(up, turn); }
void Member::take(const HypervisorDown& down, Turn& turn) {
  target_.on_hypervisor_down(down, turn);
}
void Member::take(const GuestDefinition& definition, Turn& turn) {
  target_.on_definition(definition, turn);
}
void Member::take(const ActDone& done, Turn& turn) { target_.on_done(done, turn); }
void Member::take(const PleaseAssign& please, Turn& turn) { decider_.on_please(please, turn); }
void Member::take(const Load& load, Turn&) { load_ = load; }
void Member::take(const OperatorAsk& ask, Turn& turn) { desk_.on_ask(ask, turn); }
void Member::take(const OperatorAnswer& answer, Turn& turn) { desk_.on_answer(answer, turn); }

// Who has a guest to look after is missed when its daemon stops: it does not say that it leaves.
void Member::take(const Leaving& leaving, Turn& turn) {
  domain_lock_.leave();
  const auto& guests = target_.table().guests;
  leaving_ = ready() && !target_.busy() &&
             std::none_of(guests.begin(), guests.end(), [&](const GuestEntry& entry) {
               return is_active(entry.phase) && entry.holder == me_.incarnation &&
                      entry.wanted == Wanted::running;
             });
  if (leaving_)
    turn.note({Severity::notice, "beats", settings_.self, {}, {}, "",
               "says that it leaves: wardomd stops here, and no protected guest runs"});
  if (leaving_ && leaving.machine_stops) quorum_.leave();
  restarting_ = !leaving_ && !leaving.machine_stops;
}

// The keeper says until when: half of T_F after the newest acknowledged heartbeat was submitted.
bool Member::may_act(Instant now) const { return now < act_until() && reads_ok(now); }

// Whether this host can time the silence of others: its reads complete, if slowly, and its own
// lease is past no step of its ladder.
bool Member::may_time(Instant now) const {
  const auto& timing = settings_.timing;
  const auto interval = watching_since_ ? Duration::zero() : seldom_read_interval(timing);
  return now < act_until() && slots_read_at_ &&
         now - *slots_read_at_ <= interval + volume_patience(timing);
}

bool Member::reads_ok(Instant now) const {
  const auto& timing = settings_.timing;
  const auto limit = watching_since_ ? disk_silent_after(timing)
                                     : seldom_read_interval(timing) + volume_patience(timing);
  return ready_ && slots_read_at_ && now - *slots_read_at_ <= limit;
}

// This host has just begun to watch the slots, and its first read may still be on its way: what it
// knows of them is old, but nothing is wrong with the volume.
bool Member::reads_begin(Instant now) const {
  return ready_ && slots_read_at_ && watching_since_ && !reads_ok(now) &&
         now - *watching_since_ <= disk_silent_after(settings_.timing);
}

// A member that this host does not hear, and of which it is not known that it need not.
bool Member::silent_member(Instant now) const {
  return std::any_of(settings_.members.begin(), settings_.members.end(), [&](HostId host) {
    if (host == settings_.self || verdict_on(host)) return false;
    const auto& member = evidence_.of(host);
    const bool left = member.disk.slot && member.disk.slot->state == SlotState::left;
    return !left && !member.heard(now, settings_.timing);
  });
}

bool Member::verdict_on(HostId host) const {
  const auto incarnation =
      host == settings_.self ? me_.incarnation : evidence_.of(host).incarnation();
  return !incarnation.is_none() && board_.verdict_on(host, incarnation) != nullptr;
}

// Disarmed, nothing is assigned elsewhere, so nothing is given up here.
void Member::look_around(const Contention& others, const LockView& lock, Instant now) {
  const OwnStanding own{acting_, lock.mine || decider_.deciding(), lock.decider};
  if (!stands_apart(evidence_, others.groups, own, now) || disarmed())
    apart_since_.reset();
  else if (!apart_since_)
    apart_since_ = now;
}

// For how long, once that is longer than a guest's response waits.
std::optional<Duration> Member::isolated(Instant now) const {
  if (!apart_since_ || now - *apart_since_ < settings_.timing.isolation_delay) return std::nullopt;
  return now - *apart_since_;
}

// This host's decisions do not reach the volume. For a while it leaves the lock to others, then it
// tries again: nobody else may be there.
bool Member::cannot_decide(Instant now) const {
  const auto failing = decider_.failing_since();
  return failing && now - *failing >= settings_.timing.feed_window / 2 &&
         now - *decider_.failed_at() < kDecisionPause;
}

Contention Member::contention(Instant now) const {
  RuleInputs inputs;
  inputs.own_beats = beats_made_;
  inputs.able = may_act(now) && target_.loaded() && !cannot_decide(now);
  inputs.ring = own_ring(now);
  inputs.level = level();
  const auto& word = board_.lock();
  for (std::size_t i = 0; i < settings_.members.size(); ++i) {
    const HostId host = settings_.members[i];
    if (verdict_on(host) || (host == word.value.owner.host && owner_gone(now))) inputs.gone.set(i);
    if (names_others(host)) inputs.strangers.set(i);
    if (word.version == LockVersion{} || board_.in_directory(host)) inputs.proposers.set(i);
  }
  return core::contention(evidence_, board_, inputs, now);
}

// The life that owns the lock is over: a verdict names it, or there is proof that nobody could
// pronounce yet, or its host's slot shows a later life. The keeper begins one only when nothing of
// the earlier is left (leases.md), so a later one is as good as the earlier one's own RELEASED.
bool Member::owner_gone(Instant now) const {
  const auto& owner = board_.lock().value.owner;
  if (owner.host == kNoHost || owner.host == settings_.self) return false;
  if (board_.verdict_on(owner.host, owner.incarnation) != nullptr) return true;
  const auto* member = evidence_.find(owner.host);
  if (member == nullptr) return false;
  const auto& disk = member->disk;
  // What it says itself outweighs a slot that a later boot seems to have: the same machine's ids
  // may be another's.
  if (member->heard(now, settings_.timing) &&
      member->beats.newest->incarnation == owner.incarnation &&
      member->beats.newest->epoch <= owner.epoch &&
      !(disk.slot && disk.incarnation == owner.incarnation &&
        disk.slot->daemon_epoch > owner.epoch))
    return false;
  if (disk.incarnation.number > owner.incarnation.number) return true;
  if (disk.slot && disk.incarnation == owner.incarnation && disk.slot->daemon_epoch > owner.epoch)
    return true;
  const auto proof = proof_about(evidence_, owner.host, owner.incarnation, now).proof;
  return proof != Proof::none &&
         (proof != Proof::power_off || decider_.knows_lying_bmcs(owner.host));
}

// The owner gives no sign of life: nobody decides until it does, or until it is proved to be gone.
bool Member::owner_silent(Instant now) const {
  const HostId owner = board_.lock().value.owner.host;
  if (owner == settings_.self || owner == kNoHost) return false;
  if (!evidence_.has(owner)) return true;  // wardom.toml names it no more
  return !evidence_.of(owner).heard(now, settings_.timing) &&
         !evidence_.of(owner).slot_fresh(now, settings_.timing, evidence_.read_horizon());
}

// It is not heard, and its slot has shown nothing since; or it is to be fenced.
bool Member::owner_suspect(Instant now) const {
  const HostId owner = board_.lock().value.owner.host;
  if (owner == settings_.self || !evidence_.has(owner)) return false;
  const auto state = judge(evidence_, owner, verdict_on(owner), reads_ok(now), now).state;
  return state == HostState::suspect || state == HostState::unknown || state == HostState::left ||
         decider_.fences_owner(owner, state);
}

LockStanding Member::standing(const Contention& others, Instant now) const {
  LockStanding standing;
  standing.owner_gone = owner_gone(now);
  standing.over = released();
  standing.fit = may_act(now) && target_.loaded() && !verdict_on(settings_.self);
  // The first owner of all is the member with the lowest id that is up in time.
  standing.place = others.place(settings_.self);
  if (standing.place && board_.lock().version == LockVersion{})
    standing.place = evidence_.index_of(settings_.self);
  if (cannot_decide(now)) standing.give_up = "its decisions do not reach the state volume";
  if (leaves_lock_to_ring(now))
    standing.give_up = own_ring(now) == RingId{}
                           ? "corosync's ring is without this host, and other hosts are in it"
                           : "another ring of corosync has more of the hosts";
  // Once for each division: should the heavier group leave the lock, this one keeps it.
  if (division_settled(now) && others.groups.outweighed() && yielded_to_ != division_)
    standing.give_up = "the domain is split (" + core::to_text(division_, settings_.members) +
                       "), and another group outweighs this host's";
  standing.directory = wanted_directory(now);
  standing.level = level();
  return standing;
}

bool Member::division_settled(Instant now) const {
  return now - division_since_ >= split_settles(settings_.timing);
}

void Member::look_at_division(const Contention& others, Instant now) {
  if (auto division = others.groups.division(); division != division_) {
    division_ = std::move(division);
    division_since_ = now;
  }
  if (!owner_suspect(now))
    owner_suspect_since_.reset();
  else if (!owner_suspect_since_)
    owner_suspect_since_ = now;
}

// By host id, the own group first; empty: the domain is whole.
std::vector<std::vector<HostId>> Member::groups_by_host(const Groups& groups) const {
  std::vector<std::vector<HostId>> list;
  if (!groups.split()) return list;
  const auto add = [&](const Group& group) {
    list.emplace_back();
    for (std::size_t i = 0; i < settings_.members.size(); ++i)
      if (group.hosts.test(i)) list.back().push_back(settings_.members[i]);
  };
  add(groups.list[groups.own]);
  for (std::size_t i = 0; i < groups.list.size(); ++i)
    if (i != groups.own) add(groups.list[i]);
  return list;
}

LockView Member::lock_among(const Contention& others, Instant now) const {
  const auto& word = board_.lock();
  const auto place = others.place(settings_.self, word.value.owner.host);
  const bool gone = owner_gone(now);
  LockView view;
  view.version = word.version;
  view.owner = word.value.owner.host;
  const bool held = word.version != LockVersion{} && !word.released && !word.conflict;
  if (held && !gone && !owner_silent(now)) view.decider = view.owner;
  view.mine = domain_lock_.holds();
  view.owner_awaited = held && !gone && view.owner != settings_.self;
  view.backup = !view.mine && place && (*place == 0 || others.young);
  if (place) view.place = *place;
  // Its BMC is asked as soon as the owner is a suspect, as any other host's is, though nobody else
  // decides before it is silent. Those behind in the line ask as well, each a while later: who
  // stands before may be unable to.
  view.asks = !view.mine && place && view.owner_awaited && owner_suspect_since_ &&
              now - *owner_suspect_since_ >= static_cast<std::int64_t>(*place) * kRankPause;
  if (view.mine && division_settled(now)) view.groups = groups_by_host(others.groups);
  return view;
}

LockView Member::lock(Instant now) const { return lock_among(contention(now), now); }

void Member::tick(Now now, Orders& orders) {
  if (!news_ && now.at < next_deadline()) return;
  Turn turn{now, orders, last_ticket_, random_};
  if (look_for_stall(now.at)) {
    evidence_.on_stall(now.at);
    apart_since_.reset();
    news_ = true;
    turn.note({Severity::warning, "beats", settings_.self, {}, {}, "",
               "this wardomd was stalled for " + wardom::to_text(now.at - *last_tick_) +
                   ": what it saw of others before does not count"});
  }
  last_tick_ = now.at;
  if (!std::exchange(news_, false) && now.at < next_full_look_) return beat(turn);
  set_pace(now.at);
  look_at_directory(now.at);
  evidence_.on_observer(may_time(now.at));
  const Contention others = contention(now.at);
  look_at_division(others, now.at);
  look_at_ring(others, now.at);
  look_at_consent();
  const LockStanding stands = standing(others, now.at);
  if (domain_lock_.holds() && !stands.give_up.empty()) {
    yielded_to_ = division_;
    if (leaves_lock_to_ring(now.at)) yielded_to_ring_ = now.at;
  }
  domain_lock_.tick(stands, turn);
  const LockView lock = lock_among(others, now.at);
  last_lock_ = lock;
  look_for_lost_nudges(now.at);
  look_at_lock(lock, turn);
  acting_ = may_act(now.at) && !leaving_;
  decider_.tick(lock, acting_, target_.hypervisor_ok(), turn);
  look_around(others, lock, now.at);
  target_.keep_level(level());
  if (released())
    target_.give_all_up(may_yield(now.at), turn);
  else
    target_.tick(acting_, isolated(now.at), turn);
  desk_.tick(turn);
  desk_.keep_own(turn);
  for (const auto& ask : orders.ask_power)
    asked_power_.try_emplace(ask.ticket, Asked{ask.host, now.at});
  poll_power(lock, turn);
  vote(turn);
  read_slots(turn);
  // Nobody's beats tell this host what it has itself written: one read of the own table that fails
  // would leave an older one on the board.
  board_.promise(settings_.self, {}, {}, target_.sequence());
  read_board(turn);
  tell_changes(lock, turn);
  live_on_grants(turn);
  beat(turn);
  next_full_look_ = find_next_look(others, lock, now.at);
}

// While all are heard, each beat tells whether its sender has decided anything since, as every new
// owner does at once. While the owner is not heard, another may take the lock at any moment.
void Member::look_at_lock(const LockView& lock, Turn& turn) {
  const bool settled = lock.decider == settings_.self ||
                       (evidence_.has(lock.decider) &&
                        evidence_.of(lock.decider).heard(turn.now.at, settings_.timing) &&
                        !evidence_.of(lock.decider).beats.newest->leaving);
  if (!settled)
    next_lock_look_ = std::min(next_lock_look_, turn.now.at + settings_.timing.disk_interval);
  if (!ready_ || turn.now.at < next_lock_look_) return;
  next_lock_look_ = turn.now.at + (silent_member(turn.now.at)
                                       ? kLookInterval
                                       : settings_.timing.feed_window);
  board_.want_ballots();
}

void Member::read_slots(Turn& turn) {
  const auto& timing = settings_.timing;
  if (reading_slots_ && turn.now.at - reading_slots_->issued > volume_patience(timing))
    reading_slots_.reset();
  const bool urgent = decider_.urgent(turn.now.at);
  if (urgent)
    next_slots_ = std::min(next_slots_, turn.now.at + inquiry_interval(timing));
  if (!ready_ || reading_slots_ || turn.now.at < next_slots_) return;
  next_slots_ = turn.now.at + (urgent            ? inquiry_interval(timing)
                               : watching_since_ ? timing.disk_interval
                                                 : seldom_read_interval(timing));
  reading_slots_ = Reading{turn.ticket(), turn.now.at};
  ReadCells read{reading_slots_->ticket, {}};
  for (HostId host : settings_.members) read.cells.push_back({Region::slot, host.value});
  turn.orders.reads.push_back(std::move(read));
}

void Member::read_board(Turn& turn) {
  if (reading_board_ &&
      turn.now.at - reading_board_->issued > volume_patience(settings_.timing)) {
    reading_board_.reset();
    board_.want_all();
  }
  if (!ready_ || reading_board_ || turn.now.at < next_board_) return;
  auto cells = board_.take_wanted();
  if (cells.empty()) return;
  reading_board_ = Reading{turn.ticket(), turn.now.at};
  turn.orders.reads.push_back({reading_board_->ticket, std::move(cells)});
}

// The decider and the next in line keep every BMC under observation: a BMC whose word is to count
// must have been read `on` just before the silence.
void Member::poll_power(const LockView& lock, Turn& turn) {
  const auto limit = 3 * settings_.timing.bmc_timeout;
  std::erase_if(asked_power_,
                [&](const auto& asked) { return turn.now.at - asked.second.at > limit; });
  next_poll_ = Instant::never();
  if (!lock.mine && !lock.backup) return;
  for (HostId host : settings_.with_bmc) {
    if (host == settings_.self || decider_.inquiries().contains(host)) continue;
    auto& next = next_power_[host];
    const bool due = turn.now.at >= next;
    if (due) next = turn.now.at + settings_.timing.power_poll;
    next_poll_ = std::min(next_poll_, next);
    if (!due) continue;
    const bool asked = std::any_of(asked_power_.begin(), asked_power_.end(),
                                   [&](const auto& one) { return one.second.host == host; });
    if (asked) continue;
    const auto ticket = turn.ticket();
    asked_power_[ticket] = {host, turn.now.at};
    turn.orders.ask_power.push_back({ticket, host});
  }
}

void Member::tell_changes(const LockView& lock, Turn& turn) {
  for (std::size_t i = 0; i < settings_.members.size(); ++i) {
    const HostId host = settings_.members[i];
    auto& told = told_[i];
    const auto judged =
        judge(evidence_, host, verdict_on(host), reads_ok(turn.now.at), turn.now.at);
    if (told.state != judged.state &&
        (judged.state != HostState::unknown || !reads_begin(turn.now.at))) {
      const bool good = judged.state == HostState::alive;
      turn.note({good ? Severity::notice : Severity::warning, "judge", host, {}, {}, "",
                 std::string(to_text(told.state)) + " -> " + to_text(judged.state) + ": " +
                     judged.because()});
      told.state = judged.state;
    }
  }
  tell_bmcs(turn);
  if (told_decider_ != lock.decider ||
      (lock.decider != kNoHost && told_version_ != lock.version)) {
    told_decider_ = lock.decider;
    told_version_ = lock.version;
    turn.note({Severity::notice, "lock", lock.decider, {}, {}, "",
               lock.decider == kNoHost
                   ? "nobody decides: " + domain_lock_.why_idle(standing(contention(turn.now.at),
                                                                         turn.now.at))
                   : host_text(lock.decider) + " owns the domain lock, version " +
                         std::to_string(lock.version.value)});
  }
  const bool ok = reads_ok(turn.now.at) || reads_begin(turn.now.at);
  if (ok != told_volume_ok_ && (ok || slots_read_at_)) {
    told_volume_ok_ = ok;
    turn.note({ok ? Severity::notice : Severity::error, "disk", settings_.self, {}, {}, "",
               ok ? "the state volume answers again"
                  : "reads of the state volume do not complete here"});
  }
}

Beat Member::make_beat(Instant now) const {
  Beat beat;
  beat.level = outdated_ ? settings_.speaks.newest : level();
  beat.speaks = settings_.speaks;
  beat.from = settings_.self;
  beat.incarnation = me_.incarnation;
  beat.epoch = me_.epoch;
  beat.config_digest = settings_.config_digest;
  beat.sees_mgmt = evidence_.fresh_on(Link::mgmt, now);
  beat.sees_storage = evidence_.fresh_on(Link::storage, now);
  beat.sees_disk = evidence_.fresh_on_disk(now);
  beat.slot_sequence = slot_sequence_;
  beat.decision_sequence = decider_.sequence();
  beat.ballot_sequence = domain_lock_.sequence();
  beat.table_sequence = target_.sequence();
  beat.given_up = domain_lock_.given_up();
  beat.volume_ok = may_act(now) && target_.loaded();
  beat.hypervisor_ok = target_.hypervisor_ok();
  beat.leaving = leaving_;
  beat.restarting = restarting_;
  beat.released = released();
  beat.load = load_;
  const auto asks = asking();
  beat.request = outage_.request(asks);
  beat.request_under = beat.request == 0 ? DirectoryWord{} : asks.under;
  beat.ring = own_ring(now);
  beat.cleared = quorum_.cleared();
  beat.device_digest = quorum_.device_digest();
  beat.lying_bmc = unrecorded_liar();
  return beat;
}

// Beats leave on time, and at once when there is news: a block to look at, or a changed view.
void Member::beat(Turn& turn) {
  Beat beat = make_beat(turn.now.at);
  const bool news = last_beat_ && (last_beat_->decision_sequence != beat.decision_sequence ||
                                   last_beat_->ballot_sequence != beat.ballot_sequence ||
                                   last_beat_->table_sequence != beat.table_sequence ||
                                   last_beat_->given_up != beat.given_up ||
                                   last_beat_->leaving != beat.leaving ||
                                   last_beat_->restarting != beat.restarting ||
                                   last_beat_->released != beat.released ||
                                   last_beat_->ring != beat.ring ||
                                   last_beat_->cleared != beat.cleared ||
                                   (last_beat_->lying_bmc == LyingBmc{} &&
                                    beat.lying_bmc != LyingBmc{}) ||
                                   last_beat_->sees_mgmt != beat.sees_mgmt ||
                                   last_beat_->sees_storage != beat.sees_storage);
  const bool due = turn.now.at >= next_beat_;
  const bool states = published_votes_ != quorum_.states();
  if (!due && !news && !states) return;
  if (due) next_beat_ = turn.now.at + settings_.timing.beat_interval;
  if (due || states) {
    published_votes_ = quorum_.states();
    turn.orders.publish.push_back(
        {beat.sees_mgmt, beat.sees_storage, beat.sees_disk, load_, dead_proposers(),
         published_votes_, released() && target_.gave_all_up() ? me_.incarnation : Incarnation{},
         std::max(level_found_, board_.level()), settings_.speaks});
  }
  if (!due && !news) return;
  turn.orders.words = words(turn.now.at);
  last_beat_ = beat;
  ++beats_made_;
  turn.orders.beats.push_back(std::move(beat));
}

std::vector<HostView> Member::hosts(Instant now) const {
  std::vector<HostView> views;
  const auto disk = evidence_.fresh_on_disk(now);
  for (HostId host : settings_.members) {
    const auto& member = evidence_.of(host);
    const bool self = host == settings_.self;
    HostView view;
    view.host = host;
    view.judged = judge(evidence_, host, verdict_on(host), reads_ok(now), now);
    view.incarnation = self ? me_.incarnation : member.incarnation();
    view.mgmt = self || member.link_fresh(Link::mgmt, now, settings_.timing);
    view.storage = self || member.link_fresh(Link::storage, now, settings_.timing);
    view.disk = disk.test(evidence_.index_of(host));
    view.power = member.power.last;
    view.power_known = member.power.last_answered.has_value();
    view.speaks = speaks_of(host);
    if (self)
      view.since_life = Duration::zero();
    else if (const auto life = member.last_life())
      view.since_life = now - *life;
    views.push_back(std::move(view));
  }
  return views;
}

// nullptr: without XML it is a tombstone, or was asked to be protected, and never was.
const Claim* Member::record_of(const GuestFacts& facts) {
  const auto* newest = facts.newest();
  return newest == nullptr || newest->entry->xml.empty() ? nullptr : newest;
}

GuestView Member::view_of(const Claim& record) const {
  GuestView view;
  view.entry = *record.entry;
  const bool dead = board_.verdict_on(record.host, record.entry->holder) != nullptr;
  if (is_active(record.entry->phase) && !dead) view.owner = record.host;
  if (record.host == settings_.self)
    if (const auto* seen = target_.seen(record.entry->guest)) view.running = seen->running;
  return view;
}

std::vector<GuestView> Member::guests() const {
  std::vector<GuestView> views;
  for (const auto& [guest, facts] : board_.guests())
    if (const auto* record = record_of(facts)) views.push_back(view_of(*record));
  return views;
}

std::optional<GuestView> Member::guest_called(const std::string& guest) const {
  for (const auto& [id, facts] : board_.guests())
    if (const auto* record = record_of(facts))
      if (record->entry->name == guest || to_uuid(id) == guest) return view_of(*record);
  return std::nullopt;
}

std::optional<GuestHere> Member::guest_here(const std::string& guest) const {
  return target_.here(guest);
}

std::vector<std::vector<HostId>> Member::split_groups() const {
  const auto* leading = board_.leading_decision();
  return leading == nullptr ? std::vector<std::vector<HostId>>{} : leading->groups;
}

std::optional<Disarmed> Member::disarmed() const {
  const auto lead = board_.newest_decision();
  if (lead.host == kNoHost) return std::nullopt;
  return board_.decision(lead.host).record.disarmed;
}

ProofAbout Member::proof(HostId host, Instant now) const {
  return proof_about(evidence_, host, evidence_.of(host).incarnation(), now);
}

std::vector<GuestId> Member::protected_guests() const {
  std::vector<GuestId> ids;
  for (const auto& [guest, facts] : board_.guests())
    if (record_of(facts) != nullptr) ids.push_back(guest);
  return ids;
}

std::vector<Problem> Member::problems(Instant now) const {
  std::vector<Problem> list;
  add_levels(list);
  if (!ready_ && !outdated_)
    list.push_back({"no use of the state volume: " +
                        (volume_error_.empty() ? "wardom-keeper does not answer" : volume_error_),
                    host_text(settings_.self), "start wardom-keeper, look at its log"});
  else if (!reads_ok(now) && !reads_begin(now))
    list.push_back({"reads of the state volume do not complete", host_text(settings_.self),
                    "look at this host's storage network and at the volume's store"});
  add_outage(list, now);
  if (released())
    list.push_back({"its lease ended, its guests were killed: incarnation " + to_text(released_) +
                        " is released", host_text(settings_.self),
                    "mend its path to the state volume; it goes on by itself"});
  for (HostId host : settings_.members) {
    const auto& slot = evidence_.of(host).disk.slot;
    if (slot && slot->state == SlotState::up && slot->w_ms == 0)
      list.push_back({"holds no lease, so its silence proves nothing: only a power-off, a reboot "
                      "or an operator's word does", host_text(host),
                      "give it a watchdog: [watchdog] in wardom.toml, `wardomctl host "
                      "measure-watchdog`, then the keeper's log"});
  }
  if (apart_since_)
    list.push_back({std::string("cut off from the larger group of hosts, which decides: ") +
                        (isolated(now) ? "its guests' isolation responses are carried out"
                                       : "its guests' isolation responses begin " +
                                             wardom::to_text(settings_.timing.isolation_delay) +
                                             " after it began"),
                    host_text(settings_.self), "look at both networks of this host"});
  if (const auto unknown = board_.unknown_cell(); ready_ && reads_ok(now) && !unknown.empty())
    list.push_back({"a cell of the state volume cannot be relied upon: " + unknown,
                    "state volume", "run `wardomctl volume check`; nothing is assigned meanwhile"});
  if (const auto off = disarmed())
    list.push_back({"disarmed by " + off->by + ": what happens is reported, nothing is acted on",
                    "the whole domain", "run `wardomctl arm` when the work is done"});
  if (const auto groups = split_groups(); !groups.empty()) {
    list.push_back({"the domain is split into " + std::to_string(groups.size()) +
                        " groups; " + hosts_text(groups.front()) +
                        (groups.front().size() == 1 ? " decides" : " decide") +
                        ", the others keep their guests and start nothing",
                    "the whole domain", "look at both networks between the groups"});
  }
  const auto others = contention(now);
  const auto lock = lock_among(others, now);
  if (ready_ && lock.decider == kNoHost)
    list.push_back({"nobody decides: " + domain_lock_.why_idle(standing(others, now)),
                    "domain lock",
                    "look at the links between the hosts, and at the lock's owner"});
  add_quorum(list, now);
  add_bmcs(list, now);
  if (!evidence_.ring_up())
    list.push_back({"no corosync ring here", host_text(settings_.self), "start corosync"});
  for (const auto& view : hosts(now)) {
    const auto state = view.judged.state;
    if (state != HostState::alive && state != HostState::left && state != HostState::maintenance)
      list.push_back({std::string(to_text(state)) + ": " + view.judged.because(),
                      host_text(view.host), remedy_for(state)});
  }
  add_membership(list, now);
  for (auto& problem : decider_.problems(now)) list.push_back(std::move(problem));
  for (auto& problem : target_.problems()) list.push_back(std::move(problem));
  return list;
}

}  // namespace wardom::core
