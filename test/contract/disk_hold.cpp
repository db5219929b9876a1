// A change of the volume as a whole: the superblocks at every interruption, who holds, the copy.
#include "disk_fixture.hpp"
#include "libha/disk/hold.hpp"
#include "libha/disk/survey.hpp"
#include "libha/wire/ballot.hpp"
#include "libha/wire/decision.hpp"
#include "libha/wire/slot.hpp"
#include "libha/wire/table.hpp"

using namespace wardom;
using namespace wardom::fixture;

namespace {

// So many writes end well; the next one fails, having landed or not, and all after it.
class CutIo final : public disk::BlockIo {
 public:
  CutIo(disk::BlockIo& real, int writes, bool lands) : real_(real), left_(writes), lands_(lands) {}
  Result<void> read(disk::Offset at, std::span<std::uint8_t> into) override {
    return real_.read(at, into);
  }
  Result<void> write(disk::Offset at, std::span<const std::uint8_t> from) override {
    if (left_-- > 0) return real_.write(at, from);
    if (left_ == -1 && lands_) (void)real_.write(at, from);
    return failure("cut");
  }
  disk::Offset size() const override { return real_.size(); }

 private:
  disk::BlockIo& real_;
  int left_;
  bool lands_;
};

struct Volume {
  explicit Volume(std::string where, const Geometry& g = geometry(), const VolumeState& state = {})
      : path(std::move(where)) {
    REQUIRE(disk::format_volume(path, g, disk::Space::sparse, state));
  }
  disk::VolumeFile open() const {
    auto opened = disk::VolumeFile::open(path, disk::Access::read_write, {});
    REQUIRE(opened.has_value());
    return std::move(opened).value();
  }
  void write(const Cell& cell, wire::Twin twin, HostId writer, std::uint64_t sequence,
             const wire::Bytes& payload) const {
    const auto volume = open();
    wire::Head head;
    head.volume = volume.geometry().volume_uuid;
    head.cell = cell;
    head.twin = twin;
    head.writer = writer;
    head.incarnation = {4, {{9}}};
    head.sequence = Sequence{sequence};
    const auto image = wire::encode_extent(head, payload);
    REQUIRE(disk::write_image(*volume.io(), *volume.layout().offset(cell, twin), image));
  }
  // Turns over one bit in the extent's first block.
  void spoil(const Cell& cell, wire::Twin twin, std::size_t byte) const {
    const auto volume = open();
    const auto at = *volume.layout().offset(cell, twin);
    disk::Buffer block(wire::kBlockBytes);
    REQUIRE(volume.io()->read(at, block.bytes()));
    block.bytes()[byte] ^= 1;
    REQUIRE(volume.io()->write(at, block.bytes()));
  }
  std::string path;
};

const VolumeState kHeld{VolumeUse::held, 77, "/new", "n1", {}};
const VolumeState kIncoming{VolumeUse::incoming, 77, "/old", "n1", {}};
const VolumeState kMoved{VolumeUse::moved, 77, "/new", "n1", {}};

wire::Bytes slot_of(std::uint64_t held, bool reaches, SlotState state = SlotState::up) {
  Slot slot;
  slot.state = state;
  slot.t_f_ms = 6000;
  slot.w_ms = held == 0 ? 5000 : 0;
  slot.held = held;
  slot.reaches = reaches;
  slot.host_name = "n";
  return wire::encode_slot(slot);
}

}  // namespace

