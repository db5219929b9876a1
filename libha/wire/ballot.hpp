// The payload of a ballot cell: a host's part in deciding who owns a domain's lock.
#pragma once

#include "libha/core/records.hpp"
#include "libha/core/result.hpp"
#include "libha/wire/block.hpp"

namespace wardom::wire {

// Everything but a second directory stands in the extent's head, which cannot tear: a directory of
// kMaxProposers takes 258 bytes, and the ballot's own one is written only where it differs.
//
// Error: a directory that is too long or not ordered by host id, a host id or weight out of range,
// fields that contradict one another (bal above mbal, a value without its version).
// `level`: that of the head, one that is spoken.
Result<Bytes> encode_ballot(const Ballot& ballot, Level level = spoken_levels().newest);
Result<Ballot> decode_ballot(View payload, Level level = spoken_levels().newest);

}  // namespace wardom::wire
