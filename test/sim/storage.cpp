// The keeper and the storage path of each simulated host.
#include <algorithm>
#include <set>

#include "libha/wire/ballot.hpp"
#include "libha/wire/layout.hpp"
#include "libha/wire/slot.hpp"
#include "test/sim/run.hpp"

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
  const bool forgets = options.planted == Planted::keeper_forgets && bent();
  if ((host.flying > 0 && !forgets) || !host.storage_ok || host.io_errors)
    return on_host(host, ms(50), [this, &host] { start_keeper(host); });
  // Nobody can say what an earlier boot had in flight: it is waited for (agents/keeper/join.cpp).
  const auto settled = when(host, Instant{counted_by_clock(kLate)});
  const bool waits = !(options.planted == Planted::boot_waits_for_nothing && bent());
  if (!host.joined && host.life > 1 && clock.now() < settled && waits)
    return on_host(host, settled - clock.now(), [this, &host] { start_keeper(host); });
  if (!may_join(host)) return on_host(host, ms(250), [this, &host] { start_keeper(host); });
  // What a later release has written is refused (agents/keeper/join.cpp): until that is back.
  for (Region region : {Region::slot, Region::ballot, Region::decision, Region::table})
    for (const auto& twin : store.cell(own_cell(host, region)).twins) {
      if (!twin.written) continue;
      host.level = std::max(host.level, twin.level);
      const auto* newest = store.cell(own_cell(host, region)).newest();
      const bool early = newest == &twin && twin.level < host.speaks.oldest;
      if (twin.level <= host.speaks.newest && !early) continue;
      ++marks[early ? "keeper of a release too early refused"
                    : "keeper of an older release refused"];
      return on_host(host, ms(1000), [this, &host] { start_keeper(host); });
    }
  ++host.keeper_life;
  host.keeper_up = true;
  host.cares.clear();
  if (forgets)
    std::erase_if(host.in_flight,
                  [](const auto& one) { return one.first.first == Region::ballot; });
  const Instant now{local(host, clock.now())};
  for (auto& [extent, listed] : host.in_flight)
    if (!listed.until) listed.until = now + counted_by_clock(kLate);
  for (Region region : {Region::slot, Region::ballot, Region::decision, Region::table}) {
    auto& care = host.cares[region];
    care.writer = disk::TwinWriter(counted_by_clock(kLate), region == Region::slot
                                                                ? disk::Tearing::impossible
                                                                : disk::Tearing::possible);
    disk::Doubts doubts;
    for (int twin = 0; twin < 2; ++twin)
      if (const auto listed = host.in_flight.find({region, twin}); listed != host.in_flight.end())
        doubts[static_cast<std::size_t>(twin)] =
            disk::Doubt{listed->second.sequence, *listed->second.until};
    const auto found = extents_of(own_cell(host, region));
    care.writer.recover(found[0], found[1], doubts);
  }
  host.pulse.emplace(options.timing.feed_window / 2);
  host.overdue = host.leaving = false;
  host.looks = 0;
  host.beaten = {};
  host.fresh = !host.joined || std::exchange(host.renewed, false);
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
    if (region != Region::slot && care.done) std::exchange(care.done, nullptr)(false, {});
    for (auto& job : std::exchange(care.waiting, {})) job.done(false, {});
  }
  if (host.volume_told) to_daemon(host, us(100), port::VolumeLost{"the keeper is gone"});
  host.volume_told = false;
}

// The standing of a daemon that is gone ends: everybody may read so in the slot.
void Domain::end_epoch(Host& host) {
  host.greeted = 0;
  host.epoch = host.epoch.next();
}

// An orderly stop: nothing of this host is the domain's any more, and its watchdog is disarmed.
void Domain::leave(Host& host) {
  const bool may = host.listed.empty() || removed(Barrier::leaves_without_guests);
  if (!host.keeper_up || !may || host.frozen || host.ladder->released()) return;
  kill_daemon(host);
  on_host(host, ms(300), [this, &host, keeper = host.keeper_life] {
    if (host.keeper_life != keeper || host.loop || !own_writes_settled(host)) return;
    if (host.greeted != 0) end_epoch(host);
    write_cell(host, Region::slot,
               wire::encode_slot(slot_of(host, SlotState::left), host.level), host.level,
               [this, &host, keeper](bool ok, Sequence) {
                 if (!ok || host.keeper_life != keeper) return;
                 ++marks["host left"];
                 host.dog = {};
                 host.ladder->release_lease();
                 kill_keeper(host);
               });
    host.leaving = true;
  });
}

