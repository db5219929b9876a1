#include "libha/core/check.hpp"
#include "libha/wire/superblock.hpp"
#include "targets.hpp"

using namespace wardom;
using namespace wardom::wire;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto geometry = decode_superblock({data, size});
  // What decodes is laid out the same again, byte for byte.
  if (geometry) {
    const Bytes again = encode_superblock(geometry.value());
    WARDOM_CHECK(again == Bytes(data, data + size));
  }
  return 0;
}
