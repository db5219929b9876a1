// A byte stream from the other side of the keeper's socket, and single frames of both directions.
#include "libha/core/check.hpp"
#include "libha/wire/keeper_protocol.hpp"
#include "targets.hpp"

using namespace wardom;
using namespace wardom::wire;

namespace {

template <class Decode>
void look(View frame, Decode decode) {
  const auto message = decode(frame);
  if (!message) return;
  const Bytes again = encode_frame(message.value());
  WARDOM_CHECK(decode(View(again).subspan(4)).value() == message.value());
}

constexpr auto daemon_frame = [](View frame) { return decode_daemon_frame(frame); };
constexpr auto keeper_frame = [](View frame) { return decode_keeper_frame(frame); };

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const View bytes{data, size};
  look(bytes, daemon_frame);
  look(bytes, keeper_frame);
  FrameReader reader;
  const std::size_t half = size / 2;
  for (View part : {bytes.first(half), bytes.subspan(half)}) {
    reader.feed(part);
    while (auto frame = reader.next()) {
      look(*frame, daemon_frame);
      look(*frame, keeper_frame);
    }
  }
  return 0;
}
