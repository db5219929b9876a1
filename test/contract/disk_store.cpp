// Stuck, failing and late writes: what CellStore does then, and what a reader sees meanwhile.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "disk_fixture.hpp"

using namespace wardom;
using namespace wardom::fixture;
using disk::CellStore;
using disk::TwinWriter;

namespace {

constexpr HostId kSelf{2};
const Cell kDecision = wire::decision_cell(kSelf);
const Cell kSlot = wire::slot_cell(kSelf);  // its payload fits the head
constexpr std::size_t kPayload = 400;
constexpr Duration kPatience = std::chrono::milliseconds{50};

struct Bench {
  TemporaryDirectory directory;
  std::shared_ptr<FaultyIo> io;
  disk::Completions completions;
  disk::Lane lane{"test", 4, 32};
  std::unique_ptr<CellStore> store;
  std::vector<CellStore::Outcome> outcomes;
  const Cell kCell;

  explicit Bench(Cell cell = kDecision, disk::InFlightList* list = nullptr) : kCell(cell) {
    const auto path = directory.file("volume");
    REQUIRE(disk::format_volume(path, geometry()));
    auto real = disk::open_direct(path, disk::Access::read_write);
    io = std::make_shared<FaultyIo>(std::shared_ptr<disk::BlockIo>(std::move(real).value()));
    auto volume = disk::VolumeFile::over(io, path, {});
    REQUIRE(volume.has_value());
    store = std::make_unique<CellStore>(volume.value(), kSelf, Incarnation{1, {}}, completions,
                                        kPatience, list);
    store->recover(kCell, extents());
  }
  disk::CellExtents extents() {
    return disk::read_extents(*io, geometry().volume_uuid, wire::Layout(geometry()), kCell);
  }
  // Nobody may be left waiting in `io` when the lane goes.
  ~Bench() {
    for (auto twin : {wire::kTwinA, wire::kTwinB}) io->release(at(twin));
    run_until(completions, [&] { return !store->in_flight(); });
  }
  disk::Offset at(wire::Twin twin) const {
    return *wire::Layout(geometry()).offset(kCell, twin);
  }
  void write(std::uint8_t content) {
    store->write(lane, kCell, wire::Bytes(kPayload, content),
                 [this](const CellStore::Outcome& o) { outcomes.push_back(o); });
  }
  void finish(std::size_t count) {
    run_until(completions, [&] { return outcomes.size() >= count; });
  }
  void give_up() { store->tick(disk::raw_now() + kPatience); }
  // As if L_late had passed since every failure.
  bool settle() {
    return store->settle(kCell, extents(), disk::raw_now() + std::chrono::hours{1});
  }
  wire::CellView read() {
    return disk::read_cells(*io, geometry().volume_uuid, wire::Layout(geometry()),
                            std::span(&kCell, 1))[0];
  }
};

}  // namespace

TEST_CASE("store_writes_a_heartbeat_beside_a_stuck_one_and_answers_both") {
  Bench b(kSlot);
  b.write(1);
  b.finish(1);  // A
  b.io->stick(b.at(wire::kTwinB));
  b.write(2);
  b.io->wait_until_writing(1);
  CHECK(b.store->busy(kSlot));
  b.give_up();
  CHECK(b.outcomes.size() == 1);  // its acknowledgement counts, whenever it comes
  // Only A is left, time and again, while B hangs.
  for (std::uint8_t i = 3; i < 6; ++i) {
    b.write(i);
    b.finish(i - 1u);
    REQUIRE(b.outcomes.back().acknowledged);
    REQUIRE(b.read().payload[0] == i);
  }
  CHECK(b.store->quarantined(kSlot) == 1);
  const auto newest = b.outcomes.back().sequence;
  b.io->release(b.at(wire::kTwinB));
  b.finish(5);
  CHECK(b.outcomes[4].acknowledged);
  CHECK(b.outcomes[4].sequence == Sequence{2});
  CHECK(b.store->quarantined(kSlot) == 0);
  CHECK(b.read().sequence == newest);  // it lands below what came after it
  CHECK(b.read().payload[0] == 5);
  b.write(6);
  b.finish(6);
  CHECK(b.read().payload[0] == 6);
}

