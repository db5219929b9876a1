#include "libha/disk/cell_reader.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace wardom::disk {
namespace {

using wire::CellView;
using wire::Expected;
using wire::Extent;
using wire::ExtentState;
using wire::kBlockBytes;
using wire::Twin;

struct Place {
  const Bits128& volume;
  const wire::Layout& layout;
  Expected expected(const Cell& cell, Twin twin) const { return {volume, cell, twin}; }
};

CellView to_view(const Cell& cell, const Extent& a, const Extent& b, std::string error) {
  CellView view;
  view.cell = cell;
  const auto choice = wire::choose(a, b);
  view.state = choice.state;
  view.twin_damaged = choice.twin_damaged;
  // Not a slot: its only good copy may be written over, so a torn one tells nothing.
  if (cell.region != Region::slot && wire::first_write_torn(a, b)) {
    view.state = ExtentState::empty;
    return view;
  }
  if (choice.state == ExtentState::unknown_version) {
    const Extent& unknown = a.state == ExtentState::unknown_version &&
                                    (b.state != a.state || a.head.sequence >= b.head.sequence)
                                ? a
                                : b;
    view.level = unknown.head.level;
    view.speaks = unknown.head.speaks;
    view.domain = unknown.head.domain;
  }
  if (choice.twin) {
    const Extent& best = *choice.twin == wire::kTwinA ? a : b;
    view.level = best.head.level;
    view.speaks = best.head.speaks;
    view.domain = best.head.domain;
    view.writer = best.head.writer;
    view.incarnation = best.head.incarnation;
    view.sequence = best.head.sequence;
    view.payload = best.payload;
  } else if (choice.state != ExtentState::empty) {
    view.error = wire::to_text(cell) + ": ";
    view.error += error.empty() ? std::string("twins are ") + wire::to_text(a.state) + " and " +
                                      wire::to_text(b.state)
                                : error;
  }
  return view;
}

CellView unknown_cell(const Cell& cell) {
  CellView view;
  view.cell = cell;
  view.error = wire::to_text(cell) + ": the volume's geometry has no such cell";
  return view;
}

// A cell whose extents are one block each, found at `at` in a batch.
CellView view_in(const Place& place, const Cell& cell, wire::View pair) {
  const auto twin = [&](Twin t) {
    return wire::decode_extent(pair.subspan(t.value * kBlockBytes, kBlockBytes),
                               place.expected(cell, t));
  };
  const Extent a = twin(wire::kTwinA);
  const Extent b = twin(wire::kTwinB);
  return to_view(cell, a, b, {});
}

struct Wanted {
  Offset at;
  std::size_t index;  // in the caller's list
};

// The two extents of a cell of one block each. A bad sector hides one of them, not both.
CellExtents read_pair(BlockIo& io, const Place& place, const Cell& cell, std::string& error) {
  CellExtents out;
  Buffer pair(2 * kBlockBytes);
  const bool both = io.read(*place.layout.offset(cell, wire::kTwinA), pair.bytes()).has_value();
  for (Twin twin : {wire::kTwinA, wire::kTwinB}) {
    const auto block = pair.bytes().subspan(twin.value * kBlockBytes, kBlockBytes);
    if (!both)
      if (auto done = io.read(*place.layout.offset(cell, twin), block); !done) {
        error = done.error().message;
        continue;
      }
    out.twins[twin.value] = wire::decode_extent(block, place.expected(cell, twin));
  }
  return out;
}

// After a request for all of them has failed: one by one, since one bad sector spoils no other
// cell. But not for long, should the storage be gone.
void read_one_by_one(BlockIo& io, const Place& place, std::span<const Cell> cells,
                     std::span<const Wanted> batch, std::string error,
                     std::vector<CellView>& out) {
  std::size_t failed = 0;
  for (const auto& w : batch) {
    const auto& cell = cells[w.index];
    CellExtents extents;
    if (failed < kBadCellsAtMost) extents = read_pair(io, place, cell, error);
    const bool read = extents.twins[0].state != ExtentState::unreadable ||
                      extents.twins[1].state != ExtentState::unreadable;
    failed = read ? 0 : failed + 1;
    out[w.index] = to_view(cell, extents.twins[0], extents.twins[1], read ? "" : error);
  }
}

// Answers wanted[from..to) by one request.
void read_batch(BlockIo& io, const Place& place, std::span<const Cell> cells,
                std::span<const Wanted> batch, std::vector<CellView>& out) {
  const Offset start = batch.front().at;
  const Offset end = batch.back().at + 2 * kBlockBytes;
  Buffer buffer(end - start);
  if (auto done = io.read(start, buffer.bytes()); !done)
    return read_one_by_one(io, place, cells, batch, done.error().message, out);
  for (const auto& w : batch)
    out[w.index] =
        view_in(place, cells[w.index], buffer.bytes().subspan(w.at - start, 2 * kBlockBytes));
}

void read_single_blocks(BlockIo& io, const Place& place, std::span<const Cell> cells,
                        std::vector<Wanted> wanted, std::vector<CellView>& out) {
  std::sort(wanted.begin(), wanted.end(),
            [](const Wanted& a, const Wanted& b) { return a.at < b.at; });
  std::size_t from = 0;
  while (from < wanted.size()) {
    std::size_t to = from + 1;
    while (to < wanted.size() &&
           wanted[to].at - wanted[to - 1].at <= 2 * kBlockBytes + kMaxGapBytes &&
           wanted[to].at + 2 * kBlockBytes - wanted[from].at <= kMaxBatchBytes)
      ++to;
    read_batch(io, place, cells, std::span(wanted).subspan(from, to - from), out);
    from = to;
  }
}

Extent read_head(BlockIo& io, const Place& place, const Cell& cell, Twin twin,
                 std::string& error) {
  Buffer block(kBlockBytes);
  if (auto done = io.read(*place.layout.offset(cell, twin), block.bytes()); !done) {
    error = done.error().message;
    return {};
  }
  const auto head = wire::decode_head(block.bytes(), place.expected(cell, twin));
  if (head.state == ExtentState::valid && wire::blocks_needed(head.head.payload_bytes) == 1)
    return wire::decode_extent(block.bytes(), place.expected(cell, twin));
  return head;
}

// Completes an extent of which only the head was read.
void read_rest(BlockIo& io, const Place& place, const Cell& cell, Twin twin, Extent& extent,
               std::string& error) {
  const auto blocks = wire::blocks_needed(extent.head.payload_bytes);
  if (extent.state != ExtentState::valid || blocks == 1) return;
  if (blocks > place.layout.blocks(cell.region)) {
    extent.state = ExtentState::damaged;
    return;
  }
  Buffer image(blocks * kBlockBytes);
  if (auto done = io.read(*place.layout.offset(cell, twin), image.bytes()); !done) {
    error = done.error().message;
    extent.state = ExtentState::unreadable;
    return;
  }
  extent = wire::decode_extent(image.bytes(), place.expected(cell, twin));
}

CellView read_large(BlockIo& io, const Place& place, const Cell& cell) {
  std::string error;
  Extent a = read_head(io, place, cell, wire::kTwinA, error);
  Extent b = read_head(io, place, cell, wire::kTwinB, error);
  const auto newer = wire::choose(a, b).twin;
  if (newer) {
    Extent& first = *newer == wire::kTwinA ? a : b;
    Extent& second = *newer == wire::kTwinA ? b : a;
    const Twin other = *newer == wire::kTwinA ? wire::kTwinB : wire::kTwinA;
    read_rest(io, place, cell, *newer, first, error);
    if (first.state != ExtentState::valid) read_rest(io, place, cell, other, second, error);
  }
  return to_view(cell, a, b, error);
}

}  // namespace