// A new daemon is greeted once nothing of its predecessor is in flight.
void Domain::greet(Host& host) {
  if (!host.loop || !host.keeper_up || host.volume_told || !host.may_serve) return;
  const auto life = host.daemon_life;
  const auto keeper = host.keeper_life;
  on_host(host, disk.between(ms(1), ms(60)), [this, &host, life, keeper] {
    if (host.daemon_life != life || host.keeper_life != keeper || host.volume_told ||
        !host.may_serve)
      return;
    if (!options.keeper_greets_at_once && !own_writes_settled(host)) return greet(host);
    if (host.greeted != 0 && host.greeted != host.daemon_life) end_epoch(host);
    host.greeted = host.daemon_life;
    host.volume_told = true;
    port::VolumeReady ready;
    ready.self = host.id;
    ready.epoch = host.epoch;
    ready.incarnation = host.incarnation;
    ready.geometry.hosts = kBallotBase;
    ready.geometry.domains = 1;
    ready.geometry.decision_blocks = 128;
    ready.geometry.table_blocks = 64;
    ready.geometry.t_f_ms = static_cast<std::uint32_t>(whole_ms(options.timing.feed_window));
    if (options.planted != Planted::late_writes_forgotten)
      ready.geometry.l_late_ms = static_cast<std::uint32_t>(whole_ms(kLate));
    ready.stays_up = options.stays_up;
    ready.level = host.level;
    for (const auto& [guest, one] : host.listed) ready.listed.push_back(one);
    to_daemon(host, us(50), ready);
    to_daemon(host, us(51), rights(host));
  });
}

bool Domain::own_writes_settled(const Host& host) const {
  for (Region region : {Region::ballot, Region::decision, Region::table}) {
    const auto& care = host.cares.at(region);
    if (care.writer.awaited() || !care.waiting.empty() || care.writer.quarantined() > 0)
      return false;
  }
  return true;
}

void Domain::heartbeat(Host& host) {
  const auto life = host.keeper_life;
  on_host(host, options.timing.disk_interval, [this, &host, life] {
    if (host.keeper_life == life) heartbeat(host);
  });
  settle_doubts(host);
  if (!host.loop && host.greeted != 0 && own_writes_settled(host)) end_epoch(host);
  beat(host);
}

void Domain::beat(Host& host) {
  // Once its lease has ended, a host waits for the reset in silence.
  if (host.ladder->state() == LeaseState::ended || host.leaving || host.renew) return;
  const bool open = host.cares.at(Region::slot).writer.awaited();
  if (host.pulse->due(open, {local(host, clock.now())}) == keeper::Pulse::Step::ask) {
    host.overdue = true;
    return look_at_slot(host);
  }
  host.overdue = false;
  host.pulse->submitted();
  on_host(host, options.timing.disk_interval / 2, [this, &host, keeper = host.keeper_life] {
    if (host.keeper_life == keeper) ask_if_open(host);
  });
  const auto slot = slot_of(host, SlotState::up);
  const Duration submitted{static_cast<std::int64_t>(slot.raw_ns)};
  host.ride->submitted({submitted}, slot.unasked);
  write_cell(host, Region::slot, wire::encode_slot(slot, host.level), host.level,
             [this, &host, submitted, votes = slot.votes_under,
              held = slot.held](bool ok, Sequence sequence) {
               beaten(host, ok, sequence, submitted, votes);
               if (ok && held != 0) held_acknowledged(host, held);
             });
}

