// The state volume as the storage holds it: cells of two twins, writes that land when they land.
#pragma once

#include <array>
#include <map>
#include <vector>

#include "libha/core/records.hpp"
#include "libha/port/volume.hpp"

namespace wardom::sim {

struct Twin {
  bool written{false};
  bool torn{false};  // its first sectors are new, and valid, the rest is not
  HostId writer;
  Incarnation incarnation;
  Sequence sequence;
  std::vector<std::uint8_t> payload;
  Level level{kFirstLevel};
  Levels speaks;
};

struct CellState {
  std::array<Twin, 2> twins;
  bool damaged{false};  // reads find no twin that passes its CRC
  bool torn() const { return twins[0].torn || twins[1].torn; }
  const Twin* newest() const {
    const Twin* best = nullptr;
    for (const auto& twin : twins)
      if (twin.written && !twin.torn && (best == nullptr || twin.sequence > best->sequence))
        best = &twin;
    return best;
  }
};

class Store {
 public:
  const CellState& cell(const Cell& cell) { return cells_[cell]; }
  CellState& change(const Cell& cell) { return cells_[cell]; }
  port::CellRead read(const Cell& cell) {
    port::CellRead read;
    read.cell = cell;
    const auto& state = cells_[cell];
    const Twin* newest = state.newest();
    if (state.damaged) {
      read.status = port::CellStatus::damaged;
      read.error = "no twin passes its CRC";
    } else if (newest == nullptr && state.twins[0].torn && state.twins[1].torn) {
      read.status = port::CellStatus::damaged;
      read.error = "torn";
    } else if (newest == nullptr) {  // or its first write is torn
      read.status = port::CellStatus::empty;
      read.twin_damaged = state.torn();
    } else {
      read.status = port::CellStatus::valid;
      read.writer = newest->writer;
      read.incarnation = newest->incarnation;
      read.sequence = newest->sequence;
      read.payload = newest->payload;
      read.level = newest->level;
      read.speaks = newest->speaks;
      read.domain = DomainId{1};
      read.twin_damaged = state.torn();
    }
    return read;
  }

 private:
  std::map<Cell, CellState> cells_;
};

}  // namespace wardom::sim
