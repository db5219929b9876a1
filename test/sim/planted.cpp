// Deliberately wrong variants of the core, made by bending what it is told.
#include <algorithm>

#include "libha/core/guest_life.hpp"
#include "libha/wire/table.hpp"
#include "test/sim/run.hpp"

namespace wardom::sim {

const char* to_text(Planted planted) {
  switch (planted) {
    case Planted::none: return "none";
    case Planted::one_off_suffices: return "one off reading suffices";
    case Planted::unknown_is_off: return "an unknown reading counts as off";
    case Planted::slot_silence_ignored: return "slot silence not required";
    case Planted::distrust_ignored: return "distrust ignored";
    case Planted::claims_ignored: return "claims of others ignored";
    case Planted::late_writes: return "start before the claim stands";
    case Planted::refusal_unsettled: return "refusal before the start is settled";
    case Planted::window_ignored: return "fed beyond the window's end";
    case Planted::watchdog_slower: return "a watchdog slower than published";
    case Planted::yield_unsettled: return "a yield before the guest has ended";
    case Planted::late_writes_forgotten: return "late writes of a dead host's guests forgotten";
    case Planted::not_read_again: return "assignment without reading again after the verdict";
    case Planted::failures_forgotten: return "a failed write counts as ended";
    case Planted::heartbeat_waits: return "a heartbeat waits for a lost acknowledgement";
  }
  return "?";
}

// The domain is built up soundly; the bug comes with the faults.
bool Domain::bent() const { return clock.now() >= kFaultsFrom; }

port::PowerState Domain::bend(const Host& asker, Host& peer, port::PowerState state) {
  if (!bent()) return state;
  switch (options.planted) {
    case Planted::one_off_suffices:
      if (state == port::PowerState::off) peer.bmc.first_off = clock.now();
      if (peer.bmc.first_off && clock.now() - *peer.bmc.first_off < ms(2000))
        return port::PowerState::off;
      return state;
    case Planted::unknown_is_off:
      return state == port::PowerState::unknown ? port::PowerState::off : state;
    case Planted::distrust_ignored: {
      const bool heard = !peer.frozen && link(peer.index, asker.index, Link::mgmt);
      return state == port::PowerState::off && heard && peer.powered ? port::PowerState::on : state;
    }
    case Planted::none:
    case Planted::slot_silence_ignored:
    case Planted::claims_ignored:
    case Planted::late_writes:
    case Planted::refusal_unsettled:
    case Planted::window_ignored:
    case Planted::watchdog_slower:
    case Planted::yield_unsettled:
    case Planted::late_writes_forgotten:
    case Planted::not_read_again:
    case Planted::failures_forgotten:
    case Planted::heartbeat_waits: return state;
  }
  return state;
}

port::CellRead Domain::bend(const Host& reader, port::CellRead read) {
  if (!bent()) {
    if (options.planted == Planted::not_read_again) shown[{reader.index, read.cell}] = read;
    return read;
  }
  if (read.cell.index == reader.id.value || read.status != port::CellStatus::valid) return read;
  if (read.cell.region == Region::ballot) return read;
  const auto& peer = *hosts[read.cell.index - 1u];
  if (options.planted == Planted::slot_silence_ignored && read.cell.region == Region::slot) {
    // As it stood when the peer was heard last: no growth is seen while it is not.
    auto& shown_slot = shown[{reader.index, read.cell}];
    const bool heard = link(peer.index, reader.index, Link::mgmt);
    if (heard || shown_slot.status != port::CellStatus::valid) shown_slot = read;
    return shown_slot;
  }
  if (options.planted == Planted::not_read_again && read.cell.region == Region::table) {
    const auto& before = shown[{reader.index, read.cell}];
    if (before.status == port::CellStatus::valid) read.payload = before.payload;
  }
  if (options.planted == Planted::claims_ignored && read.cell.region == Region::table &&
      peer.powered) {
    auto table = wire::decode_table(read.payload).value();
    std::erase_if(table.guests,
                  [](const GuestEntry& entry) { return core::is_active(entry.phase); });
    read.payload = wire::encode_table(table, 1 << 20).value();
  }
  return read;
}

Options planted_options(Planted planted, std::uint64_t seed) {
  Options options = options_of(seed);
  options.hosts = 3;
  options.planted = planted;
  options.lease = planted >= Planted::window_ignored;
  switch (planted) {
    case Planted::none: break;
    case Planted::one_off_suffices:
      options.focus = {{FaultKind::hang, ms(0), ms(6000), false},
                       {FaultKind::bmc_glitch, ms(200), ms(0), false}};
      break;
    case Planted::unknown_is_off:
      options.focus = {{FaultKind::hang, ms(0), ms(6000), false},
                       {FaultKind::bmc_unreachable, ms(100), ms(6000), false}};
      break;
    case Planted::slot_silence_ignored:
      options.focus = {{FaultKind::cut_all, ms(0), ms(6000), false},
                       {FaultKind::bmc_lie, ms(1500), ms(0), false}};
      break;
    case Planted::distrust_ignored:
      options.focus = {{FaultKind::bmc_lie, ms(0), ms(0), false},
                       {FaultKind::hang, ms(5000), ms(6000), false}};
      break;
    case Planted::claims_ignored:
      options.focus = {{FaultKind::power_cut, ms(0), ms(1000), false}};
      break;
    case Planted::late_writes:
      options.focus = {{FaultKind::power_cut, ms(0), ms(1000), false}};
      break;
    case Planted::refusal_unsettled:
      options.focus = {{FaultKind::power_cut, ms(0), ms(1000), false},
                       {FaultKind::start_slow, ms(0), ms(3000), true},
                       {FaultKind::daemon_kill, ms(1600), ms(400), true},
                       {FaultKind::start_slow, ms(1600), ms(1), true}};
      break;
    case Planted::window_ignored:
    case Planted::watchdog_slower:
      options.focus = {{FaultKind::cut_all, ms(0), ms(25000), false},
                       {FaultKind::storage_stall, ms(0), ms(25000), false},
                       {FaultKind::bmc_unreachable, ms(0), ms(25000), false}};
      break;
    case Planted::yield_unsettled:
      options.isolation = IsolationResponse::kill;
      options.focus = {{FaultKind::cut_all, ms(0), ms(15000), false}};
      break;
    case Planted::not_read_again:
      options.focus = {{FaultKind::redefine, ms(0), ms(0), true},
                       {FaultKind::power_cut, ms(400), ms(1000), false}};
      break;
    case Planted::failures_forgotten:
      options.focus = {{FaultKind::io_errors, ms(0), ms(600), false},
                       {FaultKind::redefine, ms(0), ms(0), true}};
      break;
    case Planted::heartbeat_waits:
      // Shorter than an interval: one heartbeat at most loses its acknowledgement. A second one
      // within L_late takes the other extent too; then the sound slot stands still as well.
      options.acks_lost = 0;
      options.focus = {{FaultKind::acks_lost, ms(0), options.timing.disk_interval - ms(50), false},
                       {FaultKind::cut_all, ms(0), ms(6000), false},
                       {FaultKind::bmc_lie, ms(500), ms(0), false}};
      break;
    case Planted::late_writes_forgotten:
      options.focus = {{FaultKind::hang, ms(0), ms(20000), false},
                       {FaultKind::bmc_unreachable, ms(0), ms(20000), false}};
      break;
  }
  return options;
}

}  // namespace wardom::sim
