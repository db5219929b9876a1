// Setting up the quorum device on all hosts: what is asked (runtime/device_rounds.hpp) and what
// each host does to its file, over a ring with one order of words; hosts that are away, restart, or
// have a file that cannot be changed.
#include <catch2/catch.hpp>

#include <unistd.h>

#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <vector>

#include "agents/wardomd/device_files.hpp"
#include "libha/runtime/device_rounds.hpp"

using namespace wardom;
using namespace wardom::daemon;
using runtime::DeviceRounds;
using wire::DeviceAnswer;
using wire::DeviceAsk;
using wire::DevicePass;
using wire::DeviceStep;

namespace {

const std::string kPlain = R"(quorum {
    provider: corosync_votequorum
}
nodelist {
    node {
        nodeid: 1
    }
    node {
        nodeid: 2
    }
    node {
        nodeid: 3
    }
}
)";
const std::string kDevice = R"(    device {
        model: wardom
        timeout: 8000
        sync_timeout: 4000
    }
)";

std::string with(std::string text) {
  return text.insert(text.find("}\nnodelist"), kDevice);
}

std::string replaced(std::string text, const std::string& old, const std::string& by) {
  return text.replace(text.find(old), old.size(), by);
}

struct Cluster {
  explicit Cluster(std::uint16_t count = 3) {
    char name[] = "/tmp/wardom-device-XXXXXX";
    folder = ::mkdtemp(name);
    for (std::uint16_t id = 1; id <= count; ++id) members.push_back(HostId{id});
    for (const HostId host : members) {
      std::filesystem::create_directory(path(host).parent_path());
      write(host, kPlain);
      start(host);
    }
  }
  ~Cluster() { std::filesystem::remove_all(folder); }

  struct Daemon {
    DeviceFiles files;
    DeviceRounds rounds;
  };
  std::filesystem::path path(HostId host) const {
    return folder / std::to_string(host.value) / "corosync.conf";
  }
  void write(HostId host, const std::string& text) const { std::ofstream(path(host)) << text; }
  std::string read(HostId host) const {
    std::ostringstream text;
    text << std::ifstream(path(host)).rdbuf();
    return text.str();
  }
  std::vector<std::string> all() const {
    std::vector<std::string> texts;
    for (const HostId host : members) texts.push_back(read(host));
    return texts;
  }

  void start(HostId host) {
    daemons[host] = std::make_unique<Daemon>(
        Daemon{DeviceFiles(path(host).string(), host, members, [this] { return ++drawn; }),
               DeviceRounds(host, members)});
    tell_ring();
  }
  void stop(HostId host) {
    daemons.erase(host);
    tell_ring();
  }
  void tell_ring() {
    std::vector<HostId> ring;
    for (const auto& [host, daemon] : daemons) ring.push_back(host);
    for (const auto& [host, daemon] : daemons) daemon->rounds.on_ring(ring);
  }

  DeviceAsk ask(HostId from, DeviceStep step) {
    DeviceAsk made;
    made.from = from;
    made.request = Ticket{++requests};
    made.step = step;
    made.timeout_ms = 8000;
    made.sync_timeout_ms = 4000;
    made.by = "alice";
    return made;
  }
  // Takes what the daemons say to the ring, and what they have ended.
  void speak() {
    for (auto& [host, daemon] : daemons) {
      auto news = daemon->rounds.tick(now);
      for (auto& one : news.asks) said.push_back(std::move(one));
      for (auto& one : news.ended) ended[one.request] = std::move(one.rows);
    }
  }
  // One word of the ring, to everybody alike. false: nothing was said.
  bool hear() {
    speak();
    if (said.empty()) return false;
    const auto word = std::move(said.front());
    said.pop_front();
    for (auto& [host, daemon] : daemons)
      if (const auto* one = std::get_if<DeviceAsk>(&word)) {
        if (deaf != host) said.push_back(daemon->files.answer(*one));
      } else {
        daemon->rounds.on_answer(std::get<DeviceAnswer>(word));
      }
    return true;
  }
  std::vector<DeviceRounds::Row> run(DeviceAsk made) {
    const auto request = made.request;
    const auto begun = daemons.at(made.from)->rounds.begin(std::move(made), now);
    if (!begun) {
      refusal = begun.error().message;
      return {};
    }
    while (hear()) {
    }
    if (!ended.contains(request)) now = now + runtime::kDevicePatience;
    speak();
    return ended.at(request);
  }
  static std::vector<DevicePass> passes(const std::vector<DeviceRounds::Row>& rows) {
    std::vector<DevicePass> list;
    for (const auto& row : rows)
      if (row.answer && row.answer->ok) list.push_back({row.host, row.answer->pass});
    return list;
  }
  std::vector<DeviceRounds::Row> change(HostId from, bool remove = false) {
    auto trial = ask(from, DeviceStep::trial);
    trial.remove = remove;
    auto wish = ask(from, DeviceStep::write);
    wish.remove = remove;
    wish.passes = passes(run(trial));
    return run(wish);
  }

