// Reading cells: few requests for many cells, both twins judged.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "libha/disk/block_io.hpp"
#include "libha/wire/keeper_protocol.hpp"

namespace wardom::disk {

// Neighbouring single-block cells are read in one request, across gaps of at most kMaxGapBytes,
// since a request costs more than the bytes in between. Slots of a domain lie side by side as far
// as its host ids do.
inline constexpr std::size_t kMaxBatchBytes = 1024 * 1024;
inline constexpr std::size_t kMaxGapBytes = 128 * 1024;
// Where a request fails, its cells are read one by one, until so many in a row fail again.
inline constexpr std::size_t kBadCellsAtMost = 3;

struct CellExtents {
  wire::Extent twins[2];
};
// Both extents of one cell, whole. For recovery at start and for checks.
CellExtents read_extents(BlockIo& io, const Bits128& volume, const wire::Layout& layout,
                         const Cell& cell);

// Reads in the order asked. Each answer stands for itself: one unreadable cell spoils no other.
// Of a cell of many blocks only the twin with the higher head is read to its end, as far as its
// payload reaches; the other only if that one turns out torn. A cell with one extent that is not
// valid is read once more: so a valid answer is never older than what was acknowledged before its
// other extent was seen in that state (models.md, P4). Blocks.
std::vector<wire::CellView> read_cells(BlockIo& io, const Bits128& volume,
                                       const wire::Layout& layout, std::span<const Cell> cells);

}  // namespace wardom::disk
