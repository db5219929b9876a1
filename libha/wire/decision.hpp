// The payload of a decision cell: what a host has decided while it was decider.
#pragma once

#include "libha/core/records.hpp"
#include "libha/core/result.hpp"
#include "libha/wire/bytes.hpp"
#include "libha/wire/level.hpp"

namespace wardom::wire {

inline constexpr std::size_t kMaxVerdictDetailBytes = 200;
inline constexpr std::size_t kMaxEndedClaims = 1024;  // named in one assignment

// Error: a limit of records.hpp or the room of the extent (`capacity`, see extent_payload()) is
// exceeded; the message says which. Details longer than their limit are cut.
// In its own level.
Result<Bytes> encode_decision(const Decision& decision, std::size_t capacity);
// `level`: that of the head, one that is spoken.
Result<Decision> decode_decision(View payload, Level level = spoken_levels().newest);

}  // namespace wardom::wire
