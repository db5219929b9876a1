// The member of a host whose right to act has ended, or whose incarnation is over: what it refuses,
// and when it may give its guests up on the volume.
#include "libha/core/member.hpp"

namespace wardom::core {

void Member::take(const OwnHeartbeat& heartbeat, Turn& turn) {
  slot_sequence_ = heartbeat.sequence;
  quorum_.on_stated(heartbeat.votes_under, turn.now.at);
  evidence_.on_own_heartbeat(turn.now.at);
  if (released() && !writes_again_) writes_again_ = turn.now.at;
}

// L_late after the storage has answered again: one that stood still for all has kept what it had.
bool Member::may_yield(Instant now) const {
  return writes_again_ && now - *writes_again_ >= counted_by_clock(me_.late_writes) &&
         reads_ok(now);
}

bool Member::released() const {
  return !released_.is_none() && released_ == me_.incarnation;
}

// Others may have taken over what this host's table says, or may be about to.
std::string Member::why_no_change(Instant now) const {
  if (released())
    return "this host's lease has ended, and its guests are given up: try again when it goes on";
  if (target_.loaded() && now >= act_until())
    return "no heartbeat of this host was written for half of T_F; see `wardomctl status`";
  return {};
}

void Member::take(const Protect& protect, Turn& turn) {
  if (auto why = why_no_change(turn.now.at); !why.empty())
    return turn.orders.replies.push_back({protect.request, false, 1, std::move(why)});
  target_.on_protect(protect, lock(turn.now.at), turn);
}
void Member::take(const Unprotect& unprotect, Turn& turn) {
  if (auto why = why_no_change(turn.now.at); !why.empty())
    return turn.orders.replies.push_back({unprotect.request, false, 1, std::move(why)});
  target_.on_unprotect(unprotect, turn);
}

// These two wait until their time is over: Pacemaker takes a failure for the host's.
void Member::take(const StartGuest& start, Turn& turn) { target_.on_start_guest(start, turn); }
void Member::take(const StopGuest& stop, Turn& turn) { target_.on_stop_guest(stop, turn); }

void Member::take(const MigrateGuest& migrate, Turn& turn) {
  if (auto why = why_no_change(turn.now.at); !why.empty())
    return turn.orders.replies.push_back({migrate.request, false, 1, std::move(why)});
  target_.on_migrate_guest(migrate, turn);
}
void Member::take(const HookAllowed& allowed, Turn& turn) { target_.on_hook(allowed, turn); }

StartAnswer Member::may_start(GuestId guest, const std::string& name, HookOp op,
                              Instant now) const {
  auto answer = target_.may_start(guest, name, op, now);
  if (released() && target_.knows(guest))
    return {false, true, name + ": this host's lease has ended; nothing of its table starts here"};
  if (!answer.allowed) return answer;
  // Of a guest that the ladder has killed, writes may be under way, on this host as on any other.
  const auto late = counted_by_clock(me_.late_writes);
  if (const auto killed = target_.killed(guest); killed && now - *killed < late)
    return {false, true,
            name + ": wardom-keeper may have killed it, and what it wrote may land until L_late "
                   "has passed; try again in " +
                std::to_string(whole_ms(late - (now - *killed)) / 1000 + 1) + " s"};
  if (!answer.known || now < act_until()) return answer;
  return {false, true,
          "no heartbeat of this host was written for half of T_F: no protected guest is started "
          "here; see `wardomctl status`"};
}

}  // namespace wardom::core