CellExtents read_extents(BlockIo& io, const Bits128& volume, const wire::Layout& layout,
                         const Cell& cell) {
  const Place place{volume, layout};
  CellExtents out;
  std::string error;
  if (layout.blocks(cell.region) == 1) return read_pair(io, place, cell, error);
  for (Twin twin : {wire::kTwinA, wire::kTwinB}) {
    out.twins[twin.value] = read_head(io, place, cell, twin, error);
    read_rest(io, place, cell, twin, out.twins[twin.value], error);
  }
  return out;
}

namespace {

// A valid twin that was read beside one that is not, or before it, may be older than what a reader
// must not miss: its writer may have been between two writes. It counts as read from now on. So
// does an empty one beside a torn one.
void read_again(BlockIo& io, const Place& place, CellView& view) {
  const auto extents = read_extents(io, place.volume, place.layout, view.cell);
  view = to_view(view.cell, extents.twins[0], extents.twins[1], {});
}

}  // namespace

std::vector<CellView> read_cells(BlockIo& io, const Bits128& volume, const wire::Layout& layout,
                                 std::span<const Cell> cells) {
  const Place place{volume, layout};
  std::vector<CellView> out(cells.size());
  // In the caller's order, but for neighbours of one block each: who reads decisions before ballots
  // relies on it.
  std::vector<Wanted> single;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const auto at = layout.offset(cells[i], wire::kTwinA);
    if (!at || cells[i].region == Region::superblock) {
      out[i] = unknown_cell(cells[i]);
    } else if (layout.blocks(cells[i].region) == 1) {
      single.push_back({*at, i});
    } else {
      read_single_blocks(io, place, cells, std::exchange(single, {}), out);
      out[i] = read_large(io, place, cells[i]);
    }
  }
  read_single_blocks(io, place, cells, std::move(single), out);
  for (auto& view : out)
    if (view.twin_damaged &&
        (view.state == ExtentState::valid || view.state == ExtentState::empty))
      read_again(io, place, view);
  return out;
}

}  // namespace wardom::disk
