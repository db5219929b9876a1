// The keeper and the storage path of each simulated host.
#include <set>

#include "libha/wire/layout.hpp"
#include "libha/wire/slot.hpp"
#include "test/sim/world.hpp"

namespace wardom::sim {
namespace {

// A volume in good health answers within milliseconds.
constexpr Duration kIoMin = us(150);
constexpr Duration kIoMax = ms(4);

// Cells of one block in one request for each region, else both heads (libha/disk/cell_reader.hpp).
std::uint64_t requests_for(const std::vector<Cell>& cells) {
  std::set<Region> batches;
  std::uint64_t heads = 0;
  for (const auto& cell : cells) {
    if (cell.region == Region::decision || cell.region == Region::table)
      heads += 2;
    else
      batches.insert(cell.region);
  }
  return heads + batches.size();
}

Cell own_cell(const Host& host, Region region) {
  const std::uint32_t base = region == Region::ballot ? kBallotBase : 0;
  return {region, base + host.id.value};
}

}  // namespace

void Domain::start_keeper(Host& host) {
  if (host.keeper_up || !host.powered) return;
  // The run directory's lock is held until the last I/O of the predecessor has ended.
  for (const auto& [region, care] : host.cares)
    if (care.in_flight[0] + care.in_flight[1] > 0)
      return on_host(host, ms(20), [this, &host] { start_keeper(host); });
  if (!host.storage_ok) return on_host(host, ms(250), [this, &host] { start_keeper(host); });
  ++host.keeper_life;
  host.keeper_up = true;
  host.late_until = std::min(host.late_until, clock.now());  // it has waited for them
  host.cares.clear();
  for (Region region : {Region::slot, Region::ballot, Region::decision, Region::table}) {
    auto& care = host.cares[region];
    const auto& cell = store.cell(own_cell(host, region));
    for (int twin = 0; twin < 2; ++twin)  // a torn twin's sequence has been used
      care.last_used = std::max(care.last_used, cell.twins[twin].sequence);
    for (int twin = 0; twin < 2; ++twin)
      if (cell.newest() == &cell.twins[twin]) care.newest_twin = twin;
  }
  if (!host.joined) {
    const auto* newest = store.cell({Region::slot, host.id.value}).newest();
    host.incarnation.number = newest == nullptr ? 1 : newest->incarnation.number + 1;
    for (auto& byte : host.incarnation.id.bytes) byte = static_cast<std::uint8_t>(ids.next());
    host.joined = true;
  }
  trace("keeper " + std::to_string(host.id.value) + " runs, incarnation " +
        to_text(host.incarnation));
  begin_lease(host);
  heartbeat(host);
  greet(host);
}

void Domain::kill_keeper(Host& host) {
  if (!host.keeper_up) return;
  trace("keeper " + std::to_string(host.id.value) + " is killed");
  feed(host);
  host.keeper_up = false;
  ++host.keeper_life;
  // What is open is answered, as not acknowledged, before the daemon hears of the loss.
  for (auto& [region, care] : host.cares) {
    care.awaited = 0;
    for (auto& job : std::exchange(care.waiting, {})) job.done(false, {});
  }
  if (host.volume_told) to_daemon(host, us(100), port::VolumeLost{"the keeper is gone"});
  host.volume_told = false;
}

// A new daemon is greeted once nothing of its predecessor is in flight.
void Domain::greet(Host& host) {
  if (!host.loop || !host.keeper_up || host.volume_told) return;
  const auto life = host.daemon_life;
  const auto keeper = host.keeper_life;
  on_host(host, disk.between(ms(1), ms(60)), [this, &host, life, keeper] {
    if (host.daemon_life != life || host.keeper_life != keeper || host.volume_told) return;
    for (Region region : {Region::ballot, Region::decision, Region::table}) {
      const auto& care = host.cares[region];
      // A ballot that was given up may still land: none is made before it has.
      const bool lands = region == Region::ballot && care.in_flight[0] + care.in_flight[1] > 0;
      if (!options.keeper_greets_at_once &&
          (care.awaited != 0 || !care.waiting.empty() || lands))
        return greet(host);
    }
    host.volume_told = true;
    port::VolumeReady ready;
    ready.self = host.id;
    ready.incarnation = host.incarnation;
    ready.geometry.hosts = kBallotBase;
    ready.geometry.domains = 1;
    ready.geometry.decision_blocks = 128;
    ready.geometry.table_blocks = 64;
    ready.geometry.t_f_ms = static_cast<std::uint32_t>(whole_ms(options.timing.feed_window));
    if (options.planted != Planted::late_writes_forgotten)
      ready.geometry.l_late_ms = static_cast<std::uint32_t>(whole_ms(kLate));
    for (const auto& [guest, one] : host.listed) ready.listed.push_back(one);
    to_daemon(host, us(50), ready);
    to_daemon(host, us(51), rights(host));
  });
}

void Domain::heartbeat(Host& host) {
  const auto life = host.keeper_life;
  on_host(host, options.timing.disk_interval, [this, &host, life] {
    if (host.keeper_life == life) heartbeat(host);
  });
  // Once its lease has ended, a host waits for the reset in silence.
  if (host.ladder->state() == LeaseState::ended || host.cares[Region::slot].awaited != 0) return;
  Slot slot;
  slot.state = SlotState::up;
  slot.boot_id.bytes[0] = static_cast<std::uint8_t>(host.life);
  slot.machine_id.bytes[0] = static_cast<std::uint8_t>(host.id.value);
  slot.dmi_uuid.bytes[1] = static_cast<std::uint8_t>(host.id.value);
  const auto submitted = local(host, clock.now());
  slot.raw_ns = static_cast<std::uint64_t>(submitted.count());
  slot.t_f_ms = static_cast<std::uint32_t>(whole_ms(options.timing.feed_window));
  const bool less = options.planted == Planted::watchdog_slower;
  if (host.ladder->has_lease())
    slot.w_ms = static_cast<std::uint32_t>(whole_ms(options.timing.watchdog)) / (less ? 10 : 1);
  slot.daemon_progress = host.view.progress;
  slot.sees_mgmt = host.view.sees_mgmt;
  slot.sees_storage = host.view.sees_storage;
  slot.sees_disk = host.view.sees_disk;
  slot.load = host.view.load;
  write_cell(host, Region::slot, wire::encode_slot(slot),
             [this, &host, submitted](bool ok, Sequence sequence) {
               if (!ok) return;
               host.ladder->extend({submitted}, {local(host, clock.now())});
               if (!host.volume_told) return;
               to_daemon(host, us(50), port::HeartbeatDone{sequence, {submitted}});
               to_daemon(host, us(51), rights(host));
             });
}

void Domain::write_cell(Host& host, Region region, std::vector<std::uint8_t> payload,
                        std::function<void(bool, Sequence)> done) {
  auto& care = host.cares[region];
  Care::Job job{std::move(payload), std::move(done)};
  if (care.awaited != 0) {
    care.waiting.push_back(std::move(job));
    return;
  }
  submit(host, region, std::move(job));
}

void Domain::submit(Host& host, Region region, Care::Job job) {
  auto& care = host.cares[region];
  int twin = 1 - care.newest_twin;
  // The newest ballot and the newest decision are never written over (models.md, P2).
  const bool kept = region == Region::ballot || region == Region::decision;
  if (care.in_flight[twin] > 0 && !kept) twin = care.newest_twin;
  if (care.in_flight[twin] > 0) return job.done(false, {});  // quarantined
  const auto number = care.awaited = ++care.numbers;
  care.last_used = care.last_used.next();
  const auto sequence = care.last_used;
  ++care.in_flight[twin];
  ++volume.writes;
  care.waiting.push_front({{}, std::move(job.done)});  // its answer waits in front
  const Cell cell = own_cell(host, region);
  const auto life = host.life;
  const auto keeper = host.keeper_life;
  const bool ack_lost = disk.chance(host.acks_lost);
  const bool blind = !host.last_read_done ||
                     clock.now() - *host.last_read_done > options.timing.feed_window / 2;
  auto landing = [this, &host, cell, twin, sequence, life, keeper, number, region, ack_lost,
                  blind,
                  incarnation = host.incarnation, payload = std::move(job.payload)] {
    const auto arrive = [=, this, &host] {
      if (host.life != life)
        return clock.in(disk.chance(500) ? us(1) : disk.between(us(1), kLate), [=, this, &host] {
          land_late(host, life, cell, twin, sequence, incarnation, payload);
        });
      land(host, cell, twin, sequence, incarnation, payload, blind);
      auto& c = host.cares[region];
      --c.in_flight[twin];
      if (host.keeper_life == keeper) c.newest_twin = twin;
      if (ack_lost) return;
      on_host(host, disk.between(us(50), ms(1)) + host.storage_slow / 4, [=, this, &host] {
        if (host.keeper_life == keeper) finish_write(host, region, number, true, sequence);
      });
    };
    if (host.storage_ok || host.life != life)
      arrive();
    else
      host.stalled.push_back(arrive);
  };
  // The storage does not ask whether the host still thinks.
  auto takes = disk.between(kIoMin, kIoMax) + host.storage_slow;
  if (options.planted == Planted::late_writes && bent() && region == Region::table) {
    takes += 2 * core::kClaimPatience;
    on_host(host, ms(1), [this, &host, region, number, keeper] {
      if (host.keeper_life == keeper) finish_write(host, region, number, true, {});
    });
  }
  clock.in(takes, std::move(landing));
  on_host(host, options.timing.feed_window / 4, [this, &host, region, number, keeper] {
    if (host.keeper_life == keeper) finish_write(host, region, number, false, {});
  });
}

void Domain::finish_write(Host& host, Region region, std::uint64_t number, bool ok,
                          Sequence sequence) {
  auto& care = host.cares[region];
  if (care.awaited != number) return;
  care.awaited = 0;
  auto done = std::move(care.waiting.front().done);
  care.waiting.pop_front();
  done(ok, sequence);
  while (care.awaited == 0 && !care.waiting.empty()) {
    auto next = std::move(care.waiting.front());
    care.waiting.pop_front();
    submit(host, region, std::move(next));
  }
}

void Domain::land(Host& host, Cell cell, int twin, Sequence sequence, Incarnation incarnation,
                  const std::vector<std::uint8_t>& payload, bool blind) {
  auto& state = store.change(cell);
  const auto* before = state.newest();
  const Sequence highest = before == nullptr ? Sequence{} : before->sequence;
  state.twins[twin] = {true, false, host.id, incarnation, sequence, payload};
  const auto* after = state.newest();
  if (cell != own_cell(host, cell.region))
    fail(129, "SingleWriter: another host's cell was written");
  if (after->sequence < highest)
    fail(129, wire::to_text(cell) + ", extent " + std::to_string(twin) + ": sequence " +
                  std::to_string(sequence.value) + " replaced the newest, " +
                  std::to_string(highest.value));
  if (cell.region != Region::slot && after == &state.twins[twin])
    check_landed(host, cell, payload, blind);
}

// Its host's power is gone. Within its time it may land whole, or torn, or not at all; but not
// under a later boot's hands, since the keeper begins with what it finds.
void Domain::land_late(Host& host, std::uint64_t life, Cell cell, int twin, Sequence sequence,
                       Incarnation incarnation, const std::vector<std::uint8_t>& payload) {
  if (life != host.ended_life || host.keeper_up || disk.chance(400)) return;
  auto& at = store.change(cell).twins[twin];
  const bool in_time = clock.now() <= host.late_until;
  // A slot stands in the first 512 bytes of its block: all of it lands, or nothing.
  if (in_time && (cell.region == Region::slot || disk.chance(600))) {
    ++marks["write lands after its host's death"];
    return land(host, cell, twin, sequence, incarnation, payload, false);
  }
  if (cell.region == Region::slot || clock.now() > host.late_until + kIoMax) return;
  ++marks["cell torn by its host's death"];
  at.torn = true;
  at.sequence = sequence;
}

void Domain::set_storage(Host& host, bool ok) {
  if (host.storage_ok == ok) return;
  trace("storage of host " + std::to_string(host.id.value) + (ok ? " is back" : " stalls"));
  host.storage_ok = ok;
  if (!ok) return;
  for (auto& io : std::exchange(host.stalled, {})) clock.in(disk.between(us(10), ms(300)), io);
}

// ---- port::Volume -------------------------------------------------------------------------------

void Hands::read(Ticket ticket, std::vector<Cell> cells) {
  auto& d = domain;
  d.volume.reads += requests_for(cells);
  auto& h = host;
  const auto life = h.daemon_life;
  const auto answer = [&d, &h, ticket, cells, life](bool good,
                                                    std::vector<port::CellRead> early) {
    if (h.daemon_life != life) return;
    port::ReadDone done{ticket, {}};
    for (std::size_t i = 0; i < cells.size(); ++i) {
      port::CellRead one;
      one.cell = cells[i];
      one.error = "no answer";
      if (good) one = d.bend(h, i < early.size() ? early[i] : d.store.read(cells[i]));
      done.cells.push_back(std::move(one));
    }
    if (good) h.last_read_done = d.clock.now();
    d.to_daemon(h, us(50), std::move(done));
  };
  if (!h.keeper_up || !h.volume_told) return d.on_host(h, us(50), [answer] { answer(false, {}); });
  const auto latency = d.disk.between(kIoMin, kIoMax) + h.storage_slow;
  const bool stuck = !h.storage_ok;
  const auto early = d.disk.below(cells.size() + 1);  // so many cells are read at once
  d.clock.in(us(20), [&d, &h, cells, early, latency, answer, stuck] {
    std::vector<port::CellRead> seen;
    for (std::size_t i = 0; i < early; ++i) seen.push_back(d.store.read(cells[i]));
    const auto patience = d.options.timing.feed_window / 4;
    d.on_host(h, stuck ? patience : latency, [&d, &h, seen, answer, stuck, patience] {
      if (h.storage_ok && h.keeper_up && !stuck) return answer(true, seen);
      d.on_host(h, stuck ? us(1) : patience, [answer] { answer(false, {}); });
    });
  });
}

void Hands::write(Ticket ticket, Cell cell, std::vector<std::uint8_t> payload) {
  auto& d = domain;
  auto& h = host;
  const auto life = h.daemon_life;
  const auto answer = [&d, &h, ticket, cell, life](bool ok, Sequence sequence) {
    if (h.daemon_life != life) return;
    d.to_daemon(h, us(30), port::WriteDone{ticket, cell, ok, sequence, ok ? "" : "no answer"});
  };
  if (!h.keeper_up || !h.volume_told) return answer(false, {});
  d.write_cell(h, cell.region, std::move(payload), answer);
}

void Hands::publish(const port::SelfView& view) { host.view = view; }

void Hands::list_start(Ticket ticket, GuestId guest) {
  auto& d = domain;
  auto& h = host;
  const auto life = h.daemon_life;
  const auto keeper = h.keeper_life;
  d.on_host(h, us(20), [&d, &h, ticket, guest, life, keeper] {
    if (h.daemon_life != life) return;
    const bool may = h.keeper_up && h.keeper_life == keeper && h.volume_told &&
                     Instant{d.local(h, d.clock.now())} < h.ladder->act_until();
    if (may) h.listed[guest] = {guest, {}, DaemonEpoch{}};
    d.to_daemon(h, us(20), port::StartListed{ticket, guest, may, may ? "" : "no rights"});
  });
}

void Hands::settle_start(GuestId guest, const GuestProcess& process) {
  host.listed[guest] = {guest, process, {}};
}

void Hands::unlist(GuestId guest) { host.listed.erase(guest); }

}  // namespace wardom::sim
