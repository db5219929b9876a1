// The target's part that takes what is asked of this host about one guest: protect it, protect it
// no more. Each request is answered once its outcome stands on the volume, or its time is over.
#include "libha/core/guest_life.hpp"
#include "libha/core/host_text.hpp"
#include "libha/core/target.hpp"

namespace wardom::core {

void Target::on_protect(const Protect& protect, const LockView& lock, Turn& turn) {
  const auto refuse = [&](int exit_code, std::string why) {
    turn.orders.replies.push_back({protect.request, false, exit_code, std::move(why)});
  };
  if (!loaded_) return refuse(1, "the state volume is not read yet; see `wardomctl status`");
  if (condemned_) return refuse(3, "this host's incarnation was declared dead; reboot it");
  if (me_.stays_up && protect.entry.wanted == Wanted::running &&
      !runs_for_certain(protect.entry.guest))
    return refuse(1, protect.entry.name + " is being started, or its process is not known; where "
                         "watchdog.stay_up is on it is protected when it runs: try again");
  if (lock.decider == kNoHost)
    return refuse(1, "no host owns the domain lock now, so nobody decides; see `wardomctl status`");
  const GuestId guest = protect.entry.guest;
  const auto* own = entry(guest);
  if (!board_.in_directory(evidence_.self()))
    return refuse(1, "this host is a member, and may be given no guest before all hosts have the "
                     "same wardom.toml; `wardomctl status` on " + host_text(lock.decider) +
                         " says what that waits for");
  if (own != nullptr && mine(*own) && is_active(own->phase)) {
    auto* changed = change_entry(guest);
    changed->waived = protect.entry.waived;
    changed->priority = protect.entry.priority;
    changed->isolation = protect.entry.isolation;
    changed->manager = Manager::wardom;
    unprotects_.emplace_back(protect.request, cell_.revision());  // answered when it stands
    return;
  }
  const auto& guests = board_.guests();
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
  if (protects_.contains(guest))
    return refuse(1, protect.entry.name + " is being protected already; wait for the answer");
  auto& request = protects_[guest];
  request = {protect.request, protect.entry, turn.now.at + kRequestPatience, {}};
  ask(guest, request, turn);
}

void Target::ask(GuestId guest, Request& request, Turn& turn) {
  request.ask_again = turn.now.at + kAskAgain;
  turn.orders.asks.push_back({evidence_.self(), me_.incarnation, me_.epoch, guest,
                              request.entry.priority, request.start, kNoHost});
}

// The entry stays as a tombstone, so that no older record of the guest comes back to life.
void Target::on_unprotect(const Unprotect& unprotect, Turn& turn) {
  const auto* own = loaded_ ? entry(unprotect.guest) : nullptr;
  if (condemned_) {
    turn.orders.replies.push_back({unprotect.request, false, 3,
                                   "this host's incarnation was declared dead; reboot it"});
    return;
  }
  // Stopped by Pacemaker, whose resource may be gone: only its record is left.
  const bool left = own != nullptr && own->phase == GuestPhase::yielded && !own->xml.empty() &&
                    own->manager == Manager::pacemaker;
  const bool known = own != nullptr && (is_active(own->phase) || left);
  if (!known || works_.contains(unprotect.guest)) {
    turn.orders.replies.push_back({unprotect.request, false, 1,
                                   "not protected on this host; `wardomctl guest list` names its "
                                   "owner, run the command there"});
    return;
  }
  if (own->manager == Manager::pacemaker && !left) {
    turn.orders.replies.push_back({unprotect.request, false, 3,
                                   own->name + " is managed by Pacemaker: delete its resource; or "
                                               "`wardomctl guest protect` it first, and Wardom "
                                               "manages it"});
    return;
  }
  if (holds(*own) && own->hand_over) {
    turn.orders.replies.push_back({unprotect.request, false, 1,
                                   own->name + " is being handed over live to " +
                                       host_text(own->hand_over->other) +
                                       "; wait until it has arrived, or stays"});
    return;
  }
  auto* changed = change_entry(unprotect.guest);
  if (!left) order(Act::unmark, *changed, turn);
  const auto& guests = board_.guests();
  const auto found = guests.find(unprotect.guest);
  if (found != guests.end())
    changed->generation = std::max(changed->generation, found->second.top);
  changed->generation = changed->generation.next();
  yield(*changed, "no longer protected", turn);
  changed->wanted = Wanted::stopped;
  changed->xml.clear();
  unprotects_.emplace_back(unprotect.request, cell_.revision());
}

// No claim of it is under way, and this host does not hold it.
bool Target::asks(GuestId guest, const Request& request) const {
  const auto* own = entry(guest);
  return !works_.contains(guest) && !(request.start && own != nullptr && holds(*own));
}

void Target::expire_requests(Turn& turn) {
  std::erase_if(stops_, [&](const auto& one) {
    if (turn.now.at < one.second.deadline) return false;
    turn.orders.replies.push_back(
        {one.second.asked.request, false, 1, why_not_stopped(one.first)});
    return true;
  });
  for (auto at = protects_.begin(); at != protects_.end();) {
    if (turn.now.at < at->second.deadline) {
      if (asks(at->first, at->second) && turn.now.at >= at->second.ask_again)
        ask(at->first, at->second, turn);
      ++at;
      continue;
    }
    turn.orders.replies.push_back(
        {at->second.ticket, false, 1,
         at->second.start
             ? why_not_started(at->first)
             : "the decider gave no assignment within " +
                   std::to_string(whole_ms(kRequestPatience) / 1000) +
                   " s; is corosync's ring complete? see `wardomctl status`"});
    at = protects_.erase(at);
  }
}

void Target::drop_requests(Turn& turn) {
  const auto refuse = [&](Ticket request) {
    turn.orders.replies.push_back({request, false, 1,
                                   "this host's lease has ended; see `wardomctl status`"});
  };
  for (const auto& [guest, request] : protects_) refuse(request.ticket);
  for (const auto& [request, revision] : unprotects_) refuse(request);
  for (const auto& [guest, stop] : stops_) refuse(stop.asked.request);
  for (const auto& [guest, move] : moves_)
    if (move.asked) refuse(move.asked->request);
  protects_.clear();
  unprotects_.clear();
  stops_.clear();
  moves_.clear();
}

}  // namespace wardom::core