TEST_CASE("store_never_writes_over_the_only_good_copy") {
  Bench b;
  b.write(1);
  b.finish(1);  // A
  b.io->stick(b.at(wire::kTwinB));
  b.write(2);
  b.io->wait_until_writing(1);
  b.give_up();
  b.write(3);
  REQUIRE(b.outcomes.size() == 3);  // refused at once: A holds all that is certain
  CHECK(b.outcomes[2].error.find("may still land") != std::string::npos);
  CHECK(b.read().payload[0] == 1);
  b.io->release(b.at(wire::kTwinB));
  run_until(b.completions, [&] { return b.store->quarantined(kDecision) == 0; });
  CHECK(b.read().payload[0] == 2);  // it landed late, and is the newest now
  b.write(4);
  b.finish(4);
  CHECK(b.outcomes[3].acknowledged);
  CHECK(b.read().payload[0] == 4);
}

TEST_CASE("store_writes_nothing_while_both_extents_are_stuck") {
  Bench b(kSlot);
  b.io->stick(b.at(wire::kTwinA));
  b.io->stick(b.at(wire::kTwinB));
  for (int i = 1; i <= 2; ++i) {
    b.write(static_cast<std::uint8_t>(i));
    b.io->wait_until_writing(i);
  }
  b.write(3);
  REQUIRE(b.outcomes.size() == 1);  // refused at once
  CHECK(b.outcomes[0].error.find("may still land") != std::string::npos);
  CHECK(b.outcomes[0].sequence == Sequence{});
  CHECK(b.store->quarantined(kSlot) == 2);
  b.io->release(b.at(wire::kTwinB));
  b.finish(2);
  CHECK(b.outcomes[1].acknowledged);
  CHECK(b.outcomes[1].sequence == Sequence{2});
  b.write(4);
  b.finish(3);
  CHECK(b.outcomes[2].acknowledged);
  CHECK(b.outcomes[2].sequence == Sequence{3});
}

TEST_CASE("store_keeps_one_write_in_flight_and_the_order_of_the_others") {
  Bench b;
  b.io->stick(b.at(wire::kTwinA));
  for (std::size_t i = 0; i < disk::kMaxWaitingWrites + 1; ++i)
    b.write(static_cast<std::uint8_t>(i));
  CHECK(b.outcomes.empty());
  b.write(99);
  REQUIRE(b.outcomes.size() == 1);
  CHECK_FALSE(b.outcomes[0].acknowledged);
  b.io->release(b.at(wire::kTwinA));
  b.finish(disk::kMaxWaitingWrites + 2);
  for (std::size_t i = 1; i < b.outcomes.size(); ++i) {
    CHECK(b.outcomes[i].acknowledged);
    CHECK(b.outcomes[i].sequence == Sequence{i});
  }
  CHECK(b.read().payload[0] == disk::kMaxWaitingWrites);
}

TEST_CASE("store_refuses_foreign_cells_and_oversized_payloads") {
  Bench b;
  CellStore::Outcome outcome{true, {}, {}};
  const auto keep = [&](const CellStore::Outcome& o) { outcome = o; };
  b.store->write(b.lane, wire::decision_cell(HostId{1}), {}, keep);
  CHECK_FALSE(outcome.acknowledged);
  CHECK(outcome.error.find("one writer") != std::string::npos);
  outcome.acknowledged = true;
  b.store->write(b.lane, kDecision, wire::Bytes(wire::extent_payload(4) + 1), keep);
  CHECK_FALSE(outcome.acknowledged);
  CHECK_FALSE(b.store->busy(kDecision));
}

TEST_CASE("store_leaves_alone_what_a_failed_write_may_still_reach") {
  Bench b;
  b.write(1);
  b.finish(1);  // A
  b.io->fail_writes = true;
  b.write(2);
  b.finish(2);
  CHECK_FALSE(b.outcomes[1].acknowledged);
  CHECK(b.outcomes[1].error == "injected write fault");
  CHECK(b.read().payload[0] == 1);
  b.io->fail_writes = false;
  CHECK(b.store->quarantined(kDecision) == 1);
  b.write(3);
  REQUIRE(b.outcomes.size() == 3);  // refused at once
  CHECK(b.outcomes[2].error.find("may still land") != std::string::npos);
  // Not a moment before L_late, counted by a clock that may run fast.
  const auto due = b.store->next_due();
  REQUIRE(due.has_value());
  CHECK(*due - disk::raw_now() <= std::chrono::milliseconds{2020});
  CHECK(*due - disk::raw_now() > std::chrono::milliseconds{1500});
  CHECK(b.store->due(*due - Duration{1}).empty());
  CHECK(b.store->due(*due) == std::vector<Cell>{kDecision});
  CHECK(b.store->settle(kDecision, b.extents(), *due - Duration{1}));
  CHECK(b.store->quarantined(kDecision) == 1);
  CHECK(b.store->settle(kDecision, b.extents(), *due));
  CHECK(b.store->settled(kDecision));
  b.write(3);
  b.finish(4);
  CHECK(b.outcomes[3].acknowledged);
  CHECK(b.read().payload[0] == 3);
}

