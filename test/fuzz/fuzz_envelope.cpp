#include "libha/core/check.hpp"
#include "libha/wire/envelope.hpp"
#include "targets.hpp"

using namespace wardom;
using namespace wardom::wire;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Key key{{}};
  const View bytes{data, size};
  const auto opened = open(key, bytes);
  if (opened) {
    const Bytes again = seal(key, opened.value().level, opened.value().kind, opened.value().bytes);
    WARDOM_CHECK(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
  }
  if (size + kEnvelopeOverhead <= kMaxSealedBytes)
    WARDOM_CHECK(open(key, seal(key, kFirstLevel, MessageKind{1}, bytes)).has_value());
  return 0;
}
