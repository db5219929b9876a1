#include "libha/core/check.hpp"
#include "libha/wire/slot.hpp"
#include "targets.hpp"

using namespace wardom;
using namespace wardom::wire;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto slot = decode_slot({data, size});
  if (slot) {
    const Bytes again = encode_slot(slot.value());
    WARDOM_CHECK(again == Bytes(data, data + size));
  }
  return 0;
}
