#include "libha/core/check.hpp"
#include "libha/wire/ballot.hpp"
#include "targets.hpp"

using namespace wardom;
using namespace wardom::wire;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto ballot = decode_ballot({data, size});
  if (ballot) {
    const auto again = encode_ballot(ballot.value());
    WARDOM_CHECK(again && again.value() == Bytes(data, data + size));
  }
  return 0;
}
