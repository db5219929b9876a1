// Beats on the wire: one authenticated datagram of kBeatBytes, addressed to one host on one link.
#pragma once

#include <boost/outcome/result.hpp>

#include "libha/core/records.hpp"
#include "libha/wire/bytes.hpp"
#include "libha/wire/key.hpp"
#include "libha/wire/level.hpp"

namespace wardom::wire {

inline constexpr std::uint32_t kBeatMagic = 0x54424457;  // "WDBT"
inline constexpr std::size_t kBeatBytes = 313;  // of 1200 that a datagram may have

// Why a datagram is not a beat for us. Each is counted by its reason; none is evidence of anything.
enum class BeatError : std::uint8_t {
  wrong_size,        // shorter or longer than a beat
  bad_magic,         // not a beat
  unknown_version,   // of a level that is not spoken here: refused, never guessed at
  bad_hash,          // another key, or changed on the way
  wrong_addressee,   // meant for another host: replayed or misrouted
  wrong_link,        // came over another link than it was sent on
  malformed,         // well signed, but a field is out of its range
};
const char* to_text(BeatError error);

template <class T>
using BeatResult =
    boost::outcome_v2::basic_result<T, BeatError, boost::outcome_v2::policy::terminate>;

// In the beat's own level. The addressee is beat.word's.
Bytes encode_beat(const Key& key, const Beat& beat);
// Makes an encoded beat one for another addressee: only address, word and hash differ.
void readdress_beat(const Key& key, Bytes& beat, const BeatWord& word);
// `self` and `link`: who received it, and over which link.
BeatResult<Beat> decode_beat(const Key& key, View datagram, HostId self, Link link);

// What a beat says in every level, at the same places: where its hash is good, and it is for us.
struct BeatHead {
  Level level;
  Levels speaks;
  HostId from;
};
BeatResult<BeatHead> decode_beat_head(const Key& key, View datagram, HostId self, Link link);

}  // namespace wardom::wire
