#include "libha/core/check.hpp"
#include "libha/wire/decision.hpp"
#include "targets.hpp"

using namespace wardom;
using namespace wardom::wire;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto decision = decode_decision({data, size});
  if (decision) {
    const auto again = encode_decision(decision.value(), size);
    WARDOM_CHECK(again && again.value() == Bytes(data, data + size));
  }
  return 0;
}
