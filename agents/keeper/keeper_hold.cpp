// The keeper while the volume is held (libha/disk/hold.hpp).
#include <utility>

#include "agents/keeper/keeper.hpp"
#include "libha/wire/slot.hpp"

namespace wardom::keeper {

using disk::raw_now;

// A change writes all copies before it looks whether this host holds, and this host looks at them
// after its first heartbeat: one of the two is seen.
void Keeper::heed(const disk::VolumeNow& now, bool after_first_beat) {
  Running& r = *running_;
  const wire::Superblock known{r.store.volume().geometry(), r.state};
  if (now.said != known) return read_superblocks(after_first_beat);
  if (after_first_beat && !held()) r.may_serve = true;
  if (held()) try_new_volume();
}

// What stands in the slot has been written, whether or not that was acknowledged.
void Keeper::heed_own(const wire::Extent& extent) {
  if (!held() || extent.head.incarnation != running_->incarnation) return;
  const auto slot = wire::decode_slot(extent.payload, extent.head.level);
  if (slot && slot.value().held != 0) held_acknowledged(slot.value().held, raw_now());
}

// One copy says something new, or nothing: what do all of them say?
void Keeper::read_superblocks(bool after_first_beat) {
  Running& r = *running_;
  if (r.asking || r.reopen) return;
  auto work = [this, after_first_beat, io = r.store.volume().io(), name = options_.volume_path] {
    auto found = disk::read_superblocks(*io, name);
    completions_.post([this, after_first_beat, found = std::move(found)] {
      if (!running_) return;
      running_->asking = false;
      if (!found) return lost(found.error());
      running_->lost_since.reset();
      take(found.value(), after_first_beat);
    });
  };
  r.asking = reads_.submit(std::move(work));
}

// While it is held it may have been moved, and the old place be used for something else: whoever
// looks for it there has to look at the new one (join.cpp).
void Keeper::lost(const disk::VolumeError& error) {
  Running& r = *running_;
  if (r.state.use != VolumeUse::held || r.state.path.empty()) return;
  const auto now = raw_now();
  if (!r.lost_since) r.lost_since = now;
  if (now - *r.lost_since < kReopenAfter || r.reopen) return;
  log(Severity::warning, error.message + ", while it is held");
  r.reopen = true;
}

void Keeper::take(const disk::Superblocks& found, bool after_first_beat) {
  Running& r = *running_;
  if (found.geometry.volume_uuid != r.store.volume().geometry().volume_uuid || r.reopen) return;
  if (found.state.use == VolumeUse::moved) return take_moved(found.state);
  if (found.geometry != r.store.volume().geometry()) {
    log(Severity::notice, options_.volume_path + ": has other lease times now");
    r.reopen = true;
    return server_.drop_daemon("the volume is being opened anew");
  }
  if (found.state != r.state) take(found.state);
  if (after_first_beat && !held()) r.may_serve = true;
  if (held()) try_new_volume();
}

// Who has not served a daemon here has written nothing but its slot, and goes to the new volume as
// it came to this one. Whoever has, and does not hold for that change, was not waited for: it has
// no part where the others are, and here nobody looks at it. Its window ends.
void Keeper::take_moved(const VolumeState& moved) {
  Running& r = *running_;
  const bool held_for_it = held() && r.state.change == moved.change;
  if (held_for_it || !r.may_serve) {
    log(Severity::notice, options_.volume_path + ": was moved to " + moved.path);
    r.reopen = true;
    return server_.drop_daemon("the volume is being opened anew");
  }
  const auto why = options_.volume_path + ": was moved to " + moved.path +
                   ", and this host was not waited for: nothing is served here, its lease ends";
  moved_trouble_.present(why, raw_now());
  lease_.read_back(false, raw_now());
  server_.drop_daemon(why);
  r.state = moved;
}

void Keeper::take(VolumeState state) {
  Running& r = *running_;
  r.state = std::move(state);
  r.may_serve = r.reaches = false;
  options_.held_for.reset();
  if (r.state.use == VolumeUse::held && !r.state.path.empty())
    options_.held_for = {r.state.path, r.store.volume().geometry().volume_uuid};
  if (held()) {
    const auto why = options_.volume_path + ": " + held_text(r.state);
    log(Severity::notice, why);
    server_.drop_daemon(why);
  } else {
    log(Severity::notice, options_.volume_path + ": is in use again, as it was");
    lease_.wake(raw_now());
  }
  r.next_beat = raw_now();
}

// Before the volume is given up, every host has seen that it can use the new one.
void Keeper::try_new_volume() {
  Running& r = *running_;
  if (r.trying || r.reaches || r.state.path.empty() || r.state.use != VolumeUse::held) return;
  auto work = [this, state = r.state,
               wanted = disk::Wanted{options_.cluster, r.store.volume().geometry().volume_uuid}] {
    const auto opened =
        disk::VolumeFile::open(state.path, disk::Access::read_write, wanted);
    std::string trouble;
    if (!opened)
      trouble = opened.error().message;
    else if (opened.value().state().change != state.change)
      trouble = state.path + ": is not what the volume is being moved to";
    completions_.post([this, state, trouble] {
      if (!running_) return;
      Running& now = *running_;
      now.trying = false;
      if (now.state != state) return;
      now.reaches = trouble.empty();
      if (!now.reaches) return reach_trouble_.present(trouble, raw_now());
      reach_trouble_.gone(state.path + ": can be used");
      now.next_beat = raw_now();
    });
  };
  r.trying = tries_.submit(std::move(work));
}

// Nothing else of this host is on its way to the volume.
bool Keeper::holds() const {
  return held() && running_->state.use != VolumeUse::moved && !server_.session() &&
         own_writes_settled();
}

void Keeper::hold(Slot& slot) const {
  slot.held = running_->state.change;
  slot.reaches = running_->reaches;
  slot.w_ms = 0;
  slot.w_fingerprint = 0;
}

void Keeper::held_acknowledged(std::uint64_t change, Instant now) {
  if (running_ && held() && running_->state.use != VolumeUse::moved &&
      running_->state.change == change)
    lease_.rest(now);
}

}  // namespace wardom::keeper
