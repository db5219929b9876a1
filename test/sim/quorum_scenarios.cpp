// Which hosts have quorum while the domain lock passes on, the ring parts, or hosts are lost.
#include "test/sim/site.hpp"

namespace wardom::sim {
namespace {

struct Quorum : Site {
  // absent: a host that has no power from the beginning; 0: none.
  Quorum(std::uint64_t seed, std::size_t hosts, bool lease = true, int absent = 0)
      : Site(options(seed, hosts, lease)) {
    if (absent != 0) d.power_off(host(absent), true, Duration{0});
    run_for(ms(absent != 0 ? 30000 : 15000));
    for (auto& one : d.hosts) REQUIRE(one->votes.cast == (one->id.value != absent));
  }
  static Options options(std::uint64_t seed, std::size_t hosts, bool lease = true) {
    auto options = fast_options(seed, hosts, 0);
    options.lease = lease;
    options.quorum = true;
    return options;
  }
  Host& host(int id) { return *d.hosts[static_cast<std::size_t>(id - 1)]; }
  bool quorate(int id) { return host(id).ring_formed && host(id).votes.quorate; }
  std::uint64_t withdrawn() {
    return d.marks["a vote withdrawn"] + d.marks["a vote forgotten by corosync"];
  }
  void cut(std::vector<int> group) {
    const auto in = [&](std::size_t index) {
      return std::find(group.begin(), group.end(), static_cast<int>(index) + 1) != group.end();
    };
    for (std::size_t a = 0; a < d.hosts.size(); ++a)
      for (std::size_t b = 0; b < d.hosts.size(); ++b)
        for (std::size_t l = 0; l < kLinks; ++l) d.cut[a][b][l] = in(a) != in(b);
  }
  std::uint64_t version() {
    std::uint64_t highest = 0;
    for (auto& one : d.hosts)
      if (one->loop) highest = std::max(highest, one->loop->member().version().value);
    return highest;
  }
  bool all_cast() {
    return std::all_of(d.hosts.begin(), d.hosts.end(),
                       [](const auto& one) { return one->votes.cast; });
  }
  int owner() {
    for (std::size_t i = 0; i < d.hosts.size(); ++i)
      if (owns_lock(i)) return d.hosts[i]->id.value;
    return 0;
  }
  // These hosts have quorum, and no other.
  template <class Wanted>
  bool quorate_are(Wanted wanted) {
    return std::all_of(d.hosts.begin(), d.hosts.end(), [&](const auto& one) {
      return quorate(one->id.value) == wanted(one->id.value);
    });
  }
};

}  // namespace

TEST_CASE("lock_passes_on_and_no_vote_is_withdrawn") {
  for_seeds(5, [&](std::uint64_t seed) {
    Quorum q(seed, 3);
    const int owner = q.owner();
    REQUIRE(owner != 0);
    q.d.kill_daemon(q.host(owner));
    q.d.on_host(q.host(owner), ms(800), [&] { q.d.start_daemon(q.host(owner)); });
    CHECK(q.within(ms(8000), [&] { return q.owner() != 0 && q.owner() != owner; }));
    q.run_for(ms(12000));
    CHECK(q.withdrawn() == 0);
    for (int id = 1; id <= 3; ++id) CHECK(q.host(id).votes.cast);
  });
}

// It has no verdict: without a watchdog its silence proves nothing, and its BMC has no power.
TEST_CASE("lock_passes_on_beside_a_missing_host_and_no_vote_is_withdrawn") {
  for_seeds(5, [&](std::uint64_t seed) {
    for (const bool never : {false, true}) {
      Quorum q(seed, 3, false, never ? 3 : 0);
      const int missing = never ? 3 : q.owner() % 3 + 1;
      if (!never) q.d.power_off(q.host(missing), true, Duration{0});
      q.run_for(ms(30000));
      for (auto& one : q.d.hosts) REQUIRE(one->votes.cast == (one->id.value != missing));
      const auto before = q.withdrawn();
      for (int pass = 1; pass <= 2; ++pass) {
        const int owner = q.owner();
        const auto version = q.version();
        q.d.kill_daemon(q.host(owner));
        q.d.on_host(q.host(owner), ms(800), [&, owner] { q.d.start_daemon(q.host(owner)); });
        CHECK(q.within(ms(8000), [&] { return q.owner() != 0 && q.version() > version; }));
        q.run_for(ms(12000));
        CHECK(q.withdrawn() == before);
        for (auto& one : q.d.hosts) CHECK(one->votes.cast == (one->id.value != missing));
      }
    }
  });
}

TEST_CASE("ring_parts_and_one_part_has_quorum") {
  for_seeds(5, [&](std::uint64_t seed) {
    Quorum q(seed, 5);
    const int owner = q.owner();
    const int beside = owner % 5 + 1;
    const auto stays = [&](int id) { return id != owner && id != beside; };
    q.cut({owner, beside});  // the owner is outweighed, and gives the lock up
    const auto settled = [&] { return q.quorate_are(stays); };
    CHECK(q.within(ms(40000), settled));
    q.run_for(ms(20000));
    CHECK(settled());
    q.cut({});
    CHECK(q.within(ms(15000), [&] { return q.all_cast(); }));
  });
}

TEST_CASE("hosts_are_lost_and_the_last_one_has_quorum") {
  for_seeds(5, [&](std::uint64_t seed) {
    Quorum q(seed, 3);
    for (int id : {1, 2}) q.d.power_off(q.host(id), false, Duration{0});
    CHECK(q.within(ms(60000), [&] { return q.host(3).ring.count() == 1 && q.quorate(3); }));
    q.run_for(ms(20000));
    CHECK(q.quorate(3));
    // The others come back, each forming a ring of its own first.
    for (int id : {1, 2}) q.d.power_on(q.host(id), ms(1000));
    CHECK(q.within(ms(60000), [&] { return q.quorate(1) && q.quorate(2) && q.quorate(3); }));
  });
}

TEST_CASE("vote_of_a_dead_daemon_is_waited_for") {
  for_seeds(5, [&](std::uint64_t seed) {
    Quorum q(seed, 4);
    const int owner = q.owner();
    const std::vector<int> here{owner, owner % 4 + 1};
    const std::vector<int> there{(owner + 1) % 4 + 1, (owner + 2) % 4 + 1};
    q.cut(here);  // into halves of which none outweighs the other: the owner keeps the lock
    REQUIRE(q.within(ms(10000), [&] {
      return q.host(owner).ring.count() == 2 && q.quorate(here[0]) && q.quorate(here[1]) &&
             !q.quorate(there[0]) && !q.quorate(there[1]);
    }));
    // The lock is free and is taken there; here corosync keeps the votes for a while.
    for (int id : here) q.d.kill_daemon(q.host(id));
    CHECK(q.within(ms(10000), [&] { return q.owner() != 0; }));
    CHECK(q.quorate(owner));
    CHECK_FALSE(q.quorate(there[0]));
    CHECK(q.within(ms(40000), [&] { return q.quorate(there[0]) && q.quorate(there[1]); }));
    CHECK_FALSE(q.quorate(here[0]));
    CHECK_FALSE(q.quorate(here[1]));
  });
}

// Within the ring that it then leaves: the lock has passed on there, and the others cast already.
TEST_CASE("vote_of_a_dead_daemon_that_leaves_the_ring_is_waited_for") {
  for_seeds(5, [&](std::uint64_t seed) {
    Quorum q(seed, 3);
    const int owner = q.owner();
    const auto apart = [&](int id) { return id != owner; };
    q.host(owner).ring_apart = true;
    q.run_for(ms(1500));
    q.d.kill_daemon(q.host(owner));
    REQUIRE(q.within(ms(6000), [&] { return q.host(owner).ring.count() == 1; }));
    REQUIRE(q.owner() != 0);
    q.run_for(ms(2000));
    CHECK(q.host(owner).votes.cast);
    CHECK(q.quorate_are([&](int id) { return !apart(id); }));
    CHECK(q.within(ms(40000), [&] { return q.quorate_are(apart); }));
  });
}

// Its daemon lives, and keeps the lock for as long as nobody else has more use of it.
TEST_CASE("owner_without_corosync_leaves_the_lock_to_the_ring") {
  for_seeds(5, [&](std::uint64_t seed) {
    for (std::size_t hosts : {2, 3, 5}) {
      Quorum q(seed, hosts);
      const int owner = q.owner();
      const auto version = q.version();
      q.d.lose_corosync(q.host(owner));
      CHECK(q.within(ms(2000), [&] { return q.owner() != 0 && q.owner() != owner; }));
      q.run_for(ms(15000));
      for (auto& one : q.d.hosts)
        if (one->id.value != owner) CHECK(q.quorate(one->id.value));
      CHECK(q.withdrawn() == 0);
      q.host(owner).corosync_up = true;
      CHECK(q.within(ms(15000), [&] { return q.all_cast(); }));
      q.run_for(ms(15000));
      CHECK(q.all_cast());
      CHECK(q.version() == version + 1);
    }
  });
}

TEST_CASE("owner_outside_the_ring_leaves_the_lock_to_it") {
  for_seeds(5, [&](std::uint64_t seed) {
    Quorum q(seed, 3);
    const int owner = q.owner();
    const auto version = q.version();
    q.host(owner).ring_apart = true;
    const auto settled = [&] { return q.quorate_are([&](int id) { return id != owner; }); };
    CHECK(q.within(ms(12000), settled));
    q.run_for(ms(20000));
    CHECK(settled());
    CHECK(q.version() == version + 1);
    q.host(owner).ring_apart = false;
    CHECK(q.within(ms(15000), [&] { return q.all_cast(); }));
    CHECK(q.version() == version + 1);
  });
}

TEST_CASE("owner_outside_a_ring_of_as_many_keeps_the_lock") {
  for_seeds(5, [&](std::uint64_t seed) {
    Quorum q(seed, 2);
    const int owner = q.owner();
    const auto version = q.version();
    q.host(owner).ring_apart = true;
    q.run_for(ms(30000));
    CHECK(q.version() == version);
    CHECK(q.quorate(owner));
    CHECK_FALSE(q.quorate(3 - owner));
  });
}

// Those in the ring are to take the lock, and cannot: it is not left to nobody.
TEST_CASE("owner_without_corosync_goes_on_where_nobody_else_can") {
  for_seeds(5, [&](std::uint64_t seed) {
    Quorum q(seed, 2);
    const int owner = q.owner();
    const auto version = q.version();
    q.host(3 - owner).io_errors = true;
    q.run_for(ms(100));
    q.d.lose_corosync(q.host(owner));
    q.run_for(ms(5000));
    CHECK(q.within(ms(8000), [&] { return q.owner() == owner; }));
    CHECK(q.version() <= version + 1);
  });
}

TEST_CASE("settings_of_the_device_that_differ_are_told") {
  Quorum q(1, 3);
  const auto told = [&](int id, const std::string& words) {
    return q.tells(q.host(id).index, words);
  };
  for (int id = 1; id <= 3; ++id) CHECK_FALSE(told(id, "quorum device"));
  q.host(2).device_timeout = ms(5000);
  q.d.kill_daemon(q.host(2));
  q.d.start_daemon(q.host(2));
  q.run_for(ms(3000));
  for (int id = 1; id <= 3; ++id) CHECK(told(id, "says another thing of the quorum device"));
}

// Without a watchdog a hung owner's death is proved by nothing but the power-off, to which a ring
// that waits for the owner's vote could never agree.
TEST_CASE("hung_owner_is_powered_off_by_the_others") {
  for_seeds(5, [&](std::uint64_t seed) {
    Quorum q(seed, 3, false);
    const int owner = q.owner();
    q.d.freeze(q.host(owner));
    CHECK(q.within(ms(30000), [&] {
      return !q.host(owner).powered && q.quorate(owner % 3 + 1) &&
             q.quorate((owner + 1) % 3 + 1);
    }));
  });
}

}  // namespace wardom::sim
