#include <catch2/catch.hpp>

#include "core_samples.hpp"
#include "libha/core/board.hpp"

using namespace wardom;
using namespace wardom::core;
using namespace wardom::core::sample;

namespace {

GuestId guest() {
  GuestId id;
  id.bytes[0] = 1;
  return id;
}

template <class Record>
void put(Board& board, HostId host, Record record, std::uint64_t sequence,
         CellHealth health = CellHealth::valid) {
  CellSeen cell;
  cell.cell = {std::is_same_v<Record, Decision> ? Region::decision : Region::table, host.value};
  cell.health = health;
  cell.incarnation = boot(5);
  cell.sequence = Sequence{sequence};
  cell.content = std::move(record);
  board.on_read(cell, at(static_cast<std::int64_t>(sequence)));
}

Decision dead(HostId host, std::uint64_t number, std::uint64_t version) {
  Decision decision;
  decision.version = LockVersion{version};
  Verdict verdict;
  verdict.host = host;
  verdict.incarnation = boot(number);
  verdict.proof = Proof::power_off;
  decision.verdicts.push_back(verdict);
  return decision;
}

HostTable table(GuestPhase phase, std::uint64_t generation) {
  GuestEntry entry;
  entry.guest = guest();
  entry.generation = Generation{generation};
  entry.phase = phase;
  entry.holder = boot(5);
  return {{entry}};
}

HostId newest_of(Board& board) { return board.guests().at(guest()).newest()->host; }

}  // namespace

TEST_CASE("verdict_covers_earlier_boots_only", "[board]") {
  Board board({kSelf, kPeer, kThird});
  put(board, kSelf, dead(kThird, 5, 1), 1);
  CHECK(board.verdict_on(kThird, boot(5)) != nullptr);
  CHECK(board.verdict_on(kThird, boot(4)) != nullptr);
  CHECK(board.verdict_on(kThird, boot(6)) == nullptr);
  CHECK(board.verdict_on(kPeer, boot(5)) == nullptr);
  Incarnation twin = boot(5);  // the same number, drawn by another machine
  twin.id.bytes[1] = 9;
  CHECK(board.verdict_on(kThird, twin) == nullptr);
}

TEST_CASE("verdict_outlives_its_cell", "[board]") {
  Board board({kSelf, kPeer, kThird});
  put(board, kSelf, dead(kThird, 5, 1), 1);
  put(board, kSelf, Decision{LockVersion{2}, {}, {}}, 2);
  CHECK(board.verdict_on(kThird, boot(5)) != nullptr);
}

TEST_CASE("lead_is_one_host_also_on_a_tie", "[board]") {
  Board board({kSelf, kPeer, kThird});
  put(board, kThird, Decision{LockVersion{3}, {}, {}}, 1);
  put(board, kPeer, Decision{LockVersion{3}, {}, {}}, 1);
  CHECK(board.lead().host == kPeer);
  put(board, kThird, Decision{LockVersion{4}, {}, {}}, 2);
  CHECK(board.lead().host == kThird);
}

TEST_CASE("newest_claim_is_the_owners", "[board]") {
  Board board({kSelf, kPeer, kThird});
  put(board, kPeer, table(GuestPhase::holding, 2), 1);
  put(board, kThird, table(GuestPhase::refused, 3), 1);
  CHECK(newest_of(board) == kPeer);  // a refusal says only "not here"
  CHECK(board.guests().at(guest()).top == Generation{3});
  put(board, kThird, table(GuestPhase::yielded, 3), 2);
  CHECK(newest_of(board) == kThird);  // given up with a higher generation: a tombstone
  put(board, kSelf, table(GuestPhase::claimed, 4), 1);
  CHECK(newest_of(board) == kSelf);
}

TEST_CASE("falling_sequence_is_damage", "[board]") {
  Board board({kSelf, kPeer, kThird});
  put(board, kPeer, table(GuestPhase::holding, 2), 9);
  put(board, kPeer, table(GuestPhase::holding, 1), 8);
  CHECK_FALSE(board.table(kPeer).known());
  CHECK(board.guests().at(guest()).top == Generation{2});  // the last known stays
  put(board, kPeer, table(GuestPhase::holding, 2), 9);
  CHECK(board.table(kPeer).known());
}

TEST_CASE("revision_grows_only_with_news", "[board]") {
  Board board({kSelf, kPeer, kThird});
  put(board, kPeer, table(GuestPhase::holding, 2), 9);
  const auto before = board.revision();
  put(board, kPeer, table(GuestPhase::holding, 2), 9);
  CHECK(board.revision() == before);
  put(board, kPeer, table(GuestPhase::holding, 2), 10);
  CHECK(board.revision() > before);
}
