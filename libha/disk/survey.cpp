#include "libha/disk/survey.hpp"

#include <time.h>

#include <algorithm>

#include "libha/disk/cell_reader.hpp"
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
  const auto& place = volume.layout().place(region);
  std::vector<Cell> cells;
  for (std::uint32_t i = 0; i < place.count; i += kCellsAtOnce) {
    cells.clear();
    for (std::uint32_t j = i; j < std::min<std::size_t>(place.count, i + kCellsAtOnce); ++j)
      cells.push_back({region, place.first + j});
    auto views = read_cells(*volume.io(), volume.geometry().volume_uuid, volume.layout(), cells);
    for (auto& view : views) {
      if (view.state == ExtentState::empty) continue;
      Surveyed<Record> entry;
      if (view.state == ExtentState::valid) {
        auto record = decode(wire::View(view.payload));
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

// Empty: the payload is well formed. Directory and ballot cells have no content in this release.
std::string fault_in(Region region, wire::View payload) {
  const auto said = [](const auto& result) {
    return result ? std::string() : "malformed: " + result.error().message;
  };
  switch (region) {
    case Region::superblock: return said(wire::decode_superblock(payload));
    case Region::slot: return said(wire::decode_slot(payload));
    case Region::decision: return said(wire::decode_decision(payload));
    case Region::table: return said(wire::decode_table(payload));
    case Region::directory:
    case Region::ballot: break;
  }
  return {};
}

class Checker {
 public:
  explicit Checker(const VolumeFile& volume) : volume_(volume) {}

  CheckReport run() {
    for (std::uint8_t copy = 0; copy < wire::kSuperblockCopies; ++copy) {
      auto fault = look(wire::superblock_cell(), wire::Twin{copy});
      // A formatted volume has all three.
      note(wire::superblock_cell(), wire::Twin{copy}, fault.empty() && last_empty_ ? "empty"
                                                                                   : fault);
    }
    for (auto region : wire::kPairRegions) check_region(region);
    return std::move(report_);
  }

 private:
  void check_region(Region region) {
    const auto& place = volume_.layout().place(region);
    const std::uint32_t cells = place.blocks == 1 ? kCellsAtOnce / 2 : 1;
    for (std::uint32_t i = 0; i < place.count; i += cells) {
      const auto count = std::min(cells, place.count - i);
      if (place.blocks == 1 && all_zero(place, i, count)) {
        report_.extents += std::uint64_t{2} * count;
        continue;
      }
      for (std::uint32_t j = i; j < i + count; ++j)
        for (auto twin : {wire::kTwinA, wire::kTwinB}) {
          const Cell cell{region, place.first + j};
          note(cell, twin, look(cell, twin));
        }
    }
  }

  // Most of a volume is empty: pass over that in large steps.
  bool all_zero(const wire::RegionPlace& place, std::uint32_t from, std::uint32_t count) {
    Buffer buffer(std::size_t{count} * 2 * kBlockBytes);
    const Offset at = place.start + Offset{from} * 2 * kBlockBytes;
    if (!volume_.io()->read(at, buffer.bytes())) return false;
    const auto bytes = buffer.bytes();
    return std::all_of(bytes.begin(), bytes.end(), [](auto b) { return b == 0; });
  }

  std::string look(const Cell& cell, wire::Twin twin) {
    auto fault = look_once(cell, twin);
    if (fault.empty()) return fault;
    ::nanosleep(&kSecondLook, nullptr);
    return look_once(cell, twin);
  }

  // Empty: nothing is wrong.
  std::string look_once(const Cell& cell, wire::Twin twin) {
    last_empty_ = false;
    const Offset at = *volume_.layout().offset(cell, twin);
    const wire::Expected expected{volume_.geometry().volume_uuid, cell, twin};
    Buffer first(kBlockBytes);
    if (auto done = volume_.io()->read(at, first.bytes()); !done) return done.error().message;
    auto extent = wire::decode_head(first.bytes(), expected);
    if (extent.state == ExtentState::empty) {
      last_empty_ = true;
      return {};
    }
    if (extent.state == ExtentState::valid) {
      const auto blocks = wire::blocks_needed(extent.head.payload_bytes);
      if (blocks > volume_.layout().blocks(cell.region))
        return "damaged: longer than its extent";
      Buffer image(blocks * kBlockBytes);
      if (auto done = volume_.io()->read(at, image.bytes()); !done) return done.error().message;
      extent = wire::decode_extent(image.bytes(), expected);
    }
    if (extent.state != ExtentState::valid) return wire::to_text(extent.state);
    return fault_in(cell.region, extent.payload);
  }

  void note(const Cell& cell, wire::Twin twin, const std::string& fault) {
    ++report_.extents;
    if (!last_empty_) ++report_.in_use;
    if (!fault.empty())
      report_.damages.push_back({cell, twin, *volume_.layout().offset(cell, twin), fault});
  }

  const VolumeFile& volume_;
  CheckReport report_;
  bool last_empty_{false};
};

}  // namespace

Survey survey(const VolumeFile& volume) {
  Survey out;
  out.slots = survey_region<Slot>(volume, Region::slot, wire::decode_slot);
  out.decisions = survey_region<Decision>(volume, Region::decision, wire::decode_decision);
  out.tables = survey_region<HostTable>(volume, Region::table, wire::decode_table);
  return out;
}

CheckReport check_volume(const VolumeFile& volume) { return Checker(volume).run(); }

}  // namespace wardom::disk
