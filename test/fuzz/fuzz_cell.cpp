// An extent as any storage might return it, and the same with the head's CRC made right.
#include <algorithm>

#include "libha/core/check.hpp"
#include "libha/wire/block.hpp"
#include "libha/wire/crc32c.hpp"
#include "targets.hpp"

using namespace wardom;
using namespace wardom::wire;

namespace {

void look(View image) {
  const Expected here{std::nullopt, {Region::table, 1}, kTwinA};
  const auto extent = decode_extent(image, here);
  if (extent.state != ExtentState::valid) {
    WARDOM_CHECK(extent.payload.empty());
    return;
  }
  WARDOM_CHECK(extent.payload.size() == extent.head.payload_bytes);
  const auto again = decode_extent(encode_extent(extent.head, extent.payload), here);
  WARDOM_CHECK(again.state == ExtentState::valid && again.payload == extent.payload);
  WARDOM_CHECK(again.head == extent.head);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes image(data, data + size);
  // Short inputs are worth as much as long ones: fill up to a block.
  if (image.size() < kBlockBytes) image.resize(kBlockBytes);
  look(image);
  Writer crc;
  crc.u32(crc32c(View(image).first(kHeadBytes - 4)));
  std::copy(crc.view().begin(), crc.view().end(), image.begin() + kHeadBytes - 4);
  look(image);
  return 0;
}
