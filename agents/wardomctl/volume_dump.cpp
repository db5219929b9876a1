// `wardomctl volume dump`: cells as they stand, one extent after another.
#include <algorithm>
#include <cstdio>
#include <iostream>

#include "agents/wardomctl/print.hpp"
#include "agents/wardomctl/volume_common.hpp"
#include "agents/wardomctl/volume_json.hpp"
#include "libha/disk/block_io.hpp"
#include "libha/disk/survey.hpp"

namespace wardom::ctl {
namespace {

namespace json = boost::json;

constexpr std::size_t kRawLine = 16;

// A cell without such an owner is not chosen by --host or --domain.
bool chosen(const VolumeOptions& options, const Geometry& geometry, const Cell& cell) {
  json::object owner;
  add_owner(owner, geometry, cell);
  const auto matches = [&](const char* key, std::uint16_t wanted) {
    return wanted == 0 || owner[key] == json::value(wanted);
  };
  return matches("host", options.host) && matches("domain", options.domain);
}

json::object extent_json(const Geometry& geometry, const Cell& cell, wire::Twin twin,
                         const disk::Look& look) {
  const auto& extent = look.extent;
  const bool valid = extent.state == wire::ExtentState::valid;
  const bool torn = extent.state == wire::ExtentState::torn;
  json::object out{{"region", wire::to_text(cell.region)}, {"index", cell.index}};
  add_owner(out, geometry, cell);
  out["extent"] = twin.value;
  out["offset"] = look.offset;
  out["state"] = wire::to_text(extent.state);
  out["fault"] = look.fault.empty() ? json::value() : json::value(look.fault);
  const bool head = valid || (torn && extent.head.sequence.value != 0);
  out["writer"] = head ? json::value(extent.head.writer.value) : json::value();
  out["incarnation"] = head ? json::value(to_text(extent.head.incarnation)) : json::value();
  out["incarnation_id"] = head ? json::value(to_hex(extent.head.incarnation.id)) : json::value();
  out["sequence"] = head ? json::value(extent.head.sequence.value) : json::value();
  const bool whole = head || extent.state == wire::ExtentState::unknown_version;
  out["level"] = whole ? json::value(extent.head.level.value) : json::value();
  out["payload_bytes"] = head ? json::value(extent.head.payload_bytes) : json::value();
  out["record"] =
      valid ? record_json(cell.region, extent.payload, extent.head.level) : json::value();
  return out;
}

// As far as its payload reaches, at least one block.
Result<disk::Buffer> raw_bytes(const disk::VolumeFile& volume, const Cell& cell,
                               const disk::Look& look) {
  const auto& head = look.extent.head;
  const std::size_t most = volume.layout().blocks(cell.region);
  const auto blocks = std::clamp<std::size_t>(wire::blocks_needed(head.payload_bytes), 1, most);
  disk::Buffer image(blocks * wire::kBlockBytes);
  if (auto done = volume.io()->read(look.offset, image.bytes()); !done)
    return failure(done.error().message);
  return image;
}

void print_raw(wire::View bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += kRawLine) {
    const auto line = bytes.subspan(at, std::min(kRawLine, bytes.size() - at));
    char offset[24];
    std::snprintf(offset, sizeof offset, "%08zx ", at);
    std::cout << offset;
    std::string text;
    for (const auto b : line) {
      std::cout << " " << to_hex_text({&b, 1});
      text += b >= 0x20 && b < 0x7f ? static_cast<char>(b) : '.';
    }
    std::cout << "  |" << text << "|\n";
  }
}

class Dumper {
 public:
  Dumper(const VolumeOptions& options, const disk::VolumeFile& volume)
      : options_(options), volume_(volume) {}

  int run() {
    const auto& g = volume_.geometry();
    const auto named = wire::region_named(options_.region);
    if (named) {
      // A cell that is named whole is printed also where it is empty.
      if (const auto cell = named_cell(options_, *named, g)) return one(*cell);
    }
    if (!named || *named == Region::superblock) all(wire::superblock_cell(), false);
    for (const auto region : wire::kPairRegions)
      if (!named || *named == region)
        for (const auto& cell : disk::cells_in_use(volume_, region)) all(cell, false);
    return code_;
  }

 private:
  int one(const Cell& cell) {
    if (!volume_.layout().offset(cell, wire::kTwinA))
      return fail(kUsage, "the volume has no such cell: it was formatted for " +
                              std::to_string(volume_.geometry().hosts) + " hosts and " +
                              std::to_string(volume_.geometry().domains) + " domains");
    all(cell, true);
    return code_;
  }

  void all(const Cell& cell, bool empty_too) {
    if (!chosen(options_, volume_.geometry(), cell)) return;
    const std::size_t twins = cell.region == Region::superblock ? wire::kSuperblockCopies : 2;
    for (std::uint8_t i = 0; i < twins; ++i) {
      const auto look = disk::look_at(volume_, cell, wire::Twin{i});
      if (look->extent.state == wire::ExtentState::empty && !empty_too) continue;
      extent(cell, wire::Twin{i}, *look);
    }
  }

  void extent(const Cell& cell, wire::Twin twin, const disk::Look& look) {
    auto out = extent_json(volume_.geometry(), cell, twin, look);
    std::optional<disk::Buffer> raw;
    if (options_.raw) {
      if (auto read = raw_bytes(volume_, cell, look))
        raw = std::move(read).value();
      else
        code_ = fail(kFailed, read.error().message);
    }
    if (options_.as_json) {
      if (raw) out["raw_hex"] = to_hex_text(std::as_const(*raw).bytes());
      std::cout << out << "\n";
      return;
    }
    std::cout << print_plain(out, Paint(stdout_takes_colours()));
    if (raw) print_raw(std::as_const(*raw).bytes());
    std::cout << "\n";
  }

  const VolumeOptions& options_;
  const disk::VolumeFile& volume_;
  int code_{kDone};
};

}  // namespace

int volume_dump(const VolumeOptions& options) {
  const auto opened = open_volume(options, disk::Access::read_only);
  if (!opened) return fail(kFailed, opened.error().message);
  return Dumper(options, *opened.value().volume).run();
}

}  // namespace wardom::ctl
