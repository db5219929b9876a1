#include <catch2/catch.hpp>

#include "core_samples.hpp"
#include "libha/core/member.hpp"

using namespace wardom;
using namespace wardom::core;
using namespace wardom::core::sample;

namespace {

constexpr Level kLater{2};

// Host 1 of a domain of three, ready, of a release that speaks the first level alone.
struct Host {
  Orders orders;
  Member member;
  Instant now{at(0)};

  explicit Host(const MemberSettings& chosen = settings()) : member(chosen) {
    ready();
    tick();
  }
  static MemberSettings settings() {
    MemberSettings settings;
    settings.self = kSelf;
    settings.members = {kSelf, kPeer, kThird};
    return settings;
  }
  void ready() {
    VolumeReady ready;
    ready.incarnation = boot(1);
    ready.volume_hosts = 3;
    step(ready);
  }
  void step(const Input& input) { member.step(input, {now, {}}, orders); }
  void tick() {
    now = now + milliseconds{100};
    member.tick({now, {}}, orders);
  }
  // An answer to what was asked last of such cells: all empty, but maybe one of another level.
  CellsRead answer(Region region, std::optional<Level> level, DomainId domain = DomainId{1}) const {
    const auto read = std::find_if(orders.reads.rbegin(), orders.reads.rend(),
                                   [&](const ReadCells& one) {
                                     return std::any_of(
                                         one.cells.begin(), one.cells.end(),
                                         [&](const Cell& cell) { return cell.region == region; });
                                   });
    REQUIRE(read != orders.reads.rend());
    CellsRead answer{read->ticket, {}};
    bool found = false;
    for (const auto& cell : read->cells) {
      CellSeen seen;
      seen.cell = cell;
      seen.health = CellHealth::empty;
      if (cell.region == region && !std::exchange(found, true) && level) {
        seen.health = CellHealth::unknown_version;
        seen.level = *level;
        seen.domain = domain;
      }
      answer.cells.push_back(seen);
    }
    REQUIRE(found);
    return answer;
  }
  // All is read, and there is nothing.
  void answer_all() {
    tick();
    for (const auto& read : std::exchange(orders.reads, {})) {
      CellsRead answer{read.ticket, {}};
      for (const auto& cell : read.cells) {
        CellSeen seen;
        seen.cell = cell;
        seen.health = CellHealth::empty;
        answer.cells.push_back(seen);
      }
      step(answer);
    }
  }
  bool asks_for_decisions() const {
    return std::any_of(orders.reads.begin(), orders.reads.end(), [](const ReadCells& read) {
      return std::any_of(read.cells.begin(), read.cells.end(), [](const Cell& cell) {
        return cell.region == Region::decision;
      });
    });
  }
  bool tells(const std::string& what, const std::string& where) const {
    const auto list = member.problems(now);
    return std::any_of(list.begin(), list.end(), [&](const Problem& problem) {
      return problem.what.find(what) != std::string::npos && problem.where == where;
    });
  }
};

}  // namespace

TEST_CASE("speak_in_common_what_both_do") {
  CHECK(common({Level{1}, Level{2}}, {Level{1}, Level{2}}) == Levels{Level{1}, Level{2}});
  CHECK(common({Level{1}, Level{2}}, {Level{2}, Level{3}}) == Levels{Level{2}, Level{2}});
  CHECK(common({Level{1}, Level{1}}, {Level{2}, Level{3}}) == Levels{Level{1}, Level{1}});
  CHECK_FALSE(Levels{Level{2}, Level{3}}.has(Level{1}));
  CHECK(Levels{Level{2}, Level{3}}.has(Level{3}));
  CHECK_FALSE(Levels{Level{2}, Level{3}}.has(Level{4}));
}

TEST_CASE("a_decision_of_a_later_level_ends_this_daemons_part") {
  Host host;
  const auto read = host.answer(Region::decision, kLater);
  host.orders.clear();
  host.step(read);
  CHECK(host.tells("older release than the domain", "host 1"));
  CHECK_FALSE(host.tells("no use of the state volume", "host 1"));
  // Nothing more is read or written, whatever the keeper says; beats tell what this host speaks.
  host.orders.clear();
  host.ready();
  for (int i = 0; i < 20; ++i) host.tick();
  CHECK(host.orders.reads.empty());
  CHECK(host.orders.tables.empty());
  CHECK(host.orders.ballots.empty());
  REQUIRE_FALSE(host.orders.beats.empty());
  CHECK(host.orders.beats.back().speaks == Levels{});
  CHECK_FALSE(host.orders.beats.back().volume_ok);
  CHECK(host.member.act_until() == Instant{});
}

TEST_CASE("a_keeper_that_found_a_later_level_does_so_too") {
  Member member(Host::settings());
  Orders orders;
  VolumeReady ready;
  ready.incarnation = boot(1);
  ready.level = kLater;
  member.step(Input{ready}, {at(0), {}}, orders);
  member.tick({at(100), {}}, orders);
  CHECK(orders.reads.empty());
  CHECK(member.level() == kFirstLevel);  // beats are still of one that it speaks
  REQUIRE_FALSE(orders.beats.empty());
  CHECK(orders.beats.back().level == kFirstLevel);
  CHECK(orders.beats.back().incarnation == boot(1));  // and it is heard
  CHECK_FALSE(orders.beats.back().volume_ok);
}

