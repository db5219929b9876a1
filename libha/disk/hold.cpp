#include "libha/disk/hold.hpp"

#include <algorithm>
#include <utility>

#include "libha/disk/survey.hpp"
#include "libha/wire/decision.hpp"
#include "libha/wire/slot.hpp"

namespace wardom::disk {
namespace {

using wire::ExtentState;
using wire::Twin;

struct Extent {
  Cell cell;
  Look look;
};

// What is not empty, by cell.
std::vector<Extent> extents_in_use(const VolumeFile& volume) {
  std::vector<Extent> all;
  for (auto region : wire::kPairRegions)
    for (const auto& cell : cells_in_use(volume, region))
      for (const auto twin : {wire::kTwinA, wire::kTwinB}) {
        auto look = *look_at(volume, cell, twin);
        if (look.extent.state == ExtentState::empty) continue;
        look.extent.head.twin = twin;
        all.push_back({cell, std::move(look)});
      }
  return all;
}

Cell place_of(const Cell& cell, const Geometry& from, const Geometry& to) {
  if (cell.region != Region::ballot) return cell;
  const auto owner = wire::ballot_owner(from, cell);
  return wire::ballot_cell(to, owner.domain, owner.host);
}

// The bytes to write; of a torn one, those that stand there: its head may have been read by others.
Result<std::vector<std::uint8_t>> image_of(const VolumeFile& from, const Extent& extent,
                                           const Geometry& to, const Cell& place) {
  auto head = extent.look.extent.head;
  const auto name = wire::to_text(extent.cell) + " at offset " + std::to_string(extent.look.offset);
  const auto blocks = wire::blocks_needed(head.payload_bytes);
  const auto room = wire::Layout(to).blocks(place.region);
  if (extent.look.extent.state == ExtentState::valid && extent.look.fault.empty()) {
    if (blocks > room)
      return failure(name + ": is larger than the new volume has room for; give it larger tables");
    head.volume = to.volume_uuid;
    head.cell = place;
    return wire::encode_extent(head, extent.look.extent.payload);
  }
  const bool same = place == extent.cell &&
                    from.geometry().volume_uuid == to.volume_uuid && blocks <= room;
  if (extent.look.extent.state != ExtentState::torn || !same)
    return failure(name + ": is " + extent.look.fault + "; see `wardomctl volume check` and "
                   "`volume repair`");
  Buffer bytes(blocks * wire::kBlockBytes);
  if (auto done = from.io()->read(extent.look.offset, bytes.bytes()); !done) return done.error();
  return std::vector<std::uint8_t>(bytes.bytes().begin(), bytes.bytes().end());
}

// What is to stand on the new volume, and where.
struct Copy {
  Offset at;
  std::vector<std::uint8_t> image;
};

Result<Copy> copy_of(const VolumeFile& from, const Extent& extent, const Geometry& to) {
  const auto place = place_of(extent.cell, from.geometry(), to);
  const auto at = wire::Layout(to).offset(place, extent.look.extent.head.twin);
  if (!at)
    return failure(wire::to_text(extent.cell) + ": the new volume has no place for it; give it "
                   "more hosts or domains");
  auto image = image_of(from, extent, to, place);
  if (!image) return image.error();
  return Copy{*at, std::move(image).value()};
}

// Wherever they stand.
bool same_words(const Look& a, const Look& b) {
  auto head = b.extent.head;
  head.volume = a.extent.head.volume;
  head.cell = a.extent.head.cell;
  head.twin = a.extent.head.twin;
  return a.extent.state == b.extent.state && a.last_write == b.last_write &&
         a.extent.head == head && a.extent.payload == b.extent.payload;
}

}  // namespace

std::vector<Holder> holders(const VolumeFile& volume, std::uint64_t change) {
  const auto found = survey_hosts(volume);
  std::vector<Holder> all;
  for (const auto& [view, slot] : found.slots) {
    Holder one;
    one.host = HostId{static_cast<std::uint16_t>(view.cell.index)};
    one.incarnation = view.incarnation;
    one.sequence = view.sequence;
    if (!slot) {
      one.trouble = view.error.empty() ? wire::to_text(view.state) : view.error;
      all.push_back(std::move(one));
      continue;
    }
    one.name = slot->host_name;
    one.votes = slot->votes_under != LockVersion{};
    one.holds = slot->held == change;
    one.reaches = one.holds && slot->reaches;
    if (slot->state == SlotState::left) {
      one.left = true;
      one.left_how = "left";
    }
    for (const auto& [other, decision] : found.decisions) {
      if (!decision) continue;
      for (const auto& verdict : decision->verdicts)
        if (verdict.host == one.host && (verdict.incarnation == view.incarnation ||
                                         verdict.incarnation.number > view.incarnation.number)) {
          one.left = true;
          one.left_how = "proved dead";
        }
    }
    all.push_back(std::move(one));
  }
  std::sort(all.begin(), all.end(),
            [](const Holder& a, const Holder& b) { return a.host < b.host; });
  return all;
}

Result<void> can_copy(const VolumeFile& from, const Geometry& to) {
  for (const auto& extent : extents_in_use(from))
    if (auto copy = copy_of(from, extent, to); !copy) return copy.error();
  return success();
}

Result<void> copy_cells(const VolumeFile& from, const VolumeFile& to,
                        const std::function<bool(std::size_t, std::size_t)>& progress) {
  const auto all = extents_in_use(from);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto copy = copy_of(from, all[i], to.geometry());
    if (!copy) return copy.error();
    if (auto done = write_image(*to.io(), copy.value().at, copy.value().image); !done) return done;
    if (!progress(i + 1, all.size())) return failure("interrupted");
  }
  for (const auto& extent : all) {
    const auto place = place_of(extent.cell, from.geometry(), to.geometry());
    const auto there = look_at(to, place, extent.look.extent.head.twin);
    if (!there || !same_words(*there, extent.look))
      return failure(wire::to_text(place) + ": does not read back from the new volume as it was "
                     "written: its store loses writes");
  }
  return success();
}

}  // namespace wardom::disk
