#include "libha/wire/block.hpp"

#include <algorithm>

#include "libha/core/check.hpp"
#include "libha/wire/crc32c.hpp"

namespace wardom::wire {
namespace {

bool all_zero(View bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](auto b) { return b == 0; });
}

std::uint32_t crc_at(View bytes, std::size_t at) { return Reader(bytes.subspan(at, 4)).u32(); }

// The body's CRC covers the repeated sequence and the length too, so that a body of one write
// never passes under the head of another.
std::uint32_t body_crc(std::uint64_t sequence, View rest) {
  Writer covered;
  covered.u64(sequence);
  covered.u32(static_cast<std::uint32_t>(rest.size()));
  covered.bytes(rest);
  return crc32c(covered.view());
}

bool is_known(std::uint16_t version, Region region) {
  if (region == Region::superblock) return version == kFormatVersion;
  return version <= 0xff && spoken_levels().has(Level{static_cast<std::uint8_t>(version)});
}

bool belongs(const Head& head, const Expected& expected) {
  return (!expected.volume || head.volume == *expected.volume) && head.cell == expected.cell &&
         head.twin == expected.twin;
}

}  // namespace

const char* to_text(ExtentState state) {
  switch (state) {
    case ExtentState::valid: return "valid";
    case ExtentState::empty: return "empty";
    case ExtentState::torn: return "torn";
    case ExtentState::damaged: return "damaged";
    case ExtentState::foreign: return "foreign";
    case ExtentState::unknown_version: return "unknown version";
    case ExtentState::unreadable: return "unreadable";
  }
  return "?";
}

std::size_t blocks_needed(std::size_t payload_bytes) {
  const std::size_t rest = payload_bytes > kHeadPayload ? payload_bytes - kHeadPayload : 0;
  return (kHeadBytes + kBodyFieldBytes + rest + kBlockBytes - 1) / kBlockBytes;
}

Bytes encode_extent(const Head& head, View payload) {
  const std::size_t in_head = std::min(payload.size(), kHeadPayload);
  const View rest = payload.subspan(in_head);
  Writer out;
  out.u64(kBlockMagic);
  out.u16(head.level.value);
  out.u8(static_cast<std::uint8_t>(head.cell.region));
  out.u8(head.twin.value);
  out.u32(head.cell.index);
  out.bits(head.volume);
  out.u16(head.writer.value);
  out.u8(head.speaks.oldest.value);
  out.u8(head.speaks.newest.value);
  out.u32(static_cast<std::uint32_t>(payload.size()));
  out.incarnation(head.incarnation);
  out.u64(head.sequence.value);
  out.u16(head.domain.value);
  out.zeros(6);
  WARDOM_CHECK(out.size() == kHeadFieldBytes);
  out.bytes(payload.first(in_head));
  out.zeros(kHeadPayload - in_head);
  out.u32(crc32c(out.view()));
  WARDOM_CHECK(out.size() == kHeadBytes);
  out.u64(head.sequence.value);
  out.u32(static_cast<std::uint32_t>(rest.size()));
  out.u32(body_crc(head.sequence.value, rest));
  out.bytes(rest);
  out.zeros(blocks_needed(payload.size()) * kBlockBytes - out.size());
  return out.take();
}

Extent decode_head(View first_block, const Expected& expected) {
  Extent extent;
  if (first_block.size() < kBlockBytes) return extent;
  const View head_bytes = first_block.first(kHeadBytes);
  if (all_zero(head_bytes)) {
    const bool body_too = all_zero(first_block.subspan(kHeadBytes, kBodyFieldBytes));
    extent.state = body_too ? ExtentState::empty : ExtentState::torn;
    return extent;
  }
  Reader in(head_bytes);
  const auto magic = in.u64();
  const auto version = in.u16();
  // The CRC stands at the same place in every version, so a whole head of a later one is told from
  // a damaged head of this one.
  if (magic != kBlockMagic || crc32c(head_bytes.first(kHeadBytes - 4)) !=
                                  crc_at(head_bytes, kHeadBytes - 4)) {
    extent.state = ExtentState::damaged;
    return extent;
  }
  Head& head = extent.head;
  head.level = Level{static_cast<std::uint8_t>(version)};
  head.cell.region = in.enumeration(Region::table);
  head.twin = Twin{in.u8()};
  head.cell.index = in.u32();
  head.volume = in.bits();
  head.writer = HostId{in.u16()};
  head.speaks.oldest = Level{in.u8()};
  head.speaks.newest = Level{in.u8()};
  const auto payload_bytes = in.u32();
  const auto incarnation = in.incarnation();
  head.sequence = Sequence{in.u64()};
  head.domain = DomainId{in.u16()};
  in.zeros(6);
  const bool known = is_known(version, expected.cell.region);
  if (known) head.payload_bytes = payload_bytes, head.incarnation = incarnation;
  if (in.failed() || head.speaks.oldest > head.speaks.newest)
    extent.state = known ? ExtentState::damaged : ExtentState::unknown_version;
  else if (!belongs(head, expected))
    extent.state = ExtentState::foreign;
  else
    extent.state = known ? ExtentState::valid : ExtentState::unknown_version;
  return extent;
}

