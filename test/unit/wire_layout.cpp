#include <catch2/catch.hpp>

#include <set>

#include "libha/wire/layout.hpp"
#include "libha/wire/superblock.hpp"
#include "wire_samples.hpp"

using namespace wardom;
using namespace wardom::wire;

namespace {

Geometry geometry(std::uint32_t hosts, std::uint32_t domains, std::uint32_t decision,
                  std::uint32_t table) {
  auto g = samples::geometry();
  g.hosts = hosts;
  g.domains = domains;
  g.decision_blocks = decision;
  g.table_blocks = table;
  return g;
}

// Every extent of a region, in order: each must begin where the last one ended.
Offset walk(const Layout& layout, Region region, Offset at) {
  const auto& place = layout.place(region);
  for (std::uint32_t i = place.first; i < place.first + place.count; ++i)
    for (Twin twin : {kTwinA, kTwinB}) {
      const auto offset = layout.offset({region, i}, twin);
      REQUIRE(offset.has_value());
      REQUIRE(*offset == at);
      at += Offset{place.blocks} * kBlockBytes;
    }
  return at;
}

}  // namespace

TEST_CASE("layout_places_every_extent_once_without_gap_or_overlap") {
  for (std::uint32_t hosts : {2u, 3u, 16u, 101u})
    for (std::uint32_t domains : {1u, 2u, 7u})
      for (std::uint32_t decision : {4u, 9u})
        for (std::uint32_t table : {4u, 64u}) {
          const Layout layout(geometry(hosts, domains, decision, table));
          Offset at = kRegionsStart;
          for (auto region : kPairRegions) at = walk(layout, region, at);
          REQUIRE(at == layout.size());
        }
}

TEST_CASE("layout_holds_for_every_number_of_hosts") {
  for (std::uint32_t hosts = 2; hosts <= kMaxHosts; ++hosts) {
    const Layout layout(geometry(hosts, kMaxDomains, kMaxDecisionBlocks, kMaxTableBlocks));
    Offset at = kRegionsStart;
    for (auto region : kPairRegions) {
      const auto& place = layout.place(region);
      REQUIRE(place.start == at);
      at = place.end();
      REQUIRE(*layout.offset({region, place.first + place.count - 1}, kTwinB) +
                  Offset{place.blocks} * kBlockBytes == at);
    }
    REQUIRE(at == layout.size());
  }
}

TEST_CASE("layout_superblocks_lie_before_the_regions_and_apart") {
  const Layout layout(samples::geometry());
  std::set<Offset> seen;
  for (std::uint8_t copy = 0; copy < kSuperblockCopies; ++copy) {
    const auto at = layout.offset(superblock_cell(), Twin{copy});
    REQUIRE(at.has_value());
    CHECK(*at + kBlockBytes <= kRegionsStart);
    CHECK(*at % kBlockBytes == 0);
    seen.insert(*at);
  }
  CHECK(seen.size() == kSuperblockCopies);
  CHECK_FALSE(layout.offset(superblock_cell(), Twin{3}).has_value());
}

TEST_CASE("layout_refuses_cells_that_the_geometry_lacks") {
  const auto g = samples::geometry();
  const Layout layout(g);
  CHECK_FALSE(layout.offset(slot_cell(HostId{0}), kTwinA));
  CHECK(layout.offset(slot_cell(HostId{16}), kTwinB));
  CHECK_FALSE(layout.offset(slot_cell(HostId{17}), kTwinA));
  CHECK_FALSE(layout.offset(slot_cell(HostId{1}), Twin{2}));
  CHECK_FALSE(layout.offset(directory_cell(DomainId{5}), kTwinA));
  CHECK(layout.offset(ballot_cell(g, DomainId{1}, HostId{1}), kTwinA));
  CHECK(layout.offset(ballot_cell(g, DomainId{4}, HostId{16}), kTwinB));
  CHECK_FALSE(layout.offset({Region::ballot, 16}, kTwinA));
  CHECK_FALSE(layout.offset({Region::ballot, 16 * 5 + 1}, kTwinA));
}

TEST_CASE("geometry_out_of_range_is_refused") {
  CHECK(check_geometry(samples::geometry()));
  CHECK_FALSE(check_geometry(geometry(1, 1, 8, 8)));
  CHECK_FALSE(check_geometry(geometry(2001, 1, 8, 8)));
  CHECK_FALSE(check_geometry(geometry(3, 0, 8, 8)));
  CHECK_FALSE(check_geometry(geometry(3, 251, 8, 8)));
  CHECK_FALSE(check_geometry(geometry(3, 1, 3, 8)));
  CHECK_FALSE(check_geometry(geometry(3, 1, 8, 1025)));
  auto g = samples::geometry();
  g.volume_uuid = {};
  CHECK_FALSE(check_geometry(g));
  g = samples::geometry();
  g.cluster.clear();
  CHECK_FALSE(check_geometry(g));
}

TEST_CASE("superblock_round_trip_and_refusals") {
  const Superblock held{samples::geometry(),
                        {VolumeUse::held, 0x1122334455667788, std::string(200, 'p'),
                         std::string(64, 'n'), samples::bits(5)}};
  const auto bytes = encode_superblock(held);
  CHECK(bytes.size() <= kHeadPayload);
  const auto back = decode_superblock(bytes);
  REQUIRE(back.has_value());
  CHECK(back.value() == held);
  for (std::size_t length = 0; length < bytes.size(); ++length)
    REQUIRE_FALSE(decode_superblock(View(bytes).first(length)));
  auto longer = bytes;
  longer.push_back(0);
  CHECK_FALSE(decode_superblock(longer));
  const auto refused = [](const Superblock& bad) {
    CHECK_FALSE(decode_superblock(encode_superblock(bad)));
  };
  auto bad = samples::geometry();
  bad.hosts = 5000;
  refused({bad, {}});
  bad = samples::geometry();
  bad.l_late_ms = kMaxTimeMs + 1;
  refused({bad, {}});
  const auto g = samples::geometry();
  refused({g, {VolumeUse::in_use, 7, "", "", {}}});
  refused({g, {VolumeUse::in_use, 0, "/new", "", {}}});
  refused({g, {VolumeUse::in_use, 0, "", "n1", {}}});
  refused({g, {VolumeUse::held, 0, "/new", "n1", {}}});
  refused({g, {VolumeUse::moved, 7, "", "n1", {}}});
  refused({g, {VolumeUse::incoming, 7, "", "n1", {}}});
  CHECK(decode_superblock(encode_superblock({g, {}})).value() == Superblock{g, {}});
}

TEST_CASE("ballot_owner_is_the_inverse_of_ballot_cell") {
  const auto g = samples::geometry();
  for (std::uint16_t domain = 1; domain <= g.domains; ++domain)
    for (std::uint16_t host = 1; host <= g.hosts; ++host) {
      const auto owner = ballot_owner(g, ballot_cell(g, DomainId{domain}, HostId{host}));
      REQUIRE(owner.domain == DomainId{domain});
      REQUIRE(owner.host == HostId{host});
    }
  CHECK(region_named("ballot") == Region::ballot);
  CHECK_FALSE(region_named("ballots"));
}