Slot Domain::slot_of(const Host& host, SlotState state) const {
  Slot slot;
  const bool over = host.released == host.incarnation;
  slot.state = over && state == SlotState::up ? SlotState::released : state;
  slot.boot_id.bytes[0] = static_cast<std::uint8_t>(host.life);
  slot.machine_id.bytes[0] = static_cast<std::uint8_t>(host.id.value);
  slot.dmi_uuid.bytes[1] = static_cast<std::uint8_t>(host.id.value);
  slot.raw_ns = static_cast<std::uint64_t>(local(host, clock.now()).count());
  slot.t_f_ms = static_cast<std::uint32_t>(whole_ms(options.timing.feed_window));
  const bool less = options.planted == Planted::watchdog_slower;
  const bool rests = host.ladder->rests() && options.planted != Planted::rests_unsaid;
  if (host.ladder->has_lease() && !rests && !over && !(host.fresh && !host.may_serve))
    slot.w_ms = static_cast<std::uint32_t>(whole_ms(options.timing.watchdog)) / (less ? 10 : 1);
  if (holds(host) && state == SlotState::up) {
    slot.held = host.hold.change;
    slot.w_ms = 0;
  }
  slot.daemon_progress = host.view.progress;
  slot.votes_under = host.votes_under;
  slot.sees_mgmt = host.view.sees_mgmt;
  slot.sees_storage = host.view.sees_storage;
  slot.sees_disk = host.view.sees_disk;
  slot.load = host.view.load;
  slot.daemon_epoch = host.epoch;
  slot.start_listed = std::any_of(host.listed.begin(), host.listed.end(), [&](const auto& one) {
    return one.second.start && *one.second.start < host.epoch;
  });
  slot.rides_out = rides_out(host);
  slot.unasked = host.view.unasked;
  return slot;
}

void Domain::beaten(Host& host, bool ok, Sequence sequence, Duration submitted,
                    LockVersion votes) {
  if (sequence == Sequence{}) return;  // was not submitted
  const Instant now{local(host, clock.now())};
  host.pulse->ended(ok, now);
  if (!ok) {
    host.overdue = true;
    return look_at_slot(host);
  }
  if (sequence > host.beaten) {
    const bool first = host.beaten == Sequence{};
    host.beaten = sequence;
    if (first) look_at_slot(host);
    if (options.planted == Planted::no_latch && bent() && now >= host.ladder->feed_until())
      host.ladder.emplace(options.timing.feed_window).hold_lease();
    const bool late = options.planted == Planted::window_from_ack && bent();
    host.ladder->extend(late ? now : Instant{submitted}, now);
    const Instant until{submitted + options.timing.feed_window / 2};
    host.may_decide_until = std::max(host.may_decide_until, when(host, until));
    host.ride->acknowledged({submitted});
    if (host.volume_told) {
      to_daemon(host, us(50), port::HeartbeatDone{sequence, {submitted}, votes});
      to_daemon(host, us(51), rights(host));
    }
  }
  beat_if_overdue(host);
}

void Domain::ask_if_open(Host& host) {
  if (!host.cares.at(Region::slot).writer.awaited()) return;
  host.pulse->open({local(host, clock.now())});
  look_at_slot(host);
}

void Domain::beat_if_overdue(Host& host) {
  if (host.overdue && !host.pulse->asks()) beat(host);
}

// Whether the storage answers. A stuck one does when it goes on.
void Domain::look_at_slot(Host& host) {
  if (host.looks >= 2 || (options.planted == Planted::heartbeat_waits && bent())) return;
  ++host.looks;
  const Instant issued{local(host, clock.now())};
  auto look = [this, &host, issued, keeper = host.keeper_life,
               first_beat = host.beaten != Sequence{}] {
    if (host.keeper_life != keeper) return;
    --host.looks;
    host.pulse->read(!host.io_errors, issued, {local(host, clock.now())});
    if (!host.io_errors) look_at_use(host, first_beat);
    if (host.keeper_life != keeper) return;
    beat_if_overdue(host);
  };
  const auto takes = disk.between(kIoMin, kIoMax) + host.storage_slow;
  on_host(host, std::max(takes, host.answers_held - clock.now()), [&host, look] {
    if (host.storage_ok)
      look();
    else
      host.stalled.push_back(look);
  });
}

void Domain::write_cell(Host& host, Region region, std::vector<std::uint8_t> payload, Level level,
                        Care::Done done) {
  auto& care = host.cares[region];
  Care::Job job{std::move(payload), std::move(done), level};
  if (care.writer.awaited() && region == Region::slot) {
    care.overtaken[care.writer.last_used()] = std::exchange(care.done, nullptr);
    care.writer.expire({local(host, clock.now())}, Duration{0});
  }
  if (care.writer.awaited()) {
    care.waiting.push_back(std::move(job));
    return;
  }
  submit(host, region, std::move(job));
}