  std::filesystem::path folder;
  std::vector<HostId> members;
  std::map<HostId, std::unique_ptr<Daemon>> daemons;
  std::deque<std::variant<DeviceAsk, DeviceAnswer>> said;
  std::map<Ticket, std::vector<DeviceRounds::Row>> ended;
  std::string refusal;
  HostId deaf;  // does not know these words
  std::uint64_t drawn{1};
  std::uint64_t requests{0};
  Instant now{std::chrono::seconds{100}};
};

const HostId n1{1}, n2{2}, n3{3};

bool all_ok(const std::vector<DeviceRounds::Row>& rows) {
  return !rows.empty() && std::all_of(rows.begin(), rows.end(), [](const auto& row) {
    return row.answer && row.answer->ok;
  });
}

}  // namespace

TEST_CASE("setup_and_remove_reach_every_file") {
  Cluster cluster;
  const auto wrote = cluster.change(n2);
  REQUIRE(all_ok(wrote));
  CHECK(wrote.size() == 3);
  CHECK(cluster.all() == std::vector(3, with(kPlain)));
  for (const auto& row : wrote) {
    CHECK(row.answer->changes);
    CHECK(row.answer->model == "wardom");
    CHECK(row.answer->timeout_ms == 8000);
    CHECK(row.answer->digest == wrote.front().answer->digest);
  }
  const auto again = cluster.change(n1);
  REQUIRE(all_ok(again));
  CHECK_FALSE(again.front().answer->changes);
  REQUIRE(all_ok(cluster.change(n3, true)));
  CHECK(cluster.all() == std::vector(3, kPlain));
}

TEST_CASE("one_file_that_cannot_be_changed_is_found_before_any_is") {
  Cluster cluster;
  const std::pair<std::string, const char*> bad[] = {
      {replaced(with(kPlain), "model: wardom", "model: net"), "another quorum device"},
      {replaced(kPlain, "nodeid: 3", "nodeid: 4"), "names node 4"},
      {replaced(kPlain, "}\nnodelist", "    two_node: 1\n}\nnodelist"), "two_node"},
      {kPlain + "}\n", "ends a section"}};
  for (const auto& [text, words] : bad) {
    cluster.write(n3, text);
    const auto rows = cluster.run(cluster.ask(n1, DeviceStep::trial));
    REQUIRE(rows.size() == 3);
    CHECK(rows[0].answer->ok);
    CHECK_FALSE(rows[2].answer->ok);
    CHECK(rows[2].answer->pass == 0);
    CHECK_THAT(rows[2].answer->text, Catch::Contains(words));
    CHECK(cluster.all() == std::vector{kPlain, kPlain, text});
    for (const HostId host : cluster.members)
      CHECK(std::distance(std::filesystem::directory_iterator(cluster.path(host).parent_path()),
                          {}) == 1);
  }
  auto ask = cluster.ask(n1, DeviceStep::trial);
  ask.timeout_ms = 1;
  CHECK_FALSE(cluster.run(ask)[0].answer->ok);
}