TEST_CASE("superblocks_say_the_old_or_the_new_wherever_a_change_is_cut_short") {
  const TemporaryDirectory directory;
  const wire::Superblock from{geometry(), {}}, held{geometry(), kHeld}, moved{geometry(), kMoved};
  for (const bool lands : {false, true})
    for (int writes = 0; writes < 3; ++writes) {
      CAPTURE(lands, writes);
      const Volume volume(directory.file("volume"));
      const auto file = volume.open();
      auto& io = *file.io();
      CutIo cut(io, writes, lands);
      CHECK_FALSE(disk::change_superblocks(cut, "v", from, held));
      const auto said = disk::read_superblocks(io, "v");
      REQUIRE(said);
      const bool done = writes + (lands ? 1 : 0) >= 2;
      CHECK(said.value().state == (done ? kHeld : VolumeState{}));
      // Whoever comes next completes it, goes on from there, or undoes it, each cut short as well.
      for (int again = 0; again < 5; ++again) {
        CutIo next(io, again, lands);
        (void)disk::change_superblocks(next, "v", done ? held : from, done ? moved : held);
        const auto now = disk::read_superblocks(io, "v");
        REQUIRE(now);
        const bool either = now.value().state == (done ? kHeld : VolumeState{}) ||
                            now.value().state == (done ? kMoved : kHeld);
        CHECK(either);
      }
      REQUIRE(disk::change_superblocks(io, "v", done ? held : from, done ? moved : held));
      const auto last = disk::read_superblocks(io, "v");
      REQUIRE(last);
      CHECK(last.value().warnings.empty());
      CHECK(last.value().state == (done ? kMoved : kHeld));
    }
}

TEST_CASE("superblocks_that_say_something_else_are_not_changed") {
  const TemporaryDirectory directory;
  const Volume volume(directory.file("volume"), geometry(), kHeld);
  const auto file = volume.open();
  auto& io = *file.io();
  const VolumeState other{VolumeUse::held, 78, "/new", "n1", {}};
  CHECK_FALSE(disk::change_superblocks(io, "v", {geometry(), other}, {geometry(), {}}));
  CHECK(disk::read_superblocks(io, "v").value().state == kHeld);
  // A damaged copy could hide a third word.
  disk::Buffer zeros(wire::kBlockBytes);
  REQUIRE(io.write(wire::kSuperblockOffsets[1], std::as_const(zeros).bytes()));
  CHECK_FALSE(disk::change_superblocks(io, "v", {geometry(), kHeld}, {geometry(), {}}));
  CHECK(disk::read_superblocks(io, "v").value().state == kHeld);
}

TEST_CASE("holders_are_told_from_those_who_left_and_those_who_are_dead") {
  const TemporaryDirectory directory;
  const Volume volume(directory.file("volume"), geometry(), kHeld);
  const auto slot = [&](std::uint16_t host, const wire::Bytes& payload) {
    volume.write(wire::slot_cell(HostId{host}), wire::kTwinA, HostId{host}, 5, payload);
  };
  slot(1, slot_of(77, true));
  slot(2, slot_of(77, false));
  slot(3, slot_of(0, false));
  slot(4, slot_of(76, true));
  slot(5, slot_of(0, false, SlotState::left));
  slot(6, slot_of(0, false));
  slot(7, {1, 2, 3});
  Decision decision;
  decision.version = LockVersion{3};
  Verdict verdict;
  verdict.host = HostId{6};
  verdict.incarnation = {4, {{9}}};
  verdict.proof = Proof::power_off;
  verdict.version = LockVersion{3};
  verdict.recovery = {{1}};
  decision.verdicts.push_back(verdict);
  volume.write(wire::decision_cell(HostId{1}), wire::kTwinA, HostId{1}, 1,
               wire::encode_decision(decision, 8192).value());
  const auto found = disk::holders(volume.open(), 77);
  REQUIRE(found.size() == 7);
  const auto expect = [&](std::size_t i, bool holds, bool reaches, bool left, bool trouble) {
    CAPTURE(i);
    CHECK(found[i].host == HostId{static_cast<std::uint16_t>(i + 1)});
    CHECK(found[i].holds == holds);
    CHECK(found[i].reaches == reaches);
    CHECK(found[i].left == left);
    CHECK(found[i].trouble.empty() != trouble);
  };
  expect(0, true, true, false, false);
  expect(1, true, false, false, false);
  expect(2, false, false, false, false);
  expect(3, false, false, false, false);
  expect(4, false, false, true, false);
  expect(5, false, false, true, false);
  expect(6, false, false, false, true);
}

