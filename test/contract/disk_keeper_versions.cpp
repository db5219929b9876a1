// wardom-keeper beside what other releases of Wardom have written.
#include "keeper_fixture.hpp"

using namespace wardom;
using namespace wardom::fixture;
using namespace std::chrono_literals;

TEST_CASE("keeper_writes_over_nothing_of_another_version") {
  const Site site;
  site.format();
  const Cell cell{Region::table, 1};
  {
    KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
    Daemon daemon(keeper.socket());
    daemon.ready();
    REQUIRE(daemon.write(1, cell, payload_for(Region::table)).acknowledged);
  }
  auto opened = disk::VolumeFile::open(site.volume, disk::Access::read_write, {});
  REQUIRE(opened.has_value());
  turn_to_another_version(*opened.value().io(),
                          *opened.value().layout().offset(cell, wire::kTwinA));
  const auto before = site.slot(1).sequence;
  KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
  keeper.wait_for("table 1 was written by another version of Wardom");
  CHECK(keeper.wait_exit() == 1);
  CHECK(site.slot(1).sequence == before);
}

TEST_CASE("keeper_stops_when_another_version_writes_under_it") {
  for (const bool superblock : {true, false}) {
    const Site site;
    site.format();
    KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
    wait_for_slot(site, 1, [](const Slot& s) { return s.state == SlotState::up; });
    auto opened = disk::VolumeFile::open(site.volume, disk::Access::read_write, {});
    REQUIRE(opened.has_value());
    const auto at = superblock ? wire::kSuperblockOffsets[0]
                               : *opened.value().layout().offset({Region::slot, 1}, wire::kTwinA);
    // The keeper writes that slot itself, so one look may come too early or too late.
    const auto until = std::chrono::steady_clock::now() + kLimit;
    std::optional<int> code;
    while (!code && std::chrono::steady_clock::now() < until) {
      turn_to_another_version(*opened.value().io(), at);
      code = keeper.exit_within(superblock ? 5s : 20ms);
    }
    CHECK(code == 1);
    keeper.wait_for("another version of Wardom has written");
  }
}

// What another host of its domain has decided tells which level the domain is at.
TEST_CASE("keeper_of_a_new_host_begins_in_no_domain_of_another_version") {
  for (const DomainId domain : {DomainId{1}, DomainId{2}}) {
    const Site site;
    site.format();
    auto opened = disk::VolumeFile::open(site.volume, disk::Access::read_write, {});
    REQUIRE(opened.has_value());
    wire::Head head;
    head.volume = opened.value().geometry().volume_uuid;
    head.cell = {Region::decision, 2};
    head.writer = HostId{2};
    head.incarnation = {1, {}};
    head.sequence = Sequence{1};
    head.domain = domain;
    const auto image = wire::encode_extent(head, payload_for(Region::decision));
    const auto at = *opened.value().layout().offset(head.cell, wire::kTwinA);
    REQUIRE(disk::write_image(*opened.value().io(), at, image));
    turn_to_another_version(*opened.value().io(), at);
    KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
    if (domain == DomainId{1}) {
      keeper.wait_for("the domain was written by another version of Wardom");
      CHECK(keeper.wait_exit() == 1);
    } else {
      wait_for_slot(site, 1, [](const Slot& s) { return s.state == SlotState::up; });
    }
  }
}

TEST_CASE("keeper_starts_with_nothing_of_another_version_in_its_run_directory") {
  const Site site;
  site.format();
  const auto dir = site.run_dir("1");
  {
    KeeperProcess keeper(site.config, "n1", dir);
    Daemon daemon(keeper.socket());
    daemon.ready();
    REQUIRE(daemon.write(1, {Region::table, 1}, payload_for(Region::table)).acknowledged);
  }
  const auto before = site.slot(1).sequence;
  for (const char* name : {"incarnation", "daemon", "window", "in-flight", "guests", "released"}) {
    const auto path = dir + "/" + name;
    const bool stood = std::filesystem::exists(path);
    if (stood) std::filesystem::rename(path, path + ".aside");
    const auto later = "wardom " + std::string(name) + " 99\nwhat only it knows\n";
    std::ofstream(path) << later;
    KeeperProcess keeper(site.config, "n1", dir);
    keeper.wait_for(path + ": is of another version of Wardom");
    CHECK(keeper.wait_exit() == 1);
    std::stringstream after;
    after << std::ifstream(path).rdbuf();
    CHECK(after.str() == later);
    CHECK_FALSE(std::filesystem::exists(path + ".malformed"));
    std::filesystem::remove(path);
    if (stood) std::filesystem::rename(path + ".aside", path);
  }
  CHECK(site.slot(1).sequence == before);
  KeeperProcess keeper(site.config, "n1", dir);
  keeper.wait_for("goes on as incarnation 1/");
}
