#include <catch2/catch.hpp>

#include <algorithm>

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
  static std::int64_t reads = 0;  // each one issued after the one before
  board.on_read(cell, at(++reads));
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

namespace {

Ballot owned_by(HostId host, std::uint64_t version, std::uint64_t number = 5) {
  Ballot ballot;
  ballot.decided = LockVersion{version};
  ballot.value = {{host, boot(number), {}}, {{kSelf, false, 1}, {kPeer, false, 1}}};
  return ballot;
}

CellSeen ballot_cell(HostId host, Ballot ballot, std::uint64_t sequence) {
  CellSeen cell;
  cell.cell = {Region::ballot, host.value};
  cell.health = CellHealth::valid;
  cell.incarnation = boot(5);
  cell.sequence = Sequence{sequence};
  cell.content = std::move(ballot);
  return cell;
}

}  // namespace

TEST_CASE("lead_is_the_locks_owner", "[board]") {
  Board board({kSelf, kPeer, kThird});
  CHECK(board.lead().host == kNoHost);
  board.on_read(ballot_cell(kSelf, owned_by(kPeer, 3), 1), at(1));
  CHECK(board.lead().host == kPeer);
  CHECK(board.leading_decision() == nullptr);  // it has decided nothing yet
  put(board, kThird, Decision{LockVersion{9}, {}, {}}, 1);
  put(board, kPeer, Decision{LockVersion{2}, {}, {}}, 1);
  CHECK(board.leading_decision() == nullptr);  // what it decided under an earlier version
  put(board, kPeer, Decision{LockVersion{3}, {}, {}}, 2);
  CHECK(board.leading_decision() == &board.decision(kPeer).record);
  CHECK(board.newest_decision().host == kThird);
  board.on_read(ballot_cell(kThird, owned_by(kPeer, 4, 6), 1), at(2));
  put(board, kPeer, Decision{LockVersion{4}, {}, {}}, 3);
  CHECK(board.leading_decision() == nullptr);  // written by an earlier life
}

TEST_CASE("released_counts_from_any_cell_of_the_version", "[board]") {
  Board board({kSelf, kPeer, kThird});
  auto released = owned_by(kPeer, 3);
  released.released = true;
  board.on_read(ballot_cell(kSelf, owned_by(kPeer, 3), 1), at(1));
  CHECK_FALSE(board.lock().released);
  board.on_read(ballot_cell(kPeer, released, 1), at(1));
  CHECK(board.lock().released);
  board.on_read(ballot_cell(kThird, owned_by(kThird, 4), 1), at(1));
  CHECK_FALSE(board.lock().released);
}

TEST_CASE("two_owners_of_a_version_are_told", "[board]") {
  Board board({kSelf, kPeer, kThird});
  board.on_read(ballot_cell(kSelf, owned_by(kPeer, 3), 1), at(1));
  board.on_read(ballot_cell(kThird, owned_by(kThird, 3), 1), at(1));
  CHECK(board.lock().conflict);
  CHECK(board.leading_decision() == nullptr);
}

TEST_CASE("a_twin_read_before_a_torn_one_is_read_again", "[board]") {
  Board board({kSelf, kPeer, kThird});
  auto cell = ballot_cell(kPeer, owned_by(kPeer, 3), 4);
  cell.twin_damaged = true;
  board.on_read(cell, at(1));
  CHECK_FALSE(board.ballot(kPeer).known());
  CHECK(board.lead().host == kNoHost);
  SECTION("unchanged: it is what stands there") {
    board.on_read(cell, at(2));
    CHECK(board.lead().host == kPeer);
  }
  SECTION("changed: again in doubt") {
    cell.sequence = Sequence{5};
    board.on_read(cell, at(2));
    CHECK_FALSE(board.ballot(kPeer).known());
  }
  SECTION("whole: known at once") {
    cell.twin_damaged = false;
    board.on_read(cell, at(2));
    CHECK(board.ballot(kPeer).known());
  }
}

TEST_CASE("a_ballot_never_becomes_empty", "[board]") {
  Board board({kSelf, kPeer, kThird});
  board.on_read(ballot_cell(kPeer, owned_by(kPeer, 3), 4), at(1));
  CellSeen empty;
  empty.cell = {Region::ballot, kPeer.value};
  empty.health = CellHealth::empty;
  board.on_read(empty, at(2));
  CHECK_FALSE(board.ballot(kPeer).known());
  CHECK(board.lock().version == LockVersion{3});
}

TEST_CASE("an_own_ballot_cell_read_late_takes_nothing_back", "[board]") {
  Board board({kSelf, kPeer, kThird});
  board.on_read(ballot_cell(kSelf, owned_by(kPeer, 3), 4), at(1));
  board.wrote_ballot(kSelf, owned_by(kSelf, 4), Sequence{7}, at(10));
  board.on_read(ballot_cell(kSelf, owned_by(kPeer, 3), 6), at(9));  // sampled before the last write
  CHECK(board.lock().version == LockVersion{4});
  CHECK(board.ballot(kSelf).known());
  CellSeen empty;
  empty.cell = {Region::ballot, kSelf.value};
  empty.health = CellHealth::empty;
  board.on_read(empty, at(9));
  CHECK(board.lock().version == LockVersion{4});
  board.on_read(ballot_cell(kSelf, owned_by(kSelf, 5), 8), at(11));
  CHECK(board.lock().version == LockVersion{5});
}

