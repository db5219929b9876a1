// The payload of a decision cell: what a host has decided while it was decider.
#pragma once

#include "libha/core/records.hpp"
#include "libha/core/result.hpp"
#include "libha/wire/bytes.hpp"

namespace wardom::wire {

inline constexpr std::size_t kMaxVerdictDetailBytes = 200;
inline constexpr std::size_t kMaxEndedClaims = 1024;  // named in one assignment

// Error: a limit of records.hpp or the room of the extent (`capacity`, see extent_payload()) is
// exceeded; the message says which. Details longer than their limit are cut.
Result<Bytes> encode_decision(const Decision& decision, std::size_t capacity);
Result<Decision> decode_decision(View payload);

}  // namespace wardom::wire
