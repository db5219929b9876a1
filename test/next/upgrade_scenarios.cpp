// Hosts of two adjacent releases in one domain, upgraded and set back by hand.
#include "test/sim/site.hpp"

namespace wardom::sim {
namespace {

constexpr Level kNext{2};

struct Upgrade : Site {
  explicit Upgrade(std::uint64_t seed) : Site(options(seed)) { bring_up_guests(1, ms(8000)); }
  static Options options(std::uint64_t seed) {
    auto options = fast_options(seed, 3, 3);
    options.lease = true;
    options.upgrades = true;
    return options;
  }
  Host& host(std::size_t index) { return *d.hosts[index]; }
  void install(std::size_t index, Level newest) {
    d.install(host(index), newest);
    run_for(ms(8000));
  }
  bool all_at(Level level) {
    return std::all_of(d.hosts.begin(), d.hosts.end(), [&](const auto& one) {
      return one->loop && one->loop->member().ready() && one->loop->member().level() == level;
    });
  }
  bool all_run_at_home() {
    return std::all_of(d.guests.begin(), d.guests.end(), [&](const auto& guest) {
      return d.runner(guest.id) == &host(static_cast<std::size_t>(&guest - d.guests.data()));
    });
  }
};

}  // namespace

TEST_CASE("level_rises_once_every_host_speaks_it_and_no_guest_is_touched") {
  for_seeds(10, [&](std::uint64_t seed) {
    Upgrade u(seed);
    REQUIRE(wire::spoken_levels().newest == kNext);
    const auto started = u.d.qemus_started;
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(u.all_at(kFirstLevel));
      u.install(i, kNext);
    }
    CHECK(u.within(ms(20000), [&] { return u.all_at(kNext); }));
    CHECK(u.d.qemus_started == started);
    CHECK(u.all_run_at_home());
    CHECK(u.d.verdicts.empty());
  });
}

TEST_CASE("mixed_releases_recover_each_others_guests") {
  for_seeds(10, [&](std::uint64_t seed) {
    for (std::size_t victim = 0; victim < 3; ++victim) {
      INFO("victim " << victim);
      Upgrade u(seed);
      u.install(0, kNext);
      if (seed % 2 == 0) u.install(1, kNext);
      u.strike_now(FaultKind::power_cut, victim, ms(0));
      CHECK(u.within(ms(10000), [&] {
        const auto* runner = u.d.runner(u.d.guests[victim].id);
        return runner != nullptr && runner != &u.host(victim);
      }));
      const auto& other = u.host((victim + 1) % 3);
      REQUIRE(other.loop);
      CHECK(other.loop->member().level() == kFirstLevel);
    }
  });
}

TEST_CASE("level_waits_for_a_host_that_is_away") {
  Upgrade u(3);
  u.strike_now(FaultKind::power_cut, 2, ms(0));
  u.run_for(ms(5000));
  u.install(0, kNext);
  u.install(1, kNext);
  u.run_for(ms(20000));
  CHECK(u.host(0).loop->member().level() == kFirstLevel);
  u.install(2, kNext);  // while it is off
  u.d.power_on(u.host(2), ms(500));
  CHECK(u.within(ms(60000), [&] { return u.all_at(kNext); }));
}

TEST_CASE("level_outlives_every_daemon_and_keeper") {
  Upgrade u(4);
  for (std::size_t i = 0; i < 3; ++i) u.install(i, kNext);
  REQUIRE(u.within(ms(20000), [&] { return u.all_at(kNext); }));
  for (auto& one : u.d.hosts) u.d.kill_daemon(*one);
  for (auto& one : u.d.hosts) u.d.kill_keeper(*one);
  u.run_for(ms(100));
  for (auto& one : u.d.hosts) u.d.start_keeper(*one);
  for (auto& one : u.d.hosts) u.d.start_daemon(*one);
  CHECK(u.within(ms(30000), [&] { return u.all_at(kNext); }));
  CHECK(u.all_run_at_home());
}

