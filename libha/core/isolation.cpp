// The target's part that ends guests on a host that stands apart (apart.hpp), each as its isolation
// response says, and yields them: then the others start them.
//
// First the own table says that the guest is parting; nothing is done before that stands on the
// volume, and then it goes on to the yield, whatever becomes of the links or of this daemon. Else a
// guest that was asked to shut down, and does so a minute later, would be taken for one that its
// administrator wanted off. The yield is written on libvirt's word that no QEMU of the guest is
// left, which is asked for by a kill, also where the guest is seen to be off.
#include <algorithm>

#include "libha/core/guest_life.hpp"
#include "libha/core/target.hpp"

namespace wardom::core {
namespace {

std::string tenths_text(Duration duration) {
  const auto ms = whole_ms(duration);
  return std::to_string(ms / 1000) + "." + std::to_string(ms % 1000 / 100) + " s";
}

}  // namespace

const char* to_text(IsolationResponse response) {
  switch (response) {
    case IsolationResponse::leave: return "leave";
    case IsolationResponse::shutdown: return "shutdown";
    case IsolationResponse::kill: return "kill";
  }
  return "?";
}

std::optional<IsolationResponse> isolation_response(std::string_view word) {
  for (auto response :
       {IsolationResponse::leave, IsolationResponse::shutdown, IsolationResponse::kill})
    if (word == to_text(response)) return response;
  return std::nullopt;
}

void Target::respond(std::optional<Duration> isolated, Turn& turn) {
  if (isolated)
    begin_partings(*isolated, turn);
  else
    isolation_ = {};
  follow_table(turn);
  for (auto at = partings_.begin(); at != partings_.end();) {
    auto current = at++;  // finish_parting() removes it
    advance(current->first, current->second, isolated.has_value(), turn);
  }
}

// A guest that is not wanted running has nothing to lose; one whose start is under way is looked at
// again once that is settled.
void Target::begin_partings(Duration isolated, Turn& turn) {
  std::vector<GuestId> parting;
  for (const auto& own : cell_.wanted().guests)
    if (holds(own) && !own.parting && own.wanted == Wanted::running &&
        response_of(own) != IsolationResponse::leave && !works_.contains(own.guest))
      parting.push_back(own.guest);
  if (parting.empty()) return;
  if (isolation_.is_zero()) isolation_ = RecoveryId{turn.random.bits()};
  for (const auto& guest : parting) {
    auto* own = change_entry(guest);
    own->parting = true;
    const std::string why = "isolated for " + tenths_text(isolated);
    partings_[guest] = {why, isolation_, Recording{cell_.revision()}, false};
    turn.note({Severity::warning, "target", evidence_.self(), guest, isolation_, "parting",
               own->name + ": " + why + ", isolation response " + to_text(response_of(*own))});
  }
}

// What the table says is parting, be it from an earlier daemon, and nothing else.
void Target::follow_table(Turn& turn) {
  std::erase_if(partings_, [&](const auto& one) {
    const auto* own = entry(one.first);
    return own == nullptr || !holds(*own) || !own->parting;
  });
  for (const auto& own : cell_.wanted().guests) {
    if (!own.parting || !holds(own) || partings_.contains(own.guest)) continue;
    Parting parting{"stopped by Pacemaker", {}, Recording{cell_.acknowledged()}, true};
    if (own.wanted == Wanted::stopped) {
      parting.stop = evidence_.timing().shutdown_patience;
    } else {
      if (isolation_.is_zero()) isolation_ = RecoveryId{turn.random.bits()};
      parting.why = "isolated before wardomd was restarted";
      parting.recovery = isolation_;
    }
    partings_[own.guest] = std::move(parting);
  }
}

void Target::advance(GuestId guest, Parting& parting, bool isolated, Turn& turn) {
  if (const auto* recording = std::get_if<Recording>(&parting.step)) {
    if (cell_.acknowledged() < recording->revision) return;
    act_on_response(guest, parting, isolated, turn);
  }
  if (auto* step = std::get_if<ShuttingDown>(&parting.step)) shut_down(guest, parting, *step, turn);
  if (auto* step = std::get_if<Killing>(&parting.step)) kill(guest, *step, turn);
}

// The last moment at which nothing has been done to the guest yet.
void Target::act_on_response(GuestId guest, Parting& parting, bool isolated, Turn& turn) {
  if (parting.stop) {
    parting.step = ShuttingDown{std::nullopt, false, turn.now.at, turn.now.at + *parting.stop};
    return;
  }
  const auto response = response_of(*entry(guest));
  const bool off = !parting.resumed && (!isolated || response == IsolationResponse::leave);
  if (off) {
    change_entry(guest)->parting = false;
    turn.note({Severity::notice, "target", evidence_.self(), guest, parting.recovery, "stays",
               entry(guest)->name + " stays after all: its isolation response had not begun"});
    parting.step = Recording{cell_.revision()};  // removed once the table is followed again
  } else if (response == IsolationResponse::kill) {
    parting.step = Killing{"killed by its isolation response", std::nullopt, turn.now.at};
  } else {
    parting.step = ShuttingDown{std::nullopt, false, turn.now.at,
                                turn.now.at + evidence_.timing().shutdown_patience};
  }
}

void Target::shut_down(GuestId guest, Parting& parting, ShuttingDown& step, Turn& turn) {
  const auto* now = seen(guest);
  const bool gone = hypervisor_ok_ && (now == nullptr || now->running == Running::no);
  const auto patience =
      wardom::to_text(parting.stop.value_or(evidence_.timing().shutdown_patience));
  const std::string by = parting.stop ? "" : " by its isolation response";
  if (gone) {
    parting.step = Killing{"shut down" + by, std::nullopt, turn.now.at};
  } else if (turn.now.at >= step.until) {
    turn.note({Severity::warning, "target", evidence_.self(), guest, parting.recovery,
               parting.stop ? "" : "parting",
               entry(guest)->name + " did not shut down within " + patience + ": it is killed"});
    parting.step = Killing{"asked to shut down" + by + ", killed after " + patience, std::nullopt,
                           turn.now.at};
  } else if (hypervisor_ok_ && !step.pressed && !step.asked && turn.now.at >= step.next) {
    order(Act::shutdown, *entry(guest), turn);
    step.asked = turn.orders.acts.back().ticket;
  }
}

void Target::kill(GuestId guest, Killing& step, Turn& turn) {
  if (!hypervisor_ok_ || step.asked || turn.now.at < step.next) return;
  order(Act::kill, *entry(guest), turn);
  step.asked = turn.orders.acts.back().ticket;
}

void Target::on_parting_done(const ActDone& done, Turn& turn) {
  const auto found = partings_.find(done.guest);
  if (found == partings_.end()) return;
  if (auto* step = std::get_if<ShuttingDown>(&found->second.step);
      step != nullptr && step->asked == done.ticket) {
    step->asked.reset();
    step->pressed = done.ok;
    step->next = turn.now.at + kActPause;
  } else if (auto* killing = std::get_if<Killing>(&found->second.step);
             killing != nullptr && killing->asked == done.ticket) {
    killing->asked.reset();
    killing->next = turn.now.at + kActPause;
    if (done.ok && done.running == Running::no)
      finish_parting(done.guest, found->second, std::string(killing->how), turn);
  }
}

void Target::finish_parting(GuestId guest, const Parting& parting, const std::string& how,
                            Turn& turn) {
  auto* own = change_entry(guest);
  if (own == nullptr || !holds(*own)) return;
  yield(*own, parting.why + ": " + how + ", then yielded", turn);
  own->recovery = parting.recovery;
  turn.note({parting.stop ? Severity::notice : Severity::warning, "target", evidence_.self(), guest,
             own->recovery, parting.stop ? "" : "yielded", own->name + ": " + own->reason});
  if (const auto stop = stops_.find(guest); stop != stops_.end()) stop->second.gone = true;
  partings_.erase(guest);
}

// libvirt's answers and the table's are inputs.
Instant Target::parting_deadline() const {
  auto next = Instant::never();
  for (const auto& [guest, parting] : partings_) {
    if (const auto* step = std::get_if<ShuttingDown>(&parting.step)) {
      next = std::min(next, step->until);
      if (hypervisor_ok_ && !step->pressed && !step->asked) next = std::min(next, step->next);
    }
    if (const auto* step = std::get_if<Killing>(&parting.step))
      if (hypervisor_ok_ && !step->asked) next = std::min(next, step->next);
  }
  return next;
}

}  // namespace wardom::core
