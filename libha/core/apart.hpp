// Standing apart: a host that hears nobody of its domain on either link, that nobody hears, and
// that can still use the state volume, while the others go on without it. What happens to its
// guests then is each guest's isolation response (records.hpp, isolation.cpp).
//
// A rule over fresh beats and slots: as far as this host can know. It is strict, since guests that
// run well are ended by it; nothing is lost where it does not hold but the response. Pure.
#pragma once

#include "libha/core/board.hpp"
#include "libha/core/evidence.hpp"

namespace wardom::core {

// What the rule needs to know of this host itself.
struct OwnStanding {
  bool able{false};     // own heartbeats are acknowledged in time, and own reads complete
  bool decides{false};  // this host decides
};

// The others go on without this host where a majority of the domain exchanges beats among itself,
// by its slots, and the lock's owner is with them: so its guests can be started elsewhere. A switch
// that fails for everybody leaves every host alone and ends no guest.
bool stands_apart(const Evidence& evidence, const Board& board, const OwnStanding& own,
                  Instant now);

}  // namespace wardom::core
