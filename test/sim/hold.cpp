// The volume is held and moved (libha/disk/hold.hpp): the operator's tool, and each keeper's part.
//
// The store stays one object: at the commit the new volume holds what the old one did. From then on
// what a host still writes to the old one is lost.
#include <algorithm>

#include "libha/wire/slot.hpp"
#include "test/sim/world.hpp"

namespace wardom::sim {
namespace {

constexpr Duration kToolLooks = ms(200);
constexpr Duration kToolWaits = ms(20000);

}  // namespace

// ---- the tool

// Each time under a new number: whoever held for an earlier one does not hold for this.
void Domain::hold_volume(Duration dies_after) {
  if (use.use == VolumeUse::held || volumes_settling) return;
  use = {VolumeUse::held, ++changes, "/new", {}, {}};
  slots_at_first.clear();
  trace("the volume is held, change " + std::to_string(use.change));
  ++marks["volume held"];
  const auto dies = dies_after == Duration{0} ? Time::max() : clock.now() + dies_after;
  hold_on(use.change, clock.now() + kToolWaits, dies);
}

void Domain::hold_on(std::uint64_t change, Time until, Time dies) {
  clock.in(kToolLooks, [this, change, until, dies] {
    if (use.use != VolumeUse::held || use.change != change) return;  // somebody else's turn
    if (clock.now() >= dies) {
      ++marks["tool dies while the volume is held"];
      return clock.in(ms(3000), [this, change] { abandon_hold(change); });
    }
    const bool waits = options.planted != Planted::moved_unheld;
    if (all_hold(change) || !waits)
      return clock.in(disk.between(ms(5), ms(2000)), [this, change, waits] {
        if (use.use != VolumeUse::held || use.change != change) return;
        if (waits && !all_hold(change)) return abandon_hold(change);
        commit_move(change);
      });
    if (clock.now() >= until) return abandon_hold(change);
    hold_on(change, until, dies);
  });
}

// Slots alone are looked at: of each that is in use, and not of a boot that is proved dead.
bool Domain::all_hold(std::uint64_t change) {
  return std::all_of(hosts.begin(), hosts.end(), [&](const auto& host) {
    const auto* newest = store.cell({Region::slot, host->id.value}).newest();
    if (newest == nullptr) return true;
    // A released host lives on under a verdict until it begins anew.
    const auto [known, fresh] = slots_at_first.try_emplace(host->id, newest->sequence);
    if (verdict_seen(host->id, newest->incarnation) && known->second == newest->sequence)
      return true;
    const auto slot = wire::decode_slot(newest->payload, newest->level).value();
    return slot.state == SlotState::left || slot.held == change;
  });
}

void Domain::commit_move(std::uint64_t change) {
  trace("the volume is moved");
  ++marks["volume moved"];
  ++volumes;
  moved_by = change;
  volumes_settling = true;  // the new one is held until the tool has seen the old one say `moved`
  clock.in(disk.between(ms(1), ms(1500)), [this] {
    use = {};
    volumes_settling = false;
  });
}

void Domain::abandon_hold(std::uint64_t change) {
  if (use.use != VolumeUse::held || use.change != change || volumes_settling) return;
  trace("the move is abandoned");
  ++marks["move of the volume abandoned"];
  use = {};
}

// ---- the keeper

// What the superblocks of the volume say that this host has open.
VolumeState Domain::use_as_seen(const Host& host) const {
  if (host.on_volume < volumes) return {VolumeUse::moved, moved_by, "/new", {}, {}};
  return use;
}

// Whether the volume, as it stands, may be joined; what stands between that and the first heartbeat
// may take long.
bool Domain::may_join(Host& host) {
  const bool follows = host.on_volume < volumes;
  const bool leased = host.ladder && host.ladder->has_lease() && !host.ladder->rests();
  if (use.use == VolumeUse::held && (!host.joined || (follows && leased))) return false;
  host.on_volume = volumes;
  host.hold = use;
  host.may_serve = false;
  return true;
}

void Domain::look_at_use(Host& host, bool after_first_beat) {
  const auto seen = use_as_seen(host);
  if (seen.use == VolumeUse::moved) {
    // Who has not served a daemon yet has written nothing but its slot.
    if (host.may_serve && (host.hold.use != VolumeUse::held || host.hold.change != seen.change))
      return fail(129, "HeldByAll: the volume was moved, and host " +
                           std::to_string(host.id.value) + " did not hold for that");
    if (host.flying > 0) return;
    ++marks["host follows the volume"];
    kill_keeper(host);
    return start_keeper(host);
  }
  if (seen != host.hold) {
    host.hold = seen;
    host.may_serve = false;
    if (seen.use == VolumeUse::held)
      drop_daemon(host);
    else
      host.ladder->wake({local(host, clock.now())});
  }
  if (seen.use == VolumeUse::held) {
    const auto* newest = store.cell({Region::slot, host.id.value}).newest();
    if (newest != nullptr && newest->incarnation == host.incarnation) {
      const auto slot = wire::decode_slot(newest->payload, newest->level).value();
      if (slot.held != 0) held_acknowledged(host, slot.held);
    }
    if (options.planted == Planted::rests_unsaid && bent())
      host.ladder->rest({local(host, clock.now())});
    return;
  }
  if (!after_first_beat || host.may_serve) return;
  host.may_serve = true;
  greet(host);
}

void Domain::drop_daemon(Host& host) {
  // What it has under way goes on, and is answered to nobody.
  const auto nobody = [](bool, Sequence) {};
  for (auto& [region, care] : host.cares) {
    if (region == Region::slot) continue;
    if (care.done) std::exchange(care.done, nobody)(false, {});
    for (auto& job : care.waiting) std::exchange(job.done, nobody)(false, {});
  }
  if (host.volume_told) to_daemon(host, us(100), port::VolumeLost{"the volume is held"});
  host.volume_told = false;
}

bool Domain::holds(const Host& host) const {
  return host.hold.use == VolumeUse::held && !host.volume_told && own_writes_settled(host) &&
         options.planted != Planted::rests_unsaid;
}

void Domain::held_acknowledged(Host& host, std::uint64_t change) {
  if (host.hold.use != VolumeUse::held || host.hold.change != change) return;
  const bool before = host.ladder->rests();
  if (host.ladder->rest({local(host, clock.now())}) && !before) ++marks["lease rests"];
}

}  // namespace wardom::sim
