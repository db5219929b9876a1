// A host table as packed on the volume, and the input packed on the way in: the second reaches the
// fields behind zstd.
#include <zstd.h>

#include "libha/core/check.hpp"
#include "libha/wire/block.hpp"
#include "libha/wire/layout.hpp"
#include "libha/wire/table.hpp"
#include "targets.hpp"

using namespace wardom;
using namespace wardom::wire;

namespace {

void look(View payload) {
  const auto table = decode_table(payload);
  if (!table) return;
  const auto again = encode_table(table.value(), extent_payload(kMaxTableBlocks));
  if (!again) return;  // larger than any extent
  WARDOM_CHECK(decode_table(again.value()).value() == table.value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  look({data, size});
  Bytes packed(ZSTD_compressBound(size));
  packed.resize(ZSTD_compress(packed.data(), packed.size(), data, size, 1));
  look(packed);
  return 0;
}
