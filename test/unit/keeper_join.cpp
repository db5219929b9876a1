#include <catch2/catch.hpp>

#include "agents/keeper/join.hpp"
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
