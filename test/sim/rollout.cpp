// A live domain gets another wardom.toml, one host after another: what becomes of guests and of the
// domain lock while hosts have different files, and what `status` says meanwhile.
#include "test/sim/site.hpp"

namespace wardom::sim {
namespace {

HostsFile all_but(std::size_t host) {
  HostsFile file;
  file.members.reset(host);
  return file;
}

struct Rollout : Site {
  explicit Rollout(std::uint64_t seed, const HostsFile& file, std::size_t hosts = 4)
      : Site(options(seed, file, hosts)) {
    bring_up_guests(1, ms(8000));
  }
  static Options options(std::uint64_t seed, const HostsFile& file, std::size_t hosts) {
    auto options = fast_options(seed, hosts, hosts - 1);
    options.lease = true;
    options.file = file;
    return options;
  }
  Host& host(std::size_t index) { return *d.hosts[index]; }
  // As an administrator does: the file, then a restart of wardomd, and a look whether it is back.
  void roll_out(std::size_t index, const HostsFile& file) {
    d.reconfigure(host(index), file, ms(10));
    run_for(ms(1500));
  }
  const std::vector<Proposer>& directory(std::size_t asked) {
    return host(asked).loop->member().lock_word().value.directory;
  }
  bool in_directory(std::size_t asked, std::size_t about) {
    const auto& list = directory(asked);
    return std::any_of(list.begin(), list.end(),
                       [&](const Proposer& one) { return one.host == host(about).id; });
  }
  bool told(std::size_t asked, std::size_t about, const std::string& what) {
    return tells(asked, what, "host " + std::to_string(about + 1));
  }
  bool content(std::size_t asked) {
    const auto& loop = host(asked).loop;
    return loop && loop->member().problems(loop->now().at).empty();
  }
  Host* runner(std::size_t guest) { return d.runner(d.guests[guest].id); }
  // So that this host decides. The daemons before it are away for a while.
  void make_decider(std::size_t wanted) {
    for (std::size_t i = 0; i < d.hosts.size(); ++i)
      if (i != wanted) d.kill_daemon(host(i));
    REQUIRE(within(ms(20000), [&] { return owns_lock(wanted); }));
    for (std::size_t i = 0; i < d.hosts.size(); ++i)
      if (i != wanted) d.start_daemon(host(i));
    run_for(ms(3000));
  }
};

constexpr std::size_t kNew = 3;
constexpr const char* kOther = "names other hosts or addresses";
constexpr const char* kNotYet = "may not own the domain lock yet";

}  // namespace

TEST_CASE("added_host_is_taken_in_once_all_hosts_have_the_file") {
  for_seeds(5, [&](std::uint64_t seed) {
    Rollout r(seed, all_but(kNew));
    const auto started = r.d.qemus_started;
    r.roll_out(kNew, {});
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK_FALSE(r.in_directory(kNew, kNew));
      if (i > 0) {
        CHECK(r.told(0, kNew, kNotYet));
        CHECK(r.told(0, i, kOther));
        CHECK(r.told(i, 0, kOther));
      }
      r.roll_out(i, {});
    }
    CHECK(r.within(ms(20000), [&] {
      return r.in_directory(0, kNew) && r.content(0) && r.content(1) && r.content(2) &&
             r.content(kNew);
    }));
    CHECK(r.d.qemus_started == started);
    CHECK(r.d.verdicts.empty());
  });
}

TEST_CASE("no_guest_goes_to_a_host_that_not_all_files_name") {
  for_seeds(10, [&](std::uint64_t seed) {
    Rollout r(seed, all_but(kNew));
    r.roll_out(kNew, {});
    r.roll_out(0, {});
    r.make_decider(0);
    r.strike_now(FaultKind::power_cut, 1, ms(0));
    REQUIRE(r.within(ms(20000), [&] { return r.runner(1) != nullptr; }));
    CHECK(r.runner(1) != &r.host(kNew));
    // Who takes over has never heard of it.
    r.strike_now(FaultKind::power_cut, 0, ms(0));
    REQUIRE(r.within(ms(60000), [&] {
      return r.runner(0) == &r.host(2) && r.runner(1) == &r.host(2);
    }));
  });
}

