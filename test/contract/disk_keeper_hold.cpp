// What wardom-keeper does while the volume is held, moved, or given other lease times.
#include <functional>

#include "keeper_fixture.hpp"
#include "libha/disk/hold.hpp"

using namespace wardom;
using namespace wardom::fixture;
using namespace std::chrono_literals;

namespace {

// The operator's tool, step by step.
struct Tool {
  explicit Tool(const Site& of) : site(of), fresh(of.directory.file("new")) {}
  void say(const std::string& path, const VolumeState& state,
           const Geometry& now = quick_geometry(), const Geometry& then = quick_geometry()) const {
    const auto opened = disk::VolumeFile::open(path, disk::Access::read_write, {});
    REQUIRE(opened.has_value());
    REQUIRE(disk::change_superblocks(*opened.value().io(), path, {now, opened.value().state()},
                                     {then, state}));
  }
  void lay_out() const {
    REQUIRE(disk::format_volume(fresh, quick_geometry(), disk::Space::sparse,
                                {VolumeUse::incoming, 7, site.volume, "n1", {}}));
  }
  void copy() const {
    auto from = disk::VolumeFile::open(site.volume, disk::Access::read_write, {});
    auto to = disk::VolumeFile::open(fresh, disk::Access::read_write, {});
    REQUIRE(from.has_value());
    REQUIRE(to.has_value());
    REQUIRE(disk::copy_cells(from.value(), to.value(),
                             [](std::size_t, std::size_t) { return true; }));
  }
  VolumeState held() const { return {VolumeUse::held, 7, fresh, "n1", {}}; }
  const Site& site;
  std::string fresh;
};

struct FormattedSite : Site {
  FormattedSite() { format(); }
};

// Host 1 has joined and serves its daemon.
struct Serving {
  const FormattedSite site;
  const Tool tool{site};
  KeeperProcess keeper{site.config, "n1", site.run_dir("1")};
  Daemon daemon{keeper.socket()};
  const port::VolumeReady before{daemon.ready()};
};

bool holds(const Slot& slot) { return slot.held == 7; }

// The same on the new volume.
Slot wait_on(const std::string& volume, const std::function<bool(const Slot&)>& done) {
  Site there;
  there.volume = volume;
  return wait_for_slot(there, 1, done);
}

}  // namespace

TEST_CASE_METHOD(Serving, "keeper_holds_and_follows_a_volume_that_is_moved") {
  const auto payload = wire::encode_decision({LockVersion{4}, {}, {}}, 4096).value();
  REQUIRE(daemon.write(1, {Region::decision, 1}, payload).acknowledged);

  tool.say(site.volume, tool.held());
  while (daemon.lost().reason.find("volume move") == std::string::npos) continue;
  auto slot = wait_for_slot(site, 1, holds);
  CHECK(slot.w_ms == 0);
  CHECK_FALSE(slot.reaches);
  keeper.wait_for(tool.fresh);  // cannot be used yet
  CHECK_FALSE(daemon.write(2, {Region::decision, 1}, payload).acknowledged);
  tool.lay_out();
  wait_for_slot(site, 1, [](const Slot& s) { return s.reaches; });
  tool.copy();
  tool.say(site.volume, {VolumeUse::moved, 7, tool.fresh, "n1", {}});
  // There it holds on until that is in use.
  keeper.wait_for("at " + tool.fresh);
  const auto first = wait_on(tool.fresh, [&](const Slot& s) { return s.raw_ns > slot.raw_ns; });
  CHECK(first.held == 7);
  tool.say(tool.fresh, {});
  wait_on(tool.fresh, [](const Slot& s) { return s.held == 0; });
  const auto after = daemon.ready();
  CHECK(after.incarnation == before.incarnation);
  const auto read = daemon.read(3, {{Region::decision, 1}});
  CHECK(read.cells[0].payload == payload);
  REQUIRE(daemon.write(4, {Region::decision, 1}, payload).acknowledged);
  for (auto troubles = daemon.troubles().troubles;; troubles = daemon.troubles().troubles)
    if (!troubles.empty() && troubles[0].what.find("volume.path") != std::string::npos) break;
  // A keeper that starts by the old path is led on.
  REQUIRE(keeper.end(SIGTERM) == 0);
  KeeperProcess again(site.config, "n1", site.run_dir("1"));
  again.wait_for("goes on as incarnation " + to_text(before.incarnation));
  again.wait_for("at " + tool.fresh);
}

TEST_CASE_METHOD(Serving, "keeper_serves_again_when_a_change_is_abandoned") {
  tool.say(site.volume, tool.held());
  wait_for_slot(site, 1, holds);
  // Another tool takes it over, under a number of its own, and gives it up.
  tool.say(site.volume, {VolumeUse::held, 8, tool.fresh, "n1", {}});
  wait_for_slot(site, 1, [](const Slot& s) { return s.held == 8; });
  tool.say(site.volume, {});
  wait_for_slot(site, 1, [](const Slot& s) { return s.held == 0; });
  CHECK(daemon.ready().incarnation == before.incarnation);
}