TEST_CASE("store_takes_a_failed_write_that_landed_for_the_newest") {
  Bench b;
  b.write(1);
  b.finish(1);  // A
  b.io->fail_after_writing = true;
  b.write(2);
  b.finish(2);  // B has it, and an error was told
  b.io->fail_after_writing = false;
  CHECK_FALSE(b.outcomes[1].acknowledged);
  CHECK(b.read().payload[0] == 2);
  CHECK(b.settle());
  // Somebody may have read it: it is not written over before a newer one stands.
  b.io->stick(b.at(wire::kTwinA));
  b.write(3);
  b.io->wait_until_writing(1);
  CHECK(b.read().payload[0] == 2);
  b.io->release(b.at(wire::kTwinA));
  b.finish(3);
  CHECK(b.read().payload[0] == 3);
}

TEST_CASE("store_goes_on_with_the_other_extent_after_a_failed_heartbeat") {
  Bench b(kSlot);
  b.write(1);
  b.finish(1);  // A
  b.io->fail_writes = true;
  b.write(2);
  b.finish(2);
  b.io->fail_writes = false;
  for (std::uint8_t i = 3; i < 6; ++i) {
    b.write(i);
    b.finish(i);
    REQUIRE(b.outcomes.back().acknowledged);
    REQUIRE(b.extents().twins[1].state == wire::ExtentState::empty);  // left alone
  }
  b.io->fail_writes = true;
  b.write(6);
  b.finish(6);
  b.io->fail_writes = false;
  b.write(7);
  REQUIRE(b.outcomes.size() == 7);  // refused: either may still be written by what failed
  CHECK(b.outcomes[6].sequence == Sequence{});
  CHECK(b.settle());
  b.write(8);
  b.finish(8);
  CHECK(b.outcomes[7].acknowledged);
}

// A lane that takes nothing has submitted nothing: there is nothing to wait for.
TEST_CASE("store_is_in_no_doubt_about_what_was_never_submitted") {
  Bench b;
  b.write(1);
  b.finish(1);
  {
    disk::Lane none("none", 1, 0);
    b.store->write(none, kDecision, wire::Bytes(kPayload, 2),
                   [&](const CellStore::Outcome& o) { b.outcomes.push_back(o); });
  }
  REQUIRE(b.outcomes.size() == 2);
  CHECK_FALSE(b.outcomes[1].acknowledged);
  CHECK(b.store->settled(kDecision));
  CHECK_FALSE(b.store->in_flight());
  b.write(3);
  b.finish(3);
  CHECK(b.outcomes[2].acknowledged);
}

TEST_CASE("store_goes_on_above_what_it_used_before_the_volume_was_opened_anew") {
  TemporaryDirectory runs;
  const auto path = runs.file("in-flight");
  const Bits128 boot{}, volume = geometry().volume_uuid;
  disk::InFlightList list(path, boot, volume, {}, {});
  std::map<Cell, Sequence> used;
  {
    Bench b(kDecision, &list);
    b.write(1);
    b.finish(1);
    b.io->fail_writes = true;
    b.write(2);
    b.finish(2);
    used = b.store->used();
    CHECK(used.at(kDecision) == Sequence{2});
  }
  // What the list says is all that the next store knows of the failure.
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  auto listed = disk::decode_in_flight(text.str(), boot, volume).value();
  REQUIRE(listed.size() == 1);
  CHECK(listed[0].cell == kDecision);
  CHECK(listed[0].twin == wire::kTwinB);
  CHECK(listed[0].sequence == Sequence{2});
  REQUIRE(listed[0].until.has_value());
  disk::InFlightList again(path, boot, volume, listed, Instant::never());
  Bench b(kDecision, &again);
  b.store->recover(kDecision, b.extents(), used.at(kDecision));
  CHECK(b.store->quarantined(kDecision) == 1);
  CHECK(b.store->next_due() == listed[0].until);  // not from the reopening on
  b.write(3);
  b.finish(1);
  CHECK(b.outcomes[0].sequence == Sequence{3});
}