void Domain::submit(Host& host, Region region, Care::Job job) {
  auto& care = host.cares[region];
  const auto started = care.writer.begin({local(host, clock.now())});
  if (!started) return job.done(false, {});  // quarantined, or in doubt
  care.done = std::move(job.done);
  care.awaited = started->twin;
  host.in_flight[{region, started->twin.value}] = {started->sequence, {}};
  ++host.flying;
  ++volume.writes;
  // Not while the domain is built up: what was written then must stand in time.
  const bool ack_lost = disk.chance(host.acks_lost) && clock.now() >= kFaultsFrom;
  const bool blind = !host.last_read_done ||
                     clock.now() - *host.last_read_done > options.timing.feed_window / 2;
  const auto flight = std::make_shared<Flight>(
      Flight{region, own_cell(host, region), *started, host.incarnation, host.life,
             host.keeper_life, blind, std::move(job.payload), job.level,
             host.on_volume});
  // The storage does not ask whether the host still thinks.
  auto takes = disk.between(kIoMin, kIoMax) + host.storage_slow;
  if (options.planted == Planted::late_writes && bent() && region == Region::table) {
    takes += 2 * core::kClaimPatience;
    on_host(host, ms(1), [this, &host, flight] {
      if (host.keeper_life != flight->keeper) return;
      auto& c = host.cares[flight->region];
      if (c.done) std::exchange(c.done, nullptr)(true, {});
    });
  }
  clock.in(takes, [this, &host, flight, ack_lost] {
    if (host.storage_ok || host.life != flight->life) return arrive(host, flight, ack_lost);
    host.stalled.push_back([this, &host, flight, ack_lost] { arrive(host, flight, ack_lost); });
  });
  if (region == Region::slot) return;
  on_host(host, options.timing.feed_window / 4, [this, &host, flight] {
    if (host.keeper_life == flight->keeper) give_up(host, flight->region, flight->write.sequence);
  });
}

void Domain::arrive(Host& host, const std::shared_ptr<Flight>& flight, bool ack_lost) {
  if (host.life != flight->life)
    return clock.in(disk.chance(500) ? us(1) : disk.between(us(1), kLate),
                    [this, &host, flight] { land_late(host, *flight); });
  if (host.io_errors) {
    end_write(host, *flight, disk.between(us(50), ms(1)), false);
    // The path has given it up, whatever still holds it has not.
    if (disk.chance(500))
      clock.in(disk.between(us(1), kLate), [this, &host, flight] {
        if (host.life != flight->life) return land_late(host, *flight);
        ++marks["write lands after it has failed"];
        land(host, *flight);
      });
    return;
  }
  land(host, *flight);
  if (options.planted == Planted::one_pair_for_two && bent() && flight->region == Region::ballot)
    ballot_for_another(host, *flight);
  // Whoever waits for a lost acknowledgement is told of an error, some time.
  const auto after = disk.between(us(50), ms(1)) + host.storage_slow / 4;
  const auto answers = ack_lost ? disk.between(ms(500), kLate / 2) : after;
  end_write(host, *flight, std::max(answers, host.answers_held - clock.now()), !ack_lost);
}

// Planted::one_pair_for_two: the keeper of the other domain's lock writes what it knows of DECIDED,
// and its own ballot, which says nothing to this one.
void Domain::ballot_for_another(Host& host, const Flight& flight) {
  auto ballot = wire::decode_ballot(flight.payload, flight.level).value();
  if (ballot.bal == BallotNumber{}) return;
  ballot.version = {};
  ballot.mbal = ballot.bal = {};
  ballot.input = {};
  on_host(host, us(100), [this, &host, level = flight.level,
                          payload = wire::encode_ballot(ballot, flight.level).value()] {
    if (host.keeper_up) write_cell(host, Region::ballot, payload, level, [](bool, Sequence) {});
  });
}

void Domain::end_write(Host& host, const Flight& flight, Duration after, bool ok) {
  on_host(host, after, [this, &host, region = flight.region, write = flight.write,
                        keeper = flight.keeper, ok] {
    --host.flying;
    if (host.keeper_life == keeper) answer(host, region, write, ok);
  });
}