TEST_CASE("a_decision_that_the_keeper_does_not_read_ends_it_until_another_keeper_is_there") {
  Host host;
  host.step(host.answer(Region::decision, kFirstLevel));
  CHECK(host.tells("wardom-keeper here is of an older release", "host 1"));
  CHECK_FALSE(host.tells("older release than the domain", "host 1"));
  host.ready();
  CHECK_FALSE(host.tells("wardom-keeper here is of an older release", "host 1"));
}

// A host of this domain has decided in another one before: that is at a level of its own.
TEST_CASE("a_decision_of_another_domain_ends_nothing") {
  Host host;
  host.step(host.answer(Region::decision, kLater, DomainId{2}));
  CHECK_FALSE(host.tells("older release than the domain", "host 1"));
  CHECK_FALSE(host.tells("no use of the state volume", "host 1"));
}

TEST_CASE("cells_of_a_level_that_is_read_no_more_end_this_daemons_part") {
  MemberSettings settings = Host::settings();
  settings.speaks = {Level{2}, Level{3}};
  const auto region = GENERATE(Region::decision, Region::ballot, Region::table);
  Host host(settings);
  host.step(host.answer(region, kFirstLevel));
  CHECK(host.tells("a release in between was left out", "host 1"));
  CHECK_FALSE(host.tells("older release than the domain", "host 1"));
}

// One member of a release that is too new must not silence all others.
TEST_CASE("a_beat_or_a_slot_of_a_later_level_has_the_decisions_read_and_ends_nothing") {
  Host host;
  for (int i = 0; i < 20; ++i) host.answer_all();
  for (int i = 0; i < 3; ++i) host.tick();
  const auto slots = host.answer(Region::slot, kLater);
  REQUIRE_FALSE(host.asks_for_decisions());
  SECTION("beat") { host.step(OtherLevel{kPeer, kLater, {kLater, kLater}}); }
  SECTION("slot") { host.step(slots); }
  for (int i = 0; i < 3; ++i) host.tick();
  CHECK(host.asks_for_decisions());
  CHECK_FALSE(host.tells("older release than the domain", "host 1"));
}

TEST_CASE("a_beat_of_an_earlier_level_ends_nothing_and_says_whose_it_is") {
  MemberSettings settings = Host::settings();
  settings.speaks = {Level{3}, Level{4}};
  Member member(settings);
  Orders orders;
  member.step(Input{OtherLevel{kPeer, Level{2}, {Level{1}, Level{2}}}}, {at(0), {}}, orders);
  const auto list = member.problems(at(10));
  CHECK(std::any_of(list.begin(), list.end(), [](const Problem& problem) {
    return problem.what.find("runs an older release") == 0 && problem.where == "host 2";
  }));
  CHECK(std::none_of(list.begin(), list.end(), [](const Problem& problem) {
    return problem.what.find("older release than the domain") != std::string::npos;
  }));
  // A stranger's word is nobody's.
  member.step(Input{OtherLevel{HostId{9}, Level{9}, {Level{9}, Level{9}}}}, {at(0), {}}, orders);
  CHECK(member.problems(at(10)).size() == list.size());
}

TEST_CASE("a_beat_without_an_incarnation_tells_what_its_sender_speaks_and_nothing_else") {
  MemberSettings settings = Host::settings();
  settings.speaks = {Level{1}, Level{2}};
  Member member(settings);
  Orders orders;
  VolumeReady ready;
  ready.incarnation = boot(1);
  ready.level = kLater;
  member.step(Input{ready}, {at(0), {}}, orders);
  const auto tells = [&](std::int64_t ms) {
    const auto list = member.problems(at(ms));
    return std::any_of(list.begin(), list.end(), [](const Problem& problem) {
      return problem.what.find("runs an older release") == 0 && problem.where == "host 2";
    });
  };
  auto before = beat(kPeer, Link::mgmt, 1);
  before.speaks = {Level{1}, Level{2}};
  member.step(BeatSeen{before}, {at(0), {}}, orders);
  CHECK_FALSE(tells(10));
  auto set_back = beat(kPeer, Link::mgmt, 1, 5, 10);
  set_back.incarnation = {};
  set_back.speaks = {Level{1}, Level{1}};
  member.step(BeatSeen{set_back}, {at(3000), {}}, orders);
  CHECK(tells(3010));
  CHECK_FALSE(member.evidence().of(kPeer).heard(at(3010), settings.timing));
  before = beat(kPeer, Link::mgmt, 1, 5, 11);
  before.speaks = {Level{1}, Level{2}};
  member.step(BeatSeen{before}, {at(4000), {}}, orders);
  CHECK_FALSE(tells(4010));
}

TEST_CASE("a_hosts_own_cells_tell_the_level_to_go_on_in") {
  MemberSettings settings = Host::settings();
  settings.speaks = {Level{1}, Level{2}};
  Member member(settings);
  Orders orders;
  CHECK(member.level() == Level{1});
  VolumeReady ready;
  ready.incarnation = boot(1);
  ready.level = kLater;
  member.step(Input{ready}, {at(0), {}}, orders);
  CHECK(member.level() == kLater);
  ready.level = kFirstLevel;
  member.step(Input{ready}, {at(0), {}}, orders);
  CHECK(member.level() == kLater);
}
