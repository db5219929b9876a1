#include "libha/wire/layout.hpp"

#include "libha/core/check.hpp"

namespace wardom::wire {
namespace {

std::string outside(const char* what, std::uint64_t value, std::uint64_t least,
                    std::uint64_t most) {
  return std::string(what) + " is " + std::to_string(value) + "; it must be from " +
         std::to_string(least) + " to " + std::to_string(most);
}

}  // namespace

Result<void> check_geometry(const Geometry& g) {
  struct Range {
    const char* what;
    std::uint32_t value, least, most;
  };
  const Range ranges[] = {
      {"number of hosts", g.hosts, 2, kMaxHosts},
      {"number of domains", g.domains, 1, kMaxDomains},
      {"decision extent (blocks)", g.decision_blocks, kMinDecisionBlocks, kMaxDecisionBlocks},
      {"table extent (blocks)", g.table_blocks, kMinTableBlocks, kMaxTableBlocks},
  };
  for (const auto& r : ranges)
    if (r.value < r.least || r.value > r.most)
      return failure(outside(r.what, r.value, r.least, r.most));
  if (g.volume_uuid.is_zero()) return failure("the volume's uuid is zero");
  if (g.cluster.empty() || g.cluster.size() > kMaxClusterNameBytes)
    return failure(outside("length of the cluster's name", g.cluster.size(), 1,
                           kMaxClusterNameBytes));
  return success();
}

Layout::Layout(const Geometry& g) {
  WARDOM_CHECK(check_geometry(g));
  Offset at = kRegionsStart;
  const auto put = [&at](RegionPlace& place, std::uint32_t first, std::uint32_t count,
                         std::uint32_t blocks) {
    place = RegionPlace{at, first, count, blocks};
    at = place.end();
  };
  put(slot_, 1, g.hosts, 1);
  put(directory_, 1, g.domains, 1);
  put(ballot_, g.hosts + 1, g.domains * g.hosts, 1);
  put(decision_, 1, g.hosts, g.decision_blocks);
  put(table_, 1, g.hosts, g.table_blocks);
  size_ = at;
}

const RegionPlace& Layout::place(Region region) const {
  switch (region) {
    case Region::slot: return slot_;
    case Region::directory: return directory_;
    case Region::ballot: return ballot_;
    case Region::decision: return decision_;
    case Region::table: return table_;
    case Region::superblock: break;
  }
  WARDOM_CHECK(region != Region::superblock);
  return slot_;
}

std::optional<Offset> Layout::offset(const Cell& cell, Twin twin) const {
  if (cell.region == Region::superblock) {
    if (cell.index != 0 || twin.value >= kSuperblockCopies) return std::nullopt;
    return kSuperblockOffsets[twin.value];
  }
  const RegionPlace& p = place(cell.region);
  if (cell.index < p.first || cell.index - p.first >= p.count || twin > kTwinB)
    return std::nullopt;
  const Offset extents = Offset{cell.index - p.first} * 2 + twin.value;
  return p.start + extents * p.blocks * kBlockBytes;
}

std::uint32_t Layout::blocks(Region region) const {
  return region == Region::superblock ? 1 : place(region).blocks;
}

const char* to_text(Region region) {
  switch (region) {
    case Region::superblock: return "superblock";
    case Region::directory: return "directory";
    case Region::slot: return "slot";
    case Region::ballot: return "ballot";
    case Region::decision: return "decision";
    case Region::table: return "table";
  }
  return "?";
}

std::optional<Region> region_named(std::string_view text) {
  for (auto region : {Region::superblock, Region::directory, Region::slot, Region::ballot,
                      Region::decision, Region::table})
    if (text == to_text(region)) return region;
  return std::nullopt;
}

std::string to_text(const Cell& cell) {
  return std::string(to_text(cell.region)) + " " + std::to_string(cell.index);
}

}  // namespace wardom::wire
