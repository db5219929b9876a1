// Deliberately wrong variants of the core, made by bending what it is told.
#include <algorithm>

#include "libha/core/guest_life.hpp"
#include "libha/wire/beat.hpp"
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
    case Planted::window_from_ack: return "the window counts from the acknowledgement";
    case Planted::timeouts_forgotten: return "a write that was given up counts as ended";
    case Planted::keeper_forgets: return "a restarted keeper forgets what was in flight";
    case Planted::one_pair_for_two: return "one ballot pair for two locks";
    case Planted::no_latch: return "no latch";
    case Planted::others_unseen: return "ballots of others ignored";
    case Planted::acts_until_released: return "acts until RELEASED is acknowledged";
    case Planted::takeover_unproved: return "takeover without proof";
    case Planted::silence_to_now: return "silence counted up to now, not to a read's issue";
    case Planted::d_too_short: return "D without W";
    case Planted::left_expires: return "`left` read as expiry";
    case Planted::lease_with_suspend: return "a lease where suspend is not excluded";
    case Planted::decides_blind: return "decides without reading";
    case Planted::own_proposal_zeroed: return "phase 1 zeroes the own bal and inp";
    case Planted::proposals_unread: return "the proposals of others not taken up";
    case Planted::boot_waits_for_nothing: return "a boot does not wait for late writes";
    case Planted::acts_too_late: return "decides later than T_F/2 after its heartbeat";
    case Planted::granted_untimed: return "a grant without timing the asker anew";
    case Planted::heard_asked: return "only heard members are asked for grants";
    case Planted::extended_from_answer: return "a window counted from the grants' arrival";
    case Planted::vote_unwaited: return "the quorum device's vote cast beside others";
    case Planted::vote_by_old_read: return "the quorum device's vote cast by an old read";
    case Planted::released_early: return "released with guests still running";
    case Planted::released_unrecorded: return "released is said before it is recorded";
    case Planted::unyielded: return "a new incarnation before its guests are yielded";
    case Planted::guests_to_strangers: return "guests for a host that not all hosts' files name";
    case Planted::lies_untold: return "a BMC's lie is known only to the daemon that saw it";
    case Planted::moved_unheld: return "the volume is moved though not every host holds";
    case Planted::rests_unsaid: return "a lease rests before the slot says that there is none";
    case Planted::stop_unrecorded: return "a stop is answered before the yield stands";
    case Planted::start_unwaited: return "Pacemaker's start does not wait for late writes";
    case Planted::sent_untrue: return "a guest is yielded as sent whatever libvirt said";
    case Planted::arrival_unyielded: return "what has arrived is run once its source is dead";
  }
  return "?";
}

// The domain is built up soundly; the bug comes with the faults.
bool Domain::bent() const { return clock.now() >= kFaultsFrom; }

port::PowerState Domain::bend(const Host& asker, Host& peer, port::PowerState state) {
  if (!bent()) return state;
  if (options.planted == Planted::one_off_suffices) {
    if (state == port::PowerState::off) peer.bmc.first_off = clock.now();
    if (peer.bmc.first_off && clock.now() - *peer.bmc.first_off < ms(2000))
      return port::PowerState::off;
  }
  if (options.planted == Planted::unknown_is_off && state == port::PowerState::unknown)
    return port::PowerState::off;
  if (options.planted == Planted::distrust_ignored && state == port::PowerState::off) {
    const bool heard = !peer.frozen && link(peer.index, asker.index, Link::mgmt);
    if (heard && peer.powered) return port::PowerState::on;
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
    auto table = wire::decode_table(read.payload, read.level).value();
    std::erase_if(table.guests,
                  [](const GuestEntry& entry) { return core::is_active(entry.phase); });
    read.payload = wire::encode_table(table, 1 << 20, read.level).value();
  }
  return read;
}

// A beat on its way, as it arrives instead; empty: as it is.
std::vector<std::uint8_t> Domain::bend(Host& from, Host& to, std::span<const std::uint8_t> bytes) {
  if (!bent() || (options.planted != Planted::granted_untimed &&
                  options.planted != Planted::heard_asked))
    return {};
  for (const Link link : {Link::mgmt, Link::storage}) {
    auto beat = wire::decode_beat(beat_key(), bytes, to.id, link);
    if (!beat) continue;
    auto& b = beat.value();
    if (b.word.granted != 0) to.grants[from.index] = b.word.granted;
    if (options.planted == Planted::heard_asked) return {};
    if (b.request != 0) from.request = {b.incarnation, b.request, b.request_under};
    b.request = 0;
    if (to.request.number != 0) {
      b.word.granted_to = to.request.incarnation;
      b.word.granted = to.request.number;
      b.word.granted_under = to.request.under;
    }
    return wire::encode_beat(beat_key(), b);
  }
  return {};
}

