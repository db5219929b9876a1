#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disk_fixture.hpp"
#include "libha/disk/survey.hpp"
#include "libha/wire/crc32c.hpp"

using namespace wardom;
using namespace wardom::fixture;
using disk::Access;
using disk::Trouble;
using disk::VolumeFile;

namespace {

// Overwrites bytes behind the program's back, as a broken storage would.
void scribble(const std::string& path, off_t at, std::size_t bytes, char with = 'x') {
  const int fd = ::open(path.c_str(), O_WRONLY);
  REQUIRE(fd >= 0);
  const std::string text(bytes, with);
  REQUIRE(::pwrite(fd, text.data(), text.size(), at) == static_cast<ssize_t>(bytes));
  REQUIRE(::fsync(fd) == 0);
  ::close(fd);
}

Trouble trouble_of(const std::string& path, const disk::Wanted& wanted = {}) {
  auto volume = VolumeFile::open(path, Access::read_only, wanted);
  REQUIRE_FALSE(volume.has_value());
  INFO(volume.error().message);
  CHECK(volume.error().message.find(path) != std::string::npos);
  return volume.error().trouble;
}

// The tests that every kind of storage must pass.
void check_contract(const std::string& path) {
  REQUIRE(disk::format_volume(path, geometry()).has_value());
  auto volume = VolumeFile::open(path, Access::read_write, {"test", geometry().volume_uuid});
  REQUIRE(volume.has_value());
  CHECK(volume.value().geometry() == geometry());
  CHECK(volume.value().warnings().empty());

  disk::Completions completions;
  disk::Lane lane("test", 2, 16);
  const HostId self{3};
  disk::CellStore store(volume.value(), self, {5, geometry().volume_uuid}, completions,
                        std::chrono::seconds{10});
  const auto cell = wire::table_cell(self);
  store.recover(cell, disk::read_extents(*volume.value().io(), geometry().volume_uuid,
                                         volume.value().layout(), cell));
  // Large and small in turn, so that both twins hold remains of longer writes.
  for (std::uint64_t i = 1; i <= 6; ++i) {
    const wire::Bytes payload(i % 2 == 0 ? 100 : 20'000 + i, static_cast<std::uint8_t>(i));
    bool done = false;
    store.write(lane, cell, payload, [&](const disk::CellStore::Outcome& outcome) {
      REQUIRE(outcome.acknowledged);
      REQUIRE(outcome.sequence == Sequence{i});
      done = true;
    });
    run_until(completions, [&] { return done; });
    const auto views = disk::read_cells(*volume.value().io(), geometry().volume_uuid,
                                        volume.value().layout(), std::span(&cell, 1));
    REQUIRE(views[0].state == wire::ExtentState::valid);
    REQUIRE(views[0].payload == payload);
    REQUIRE(views[0].sequence == Sequence{i});
    REQUIRE(views[0].writer == self);
    REQUIRE_FALSE(views[0].twin_damaged);
  }
  const auto outside = volume.value().io()->size();
  disk::Buffer block(wire::kBlockBytes);
  CHECK_FALSE(volume.value().io()->read(outside, block.bytes()).has_value());
}

}  // namespace

TEST_CASE("disk_contract_holds_on_a_file") {
  const TemporaryDirectory directory;
  check_contract(directory.file("volume"));
}

namespace {

// A loop device over a new file of 16 MiB. Empty: none can be had here.
std::string attach_loop(const TemporaryDirectory& directory, const char* direct_io) {
  if (::geteuid() != 0) return {};
  const auto file = directory.file("volume");
  const auto device_file = directory.file("device");
  const auto attach = "truncate -s 16M '" + file + "' && losetup --find --show --direct-io=" +
                      direct_io + " '" + file + "' > '" + device_file + "'";
  if (std::system(attach.c_str()) != 0) return {};
  std::string device(64, '\0');
  const int fd = ::open(device_file.c_str(), O_RDONLY);
  device.resize(static_cast<std::size_t>(::read(fd, device.data(), device.size())) - 1);
  ::close(fd);
  return device;
}

}  // namespace

TEST_CASE("disk_contract_holds_on_a_loop_device") {
  const TemporaryDirectory directory;
  const auto device = attach_loop(directory, "on");
  if (device.empty()) {
    WARN("no loop device can be had here: left out");
    return;
  }
  check_contract(device);
  CHECK(disk::check_room(device, 16 << 20));
  const auto refused = disk::check_room(device, (16 << 20) + 1);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("has 16777216 bytes") != std::string::npos);
  CHECK(std::system(("losetup -d " + device).c_str()) == 0);
}

