#include "test/sim/run.hpp"

namespace wardom::sim {
namespace {

// After a round's first possible fault.
constexpr Duration kHeal = ms(32000);
// After the heal everything must be settled within this time: a slow placement round included.
constexpr Duration kSettle = ms(150000);
// Settled means settled for so long.
constexpr Duration kStays = ms(4000);
// Between two rounds: hosts boot, guests are protected anew.
constexpr Duration kPause = ms(24000);

void build_up(Domain& d) {
  for (auto& host : d.hosts) d.power_on(*host, d.machine.between(ms(100), ms(900)));
  std::vector<Host*> homes;
  for (auto& host : d.hosts)
    if (host->file.members.test(host->index)) homes.push_back(host.get());
  for (std::size_t i = 0; i < d.guests.size(); ++i) {
    auto& host = *homes[i % homes.size()];
    d.clock.in(ms(1500), [&d, &host, i] {
      host.definitions[d.guests[i].id] = d.guests[i].version;
      d.run_qemu(host, d.guests[i].id, d.guests[i].version, "its administrator");
      d.from_libvirt(host, us(100), port::GuestChanged{d.state_of(host, d.guests[i].id)});
    });
    d.clock.in(ms(4500), [&d, &host, i] { d.protect(host, d.guests[i]); });
  }
}

// Every host is up and every guest protected, for the next round.
void repair(Domain& d) {
  d.healed = false;
  for (auto& host : d.hosts) d.power_on(*host, d.machine.between(ms(300), ms(3000)));
  d.clock.in(kPause / 2, [&d] {
    for (auto& guest : d.guests) {
      for (auto& host : d.hosts)
        if (!guest.wanted && !guest.managed && d.admin_start(*host, guest)) break;
      if (auto* host = d.runner(guest.id); host != nullptr && !guest.is_protected)
        d.protect(*host, guest);
    }
  });
}

// Each host gets the next release some time during the first round, and some hosts lose it again.
void plan_upgrades(Domain& d) {
  const auto newest = wire::spoken_levels().newest;
  Stream draw(d.options.seed, 56);
  for (auto& one : d.hosts) {
    auto& host = *one;
    d.clock.at(draw.between(kFaultsFrom, kFaultsFrom + ms(24000)),
               [&d, &host, newest] { d.install(host, newest); });
    const auto back = draw.between(kFaultsFrom, kFaultsFrom + kHeal);
    if (draw.chance(200)) d.clock.at(back, [&d, &host] { d.install(host, kFirstLevel); });
  }
}

// Each host gets the next wardom.toml some time during the first round, is restarted then or later,
// and loses the file again in some runs. Who leaves the domain mostly does so in order.
void plan_rollout(Domain& d) {
  const auto& next = *d.options.next_file;
  Stream draw(d.options.seed, 57);
  for (auto& one : d.hosts) {
    auto& host = *one;
    const auto at = draw.between(kFaultsFrom, kFaultsFrom + ms(20000));
    const auto later = draw.chance(700) ? draw.between(ms(10), ms(500)) : ms(3600000);
    d.clock.at(at, [&d, &host, next, later] { d.reconfigure(host, next, later); });
    const auto back = draw.between(kFaultsFrom, kFaultsFrom + kHeal);
    if (draw.chance(250))
      d.clock.at(back, [&d, &host] { d.reconfigure(host, *d.options.file, ms(100)); });
    if (host.file.members.test(host.index) && !next.members.test(host.index) && draw.chance(700))
      d.clock.at(kFaultsFrom, [&d, &host] { d.leave(host); });
  }
}

// Once in a few seconds, mostly by little, at times by years, ahead or back.
void step_wall_clock(Domain& d, Host& host, Stream draw) {
  d.clock.in(draw.between(ms(20), ms(9000)), [&d, &host, draw]() mutable {
    const auto most = draw.chance(300) ? std::uint64_t{1} << 38 : std::uint64_t{20'000};
    const auto step = static_cast<std::int64_t>(draw.below(most));
    host.wall_off_ms = draw.chance(500) ? step : -step;
    step_wall_clock(d, host, draw);
  });
}

void settle(Domain& d) {
  const auto stop = [&d] { return d.violation.has_value(); };
  const auto until = d.clock.now() + kSettle;
  Time good_since = Time::max();
  while (!d.violation && d.clock.now() < until) {
    d.clock.run(d.clock.now() + ms(500), stop);
    if (!d.unsettled_guests().empty())
      good_since = Time::max();
    else if (good_since == Time::max())
      good_since = d.clock.now();
    else if (d.clock.now() - good_since >= kStays)
      return;
  }
  if (const auto why = d.unsettled_guests(); !d.violation && !why.empty()) d.fail(128, why);
}

std::vector<Fault> run_round(Domain& d, std::size_t round) {
  const auto stop = [&d] { return d.violation.has_value(); };
  const auto begin = d.clock.now();
  auto faults = draw_faults(d.options, round);
  for (const auto& fault : faults)
    d.clock.at(begin + fault.at, [&d, fault] { strike(d, fault); });
  d.clock.run(begin + kHeal, stop);
  if (!d.violation) d.heal();
  if (d.options.upgrades)
    for (auto& host : d.hosts) d.install(*host, wire::spoken_levels().newest);
  if (d.options.next_file)
    for (auto& host : d.hosts)
      d.reconfigure(*host, d.options.taken_back ? *d.options.file : *d.options.next_file, ms(10));
  settle(d);
  return faults;
}

}  // namespace

Options options_of(std::uint64_t seed) {
  Options options;
  options.seed = seed;
  Stream draw(seed, 50);
  options.hosts = draw.chance(150) ? 2 : draw.chance(100) ? 5 : 3;
  options.guests = 1 + draw.below(5);
  options.timing = timing_of(Profile::fast);
  options.lease = draw.chance(800);
  options.quorum = Stream(seed, 53).chance(600);
  options.stays_up = Stream(seed, 54).chance(600);
  options.moves = Stream(seed, 57).chance(500);
  options.fences = Stream(seed, 59).chance(500);
  options.pacemaker = Stream(seed, 63).chance(400);
  // The schedules of seeds that are kept from before there were any stay as they were.
  const bool before = seed > 100'000 && seed < 95'000'000;
  options.migrates = !before && Stream(seed, 64).chance(500);
  options.upgrades = wire::spoken_levels().newest > kFirstLevel;
  // A schedule has little more time than the default delay.
  Stream isolation(seed, 51);
  options.timing.isolation_delay = isolation.chance(800) ? ms(3000) : ms(9000);
  options.timing.shutdown_patience = isolation.between(ms(1000), ms(8000));
  Stream outage(seed, 52);
  options.ride_out = options.lease && outage.chance(700);
  options.grants_always = options.ride_out && outage.chance(400);
  if (outage.chance(100)) options.fenced.insert(outage.below(options.hosts));
  if (draw.chance(300)) {
    options.timing.beat_interval = ms(250);
    options.timing.suspect_after = ms(800);
    options.timing.disk_interval = ms(500);
  }
  return options;
}

// One host more, or less, or on another address; now and then more than one of these.
void draw_rollout(Options& options) {
  Stream draw(options.seed, 58);
  options.hosts = draw.chance(500) ? 3 : draw.chance(500) ? 4 : 5;
  HostsFile before, next;
  const auto all = (Places{}.set() >> (kMaxHosts - options.hosts));
  before.members = next.members = all;
  const auto one = draw.below(options.hosts);
  const auto other = (one + 1 + draw.below(options.hosts - 1)) % options.hosts;
  const auto kind = draw.below(10);
  if (kind < 4 || kind == 8) before.members.reset(one);
  if (kind >= 4 && kind < 7) next.members.reset(one);
  if (kind >= 7) next.moved[draw.below(kLinks)].set(other);
  if (kind == 9) next.moved[draw.below(kLinks)].set(one);
  if (kind < 7 && draw.chance(200) && options.hosts > 3) next.members.reset(other);
  if (before.members.count() < 2) before.members = all;
  options.file = before;
  options.next_file = next;
  options.taken_back = draw.chance(300);
}

Outcome run(const Options& options) {
  removed_barriers.reset();
  Domain d(options);
  build_up(d);
  if (options.upgrades) plan_upgrades(d);
  if (options.next_file) plan_rollout(d);
  if (options.wall_steps)
    for (auto& host : d.hosts)
      step_wall_clock(d, *host, Stream(options.seed, 900u + host->id.value));
  const auto stop = [&d] { return d.violation.has_value(); };
  d.clock.run(kFaultsFrom, stop);
  for (const auto& guest : d.guests)
    if (!guest.is_protected && !d.violation)
      d.fail(128, guest.name + " could not be protected in a healthy domain");
  if (options.pacemaker) d.begin_managing();
  if (options.migrates) d.begin_moving();
  for (Barrier barrier : options.without) removed_barriers.set(static_cast<std::size_t>(barrier));
  Outcome outcome;
  for (std::size_t round = 0; !d.violation; ++round) {
    const auto faults = run_round(d, round);
    outcome.faults.insert(outcome.faults.end(), faults.begin(), faults.end());
    if (d.violation || d.clock.now() >= options.length) break;
    repair(d);
    d.clock.run(d.clock.now() + kPause, stop);
  }
  for (const auto& host : d.hosts)
    if (host->loop && host->loop->member().level() > kFirstLevel)
      ++d.marks["hosts at a later level"];
  outcome.violation = d.violation;
  outcome.acts = d.acts;
  outcome.hash = d.hash ^ d.acts ^ d.clock.done() ^ (d.turns << 20);
  outcome.turns = d.turns;
  outcome.ran = d.clock.now();
  d.unproved.clear();
  (void)d.unsettled_guests();
  if (!d.unproved.empty()) ++d.marks["runs that end with a guest that waits for proof"];
  if (!d.unproved.empty()) d.trace("UNPROVED at the end");
  outcome.marks = d.marks;
  return outcome;
}

std::vector<Fault> shrink(Options options, const Outcome& failed, int runs) {
  auto best = failed.faults;
  options.trace = false;
  const auto still_fails = [&](const std::vector<Fault>& faults) {
    if (runs-- <= 0) return false;
    options.faults = faults;
    const auto outcome = run(options);
    return outcome.violation && outcome.violation->exit_code == failed.violation->exit_code;
  };
  for (bool smaller = true; smaller && runs > 0;) {
    smaller = false;
    for (std::size_t i = best.size(); i-- > 0;) {
      auto fewer = best;
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
      if (!still_fails(fewer)) continue;
      best = std::move(fewer);
      smaller = true;
    }
    for (std::size_t i = 0; i < best.size(); ++i) {
      auto shorter = best;
      shorter[i].lasts = std::chrono::floor<std::chrono::milliseconds>(best[i].lasts / 2);
      if (shorter[i].lasts < ms(50) || !still_fails(shorter)) continue;
      best = std::move(shorter);
      smaller = true;
    }
  }
  return best;
}

}  // namespace wardom::sim
