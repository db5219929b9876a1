// Where every extent of the state volume lies. Follows from the geometry alone.
#pragma once

#include <optional>
#include <string_view>

#include "libha/core/records.hpp"
#include "libha/core/result.hpp"
#include "libha/wire/block.hpp"

namespace wardom::wire {

inline constexpr std::uint32_t kMaxHosts = 2000;
inline constexpr std::uint32_t kMaxDomains = 250;
inline constexpr std::uint32_t kMinDecisionBlocks = 4;
inline constexpr std::uint32_t kMaxDecisionBlocks = 256;   // 1 MiB
inline constexpr std::uint32_t kMinTableBlocks = 4;
inline constexpr std::uint32_t kMaxTableBlocks = 1024;     // 4 MiB
inline constexpr std::uint32_t kDefaultDecisionBlocks = 128;
inline constexpr std::uint32_t kDefaultTableBlocks = 64;   // 256 KiB
inline constexpr std::size_t kSuperblockCopies = 3;
inline constexpr std::size_t kMaxClusterNameBytes = 64;

using Offset = std::uint64_t;  // bytes from the volume's start; a multiple of kBlockBytes

// The copies stand apart, so that what other tools write at a device's start (partition tables,
// LVM labels, the first superblock of a file system) does not take all three.
inline constexpr Offset kSuperblockOffsets[kSuperblockCopies] = {0, 512 * 1024,
                                                                 1024 * 1024 - kBlockBytes};
inline constexpr Offset kRegionsStart = 1024 * 1024;

// Why this geometry cannot be laid out; success when it can.
Result<void> check_geometry(const Geometry& geometry);

// One region: `count` cells, the first with index `first`, each two extents of `blocks` blocks,
// A and B side by side, from `start`.
struct RegionPlace {
  Offset start{0};
  std::uint32_t first{0};
  std::uint32_t count{0};
  std::uint32_t blocks{0};
  Offset end() const { return start + Offset{count} * 2 * blocks * kBlockBytes; }
};

// Every region but the superblock, in the order in which they lie.
inline constexpr Region kPairRegions[] = {Region::slot, Region::directory, Region::ballot,
                                          Region::decision, Region::table};

class Layout {
 public:
  // The geometry passed check_geometry().
  explicit Layout(const Geometry& geometry);

  const RegionPlace& place(Region region) const;  // not of the superblock
  // nullopt: the region has no such cell.
  std::optional<Offset> offset(const Cell& cell, Twin twin) const;
  std::uint32_t blocks(Region region) const;
  Offset size() const { return size_; }

 private:
  RegionPlace slot_, directory_, ballot_, decision_, table_;
  Offset size_{0};
};

inline Cell superblock_cell() { return {Region::superblock, 0}; }
inline Cell slot_cell(HostId host) { return {Region::slot, host.value}; }
inline Cell decision_cell(HostId host) { return {Region::decision, host.value}; }
inline Cell table_cell(HostId host) { return {Region::table, host.value}; }
inline Cell directory_cell(DomainId domain) { return {Region::directory, domain.value}; }
inline Cell ballot_cell(const Geometry& geometry, DomainId domain, HostId host) {
  return {Region::ballot, domain.value * geometry.hosts + host.value};
}
// Whose ballot a cell of that region is: the inverse of ballot_cell().
struct BallotOwner {
  DomainId domain;
  HostId host;
};
inline BallotOwner ballot_owner(const Geometry& geometry, const Cell& cell) {
  const std::uint32_t from_0 = cell.index - geometry.hosts - 1;
  return {DomainId{static_cast<std::uint16_t>(from_0 / geometry.hosts + 1)},
          HostId{static_cast<std::uint16_t>(from_0 % geometry.hosts + 1)}};
}

const char* to_text(Region region);
std::optional<Region> region_named(std::string_view text);
std::string to_text(const Cell& cell);  // "slot 3"

}  // namespace wardom::wire
