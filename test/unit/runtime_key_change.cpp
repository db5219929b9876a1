// A change of the cluster's key among hosts that speak over a ring with one order of words, and by
// beats; hosts that fail, restart and are cut off on the way.
#include <catch2/catch.hpp>

#include <deque>
#include <random>
#include <set>

#include "libha/runtime/key_change.hpp"

using namespace wardom;
using namespace wardom::runtime;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

wire::Secret secret(std::uint8_t fill) {
  wire::Secret bytes{};
  bytes.fill(fill);
  return bytes;
}

constexpr unsigned kSeeds = 150;
const wire::Key kOld(secret(1));
const wire::Key kNew(secret(2));

// A host's files, which outlive its daemon.
struct Files {
  wire::Secret key{secret(1)};
  std::optional<NextKey> next;
  bool broken{false};
};

// A daemon, and the write of its files that is under way.
struct Daemon {
  KeyChange change;
  std::function<Result<void>()> writing;
  int writes_for{0};  // so many steps more
};

struct Cluster {
  explicit Cluster(std::uint16_t count) : files(count), daemons(count), in_ring(count, true) {
    for (std::size_t at = 0; at < count; ++at) members.push_back(id(at));
    for (std::size_t at = 0; at < count; ++at) start(at);
  }
  static HostId id(std::size_t at) { return HostId{static_cast<std::uint16_t>(at + 1)}; }

  KeyStore store(std::size_t at) {
    Files& own = files[at];
    const auto write = [this, at](std::function<Result<void>()> job) {
      REQUIRE_FALSE(daemons[at]->writing);  // one at a time
      daemons[at]->writing = std::move(job);
      daemons[at]->writes_for = write_steps;
    };
    return {[&own]() -> Result<std::optional<NextKey>> { return own.next; },
            [write, &own](const NextKey& next) {
              write([&own, next]() -> Result<void> {
                if (own.broken) return failure("the disk is full");
                own.next = next;
                return success();
              });
            },
            [write, &own](const wire::Secret& next) {
              write([&own, next]() -> Result<void> {
                if (own.broken) return failure("the disk is full");
                own.key = next;
                own.next.reset();
                return success();
              });
            }};
  }
  void start(std::size_t at) {
    daemons[at].emplace(Daemon{
        KeyChange(id(at), members, config, files[at].key, files[at].next, store(at)), {}, 0});
    tell_ring();
  }
  void stop(std::size_t at) {
    daemons[at].reset();
    tell_ring();
  }
  void restart(std::size_t at) {
    stop(at);
    start(at);
  }
  // Put there by hand.
  void put(std::size_t at, std::uint8_t fill) {
    files[at].next = NextKey{secret(fill), false, KeyMark::held, 0};
  }
  void cut_from_ring(std::size_t at, bool cut) {
    in_ring[at] = !cut;
    tell_ring();
  }
  void tell_ring() {
    std::vector<HostId> most;
    for (std::size_t at = 0; at < daemons.size(); ++at)
      if (daemons[at] && in_ring[at]) most.push_back(id(at));
    for (std::size_t at = 0; at < daemons.size(); ++at)
      if (daemons[at])
        daemons[at]->change.on_ring(in_ring[at] ? most : std::vector<HostId>{id(at)}, now);
  }
  // Whether what `from` sends is authentic to `to`; it is heard then.
  bool hears(KeyChange& to, const KeyChange& from, HostId sender) {
    const auto used = from.sends().id();
    const bool next = to.next() != nullptr && to.next()->id() == used;
    if (to.present().id() != used && !next) return false;
    to.on_heard(sender, next && to.present().id() != used, now);
    return true;
  }
  void finish_writes() {
    for (auto& daemon : daemons)
      if (daemon && daemon->writing && --daemon->writes_for <= 0)
        daemon->change.on_stored(std::exchange(daemon->writing, {})(), now);
  }
  // A tenth of a second: each says its words and sends a beat to all.
  void step() {
    now = now + milliseconds{100};
    finish_writes();
    for (std::size_t from = 0; from < daemons.size(); ++from) {
      if (!daemons[from]) continue;
      auto& teller = daemons[from]->change;
      const auto words = teller.tick(now);
      for (const auto& word : lose_words ? std::vector<wire::KeyWord>{} : words)
        for (std::size_t to = 0; to < daemons.size(); ++to) {
          if (!daemons[to] || (from != to && !(in_ring[from] && in_ring[to]))) continue;
          if (from == to || hears(daemons[to]->change, teller, id(from)))
            daemons[to]->change.on_word(word, now);
        }
      for (std::size_t to = 0; to < daemons.size(); ++to)
        if (daemons[to] && to != from && hears(daemons[to]->change, teller, id(from)))
          heard.insert({from, to});
    }
  }
  void run(Duration time) {
    for (const auto until = now + time; now < until;) step();
  }
  // All send with this key, want no other, and each hears each.
  bool settled(wire::KeyId key) {
    heard.clear();
    step();
    for (std::size_t at = 0; at < daemons.size(); ++at) {
      if (!daemons[at] || wire::Key(files[at].key).id() != key) return false;
      const auto& change = daemons[at]->change;
      const auto stage = change.stage();
      if ((stage != KeyChange::Stage::none && stage != KeyChange::Stage::held) ||
          change.present().id() != key)
        return false;
    }
    return heard.size() == daemons.size() * (daemons.size() - 1);
  }
  KeyChange& host(std::size_t number) { return daemons.at(number - 1)->change; }
  bool begin(std::size_t number, const std::optional<wire::Secret>& drawn) {
    return static_cast<bool>(
        host(number).begin(drawn, "somebody", {now, {whole_ms(now.since_boot)}}));
  }
  bool give_up(std::size_t number) {
    return static_cast<bool>(host(number).give_up("somebody", now));
  }