TEST_CASE("store_never_writes_over_another_versions_blocks") {
  for (const auto cell : {kDecision, kSlot}) {
    for (auto twin : {wire::kTwinA, wire::kTwinB}) {
      Bench b(cell);
      b.write(1);
      b.finish(1);
      b.write(2);
      b.finish(2);
      turn_to_another_version(*b.io, b.at(twin));
      REQUIRE(b.extents().twins[twin.value].state == wire::ExtentState::unknown_version);
      b.store->recover(cell, b.extents());
      b.write(3);
      REQUIRE(b.outcomes.size() == 3);
      CHECK_FALSE(b.outcomes[2].acknowledged);
      CHECK(b.outcomes[2].error.find("another version of Wardom") != std::string::npos);
      CHECK(b.extents().twins[twin.value].state == wire::ExtentState::unknown_version);
    }
  }
}

TEST_CASE("store_goes_on_above_every_sequence_found") {
  using wire::Extent;
  using wire::ExtentState;
  const auto extent = [](ExtentState state, std::uint64_t sequence) {
    Extent e;
    e.state = state;
    e.head.sequence = Sequence{sequence};
    return e;
  };
  const auto first = [](const Extent& a, const Extent& b) {
    TwinWriter writer(kPatience);
    writer.recover(a, b);
    return *writer.begin({});
  };
  auto started = first(extent(ExtentState::valid, 7), extent(ExtentState::valid, 8));
  CHECK(started.sequence == Sequence{9});
  CHECK(started.twin == wire::kTwinA);  // the older one
  started = first(extent(ExtentState::valid, 7), extent(ExtentState::torn, 8));
  CHECK(started.sequence == Sequence{9});
  CHECK(started.twin == wire::kTwinB);  // the torn one, not the last good one
  started = first(extent(ExtentState::valid, 7), extent(ExtentState::damaged, 0));
  CHECK(started.sequence == Sequence{7 + disk::kUnknownSequenceGap + 1});
  CHECK(started.twin == wire::kTwinB);
  started = first(extent(ExtentState::empty, 0), extent(ExtentState::empty, 0));
  CHECK(started.sequence == Sequence{1});
}

TEST_CASE("in_flight_list_round_trips_and_is_trusted_of_one_boot_and_volume") {
  Bits128 boot, volume;
  boot.bytes[0] = 1;
  volume.bytes[0] = 2;
  const std::vector<disk::InFlight> writes{
      {kSlot, wire::kTwinA, Sequence{7}, {}},
      {kDecision, wire::kTwinB, Sequence{1ULL << 40}, Instant{Duration{5}}}};
  const auto text = disk::encode_in_flight(boot, volume, writes);
  CHECK(disk::decode_in_flight(text, boot, volume).value() == writes);
  CHECK(disk::decode_in_flight(disk::encode_in_flight(boot, volume, {}), boot, volume)
            .value()
            .empty());
  CHECK_FALSE(disk::decode_in_flight(text, volume, volume));
  CHECK_FALSE(disk::decode_in_flight(text, boot, boot));
  for (std::size_t length = 0; length + 1 < text.size(); ++length)
    REQUIRE_FALSE(disk::decode_in_flight(text.substr(0, length), boot, volume));
  for (const char* until : {"", " x", " -5", " 5x"}) {
    auto bad = text;
    bad.replace(bad.find(" 5\n"), 2, until);
    CHECK_FALSE(disk::decode_in_flight(bad, boot, volume));
  }
}