void Domain::extend_if_heard(Host& host) {
  const Instant now{local(host, clock.now())};
  if (!host.ladder->asks_from() || now < *host.ladder->asks_from()) return;
  auto all = static_cast<std::uint64_t>(now.since_boot.count());
  for (const auto& other : hosts)
    if (other->index != host.index && link(other->index, host.index, Link::mgmt) &&
        other->powered && !other->frozen)
      all = std::min(all, host.grants[other->index]);
  host.ladder->extend_by_grants(Instant{Duration{static_cast<std::int64_t>(all)}}, now);
}

namespace {

// What is taken out of the core: the barrier itself, and those behind it which would hide that it
// is gone (README.md). No barrier first: the bug is planted outside of the core.
struct Removed {
  std::optional<Barrier> barrier;
  std::vector<Barrier> behind;
};

Removed removed_for(Planted planted) {
  switch (planted) {
    case Planted::own_proposal_zeroed: return {Barrier::own_proposal_kept, {}};
    case Planted::proposals_unread: return {Barrier::others_proposals, {}};
    case Planted::others_unseen: return {Barrier::others_looked_at, {}};
    case Planted::acts_until_released: return {Barrier::stops_before_released, {}};
    case Planted::takeover_unproved: return {Barrier::takeover_proof, {}};
    case Planted::silence_to_now:
      return {Barrier::last_read_late, {Barrier::observer_fit, Barrier::reads_in_time}};
    case Planted::d_too_short: return {Barrier::d_long_enough, {}};
    case Planted::acts_too_late: return {Barrier::acts_in_time, {Barrier::acts_in_time_again}};
    case Planted::decides_blind: return {Barrier::reads_in_time, {}};
    case Planted::left_expires:
      return {Barrier::left_is_no_expiry, {Barrier::leaves_without_guests}};
    case Planted::no_latch:
      return {std::nullopt,
              {Barrier::last_read_late, Barrier::observer_fit, Barrier::reads_in_time}};
    case Planted::vote_unwaited: return {Barrier::votes_waited_for, {}};
    case Planted::lies_untold: return {Barrier::lies_told, {}};
    case Planted::guests_to_strangers: return {Barrier::guests_in_directory, {}};
    case Planted::stop_unrecorded: return {Barrier::stop_stands, {}};
    case Planted::start_unwaited: return {Barrier::asked_start_waits, {}};
    case Planted::sent_untrue: return {Barrier::sent_is_gone, {}};
    case Planted::arrival_unyielded: return {Barrier::arrival_yielded, {}};
    case Planted::vote_by_old_read: return {Barrier::vote_reads_fresh, {Barrier::reads_in_time}};
    default: return {};
  }
}

}  // namespace

void leave_out_the_bug(Options& options) {
  options.without = removed_for(options.planted).behind;
  options.planted = Planted::none;
}