void Domain::answer(Host& host, Region region, const disk::TwinWriter::Started& write, bool ok) {
  if (host.forgotten.contains({region, write.sequence})) return;
  auto& care = host.cares[region];
  const Instant now{local(host, clock.now())};
  const bool late = care.writer.finished(write, ok, now) == disk::TwinWriter::Ended::late;
  const std::pair<Region, int> extent{region, write.twin.value};
  if (ok)
    host.in_flight.erase(extent);
  else
    host.in_flight[extent].until = now + counted_by_clock(kLate);
  if (!ok && options.planted == Planted::failures_forgotten && bent())
    settle_cell(host, region, Instant::never());
  Care::Done done;
  if (!late) {
    done = std::exchange(care.done, nullptr);
  } else if (const auto found = care.overtaken.find(write.sequence);
             found != care.overtaken.end()) {
    done = std::move(found->second);
    care.overtaken.erase(found);
  }
  if (done) done(ok, write.sequence);
  while (!care.writer.awaited() && !care.waiting.empty()) {
    auto next = std::move(care.waiting.front());
    care.waiting.pop_front();
    submit(host, region, std::move(next));
  }
}

void Domain::give_up(Host& host, Region region, Sequence sequence) {
  auto& care = host.cares[region];
  if (!care.writer.awaited() || care.writer.last_used() != sequence) return;
  if (options.planted == Planted::timeouts_forgotten && bent()) {
    host.forgotten.insert({region, sequence});
    care.writer.cancel({*care.awaited, sequence});
  }
  care.writer.expire({local(host, clock.now())}, Duration{0});
  if (care.done) std::exchange(care.done, nullptr)(false, {});
  while (!care.writer.awaited() && !care.waiting.empty()) {
    auto next = std::move(care.waiting.front());
    care.waiting.pop_front();
    submit(host, region, std::move(next));
  }
}

// What was in doubt for long enough is read again.
void Domain::settle_doubts(Host& host) {
  const Instant issued{local(host, clock.now())};
  for (const auto& [region, care] : host.cares) {
    const auto at = care.writer.settles_at();
    if (!at || *at > issued) continue;
    on_host(host, disk.between(kIoMin, kIoMax),
            [this, &host, region = region, issued, keeper = host.keeper_life] {
              if (host.keeper_life != keeper || !host.storage_ok || host.io_errors) return;
              ++marks["failed write settled"];
              settle_cell(host, region, issued);
            });
  }
}

void Domain::settle_cell(Host& host, Region region, Instant issued) {
  const auto found = extents_of(own_cell(host, region));
  if (!host.cares[region].writer.settle(found[0], found[1], issued)) return;
  std::erase_if(host.in_flight, [&](const auto& listed) {
    return listed.first.first == region && listed.second.until && *listed.second.until <= issued;
  });
}

std::array<wire::Extent, 2> Domain::extents_of(const Cell& cell) {
  std::array<wire::Extent, 2> extents;
  for (std::size_t i = 0; i < 2; ++i) {
    const auto& twin = store.cell(cell).twins[i];
    extents[i].state = twin.torn      ? wire::ExtentState::torn
                       : twin.written ? wire::ExtentState::valid
                                      : wire::ExtentState::empty;
    extents[i].head.sequence = twin.sequence;
    extents[i].head.level = twin.level;
  }
  return extents;
}

void Domain::land(Host& host, const Flight& flight) {
  if (flight.volume < volumes) {
    ++marks["write lands on the volume that was moved"];
    return;
  }
  auto& state = store.change(flight.cell);
  const auto* before = state.newest();
  const Sequence highest = before == nullptr ? Sequence{} : before->sequence;
  auto& twin = state.twins[flight.write.twin.value];
  twin = {true, false, host.id, flight.incarnation, flight.write.sequence, flight.payload,
          flight.level, common(host.speaks, host.view.speaks)};
  const auto* after = state.newest();
  if (flight.cell != own_cell(host, flight.cell.region))
    fail(129, "SingleWriter: another host's cell was written");
  if (after->sequence < highest)
    fail(129, wire::to_text(flight.cell) + ", extent " +
                  std::to_string(flight.write.twin.value) + ": sequence " +
                  std::to_string(flight.write.sequence.value) + " replaced the newest, " +
                  std::to_string(highest.value));
  if (flight.cell.region == Region::slot && after == &twin)
    check_yielded(host, flight.incarnation);
  if (flight.cell.region != Region::slot && after == &twin)
    check_landed(host, flight);
}