TEST_CASE("copy_keeps_every_word_where_the_places_differ") {
  const TemporaryDirectory directory;
  const Volume old(directory.file("old"), geometry(), kHeld);
  auto larger = geometry();
  larger.hosts = 20;
  larger.domains = 5;
  const Volume fresh(directory.file("new"), larger, kIncoming);
  for (const std::uint16_t host : std::initializer_list<std::uint16_t>{1, 3, 8}) {
    old.write(wire::slot_cell(HostId{host}), wire::kTwinA, HostId{host}, 5u + host,
              slot_of(77, true));
    for (const std::uint16_t domain : std::initializer_list<std::uint16_t>{1, 2}) {
      Ballot ballot;
      ballot.version = LockVersion{1};
      ballot.mbal = BallotNumber{100u + domain + host};
      old.write(wire::ballot_cell(geometry(), DomainId{domain}, HostId{host}), wire::kTwinB,
                HostId{host}, 9, wire::encode_ballot(ballot).value());
    }
    old.write(wire::table_cell(HostId{host}), wire::kTwinB, HostId{host}, 2,
              wire::encode_table({}, 4096).value());
  }
  std::size_t steps = 0, all = 0;
  REQUIRE(disk::copy_cells(old.open(), fresh.open(), [&](std::size_t done, std::size_t of) {
    ++steps;
    CHECK(done == steps);
    all = of;
    return true;
  }));
  CHECK(steps == all);
  CHECK(all == 12);
  const auto a = disk::survey(old.open()), b = disk::survey(fresh.open());
  REQUIRE(b.slots.size() == 3);
  REQUIRE(b.ballots.size() == 6);
  REQUIRE(b.tables.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(b.slots[i].view == a.slots[i].view);
    CHECK(b.tables[i].view == a.tables[i].view);
  }
  for (std::size_t i = 0; i < 6; ++i) {
    const auto was = wire::ballot_owner(geometry(), a.ballots[i].view.cell);
    const auto is = wire::ballot_owner(larger, b.ballots[i].view.cell);
    CHECK(was.domain == is.domain);
    CHECK(was.host == is.host);
    CHECK(a.ballots[i].record == b.ballots[i].record);
    CHECK(a.ballots[i].view.sequence == b.ballots[i].view.sequence);
  }
  CHECK(disk::check_volume(fresh.open()).damages.empty());
}

TEST_CASE("copy_refuses_what_it_cannot_keep") {
  const TemporaryDirectory directory;
  const Volume old(directory.file("old"), geometry(), kHeld);
  const auto nothing = [](std::size_t, std::size_t) { return true; };
  old.write(wire::table_cell(HostId{1}), wire::kTwinA, HostId{1}, 2, wire::Bytes(20'000, 3));
  {
    auto smaller = geometry();
    smaller.table_blocks = 4;
    const Volume fresh(directory.file("small"), smaller);
    CHECK_FALSE(disk::copy_cells(old.open(), fresh.open(), nothing));
  }
  const Volume fresh(directory.file("new"), geometry(), kIncoming);
  // Not a table; but that is its writer's business, and `volume check` is asked first.
  CHECK_FALSE(disk::copy_cells(old.open(), fresh.open(), nothing));
  old.spoil(wire::table_cell(HostId{1}), wire::kTwinA, 100);
  const auto damaged = disk::copy_cells(old.open(), fresh.open(), nothing);
  REQUIRE_FALSE(damaged);
  CHECK(damaged.error().message.find("damaged") != std::string::npos);
}

TEST_CASE("copy_takes_a_torn_ballot_as_it_stands") {
  const TemporaryDirectory directory;
  const Volume old(directory.file("old"), geometry(), kHeld);
  const auto cell = wire::decision_cell(HostId{2});
  old.write(cell, wire::kTwinA, HostId{2}, 4, wire::encode_decision({}, 8192).value());
  old.write(cell, wire::kTwinB, HostId{2}, 5, wire::Bytes(3000, 1));
  old.spoil(cell, wire::kTwinB, 600);
  const auto volume = old.open();
  REQUIRE(disk::look_at(volume, cell, wire::kTwinB)->extent.state == wire::ExtentState::torn);
  const Volume fresh(directory.file("new"), geometry(), kIncoming);
  REQUIRE(disk::copy_cells(volume, fresh.open(), [](std::size_t, std::size_t) { return true; }));
  const auto there = disk::look_at(fresh.open(), cell, wire::kTwinB);
  CHECK(there->extent.state == wire::ExtentState::torn);
  CHECK(there->last_write == Sequence{5});
}
