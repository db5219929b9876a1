// Which claims the end of a daemon has handed back.
#include <catch2/catch.hpp>

#include "core_samples.hpp"
#include "libha/core/handed_back.hpp"

using namespace wardom;
using namespace wardom::core;
using namespace wardom::core::sample;

namespace {

// Host 2 claimed one guest by its daemon of epoch 3.
struct Bench {
  Evidence evidence = domain();
  Board board{{kSelf, kPeer, kThird}};
  HandedBack handed_back;
  GuestEntry entry;
  std::uint64_t slots{1}, tables{0};

  Bench() {
    entry.guest.bytes[0] = 1;
    entry.phase = GuestPhase::claimed;
    entry.holder = boot(5);
    entry.epoch = DaemonEpoch{3};
  }
  bool show(std::uint32_t epoch, bool listed, std::int64_t ms, std::uint64_t number = 5) {
    auto seen = slot(kPeer, ++slots, number);
    auto& content = std::get<Slot>(seen.content);
    content.daemon_epoch = DaemonEpoch{epoch};
    content.start_listed = listed;
    evidence.on_slot(seen, at(ms - 1), at(ms));
    return handed_back.look(evidence, at(ms));
  }
  void read_table(std::int64_t ms, CellHealth health = CellHealth::valid) {
    CellSeen seen;
    seen.cell = {Region::table, kPeer.value};
    seen.health = health;
    seen.writer = kPeer;
    seen.incarnation = boot(5);
    seen.sequence = Sequence{++tables};
    seen.content = HostTable{{entry}};
    board.on_read(seen, at(ms));
  }
  bool over() const { return handed_back.over(board, {kPeer, &entry}); }
};

}  // namespace

TEST_CASE("hand_back_a_claim_that_no_start_was_listed_for", "[handed_back]") {
  Bench b;
  CHECK(b.show(3, false, 100));  // claims of epochs before this one may be over
  b.read_table(200);
  CHECK_FALSE(b.over());  // its daemon still stands
  CHECK_FALSE(b.show(4, true, 300));
  b.read_table(400);
  CHECK_FALSE(b.over());  // a start is open, perhaps this one
  CHECK(b.show(4, false, 500));
  CHECK_FALSE(b.over());  // slot first, table second
  b.read_table(499);
  CHECK_FALSE(b.over());
  b.read_table(500);
  CHECK(b.over());
  CHECK_FALSE(b.show(4, false, 600));  // nothing new
  CHECK(b.over());
}

TEST_CASE("hand_back_nothing_in_doubt", "[handed_back]") {
  Bench b;
  b.show(4, false, 100);
  b.read_table(200);
  REQUIRE(b.over());
  SECTION("the table cannot be read") {
    b.read_table(300, CellHealth::unreadable);
    CHECK_FALSE(b.over());
  }
  SECTION("a newer table is promised") {
    b.board.promise(kPeer, Sequence{}, Sequence{}, Sequence{b.tables + 1});
    CHECK_FALSE(b.over());
  }
  SECTION("the guest is held, given up or being started there") {
    for (auto phase : {GuestPhase::holding, GuestPhase::starting, GuestPhase::refused,
                       GuestPhase::yielded, GuestPhase::assigned}) {
      b.entry.phase = phase;
      CHECK_FALSE(b.over());
    }
  }
  SECTION("another boot's claim, or the slot's is another") {
    b.entry.holder = boot(4);
    CHECK_FALSE(b.over());
    b.entry.holder = boot(5);
    b.show(9, false, 300, 6);
    b.read_table(400);
    CHECK_FALSE(b.over());
  }
  SECTION("the present daemon's own claim") {
    b.entry.epoch = DaemonEpoch{4};
    CHECK_FALSE(b.over());
  }
}
