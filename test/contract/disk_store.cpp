// Stuck, failing and late writes: what CellStore does then, and what a reader sees meanwhile.
#include <random>

#include "disk_fixture.hpp"

using namespace wardom;
using namespace wardom::fixture;
using disk::CellStore;
using disk::TwinWriter;

namespace {

constexpr HostId kSelf{2};
const Cell kCell = wire::decision_cell(kSelf);
constexpr Duration kPatience = std::chrono::milliseconds{50};

struct Bench {
  TemporaryDirectory directory;
  std::shared_ptr<FaultyIo> io;
  disk::Completions completions;
  disk::Lane lane{"test", 4, 32};
  std::unique_ptr<CellStore> store;
  std::vector<CellStore::Outcome> outcomes;

  Bench() {
    const auto path = directory.file("volume");
    REQUIRE(disk::format_volume(path, geometry()));
    auto real = disk::open_direct(path, disk::Access::read_write);
    io = std::make_shared<FaultyIo>(std::shared_ptr<disk::BlockIo>(std::move(real).value()));
    auto volume = disk::VolumeFile::over(io, path, {});
    REQUIRE(volume.has_value());
    store = std::make_unique<CellStore>(volume.value(), kSelf, Incarnation{1, {}}, completions,
                                        kPatience);
    store->recover(kCell, disk::read_extents(*io, geometry().volume_uuid,
                                             wire::Layout(geometry()), kCell));
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
    store->write(lane, kCell, wire::Bytes(5000, content),
                 [this](const CellStore::Outcome& o) { outcomes.push_back(o); });
  }
  void finish(std::size_t count) {
    run_until(completions, [&] { return outcomes.size() >= count; });
  }
  void give_up() { store->tick(disk::raw_now() + kPatience); }
  wire::CellView read() {
    return disk::read_cells(*io, geometry().volume_uuid, wire::Layout(geometry()),
                            std::span(&kCell, 1))[0];
  }
};

}  // namespace

TEST_CASE("store_quarantines_a_stuck_extent_and_goes_on_with_its_twin") {
  Bench b;
  b.write(1);
  b.finish(1);  // A
  b.io->stick(b.at(wire::kTwinB));
  b.write(2);
  b.io->wait_until_writing(1);
  b.give_up();
  REQUIRE(b.outcomes.size() == 2);
  CHECK_FALSE(b.outcomes[1].acknowledged);
  CHECK(b.store->quarantined(kCell) == 1);
  // Only A is left, time and again, while B hangs.
  for (std::uint8_t i = 3; i < 6; ++i) {
    b.write(i);
    b.finish(i);
    REQUIRE(b.outcomes.back().acknowledged);
    REQUIRE(b.read().payload[0] == i);
  }
  const auto newest = b.outcomes.back().sequence;
  b.io->release(b.at(wire::kTwinB));
  run_until(b.completions, [&] { return b.store->quarantined(kCell) == 0; });
  CHECK(b.outcomes.size() == 5);  // the late write is not answered a second time
  CHECK(b.read().sequence == newest);  // and lands below what came after it
  CHECK(b.read().payload[0] == 5);
  b.write(6);
  b.finish(6);
  CHECK(b.read().payload[0] == 6);
}

TEST_CASE("store_writes_nothing_while_both_extents_are_stuck") {
  Bench b;
  b.io->stick(b.at(wire::kTwinA));
  b.io->stick(b.at(wire::kTwinB));
  for (int i = 1; i <= 2; ++i) {
    b.write(static_cast<std::uint8_t>(i));
    b.io->wait_until_writing(i);
    b.give_up();
  }
  CHECK(b.store->quarantined(kCell) == 2);
  b.write(3);
  REQUIRE(b.outcomes.size() == 3);  // refused at once
  CHECK(b.outcomes[2].error.find("both extents") != std::string::npos);
  b.io->release(b.at(wire::kTwinB));
  run_until(b.completions, [&] { return b.store->quarantined(kCell) == 1; });
  b.write(4);
  b.finish(4);
  CHECK(b.outcomes.back().acknowledged);
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
  b.store->write(b.lane, kCell, wire::Bytes(wire::extent_payload(4) + 1), keep);
  CHECK_FALSE(outcome.acknowledged);
  CHECK_FALSE(b.store->busy(kCell));
}

TEST_CASE("store_reports_a_failed_write_and_keeps_the_last_good_one") {
  Bench b;
  b.write(1);
  b.finish(1);
  b.io->fail_writes = true;
  b.write(2);
  b.finish(2);
  CHECK_FALSE(b.outcomes[1].acknowledged);
  CHECK(b.outcomes[1].error == "injected write fault");
  CHECK(b.read().payload[0] == 1);
  b.io->fail_writes = false;
  b.write(3);
  b.finish(3);
  CHECK(b.read().payload[0] == 3);
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
    TwinWriter writer;
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

// Every order of starting, giving up, completing and failing, drawn at random: the rules must hold
// at each step.
TEST_CASE("twin_writer_keeps_its_rules_in_any_order_of_events") {
  std::mt19937 random(7);
  for (int run = 0; run < 2000; ++run) {
    TwinWriter writer;
    writer.recover({wire::ExtentState::empty, {}, {}}, {wire::ExtentState::empty, {}, {}});
    std::vector<TwinWriter::Started> flying;
    std::optional<wire::Twin> good;  // holds the newest write that ended well
    Sequence good_sequence, last;
    Instant now;
    for (int step = 0; step < 40; ++step) {
      now = now + Duration{1};
      const auto dice = random() % 4;
      if (dice == 0) {
        const bool expected = !writer.awaited() && flying.size() < 2;
        const auto started = writer.begin(now);
        REQUIRE(started.has_value() == expected);
        if (!started) continue;
        REQUIRE(started->sequence > last);
        last = started->sequence;
        for (const auto& other : flying) REQUIRE(other.twin != started->twin);
        flying.push_back(*started);
      } else if (dice == 1) {
        const bool awaited = writer.awaited();
        REQUIRE(writer.expire(now + Duration{100}, Duration{100}) == awaited);
        REQUIRE(writer.quarantined() == flying.size());
      } else if (!flying.empty()) {
        const auto pick = random() % flying.size();
        const auto write = flying[pick];
        flying.erase(flying.begin() + static_cast<std::ptrdiff_t>(pick));
        const bool ok = dice == 2;
        const bool awaited = writer.awaited() && write.sequence == last;
        const auto ended = writer.finished(write, ok);
        REQUIRE((ended == TwinWriter::Ended::late) == !awaited);
        if (awaited) REQUIRE((ended == TwinWriter::Ended::acknowledged) == ok);
        if (ok && write.sequence > good_sequence) {
          good = write.twin;
          good_sequence = write.sequence;
        }
        REQUIRE(writer.newest() == good_sequence);
      }
    }
  }
}
