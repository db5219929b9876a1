// An authenticated envelope for ring messages, and for any datagram that is not a beat. It says who
// may have written the bytes (someone with the cluster's key) and what kind they are; against
// replay the content itself carries sequences, as its kind requires.
#pragma once

#include <boost/outcome/result.hpp>

#include "libha/wire/bytes.hpp"
#include "libha/wire/key.hpp"
#include "libha/wire/level.hpp"

namespace wardom::wire {

inline constexpr std::uint32_t kEnvelopeMagic = 0x53574457;  // "WDWS"
inline constexpr std::size_t kEnvelopeOverhead = 12 + kMessageHashBytes;
inline constexpr std::size_t kMaxSealedBytes = 60 * 1024;  // port/ring.hpp, kMaxRingMessageBytes

enum class EnvelopeError : std::uint8_t { too_short, too_long, bad_magic, unknown_version,
                                          bad_length, bad_hash };
const char* to_text(EnvelopeError error);

template <class T>
using EnvelopeResult =
    boost::outcome_v2::basic_result<T, EnvelopeError, boost::outcome_v2::policy::terminate>;

// What the bytes inside are. Each user of envelopes names its kinds; 0 is none.
using MessageKind = Number<struct MessageKindTag, std::uint16_t>;

struct Opened {
  Level level;
  MessageKind kind;
  View bytes;  // inside the sealed buffer
};

// At most kMaxSealedBytes - kEnvelopeOverhead bytes, in a level that is spoken: checked.
Bytes seal(const Key& key, Level level, MessageKind kind, View bytes);
EnvelopeResult<Opened> open(const Key& key, View sealed);

}  // namespace wardom::wire
