#include "libha/core/target.hpp"

#include <algorithm>

#include "libha/core/guest_life.hpp"

namespace wardom::core {
namespace {

std::string host_text(HostId host) { return "host " + std::to_string(host.value); }

bool same_assignment(const Assignment& a, const Assignment& b) {
  return a.guest == b.guest && a.generation == b.generation && a.target == b.target &&
         a.target_incarnation == b.target_incarnation && a.target_epoch == b.target_epoch;
}

// The newest recorded XML of a guest, over all tables.
const GuestEntry* recorded(const GuestFacts& facts) {
  const GuestEntry* best = nullptr;
  for (const auto& claim : facts.claims)
    if (!claim.entry->xml.empty() &&
        (best == nullptr || claim.entry->generation > best->generation))
      best = claim.entry;
  return best;
}

}  // namespace

void Target::on_ready(const VolumeReady& ready) {
  if (me_.incarnation == ready.incarnation && loaded_) {
    me_ = ready;
    return;
  }
  me_ = ready;
  loaded_ = false;
  works_.clear();
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
  const auto& own = board_.table(evidence_.self());
  if (!own.read_issued) {
    board_.want_all();
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
  cell_.adopt(own.record);
  cell_.saw(own.sequence);
  board_.want_all();
  for (const auto& entry : cell_.wanted().guests) resume(entry, turn);
}

// A claim that an earlier daemon of this incarnation left half done is checked again from the
// start; libvirt tells whether its guest already runs.
void Target::resume(const GuestEntry& entry, Turn& turn) {
  if (!mine(entry)) return;
  if (entry.phase != GuestPhase::claimed && entry.phase != GuestPhase::starting) return;
  Assignment assignment;
  assignment.guest = entry.guest;
  assignment.generation = entry.generation;
  assignment.target = evidence_.self();
  assignment.target_incarnation = me_.incarnation;
  assignment.target_epoch = me_.epoch;
  assignment.version = entry.under;
  assignment.cause = entry.recovery.is_zero() ? Cause::protect : Cause::verdict;
  assignment.recovery = entry.recovery;
  works_[entry.guest] = Work{assignment, Checking{turn.now.at}};
}

void Target::tick(bool volume_ok, Turn& turn) {
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
  }
  if (const auto ticket = cell_.due(turn)) turn.orders.tables.push_back({*ticket, cell_.wanted()});
}

void Target::take_assignments(Turn& turn) {
  const auto version = board_.highest_version();
  for (HostId host : board_.members()) {
    const auto& decision = board_.decision(host).record;
    if (decision.version != version) continue;
    for (const auto& assignment : decision.assignments) {
      if (assignment.target != evidence_.self() ||
          assignment.target_incarnation != me_.incarnation ||
          assignment.target_epoch != me_.epoch || works_.contains(assignment.guest))
        continue;
      const auto* own = entry(assignment.guest);
      if (own != nullptr && own->generation >= assignment.generation) continue;
      begin_claim(assignment, turn);
    }
  }
}

bool Target::begin_claim(const Assignment& assignment, Turn& turn) {
  GuestEntry claim;
  if (assignment.cause == Cause::protect) {
    const auto request = protects_.find(assignment.guest);
    if (request == protects_.end()) {
      claim.guest = assignment.guest;  // asked for by a daemon that is gone: refuse, on the volume
      claim.reason = "the request for protection is no longer open";
    } else {
      claim = request->second.entry;
    }
  } else {
    const auto guests = board_.guests();
    const auto found = guests.find(assignment.guest);
    const auto* source = found == guests.end() ? nullptr : recorded(found->second);
    if (source == nullptr) {  // its table was not read yet, or cannot be
      board_.want_table(assignment.from);
      return false;
    }
    claim = *source;
    claim.reason.clear();
  }
  claim.phase = claim.reason.empty() ? GuestPhase::claimed : GuestPhase::refused;
  claim.generation = assignment.generation;
  claim.holder = me_.incarnation;
  claim.under = assignment.version;
  claim.recovery = assignment.recovery;
  claim.since = turn.now.wall;
  auto& guests = cell_.change().guests;
  std::erase_if(guests, [&](const GuestEntry& old) { return old.guest == assignment.guest; });
  guests.push_back(claim);
  if (claim.phase != GuestPhase::claimed) return false;
  works_[assignment.guest] = Work{assignment, Claiming{cell_.revision()}};
  turn.note({Severity::info, "target", evidence_.self(), assignment.guest, assignment.recovery,
             assignment.recovery.is_zero() ? "" : "claimed",
             claim.name + " claimed by " + host_text(evidence_.self())});
  return true;
}

// Moves a claim on by one step when what it waits for is there.
void Target::advance(GuestId guest, Work& work, Turn& turn) {
  if (const auto* claiming = std::get_if<Claiming>(&work.step)) {
    if (cell_.acknowledged() < claiming->revision) return;
    work.step = Checking{turn.now.at};
    board_.want_all();
    return;
  }
  if (const auto* checking = std::get_if<Checking>(&work.step)) {
    if (!board_.read_since(checking->since)) return;
    if (const auto unknown = board_.unknown_cell(); !unknown.empty()) {
      work.step = Checking{turn.now.at};  // fail closed, and look again
      board_.want_all();
      return;
    }
    const auto guests = board_.guests();
    const auto found = guests.find(guest);
    const auto refusal = objection(work.assignment, found == guests.end() ? nullptr
                                                                           : &found->second);
    if (!refusal.empty()) {
      const auto* now = seen(guest);
      // What runs cannot be refused: it would be a QEMU without an owner. It is ended first.
      if (now != nullptr && now->running != Running::no) {
        end_here(guest, now->name, refusal, turn);
        return;
      }
      settle(guest, GuestPhase::refused, refusal, turn);
    } else if (work.assignment.cause == Cause::protect) {
      finish_protect(work.assignment, turn);
    } else {
      start(work, turn);
    }
    return;
  }
  if (const auto* unsettled = std::get_if<Unsettled>(&work.step)) {
    const auto* now = seen(guest);
    if (!hypervisor_ok_) return;
    if (now != nullptr && now->running == Running::unknown) {
      if (turn.now.at < unsettled->look_again) return;
      work.step = Checking{turn.now.at};  // a second start of a running guest is refused by libvirt
      board_.want_all();
      return;
    }
    const bool runs = now != nullptr && now->running != Running::no;
    settle(guest, runs ? GuestPhase::holding : GuestPhase::refused,
           runs ? "" : "the start failed; libvirt came back without the guest running", turn);
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
  act.act = Act::start;
  act.guest = own->guest;
  act.name = own->name;
  act.xml = own->xml;
  act.generation = own->generation;
  turn.orders.acts.push_back(act);
  work.step = Starting{act.ticket};
  turn.note({Severity::info, "target", evidence_.self(), own->guest, own->recovery, "starting",
             own->name + ": all claims read, libvirt starts it"});
}

void Target::finish_protect(const Assignment& assignment, Turn& turn) {
  settle(assignment.guest, GuestPhase::holding, "", turn);
  const auto* own = entry(assignment.guest);
  order(Act::mark, *own, turn);
}

void Target::settle(GuestId guest, GuestPhase phase, const std::string& reason, Turn& turn) {
  works_.erase(guest);
  auto* own = change_entry(guest);
  if (own == nullptr) return;
  own->phase = phase;
  own->reason = reason;
  own->since = turn.now.wall;
  const bool holds = phase == GuestPhase::holding;
  const bool step = !own->recovery.is_zero();
  turn.note({holds ? Severity::notice : Severity::error, "target", evidence_.self(), guest,
             own->recovery, step ? (holds ? "running" : "refused") : "",
             own->name + (holds ? (step ? " runs here" : " is protected here")
                                : " refused: " + reason)});
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
  for (auto at = protects_.begin(); at != protects_.end();) {
    const auto* own = entry(at->first);
    const bool held = own != nullptr && own->phase == GuestPhase::holding && mine(*own) &&
                      cell_.settled();
    if (held) turn.orders.replies.push_back({at->second.ticket, true, 0, ""});
    at = held ? protects_.erase(at) : std::next(at);
  }
  std::erase_if(unprotects_, [&](const auto& waiting) {
    if (cell_.acknowledged() < waiting.second) return false;
    turn.orders.replies.push_back({waiting.first, true, 0, ""});
    return true;
  });
}

void Target::on_done(const ActDone& done, Turn& turn) {
  if (done.act != Act::start) {
    if (!done.ok) {
      turn.note({Severity::warning, "libvirt", evidence_.self(), done.guest, {}, "",
                 "libvirt: " + done.error});
    } else if (done.act == Act::kill || done.act == Act::undefine) {
      acted_.erase(done.guest);
    }
    return;
  }
  const auto found = works_.find(done.guest);
  if (found == works_.end()) return;
  const auto* starting = std::get_if<Starting>(&found->second.step);
  if (starting == nullptr || starting->ticket != done.ticket) return;
  const auto* own = entry(done.guest);
  auto& now = seen_[done.guest];
  now.guest = done.guest;
  if (own != nullptr) now.name = own->name;
  now.running = done.running;
  now.defined = true;
  if (done.ok || done.running == Running::yes) {
    settle(done.guest, GuestPhase::holding, "", turn);
    if (own != nullptr) order(Act::mark, *own, turn);
  } else if (done.settled && done.running == Running::no) {
    settle(done.guest, GuestPhase::refused, "libvirt: " + done.error, turn);
  } else {
    now.running = Running::unknown;
    found->second.step = Unsettled{turn.now.at + kActPause};
    turn.note({Severity::error, "libvirt", evidence_.self(), done.guest, {}, "",
               "start left open, waiting for libvirt's word: " + done.error});
  }
}

// A stop by the guest itself or by its administrator is a wish; a crash is not.
void Target::update_wanted(const GuestSeen& seen, Turn& turn) {
  const auto* own = entry(seen.guest);
  if (own == nullptr || own->phase != GuestPhase::holding || !mine(*own)) return;
  Wanted wanted = own->wanted;
  if (seen.running == Running::yes || seen.running == Running::paused) wanted = Wanted::running;
  const bool wish = seen.stopped == Stopped::by_guest || seen.stopped == Stopped::by_admin ||
                    seen.stopped == Stopped::saved;
  if (seen.running == Running::no && wish) wanted = Wanted::stopped;
  if (wanted == own->wanted) return;
  auto* changed = change_entry(seen.guest);
  changed->wanted = wanted;
  turn.note({Severity::notice, "libvirt", evidence_.self(), seen.guest, {}, "",
             changed->name + (wanted == Wanted::running ? " is wanted running again"
                                                        : " was shut down on purpose; it stays off")});
}

void Target::on_guest(const GuestSeen& seen, Turn& turn) {
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
  for (auto& [guest, seen] : seen_) seen.running = Running::unknown;
  turn.note({Severity::warning, "libvirt", evidence_.self(), {}, {}, "",
             "libvirt does not answer: " + down.reason});
}

void Target::on_definition(const GuestDefinition& definition, Turn& turn) {
  auto& seen = seen_[definition.guest];
  seen.guest = definition.guest;
  if (!definition.name.empty()) seen.name = definition.name;
  seen.defined = !definition.xml.empty();
  if (!loaded_) return;
  const auto* own = entry(definition.guest);
  if (own == nullptr || !is_active(own->phase) || !mine(*own)) return;
  if (definition.xml.empty()) {
    turn.note({Severity::warning, "libvirt", evidence_.self(), definition.guest, {}, "",
               own->name + " has lost its definition here; the recorded one is kept"});
    return;
  }
  if (own->xml == definition.xml) return;
  auto* changed = change_entry(definition.guest);
  changed->xml = definition.xml;
  changed->name = definition.name;
  changed->memory_kib = definition.memory_kib;
  changed->vcpus = definition.vcpus;
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

// What may not run here is ended; what belongs elsewhere loses its definition here.
void Target::watch_over(Turn& turn) {
  const bool verdict = board_.verdict_on(evidence_.self(), me_.incarnation) != nullptr;
  if (verdict && !condemned_)
    turn.note({Severity::error, "target", evidence_.self(), {}, {}, "",
               "this host's incarnation was declared dead: its guests are ended, reboot it"});
  condemned_ = verdict;
  for (const auto& [guest, facts] : board_.guests()) {
    const auto* newest = facts.newest();
    if (newest == nullptr || works_.contains(guest)) continue;
    const auto* now = seen(guest);
    const auto* own = entry(guest);
    const bool mine_now = own != nullptr && mine(*own) && is_active(own->phase);
    const bool runs = now != nullptr && (now->running == Running::yes ||
                                         now->running == Running::paused ||
                                         now->running == Running::io_error);
    if (mine_now && condemned_) {
      if (runs) end_here(guest, own->name, "a verdict names this host's incarnation", turn);
      continue;
    }
    const bool elsewhere = newest->host != evidence_.self() && is_active(newest->entry->phase);
    if (mine_now && elsewhere && newest->entry->generation > own->generation) {
      if (runs) {
        end_here(guest, own->name, "a higher generation belongs to " + host_text(newest->host),
                 turn);
      } else if (auto* changed = change_entry(guest)) {
        yield(*changed, "a higher generation belongs to " + host_text(newest->host), turn);
      }
      continue;
    }
    if (mine_now || !elsewhere) continue;
    if (runs)
      end_here(guest, now->name, "it belongs to " + host_text(newest->host), turn);
    else if (now != nullptr && now->running == Running::no &&
             newest->entry->phase == GuestPhase::holding)
      clean_definition(guest, *now, *newest, turn);
    // The own entry is history: the new owner's record is complete and newer.
    if (own != nullptr && newest->entry->phase == GuestPhase::holding)
      std::erase_if(cell_.change().guests, [&](const GuestEntry& e) { return e.guest == guest; });
  }
}

void Target::on_protect(const Protect& protect, const LockView& lock, Turn& turn) {
  const auto refuse = [&](int exit_code, std::string why) {
    turn.orders.replies.push_back({protect.request, false, exit_code, std::move(why)});
  };
  if (!loaded_) return refuse(1, "the state volume is not read yet; see `wardomctl status`");
  if (condemned_) return refuse(3, "this host's incarnation was declared dead; reboot it");
  if (lock.decider == kNoHost)
    return refuse(1, "no host decides now: a majority of the domain must hear each other");
  const GuestId guest = protect.entry.guest;
  const auto* own = entry(guest);
  if (own != nullptr && mine(*own) && is_active(own->phase)) {
    auto* changed = change_entry(guest);
    changed->waived = protect.entry.waived;
    changed->priority = protect.entry.priority;
    unprotects_.emplace_back(protect.request, cell_.revision());  // answered when it stands
    return;
  }
  const auto guests = board_.guests();
  const auto found = guests.find(guest);
  if (found != guests.end()) {
    for (const auto& claim : found->second.claims)
      if (is_active(claim.entry->phase) &&
          board_.verdict_on(claim.host, claim.entry->holder) == nullptr &&
          !(claim.host == evidence_.self() && mine(*claim.entry)))
        return refuse(3, protect.entry.name + " is protected and belongs to " +
                             host_text(claim.host) + " (incarnation " +
                             to_text(claim.entry->holder) + ")");
  }
  if (cell_.wanted().guests.size() >= kMaxGuestsPerHost)
    return refuse(1, "this host's table is full: " + std::to_string(kMaxGuestsPerHost) +
                         " guests");
  protects_[guest] = {protect.request, protect.entry, turn.now.at + kRequestPatience};
  turn.orders.asks.push_back(
      {evidence_.self(), me_.incarnation, me_.epoch, guest, protect.entry.priority});
}

// The entry stays as a tombstone, so that no older record of the guest comes back to life.
void Target::on_unprotect(const Unprotect& unprotect, Turn& turn) {
  const auto* own = loaded_ ? entry(unprotect.guest) : nullptr;
  if (own == nullptr || !is_active(own->phase) || works_.contains(unprotect.guest)) {
    turn.orders.replies.push_back({unprotect.request, false, 1,
                                   "not protected on this host; `wardomctl guest list` names its "
                                   "owner, run the command there"});
    return;
  }
  auto* changed = change_entry(unprotect.guest);
  order(Act::unmark, *changed, turn);
  const auto guests = board_.guests();
  const auto found = guests.find(unprotect.guest);
  if (found != guests.end()) changed->generation = found->second.top.next();
  yield(*changed, "no longer protected", turn);
  changed->wanted = Wanted::stopped;
  changed->xml.clear();
  unprotects_.emplace_back(unprotect.request, cell_.revision());
}

void Target::expire_requests(Turn& turn) {
  for (auto at = protects_.begin(); at != protects_.end();) {
    if (turn.now.at < at->second.deadline) {
      ++at;
      continue;
    }
    turn.orders.replies.push_back(
        {at->second.ticket, false, 1,
         "the decider gave no assignment within " +
             std::to_string(whole_ms(kRequestPatience) / 1000) +
             " s; is corosync's ring complete? see `wardomctl status`"});
    at = protects_.erase(at);
  }
}

StartAnswer Target::may_start(GuestId guest, const std::string& name) const {
  const auto* own = entry(guest);
  const auto guests = board_.guests();
  const auto found = guests.find(guest);
  const bool known = own != nullptr || found != guests.end();
  if (!loaded_) return {false, known, "the state volume is not read yet, so its owner is unknown"};
  const Claim* newest = found == guests.end() ? nullptr : found->second.newest();
  const bool ours = own != nullptr && mine(*own) && is_active(own->phase);
  if (!ours) {
    const bool unprotected = (newest == nullptr || newest->entry->phase == GuestPhase::yielded);
    if (unprotected && (own == nullptr || own->phase == GuestPhase::yielded))
      return {true, false, ""};
    if (newest == nullptr) return {false, true, name + " is protected; its owner is unknown"};
    return {false, true,
            name + " is protected and is not assigned to this host: newest record is " +
                to_text(newest->entry->phase) + " on " + host_text(newest->host) +
                ", generation " + std::to_string(newest->entry->generation.value)};
  }
  if (condemned_) return {false, true, "this host's incarnation was declared dead; reboot it"};
  const auto work = works_.find(guest);
  if (work != works_.end() && !std::holds_alternative<Starting>(work->second.step))
    return {false, true, name + " is claimed here, but not every host's claims were read yet"};
  if (newest != nullptr && newest->entry->generation > own->generation)
    return {false, true, name + ": a higher generation belongs to " + host_text(newest->host)};
  return {true, true, ""};
}

Instant Target::next_deadline() const {
  auto next = Instant::never();
  for (const auto& [guest, request] : protects_) next = std::min(next, request.deadline);
  for (const auto& [guest, work] : works_)
    if (const auto* unsettled = std::get_if<Unsettled>(&work.step))
      next = std::min(next, unsettled->look_again);
  if (const auto retry = cell_.retry_deadline()) next = std::min(next, *retry);
  return next;
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
