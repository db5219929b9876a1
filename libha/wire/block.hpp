// The cell format of the state volume (libha/doc/volume-format.md has it to the byte).
//
// A cell is a pair of extents, A and B, written in turn; an extent is one or more blocks of 4 KiB.
// The first 512 bytes of an extent, its head, are what a disk writes whole or not at all. They say
// where the extent belongs, who wrote it and which write it was, hold the first kHeadPayload bytes
// of the payload (all safety fields of a region fit there) and have a CRC of their own. The body
// behind them repeats the sequence and has the rest of the payload, with a second CRC.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "libha/core/records.hpp"
#include "libha/wire/bytes.hpp"
#include "libha/wire/level.hpp"

namespace wardom::wire {

inline constexpr std::size_t kBlockBytes = 4096;
inline constexpr std::size_t kHeadBytes = 512;
inline constexpr std::size_t kHeadFieldBytes = 80;  // before the payload in the head
inline constexpr std::size_t kHeadPayload = kHeadBytes - kHeadFieldBytes - 4;
inline constexpr std::size_t kBodyFieldBytes = 16;  // before the payload in the body
inline constexpr std::uint64_t kBlockMagic = 0x004b4c424d445257;  // "WRDMBLK\0"
// Of the superblock and what it lays out. Every other cell is of its writer's level instead.
inline constexpr std::uint16_t kFormatVersion = 1;

// The most payload that an extent of so many blocks holds.
constexpr std::size_t extent_payload(std::uint32_t blocks) {
  return kHeadPayload + blocks * kBlockBytes - kHeadBytes - kBodyFieldBytes;
}

// Which extent of a cell. The superblock has three copies instead of a pair: 0, 1, 2.
using Twin = Number<struct TwinTag, std::uint8_t>;
inline constexpr Twin kTwinA{0};
inline constexpr Twin kTwinB{1};

// What identifies an extent and the write that left it.
struct Head {
  Bits128 volume;
  Cell cell;
  Twin twin;
  HostId writer;
  Incarnation incarnation;
  Sequence sequence;
  std::uint32_t payload_bytes{0};
  Level level{kFirstLevel};  // of the payload
  Levels speaks;             // what its writer could have written and can read
  DomainId domain;           // its writer's; 0 in superblocks
  friend bool operator==(const Head&, const Head&) = default;
};

// How many whole blocks a payload needs; the tail of the extent behind them is not written.
std::size_t blocks_needed(std::size_t payload_bytes);
// The image to write at the extent's start. The payload fits the extent: checked by the caller.
Bytes encode_extent(const Head& head, View payload);

enum class ExtentState : std::uint8_t {
  valid,
  empty,            // the head is zero, as the formatter leaves it, and so is the body's start
  torn,             // the head is whole, the body belongs to another write or lacks a part
  damaged,          // the head's CRC fails, or it never was a head
  foreign,          // a whole head, but of another volume, cell or twin
  unknown_version,  // a whole head of a level that is not spoken here: refused, never rewritten
  unreadable,       // never by decoding: the read failed
};
const char* to_text(ExtentState state);

// Where an extent was read from. `volume` is unknown only while the superblock is being looked for.
struct Expected {
  std::optional<Bits128> volume;
  Cell cell;
  Twin twin;
};

struct Extent {
  ExtentState state{ExtentState::unreadable};
  // Where state is valid, torn or foreign. Of an unknown version: what stands in the same place in
  // every version, that is, all but the payload's length and the incarnation.
  Head head;
  Bytes payload;  // where state is valid
};

// Looks at the head alone. `valid` here means only that the head is whole and belongs here.
Extent decode_head(View first_block, const Expected& expected);
// Decodes a whole extent, or at least blocks_needed() blocks of it; fewer make it torn.
Extent decode_extent(View image, const Expected& expected);

// What the two twins together say.
struct Choice {
  // The valid one with the higher sequence, unless another version of Wardom has written the other
  // one after it.
  std::optional<Twin> twin;
  ExtentState state{ExtentState::unreadable};  // valid, or why there is none
  // The other twin is torn, damaged, foreign or unreadable. It may have been newer than the chosen
  // one: where that matters, the reader treats the cell as unknown. One of an unknown version tells
  // its sequence.
  bool twin_damaged{false};
};
Choice choose(const Extent& a, const Extent& b);
// The first write to the cell was cut short: one extent is torn, the other was never written to.
// Where the newest acknowledged copy is never written over, nothing was acknowledged here before,
// and the cell says as much as an empty one.
bool first_write_torn(const Extent& a, const Extent& b);
// Nothing is written to a cell with these extents: one is of an unknown version, and it is not a
// level of long ago that was overtaken by a valid write.
bool bars_writing(const Extent& a, const Extent& b);

}  // namespace wardom::wire
