#include "libha/core/target.hpp"

#include <algorithm>

#include "libha/core/guest_life.hpp"
#include "libha/core/host_text.hpp"

namespace wardom::core {
namespace {

bool same_assignment(const Assignment& a, const Assignment& b) {
  return a.guest == b.guest && a.generation == b.generation && a.target == b.target &&
         a.target_incarnation == b.target_incarnation && a.target_epoch == b.target_epoch;
}

// The newest recorded XML of a guest: its owner's, or the last refusal's where nothing else is.
const GuestEntry* recorded(const GuestFacts& facts) {
  const Claim* newest = facts.newest();
  return newest == nullptr || newest->entry->xml.empty() ? nullptr : newest->entry;
}

// What a guest was asked to be protected with, and never was.
bool never_protected(const GuestEntry& entry) {
  return entry.phase == GuestPhase::refused && entry.xml.empty();
}

}  // namespace

// After a rise of the epoch the claims that this very daemon has under way are an earlier one's.
void Target::on_ready(const VolumeReady& ready, Instant now) {
  const bool same = me_.incarnation == ready.incarnation && me_.epoch == ready.epoch;
  me_ = ready;
  on_list(ready.listed);
  if (same && loaded_) return;
  loaded_ = false;
  gives_up_ = false;
  table_read_from_ = now;
  works_.clear();
  partings_.clear();
  for (auto& [guest, move] : moves_)
    if (!std::holds_alternative<Asking>(move.step) && !std::holds_alternative<Sent>(move.step))
      move.step = Finding{std::nullopt, now};
}

const GuestEntry* Target::entry(GuestId guest) const {
  for (const auto& entry : cell_.wanted().guests)
    if (entry.guest == guest) return &entry;
  return nullptr;
}

GuestEntry* Target::change_entry(GuestId guest) {
  for (auto& entry : cell_.change().guests)
    if (entry.guest == guest) return &entry;
  return nullptr;
}

const GuestSeen* Target::seen(GuestId guest) const {
  const auto found = seen_.find(guest);
  return found == seen_.end() ? nullptr : &found->second;
}

void Target::load_own_table(Turn& turn) {
  // What was read before the keeper said who this daemon is now may lack its last writes.
  const auto& own = board_.table(evidence_.self());
  if (!own.read_issued || *own.read_issued < table_read_from_) {
    board_.want_table(evidence_.self());
    return;
  }
  if (!own.known()) {
    // Nothing is written over a table that cannot be read: it may be the only record.
    if (!load_failed_)
      turn.note({Severity::error, "target", evidence_.self(), {}, {}, "",
                 "own host table cannot be read, nothing is claimed or recorded: " + own.error});
    load_failed_ = true;
    board_.want_table(evidence_.self());
    return;
  }
  load_failed_ = false;
  loaded_ = true;
  rewritten_ = kFirstLevel;
  cell_.adopt(own.record);
  cell_.saw(own.sequence);
  board_.want_all();
  for (const auto& entry : cell_.wanted().guests) resume(entry, turn);
}

// A claim that an earlier daemon of this boot left half done. It is never started from here: the
// earlier daemon's refusal may be on its way to the volume, and another host's start may follow
// from it. What was never listed was never started, and is refused; of the others, what runs is
// held, what does not run is refused after a kill (check_resumed).
void Target::resume(const GuestEntry& entry, Turn&) {
  if (!mine(entry)) return;
  const bool incoming = entry.phase == GuestPhase::claimed_incoming;
  if (entry.phase != GuestPhase::claimed && entry.phase != GuestPhase::starting && !incoming)
    return;
  Work work;
  if (incoming) work.assignment.cause = Cause::migrate;
  work.assignment.guest = entry.guest;
  work.assignment.generation = entry.generation;
  work.assignment.target = evidence_.self();
  work.assignment.target_incarnation = me_.incarnation;
  work.resumed = true;
  work.step = Unsettled{};
  works_[entry.guest] = std::move(work);
}

void Target::tick(bool volume_ok, std::optional<Duration> isolated, Turn& turn) {
  expire_requests(turn);
  if (!volume_ok || me_.incarnation.is_none()) return;
  if (!loaded_) load_own_table(turn);
  if (!loaded_) return;
  watch_over(turn);
  if (!condemned_) {
    take_assignments(turn);
    for (auto at = works_.begin(); at != works_.end();) {
      auto current = at++;  // settle() removes the entry
      const GuestId guest = current->first;
      advance(guest, current->second, turn);
    }
    follow_stops(turn);
    follow_starts(turn);
    follow_moves(turn);
    respond(isolated, turn);
  }
  keep_list(turn);
  if (const auto ticket = cell_.due(turn)) turn.orders.tables.push_back({*ticket, cell_.wanted()});
}

void Target::keep_level(Level level) {
  const auto& own = board_.table(evidence_.self());
  const bool behind = own.known() && own.sequence != Sequence{} && own.level < level;
  if (!loaded_ || !behind || rewritten_ >= level) return;
  rewritten_ = level;
  cell_.change();
}

void Target::give_all_up(bool volume_ok, Turn& turn) {
  works_.clear();
  partings_.clear();
  drop_requests(turn);
  if (!volume_ok) return;
  // Others have taken over what stands on the volume: of all that was to be written there before,
  // nothing is any more.
  if (!gives_up_) {
    if (cell_.in_flight()) return;  // its outcome first
    gives_up_ = true;
    loaded_ = false;
    table_read_from_ = turn.now.at;
  }
  if (!loaded_) load_own_table(turn);
  if (!loaded_) return;
  works_.clear();  // what an earlier daemon left half done, too
  std::vector<GuestId> active;
  for (const auto& own : cell_.wanted().guests)
    if (mine(own) && is_active(own.phase))
      active.push_back(own.guest);
  for (const auto& guest : active) {
    auto* own = change_entry(guest);
    if (own->phase == GuestPhase::holding) {
      yield(*own, "killed when this host's lease ended, then yielded", turn);
      turn.note({Severity::warning, "target", evidence_.self(), guest, {}, "",
                 own->name + ": " + own->reason});
    } else if (own->wanted == Wanted::stopped && own->phase != GuestPhase::claimed_incoming) {
      withdraw_protection(guest, "this host's lease has ended", true, turn);
    } else {
      settle(guest, GuestPhase::refused, "this host's lease has ended", turn);
    }
  }
  keep_list(turn);
  if (const auto ticket = cell_.due(turn)) turn.orders.tables.push_back({*ticket, cell_.wanted()});
}

bool Target::gave_all_up() const {
  const auto& guests = cell_.wanted().guests;
  return gives_up_ && loaded_ && cell_.settled() &&
         std::none_of(guests.begin(), guests.end(), [&](const GuestEntry& entry) {
           return mine(entry) && is_active(entry.phase);
         });
}

void Target::take_assignments(Turn& turn) {
  const auto* leading = board_.leading_decision();
  if (leading == nullptr) return;
  for (const auto& assignment : leading->assignments) {
    if (assignment.target != evidence_.self() ||
        assignment.target_incarnation != me_.incarnation ||
        assignment.target_epoch != me_.epoch || works_.contains(assignment.guest))
      continue;
    const auto* own = entry(assignment.guest);
    if (own != nullptr && own->generation >= assignment.generation) continue;
    begin_claim(assignment, turn);
  }
}

void Target::begin_claim(const Assignment& assignment, Turn& turn) {
  if (assignment.cause == Cause::protect || assignment.cause == Cause::start) {
    // It may run already: the ladder must know of it before any other host relies on the ladder.
    Work& work = works_[assignment.guest] = Work{assignment, Listing{}};
    if (protects_.contains(assignment.guest))
      ask_to_list(assignment.guest, work, true, turn);
    else
      claim_listed(assignment, turn);
    return;
  }
  if (assignment.cause == Cause::migrate) {
    if (offered(assignment) == nullptr) return board_.want_table(assignment.from);
    // What arrives must be known to the ladder before it can.
    Work& work = works_[assignment.guest] = Work{assignment, Listing{}};
    return ask_to_list(assignment.guest, work, true, turn);
  }
  const auto& guests = board_.guests();
  const auto found = guests.find(assignment.guest);
  const auto* source = found == guests.end() ? nullptr : recorded(found->second);
  if (source == nullptr) {  // its table was not read yet, or cannot be
    board_.want_table(assignment.from);
    return;
  }
  GuestEntry claim = *source;
  claim.reason.clear();
  write_claim(assignment, std::move(claim), turn);
}

void Target::claim_listed(const Assignment& assignment, Turn& turn) {
  if (assignment.cause == Cause::protect)
    claim_protected(assignment, turn);
  else if (assignment.cause == Cause::migrate)
    claim_incoming(assignment, turn);
  else
    claim_start(assignment, turn);
}

void Target::claim_protected(const Assignment& assignment, Turn& turn) {
  const auto request = protects_.find(assignment.guest);
  GuestEntry claim;
  if (request == protects_.end()) {
    claim.guest = assignment.guest;  // asked for by a daemon that is gone: refuse, on the volume
    claim.wanted = Wanted::stopped;  // it was never protected: nobody is to start it
    claim.reason = "the request for protection is no longer open";
  } else {
    claim = request->second.entry;
  }
  write_claim(assignment, std::move(claim), turn);
}

void Target::write_claim(const Assignment& assignment, GuestEntry claim, Turn& turn) {
  works_.erase(assignment.guest);
  const auto* before = entry(assignment.guest);
  const bool ended = before != nullptr && is_tombstone(*before);
  const bool gave_up = before != nullptr && before->phase == GuestPhase::yielded;
  if (!claim.reason.empty() && gave_up) {  // what that yield says goes on to be the newest record
    auto stays = *before;
    stays.reason = std::move(claim.reason);
    claim = std::move(stays);
  }
  claim.parting = false;
  const bool incoming = assignment.cause == Cause::migrate;
  if (!incoming) claim.hand_over.reset();
  claim.phase = incoming               ? GuestPhase::claimed_incoming
                : claim.reason.empty() ? GuestPhase::claimed
                : gave_up              ? GuestPhase::yielded
                                       : GuestPhase::refused;
  claim.generation = assignment.generation;
  claim.holder = me_.incarnation;
  claim.epoch = me_.epoch;
  claim.under = assignment.version;
  claim.recovery = assignment.recovery;
  claim.since = turn.now.wall;
  auto& guests = cell_.change().guests;
  std::erase_if(guests, [&](const GuestEntry& old) { return old.guest == assignment.guest; });
  guests.push_back(claim);
  if (!is_active(claim.phase)) return;
  works_[assignment.guest] = Work{assignment, Claiming{cell_.revision()}, false, ended};
  turn.note({Severity::info, "target", evidence_.self(), assignment.guest, assignment.recovery,
             assignment.recovery.is_zero() ? "" : "claimed",
             claim.name + " claimed by " + host_text(evidence_.self())});
}

// Moves a claim on by one step when what it waits for is there.
void Target::advance(GuestId guest, Work& work, Turn& turn) {
  if (const auto* listing = std::get_if<Listing>(&work.step)) {
    if (!listing->asked) list_again(guest, work, listing->next, turn);
  } else if (const auto* claiming = std::get_if<Claiming>(&work.step)) {
    if (cell_.acknowledged() < claiming->revision) return;
    work.step = Checking{turn.now.at};
    board_.want_all();
  } else if (std::holds_alternative<Checking>(work.step)) {
    check(guest, work, turn);
  } else if (std::holds_alternative<Arriving>(work.step)) {
    arrive(guest, work, turn);
  } else if (const auto* unsettled = std::get_if<Unsettled>(&work.step)) {
    if (work.resumed)
      check_resumed(guest, work, turn);
    else
      await_libvirt(guest, work, unsettled->look_again, turn);
  } else if (auto* ending = std::get_if<Ending>(&work.step)) {
    kill_before_refusal(guest, *ending, turn);
  }
}

void Target::check(GuestId guest, Work& work, Turn& turn) {
  auto& checking = std::get<Checking>(work.step);
  if (!board_.read_since(checking.since)) return;
  if (const auto unknown = board_.unknown_cell(); !unknown.empty()) {
    checking.since = turn.now.at;  // fail closed, and look again
    board_.want_all();
    return;
  }
  const auto& guests = board_.guests();
  const auto found = guests.find(guest);
  const auto* facts = found == guests.end() ? nullptr : &found->second;
  const bool protect = work.assignment.cause == Cause::protect;
  if (const auto no = objection(work.assignment, facts); !no.empty())
    return protect ? withdraw_protection(guest, no, work.ended, turn)
                   : refuse(guest, work, no, turn);
  if (protect) return finish_protect(guest, turn);
  if (!hypervisor_ok_) return refuse(guest, work, "libvirt does not answer on this host", turn);
  if (work.assignment.cause == Cause::migrate) return arrive(guest, work, turn);
  const auto request = protects_.find(guest);
  const bool named = request != protects_.end() && !request->second.entry.xml.empty();
  if (work.assignment.cause != Cause::start || !named) refresh_record(work.assignment, *facts);
  ask_to_list(guest, work, false, turn);
}

void Target::check_resumed(GuestId guest, Work& work, Turn& turn) {
  if (!hypervisor_ok_) return;  // what runs is unknown
  const auto* own = entry(guest);
  if (own == nullptr) {
    works_.erase(guest);
    return;
  }
  const auto* now = seen(guest);
  const bool incoming = own->phase == GuestPhase::claimed_incoming;  // paused: it has only arrived
  if (incoming) return check_arrived(guest, work, turn);
  if (runs(now)) {
    settle(guest, GuestPhase::holding, "", turn);
    order(Act::mark, *entry(guest), turn);
  } else if (own->wanted == Wanted::stopped) {
    withdraw_protection(guest, "wardomd was restarted in the middle of it", true, turn);
  } else {
    refuse(guest, work, "wardomd was restarted in the middle of the start", turn);
  }
}

// libvirt's answer to the create call was lost. A second start would be safe, since libvirt refuses
// to start what runs, but it proves nothing about the first one: the guest is given up here, after
// a kill, unless it is seen to run.
void Target::await_libvirt(GuestId guest, Work& work, Instant look_again, Turn& turn) {
  if (!hypervisor_ok_ || turn.now.at < look_again) return;
  const auto* now = seen(guest);
  const bool arrived = work.assignment.cause == Cause::migrate;
  if (arrived ? now != nullptr && now->running == Running::yes : runs(now)) {
    settle(guest, GuestPhase::holding, "", turn);
    order(Act::mark, *entry(guest), turn);
  } else if (!arrived || !resume_again(guest, work, turn)) {
    refuse(guest, work, "the start's outcome was lost, and the guest is not seen to run", turn);
  }
}

// "Refused" says that no QEMU of the guest exists here and none will appear: another host starts it
// on that word. Where a start was ever ordered, a kill settles it first.
void Target::refuse(GuestId guest, Work& work, const std::string& reason, Turn& turn) {
  if (!start_listed(guest) && !runs(seen(guest)))
    return settle(guest, GuestPhase::refused, reason, turn);
  work.step = Ending{reason, std::nullopt, turn.now.at};
  kill_before_refusal(guest, std::get<Ending>(work.step), turn);
}

void Target::kill_before_refusal(GuestId guest, Ending& ending, Turn& turn) {
  const auto* own = entry(guest);
  if (own == nullptr || !hypervisor_ok_ || ending.killing || turn.now.at < ending.next) return;
  order(Act::kill, *own, turn);
  ending.killing = turn.orders.acts.back().ticket;
  turn.note({Severity::warning, "target", evidence_.self(), guest, own->recovery, "",
             own->name + " is given up here, after a kill: " + ending.reason});
}

// The guest stays as it was before it was asked for: unprotected, and running if it ran. Where the
// claim took the place of a tombstone, or may have, a tombstone stands again, by this generation: a
// refusal would leave what a dead host held before that one as the newest record, to be started.
void Target::withdraw_protection(GuestId guest, const std::string& reason, bool ended,
                                 Turn& turn) {
  settle(guest, ended ? GuestPhase::yielded : GuestPhase::refused, std::string(reason), turn);
  if (auto* own = change_entry(guest)) {
    own->wanted = Wanted::stopped;
    own->xml.clear();
  }
  const auto request = protects_.find(guest);
  if (request == protects_.end()) return;
  turn.orders.replies.push_back({request->second.ticket, false, 3, reason});
  protects_.erase(request);
}

// The claim was made with what was known of the guest then; by now the last word of its earlier
// owner has been read.
void Target::refresh_record(const Assignment& assignment, const GuestFacts& facts) {
  for (const auto& claim : facts.claims) {
    if (claim.host != assignment.from || claim.entry->holder != assignment.from_incarnation ||
        claim.entry->generation >= assignment.generation || claim.entry->xml.empty())
      continue;
    const auto* own = entry(assignment.guest);
    if (own == nullptr || own->xml == claim.entry->xml) continue;
    redefine(*change_entry(assignment.guest), *claim.entry);
  }
}

// Why the claim must not become a start; empty: nothing speaks against it.
std::string Target::objection(const Assignment& assignment, const GuestFacts* facts) const {
  if (facts == nullptr) return "its claim is not on the volume";
  const Assignment* standing = nullptr;
  for (const auto& word : facts->standing)
    if (same_assignment(*word.assignment, assignment)) standing = word.assignment;
  if (standing == nullptr) return "the assignment no longer stands under the highest version";
  for (const auto& claim : facts->claims) {
    if (claim.host == evidence_.self() && mine(*claim.entry)) continue;
    if (!is_active(claim.entry->phase)) continue;
    const bool offers = assignment.cause == Cause::migrate &&
                        offer(*facts, claim.host, claim.entry->generation, assignment.generation)
                                .claim == &claim;
    if (offers && claim.host == assignment.from) continue;
    const bool ended = std::any_of(
        standing->ended.begin(), standing->ended.end(), [&](const Assignment::Ended& e) {
          return e.host == claim.host && e.incarnation == claim.entry->holder &&
                 e.generation == claim.entry->generation;
        });
    if (!ended)
      return host_text(claim.host) + " has a claim of generation " +
             std::to_string(claim.entry->generation.value) + " that nothing has ended";
  }
  return {};
}

void Target::start(Work& work, Turn& turn) {
  const auto* own = entry(work.assignment.guest);
  if (own == nullptr) return;
  GuestAct act;
  act.ticket = turn.ticket();
  const bool arrived = work.assignment.cause == Cause::migrate;
  act.act = arrived ? Act::resume : Act::start;
  act.guest = own->guest;
  act.name = own->name;
  act.xml = own->xml;
  act.generation = own->generation;
  turn.orders.acts.push_back(act);
  work.step = Starting{act.ticket};
  turn.note({Severity::info, "target", evidence_.self(), own->guest, own->recovery, "starting",
             own->name + (arrived ? ": all of it has arrived and was yielded, libvirt resumes it"
                                  : ": all claims read, the start is listed, libvirt starts it")});
}

void Target::finish_protect(GuestId guest, Turn& turn) {
  settle(guest, GuestPhase::holding, "", turn);
  order(Act::mark, *entry(guest), turn);
  if (const auto* now = seen(guest)) update_wanted(GuestSeen{*now}, turn);
}

void Target::settle(GuestId guest, GuestPhase phase, const std::string& reason, Turn& turn) {
  works_.erase(guest);
  auto* own = change_entry(guest);
  if (own == nullptr) return;
  const bool holds = phase == GuestPhase::holding;
  // What is on its way here is still its source's, or was given over by it.
  const bool incoming = own->phase == GuestPhase::claimed_incoming;
  const bool started = own->manager == Manager::pacemaker && !incoming;
  own->phase = phase;
  own->hand_over.reset();
  // What the claim took the place of may have kept an older record from being the newest: a
  // refusal would not.
  if (!holds && started) {
    own->phase = GuestPhase::yielded;
    own->wanted = Wanted::stopped;
  }
  own->reason = reason;
  own->since = turn.now.wall;
  const bool step = !own->recovery.is_zero();
  turn.note({holds ? Severity::notice : Severity::error, "target", evidence_.self(), guest,
             own->recovery, step ? (holds ? "running" : "refused") : "",
             own->name + (!holds                         ? " refused: " + reason
                          : step || started || incoming ? " runs here"
                                                        : " is protected here")});
  if (!holds) answer_start(guest, reason, turn);
}

void Target::order(Act act, const GuestEntry& entry, Turn& turn) {
  GuestAct order;
  order.ticket = turn.ticket();
  order.act = act;
  order.guest = entry.guest;
  order.name = entry.name;
  order.generation = entry.generation;
  turn.orders.acts.push_back(std::move(order));
}

void Target::on_written(const CellWritten& written, Turn& turn) {
  if (!cell_.on_written(written, turn.now.at, inquiry_interval(evidence_.timing()))) return;
  if (!written.acknowledged) {
    turn.note({Severity::warning, "target", evidence_.self(), {}, {}, "",
               "host table not acknowledged: " + written.error});
    return;
  }
  board_.want_table(evidence_.self());  // the board shows what stands on the volume
  answer_held(turn);
  std::erase_if(unprotects_, [&](const auto& waiting) {
    if (cell_.acknowledged() < waiting.second) return false;
    turn.orders.replies.push_back({waiting.first, true, 0, ""});
    return true;
  });
}

void Target::on_done(const ActDone& done, Turn& turn) {
  ++libvirt_changes_;
  const auto found = works_.find(done.guest);
  if (done.act != Act::start && done.act != Act::resume) {
    if (!done.ok)
      turn.note({Severity::warning, "libvirt", evidence_.self(), done.guest, {}, "",
                 "libvirt: " + done.error});
    else if (done.act == Act::kill || done.act == Act::undefine)
      acted_.erase(done.guest);
    const bool killed = done.act == Act::kill && done.ok && done.running == Running::no;
    if (killed)
      if (const auto known = seen_.find(done.guest); known != seen_.end())
        known->second.running = Running::no;
    on_parting_done(done, turn);
    on_stop_done(done, turn);
    on_move_done(done, turn);
    if (found == works_.end()) return;
    auto* ending = std::get_if<Ending>(&found->second.step);
    if (ending == nullptr || ending->killing != done.ticket) return;
    ending->killing.reset();
    ending->next = turn.now.at + kActPause;
    if (killed) settle(done.guest, GuestPhase::refused, std::string(ending->reason), turn);
    return;
  }
  if (found == works_.end()) return;
  const auto* starting = std::get_if<Starting>(&found->second.step);
  if (starting != nullptr && starting->ticket == done.ticket)
    finish_start(done.guest, found->second, done, turn);
}

void Target::finish_start(GuestId guest, Work& work, const ActDone& done, Turn& turn) {
  const auto* own = entry(guest);
  auto& now = seen_[guest];
  now.guest = guest;
  if (own != nullptr) now.name = own->name;
  if (done.running != Running::unknown)
    now.running = done.running;  // an event may know more
  else if (done.ok && now.running == Running::no)
    now.running = Running::unknown;  // seen before it was started
  now.defined = true;
  if (done.ok || done.running == Running::yes) {
    settle(guest, GuestPhase::holding, "", turn);
    if (own != nullptr) order(Act::mark, *own, turn);
  } else if (done.act == Act::resume && done.settled && runs(&now)) {
    if (!resume_again(guest, work, turn)) refuse(guest, work, "libvirt: " + done.error, turn);
  } else if (done.settled && done.running == Running::no) {
    settle(guest, GuestPhase::refused, "libvirt: " + done.error, turn);
  } else {
    work.step = Unsettled{turn.now.at + kActPause};
    turn.note({Severity::error, "libvirt", evidence_.self(), guest, {}, "",
               "start left open, waiting for libvirt's word: " + done.error});
  }
}

// A stop by the guest itself or by its administrator is a wish; a crash is not. A guest that is
// being ended here stops by this host's wish, which is for this host alone.
void Target::update_wanted(const GuestSeen& seen, Turn& turn) {
  const auto* own = entry(seen.guest);
  if (own == nullptr || !holds(*own) || own->parting) return;
  Wanted wanted = own->wanted;
  if (seen.running == Running::yes || seen.running == Running::paused) wanted = Wanted::running;
  const bool wish = seen.stopped == Stopped::by_guest || seen.stopped == Stopped::by_admin ||
                    seen.stopped == Stopped::saved;
  if (seen.running == Running::no && wish) wanted = Wanted::stopped;
  if (wanted == own->wanted) return;
  auto* changed = change_entry(seen.guest);
  changed->wanted = wanted;
  const char* wish_text = wanted == Wanted::running ? " is wanted running again"
                                                    : " was shut down on purpose; it stays off";
  turn.note({Severity::notice, "libvirt", evidence_.self(), seen.guest, {}, "",
             changed->name + wish_text});
}

void Target::on_guest(const GuestSeen& seen, Turn& turn) {
  ++libvirt_changes_;
  seen_[seen.guest] = seen;
  if (loaded_) update_wanted(seen, turn);
}

void Target::on_hypervisor_up(const HypervisorUp& up, Turn& turn) {
  hypervisor_ok_ = true;
  seen_.clear();
  acted_.clear();
  for (const auto& guest : up.guests) on_guest(guest, turn);
  turn.note({Severity::info, "libvirt", evidence_.self(), {}, {}, "",
             "libvirt answers: " + std::to_string(up.guests.size()) + " guests defined"});
}

void Target::on_hypervisor_down(const HypervisorDown& down, Turn& turn) {
  hypervisor_ok_ = false;
  ++libvirt_changes_;
  // A kill that was under way may have been lost with the connection.
  for (auto& [guest, work] : works_)
    if (auto* ending = std::get_if<Ending>(&work.step)) {
      ending->killing.reset();
      ending->next = turn.now.at + kActPause;
    }
  for (auto& [guest, parting] : partings_) {
    if (auto* step = std::get_if<ShuttingDown>(&parting.step)) step->asked.reset();
    if (auto* step = std::get_if<Killing>(&parting.step)) step->asked.reset();
  }
  for (auto& [guest, stop] : stops_) {
    stop.shutdown.reset();
    stop.kill.reset();
  }
  moves_without_libvirt();
  for (auto& [guest, seen] : seen_) seen.running = Running::unknown;
  turn.note({Severity::warning, "libvirt", evidence_.self(), {}, {}, "",
             "libvirt does not answer: " + down.reason});
}

void Target::on_definition(const GuestDefinition& definition, Turn& turn) {
  ++libvirt_changes_;
  auto& seen = seen_[definition.guest];
  seen.guest = definition.guest;
  if (!definition.name.empty()) seen.name = definition.name;
  seen.defined = !definition.xml.empty();
  if (!loaded_) return;
  const auto* own = entry(definition.guest);
  // Only the holder's definition counts: while a claim is open, what libvirt has here may be a
  // stale one of an earlier stay.
  if (own == nullptr || own->phase != GuestPhase::holding || !mine(*own)) return;
  if (definition.xml.empty()) {
    turn.note({Severity::warning, "libvirt", evidence_.self(), definition.guest, {}, "",
               own->name + " has lost its definition here; the recorded one is kept"});
    return;
  }
  if (own->xml == definition.xml) return;
  auto* changed = change_entry(definition.guest);
  redefine(*changed, definition);
  turn.note({Severity::info, "libvirt", evidence_.self(), definition.guest, {}, "",
             changed->name + ": changed definition recorded"});
}

bool Target::act_pending(GuestId guest, Instant now) const {
  const auto found = acted_.find(guest);
  return found != acted_.end() && now < found->second;
}

void Target::end_here(GuestId guest, const std::string& name, const std::string& why, Turn& turn) {
  if (!hypervisor_ok_ || act_pending(guest, turn.now.at)) return;
  acted_[guest] = turn.now.at + kActPause;
  GuestEntry named;
  named.guest = guest;
  named.name = name;
  order(Act::kill, named, turn);
  turn.note({Severity::error, "target", evidence_.self(), guest, {}, "",
             name + " is ended here: " + why});
}

void Target::yield(GuestEntry& entry, const std::string& why, Turn& turn) {
  entry.phase = GuestPhase::yielded;
  entry.parting = false;
  entry.hand_over.reset();
  entry.reason = why;
  entry.since = turn.now.wall;
}

void Target::clean_definition(GuestId guest, const GuestSeen& seen, const Claim& owner,
                              Turn& turn) {
  if (!seen.defined || !hypervisor_ok_ || act_pending(guest, turn.now.at)) return;
  acted_[guest] = turn.now.at + kActPause;
  GuestEntry named;
  named.guest = guest;
  named.name = seen.name;
  order(Act::undefine, named, turn);
  turn.note({Severity::notice, "target", evidence_.self(), guest, {}, "",
             seen.name + ": stale definition removed, it belongs to " + host_text(owner.host) +
                 " (generation " + std::to_string(owner.entry->generation.value) + ")"});
}

// Something that watch_over() goes by has changed since it looked last.
bool Target::look_due(Instant now) {
  const bool same = looked_.board == board_.revision() && looked_.table == cell_.revision() &&
                    looked_.libvirt == libvirt_changes_ && now < looked_.again;
  looked_ = {board_.revision(), cell_.revision(), libvirt_changes_, Instant::never()};
  return !same;
}

// What may not run here is ended; what belongs elsewhere loses its definition here.
void Target::watch_over(Turn& turn) {
  const auto again = looked_.again;
  if (!look_due(turn.now.at)) {
    looked_.again = again;
    return;
  }
  const bool verdict = board_.verdict_on(evidence_.self(), me_.incarnation) != nullptr;
  if (verdict && !condemned_)
    turn.note({Severity::error, "target", evidence_.self(), {}, {}, "",
               "this host's incarnation was declared dead: its guests are ended, reboot it"});
  condemned_ = verdict;
  for (const auto& [guest, facts] : board_.guests())
    if (condemned_ || !works_.contains(guest)) watch_guest(guest, facts, turn);
  for (const auto& [guest, until] : acted_)
    if (until > turn.now.at) looked_.again = std::min(looked_.again, until);
}

void Target::watch_guest(GuestId guest, const GuestFacts& facts, Turn& turn) {
  const auto* newest = facts.newest();
  if (newest == nullptr) return;
  const auto* now = seen(guest);
  const auto* own = entry(guest);
  const bool mine_now = own != nullptr && mine(*own) && is_active(own->phase);
  const bool stopped = hypervisor_ok_ && (now == nullptr || now->running == Running::no);
  if (mine_now && condemned_) {
    if (runs(now)) end_here(guest, own->name, "a verdict names this host's incarnation", turn);
    return;
  }
  const bool elsewhere = newest->host != evidence_.self() && is_active(newest->entry->phase);
  const bool holds = newest->entry->phase == GuestPhase::holding;
  if (mine_now) {
    // A higher generation that is only claimed is no reason yet: it holds only if nothing that was
    // read speaks against it, and the claim here does.
    if (!elsewhere || !holds || newest->entry->generation <= own->generation) return;
    if (runs(now))
      end_here(guest, own->name, "a higher generation belongs to " + host_text(newest->host), turn);
    else if (stopped)
      yield(*change_entry(guest), "a higher generation belongs to " + host_text(newest->host),
            turn);
    return;
  }
  if (!elsewhere) return;
  if (runs(now)) {
    end_here(guest, now->name, "it belongs to " + host_text(newest->host), turn);
    return;
  }
  // Without an owner that lives, what stands here may be the only trace: a refusal, a generation.
  if (!holds || board_.verdict_on(newest->host, newest->entry->holder) != nullptr) return;
  if (now != nullptr && now->running == Running::no) clean_definition(guest, *now, *newest, turn);
  // The own entry is history: the new owner's record is complete and newer.
  if (own != nullptr && own->generation < newest->entry->generation)
    std::erase_if(cell_.change().guests, [&](const GuestEntry& e) { return e.guest == guest; });
}

StartAnswer Target::may_start(GuestId guest, const std::string& name, HookOp op,
                              Instant now) const {
  const auto* own = entry(guest);
  const auto& guests = board_.guests();
  const auto found = guests.find(guest);
  const bool known = own != nullptr || found != guests.end();
  if (!loaded_) return {false, known, "the state volume is not read yet, so its owner is unknown"};
  const Claim* newest = found == guests.end() ? nullptr : found->second.newest();
  const bool ours = own != nullptr && mine(*own) && is_active(own->phase);
  // Nobody is told when libvirt has ended what it begins here, or that it never will.
  if (!ours && me_.stays_up && protects_.contains(guest))
    return {false, true, name + " is being protected; start it when that is done"};
  if (!ours) {
    const auto gone = [](const GuestEntry& e) {
      return is_tombstone(e) || never_protected(e);
    };
    // The own table may be newer than what was read of it.
    const bool own_gone = own == nullptr || gone(*own) ||
                          (newest != nullptr && newest->entry->generation > own->generation);
    if ((newest == nullptr || gone(*newest->entry)) && own_gone) return {true, false, ""};
    if (newest == nullptr) return {false, true, name + " is protected; its owner is unknown"};
    return {false, true,
            name + " is protected and is not assigned to this host: newest record is " +
                to_text(newest->entry->phase) + " on " + host_text(newest->host) +
                ", generation " + std::to_string(newest->entry->generation.value)};
  }
  if (condemned_) return {false, true, "this host's incarnation was declared dead; reboot it"};
  if (op == HookOp::migrate) return may_arrive(guest, name);
  if (own->parting)
    return {false, true,
            name + (own->wanted == Wanted::stopped ? " is being stopped here for Pacemaker"
                                                   : " is being ended here by its isolation "
                                                     "response")};
  if (own->phase == GuestPhase::holding && own->hand_over)
    return {false, true, name + " is being handed over live to " +
                             host_text(own->hand_over->other) + "; it may be there already"};
  const auto work = works_.find(guest);
  const bool begins = work != works_.end() && (std::holds_alternative<Starting>(work->second.step)
                                                   ? work->second.assignment.cause != Cause::migrate
                                                   : arrives(work->second, op, now));
  if (work != works_.end() && !begins)
    return {false, true,
            name + (std::holds_alternative<Arriving>(work->second.step)
                        ? " is to arrive here live, and runs by its source's word"
                        : " is claimed here, but not every host's claims were read yet")};
  if (me_.stays_up && (work == works_.end() || !start_listed(guest)))
    return {false, true,
            name + " is protected, and this host may stay up when its lease ends "
                   "(watchdog.stay_up): only Wardom starts it here"};
  if (newest != nullptr && newest->entry->generation > own->generation)
    return {false, true, name + ": a higher generation belongs to " + host_text(newest->host)};
  return {true, true, ""};
}

Instant Target::next_deadline() const {
  auto next = Instant::never();
  for (const auto& [guest, request] : protects_) {
    next = std::min(next, request.deadline);
    if (asks(guest, request)) next = std::min(next, request.ask_again);
  }
  for (const auto& [guest, stop] : stops_) next = std::min(next, stop.deadline);
  if (const auto retry = cell_.retry_deadline()) next = std::min(next, *retry);
  if (condemned_) return std::min(next, looked_.again);  // nothing goes on here
  for (const auto& [guest, work] : works_)
    if (const auto* listing = std::get_if<Listing>(&work.step);
        listing != nullptr && !listing->asked)
      next = std::min(next, listing->next);
  next = std::min({next, parting_deadline(), stop_deadline(), move_deadline()});
  if (!hypervisor_ok_) return next;  // its return is an input
  for (const auto& [guest, work] : works_) {
    if (const auto* unsettled = std::get_if<Unsettled>(&work.step);
        unsettled != nullptr && !work.resumed)
      next = std::min(next, unsettled->look_again);
    if (const auto* ending = std::get_if<Ending>(&work.step); ending != nullptr && !ending->killing)
      next = std::min(next, ending->next);
  }
  return std::min(next, looked_.again);
}

std::vector<Problem> Target::problems() const {
  std::vector<Problem> list;
  if (condemned_)
    list.push_back({"this host's incarnation was declared dead", host_text(evidence_.self()),
                    "reboot it: it comes back under a new incarnation"});
  if (load_failed_)
    list.push_back({"the own host table cannot be read", host_text(evidence_.self()),
                    "run `wardomctl volume check`"});
  if (!hypervisor_ok_)
    list.push_back({"libvirt does not answer", host_text(evidence_.self()),
                    "start libvirtd or virtqemud on this host"});
  return list;
}

}  // namespace wardom::core
