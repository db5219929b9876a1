// The target's part that hands a running guest over to another host, live, and takes one in.
//
// The guest arrives whole and paused: libvirt at its source sends it, and nothing runs it at its
// destination but the word of its source on the volume. That word, a yield that says `done`, is
// written once no QEMU of it is left at the source and what was sent has not run on since. Whatever
// else happens, be it to libvirt, to a daemon or to a host, the source goes on with it, or is
// proved dead; what has arrived is killed, and refused. So a source that libvirt resumes by itself
// runs beside nothing, and what has arrived is never run over a disk that is newer than it.
//
//   source: holding, hand_over      -> libvirt sends it -> yielded, hand_over done
//   destination: claimed_incoming -> all claims read: hand_over done -> resumed -> holding
#include <algorithm>

#include "libha/core/guest_life.hpp"
#include "libha/core/host_text.hpp"
#include "libha/core/target.hpp"

namespace wardom::core {
namespace {

// libvirt goes on with what it was told that may arrive within this time, or somebody else does: it
// asks for the preparation at once, and for the start when storage and network are set up.
constexpr Duration kPreparePatience = std::chrono::seconds{5};
constexpr Duration kArrivalPatience = std::chrono::seconds{20};
constexpr int kResumptions = 5;

}  // namespace

// ---- source -------------------------------------------------------------------------------------

void Target::on_migrate_guest(const MigrateGuest& migrate, Turn& turn) {
  const auto refuse = [&](std::string why) {
    turn.orders.replies.push_back({migrate.request, false, 1, std::move(why)});
  };
  if (!loaded_) return refuse("the state volume is not read yet; see `wardomctl status`");
  if (condemned_) return refuse("this host's incarnation was declared dead; reboot it");
  const auto* own = entry(migrate.guest);
  if (own == nullptr || !holds(*own)) return refuse("this host does not hold it");
  if (auto no = why_not_moved(*own); !no.empty()) return refuse(own->name + " " + no);
  if (migrate.to == evidence_.self()) return refuse(own->name + " is on that host already");
  if (moves_.contains(migrate.guest))
    return refuse(own->name + " is being handed over already; wait for the answer");
  Move move;
  move.asked = migrate;
  move.deadline = turn.now.at + migrate.patience;
  move.step = Asking{turn.now.at};
  moves_[migrate.guest] = std::move(move);
}

// Empty: it may go, as far as this host goes.
std::string Target::why_not_moved(const GuestEntry& own) const {
  if (own.parting || stops_.contains(own.guest)) return "is being ended here";
  if (works_.contains(own.guest)) return "is being claimed here";
  if (!hypervisor_ok_) return "cannot be sent: libvirt does not answer on this host";
  const auto* now = seen(own.guest);
  if (now == nullptr || now->running != Running::yes) return "does not run, so it cannot go live";
  return {};
}

const Assignment* Target::way_out(GuestId guest, const GuestEntry& own, HostId to) const {
  const auto* leading = board_.leading_decision();
  if (leading == nullptr) return nullptr;
  for (const auto& one : leading->assignments)
    if (one.guest == guest && one.cause == Cause::migrate && one.from == evidence_.self() &&
        one.from_incarnation == me_.incarnation && one.target == to &&
        one.generation > own.generation)
      return &one;
  return nullptr;
}

// What the destination has on the volume of it, by that generation.
const Claim* Target::claim_of(GuestId guest, HostId host, Generation generation) const {
  const auto& guests = board_.guests();
  const auto found = guests.find(guest);
  if (found == guests.end()) return nullptr;
  for (const auto& claim : found->second.claims)
    if (claim.host == host && claim.entry->generation == generation) return &claim;
  return nullptr;
}

void Target::follow_moves(Turn& turn) {
  // An earlier daemon has begun these, and libvirt may be sending them.
  for (const auto& own : cell_.wanted().guests)
    if (holds(own) && own.hand_over && !moves_.contains(own.guest))
      moves_[own.guest].step = Finding{std::nullopt, turn.now.at};
  for (auto at = moves_.begin(); at != moves_.end();) {
    const auto current = at++;  // end_move() removes it
    follow_move(current->first, current->second, turn);
  }
}

void Target::follow_move(GuestId guest, Move& move, Turn& turn) {
  if (std::holds_alternative<Sent>(move.step)) return await_arrival(guest, move, turn);
  const auto* own = entry(guest);
  if (own == nullptr || !holds(*own)) {
    const bool sends = std::holds_alternative<Sending>(move.step);
    if (sends && own != nullptr) order(Act::abort_migration, *own, turn);
    return end_move(guest, "this host holds it no more", turn);
  }
  tell_late(move, turn);
  if (auto* asking = std::get_if<Asking>(&move.step)) return ask_way(*own, move, *asking, turn);
  if (auto* finding = std::get_if<Finding>(&move.step)) {
    if (!own->hand_over) return end_move(guest, "wardomd was restarted in the middle of it", turn);
    if (!hypervisor_ok_ || finding->asked || turn.now.at < finding->next) return;
    order(Act::abort_migration, *own, turn);
    finding->asked = turn.orders.acts.back().ticket;
    return;
  }
  if (!own->hand_over) return end_move(guest, "it was given up", turn);
  const auto why = why_given_up(*own, move, turn.now.at);
  if (auto* sending = std::get_if<Sending>(&move.step)) {
    if (why.empty() || sending->aborting || turn.now.at < sending->next) return;
    move.why = why;
    order(Act::abort_migration, *own, turn);
    sending->aborting = turn.orders.acts.back().ticket;
    return;
  }
  if (!why.empty()) return take_back(guest, why, turn);
  if (!cell_.settled()) return;
  const auto* there = claim_of(guest, own->hand_over->other, own->hand_over->generation);
  const bool ready = there != nullptr && there->entry->phase == GuestPhase::claimed_incoming &&
                     there->entry->hand_over && there->entry->hand_over->done;
  if (!ready) return;
  order(Act::migrate, *own, turn);
  turn.orders.acts.back().to = own->hand_over->other;
  move.step = Sending{turn.orders.acts.back().ticket, std::nullopt, turn.now.at};
  turn.note({Severity::notice, "target", evidence_.self(), guest, {}, "",
             own->name + " is sent live to " + host_text(own->hand_over->other)});
}

// First the decider says that it may go, by which generation; then the own table says so.
void Target::ask_way(const GuestEntry& own, Move& move, Asking& asking, Turn& turn) {
  const GuestId guest = own.guest;
  if (auto no = why_not_moved(own); !no.empty()) return end_move(guest, no, turn);
  if (turn.now.at >= move.deadline)
    return end_move(guest, "the decider gave no assignment to " + host_text(move.asked->to) +
                               " in time; is it alive, with libvirt and the state volume? see "
                               "`wardomctl status`", turn);
  const auto* way = way_out(guest, own, move.asked->to);
  const bool used = way != nullptr && claim_of(guest, way->target, way->generation) != nullptr;
  if (way != nullptr && !used) {  // what an earlier attempt has used is over soon
    change_entry(guest)->hand_over = HandOver{way->target, way->generation};
    move.step = Offering{};
    return;
  }
  if (turn.now.at < asking.again) return;
  asking.again = turn.now.at + kAskAgain;
  turn.orders.asks.push_back({evidence_.self(), me_.incarnation, me_.epoch, guest, own.priority,
                              false, move.asked->to});
}

// Why what is offered, or being sent, is not to go after all; empty: it goes on.
std::string Target::why_given_up(const GuestEntry& own, const Move& move, Instant now) const {
  const auto& way = *own.hand_over;
  const auto there = host_text(way.other);
  if (now >= move.deadline) return "it did not arrive at " + there + " in time";
  if (own.parting || stops_.contains(own.guest)) return "it is being ended here";
  if (const auto* claim = claim_of(own.guest, way.other, way.generation)) {
    if (board_.verdict_on(claim->host, claim->entry->holder) != nullptr) return there + " is dead";
    if (!is_active(claim->entry->phase))
      return there + " refused it: " + claim->entry->reason;
    return {};
  }
  const auto* leading = board_.leading_decision();
  if (leading != nullptr && way_out(own.guest, own, way.other) == nullptr)
    return there + " did not claim it, and its assignment was withdrawn";
  return {};
}

void Target::on_move_done(const ActDone& done, Turn& turn) {
  const auto found = moves_.find(done.guest);
  if (found == moves_.end()) return;
  auto& move = found->second;
  const bool known = done.settled && done.running != Running::unknown;
  if (auto* finding = std::get_if<Finding>(&move.step)) {
    if (finding->asked != done.ticket) return;
    *finding = {std::nullopt, turn.now.at + kActPause};
    if (!done.ok || !known) return;
    if (move.why.empty()) move.why = "its migration was ended";
    return conclude(done, std::string(move.why), turn);
  }
  auto* sending = std::get_if<Sending>(&move.step);
  if (sending == nullptr) return;
  if (sending->aborting == done.ticket) {
    sending->aborting.reset();
    sending->next = turn.now.at + kActPause;
  }
  if (sending->ticket != done.ticket) return;
  if (done.ok && done.running == Running::no) return give_over(done.guest, turn);
  if (move.why.empty()) move.why = "libvirt: " + done.error;
  if (!known) {
    move.step = Finding{std::nullopt, turn.now.at};
    return;
  }
  conclude(done, std::string(move.why), turn);
}

// What libvirt says is left of it here, once nothing sends it any more.
void Target::conclude(const ActDone& done, const std::string& why, Turn& turn) {
  const bool off = done.running == Running::no;
  if (off && done.stopped == Stopped::migrated) return give_over(done.guest, turn);
  const auto* own = entry(done.guest);
  const bool lost = off && own != nullptr && own->wanted == Wanted::running && !own->parting;
  take_back(done.guest, why, turn);
  if (lost) end_lost(done.guest, why, turn);
}

// It is off, and nobody wished so: given up here, after a kill, it is started anew.
void Target::end_lost(GuestId guest, const std::string& why, Turn& turn) {
  auto* own = change_entry(guest);
  own->parting = true;
  Parting parting{"lost while it was handed over (" + why + ")", RecoveryId{turn.random.bits()},
                  Killing{"it was off", std::nullopt, turn.now.at}};
  partings_[guest] = std::move(parting);
}

// Who asked is told when its time is over, also while the outcome is being found out.
void Target::tell_late(Move& move, Turn& turn) {
  const bool open = std::holds_alternative<Finding>(move.step) ||
                    (std::holds_alternative<Sending>(move.step) && !move.why.empty());
  if (!open || !move.asked || turn.now.at < move.deadline) return;
  turn.orders.replies.push_back(
      {move.asked->request, false, 1,
       (move.why.empty() ? std::string() : move.why + "; ") +
           "libvirt has not said yet whether it is still here"});
  move.asked.reset();
}

// All of it is there, and nothing of it is left here.
void Target::give_over(GuestId guest, Turn& turn) {
  if (auto known = seen_.find(guest); known != seen_.end())
    known->second.running = Running::no;
  const auto* own = entry(guest);
  if (condemned_ || own == nullptr || !holds(*own) || !own->hand_over) return;
  if (own->parting || stops_.contains(guest)) return take_back(guest, "it is being ended", turn);
  const auto way = *own->hand_over;
  auto* changed = change_entry(guest);
  changed->wanted = Wanted::running;
  yield(*changed, "handed over live to " + host_text(way.other), turn);
  changed->hand_over = HandOver{way.other, way.generation, true};
  auto& move = moves_[guest];
  move.step = Sent{};
  turn.note({Severity::notice, "target", evidence_.self(), guest, {}, "",
             changed->name + ": " + changed->reason});
  if (!move.asked) moves_.erase(guest);  // nobody waits for it
}

void Target::await_arrival(GuestId guest, Move& move, Turn& turn) {
  const auto* own = entry(guest);
  const auto& to = move.asked->to;
  const auto* there = own != nullptr && own->hand_over
                          ? claim_of(guest, to, own->hand_over->generation)
                          : nullptr;
  const auto& guests = board_.guests();
  const auto found = guests.find(guest);
  const auto* newest = found == guests.end() ? nullptr : found->second.newest();
  const bool holds_there = (there != nullptr && there->entry->phase == GuestPhase::holding) ||
                           (own == nullptr && newest != nullptr && newest->host == to &&
                            newest->entry->phase == GuestPhase::holding);
  if (holds_there) {
    turn.orders.replies.push_back({move.asked->request, true, 0, ""});
    moves_.erase(guest);
  } else if (there != nullptr &&
             board_.verdict_on(there->host, there->entry->holder) != nullptr) {
    end_move(guest, "all of it was sent, but " + host_text(to) + " is dead", turn);
  } else if (there != nullptr && there->entry->phase == GuestPhase::refused) {
    end_move(guest, "all of it was sent, but " + host_text(to) + " refused it: " +
                        there->entry->reason, turn);
  } else if (turn.now.at >= move.deadline) {
    end_move(guest, "all of it was sent, but " + host_text(to) + " has not said yet that it runs",
             turn);
  }
}

void Target::take_back(GuestId guest, const std::string& why, Turn& turn) {
  auto* own = change_entry(guest);
  own->hand_over.reset();
  turn.note({Severity::warning, "target", evidence_.self(), guest, {}, "",
             own->name + " stays here: " + why});
  end_move(guest, std::string(why), turn);
}

void Target::end_move(GuestId guest, const std::string& why, Turn& turn) {
  const auto found = moves_.find(guest);
  if (found == moves_.end()) return;
  if (found->second.asked)
    turn.orders.replies.push_back({found->second.asked->request, false, 1, why});
  moves_.erase(found);
}

void Target::moves_without_libvirt() {
  for (auto& [guest, move] : moves_) {
    if (auto* finding = std::get_if<Finding>(&move.step)) finding->asked.reset();
    if (auto* sending = std::get_if<Sending>(&move.step)) sending->aborting.reset();
  }
}

Instant Target::move_deadline() const {
  auto next = Instant::never();
  for (const auto& [guest, move] : moves_) {
    const auto* asking = std::get_if<Asking>(&move.step);
    const auto* finding = std::get_if<Finding>(&move.step);
    const auto* sending = std::get_if<Sending>(&move.step);
    if (asking != nullptr) next = std::min({next, asking->again, move.deadline});
    if (std::holds_alternative<Offering>(move.step) || std::holds_alternative<Sent>(move.step))
      next = std::min(next, move.deadline);
    if (hypervisor_ok_ && finding != nullptr && !finding->asked)
      next = std::min(next, finding->next);
    if (sending != nullptr && !sending->aborting)
      next = std::min(next, std::max(move.deadline, sending->next));
  }
  return next;
}

// ---- destination --------------------------------------------------------------------------------

// The word of the guest's source, as it stands on the volume.
Target::Offer Target::offer(const GuestFacts& facts, HostId from, Generation by,
                            Generation generation) const {
  for (const auto& claim : facts.claims) {
    if (claim.host != from || claim.entry->generation != by) continue;
    const auto& way = claim.entry->hand_over;
    const bool here =
        way && way->other == evidence_.self() && way->generation == generation;
    if (here && claim.entry->phase == GuestPhase::yielded && way->done)
      return {Offer::Word::sent, &claim};
    const auto* source = evidence_.find(claim.host);
    const bool later =
        source != nullptr && source->incarnation().number > claim.entry->holder.number;
    const bool dead = later || board_.verdict_on(claim.host, claim.entry->holder) != nullptr;
    if (here && claim.entry->phase == GuestPhase::holding && !dead)
      return {Offer::Word::open, &claim};
  }
  return {Offer::Word::none, nullptr};
}

// Before it is claimed: who holds it says that it is to go here.
const Claim* Target::offered(const Assignment& assignment) const {
  const auto& guests = board_.guests();
  const auto found = guests.find(assignment.guest);
  if (found == guests.end()) return nullptr;
  for (const auto& claim : found->second.claims) {
    if (claim.host != assignment.from || claim.entry->holder != assignment.from_incarnation)
      continue;
    const auto word =
        offer(found->second, claim.host, claim.entry->generation, assignment.generation);
    if (word.word == Offer::Word::open) return word.claim;
  }
  return nullptr;
}

void Target::claim_incoming(const Assignment& assignment, Turn& turn) {
  const auto* source = offered(assignment);
  if (source == nullptr) {  // taken back meanwhile
    works_.erase(assignment.guest);
    return;
  }
  GuestEntry claim = *source->entry;
  claim.reason.clear();
  claim.hand_over = HandOver{source->host, source->entry->generation};
  write_claim(assignment, std::move(claim), turn);
}

// All claims were read, and whenever the board has changed since.
void Target::arrive(GuestId guest, Work& work, Turn& turn) {
  const auto* own = entry(guest);
  const auto& guests = board_.guests();
  const auto found = guests.find(guest);
  if (own == nullptr || !own->hand_over || found == guests.end())
    return refuse(guest, work, "its claim is gone", turn);
  const auto& source = board_.table(own->hand_over->other);
  if (!source.known() || source.behind()) return;  // it is being read
  const auto* now = seen(guest);
  const auto word = offer(found->second, own->hand_over->other, own->hand_over->generation,
                          own->generation);
  const auto from = host_text(own->hand_over->other);
  switch (word.word) {
    case Offer::Word::none:
      return refuse(guest, work, from + " hands it over no more", turn);
    case Offer::Word::open:
      if (now != nullptr && now->running == Running::yes)
        return refuse(guest, work, "it runs here, and " + from + " has not yielded it", turn);
      if (!own->hand_over->done) change_entry(guest)->hand_over->done = true;
      if (!std::holds_alternative<Arriving>(work.step)) work.step = Arriving{};
      return;
    case Offer::Word::sent:
      take_record(GuestEntry{*word.claim->entry});  // it may have been defined anew on the way
      return ask_to_list(guest, work, false, turn);
  }
}

void Target::take_record(const GuestEntry& newer) {
  const auto* own = entry(newer.guest);
  if (own == nullptr) return;
  const bool same = own->xml == newer.xml && own->priority == newer.priority &&
                    own->isolation == newer.isolation && own->manager == newer.manager &&
                    own->waived == newer.waived;
  if (same) return;
  auto* changed = change_entry(newer.guest);
  changed->priority = newer.priority;
  changed->isolation = newer.isolation;
  changed->manager = newer.manager;
  changed->waived = newer.waived;
  redefine(*changed, newer);
}

// Of an earlier daemon's: it was to run here, or a person has resumed it.
void Target::check_arrived(GuestId guest, Work& work, Turn& turn) {
  const auto* own = entry(guest);
  const auto* now = seen(guest);
  if (now == nullptr || now->running != Running::yes || !own->hand_over)
    return refuse(guest, work, "wardomd was restarted before it had arrived", turn);
  const auto& source = board_.table(own->hand_over->other);
  const auto& guests = board_.guests();
  const auto found = guests.find(guest);
  if (!source.known() || source.behind() || found == guests.end()) return;  // being read
  const auto word = offer(found->second, own->hand_over->other, own->hand_over->generation,
                          own->generation);
  if (word.word != Offer::Word::sent)
    return refuse(guest, work, "it runs here, and its source has not yielded it", turn);
  settle(guest, GuestPhase::holding, "", turn);
  order(Act::mark, *entry(guest), turn);
}

// What has arrived is all that is left of it: a moment without libvirt must not cost it.
bool Target::resume_again(GuestId guest, Work& work, Turn& turn) {
  const auto* now = seen(guest);
  if (work.resumed || now == nullptr || now->running != Running::paused) return false;
  if (++work.resumptions >= kResumptions) return false;
  work.step = Checking{turn.now.at};
  board_.want_all();
  return true;
}

void Target::on_hook(const HookAllowed& allowed, Turn& turn) {
  const auto found = works_.find(allowed.guest);
  if (found == works_.end()) return;
  auto* arriving = std::get_if<Arriving>(&found->second.step);
  if (arriving == nullptr) return;
  if (allowed.op == HookOp::migrate) arriving->begun = turn.now.at;
  arriving->last = allowed.op;
}

// Of a guest that this host claims.
StartAnswer Target::may_arrive(GuestId guest, const std::string& name) const {
  const auto work = works_.find(guest);
  const auto* arriving =
      work == works_.end() ? nullptr : std::get_if<Arriving>(&work->second.step);
  if (arriving == nullptr || !cell_.settled())
    return {false, true,
            name + " is protected, and nothing has assigned its migration to this host"};
  if (arriving->begun)
    return {false, true, name + " has begun to arrive here before: it is handed over anew"};
  return {true, true, ""};
}

// For what libvirt asks next, once it was told that the guest may arrive. Each is let in once: a
// person who starts what stands here when the arrival has failed asks for the same again.
bool Target::arrives(const Work& work, HookOp op, Instant now) const {
  const auto* arriving = std::get_if<Arriving>(&work.step);
  if (arriving == nullptr || !arriving->begun || op == HookOp::restore) return false;
  const auto patience =
      arriving->last == HookOp::migrate ? kPreparePatience : kArrivalPatience;
  return now < *arriving->begun + patience && op > arriving->last;
}

}  // namespace wardom::core