  std::vector<HostId> members;
  std::uint64_t config{7};
  int write_steps{1};
  bool lose_words{false};  // the ring takes none: it is being formed anew
  std::deque<Files> files;
  std::vector<std::optional<Daemon>> daemons;
  std::vector<bool> in_ring;
  std::set<std::pair<std::size_t, std::size_t>> heard;
  Instant now{seconds{100}};
};

}  // namespace

TEST_CASE("a_box_opens_with_its_key_alone") {
  const auto box = kOld.box(secret(2));
  CHECK(kOld.unbox(box) == secret(2));
  CHECK(kNew.unbox(box) == std::nullopt);
  auto damaged = box;
  damaged.back() ^= 1;
  CHECK(kOld.unbox(damaged) == std::nullopt);
  CHECK(kOld.id() != kNew.id());
  CHECK(kOld.id() != wire::kNoKey);
}

TEST_CASE("a_drawn_key_is_handed_out_and_becomes_the_key_of_all") {
  Cluster cluster(GENERATE(as<std::uint16_t>(), 1, 2, 3, 5));
  const auto count = cluster.daemons.size();
  REQUIRE(cluster.settled(kOld.id()));
  CHECK(cluster.host(1).deadline() == Instant::never());
  REQUIRE(cluster.begin(1, secret(2)));
  CHECK(cluster.host(1).stage() == KeyChange::Stage::waiting);
  CHECK(cluster.host(1).sends().id() == kOld.id());
  CHECK(cluster.host(1).waits_for().size() == count - 1);
  cluster.run(seconds{10});
  CHECK(cluster.settled(kNew.id()));
  CHECK(cluster.host(count).stage() == KeyChange::Stage::none);
  CHECK(cluster.host(count).deadline() == Instant::never());
}

TEST_CASE("it_waits_for_a_host_that_is_down_and_ends_once_it_is_back") {
  Cluster cluster(3);
  cluster.stop(2);
  REQUIRE(cluster.begin(1, secret(2)));
  cluster.run(seconds{60});
  CHECK(cluster.host(2).stage() == KeyChange::Stage::waiting);
  CHECK(cluster.host(2).waits_for() == std::vector{HostId{3}});
  CHECK(cluster.host(2).sends().id() == kOld.id());
  cluster.restart(0);  // what was asked for stands in the files
  cluster.restart(1);
  cluster.run(seconds{5});
  cluster.start(2);
  cluster.run(seconds{10});
  CHECK(cluster.settled(kNew.id()));
}

