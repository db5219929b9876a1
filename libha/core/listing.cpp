// The target's part of the guest list that the keeper keeps (port/volume.hpp): what the ladder
// kills, and which starts are open. A guest is on it from before its start, or before its claim
// where it runs already, until nothing of it is this host's any more.
#include <algorithm>

#include "libha/core/guest_life.hpp"
#include "libha/core/target.hpp"

namespace wardom::core {

void Target::on_list(std::vector<ListedGuest> listed) {
  listed_.clear();
  for (auto& one : listed) listed_[one.guest] = std::move(one);
}

void Target::on_ladder(Instant now) {
  for (const auto& [guest, listed] : listed_) {
    const auto* own = entry(guest);
    const bool off = own != nullptr && own->wanted == Wanted::stopped && !own->parting;
    if (!off || listed.start) killed_[guest] = now;
  }
}

std::optional<Instant> Target::killed(GuestId guest) const {
  const auto found = killed_.find(guest);
  if (found == killed_.end() || works_.contains(guest)) return std::nullopt;
  return found->second;
}

bool Target::start_listed(GuestId guest) const {
  const auto found = listed_.find(guest);
  return found != listed_.end() && found->second.start.has_value();
}

// From here on the keeper may list it, whether or not its answer comes.
void Target::ask_to_list(GuestId guest, Work& work, bool claims, Turn& turn) {
  work.step = Listing{turn.ticket(), {}, claims};
  listed_[guest] = {guest, {}, me_.epoch};
  turn.orders.list_starts.push_back({*std::get<Listing>(work.step).asked, guest});
}

void Target::on_start_listed(const StartListed& answer, Turn& turn) {
  const auto found = works_.find(answer.guest);
  if (found == works_.end()) return;
  auto& work = found->second;
  auto* listing = std::get_if<Listing>(&work.step);
  if (listing == nullptr || listing->asked != answer.ticket) return;
  if (answer.listed)
    return listing->claims ? claim_listed(Assignment(work.assignment), turn) : start(work, turn);
  *listing = {std::nullopt, turn.now.at + kActPause, listing->claims};
  turn.note({Severity::warning, "target", evidence_.self(), answer.guest,
             work.assignment.recovery, "", "not listed, so not started: " + answer.error});
}

// A refusal to list may be long past: everything that spoke for the start is looked at anew.
void Target::list_again(GuestId guest, Work& work, Instant next, Turn& turn) {
  if (turn.now.at < next) return;
  if (std::get<Listing>(work.step).claims) {
    works_.erase(guest);  // begun anew while its assignment stands
    return;
  }
  work.step = Checking{turn.now.at};
  board_.want_all();
}

// The list follows the table as it stands on the volume: an outcome that others cannot read yet
// keeps the start open.
void Target::keep_list(Turn& turn) {
  if (!cell_.settled()) return;
  for (const auto& own : cell_.wanted().guests)
    if (holds(own) && !works_.contains(own.guest)) settle_listed(own.guest, turn);
  for (auto at = listed_.begin(); at != listed_.end();) {
    const auto* own = entry(at->first);
    const bool ours = own != nullptr && mine(*own) && is_active(own->phase);
    if (ours || works_.contains(at->first)) {
      ++at;
      continue;
    }
    turn.orders.unlist.push_back(at->first);
    at = listed_.erase(at);
  }
}

bool Target::runs_for_certain(GuestId guest) const {
  const auto* now = seen(guest);
  return now != nullptr && now->process.pid > 0 &&
         (now->running == Running::yes || now->running == Running::paused ||
          now->running == Running::io_error);
}

// A process that is known stays on the list until another one is: it does no harm there once it has
// ended. Where the host may stay up, a guest that is off, or runs by a known process, has no start
// under way; of any other that is not certain.
void Target::settle_listed(GuestId guest, Turn& turn) {
  const auto* now = seen(guest);
  const auto [found, fresh] = listed_.try_emplace(guest, ListedGuest{guest, {}, {}});
  const bool known = now != nullptr && now->process.pid > 0;
  const GuestProcess process = known ? now->process : found->second.process;
  const bool off = now != nullptr && now->running == Running::no;
  if (me_.stays_up && !off && !runs_for_certain(guest)) {
    if (fresh) found->second.start = me_.epoch;
    return;
  }
  if (!fresh && !found->second.start && found->second.process == process) return;
  found->second = {guest, process, {}};
  turn.orders.settle_starts.push_back({guest, process});
}

}  // namespace wardom::core
