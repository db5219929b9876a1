// A datagram from anyone, and one whose hash is right: the second reaches the fields.
#include <algorithm>

#include "libha/core/check.hpp"
#include "libha/wire/beat.hpp"
#include "targets.hpp"

using namespace wardom;
using namespace wardom::wire;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Key key{{}};
  const HostId self{9};
  [[maybe_unused]] const auto stranger = decode_beat(key, {data, size}, self, Link::mgmt);
  if (size < kBeatBytes) return 0;
  Bytes signed_beat(data, data + kBeatBytes);
  const auto hash = key.beat_hash(View(signed_beat).first(kBeatBytes - kBeatHashBytes));
  std::copy(hash.begin(), hash.end(), signed_beat.end() - kBeatHashBytes);
  const auto beat = decode_beat(key, signed_beat, self, Link::mgmt);
  if (beat) WARDOM_CHECK(encode_beat(key, beat.value()) == signed_beat);
  return 0;
}