TEST_CASE("a_loop_device_that_caches_is_refused") {
  const TemporaryDirectory directory;
  const auto device = attach_loop(directory, "off");
  if (device.empty()) {
    WARN("no loop device can be had here: left out");
    return;
  }
  const auto refused = disk::open_direct(device, Access::read_only);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("--direct-io=on") != std::string::npos);
  CHECK(std::system(("losetup -d " + device).c_str()) == 0);
}

TEST_CASE("open_refuses_what_is_no_volume") {
  const TemporaryDirectory directory;
  const auto path = directory.file("volume");
  CHECK(trouble_of(path) == Trouble::unreachable);  // does not exist
  REQUIRE(::truncate(path.c_str(), 0) != 0);
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT, 0600);
  REQUIRE(::ftruncate(fd, 8 << 20) == 0);
  ::close(fd);
  CHECK(trouble_of(path) == Trouble::not_formatted);
  CHECK(trouble_of("/dev/null") == Trouble::unreachable);
  CHECK(trouble_of("/proc/self/status") == Trouble::unreachable);  // no direct I/O
}

TEST_CASE("open_refuses_another_cluster_uuid_or_a_cut_volume") {
  const TemporaryDirectory directory;
  const auto path = directory.file("volume");
  REQUIRE(disk::format_volume(path, geometry()));
  CHECK(trouble_of(path, {"other", std::nullopt}) == Trouble::wrong_cluster);
  auto uuid = geometry().volume_uuid;
  uuid.bytes[0] = 99;
  CHECK(trouble_of(path, {"test", uuid}) == Trouble::wrong_uuid);
  REQUIRE(::truncate(path.c_str(), 1 << 20) == 0);
  CHECK(trouble_of(path) == Trouble::too_small);
}

TEST_CASE("open_survives_the_loss_of_superblocks_and_says_so") {
  const TemporaryDirectory directory;
  const auto path = directory.file("volume");
  REQUIRE(disk::format_volume(path, geometry()));
  for (std::size_t lost = 0; lost < 2; ++lost) {
    scribble(path, static_cast<off_t>(wire::kSuperblockOffsets[lost]) + 100, 8);
    auto volume = VolumeFile::open(path, Access::read_only, {});
    REQUIRE(volume.has_value());
    CHECK(volume.value().warnings().size() == lost + 1);
    CHECK(disk::check_volume(volume.value()).damages.size() == lost + 1);
  }
  scribble(path, static_cast<off_t>(wire::kSuperblockOffsets[2]) + 100, 8);
  CHECK(trouble_of(path) == Trouble::damaged);
}

TEST_CASE("open_refuses_superblocks_that_contradict_each_other") {
  const TemporaryDirectory directory;
  const auto path = directory.file("volume");
  auto other = geometry();
  other.volume_uuid.bytes[3] = 200;
  const auto second = directory.file("other");
  REQUIRE(disk::format_volume(path, geometry()));
  REQUIRE(disk::format_volume(second, other));
  const auto copy = [&](std::size_t number) {
    const auto at = static_cast<off_t>(wire::kSuperblockOffsets[number]);
    std::string block(wire::kBlockBytes, '\0');
    int fd = ::open(second.c_str(), O_RDONLY);
    REQUIRE(::pread(fd, block.data(), block.size(), at) == 4096);
    ::close(fd);
    fd = ::open(path.c_str(), O_WRONLY);
    REQUIRE(::pwrite(fd, block.data(), block.size(), at) == 4096);
    ::fsync(fd);
    ::close(fd);
  };
  copy(1);
  auto volume = VolumeFile::open(path, Access::read_only, {});
  REQUIRE(volume.has_value());  // two against one
  CHECK(volume.value().geometry() == geometry());
  CHECK(volume.value().warnings().size() == 1);
  scribble(path, 0, 4096, '\0');
  CHECK(trouble_of(path) == Trouble::damaged);  // one against one
}

// Also where the other copies are of this one: then somebody has begun to convert the volume.
TEST_CASE("open_refuses_an_unknown_format_version") {
  for (auto at : wire::kSuperblockOffsets) {
    const TemporaryDirectory directory;
    const auto path = directory.file("volume");
    REQUIRE(disk::format_volume(path, geometry()));
    REQUIRE(VolumeFile::open(path, Access::read_only, {}).has_value());
    const auto io = disk::open_direct(path, disk::Access::read_write);
    turn_to_another_version(*io.value(), at);
    CHECK(trouble_of(path) == Trouble::unknown_version);
    CHECK(disk::read_volume_now(*io.value()).unknown_version == (at == 0));
  }
}

