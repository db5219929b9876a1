// The target's part that starts and stops what Pacemaker manages (ocf:wardom:Guest).
//
// A start is a claim like any other: asked of the decider, assigned, claimed, and ordered once all
// claims are read. A stop of what this host holds goes the way of an isolation response
// (isolation.cpp): recorded, shut down, killed, yielded. What Pacemaker believes decides nothing:
// two starts of one guest on two hosts end with one that runs.
#include <algorithm>

#include "libha/core/guest_life.hpp"
#include "libha/core/host_text.hpp"
#include "libha/core/target.hpp"

namespace wardom::core {

void Target::on_start_guest(const StartGuest& start, Turn& turn) {
  const GuestId guest = start.entry.guest;
  const auto refuse = [&](Ticket request, std::string why) {
    turn.orders.replies.push_back({request, false, 1, std::move(why)});
  };
  if (condemned_)
    return refuse(start.request, "this host's incarnation was declared dead; reboot it");
  if (const auto earlier = protects_.find(guest); earlier != protects_.end()) {
    if (!earlier->second.start)
      return refuse(start.request, start.entry.name + " is being protected; wait for the answer");
    refuse(earlier->second.ticket, "its start was asked for once more");
  }
  if (const auto stop = stops_.find(guest); stop != stops_.end()) {
    refuse(stop->second.asked.request, "its start was asked for meanwhile");
    stops_.erase(stop);
  }
  auto& request = protects_[guest];
  request = {start.request, start.entry, turn.now.at + start.patience, turn.now.at, true};
  request.entry.manager = Manager::pacemaker;
}

void Target::on_stop_guest(const StopGuest& stop, Turn& turn) {
  answer_start(stop.guest, "its stop was asked for meanwhile", turn);
  if (const auto earlier = stops_.find(stop.guest); earlier != stops_.end())
    turn.orders.replies.push_back(
        {earlier->second.asked.request, false, 1, "its stop was asked for once more"});
  Stop fresh;
  fresh.asked = stop;
  fresh.until = turn.now.at + stop.shutdown;
  fresh.deadline = turn.now.at + stop.patience;
  fresh.next = turn.now.at;
  stops_[stop.guest] = std::move(fresh);
}

// Each start that waits goes on as soon as nothing stands in its way. What this host holds, and is
// off, is given up first: its start is one like any other, with claims that are read.
void Target::follow_starts(Turn& turn) {
  for (auto& [guest, request] : protects_) {
    const auto* own = entry(guest);
    const bool held = own != nullptr && holds(*own) && !own->parting && !works_.contains(guest);
    if (!request.start || !held || !hypervisor_ok_) continue;
    const auto* now = seen(guest);
    if (runs(now)) {
      const auto isolation = request.entry.isolation ? request.entry.isolation : own->isolation;
      if (own->manager == Manager::pacemaker && own->wanted == Wanted::running &&
          own->isolation == isolation)
        continue;
      auto* changed = change_entry(guest);
      changed->isolation = isolation;
      changed->manager = Manager::pacemaker;
      changed->wanted = Wanted::running;
    } else if (now == nullptr || now->running == Running::no) {
      stop_own(guest, Stop{}, turn);
    }
  }
  answer_held(turn);
}

void Target::answer_held(Turn& turn) {
  if (!cell_.settled()) return;
  for (auto at = protects_.begin(); at != protects_.end();) {
    const auto* own = entry(at->first);
    bool done = own != nullptr && holds(*own);
    if (at->second.start)
      done = done && !own->parting && own->manager == Manager::pacemaker &&
             own->wanted == Wanted::running && runs(seen(at->first));
    if (done) turn.orders.replies.push_back({at->second.ticket, true, 0, ""});
    at = done ? protects_.erase(at) : std::next(at);
  }
}

// Ends the wait for a start, if there is one.
void Target::answer_start(GuestId guest, const std::string& failure, Turn& turn) {
  const auto found = protects_.find(guest);
  if (found == protects_.end() || !found->second.start) return;
  turn.orders.replies.push_back({found->second.ticket, false, 1, failure});
  protects_.erase(found);
}

// What is on record of the guest, unless the request brings something newer.
void Target::claim_start(const Assignment& assignment, Turn& turn) {
  const auto& guests = board_.guests();
  const auto found = guests.find(assignment.guest);
  const auto* newest = found == guests.end() ? nullptr : found->second.newest();
  const auto request = protects_.find(assignment.guest);
  GuestEntry claim;
  if (newest != nullptr) claim = *newest->entry;
  claim.guest = assignment.guest;
  claim.reason.clear();
  if (request == protects_.end() || !request->second.start) {
    if (newest == nullptr) claim.wanted = Wanted::stopped;  // nobody is to start it
    claim.reason = "its start is no longer asked for";
    return write_claim(assignment, std::move(claim), turn);
  }
  const auto& asked = request->second.entry;
  if (!asked.xml.empty()) {
    const auto priority = claim.priority;
    claim = asked;
    claim.priority = priority;
  }
  if (claim.name.empty()) claim.name = asked.name;
  if (asked.isolation) claim.isolation = asked.isolation;
  claim.manager = Manager::pacemaker;
  claim.wanted = Wanted::running;
  if (claim.xml.empty()) claim.reason = "nothing is recorded of it, and its start names no XML";
  const std::string reason = claim.reason;
  write_claim(assignment, std::move(claim), turn);
  if (!reason.empty()) answer_start(assignment.guest, reason, turn);
}

std::string Target::why_not_started(GuestId guest) const {
  if (!loaded_) return "the state volume is not read yet; see `wardomctl status`";
  if (const auto* own = entry(guest); own != nullptr && own->parting)
    return own->name + " is still being ended here";
  if (!hypervisor_ok_) return "libvirt does not answer on this host";
  const auto& guests = board_.guests();
  const auto found = guests.find(guest);
  if (found != guests.end())
    for (const auto& claim : found->second.claims)
      if (claim.host != evidence_.self() && is_active(claim.entry->phase)) {
        const bool dead = board_.verdict_on(claim.host, claim.entry->holder) != nullptr;
        return claim.entry->name + (dead ? " was " : " is ") + host_text(claim.host) +
               (dead ? "'s, which is dead; what it wrote may still land"
                     : "'s, of which nothing proves that it does not run the guest");
      }
  return "the decider gave no assignment in time; see `wardomctl status`";
}

void Target::follow_stops(Turn& turn) {
  for (auto at = stops_.begin(); at != stops_.end();) {
    const bool done = stopped_here(at->first, at->second, turn);
    if (done) turn.orders.replies.push_back({at->second.asked.request, true, 0, ""});
    at = done ? stops_.erase(at) : std::next(at);
  }
}

// No QEMU of the guest is left here, none will appear, and the volume says so.
bool Target::stopped_here(GuestId guest, Stop& stop, Turn& turn) {
  if (const auto work = works_.find(guest); work != works_.end()) {
    const auto* listing = std::get_if<Listing>(&work->second.step);
    if (listing != nullptr && listing->claims) {  // nothing is claimed yet, and nothing will be
      works_.erase(work);
      return false;
    }
    const bool ends = std::holds_alternative<Ending>(work->second.step) ||
                      work->second.assignment.cause == Cause::protect;  // held first
    if (!ends) refuse(guest, work->second, "Pacemaker has it stopped", turn);
    return false;
  }
  const auto* own = entry(guest);
  if (own != nullptr && holds(*own)) {
    if (!own->parting || own->wanted != Wanted::stopped) stop_own(guest, stop, turn);
    return false;
  }
  if (!stop.gone) stop_other(stop, turn);
  return stop.gone && cell_.settled();
}

void Target::stop_own(GuestId guest, const Stop& stop, Turn& turn) {
  auto* own = change_entry(guest);
  own->parting = true;
  own->manager = Manager::pacemaker;
  own->wanted = Wanted::stopped;
  // Also where an isolation response was under way: it is begun anew, and nobody starts the guest.
  Parting parting{"stopped by Pacemaker", {}, Recording{cell_.revision()}};
  parting.stop = std::max(stop.until - turn.now.at, Duration::zero());
  partings_[guest] = std::move(parting);
  turn.note({Severity::notice, "target", evidence_.self(), guest, {}, "",
             own->name + " is stopped by Pacemaker"});
}

// Not this host's, and running or not: libvirt has the last word on that.
void Target::stop_other(Stop& stop, Turn& turn) {
  if (!hypervisor_ok_ || stop.kill || stop.shutdown || turn.now.at < stop.next) return;
  GuestEntry named;
  named.guest = stop.asked.guest;
  named.name = stop.asked.name;
  const bool wait = runs(seen(named.guest)) && turn.now.at < stop.until;
  if (wait && stop.pressed) {
    stop.next = std::min(stop.until, turn.now.at + kActPause);
    return;
  }
  order(wait ? Act::shutdown : Act::kill, named, turn);
  (wait ? stop.shutdown : stop.kill) = turn.orders.acts.back().ticket;
}

void Target::on_stop_done(const ActDone& done, Turn& turn) {
  const auto found = stops_.find(done.guest);
  if (found == stops_.end()) return;
  auto& stop = found->second;
  if (stop.shutdown == done.ticket) {
    stop.shutdown.reset();
    stop.pressed = done.ok;
    stop.next = turn.now.at + kActPause;
  } else if (stop.kill == done.ticket) {
    stop.kill.reset();
    stop.next = turn.now.at + kActPause;
    stop.gone = done.ok && done.running == Running::no;
  }
}

std::string Target::why_not_stopped(GuestId guest) const {
  if (!loaded_) return "the state volume is not read yet, so nothing can be given up on it";
  if (!hypervisor_ok_) return "libvirt does not answer on this host";
  if (const auto* own = entry(guest); own != nullptr && holds(*own))
    return own->name + " is not gone yet, or its end is not on the volume yet";
  return "libvirt has not said that it is gone";
}

// A process that the keeper lists is the one that libvirt named last, where it names none now.
std::optional<GuestHere> Target::here(const std::string& guest) const {
  for (const auto& [id, one] : seen_) {
    if (one.name != guest && to_uuid(id) != guest) continue;
    const auto listed = listed_.find(id);
    const bool known = one.process.pid > 0 || listed == listed_.end();
    return GuestHere{id, one.name, one.running, known ? one.process : listed->second.process};
  }
  return std::nullopt;
}

Instant Target::stop_deadline() const {
  auto next = Instant::never();
  if (!loaded_ || !hypervisor_ok_) return next;
  for (const auto& [guest, stop] : stops_) {
    const auto* own = entry(guest);
    const bool other = !works_.contains(guest) && (own == nullptr || !holds(*own));
    if (other && !stop.gone && !stop.kill && !stop.shutdown) next = std::min(next, stop.next);
  }
  return next;
}

}  // namespace wardom::core
