#include "libha/disk/survey.hpp"

#include <time.h>

#include <algorithm>
#include <array>

#include "libha/disk/cell_reader.hpp"
#include "libha/wire/ballot.hpp"
#include "libha/wire/decision.hpp"
#include "libha/wire/slot.hpp"
#include "libha/wire/superblock.hpp"
#include "libha/wire/table.hpp"

namespace wardom::disk {
namespace {

using wire::ExtentState;
using wire::kBlockBytes;

constexpr std::size_t kCellsAtOnce = 256;
// Longer than a write takes on a storage that is well.
constexpr timespec kSecondLook{0, 50'000'000};

template <class Record, class Decode>
std::vector<Surveyed<Record>> survey_region(const VolumeFile& volume, Region region,
                                            Decode decode) {
  std::vector<Surveyed<Record>> out;
  const auto all = cells_in_use(volume, region);
  for (std::size_t i = 0; i < all.size(); i += kCellsAtOnce) {
    const auto cells = std::span(all).subspan(i, std::min(kCellsAtOnce, all.size() - i));
    auto views = read_cells(*volume.io(), volume.geometry().volume_uuid, volume.layout(), cells);
    for (auto& view : views) {
      if (view.state == ExtentState::empty) continue;
      Surveyed<Record> entry;
      if (view.state == ExtentState::valid) {
        auto record = decode(wire::View(view.payload), view.level);
        if (record)
          entry.record = std::move(record).value();
        else
          view.error = record.error().message;
      }
      entry.view = std::move(view);
      out.push_back(std::move(entry));
    }
  }
  return out;
}

// Empty: the payload is well formed. Directory cells have no content in this release.
std::string fault_in(Region region, wire::View payload, Level level) {
  const auto said = [](const auto& result) {
    return result ? std::string() : "malformed: " + result.error().message;
  };
  switch (region) {
    case Region::superblock:
      return said(wire::decode_superblock(payload));
    case Region::slot:
      return said(wire::decode_slot(payload, level));
    case Region::decision:
      return said(wire::decode_decision(payload, level));
    case Region::table:
      return said(wire::decode_table(payload, level));
    case Region::ballot:
      return said(wire::decode_ballot(payload, level));
    case Region::directory:
      break;
  }
  return {};
}

bool all_zero(const VolumeFile& volume, const wire::RegionPlace& place, std::uint32_t from,
              std::uint32_t count) {
  Buffer buffer(std::size_t{count} * 2 * kBlockBytes);
  const Offset at = place.start + Offset{from} * 2 * kBlockBytes;
  if (!volume.io()->read(at, buffer.bytes())) return false;
  const auto bytes = buffer.bytes();
  return std::all_of(bytes.begin(), bytes.end(), [](auto b) { return b == 0; });
}

Sequence body_sequence(wire::View first_block) {
  return Sequence{wire::Reader(first_block.subspan(wire::kHeadBytes, 8)).u64()};
}

// Reads the head's block, and as much of the rest as its payload reaches.
Look look_once(const VolumeFile& volume, const Cell& cell, wire::Twin twin, Offset at) {
  Look look;
  look.offset = at;
  const wire::Expected expected{volume.geometry().volume_uuid, cell, twin};
  Buffer first(kBlockBytes);
  if (auto done = volume.io()->read(at, first.bytes()); !done) {
    look.fault = done.error().message;
    return look;
  }
  look.extent = wire::decode_head(first.bytes(), expected);
  if (look.extent.state == ExtentState::empty) return look;
  if (look.extent.state == ExtentState::valid) {
    const auto blocks = wire::blocks_needed(look.extent.head.payload_bytes);
    if (blocks > volume.layout().blocks(cell.region)) {
      look.extent.state = ExtentState::damaged;
      look.fault = "damaged: longer than its extent";
      return look;
    }
    Buffer image(blocks * kBlockBytes);
    if (auto done = volume.io()->read(at, image.bytes()); !done) {
      look.extent.state = ExtentState::unreadable;
      look.fault = done.error().message;
      return look;
    }
    look.extent = wire::decode_extent(image.bytes(), expected);
  }
  if (look.extent.state == ExtentState::torn)
    look.last_write = std::max(look.extent.head.sequence, body_sequence(first.bytes()));
  else if (look.extent.state == ExtentState::valid)
    look.last_write = look.extent.head.sequence;
  look.fault = look.extent.state == ExtentState::valid ? fault_in(cell.region, look.extent.payload,
                                                                  look.extent.head.level)
                                                       : wire::to_text(look.extent.state);
  return look;
}

class Checker {
 public:
  explicit Checker(const VolumeFile& volume) : volume_(volume) {}