// Its host's power is gone. Within its time it may land whole, or torn, or not at all.
void Domain::land_late(Host& host, const Flight& flight) {
  if (flight.life != host.ended_life || disk.chance(400)) return;
  const auto region = flight.cell.region;
  // What fits its head lands whole or not at all. (So do small decisions and tables; here they
  // stand for large ones.)
  const bool fits = (region == Region::slot || region == Region::ballot) &&
                    flight.payload.size() <= wire::kHeadPayload;
  const bool in_time = clock.now() <= host.late_until;
  if (in_time && (fits || disk.chance(600))) {
    ++marks["write lands after its host's death"];
    auto seen = flight;
    seen.blind = false;
    return land(host, seen);
  }
  if (fits || clock.now() > host.late_until + kIoMax || flight.volume < volumes) return;
  ++marks["cell torn by its host's death"];
  auto& at = store.change(flight.cell).twins[flight.write.twin.value];
  at.torn = true;
  at.sequence = flight.write.sequence;
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
  const bool stuck = !h.storage_ok || h.reads_fail || h.answers_held > d.clock.now();
  const auto early = d.disk.below(cells.size() + 1);  // so many cells are read at once
  d.clock.in(us(20), [&d, &h, cells, early, latency, answer, stuck] {
    std::vector<port::CellRead> seen;
    for (std::size_t i = 0; i < early; ++i) seen.push_back(d.store.read(cells[i]));
    const auto patience = d.options.timing.feed_window / 4;
    d.on_host(h, stuck ? patience : latency, [&d, &h, seen, answer, stuck, patience] {
      if (h.storage_ok && h.keeper_up && !stuck && !h.io_errors) return answer(true, seen);
      d.on_host(h, stuck ? us(1) : patience, [answer] { answer(false, {}); });
    });
  });
}

void Hands::write(Ticket ticket, Cell cell, std::vector<std::uint8_t> payload, Level level) {
  auto& d = domain;
  auto& h = host;
  const auto life = h.daemon_life;
  const auto answer = [&d, &h, ticket, cell, life](bool ok, Sequence sequence) {
    if (h.daemon_life != life) return;
    d.to_daemon(h, us(30), port::WriteDone{ticket, cell, ok, sequence, ok ? "" : "no answer"});
  };
  if (!h.keeper_up || !h.volume_told) return answer(false, {});
  d.check_submitted(h, cell, payload, level);
  d.write_cell(h, cell.region, std::move(payload), level, answer);
}

void Hands::publish(const port::SelfView& view) {
  host.view = view;
  if (host.speaks.has(view.level)) host.level = std::max(host.level, view.level);
  if (view.votes_under) host.votes_under = *view.votes_under;
  host.renew = host.released == host.incarnation && view.yielded == host.incarnation;
}

void Hands::list_start(Ticket ticket, GuestId guest) {
  auto& d = domain;
  auto& h = host;
  const auto life = h.daemon_life;
  const auto keeper = h.keeper_life;
  d.on_host(h, us(20), [&d, &h, ticket, guest, life, keeper] {
    if (h.daemon_life != life) return;
    const bool may = h.keeper_up && h.keeper_life == keeper && h.volume_told &&
                     Instant{d.local(h, d.clock.now())} < h.ladder->act_until();
    if (may) {
      auto& listed = h.listed[guest];
      listed.guest = guest;
      listed.start = h.epoch;
    }
    d.to_daemon(h, us(20), port::StartListed{ticket, guest, may, may ? "" : "no rights"});
  });
}

void Hands::settle_start(GuestId guest, const GuestProcess& process) {
  host.listed[guest] = {guest, process, {}};
}

void Hands::extend(Instant stamp, std::vector<HostId> unasked) {
  auto& d = domain;
  auto& h = host;
  d.on_host(h, us(30), [&d, &h, stamp, unasked = std::move(unasked), keeper = h.keeper_life] {
    if (h.keeper_up && h.keeper_life == keeper) d.extend(h, stamp, unasked);
  });
}

void Hands::unlist(GuestId guest) { host.listed.erase(guest); }

}  // namespace wardom::sim