TEST_CASE("an_older_answer_that_comes_last_says_nothing", "[board]") {
  Board board({kSelf, kPeer, kThird});
  board.on_read(ballot_cell(kPeer, owned_by(kPeer, 4), 5), at(2));
  board.on_read(ballot_cell(kPeer, owned_by(kPeer, 3), 4), at(1));
  CHECK(board.ballot(kPeer).known());
  CHECK(board.lock().version == LockVersion{4});
}

TEST_CASE("a_life_that_gives_up_is_believed_for_every_version_up_to_that", "[board]") {
  Board board({kSelf, kPeer, kThird});
  const Owner life{kPeer, boot(5), {}};
  const Owner later{kPeer, boot(5), DaemonEpoch{1}};
  board.on_read(ballot_cell(kPeer, owned_by(kPeer, 3), 1), at(1));
  SECTION("an earlier version") { board.on_given_up(life, LockVersion{2}); }
  SECTION("another life") { board.on_given_up(later, LockVersion{3}); }
  CHECK_FALSE(board.lock().released);
  SECTION("a version that it balloted for without success") {
    board.on_given_up(life, LockVersion{4});
    CHECK(board.lock().released);
    board.on_given_up(life, LockVersion{2});  // an older beat that comes last
    CHECK(board.lock().released);
  }
}

namespace {

// Host 9 is in the directory, and in nobody's wardom.toml.
const HostId kRemoved{9};

Ballot with_removed() {
  auto ballot = owned_by(kPeer, 3);
  ballot.value.directory.push_back({kRemoved, false, 1});
  return ballot;
}

}  // namespace

TEST_CASE("who_is_named_no_more_counts_while_the_directory_has_it", "[board]") {
  Board board({kSelf, kPeer, kThird});
  board.take_wanted();
  board.on_read(ballot_cell(kPeer, with_removed(), 1), at(1));
  std::vector<Cell> wanted = board.take_wanted();
  for (Region region : {Region::decision, Region::ballot, Region::table})
    CHECK(std::count(wanted.begin(), wanted.end(), Cell{region, kRemoved.value}) == 1);
  CHECK_FALSE(board.has(kRemoved));
  CHECK_FALSE(board.read_since(at(0)));
  put(board, kRemoved, dead(kThird, 5, 8), 1);
  CHECK(board.verdict_on(kThird, boot(5)) != nullptr);
  CHECK(board.newest_decision().host == kRemoved);
  put(board, kPeer, table(GuestPhase::holding, 1), 1);
  CHECK(board.has_last_word(kRemoved));  // its table is not known
  put(board, kRemoved, table(GuestPhase::holding, 2), 1);
  CHECK(newest_of(board) == kRemoved);
  CHECK(board.has_last_word(kRemoved));
  put(board, kRemoved, table(GuestPhase::yielded, 2), 2);
  CHECK(board.has_last_word(kRemoved));  // a tombstone, or the only copy of its definition
  put(board, kPeer, table(GuestPhase::holding, 3), 2);
  CHECK_FALSE(board.has_last_word(kRemoved));
}

TEST_CASE("another_domains_decisions_count_for_their_verdicts_alone", "[board]") {
  Board board({kSelf, kPeer, kThird});
  board.set_domain(DomainId{2});
  auto decision = dead(kThird, 5, 50);
  decision.domain = DomainId{1};
  decision.disarmed = Disarmed{};
  put(board, kPeer, decision, 1);
  CHECK(board.verdict_on(kThird, boot(5)) != nullptr);
  CHECK(board.newest_decision().host == kNoHost);
  decision.domain = DomainId{2};
  put(board, kPeer, decision, 2);
  CHECK(board.newest_decision().host == kPeer);
}

TEST_CASE("no_request_is_larger_than_the_keeper_answers_in_time", "[board]") {
  std::vector<HostId> members;
  for (std::uint16_t id = 1; id <= 128; ++id) members.push_back(HostId{id});
  Board board(members);
  board.want_all();
  std::size_t read = 0;
  while (board.wants()) {
    const auto cells = board.take_wanted();
    CHECK(cells.size() <= Board::kReadAtMost);
    read += cells.size();
  }
  CHECK(read == 3 * members.size());
}

TEST_CASE("decisions_are_read_before_ballots_and_tables_last", "[board]") {
  Board board({kSelf, kPeer, kThird});
  board.want_all();
  std::vector<Region> regions;
  for (const auto& cell : board.take_wanted()) regions.push_back(cell.region);
  using enum Region;
  CHECK(regions == std::vector{decision, decision, decision, ballot, ballot, ballot, table, table,
                               table});
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
