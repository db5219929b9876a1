// Outages of the volume that all hosts see, for longer than every lease.
#include "test/sim/site.hpp"

namespace wardom::sim {
namespace {

struct Outage : Site {
  Outage(std::uint64_t seed, std::size_t hosts, bool always = false,
         std::set<std::size_t> fenced = {})
      : Site(options(seed, hosts, always, std::move(fenced))) {
    bring_up_guests(1, ms(8000));
  }
  static Options options(std::uint64_t seed, std::size_t hosts, bool always,
                         std::set<std::size_t> fenced) {
    auto options = fast_options(seed, hosts, hosts);
    options.acks_lost = Options{}.acks_lost;  // some are, as where faults are drawn
    options.lease = options.ride_out = true;
    options.grants_always = always;
    options.fenced = std::move(fenced);
    options.isolation = IsolationResponse::leave;
    return options;
  }
  bool at_home(std::size_t host) { return d.runner(d.guests[host].id) == d.hosts[host].get(); }
  bool all_at_home() {
    for (std::size_t i = 0; i < d.hosts.size(); ++i)
      if (!at_home(i)) return false;
    return true;
  }
  std::size_t one_dies(std::uint64_t seed) {
    const auto dead = seed % d.hosts.size();
    // A decision whose acknowledgement is lost would hold a recovery up for L_late.
    for (auto& host : d.hosts) host->acks_lost = 0;
    strike_now(FaultKind::power_cut, dead, ms(0));
    run_for(ms(12000));
    return dead;
  }
  std::uint64_t resets() { return d.marks["watchdog resets a host"]; }
  bool living_on_grants(std::size_t host) {
    return d.hosts[host]->loop->member().on_grants_since().has_value();
  }
};

constexpr std::uint64_t kSeeds = 8;
constexpr Duration kLong = ms(300000);

}  // namespace

TEST_CASE("five_minutes_without_the_volume_cost_no_guest_and_no_host") {
  for_seeds(kSeeds, [&](std::uint64_t seed) {
    const std::size_t hosts = seed % 4 == 0 ? 5 : seed % 3 == 0 ? 2 : 3;
    INFO(hosts << " hosts");
    Outage site(seed, hosts, seed % 2 == 0);
    site.strike_now(FaultKind::volume_outage, 0, kLong);
    site.run_for(ms(20000));
    for (std::size_t i = 0; i < hosts; ++i) {
      CHECK(site.living_on_grants(i));
      CHECK_FALSE(site.owns_lock(i));
    }
    site.run_for(kLong);
    for (std::size_t i = 0; i < hosts; ++i) CHECK_FALSE(site.living_on_grants(i));
    CHECK(site.all_at_home());
    CHECK(site.resets() == 0);
    CHECK(site.d.unsettled_guests().empty());
  });
}

TEST_CASE("paths_that_come_and_go_cost_nothing_either") {
  for_seeds(kSeeds, [&](std::uint64_t seed) {
    Outage site(seed, 3);
    site.strike_now(FaultKind::volume_flaps, 0, ms(60000));
    site.run_for(ms(80000));
    CHECK(site.all_at_home());
    CHECK(site.resets() == 0);
  });
}

// It is granted nothing any more. Nor does it grant, and nobody may leave it out: it could be the
// one that judges. So all are fenced, and all guests are recovered, wherever the links are by then.
TEST_CASE("a_host_that_is_cut_off_in_the_outage_ends_it_for_all_and_guests_are_recovered") {
  for_seeds(kSeeds, [&](std::uint64_t seed) {
    Outage site(seed, 3);
    const auto victim = seed % 3;
    site.d.hosts[victim]->bmc.reachable = false;
    site.strike_now(FaultKind::volume_outage, 0, ms(60000));
    site.run_for(ms(15000));
    site.strike_now(FaultKind::cut_all, victim, ms(90000));
    site.run_for(ms(13000));
    CHECK(site.resets() == 3);
    for (const auto& guest : site.d.guests) CHECK(site.d.runner(guest.id) == nullptr);
    site.run_for(ms(100000));
    CHECK(site.d.unsettled_guests().empty());
  });
}

TEST_CASE("a_host_that_does_not_take_part_has_all_fenced") {
  for_seeds(3, [&](std::uint64_t seed) {
    Outage site(seed, 3, false, {seed % 3});
    site.strike_now(FaultKind::volume_outage, 0, ms(30000));
    site.run_for(ms(20000));
    CHECK(site.resets() == 3);
    for (auto& guest : site.d.guests) CHECK(site.d.runner(guest.id) == nullptr);
    site.run_for(ms(90000));
    CHECK(site.d.unsettled_guests().empty());
  });
}

// The others can use the volume: then it is its path, and its guests run better elsewhere.
TEST_CASE("a_host_that_loses_the_volume_alone_is_fenced") {
  for_seeds(kSeeds, [&](std::uint64_t seed) {
    Outage site(seed, 3);
    const auto victim = seed % 3;
    site.strike_now(FaultKind::storage_stall, victim, ms(40000));
    site.run_for(ms(11500));
    CHECK(site.resets() == 1);
    site.run_for(ms(60000));
    CHECK(site.d.unsettled_guests().empty());
    for (std::size_t i = 0; i < 3; ++i)
      if (i != victim) CHECK(site.at_home(i));
  });
}

// A dead host is not asked; and once the last other one is dead, nobody is.
TEST_CASE("the_living_ride_on_without_the_dead") {
  for_seeds(kSeeds, [&](std::uint64_t seed) {
    const std::size_t hosts = seed % 2 == 0 ? 2 : 3;
    INFO(hosts << " hosts");
    Outage site(seed, hosts);
    const auto dead = site.one_dies(seed);
    CHECK(site.d.unsettled_guests().empty());
    site.strike_now(FaultKind::volume_outage, 0, ms(60000));
    site.run_for(ms(40000));
    CHECK(site.resets() == 0);
    // It comes back, and cannot join before the volume does.
    site.d.power_on(*site.d.hosts[dead], ms(500));
    site.run_for(ms(40000));
    CHECK(site.resets() == 0);
    for (const auto& guest : site.d.guests) CHECK(site.d.runner(guest.id) != nullptr);
  });
}

// It returns with a path to the volume that the others have lost. It is asked again as soon as it
// is heard, grants nothing, and times them once they are known to know it.
TEST_CASE("a_dead_host_that_returns_takes_nothing_from_who_lives") {
  for_seeds(kSeeds, [&](std::uint64_t seed) {
    const std::size_t hosts = seed % 2 == 0 ? 2 : 3;
    INFO(hosts << " hosts");
    Outage site(seed, hosts);
    const auto dead = site.one_dies(seed);
    for (std::size_t i = 0; i < hosts; ++i) {
      if (i == dead) continue;
      site.d.hosts[i]->bmc.reachable = false;
      site.strike_now(FaultKind::storage_stall, i, ms(100000));
    }
    site.run_for(ms(20000));
    CHECK(site.resets() == 0);
    const bool heard = seed % 4 < 2;
    if (!heard) site.strike_now(FaultKind::cut_all, dead, ms(60000));
    site.d.power_on(*site.d.hosts[dead], ms(500));
    site.run_for(ms(60000));
    if (heard)
      CHECK(site.resets() > 0);
    else
      CHECK(site.resets() == 0);
    if (heard)
      for (const auto& guest : site.d.guests)
        CHECK(site.d.runner(guest.id) == site.d.hosts[dead].get());
  });
}

}  // namespace wardom::sim