// The others did not wait for it: it must not act where nobody looks.
TEST_CASE_METHOD(Serving, "keeper_serves_nobody_where_it_was_not_waited_for") {
  tool.lay_out();
  tool.say(site.volume, {VolumeUse::moved, 7, tool.fresh, "n1", {}});
  keeper.wait_for("was not waited for");
  const auto payload = wire::encode_decision({LockVersion{4}, {}, {}}, 4096).value();
  CHECK_FALSE(daemon.write(1, {Region::decision, 1}, payload).acknowledged);
}

// The old one is gone, and others may have gone on in the new one: as long as that does not say so,
// this host waits and says what to do; then it follows.
TEST_CASE_METHOD(Serving, "keeper_that_holds_and_loses_the_old_volume_follows_one_in_use") {
  tool.lay_out();
  tool.say(site.volume, tool.held());
  wait_for_slot(site, 1, [](const Slot& s) { return s.held == 7 && s.reaches; });
  tool.copy();
  REQUIRE(::truncate(site.volume.c_str(), 0) == 0);
  keeper.wait_for("while it is held");
  keeper.wait_for("the new one, " + tool.fresh + ", is not in use yet");
  keeper.wait_for("set volume.path");
  // Its window rests all the while: it is there when the move is decided.
  ::poll(nullptr, 0, static_cast<int>(2 * quick_geometry().t_f_ms));
  tool.say(tool.fresh, {});
  keeper.wait_for("goes on as incarnation " + to_text(before.incarnation));
  wait_on(tool.fresh, [](const Slot& s) { return s.held == 0; });
  CHECK(daemon.ready().incarnation == before.incarnation);
}

TEST_CASE("keeper_begins_with_no_volume_that_is_being_filled") {
  Site site;
  site.format();
  const Tool tool(site);
  std::optional<KeeperProcess> keeper;
  keeper.emplace(site.config, "n1", site.run_dir("1"));
  wait_for_slot(site, 1, [](const Slot& s) { return s.state == SlotState::up; });
  keeper->end(SIGKILL);
  // Its configuration already names the new one, which an abandoned move may have left, too.
  tool.lay_out();
  const auto old = std::exchange(site.volume, tool.fresh);
  site.configure();
  keeper.emplace(site.config, "n1", site.run_dir("1"));
  keeper->wait_for("is being filled with what " + old + " holds");
  ::poll(nullptr, 0, 500);
  CHECK(site.slot(1).state == wire::ExtentState::empty);
}

TEST_CASE("keeper_serves_beside_a_first_superblock_that_is_damaged_or_differs") {
  const Site site;
  site.format();
  for (const bool damaged : {true, false}) {
    {
      const auto opened = disk::VolumeFile::open(site.volume, disk::Access::read_write, {});
      REQUIRE(opened.has_value());
      auto& io = *opened.value().io();
      if (damaged) {
        disk::Buffer zeros(wire::kBlockBytes);
        REQUIRE(io.write(0, std::as_const(zeros).bytes()));
      } else {
        REQUIRE(disk::write_superblocks(io, {quick_geometry(), {}}));
        disk::Buffer block(wire::kBlockBytes);
        const VolumeState held{VolumeUse::held, 7, "", "n1", {}};
        const Site other;
        REQUIRE(disk::format_volume(other.volume, quick_geometry(), disk::Space::sparse, held));
        const auto from = disk::VolumeFile::open(other.volume, disk::Access::read_only, {});
        REQUIRE(from.has_value());
        REQUIRE(from.value().io()->read(0, block.bytes()));
        REQUIRE(io.write(0, std::as_const(block).bytes()));
      }
    }
    KeeperProcess keeper(site.config, "n1", site.run_dir("1"));
    Daemon daemon(keeper.socket());
    CHECK(daemon.ready().self == HostId{1});
    keeper.end(SIGTERM);
  }
}

TEST_CASE("keeper_that_starts_while_the_volume_is_held_waits_or_says_that_it_holds") {
  const Site site;
  site.format();
  const Tool tool(site);
  std::optional<KeeperProcess> known;
  known.emplace(site.config, "n1", site.run_dir("1"));
  wait_for_slot(site, 1, [](const Slot& s) { return s.state == SlotState::up; });
  known->end(SIGKILL);
  tool.say(site.volume, tool.held());
  // Of this boot: it has a part in the volume.
  known.emplace(site.config, "n1", site.run_dir("1"));
  wait_for_slot(site, 1, holds);
  // New to it.
  KeeperProcess stranger(site.config, "n2", site.run_dir("2"));
  stranger.wait_for("is held while an operator moves it");
  ::poll(nullptr, 0, 500);
  CHECK(site.slot(2).state == wire::ExtentState::empty);
  tool.say(site.volume, {});
  wait_for_slot(site, 2, [](const Slot& s) { return s.state == SlotState::up; });
}

TEST_CASE_METHOD(Serving, "keeper_takes_other_lease_times_while_it_holds") {
  tool.say(site.volume, {VolumeUse::held, 7, "", "n1", {}});
  wait_for_slot(site, 1, holds);
  auto other = quick_geometry();
  other.t_f_ms = 6000;
  tool.say(site.volume, {}, quick_geometry(), other);
  wait_for_slot(site, 1, [](const Slot& s) { return s.t_f_ms == 6000 && s.held == 0; });
  const auto after = daemon.ready();
  CHECK(after.incarnation == before.incarnation);
  CHECK(after.geometry == other);
}
