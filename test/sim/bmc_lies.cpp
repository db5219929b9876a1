// A BMC that has lied in a boot of its host proves nothing about that boot: not to those who did
// not see the lie, nor to a daemon that was not there then.
#include "libha/wire/decision.hpp"
#include "libha/wire/layout.hpp"
#include "test/sim/site.hpp"

namespace wardom::sim {
namespace {

constexpr std::uint64_t kSeeds = 6;
constexpr std::size_t kHosts = 4;

struct Liar : Site {
  // No lease: only a BMC can prove a death.
  explicit Liar(std::uint64_t seed) : Site(fast_options(seed, kHosts, kHosts)) {
    bring_up_guests(1, ms(8000));
  }
  const core::Member& member(std::size_t host) { return d.hosts[host]->loop->member(); }
  std::size_t owner() {
    std::size_t found = kHosts;
    REQUIRE(within(ms(15000), [&] {
      for (std::size_t i = 0; i < kHosts; ++i)
        if (owns_lock(i)) found = i;
      return found < kHosts;
    }));
    return found;
  }
  std::size_t next_in_line() {
    for (std::size_t i = 0; i < kHosts; ++i)
      if (member(i).lock(d.hosts[i]->loop->now().at).backup) return i;
    FAIL("nobody is next in line");
    return kHosts;
  }
  std::size_t other_than(std::size_t a, std::size_t b) {
    std::size_t host = 0;
    while (host == a || host == b) ++host;
    return host;
  }
  bool distrusts(std::size_t host, std::size_t victim) {
    return tells(host, "distrusted", "host " + std::to_string(d.hosts[victim]->id.value));
  }
  bool all_distrust(std::size_t victim) {
    for (std::size_t i = 0; i < kHosts; ++i)
      if (!distrusts(i, victim)) return false;
    return true;
  }
  bool nobody_distrusts(std::size_t victim) {
    for (std::size_t i = 0; i < kHosts; ++i)
      if (distrusts(i, victim)) return false;
    return true;
  }
  bool recorded(std::size_t victim) {
    const auto& loop = d.hosts[owner()]->loop;
    const auto decision = wire::decode_decision(
        d.store.read(wire::decision_cell(d.hosts[owner()]->id)).payload);
    return loop && decision && !decision.value().lying_bmcs.empty() &&
           decision.value().lying_bmcs.front().host == d.hosts[victim]->id;
  }
  // To one host, until that one has seen it; the others read the truth all the time.
  void lie_to(std::size_t host, std::size_t victim) {
    auto& bmc = d.hosts[victim]->bmc;
    bmc.lies_to.reset();
    bmc.lies_to.set(host);
    bmc.lies_off = true;
    REQUIRE(within(ms(10000), [&] { return distrusts(host, victim); }));
    bmc.lies_off = false;
  }
  // `wardomctl host trust-bmc` on that host.
  void trust_bmc(std::size_t host, std::size_t victim) {
    core::OperatorAsk ask;
    ask.from = d.hosts[host]->id;
    ask.request = Ticket{d.ids.next() | (1ULL << 63)};
    ask.wish = core::Wish::trust_bmc;
    ask.host = d.hosts[victim]->id;
    d.hosts[host]->replies[ask.request.value] = {d.guests[0].id, true};
    d.to_daemon(*d.hosts[host], us(10), core::Input{ask});
  }
  void restart_daemon(std::size_t host) {
    strike_now(FaultKind::daemon_kill, host, ms(1600));
    run_for(ms(3000));
  }
  // The lie begins anew, for all, and every path to its host is lost.
  void lie_with_silence(std::size_t victim) {
    run_for(ms(3000));  // whoever watches that BMC has read it on
    auto& bmc = d.hosts[victim]->bmc;
    bmc.lies_to.set();
    bmc.lies_off = true;
    strike_now(FaultKind::hang, victim, ms(8000));
  }
  // Who believes it pronounces a host dead that has power.
  void nobody_believes_it(std::size_t victim) {
    lie_with_silence(victim);
    run_for(ms(9000));
    d.hosts[victim]->bmc.lies_off = false;
    run_for(ms(8000));
    CHECK(d.runner(d.guests[victim].id) == d.hosts[victim].get());
  }
};

}  // namespace

// What makes the cases below sharp: without a lie before, the second one would be believed. It is
// outside of what can be promised.
TEST_CASE("a_first_lie_that_begins_with_the_silence_is_believed") {
  for_seeds(kSeeds, [&](std::uint64_t seed) {
    Liar sim(seed);
    sim.lie_with_silence(sim.other_than(sim.owner(), sim.next_in_line()));
    sim.d.clock.run(sim.d.clock.now() + ms(9000), [&] { return sim.d.violation.has_value(); });
    REQUIRE(sim.d.violation);
    CHECK(sim.d.violation->what.find("DeadMeansStopped") != std::string::npos);
  });
}

TEST_CASE("a_lie_that_only_the_next_in_line_saw_is_known_to_the_decider") {
  for_seeds(kSeeds, [&](std::uint64_t seed) {
    Liar sim(seed);
    const auto owner = sim.owner();
    const auto witness = sim.next_in_line();
    const auto victim = sim.other_than(owner, witness);
    sim.lie_to(witness, victim);
    // The next beat goes at once.
    CHECK(sim.within(ms(50), [&] { return sim.distrusts(owner, victim); }));
    CHECK(sim.within(ms(500), [&] { return sim.all_distrust(victim); }));
    sim.strike_now(FaultKind::daemon_kill, witness, ms(60000));
    CHECK(sim.owner() == owner);
    sim.nobody_believes_it(victim);
  });
}

TEST_CASE("a_lie_that_only_the_decider_saw_is_known_to_the_next_one") {
  for_seeds(kSeeds, [&](std::uint64_t seed) {
    Liar sim(seed);
    const auto owner = sim.owner();
    const auto victim = sim.other_than(owner, sim.next_in_line());
    sim.lie_to(owner, victim);
    REQUIRE(sim.within(ms(500), [&] { return sim.recorded(victim); }));
    sim.restart_daemon(owner);
    CHECK(sim.owner() != owner);
    CHECK(sim.within(ms(1000), [&] { return sim.recorded(victim); }));
    sim.nobody_believes_it(victim);
  });
}

TEST_CASE("a_lie_is_known_after_every_daemon_has_started_anew") {
  for_seeds(kSeeds, [&](std::uint64_t seed) {
    Liar sim(seed);
    const auto owner = sim.owner();
    const auto victim = sim.other_than(owner, sim.next_in_line());
    sim.lie_to(owner, victim);
    for (std::size_t i = 0; i < kHosts; ++i) sim.restart_daemon(i);
    // All at once as well: then nobody is left who could tell.
    for (std::size_t i = 0; i < kHosts; ++i)
      sim.strike_now(FaultKind::daemon_kill, i, ms(1600));
    sim.run_for(ms(6000));
    CHECK(sim.all_distrust(victim));
    sim.nobody_believes_it(victim);
  });
}

TEST_CASE("a_lock_is_not_taken_by_the_word_of_an_owners_lying_bmc") {
  for_seeds(kSeeds, [&](std::uint64_t seed) {
    Liar sim(seed);
    const auto victim = sim.owner();
    const auto witness = sim.next_in_line();
    sim.lie_to(witness, victim);
    REQUIRE(sim.within(ms(500), [&] { return sim.recorded(victim); }));
    for (std::size_t i = 0; i < kHosts; ++i)
      if (i != victim) sim.strike_now(FaultKind::daemon_kill, i, ms(1600));
    sim.run_for(ms(4000));
    CHECK(sim.owner() == victim);
    sim.nobody_believes_it(victim);
  });
}

TEST_CASE("a_new_boot_clears_its_bmc") {
  for_seeds(kSeeds, [&](std::uint64_t seed) {
    Liar sim(seed);
    const auto owner = sim.owner();
    const auto victim = sim.other_than(owner, sim.next_in_line());
    sim.lie_to(owner, victim);
    REQUIRE(sim.within(ms(1000), [&] { return sim.all_distrust(victim); }));
    sim.strike_now(FaultKind::reset, victim, ms(2000));
    CHECK(sim.within(ms(30000), [&] { return sim.nobody_distrusts(victim); }));
    CHECK(sim.within(ms(1000), [&] { return !sim.recorded(victim); }));
    sim.run_for(ms(15000));
    CHECK(sim.nobody_distrusts(victim));
    sim.strike_now(FaultKind::power_cut, victim, ms(0));
    CHECK(sim.within(ms(5000), [&] {
      return sim.d.verdict_seen(sim.d.hosts[victim]->id, sim.d.hosts[victim]->incarnation);
    }));
  });
}

// All are told, also who has seen the lie; the proof by that BMC is as good as before.
TEST_CASE("an_operator_calls_a_bmc_mended") {
  for_seeds(kSeeds, [&](std::uint64_t seed) {
    Liar sim(seed);
    const auto owner = sim.owner();
    const auto witness = sim.next_in_line();
    const auto victim = sim.other_than(owner, witness);
    sim.lie_to(witness, victim);
    REQUIRE(sim.within(ms(1000), [&] { return sim.all_distrust(victim); }));
    sim.trust_bmc(seed % kHosts, victim);
    CHECK(sim.within(ms(2000), [&] { return sim.nobody_distrusts(victim); }));
    sim.restart_daemon(owner);
    CHECK(sim.within(ms(10000), [&] { return sim.nobody_distrusts(victim); }));
    sim.run_for(ms(3000));
    sim.strike_now(FaultKind::power_cut, victim, ms(0));
    CHECK(sim.within(ms(5000), [&] {
      return sim.d.verdict_seen(sim.d.hosts[victim]->id, sim.d.hosts[victim]->incarnation);
    }));
  });
}

}  // namespace wardom::sim