TEST_CASE("file_that_is_taken_back_leaves_the_old_domain") {
  for_seeds(5, [&](std::uint64_t seed) {
    Rollout r(seed, all_but(kNew));
    const auto started = r.d.qemus_started;
    r.roll_out(kNew, {});
    r.roll_out(0, {});
    r.roll_out(1, {});
    r.roll_out(1, all_but(kNew));
    r.roll_out(0, all_but(kNew));
    r.run_for(ms(5000));
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK_FALSE(r.in_directory(i, kNew));
      CHECK(r.content(i));
    }
    CHECK(r.d.qemus_started == started);
  });
}

TEST_CASE("host_that_left_is_dropped_and_one_with_guests_is_not") {
  for_seeds(5, [&](std::uint64_t seed) {
    for (const bool with_guest : {false, true}) {
      CAPTURE(with_guest);
      // Guests run on the first three hosts: the last one has none.
      const std::size_t victim = with_guest ? 2 : 3;
      Rollout r(seed, {});
      if (!with_guest) {
        r.d.leave(r.host(victim));
        r.run_for(ms(3000));
      }
      for (std::size_t i = 0; i < 4; ++i)
        if (i != victim) r.roll_out(i, all_but(victim));
      r.run_for(ms(15000));
      CHECK(r.in_directory(0, victim) == with_guest);
      CHECK(r.told(0, victim, "names it no more, and it owns g2") == with_guest);
      if (!with_guest) CHECK(r.content(0));
      // Named again, all is as it was.
      for (std::size_t i = 0; i < 4; ++i)
        if (i != victim) r.roll_out(i, {});
      if (!with_guest) {
        r.d.start_keeper(r.host(victim));
        r.d.start_daemon(r.host(victim));
      }
      CHECK(r.within(ms(60000), [&] {
        return r.content(0) && r.content(1) && r.content(2) && r.content(3) &&
               r.in_directory(0, victim);
      }));
      for (std::size_t i = 0; i < 3; ++i) CHECK(r.runner(i) == &r.host(i));
    }
  });
}

// A host that was in the file and never there keeps nobody else out.
TEST_CASE("two_hosts_are_added_and_one_of_them_is_missing") {
  HostsFile before;
  before.members.reset(2).reset(kNew);
  auto options = Rollout::options(3, before, 4);
  options.guests = 2;
  Site site(options);
  site.bring_up_guests(1, ms(8000));
  auto& d = site.d;
  d.power_off(*d.hosts[2], true, Duration{0});
  for (std::size_t i : {0, 1, 3}) {
    d.reconfigure(*d.hosts[i], {}, ms(10));
    site.run_for(ms(1500));
  }
  CHECK(site.within(ms(20000), [&] {
    const auto& list = d.hosts[0]->loop->member().lock_word().value.directory;
    return list.size() == 3 && list.back().host == d.hosts[kNew]->id;
  }));
}

// One link at a time: the others hear it by the other one.
TEST_CASE("address_of_one_link_changes") {
  for_seeds(5, [&](std::uint64_t seed) {
    for (const Link link : {Link::mgmt, Link::storage}) {
      Rollout r(seed, {}, 3);
      const auto started = r.d.qemus_started;
      HostsFile moved;
      moved.moved[static_cast<std::size_t>(link)].set(2);
      r.roll_out(2, moved);
      CHECK(r.told(0, 2, kOther));
      CHECK(r.told(0, 2, link == Link::mgmt ? "mgmt-lost" : "storage-lost"));
      r.roll_out(0, moved);
      r.strike_now(FaultKind::daemon_kill, 2, ms(2000));
      r.roll_out(1, moved);
      CHECK(r.within(ms(20000), [&] { return r.content(0) && r.content(1) && r.content(2); }));
      CHECK(r.d.qemus_started == started);
      CHECK(r.d.verdicts.empty());
    }
  });
}

TEST_CASE("host_that_dies_in_the_middle_is_recovered") {
  for_seeds(4, [&](std::uint64_t seed) {
    for (std::size_t victim = 0; victim < 3; ++victim)
      for (std::size_t have = 0; have <= 3; ++have) {
        INFO("victim " << victim << ", " << have << " have the file");
        Rollout r(seed, all_but(kNew));
        r.roll_out(kNew, {});
        for (std::size_t i = 0; i < have; ++i) r.roll_out(i, {});
        r.strike_now(FaultKind::power_cut, victim, ms(0));
        CHECK(r.within(ms(30000), [&] {
          auto* at = r.runner(victim);
          return at != nullptr && at != &r.host(victim);
        }));
      }
  });
}

}  // namespace wardom::sim