Extent decode_extent(View image, const Expected& expected) {
  Extent extent = decode_head(image.first(std::min(image.size(), kBlockBytes)), expected);
  if (extent.state != ExtentState::valid) return extent;
  const std::size_t total = extent.head.payload_bytes;
  const std::size_t in_head = std::min(total, kHeadPayload);
  const std::size_t in_body = total - in_head;
  if (in_body == 0) {  // the head, which cannot tear, says all there is
    const View all = image.subspan(kHeadFieldBytes, in_head);
    extent.payload.assign(all.begin(), all.end());
    return extent;
  }
  extent.state = ExtentState::torn;
  if (blocks_needed(total) * kBlockBytes > image.size()) return extent;
  Reader body(image.subspan(kHeadBytes));
  const auto sequence = body.u64();
  const auto length = body.u32();
  const auto crc = body.u32();
  const View rest = body.take(in_body);
  if (body.failed() || sequence != extent.head.sequence.value || length != in_body ||
      crc != body_crc(sequence, rest))
    return extent;
  const View start = image.subspan(kHeadFieldBytes, in_head);
  extent.payload.assign(start.begin(), start.end());
  extent.payload.insert(extent.payload.end(), rest.begin(), rest.end());
  extent.state = ExtentState::valid;
  return extent;
}

namespace {

// Which reason to name when no twin is valid: the one that leaves most unknown.
int gravity(ExtentState state) {
  switch (state) {
    case ExtentState::valid: return 0;
    case ExtentState::empty: return 1;
    case ExtentState::foreign: return 2;
    case ExtentState::unknown_version: return 3;
    case ExtentState::torn: return 4;
    case ExtentState::damaged: return 5;
    case ExtentState::unreadable: return 6;
  }
  return 6;
}

bool usable(ExtentState state) {
  return state == ExtentState::valid || state == ExtentState::empty;
}

}  // namespace

bool bars_writing(const Extent& a, const Extent& b) {
  const auto bars = [](const Extent& one, const Extent& other) {
    const bool overtaken = one.head.level < spoken_levels().oldest &&
                           other.state == ExtentState::valid &&
                           other.head.sequence > one.head.sequence;
    return one.state == ExtentState::unknown_version && !overtaken;
  };
  return bars(a, b) || bars(b, a);
}

bool first_write_torn(const Extent& a, const Extent& b) {
  return (a.state == ExtentState::torn && b.state == ExtentState::empty) ||
         (a.state == ExtentState::empty && b.state == ExtentState::torn);
}

Choice choose(const Extent& a, const Extent& b) {
  const bool a_valid = a.state == ExtentState::valid;
  const bool b_valid = b.state == ExtentState::valid;
  Choice choice;
  if (!a_valid && !b_valid) {
    choice.state = gravity(a.state) >= gravity(b.state) ? a.state : b.state;
    choice.twin_damaged = !usable(a.state) || !usable(b.state);
    return choice;
  }
  const bool take_a = a_valid && (!b_valid || a.head.sequence >= b.head.sequence);
  const Extent& best = take_a ? a : b;
  const Extent& other = take_a ? b : a;
  if (other.state == ExtentState::unknown_version && other.head.sequence > best.head.sequence) {
    choice.state = ExtentState::unknown_version;
    choice.twin_damaged = true;
    return choice;
  }
  choice.twin = take_a ? kTwinA : kTwinB;
  choice.state = ExtentState::valid;
  choice.twin_damaged = !usable(other.state) && other.state != ExtentState::unknown_version;
  return choice;
}

}  // namespace wardom::wire