TEST_CASE("a_host_that_has_joined_and_dies_holds_nothing_up") {
  Cluster cluster(3);
  REQUIRE(cluster.begin(1, secret(2)));
  while (cluster.host(3).stage() != KeyChange::Stage::sending) cluster.step();
  cluster.stop(2);  // before its file says so
  REQUIRE(cluster.files[2].next->mark == KeyMark::wanted);
  cluster.run(seconds{30});
  CHECK(cluster.host(1).stage() == KeyChange::Stage::none);
  CHECK(cluster.host(2).present().id() == kNew.id());
  cluster.start(2);
  cluster.run(seconds{10});
  CHECK(cluster.settled(kNew.id()));
}

TEST_CASE("a_change_that_waits_can_be_given_up_and_asked_for_again") {
  Cluster cluster(3);
  cluster.stop(2);
  REQUIRE(cluster.begin(1, secret(2)));
  cluster.run(seconds{2});
  cluster.stop(1);  // it has joined
  cluster.start(2);
  cluster.step();
  cluster.lose_words = GENERATE(false, true);
  REQUIRE(cluster.give_up(1));
  cluster.run(milliseconds{200});
  cluster.lose_words = false;
  cluster.run(seconds{4});
  CHECK(cluster.host(1).stage() == KeyChange::Stage::held);
  cluster.start(1);
  cluster.run(seconds{5});
  CHECK(cluster.host(2).stage() == KeyChange::Stage::held);
  CHECK(cluster.settled(kOld.id()));
  CHECK_FALSE(cluster.give_up(1));
  REQUIRE(cluster.begin(2, secret(4)));  // goes on with the key that is stored
  cluster.run(seconds{10});
  CHECK(cluster.settled(kNew.id()));
}

TEST_CASE("a_change_that_has_happened_cannot_be_given_up") {
  Cluster cluster(3);
  REQUIRE(cluster.begin(1, secret(2)));
  cluster.run(seconds{3});
  REQUIRE(cluster.host(1).stage() == KeyChange::Stage::sending);
  CHECK_FALSE(cluster.give_up(1));
  cluster.run(seconds{8});
  CHECK(cluster.settled(kNew.id()));
  CHECK_FALSE(cluster.give_up(1));
}

// One host alone has heard `change`, and went on with the next key; then the others give it up.
TEST_CASE("who_went_on_with_a_key_that_was_given_up_is_followed") {
  Cluster cluster(3);
  for (std::size_t at = 0; at < 3; ++at) {
    cluster.stop(at);
    cluster.files[at].next = NextKey{secret(2), true, KeyMark::wanted, 5};
  }
  cluster.files[0] = {secret(2), {}, false};
  cluster.start(1);
  cluster.start(2);
  cluster.step();
  REQUIRE(cluster.give_up(2));
  cluster.run(seconds{5});
  CHECK(cluster.host(3).stage() == KeyChange::Stage::held);
  cluster.restart(2);
  cluster.start(0);
  cluster.run(seconds{10});
  CHECK(cluster.settled(kNew.id()));
}

TEST_CASE("a_prepared_key_does_not_travel_and_waits_for_hosts_without_it") {
  Cluster cluster(3);
  CHECK_FALSE(cluster.begin(1, std::nullopt));  // none lies there
  cluster.put(0, 2);
  cluster.put(1, 2);
  REQUIRE(cluster.begin(1, std::nullopt));
  cluster.run(seconds{5});
  CHECK(cluster.host(1).waits_for() == std::vector{HostId{3}});
  CHECK(cluster.host(3).next() == nullptr);
  CHECK_FALSE(cluster.host(3).trouble().empty());
  cluster.put(2, 2);
  cluster.run(seconds{10});
  CHECK(cluster.settled(kNew.id()));
}

TEST_CASE("a_key_put_there_by_hand_is_neither_replaced_nor_sent") {
  Cluster cluster(3);
  cluster.put(1, 3);
  SECTION("known to its daemon") {
    cluster.restart(1);
    cluster.run(seconds{2});
    CHECK_FALSE(cluster.begin(1, secret(2)));  // a host says that it has one
  }
  SECTION("not known yet") {
    REQUIRE(cluster.begin(1, secret(2)));
    cluster.run(seconds{5});
    CHECK_FALSE(cluster.host(2).trouble().empty());
    CHECK(cluster.host(1).waits_for() == std::vector{HostId{2}});
    REQUIRE(cluster.give_up(3));
    cluster.run(seconds{2});
    CHECK(cluster.host(2).trouble().empty());
  }
  CHECK_FALSE(cluster.begin(2, secret(2)));
  CHECK(cluster.files[1].next->secret == secret(3));
}