Options planted_options(Planted planted, std::uint64_t seed) {
  Options options = options_of(seed);
  options.hosts = 3;
  options.planted = planted;
  options.lease = planted >= Planted::window_ignored;
  options.stays_up = planted >= Planted::released_early;
  const auto removed = removed_for(planted);
  options.without = removed.behind;
  if (removed.barrier) options.without.push_back(*removed.barrier);
  options.fenced.clear();
  options.ride_out = options.grants_always =
      planted >= Planted::granted_untimed && planted < Planted::released_early;
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
    case Planted::granted_untimed:
      // It asks and is granted for so long that its old silence is proof once it is not heard.
      options.focus = {{FaultKind::storage_stall, ms(0), ms(25000), false},
                       {FaultKind::bmc_unreachable, ms(0), ms(25000), false},
                       {FaultKind::cut_all, ms(9500), ms(15000), false}};
      break;
    case Planted::window_from_ack:
      // One heartbeat lands, and its acknowledgement comes as late as the window takes it.
      options.focus = {{FaultKind::answers_held, ms(0), ms(2600), false},
                       {FaultKind::storage_stall, ms(700), ms(25000), false},
                       {FaultKind::cut_all, ms(0), ms(25000), false},
                       {FaultKind::bmc_unreachable, ms(0), ms(25000), false}};
      break;
    case Planted::timeouts_forgotten:
      options.focus = {{FaultKind::redefine, ms(0), ms(0), true},
                       {FaultKind::storage_stall, ms(0), ms(2800), false},
                       {FaultKind::redefine, ms(1500), ms(0), true},
                       {FaultKind::redefine, ms(2500), ms(0), true}};
      break;
    case Planted::keeper_forgets:
      options.focus = {{FaultKind::storage_stall, ms(0), ms(25000), false, 0},
                       {FaultKind::storage_stall, ms(2500), ms(25000), false, 2},
                       {FaultKind::io_errors, ms(3500), ms(1200), false, 1},
                       {FaultKind::keeper_kill, ms(5100), ms(40), false, 1}};
      break;
    case Planted::left_expires:
      options.focus = {{FaultKind::cut_all, ms(0), ms(25000), false},
                       {FaultKind::bmc_unreachable, ms(0), ms(25000), false},
                       {FaultKind::leave, ms(500), ms(0), false}};
      break;
    case Planted::lease_with_suspend:
      options.may_suspend = true;
      options.focus = {{FaultKind::suspend, ms(0), ms(25000), false},
                       {FaultKind::bmc_unreachable, ms(0), ms(25000), false}};
      break;
    // The owner, host 1, cannot act and gives the lock up about 4 s later; host 2 is first to take
    // it. It proposes itself, decides so, and dies before DECIDED reaches the volume.
    case Planted::own_proposal_zeroed:
      options.lease = false;
      options.focus = {{FaultKind::storage_stall, ms(0), ms(30000), false, 0},
                       {FaultKind::storage_slow, ms(2500), ms(4000), false, 1},
                       {FaultKind::storage_stall, ms(2500), ms(30000), false, 2},
                       {FaultKind::io_errors, ms(4600), ms(900), false, 1},
                       {FaultKind::daemon_kill, ms(5300), ms(400), false, 1}};
      break;
    // The same, and its DECIDED is held up while host 3 ballots.
    case Planted::proposals_unread:
      options.lease = false;
      options.focus = {{FaultKind::storage_stall, ms(0), ms(8000), false, 0},
                       {FaultKind::storage_slow, ms(2500), ms(2000), false, 1},
                       {FaultKind::storage_stall, ms(4200), ms(2500), false, 1}};
      break;
    // The same, and both others ballot at once, since the storage is slow for them.
    case Planted::others_unseen:
    case Planted::one_pair_for_two:
      options.lease = false;
      options.focus = {{FaultKind::storage_stall, ms(0), ms(30000), false, 0},
                       {FaultKind::storage_slow, ms(2500), ms(9000), false, 1},
                       {FaultKind::storage_slow, ms(2500), ms(9000), false, 2}};
      break;
    case Planted::boot_waits_for_nothing:
      options.focus = {{FaultKind::redefine, ms(0), ms(0), true},
                       {FaultKind::redefine, ms(200), ms(0), true},
                       {FaultKind::storage_stall, ms(0), ms(2000), false},
                       {FaultKind::reset, ms(400), ms(300), false}};
      break;
    case Planted::decides_blind:
      options.focus = {{FaultKind::power_cut, ms(0), ms(1000), false},
                       {FaultKind::bmc_unreachable, ms(0), ms(8000), false},
                       {FaultKind::reads_fail, ms(2500), ms(12000), true}};
      break;
    case Planted::acts_until_released:
      options.focus = {{FaultKind::storage_stall, ms(0), ms(5000), false}};
      break;
    case Planted::takeover_unproved:
      options.focus = {{FaultKind::cut_all, ms(0), ms(6000), false}};
      break;
    case Planted::silence_to_now:
    case Planted::no_latch:
      // Just before the window's end, or just after it and before the watchdog bites, the victim
      // can write again; those who judge it have read nothing since.
      options.focus = {{FaultKind::cut_all, ms(0), ms(25000), false, 2},
                       {FaultKind::storage_stall, ms(0),
                        planted == Planted::no_latch ? ms(6800) : ms(3500), false, 2},
                       {FaultKind::bmc_unreachable, ms(0), ms(25000), false, 2},
                       {FaultKind::reads_fail, ms(2500), ms(20000), false, 0},
                       {FaultKind::reads_fail, ms(2500), ms(20000), false, 1}};
      break;
    case Planted::d_too_short:
    case Planted::heard_asked:
      options.focus = {{FaultKind::cut_all, ms(0), ms(25000), false},
                       {FaultKind::storage_stall, ms(0), ms(25000), false},
                       {FaultKind::bmc_unreachable, ms(0), ms(25000), false}};
      break;
    case Planted::acts_too_late:
      options.focus = {{FaultKind::acks_lost, ms(0), ms(9000), true},
                       {FaultKind::power_cut, ms(2000), ms(1000), false}};
      break;
    case Planted::extended_from_answer:
      // Its wardomd takes the last grants, which wait for it, long after they were given.
      options.focus = {{FaultKind::storage_stall, ms(0), ms(25000), false},
                       {FaultKind::bmc_unreachable, ms(0), ms(25000), false},
                       {FaultKind::daemon_hang, ms(3000), ms(2900), false},
                       {FaultKind::cut_all, ms(3400), ms(25000), false}};
      break;
    case Planted::released_early:
    case Planted::released_unrecorded:
    case Planted::unyielded:
      // Every heartbeat is lost for longer than the ladder and L_late; the links stand.
      options.focus = {{FaultKind::storage_stall, ms(0), ms(17000), false}};
      break;
    case Planted::lies_untold:
      // Every daemon that saw the first lie is gone when the second one begins with the silence.
      options.lease = options.stays_up = false;
      options.focus = {{FaultKind::bmc_lies_for, ms(0), ms(5000), false},
                       {FaultKind::daemon_kill, ms(6000), ms(1600), true},
                       {FaultKind::bmc_lies_for, ms(13000), ms(9000), false},
                       {FaultKind::hang, ms(13000), ms(6000), false}};
      break;
    case Planted::guests_to_strangers:
      // Host 4 is added, a host dies while another has the old file, and the new one is taken back.
      options.hosts = 4;
      options.stays_up = false;
      options.file.emplace().members.reset(3);
      options.next_file.emplace();
      options.taken_back = true;
      options.focus = {{FaultKind::power_cut, ms(9000), ms(1000), false, 1}};
      break;
    case Planted::moved_unheld:
      options.focus = {{FaultKind::volume_move, ms(0), ms(0), false, 0}};
      break;
    case Planted::rests_unsaid:
      // Held for nobody's sake, and cut off: its silence is taken for the end of its lease.
      options.focus = {{FaultKind::volume_move, ms(0), ms(2500), false, 0},
                       {FaultKind::cut_all, ms(2300), ms(25000), false, 2},
                       {FaultKind::storage_stall, ms(2300), ms(25000), false, 2},
                       {FaultKind::bmc_unreachable, ms(0), ms(25000), false, 2}};
      break;
    case Planted::stop_unrecorded:
      options.pacemaker = true;
      options.focus = {{FaultKind::lossy, ms(0), ms(1000), false}};
      break;
    case Planted::sent_untrue:
      options.migrates = true;
      options.focus = {{FaultKind::cut_mgmt, ms(0), ms(2000), false}};
      break;
    case Planted::arrival_unyielded:
      options.migrates = true;
      options.focus = {{FaultKind::daemon_hang, ms(1000), ms(9000), false, 0},
                       {FaultKind::power_cut, ms(3000), ms(9000), false, 0}};
      break;
    case Planted::start_unwaited:
      options.pacemaker = true;
      options.focus = {{FaultKind::hang, ms(0), ms(20000), false},
                       {FaultKind::bmc_unreachable, ms(0), ms(20000), false}};
      break;
    case Planted::late_writes_forgotten:
      options.focus = {{FaultKind::hang, ms(0), ms(20000), false},
                       {FaultKind::bmc_unreachable, ms(0), ms(20000), false}};
      break;
    // The lock's owner loses its daemon, and the host beside it its reads, in a ring that the third
    // host, which takes the lock, is not in.
    case Planted::vote_unwaited:
    case Planted::vote_by_old_read:
      options.quorum = true;
      options.focus = {{FaultKind::cut_all, ms(0), ms(30000), false, 2},
                       {FaultKind::reads_fail, ms(5000), ms(26000), false, 1},
                       {FaultKind::daemon_kill, ms(5200), ms(26000), false, 0}};
      break;
  }
  return options;
}

}  // namespace wardom::sim
