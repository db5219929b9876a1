// Hosts that are cut off from the rest, and what becomes of their guests.
#include "test/sim/site.hpp"

namespace wardom::sim {
namespace {

constexpr Duration kDelay = ms(3000);
constexpr Duration kPatience = ms(4000);
// From a yield to the first instruction elsewhere: the decider looks at the table of a host that it
// does not hear every 2 s; then two decisions, a claim, reads of all cells, and a start of 0.6 s.
constexpr Duration kStarts = ms(5000);
// What an isolated decider takes to give the lock up, the others to take it, and it to read so.
constexpr Duration kOthersDecide = ms(6000);

struct Isolation : Site {
  explicit Isolation(std::uint64_t seed, std::size_t hosts = 3) : Site(options(seed, hosts)) {
    for (std::size_t i = 0; i < d.guests.size(); ++i) {
      constexpr IsolationResponse kAll[] = {IsolationResponse::leave, IsolationResponse::shutdown,
                                            IsolationResponse::kill};
      d.guests[i].isolation = kAll[i % 3];
    }
    bring_up_guests(3, ms(5500));
  }
  static Options options(std::uint64_t seed, std::size_t hosts) {
    auto options = fast_options(seed, hosts, 3 * hosts);  // each host has one of each response
    options.timing.isolation_delay = kDelay;
    options.timing.shutdown_patience = kPatience;
    options.lease = seed % 2 == 0;
    return options;
  }
  GuestTruth& guest(std::size_t host, IsolationResponse response) {
    return d.guests[3 * host + static_cast<std::size_t>(response)];
  }
  void cut(std::size_t host, Duration time) {
    strike_now(FaultKind::cut_all, host, time);
  }
  bool at_home(std::size_t host, IsolationResponse response) {
    return d.runner(guest(host, response).id) == d.hosts[host].get();
  }
  bool elsewhere(std::size_t host, IsolationResponse response) {
    const auto* runner = d.runner(guest(host, response).id);
    return runner != nullptr && runner != d.hosts[host].get();
  }
  bool all_at_home(std::size_t host) {
    return at_home(host, IsolationResponse::leave) && at_home(host, IsolationResponse::shutdown) &&
           at_home(host, IsolationResponse::kill);
  }
};

constexpr std::uint64_t kSeeds = 12;

}  // namespace

TEST_CASE("an_isolated_hosts_guests_run_elsewhere_if_they_are_to") {
  for_seeds(kSeeds, [&](std::uint64_t seed) {
    Isolation sim(seed);
    const auto victim = seed % 3;
    for (std::size_t i = 0; i < 3; ++i)
      sim.d.hosts[i]->deaf_guests = seed % 4 == 0 ? 1000 : 300;
    sim.cut(victim, ms(60000));
    sim.run_for(kDelay - ms(200));
    CHECK(sim.all_at_home(victim));
    sim.run_for(ms(2500) + kOthersDecide + kStarts);
    CHECK(sim.elsewhere(victim, IsolationResponse::kill));
    sim.run_for(kPatience);
    CHECK(sim.elsewhere(victim, IsolationResponse::shutdown));
    CHECK(sim.at_home(victim, IsolationResponse::leave));
    for (std::size_t other = 0; other < 3; ++other)
      if (other != victim) CHECK(sim.all_at_home(other));
    sim.run_for(ms(55000));  // the links are back
    CHECK(sim.elsewhere(victim, IsolationResponse::kill));
    CHECK(sim.elsewhere(victim, IsolationResponse::shutdown));
    CHECK(sim.at_home(victim, IsolationResponse::leave));
    CHECK(sim.d.unsettled_guests().empty());
  });
}

TEST_CASE("links_that_return_in_time_leave_everything_as_it_was") {
  for_seeds(kSeeds, [&](std::uint64_t seed) {
    Isolation sim(seed);
    sim.cut(seed % 3, kDelay);  // what counts begins only when the others' slots have been read
    sim.run_for(ms(20000));
    for (std::size_t host = 0; host < 3; ++host) CHECK(sim.all_at_home(host));
  });
}

// Between the word on the volume and the deed there is a moment in which nothing is lost yet.
TEST_CASE("links_that_return_while_the_response_is_recorded_call_it_off") {
  std::uint64_t called_off = 0;
  std::uint64_t killed = 0;
  for (int step = 0; step < 40; ++step) {
    INFO("step " << step);
    Isolation sim(3);
    sim.d.hosts[2]->storage_slow = ms(300);
    const auto before = sim.d.marks["guest killed by order"];
    sim.cut(2, kDelay + ms(50) * step);
    sim.run_for(kDelay + ms(5000));
    called_off += sim.d.marks["isolation response called off"];
    killed += sim.d.marks["guest killed by order"] - before;
    sim.d.hosts[2]->storage_slow = ms(0);
    sim.run_for(kPatience + kStarts + ms(10000));
    CHECK(sim.at_home(2, IsolationResponse::leave));
    CHECK(sim.d.unsettled_guests().empty());
  }
  CHECK(called_off > 0);
  CHECK(killed > 0);
}

TEST_CASE("links_that_return_in_the_middle_of_a_shutdown_do_not_stop_it") {
  for_seeds(kSeeds, [&](std::uint64_t seed) {
    Isolation sim(seed);
    const auto victim = 1 + seed % 2;  // the decider's isolation would begin later
    auto& host = *sim.d.hosts[victim];
    host.deaf_guests = 1000;
    sim.cut(victim, kDelay + ms(3000));
    sim.run_for(kDelay + ms(3200));
    CHECK(sim.at_home(victim, IsolationResponse::shutdown));
    CHECK(sim.d.marks["guest asked to shut down"] == 1);
    if (seed % 2 == 0) {  // nor does another daemon
      sim.d.kill_daemon(host);
      sim.d.start_daemon(host);
    }
    const auto killed = sim.d.marks["guest killed by order"];
    sim.run_for(2 * kPatience + kStarts + ms(5000));
    CHECK(sim.d.marks["guest killed by order"] == killed + 1);
    CHECK(sim.d.runner(sim.guest(victim, IsolationResponse::shutdown).id) != nullptr);
    CHECK(sim.at_home(victim, IsolationResponse::leave));
    CHECK(sim.d.unsettled_guests().empty());
  });
}

TEST_CASE("two_of_five_hosts_give_their_guests_to_the_three_that_decide") {
  for_seeds(kSeeds, [&](std::uint64_t seed) {
    Isolation sim(seed, 5);
    for (std::size_t a = 0; a < 5; ++a)
      for (std::size_t b = 0; b < 5; ++b)
        if ((a < 2) != (b < 2)) sim.d.cut[a][b][0] = sim.d.cut[a][b][1] = true;
    sim.run_for(kDelay + kPatience + kOthersDecide + 2 * kStarts);
    for (std::size_t host = 0; host < 5; ++host) {
      CHECK(sim.at_home(host, IsolationResponse::leave));
      for (auto ended : {IsolationResponse::shutdown, IsolationResponse::kill}) {
        const auto* runner = sim.d.runner(sim.guest(host, ended).id);
        REQUIRE(runner != nullptr);
        CHECK(runner->index >= 2);
        if (host >= 2) CHECK(sim.at_home(host, ended));
      }
    }
    sim.d.heal();
    sim.run_for(ms(15000));
    CHECK(sim.d.unsettled_guests().empty());
  });
}

TEST_CASE("hosts_that_are_all_alone_end_no_guest") {
  Isolation sim(5);
  for (std::size_t host = 0; host < 3; ++host) sim.cut(host, ms(30000));
  sim.run_for(ms(25000));
  for (std::size_t host = 0; host < 3; ++host) CHECK(sim.all_at_home(host));
  sim.run_for(ms(15000));
  for (std::size_t host = 0; host < 3; ++host) CHECK(sim.all_at_home(host));
}

}  // namespace wardom::sim
