// The lease of each simulated host: the keeper's own ladder, and a watchdog that resets.
#include <algorithm>

#include "test/sim/world.hpp"

namespace wardom::sim {
namespace {

// How often the feeding thread and the keeper's loop are looked at. The watchdog bites to the
// instant.
constexpr Duration kLook = ms(200);

}  // namespace

// A keeper starts: the window is what an earlier one of this boot has left in the run directory.
void Domain::begin_lease(Host& host) {
  keeper::Ladder ladder(options.timing.feed_window);
  const Instant now{local(host, clock.now())};
  if (host.ladder) ladder.resume(host.ladder->kept(), now);
  if (host.released == host.incarnation && !ladder.released()) ladder.release(now);
  if (ladder.released() && host.released != host.incarnation) ladder.renew();
  host.ladder = ladder;
  if (host.hold.use != VolumeUse::held) host.ladder->wake(now);
  host.ride.emplace(rides_out(host), options.timing.feed_window);
  tend_lease(host);
  read_back(host);
}

// The feeding thread, up to now: it stops at the window's end, and with the keeper or the host.
void Domain::feed(Host& host) {
  if (!host.dog.armed || !host.keeper_up || host.frozen || !host.ladder) return;
  const bool ignored = options.planted == Planted::window_ignored && bent();
  const auto until = ignored ? Time::max() : when(host, host.ladder->feed_until()) - us(20);
  host.dog.fed = std::max(host.dog.fed, std::min(clock.now(), until));
}

void Domain::tend_lease(Host& host) {
  const auto keeper = host.keeper_life;
  on_host(host, kLook, [this, &host, keeper] {
    if (host.keeper_life == keeper) tend_lease(host);
  });
  const Instant now{local(host, clock.now())};
  auto& ladder = *host.ladder;
  ask_stamp(host);
  if (options.planted == Planted::heard_asked && bent()) extend_if_heard(host);
  ladder.stay_up(now);
  const auto rung = ladder.rung(now);
  const bool may = !options.may_suspend || options.planted == Planted::lease_with_suspend;
  const bool knows = !host.fresh || host.may_serve;
  if (options.lease && may && knows && !host.dog.armed && rung == keeper::Rung::full) {
    ladder.hold_lease();
    host.dog = {true, clock.now(), machine.between(options.timing.watchdog / 4,
                                                   options.timing.watchdog)};
    watch_dog(host);
  }
  if (rung != keeper::Rung::killing && rung != keeper::Rung::ended) return;
  const bool early = options.planted == Planted::released_early && bent();
  bool found = false, open = false;
  for (const auto& [guest, listed] : host.listed) {
    open = open || listed.start.has_value();
    if (!host.has_qemu(guest) || early) continue;
    found = true;
    ++marks["guest killed by the ladder"];
    if (host.qemus.contains(guest))
      written_until[guest] = {host.id, clock.now() + disk.between(Duration{0}, kLate)};
    stop_qemu(host, guest, port::StopCause::host_signal);
  }
  look_at_quiet(host, options.stays_up && !found && (!open || early), now);
}

// Part of the third rung: what is left of the guests, and what follows from there being nothing.
void Domain::look_at_quiet(Host& host, bool none, Instant now) {
  auto& ladder = *host.ladder;
  if (!none) {
    host.quiet.reset();
    return ladder.disturbed(now);
  }
  if (ladder.released()) {
    const bool unasked = options.planted == Planted::unyielded && bent();
    if (host.renew || (unasked && host.released == host.incarnation && host.storage_ok &&
                       !host.io_errors))
      renew(host);
    return;
  }
  if (!ladder.quiet(now)) return;
  host.quiet = host.incarnation;
  const auto due = *ladder.quiet_since() + counted_by_clock(kLate);
  if (now < due && options.planted != Planted::released_early) return;
  ++marks["incarnation released"];
  trace("host " + std::to_string(host.id.value) + " is released, incarnation " +
        to_text(host.incarnation));
  if (options.planted == Planted::released_unrecorded && bent()) {
    on_host(host, ms(500), [this, &host, incarnation = host.incarnation] {
      host.released = incarnation;
    });
  } else {
    host.released = host.incarnation;
  }
  ladder.release(now);
  if (host.volume_told) to_daemon(host, us(51), rights(host));
}

// The keeper begins anew, by a new number, once nothing of its own is under way.
void Domain::renew(Host& host) {
  if (host.released != host.incarnation || host.flying > 0 || !own_writes_settled(host)) return;
  ++marks["new incarnation of a boot"];
  host.renew = false;
  host.earlier.insert(host.incarnation);
  host.renewed = true;
  ++host.incarnation.number;
  for (auto& byte : host.incarnation.id.bytes) byte = static_cast<std::uint8_t>(ids.next());
  kill_keeper(host);
  start_keeper(host);
}

// The own slot, every T_F/4. Stuck storage answers nothing.
void Domain::read_back(Host& host) {
  const auto keeper = host.keeper_life;
  const bool often = host.hold.use == VolumeUse::held;
  on_host(host, often ? options.timing.disk_interval : options.timing.feed_window / 4,
          [this, &host, keeper] {
            if (host.keeper_life == keeper) read_back(host);
          });
  const Instant issued{local(host, clock.now())};
  const bool first_beat = host.beaten != Sequence{};
  on_host(host, disk.between(us(150), ms(4)) + host.storage_slow,
          [this, &host, keeper, issued, first_beat] {
    if (host.keeper_life != keeper || !host.storage_ok || host.io_errors) return;
    const auto* newest = store.cell({Region::slot, host.id.value}).newest();
    host.ladder->read_back(newest != nullptr && newest->incarnation == host.incarnation, issued);
    look_at_use(host, first_beat);
  });
}

// Not the host's business: it runs while the host is frozen, and resets what does not feed it.
void Domain::watch_dog(Host& host) {
  if (!host.powered || !host.dog.armed || host.suspended) return;
  feed(host);
  const auto due = host.dog.fed + host.dog.bites_after;
  if (clock.now() >= due) {
    ++marks["watchdog resets a host"];
    trace("the watchdog of host " + std::to_string(host.id.value) + " bites");
    power_off(host, false, kLate);
    return power_on(host, machine.between(ms(300), ms(8000)));
  }
  clock.at(std::min(due, clock.now() + kLook), [this, &host, life = host.life] {
    if (host.life == life) watch_dog(host);
  });
}

port::Rights Domain::rights(const Host& host) {
  const auto& ladder = *host.ladder;
  const auto released = host.released.value_or(host.incarnation);
  if (ladder.released() && !host.released)
    fail(129, "RecordedFirst: host " + std::to_string(host.id.value) +
                  " says that it is released, and its run directory does not");
  return {ladder.state(), ladder.act_until(), ladder.feed_until(), ladder.on_grants(),
          ladder.released() ? released : Incarnation{}};
}

bool Domain::rides_out(const Host& host) const {
  return options.ride_out && !options.fenced.contains(host.index);
}

void Domain::ask_stamp(Host& host) {
  const Instant now{local(host, clock.now())};
  const auto from = host.ladder->asks_from();
  if (!from || !host.ride->takes_part() || now < host.ride->due(*from) || !host.volume_told) return;
  to_daemon(host, us(50), port::AskStamp{host.ride->stamp(now)});
}

void Domain::extend(Host& host, Instant stamp, const std::vector<HostId>& unasked) {
  const Instant now{local(host, clock.now())};
  if (!host.ride->allows(stamp, unasked)) return;
  if (options.planted == Planted::extended_from_answer && bent()) stamp = now;
  if (host.ladder->extend_by_grants(stamp, now)) ++marks["window lengthened by grants"];
  to_daemon(host, us(50), rights(host));
}

}  // namespace wardom::sim