TEST_CASE("older_release_is_refused_and_told_of") {
  for_seeds(5, [&](std::uint64_t seed) {
    Upgrade u(seed);
    for (std::size_t i = 0; i < 3; ++i) u.install(i, kNext);
    REQUIRE(u.within(ms(20000), [&] { return u.all_at(kNext); }));
    // Its keeper is of the next release still, so that its lease goes on and its guest with it.
    auto& old = u.host(1);
    u.d.kill_daemon(old);
    old.speaks.newest = kFirstLevel;
    u.run_for(ms(300));
    u.d.start_daemon(old);
    CHECK(u.within(ms(10000),
                   [&] { return u.tells(1, "older release than the domain", "host 2"); }));
    const auto before = u.d.store.cell({Region::table, 2}).newest()->sequence;
    CHECK(u.within(ms(10000), [&] {
      return u.tells(0, "runs an older release", "host 2") &&
             u.tells(2, "runs an older release", "host 2");
    }));
    u.run_for(ms(20000));
    CHECK(u.all_run_at_home());
    CHECK(u.host(0).loop->member().split_groups().empty());  // it hears nobody, as it says
    CHECK(u.d.store.cell({Region::table, 2}).newest()->sequence == before);
    CHECK_FALSE(old.loop->member().ready());
    u.d.kill_daemon(old);
    old.speaks.newest = kNext;
    u.d.start_daemon(old);
    CHECK(u.within(ms(20000), [&] { return u.all_at(kNext); }));
    CHECK(u.within(ms(20000), [&] { return !u.tells(0, "runs an older release", "host 2"); }));
    CHECK(u.all_run_at_home());
  });
}

// Every cell is written anew once the level has risen, also of hosts that decide nothing: then the
// release after the next one, which does not read the first level any more, can be installed.
TEST_CASE("release_after_the_next_finds_no_cell_that_it_cannot_read") {
  for_seeds(5, [&](std::uint64_t seed) {
    Upgrade u(seed);
    // Each has decided once, and so has a decision cell.
    for (std::size_t i = 0; i < 3; ++i) {
      for (std::size_t other = 0; other < 3; ++other)
        if (other != i) u.d.kill_daemon(u.host(other));
      u.run_for(ms(3000));
      for (std::size_t other = 0; other < 3; ++other)
        if (other != i) u.d.start_daemon(u.host(other));
      CHECK(u.within(ms(15000), [&] { return u.all_at(kFirstLevel); }));
    }
    for (std::size_t i = 0; i < 3; ++i) u.install(i, kNext);
    const auto all_new = [&] {
      return u.all_at(kNext) &&
             std::all_of(u.d.hosts.begin(), u.d.hosts.end(), [&](const auto& one) {
               return one->loop->member().oldest_level() == kNext;
             });
    };
    CHECK(u.within(ms(30000), all_new));
    for (std::size_t i = 0; i < 3; ++i) {
      const auto id = u.host(i).id.value;
      for (const Cell& cell : {Cell{Region::slot, id}, Cell{Region::ballot, kBallotBase + id},
                               Cell{Region::decision, id}, Cell{Region::table, id}}) {
        const auto* newest = u.d.store.cell(cell).newest();
        CHECK((newest == nullptr || newest->level == kNext));
      }
      u.d.install(u.host(i), Levels{kNext, kNext});
      u.run_for(ms(8000));
    }
    CHECK(u.within(ms(20000), all_new));
    CHECK(u.all_run_at_home());
    CHECK(u.d.verdicts.empty());
    u.strike_now(FaultKind::power_cut, 2, ms(0));
    CHECK(u.within(ms(10000), [&] {
      const auto* runner = u.d.runner(u.d.guests[2].id);
      return runner != nullptr && runner != &u.host(2);
    }));
  });
}

TEST_CASE("release_installed_too_early_takes_no_part") {
  Upgrade u(6);
  auto& early = u.host(1);
  u.d.kill_daemon(early);
  early.speaks = {kNext, kNext};
  u.run_for(ms(300));
  u.d.start_daemon(early);
  CHECK(u.within(ms(10000), [&] { return u.tells(1, "a release in between was left out"); }));
  u.run_for(ms(20000));
  CHECK(u.all_run_at_home());
  CHECK(u.host(0).loop->member().level() == kFirstLevel);
  CHECK(u.host(2).loop->member().split_groups().empty());
  u.d.kill_daemon(early);
  early.speaks = {kFirstLevel, kNext};
  u.d.start_daemon(early);
  CHECK(u.within(ms(20000), [&] { return u.all_at(kFirstLevel); }));
}

}  // namespace wardom::sim
