// A simulated domain in which a test case places each fault by hand. A broken safety rule fails the
// case at once.
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>

#include "test/sim/faults.hpp"
#include "test/sim/run.hpp"

namespace wardom::sim {

// The fast profile, and every write that lands is acknowledged, but for a fault that is placed.
inline Options fast_options(std::uint64_t seed, std::size_t hosts, std::size_t guests) {
  Options options;
  options.seed = seed;
  options.hosts = hosts;
  options.guests = guests;
  options.timing = timing_of(Profile::fast);
  options.acks_lost = 0;
  return options;
}

// Does it with each of so many seeds; a failure names the one.
template <class Case>
void for_seeds(std::uint64_t count, Case does) {
  for (std::uint64_t seed = 1; seed <= count; ++seed) {
    INFO("seed " << seed);
    does(seed);
  }
}

struct Site {
  Domain d;

  explicit Site(const Options& options) : d(options) {
    for (auto& host : d.hosts) d.power_on(*host, ms(100));
  }
  // Started by an administrator, so many on each host in their order; protected; then `settles`.
  void bring_up_guests(std::size_t per_host, Duration settles) {
    const auto home = [&](const GuestTruth& guest) -> Host& {
      return *d.hosts[static_cast<std::size_t>(&guest - d.guests.data()) / per_host];
    };
    run_for(ms(1500));
    for (auto& guest : d.guests) {
      auto& host = home(guest);
      host.definitions[guest.id] = guest.version;
      d.run_qemu(host, guest.id, guest.version, "its administrator");
      d.to_daemon(host, us(100), port::GuestChanged{d.state_of(host, guest.id)});
    }
    run_for(ms(3000));
    for (auto& guest : d.guests) d.protect(home(guest), guest);
    run_for(settles);
    for (auto& guest : d.guests) REQUIRE(guest.is_protected);
  }
  void run_for(Duration time) {
    within(time, [] { return false; });
  }
  // Until it holds; false: it did not in this time.
  template <class Holds>
  bool within(Duration time, Holds holds) {
    d.clock.run(d.clock.now() + time, [&] { return d.violation.has_value() || holds(); });
    INFO((d.violation ? d.violation->what : ""));
    REQUIRE_FALSE(d.violation.has_value());
    return holds();
  }
  bool owns_lock(std::size_t host) {
    const auto& loop = d.hosts[host]->loop;
    return loop && loop->member().lock(loop->now().at).mine;
  }
  // Whether `wardomctl status` there says so of that place; where: empty for any.
  bool tells(std::size_t host, const std::string& what, const std::string& where = {}) {
    const auto& loop = d.hosts[host]->loop;
    if (!loop) return false;
    const auto problems = loop->member().problems(loop->now().at);
    return std::any_of(problems.begin(), problems.end(), [&](const core::Problem& problem) {
      return problem.what.find(what) != std::string::npos &&
             (where.empty() || problem.where == where);
    });
  }
  void strike_now(FaultKind kind, std::size_t host, Duration time) {
    strike(d, {0, Time{0}, kind, host, host, time});
  }
};

}  // namespace wardom::sim