// What a killed process had in flight may land at any time: nothing is written to that pair, and
// what is written afterwards stands above it.
TEST_CASE("store_leaves_alone_what_an_earlier_process_had_in_flight") {
  TemporaryDirectory runs;
  const auto path = runs.file("in-flight");
  const Bits128 boot{}, volume = geometry().volume_uuid;
  const Instant settles{std::chrono::hours{1}};
  disk::InFlightList list(path, boot, volume, {{kDecision, wire::kTwinB, Sequence{40}, {}}},
                          settles);
  Bench b(kDecision, &list);
  CHECK(b.store->next_due() == settles);
  CHECK(b.store->quarantined(kDecision) == 1);
  b.write(1);
  b.finish(1);  // nothing stands in A yet, so nothing is risked there
  CHECK(b.outcomes[0].sequence == Sequence{41});
  b.write(2);
  REQUIRE(b.outcomes.size() == 2);
  CHECK_FALSE(b.outcomes[1].acknowledged);
  CHECK_FALSE(b.store->settle(kDecision, {}, settles));  // nobody knows what stands there
  CHECK(b.store->quarantined(kDecision) == 1);
  CHECK(b.store->settle(kDecision, b.extents(), settles));
  CHECK_FALSE(b.store->next_due().has_value());
  b.write(3);
  b.finish(3);
  CHECK(b.outcomes[2].acknowledged);
  CHECK(b.outcomes[2].sequence == Sequence{42});
}

TEST_CASE("store_lists_a_write_before_it_is_submitted_and_until_it_has_ended") {
  TemporaryDirectory runs;
  const auto path = runs.file("in-flight");
  const Bits128 boot{}, volume = geometry().volume_uuid;
  disk::InFlightList list(path, boot, volume, {}, {});
  const auto listed = [&] {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return disk::decode_in_flight(text.str(), boot, volume).value();
  };
  Bench b(kDecision, &list);
  b.io->stick(b.at(wire::kTwinA));
  b.write(1);
  const std::vector<disk::InFlight> first{{kDecision, wire::kTwinA, Sequence{1}, {}}};
  CHECK(listed() == first);
  b.io->wait_until_writing(1);
  b.give_up();
  CHECK(listed() == first);  // it may still land
  b.io->release(b.at(wire::kTwinA));
  run_until(b.completions, [&] { return b.store->quarantined(kDecision) == 0; });
  CHECK(listed().empty());
}

// A missing list says that everything was in flight; one that says too little must not stay.
TEST_CASE("list_of_writes_in_flight_that_cannot_be_kept_is_removed") {
  TemporaryDirectory runs;
  const auto path = runs.file("in-flight");
  const Bits128 boot{}, volume = geometry().volume_uuid;
  disk::InFlightList list(path, boot, volume, {}, {});
  Bench b(kDecision, &list);
  b.write(1);
  b.finish(1);
  REQUIRE(std::filesystem::exists(path));
  std::filesystem::create_directory(path + ".new");  // nothing can be written there any more
  b.write(2);
  b.finish(2);
  CHECK(b.outcomes.back().acknowledged);
  CHECK_FALSE(std::filesystem::exists(path));
  CHECK(list.trouble().find(path) != std::string::npos);
  std::filesystem::remove(path + ".new");
  b.write(3);
  b.finish(3);
  CHECK(std::filesystem::exists(path));
  CHECK(list.trouble().empty());
}

TEST_CASE("write_is_not_submitted_beside_a_list_that_can_neither_be_kept_nor_removed") {
  TemporaryDirectory runs;
  const auto path = runs.file("in-flight");
  const Bits128 boot{}, volume = geometry().volume_uuid;
  std::filesystem::create_directories(path + "/full");
  disk::InFlightList list(path, boot, volume, {}, {});
  Bench b(kDecision, &list);
  b.write(1);
  REQUIRE(b.outcomes.size() == 1);
  CHECK_FALSE(b.outcomes[0].acknowledged);
  CHECK(b.read().state == wire::ExtentState::empty);
}

// A reader that finds one twin torn looks at the other again: since it was read, it may have been
// written (P4).
TEST_CASE("reader_does_not_take_a_twin_that_was_read_before_a_torn_one") {
  Bench b;
  b.write(1);
  b.finish(1);  // A
  b.write(2);
  b.finish(2);  // B
  // The writer goes on between the reads of the two heads: A whole, then B torn.
  int reads = 0;
  b.io->before_read = [&](disk::Offset) {
    if (++reads != 2) return;
    b.io->before_read = nullptr;
    b.write(3);
    b.finish(3);
    disk::Buffer torn(wire::kBlockBytes);
    std::fill(torn.bytes().begin(), torn.bytes().end(), std::uint8_t{7});
    REQUIRE(b.io->write(b.at(wire::kTwinB), std::as_const(torn).bytes()));
  };
  const auto view = b.read();
  CHECK(view.state == wire::ExtentState::valid);
  CHECK(view.payload[0] == 3);
}