TEST_CASE("inspect_says_what_would_be_lost") {
  const TemporaryDirectory directory;
  const auto path = directory.file("volume");
  CHECK(disk::inspect(path).value().empty);  // does not exist: will be made
  REQUIRE(disk::format_volume(path, geometry()));
  const auto found = disk::inspect(path).value();
  CHECK_FALSE(found.empty);
  CHECK(found.wardom == geometry());
  CHECK(found.used_slots.empty());
  scribble(path, 0, 1 << 20, '\0');
  CHECK(disk::inspect(path).value().empty);
  scribble(path, 5000, 1);
  CHECK_FALSE(disk::inspect(path).value().empty);
  scribble(path, 0, 1 << 20, '\0');
  scribble(path, 510, 1, '\x55');
  scribble(path, 511, 1, '\xaa');
  CHECK_FALSE(disk::inspect(path).value().empty);
}

TEST_CASE("format_leaves_nothing_of_an_earlier_format") {
  const TemporaryDirectory directory;
  const auto path = directory.file("volume");
  check_contract(path);
  REQUIRE(disk::format_volume(path, geometry()));  // even under the same uuid
  const auto volume = VolumeFile::open(path, Access::read_only, {});
  REQUIRE(volume.has_value());
  const auto found = disk::survey(volume.value());
  CHECK(found.slots.empty());
  CHECK(found.tables.empty());
}

TEST_CASE("read_cells_batches_neighbours_and_keeps_the_order") {
  const TemporaryDirectory directory;
  const auto path = directory.file("volume");
  REQUIRE(disk::format_volume(path, geometry()));
  auto real = disk::open_direct(path, Access::read_only);
  auto io = std::make_shared<FaultyIo>(std::shared_ptr<disk::BlockIo>(std::move(real).value()));
  const wire::Layout layout(geometry());
  const std::vector<Cell> cells{{Region::slot, 7}, {Region::slot, 1}, {Region::slot, 9},
                                {Region::slot, 2}, {Region::superblock, 0}};
  const auto views = disk::read_cells(*io, geometry().volume_uuid, layout, cells);
  CHECK(io->reads == 1);
  for (std::size_t i = 0; i < cells.size(); ++i) CHECK(views[i].cell == cells[i]);
  CHECK(views[0].state == wire::ExtentState::empty);
  CHECK(views[2].state == wire::ExtentState::unreadable);  // no host 9
  CHECK(views[4].state == wire::ExtentState::unreadable);  // not a pair
  io->fail_reads = true;
  const auto failed = disk::read_cells(*io, geometry().volume_uuid, layout, cells);
  CHECK(failed[0].state == wire::ExtentState::unreadable);
  CHECK(failed[0].error.find("injected") != std::string::npos);
}

// Its twin was never written to, and no write goes over the only good copy: nothing was said yet.
// A slot's only good copy may be written over.
TEST_CASE("a_first_write_that_is_torn_leaves_an_empty_cell") {
  const TemporaryDirectory directory;
  const auto path = directory.file("volume");
  REQUIRE(disk::format_volume(path, geometry()));
  auto real = disk::open_direct(path, Access::read_write);
  const std::shared_ptr<disk::BlockIo> io(std::move(real).value());
  const wire::Layout layout(geometry());
  const std::vector<Cell> cells = {wire::slot_cell(HostId{1}), {Region::decision, 1},
                                   wire::table_cell(HostId{1})};
  const auto tear = [&](wire::Twin twin) {
    for (const auto& cell : cells) {
      wire::Head head;
      head.volume = geometry().volume_uuid;
      head.cell = cell;
      head.twin = twin;
      head.sequence = Sequence{1};
      auto image = wire::encode_extent(head, wire::Bytes(1000, 1));
      image[1000] ^= 1;
      REQUIRE(disk::write_image(*io, *layout.offset(cell, twin), image));
    }
  };
  tear(wire::kTwinB);
  auto views = disk::read_cells(*io, geometry().volume_uuid, layout, cells);
  CHECK(views[0].state == wire::ExtentState::torn);
  CHECK(views[1].state == wire::ExtentState::empty);
  CHECK(views[2].state == wire::ExtentState::empty);
  CHECK(views[2].twin_damaged);
  CHECK(views[2].error.empty());
  tear(wire::kTwinA);
  views = disk::read_cells(*io, geometry().volume_uuid, layout, cells);
  for (const auto& view : views) CHECK(view.state == wire::ExtentState::torn);
}