TEST_CASE("a_write_needs_this_hosts_pass_to_this_wish_and_this_file") {
  Cluster cluster;
  const auto tried = cluster.run(cluster.ask(n1, DeviceStep::trial));
  auto write = cluster.ask(n1, DeviceStep::write);
  write.passes = Cluster::passes(tried);
  const auto refused = [&](DeviceAsk ask) {
    const auto answer = cluster.daemons.at(n2)->files.answer(ask);
    return !answer.ok && cluster.read(n2) == kPlain;
  };
  SECTION("guessed") {
    for (auto& one : write.passes) ++one.pass;
    CHECK(refused(write));
  }
  SECTION("for another host") {
    std::erase_if(write.passes, [](const auto& one) { return one.host == n2; });
    CHECK(refused(write));
  }
  SECTION("from another host") {
    write.from = n3;
    CHECK(refused(write));
  }
  SECTION("for another wish") {
    write.remove = true;
    CHECK(refused(write));
  }
  SECTION("after somebody else's") {
    cluster.run(cluster.ask(n3, DeviceStep::trial));
    CHECK(refused(write));
  }
  SECTION("after a restart") {
    cluster.start(n2);
    CHECK(refused(write));
  }
  SECTION("after the file was changed") {
    cluster.write(n2, kPlain + "# mine\n");
    CHECK_FALSE(cluster.daemons.at(n2)->files.answer(write).ok);
    CHECK(cluster.read(n2) == kPlain + "# mine\n");
  }
  SECTION("a second time") {
    CHECK(cluster.daemons.at(n2)->files.answer(write).ok);
    cluster.write(n2, kPlain);
    CHECK(refused(write));
  }
}

TEST_CASE("of_two_operators_one_is_refused_by_all") {
  Cluster cluster;
  auto mine = cluster.ask(n1, DeviceStep::write);
  mine.passes = Cluster::passes(cluster.run(cluster.ask(n1, DeviceStep::trial)));
  auto remove = cluster.ask(n3, DeviceStep::trial);
  remove.remove = true;
  // Both are said before anybody has heard either.
  REQUIRE(cluster.daemons.at(n1)->rounds.begin(mine, cluster.now));
  REQUIRE(cluster.daemons.at(n3)->rounds.begin(remove, cluster.now));
  while (cluster.hear()) {
  }
  cluster.speak();
  CHECK(all_ok(cluster.ended.at(mine.request)));
  CHECK(cluster.all() == std::vector(3, with(kPlain)));
  auto write = cluster.ask(n3, DeviceStep::write);
  write.remove = true;
  write.passes = Cluster::passes(cluster.ended.at(remove.request));
  CHECK(all_ok(cluster.run(write)));
  CHECK(cluster.all() == std::vector(3, kPlain));
  // And the other way round: the later trial takes the earlier one's passes away, on every host.
  auto late = cluster.ask(n1, DeviceStep::write);
  late.passes = Cluster::passes(cluster.run(cluster.ask(n1, DeviceStep::trial)));
  cluster.run(cluster.ask(n2, DeviceStep::trial));
  for (const auto& row : cluster.run(late)) CHECK_FALSE(row.answer->ok);
  CHECK(cluster.all() == std::vector(3, kPlain));
}

TEST_CASE("hosts_that_do_not_answer_are_told") {
  Cluster cluster;
  cluster.stop(n3);
  auto rows = cluster.run(cluster.ask(n1, DeviceStep::look));
  CHECK((rows[1].in_ring && rows[1].answer && !rows[2].in_ring && !rows[2].answer));
  cluster.start(n3);
  cluster.deaf = n2;  // of a release that does not know the words
  rows = cluster.run(cluster.ask(n1, DeviceStep::look));
  CHECK((rows[1].in_ring && !rows[1].answer && rows[2].answer));
  // One that leaves on the way is not waited for.
  const auto ask = cluster.ask(n1, DeviceStep::look);
  REQUIRE(cluster.daemons.at(n1)->rounds.begin(ask, cluster.now));
  while (cluster.hear()) {
  }
  cluster.speak();
  CHECK_FALSE(cluster.ended.contains(ask.request));
  cluster.stop(n2);
  cluster.speak();
  CHECK(cluster.ended.contains(ask.request));
}