// What cannot be read now may be the only good copy, and come back.
TEST_CASE("first_write_goes_beside_an_extent_that_could_not_be_judged") {
  wire::Extent unread, empty;
  empty.state = wire::ExtentState::empty;
  for (auto twin : {wire::kTwinA, wire::kTwinB}) {
    TwinWriter writer(kPatience);
    const bool a = twin == wire::kTwinA;
    writer.recover(a ? unread : empty, a ? empty : unread);
    const auto started = writer.begin(Instant{});
    REQUIRE(started);
    CHECK(started->twin != twin);
  }
}

// Every order of starting, giving up, completing, failing and settling, drawn at random: the rules
// must hold at each step.
TEST_CASE("twin_writer_keeps_its_rules_in_any_order_of_events") {
  constexpr Duration kLate{20};
  std::mt19937 random(7);
  for (int run = 0; run < 4000; ++run) {
    const auto tearing = run % 2 == 0 ? disk::Tearing::possible : disk::Tearing::impossible;
    TwinWriter writer(kLate, tearing);
    const wire::Extent empty{wire::ExtentState::empty, {}, {}};
    writer.recover(empty, empty);
    std::vector<TwinWriter::Started> flying;
    std::array<std::optional<disk::Doubt>, 2> doubts;
    std::optional<wire::Twin> good;  // holds the newest write that ended well
    Sequence good_sequence, last;
    Instant now;
    for (int step = 0; step < 60; ++step) {
      now = now + Duration{1};
      const auto spoilt = [&](std::uint8_t twin) {
        return doubts[twin].has_value() ||
               std::any_of(flying.begin(), flying.end(),
                           [&](const auto& other) { return other.twin == wire::Twin{twin}; });
      };
      const auto dice = random() % 5;
      if (dice == 0) {
        const bool only_good_copy_is_free = tearing == disk::Tearing::possible && good &&
                                            spoilt(static_cast<std::uint8_t>(1 - good->value));
        const bool expected =
            !writer.awaited() && !(spoilt(0) && spoilt(1)) && !only_good_copy_is_free;
        const auto started = writer.begin(now);
        REQUIRE(started.has_value() == expected);
        if (!started) continue;
        REQUIRE(started->sequence > last);
        last = started->sequence;
        REQUIRE_FALSE(spoilt(started->twin.value));
        if (tearing == disk::Tearing::possible) REQUIRE(good != started->twin);
        if (random() % 8 == 0)
          writer.cancel(*started);
        else
          flying.push_back(*started);
      } else if (dice == 1) {
        const bool awaited = writer.awaited();
        REQUIRE(writer.expire(now + Duration{100}, Duration{100}) == awaited);
        REQUIRE(writer.quarantined() == (spoilt(0) ? 1u : 0u) + (spoilt(1) ? 1u : 0u));
      } else if (dice == 4) {
        auto extents = std::array{empty, empty};
        if (good) extents[good->value] = {wire::ExtentState::valid, {}, {}};
        if (good) extents[good->value].head.sequence = good_sequence;
        REQUIRE(writer.settle(extents[0], extents[1], now));
        for (auto& doubt : doubts)
          if (doubt && doubt->until <= now) doubt.reset();
      } else if (!flying.empty()) {
        const auto pick = random() % flying.size();
        const auto write = flying[pick];
        flying.erase(flying.begin() + static_cast<std::ptrdiff_t>(pick));
        const bool ok = dice == 2;
        const bool awaited = writer.awaited() && write.sequence == last;
        const auto ended = writer.finished(write, ok, now);
        REQUIRE((ended == TwinWriter::Ended::late) == !awaited);
        if (awaited) REQUIRE((ended == TwinWriter::Ended::acknowledged) == ok);
        if (!ok) doubts[write.twin.value] = disk::Doubt{write.sequence, now + kLate};
        if (ok && write.sequence > good_sequence) {
          good = write.twin;
          good_sequence = write.sequence;
        }
        REQUIRE(writer.newest() == good_sequence);
      }
      std::optional<Instant> first;
      for (const auto& doubt : doubts)
        if (doubt && (!first || doubt->until < *first)) first = doubt->until;
      REQUIRE(writer.settles_at() == first);
      REQUIRE(writer.last_used() == last);
    }
  }
}