TEST_CASE("a_stored_key_that_nobody_wants_changes_nothing") {
  Cluster cluster(3);
  for (std::size_t at = 0; at < 3; ++at) {
    cluster.put(at, 2);
    cluster.restart(at);
  }
  cluster.run(seconds{20});
  for (std::size_t number = 1; number <= 3; ++number)
    CHECK(cluster.host(number).stage() == KeyChange::Stage::held);
  CHECK(cluster.settled(kOld.id()));
  REQUIRE(cluster.begin(2, std::nullopt));
  cluster.run(seconds{10});
  CHECK(cluster.settled(kNew.id()));
}

TEST_CASE("two_operators_at_once_end_with_one_key") {
  Cluster cluster(3);
  REQUIRE(cluster.begin(1, secret(2)));
  REQUIRE(cluster.begin(3, secret(3)));
  cluster.run(seconds{10});
  CHECK((cluster.settled(kNew.id()) || cluster.settled(wire::Key(secret(3)).id())));
}

TEST_CASE("a_file_that_cannot_be_written_is_told_and_holds_the_change_up") {
  Cluster cluster(3);
  cluster.files[2].broken = true;
  REQUIRE(cluster.begin(1, secret(2)));
  cluster.run(seconds{5});
  CHECK(cluster.host(3).trouble() == "the disk is full");
  CHECK(cluster.host(1).waits_for() == std::vector{HostId{3}});
  cluster.files[2].broken = false;
  while (cluster.host(2).sends().id() != kNew.id()) cluster.step();
  CHECK(cluster.host(3).trouble().empty());
  cluster.files[1].broken = true;
  cluster.run(seconds{10});
  CHECK(cluster.host(1).stage() == KeyChange::Stage::none);
  CHECK(cluster.host(2).trouble() == "the disk is full");
  CHECK(cluster.host(2).sends().id() == kNew.id());  // understood all the same
  cluster.files[1].broken = false;
  cluster.run(seconds{15});
  CHECK(cluster.settled(kNew.id()));
}

TEST_CASE("hosts_with_another_configuration_do_not_join") {
  Cluster cluster(3);
  cluster.config = 8;  // as it was given to one host so far
  cluster.restart(2);
  REQUIRE(cluster.begin(1, secret(2)));
  cluster.run(seconds{10});
  CHECK(cluster.host(1).stage() == KeyChange::Stage::waiting);
  CHECK(cluster.host(1).waits_for() == std::vector{HostId{3}});
  cluster.restart(0);
  cluster.restart(1);
  cluster.run(seconds{10});
  CHECK(cluster.settled(kNew.id()));
}

TEST_CASE("a_minority_neither_changes_nor_gives_up") {
  Cluster cluster(4);
  cluster.stop(3);
  REQUIRE(cluster.begin(3, secret(2)));
  cluster.run(seconds{2});
  cluster.start(3);
  cluster.cut_from_ring(2, true);
  cluster.cut_from_ring(3, true);
  CHECK_FALSE(cluster.give_up(3));
  CHECK_FALSE(cluster.give_up(1));  // half of them is not most of them
  cluster.cut_from_ring(3, false);
  REQUIRE(cluster.give_up(1));
  cluster.run(seconds{5});
  CHECK(cluster.host(3).stage() == KeyChange::Stage::waiting);
  CHECK(cluster.host(3).sends().id() == kOld.id());
  CHECK_FALSE(cluster.begin(3, std::nullopt));
  cluster.cut_from_ring(2, false);
  cluster.run(seconds{5});
  CHECK(cluster.settled(kOld.id()));
}

