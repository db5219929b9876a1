#include "test/sim/run.hpp"

#include <cstdio>

namespace wardom::sim {
namespace {

constexpr Time kFaultsUntil = ms(32000);
constexpr Time kHeal = ms(44000);
// After the heal everything must be settled within this time: a slow placement round included.
constexpr Duration kSettle = ms(150000);
// Settled means settled for so long.
constexpr Duration kStays = ms(4000);

void build_up(Domain& d) {
  for (auto& host : d.hosts) d.power_on(*host, d.machine.between(ms(100), ms(900)));
  for (std::size_t i = 0; i < d.guests.size(); ++i) {
    auto& host = *d.hosts[i % d.hosts.size()];
    d.clock.in(ms(1500), [&d, &host, i] {
      host.definitions[d.guests[i].id] = d.guests[i].version;
      d.run_qemu(host, d.guests[i].id, d.guests[i].version, "its administrator");
      d.to_daemon(host, us(100), port::GuestChanged{d.state_of(host, d.guests[i].id)});
    });
    d.clock.in(ms(4500), [&d, &host, i] { d.protect(host, d.guests[i]); });
  }
}

bool never(const Domain& d) { return d.violation.has_value(); }

}  // namespace

Options options_of(std::uint64_t seed) {
  Options options;
  options.seed = seed;
  Stream draw(seed, 50);
  options.hosts = draw.chance(150) ? 2 : draw.chance(100) ? 5 : 3;
  options.guests = 1 + draw.below(5);
  options.timing = timing_of(Profile::fast);
  if (draw.chance(300)) {
    options.timing.beat_interval = ms(250);
    options.timing.suspect_after = ms(800);
    options.timing.disk_interval = ms(500);
  }
  return options;
}

Outcome run(const Options& options) {
  Domain d(options);
  build_up(d);
  const auto stop = [&] { return never(d); };
  Outcome outcome;
  outcome.faults = draw_faults(options, kFaultsFrom, kFaultsUntil);
  for (const auto& fault : outcome.faults)
    d.clock.at(fault.at, [&d, fault] { strike(d, fault); });
  d.clock.run(kFaultsFrom, stop);
  for (const auto& guest : d.guests)
    if (!guest.is_protected && !d.violation && outcome.faults.front().at >= kFaultsFrom)
      d.fail(128, guest.name + " could not be protected in a healthy domain");
  d.clock.run(kHeal, stop);
  if (!d.violation) d.heal();
  Time good_since = Time::max();
  while (!d.violation && d.clock.now() < kHeal + kSettle) {
    d.clock.run(d.clock.now() + ms(500), stop);
    if (!d.unsettled_guests().empty())
      good_since = Time::max();
    else if (good_since == Time::max())
      good_since = d.clock.now();
    else if (d.clock.now() - good_since >= kStays)
      break;
  }
  if (!d.violation)
    if (const auto why = d.unsettled_guests(); !why.empty()) d.fail(128, why);
  outcome.violation = d.violation;
  outcome.hash = d.hash ^ d.clock.done() ^ (d.turns << 20);
  outcome.turns = d.turns;
  outcome.ran = d.clock.now();
  outcome.marks = d.marks;
  d.unproved.clear();
  (void)d.unsettled_guests();
  if (!d.unproved.empty()) ++outcome.marks["runs that end with a guest that waits for proof"];
  if (!d.unproved.empty() && options.trace) std::printf("UNPROVED at the end\n");
  return outcome;
}

}  // namespace wardom::sim
