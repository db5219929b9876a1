#include <catch2/catch.hpp>

#include "core_samples.hpp"
#include "libha/core/guest_life.hpp"
#include "libha/core/turn.hpp"

using namespace wardom;
using namespace wardom::core;
using namespace wardom::core::sample;

TEST_CASE("guest_life_is_the_table_of_the_design", "[guest_life]") {
  using enum GuestPhase;
  const GuestPhase all[] = {assigned, claimed, starting, holding, yielded, refused,
                            claimed_incoming};
  const std::pair<GuestPhase, GuestPhase> allowed[] = {
      {assigned, claimed}, {assigned, claimed_incoming}, {claimed, starting}, {claimed, holding},
      {claimed, refused},  {claimed, yielded},           {starting, holding}, {starting, refused},
      {holding, yielded},  {claimed_incoming, holding}, {claimed_incoming, refused}};
  for (auto from : all)
    for (auto to : all) {
      const bool expected = std::find(std::begin(allowed), std::end(allowed),
                                      std::pair{from, to}) != std::end(allowed);
      INFO(to_text(from) << " -> " << to_text(to));
      CHECK(may_follow(from, to) == expected);
    }
  CHECK(is_active(claimed));
  CHECK(is_active(holding));
  CHECK_FALSE(is_active(refused));
  CHECK_FALSE(is_active(yielded));
  CHECK_FALSE(is_active(assigned));
}

TEST_CASE("only_a_yield_without_xml_is_a_tombstone", "[guest_life]") {
  GuestEntry entry;
  entry.phase = GuestPhase::yielded;
  CHECK(is_tombstone(entry));
  entry.xml = "<domain/>";
  CHECK_FALSE(is_tombstone(entry));
  entry.xml.clear();
  entry.phase = GuestPhase::refused;
  CHECK_FALSE(is_tombstone(entry));
}

namespace {

struct Bench {
  Orders orders;
  Ticket last;
  Random random{1};
  Turn turn(Instant now) { return Turn{{now, {}}, orders, last, random}; }
};

CellWritten written(Ticket ticket, bool ok, std::uint64_t sequence) {
  return {ticket, {}, ok, Sequence{sequence}, ""};
}

}  // namespace

TEST_CASE("own_cell_writes_one_at_a_time", "[own_cell]") {
  Bench bench;
  OwnCell<Decision> cell;
  auto turn = bench.turn(at(0));
  CHECK(cell.settled());
  CHECK_FALSE(cell.due(turn));
  cell.change().version = LockVersion{1};
  const auto first = cell.due(turn);
  REQUIRE(first);
  cell.change().version = LockVersion{2};
  CHECK_FALSE(cell.due(turn));  // one is under way
  CHECK_FALSE(cell.on_written(written(Ticket{999}, true, 7), at(1), seconds{1}));
  CHECK(cell.on_written(written(*first, true, 7), at(1), seconds{1}));
  CHECK_FALSE(cell.settled());  // the second change does not stand yet
  const auto second = cell.due(turn);
  REQUIRE(second);
  CHECK(cell.on_written(written(*second, true, 8), at(2), seconds{1}));
  CHECK(cell.settled());
  CHECK(cell.sequence() == Sequence{8});
}

TEST_CASE("own_cell_retries_after_a_pause", "[own_cell]") {
  Bench bench;
  OwnCell<Decision> cell;
  cell.change().version = LockVersion{1};
  auto turn = bench.turn(at(0));
  const auto first = cell.due(turn);
  CHECK(cell.on_written(written(*first, false, 0), at(10), milliseconds{50}));
  CHECK_FALSE(cell.settled());
  auto early = bench.turn(at(59));
  CHECK_FALSE(cell.due(early));
  CHECK(cell.retry_deadline() == at(60));
  auto later = bench.turn(at(60));
  CHECK(cell.due(later));
  CHECK_FALSE(cell.retry_deadline());
}