TEST_CASE("a_bad_sector_hides_one_extent_and_no_other_cell") {
  const TemporaryDirectory directory;
  const auto path = directory.file("volume");
  REQUIRE(disk::format_volume(path, geometry()));
  auto real = disk::open_direct(path, Access::read_write);
  auto io = std::make_shared<FaultyIo>(std::shared_ptr<disk::BlockIo>(std::move(real).value()));
  const wire::Layout layout(geometry());
  std::vector<Cell> cells;
  for (std::uint32_t host = 1; host <= geometry().hosts; ++host) {
    cells.push_back({Region::slot, host});
    for (auto twin : {wire::kTwinA, wire::kTwinB}) {
      wire::Head head;
      head.volume = geometry().volume_uuid;
      head.cell = cells.back();
      head.twin = twin;
      head.sequence = Sequence{10u + twin.value};
      const auto image = wire::encode_extent(head, wire::Bytes(20, 1));
      REQUIRE(disk::write_image(*io, *layout.offset(head.cell, twin), image));
    }
  }
  io->bad_block = *layout.offset(wire::slot_cell(HostId{3}), wire::kTwinB);
  const auto views = disk::read_cells(*io, geometry().volume_uuid, layout, cells);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    CAPTURE(i);
    const bool spoilt = cells[i].index == 3;
    CHECK(views[i].state == wire::ExtentState::valid);
    CHECK(views[i].sequence == Sequence{spoilt ? 10u : 11u});
    CHECK(views[i].twin_damaged == spoilt);
  }
  // A storage that is gone is not asked for ever.
  io->fail_reads = true;
  io->reads = 0;
  const auto gone = disk::read_cells(*io, geometry().volume_uuid, layout, cells);
  for (const auto& view : gone) {
    CHECK(view.state == wire::ExtentState::unreadable);
    CHECK(view.error.find("injected") != std::string::npos);
  }
  CHECK(io->reads == 1 + 3 * static_cast<int>(disk::kBadCellsAtMost));
}

TEST_CASE("check_finds_every_damaged_extent") {
  const TemporaryDirectory directory;
  const auto path = directory.file("volume");
  check_contract(path);  // leaves table 3 in use, A and B
  const wire::Layout layout(geometry());
  const auto a = *layout.offset(wire::table_cell(HostId{3}), wire::kTwinA);
  const auto slot = *layout.offset(wire::slot_cell(HostId{8}), wire::kTwinB);
  const auto volume = VolumeFile::open(path, Access::read_only, {});
  auto report = disk::check_volume(volume.value());
  REQUIRE(report.damages.size() == 2);  // well written, but no tables
  CHECK(report.damages[0].what.find("malformed") == 0);
  scribble(path, static_cast<off_t>(a) + 700, 3);
  scribble(path, static_cast<off_t>(slot) + 4095, 1);  // beyond what any decoder reads
  report = disk::check_volume(volume.value());
  REQUIRE(report.damages.size() == 2);
  CHECK(report.damages[0].offset == a);
  CHECK(report.damages[0].what == "torn");
  scribble(path, static_cast<off_t>(slot) + 3, 1);
  report = disk::check_volume(volume.value());
  REQUIRE(report.damages.size() == 3);
  CHECK(report.damages[0].offset == slot);
  CHECK(report.damages[0].what == "damaged");
}

TEST_CASE("a_volume_that_does_not_fit_is_refused_with_the_numbers") {
  const TemporaryDirectory directory;
  const auto path = directory.file("volume");
  CHECK(disk::check_room(path, 1 << 20));
  const auto refused = disk::check_room(path, disk::Offset{1} << 60);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find(path) == 0);
  CHECK(refused.error().message.find("1152921504606846976") != std::string::npos);
}

TEST_CASE("a_torn_newer_twin_is_harmless_and_an_older_one_is_not") {
  const TemporaryDirectory directory;
  const auto path = directory.file("volume");
  check_contract(path);  // table 3: sequence 5 in A (long), 6 in B (short)
  const wire::Layout layout(geometry());
  const auto at = [&](wire::Twin twin) {
    return static_cast<off_t>(*layout.offset(wire::table_cell(HostId{3}), twin));
  };
  const auto volume = VolumeFile::open(path, Access::read_only, {});
  const auto look = [&](wire::Twin twin) {
    return *disk::look_at(volume.value(), wire::table_cell(HostId{3}), twin);
  };
  scribble(path, at(wire::kTwinA) + 700, 3);
  auto a = look(wire::kTwinA);
  CHECK(a.extent.state == wire::ExtentState::torn);
  CHECK(a.last_write == Sequence{5});
  auto b = look(wire::kTwinB);
  b.fault.clear();  // the payload of this test is no table
  CHECK_FALSE(disk::harmless(a, b));
  scribble(path, at(wire::kTwinA) + 512, 1, '\x09');  // the body of write 9 lies under head 5
  a = look(wire::kTwinA);
  CHECK(a.last_write == Sequence{9});
  CHECK(disk::harmless(a, b));
  b.fault = "torn";
  CHECK_FALSE(disk::harmless(a, b));
  disk::Look untouched;
  untouched.extent.state = wire::ExtentState::empty;
  CHECK(disk::harmless(a, untouched));
}