TEST_CASE("those_without_the_device_can_never_be_most_hosts") {
  const struct {
    std::uint16_t hosts;
    std::uint16_t away;
    bool granted;
  } cases[] = {{1, 0, true}, {2, 0, true}, {2, 1, false}, {3, 1, true},
               {3, 2, false}, {4, 1, true}, {4, 2, false}, {5, 2, true}, {5, 3, false}};
  for (const auto& one : cases) {
    CAPTURE(one.hosts, one.away);
    for (const bool remove : {false, true}) {
      std::vector<HostId> members, ring;
      for (std::uint16_t id = 1; id <= one.hosts; ++id) {
        members.push_back(HostId{id});
        if (id <= one.hosts - one.away) ring.push_back(HostId{id});
      }
      DeviceRounds rounds(n1, members);
      rounds.on_ring(ring);
      DeviceAsk ask;
      ask.from = n1;
      ask.request = Ticket{1};
      ask.step = DeviceStep::write;
      ask.remove = remove;
      for (const HostId host : ring) ask.passes.push_back({host, 7});
      // One that kept the device could be quorate by itself: taken out on all, or on none.
      CHECK(rounds.begin(ask, {}).has_value() == (remove ? one.away == 0 : one.granted));
    }
  }
}

TEST_CASE("nothing_is_asked_without_a_ring_or_beside_a_stranger") {
  Cluster cluster;
  auto& rounds = cluster.daemons.at(n1)->rounds;
  rounds.on_ring({n1, n2, n3, HostId{9}});
  CHECK_FALSE(rounds.begin(cluster.ask(n1, DeviceStep::trial), {}));
  CHECK(rounds.begin(cluster.ask(n1, DeviceStep::look), {}));
  rounds.on_ring({});
  CHECK_FALSE(rounds.begin(cluster.ask(n1, DeviceStep::look), {}));
  rounds.on_ring({n1});
  for (std::size_t i = 1; i < runtime::kMaxDeviceRounds; ++i)
    CHECK(rounds.begin(cluster.ask(n1, DeviceStep::look), {}));
  CHECK_FALSE(rounds.begin(cluster.ask(n1, DeviceStep::look), {}));
}

// Whatever ends at whatever moment: each file is the old or the new one, and once everybody is
// there a second setup completes what is missing.
TEST_CASE("an_interrupted_setup_is_completed_by_a_second") {
  std::mt19937 random(4);
  const auto below = [&](unsigned limit) { return random() % limit; };
  unsigned half_done = 0;
  for (int round = 0; round < 200; ++round) {
    Cluster cluster;
    int steps = static_cast<int>(below(18));
    const HostId victim = cluster.members[below(3)];
    const auto disturb = [&] {
      if (steps-- == 0 && cluster.daemons.contains(victim)) {
        cluster.stop(victim);
        if (below(2) == 0) cluster.start(victim);
      }
    };
    const HostId from = cluster.members[below(3)];
    const auto go = [&](DeviceAsk ask) -> std::vector<DeviceRounds::Row> {
      const auto request = ask.request;
      const auto daemon = cluster.daemons.find(from);
      if (daemon == cluster.daemons.end() ||
          !daemon->second->rounds.begin(std::move(ask), cluster.now))
        return {};
      do disturb();
      while (cluster.hear());
      cluster.now = cluster.now + runtime::kDevicePatience;
      cluster.speak();
      return cluster.ended[request];
    };
    auto write = cluster.ask(from, DeviceStep::write);
    write.passes = Cluster::passes(go(cluster.ask(from, DeviceStep::trial)));
    if (!write.passes.empty()) go(write);
    std::size_t have = 0;
    for (const auto& text : cluster.all()) {
      const bool whole = text == kPlain || text == with(kPlain);
      CHECK(whole);
      have += text == kPlain ? 0 : 1;
    }
    half_done += have > 0 && have < 3 ? 1 : 0;
    if (!cluster.daemons.contains(victim)) cluster.start(victim);
    REQUIRE(all_ok(cluster.change(cluster.members[below(3)])));
    CHECK(cluster.all() == std::vector(3, with(kPlain)));
  }
  CHECK(half_done > 5);
}
