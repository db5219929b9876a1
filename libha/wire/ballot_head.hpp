// What of a ballot stands in its extent's head, for a cell whose body was torn.
#pragma once

#include "libha/core/records.hpp"
#include "libha/core/result.hpp"
#include "libha/wire/block.hpp"

namespace wardom::wire {

// All but the value that is proposed: its directory may go on in the body. So `bal` and `input` are
// empty; what was decided and what was promised is there. `head_payload`: the first kHeadPayload
// bytes of a payload that does not end there.
Result<Ballot> decode_ballot_head(View head_payload, Level level = spoken_levels().newest);

}  // namespace wardom::wire
