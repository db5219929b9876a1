#include <catch2/catch.hpp>

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <variant>

#include "agents/keeper/join.hpp"
#include "agents/keeper/lease.hpp"
#include "libha/wire/slot.hpp"

using namespace wardom;
using namespace wardom::keeper;

TEST_CASE("votes_of_another_boot_are_not_stated") {
  Slot slot;
  slot.boot_id.bytes[0] = 1;
  slot.votes_under = LockVersion{7};
  disk::CellExtents found;
  found.twins[0].state = wire::ExtentState::valid;
  found.twins[0].payload = wire::encode_slot(slot);
  CHECK(votes_found(found, slot.boot_id) == LockVersion{7});
  Bits128 other;
  other.bytes[0] = 2;
  CHECK(votes_found(found, other) == LockVersion{});
}

// It may have been moved meanwhile, and its old place wiped. Where a keeper ended, nobody would
// feed the watchdog of a host whose window rests.
TEST_CASE("a_host_that_holds_waits_where_its_volume_is_gone") {
  char name[] = "wardom-join-XXXXXX";
  REQUIRE(::mkdtemp(name) != nullptr);
  const auto folder = std::filesystem::absolute(name);  // /tmp may not take direct I/O
  Identity identity;
  identity.boot_id.bytes[0] = 1;
  Options options;
  options.self = HostId{1};
  options.cluster = "test";
  options.run_dir = folder.string();
  options.volume_path = (folder / "volume").string();
  std::ofstream(options.volume_path) << std::string(2 << 20, '\0');
  const std::atomic<bool> stop{false};
  CHECK(std::holds_alternative<JoinRefused>(join(options, identity, stop)));
  KeptWindow window;
  window.boot_id = identity.boot_id;
  window.t_f = std::chrono::seconds{6};
  window.ladder.lease = true;
  for (const bool rests : {true, false}) {
    window.ladder.rests = rests;
    std::ofstream(folder / "window") << encode_window(window);
    const auto result = join(options, identity, stop);
    CHECK(std::holds_alternative<JoinLater>(result) == rests);
    if (const auto* later = std::get_if<JoinLater>(&result)) {
      CHECK_THAT(later->why, Catch::Contains("holds for a change"));
      CHECK_THAT(later->why, Catch::Contains("set volume.path"));
    }
  }
  std::filesystem::remove_all(folder);
}
