// `wardomctl volume dump` and `show` on a volume that holds the input in every region: as it is,
// and as the payload of a write that passes its checks.
#include <algorithm>
#include <cstring>
#include <memory>

#include "agents/wardomctl/volume_json.hpp"
#include "libha/core/check.hpp"
#include "libha/disk/survey.hpp"
#include "libha/wire/superblock.hpp"
#include "targets.hpp"
#include "wire_samples.hpp"

using namespace wardom;
using wire::Offset;

namespace {

class MemoryIo final : public disk::BlockIo {
 public:
  explicit MemoryIo(Offset size) : bytes_(size) {}
  Result<void> read(Offset at, std::span<std::uint8_t> into) override {
    if (at + into.size() > bytes_.size()) return failure("the volume ends here");
    std::memcpy(into.data(), bytes_.data() + at, into.size());
    return success();
  }
  Result<void> write(Offset at, std::span<const std::uint8_t> from) override {
    std::memcpy(bytes_.data() + at, from.data(), std::min(from.size(), bytes_.size() - at));
    return success();
  }
  Offset size() const override { return bytes_.size(); }

 private:
  std::vector<std::uint8_t> bytes_;
};

Geometry geometry() {
  auto g = samples::geometry();
  g.hosts = 2;
  g.domains = 1;
  g.decision_blocks = wire::kMinDecisionBlocks;
  g.table_blocks = wire::kMinTableBlocks;
  return g;
}

wire::Head head_of(const Cell& cell, wire::Twin twin) {
  wire::Head head;
  head.volume = geometry().volume_uuid;
  head.cell = cell;
  head.twin = twin;
  head.writer = HostId{1};
  head.sequence = Sequence{5};
  return head;
}

const disk::VolumeFile& volume() {
  static const auto opened = [] {
    auto io = std::make_shared<MemoryIo>(wire::Layout(geometry()).size());
    for (std::uint8_t copy = 0; copy < wire::kSuperblockCopies; ++copy) {
      const wire::Twin twin{copy};
      const auto image = wire::encode_extent(head_of(wire::superblock_cell(), twin),
                                             wire::encode_superblock({geometry(), {}}));
      WARDOM_CHECK(io->write(wire::kSuperblockOffsets[copy], image));
    }
    return disk::VolumeFile::over(io, "memory", {}).value();
  }();
  return opened;
}

void look() {
  for (const auto region : wire::kPairRegions)
    for (const auto& cell : disk::cells_in_use(volume(), region))
      for (const auto twin : {wire::kTwinA, wire::kTwinB}) {
        const auto found = disk::look_at(volume(), cell, twin);
        WARDOM_CHECK(found.has_value());
        boost::json::object owner;
        ctl::add_owner(owner, geometry(), cell);
        if (found->extent.state != wire::ExtentState::valid) continue;
        const auto record = ctl::record_json(region, found->extent.payload,
                                             found->extent.head.level);
        WARDOM_CHECK(record.is_null() == !found->fault.empty());
      }
  disk::survey(volume());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto& layout = volume().layout();
  for (const auto region : wire::kPairRegions) {
    const auto& place = layout.place(region);
    const Cell cell{region, place.first};
    const std::size_t room = place.blocks * wire::kBlockBytes;
    const wire::View input(data, std::min(size, wire::extent_payload(place.blocks)));
    wire::Bytes as_it_is(room, 0);
    std::copy_n(input.begin(), std::min(input.size(), room), as_it_is.begin());
    auto as_payload = wire::encode_extent(head_of(cell, wire::kTwinB), input);
    as_payload.resize(room);
    WARDOM_CHECK(volume().io()->write(*layout.offset(cell, wire::kTwinA), as_it_is));
    WARDOM_CHECK(volume().io()->write(*layout.offset(cell, wire::kTwinB), as_payload));
  }
  look();
  return 0;
}
