#include "libha/wire/envelope.hpp"

#include "libha/core/check.hpp"

namespace wardom::wire {

const char* to_text(EnvelopeError error) {
  switch (error) {
    case EnvelopeError::too_short: return "too short";
    case EnvelopeError::too_long: return "too long";
    case EnvelopeError::bad_magic: return "not a Wardom message";
    case EnvelopeError::unknown_version: return "unknown version";
    case EnvelopeError::bad_length: return "length does not match";
    case EnvelopeError::bad_hash: return "bad hash";
  }
  return "?";
}

Bytes seal(const Key& key, Level level, MessageKind kind, View bytes) {
  WARDOM_CHECK(spoken_levels().has(level));
  WARDOM_CHECK(bytes.size() <= kMaxSealedBytes - kEnvelopeOverhead);
  Writer out;
  out.u32(kEnvelopeMagic);
  out.u16(level.value);
  out.u16(kind.value);
  out.u32(static_cast<std::uint32_t>(bytes.size()));
  out.bytes(bytes);
  out.bytes(key.message_hash(out.view()));
  return out.take();
}

EnvelopeResult<Opened> open(const Key& key, View sealed) {
  if (sealed.size() < kEnvelopeOverhead) return EnvelopeError::too_short;
  if (sealed.size() > kMaxSealedBytes) return EnvelopeError::too_long;
  Reader in(sealed);
  if (in.u32() != kEnvelopeMagic) return EnvelopeError::bad_magic;
  const auto level = in.u16();
  if (level > 0xff || !spoken_levels().has(Level{static_cast<std::uint8_t>(level)}))
    return EnvelopeError::unknown_version;
  Opened opened;
  opened.level = Level{static_cast<std::uint8_t>(level)};
  opened.kind = MessageKind{in.u16()};
  if (in.u32() != sealed.size() - kEnvelopeOverhead) return EnvelopeError::bad_length;
  opened.bytes = in.take(sealed.size() - kEnvelopeOverhead);
  const View signed_part = sealed.first(sealed.size() - kMessageHashBytes);
  if (!equal_hash(key.message_hash(signed_part), sealed.last(kMessageHashBytes)))
    return EnvelopeError::bad_hash;
  return opened;
}

}  // namespace wardom::wire