  CheckReport run() {
    report_.extents = wire::kSuperblockCopies;
    for (std::uint8_t copy = 0; copy < wire::kSuperblockCopies; ++copy) {
      auto look = *look_at(volume_, wire::superblock_cell(), wire::Twin{copy});
      count(look);
      // A formatted volume has all three.
      if (look.extent.state == ExtentState::empty) look.fault = "empty";
      if (!look.fault.empty())
        note(report_.damages, wire::superblock_cell(), wire::Twin{copy}, look);
    }
    for (auto region : wire::kPairRegions) check_region(region);
    return std::move(report_);
  }

 private:
  void check_region(Region region) {
    report_.extents += std::uint64_t{2} * volume_.layout().place(region).count;
    for (const auto& cell : cells_in_use(volume_, region)) check_cell(cell);
  }

  void check_cell(const Cell& cell) {
    const auto both = [&] {
      return std::array{*look_at(volume_, cell, wire::kTwinA),
                        *look_at(volume_, cell, wire::kTwinB)};
    };
    auto twins = both();
    if (!twins[0].fault.empty() || !twins[1].fault.empty()) {
      ::nanosleep(&kSecondLook, nullptr);
      twins = both();
    }
    for (std::uint8_t i = 0; i < 2; ++i) {
      count(twins[i]);
      if (twins[i].fault.empty()) continue;
      const bool remark = harmless(twins[i], twins[1 - i]);
      note(remark ? report_.remarks : report_.damages, cell, wire::Twin{i}, twins[i]);
    }
  }

  void count(const Look& look) {
    if (look.extent.state != ExtentState::empty) ++report_.in_use;
  }

  static void note(std::vector<Damage>& list, const Cell& cell, wire::Twin twin, const Look& look) {
    list.push_back({cell, twin, look.offset, look.fault});
  }

  const VolumeFile& volume_;
  CheckReport report_;
};

}  // namespace

std::vector<Cell> cells_in_use(const VolumeFile& volume, Region region) {
  const auto& place = volume.layout().place(region);
  std::vector<Cell> cells;
  const std::uint32_t step = place.blocks == 1 ? kCellsAtOnce / 2 : 1;
  for (std::uint32_t i = 0; i < place.count; i += step) {
    const auto count = std::min(step, place.count - i);
    if (place.blocks == 1 && all_zero(volume, place, i, count)) continue;
    for (std::uint32_t j = i; j < i + count; ++j) cells.push_back({region, place.first + j});
  }
  return cells;
}

std::optional<Look> look_at(const VolumeFile& volume, const Cell& cell, wire::Twin twin) {
  const auto at = volume.layout().offset(cell, twin);
  if (!at) return std::nullopt;
  return look_once(volume, cell, twin, *at);
}

bool harmless(const Look& faulty, const Look& twin) {
  if (faulty.extent.state != ExtentState::torn || !twin.fault.empty()) return false;
  if (twin.extent.state == ExtentState::empty)
    return faulty.last_write > Sequence{};
  return twin.extent.state == ExtentState::valid && faulty.last_write > twin.extent.head.sequence;
}

Survey survey_hosts(const VolumeFile& volume) {
  Survey out;
  out.slots = survey_region<Slot>(volume, Region::slot, wire::decode_slot);
  out.decisions = survey_region<Decision>(volume, Region::decision, wire::decode_decision);
  return out;
}

Survey survey(const VolumeFile& volume) {
  auto out = survey_hosts(volume);
  out.ballots = survey_region<Ballot>(volume, Region::ballot, wire::decode_ballot);
  out.tables = survey_region<HostTable>(volume, Region::table, wire::decode_table);
  return out;
}

CheckReport check_volume(const VolumeFile& volume) { return Checker(volume).run(); }

}  // namespace wardom::disk