// A word that was said in a ring with most of them, and comes back when it has none any more.
TEST_CASE("a_word_counts_in_a_ring_with_most_of_them_only") {
  Cluster cluster(3);
  cluster.stop(2);
  REQUIRE(cluster.begin(1, secret(2)));
  cluster.run(seconds{2});
  REQUIRE(cluster.give_up(1));
  const auto words = cluster.host(1).tick(cluster.now);
  REQUIRE(words.front().step == wire::KeyStep::dropped);
  cluster.cut_from_ring(0, true);
  cluster.host(1).on_word(words.front(), cluster.now);
  CHECK(cluster.host(1).stage() == KeyChange::Stage::waiting);
  auto change = words.back();
  change.step = wire::KeyStep::change;
  cluster.host(1).on_word(change, cluster.now);
  CHECK(cluster.host(1).stage() == KeyChange::Stage::waiting);
  cluster.cut_from_ring(0, false);
  cluster.host(1).on_word(change, cluster.now);
  CHECK(cluster.host(1).stage() == KeyChange::Stage::sending);
}

// Whatever fails in whatever order: no host that has been well for a second is ever deaf to
// another such; and once all are well again, a change that is asked for ends in one key for all.
TEST_CASE("hosts_fail_at_every_step") {
  for (unsigned seed = 1; seed <= kSeeds; ++seed) {
    std::mt19937 draw(seed);
    const auto below = [&](unsigned limit) { return static_cast<unsigned>(draw() % limit); };
    Cluster cluster(static_cast<std::uint16_t>(2 + below(4)));
    const auto count = cluster.daemons.size();
    const bool prepared = below(4) == 0;
    if (prepared)
      for (std::size_t at = 0; at < count; ++at) cluster.put(at, 2);
    const auto drawn = prepared ? std::nullopt : std::optional(secret(2));
    const unsigned calm = 4 + below(60);  // how rarely something happens
    const unsigned back = 2 + below(200);
    std::vector<Instant> well(count, cluster.now);
    for (int turn = 0; turn < 600; ++turn) {
      const auto at = below(static_cast<unsigned>(count));
      cluster.write_steps = 1 + static_cast<int>(below(8));
      cluster.lose_words = below(10) == 0;
      switch (below(calm)) {
        case 0:
          if (cluster.daemons[at]) cluster.stop(at);
          break;
        case 1:
          cluster.cut_from_ring(at, below(2) == 0);
          break;
        case 2:
          if (cluster.daemons[at]) cluster.begin(at + 1, drawn);
          break;
        case 3:
          if (cluster.daemons[at] && below(3) == 0) cluster.give_up(at + 1);
          break;
        default:
          break;
      }
      for (std::size_t one = 0; one < count; ++one)
        if (!cluster.daemons[one] && below(back) == 0) {
          cluster.start(one);
          well[one] = cluster.now;
        }
      cluster.heard.clear();
      cluster.step();
      for (std::size_t from = 0; from < count; ++from)
        for (std::size_t to = 0; to < count; ++to) {
          const auto fit = [&](std::size_t one) {
            return cluster.daemons[one] && cluster.now - well[one] > seconds{2};
          };
          INFO("seed " << seed << " turn " << turn << " from " << from + 1 << " to " << to + 1);
          if (from != to && fit(from) && fit(to)) REQUIRE(cluster.heard.contains({from, to}));
        }
    }
    cluster.lose_words = false;
    for (std::size_t at = 0; at < count; ++at) {
      if (!cluster.daemons[at]) cluster.start(at);
      cluster.cut_from_ring(at, false);
    }
    cluster.run(seconds{30});
    // Asked for once more, should it have been given up, on each host until one takes it.
    for (std::size_t number = 1; number <= count && !cluster.settled(kNew.id()); ++number) {
      if (cluster.begin(number, drawn)) cluster.run(seconds{20});
    }
    std::string left;
    for (std::size_t at = 0; at < count; ++at)
      left += "host " + std::to_string(at + 1) + " stage " +
              std::to_string(static_cast<int>(cluster.host(at + 1).stage())) + " sends " +
              (cluster.host(at + 1).sends().id() == kOld.id() ? "old" : "new") + " file " +
              std::to_string(cluster.files[at].key[0]) +
              (cluster.files[at].next
                   ? " next " + std::to_string(static_cast<int>(cluster.files[at].next->mark))
                   : "") +
              " " + cluster.host(at + 1).trouble() + "\n";
    INFO("seed " << seed << "\n" << left);
    CHECK(cluster.settled(kNew.id()));
  }
}
