// Standing apart: this host is cut off from the hosts that decide, alone or with some others, and
// they are more than its own group; it can still use the state volume. What happens to its guests
// then is each guest's isolation response (records.hpp, isolation.cpp).
//
// A rule over fresh beats and slots: as far as this host can know. It is strict, since guests that
// run well are ended by it; nothing is lost where it does not hold but the response. Pure.
#pragma once

#include "libha/core/evidence.hpp"
#include "libha/core/groups.hpp"

namespace wardom::core {

// What the rule needs beside the evidence.
struct OwnStanding {
  bool able{false};     // own heartbeats are acknowledged in time, and own reads complete
  bool decides{false};  // this host decides
  HostId decider;       // whoever does, as far as is known; kNoHost: nobody
};

// The decider's group has more hosts than this host's, so its guests can be started elsewhere and
// will be. A switch that fails for everybody leaves every host alone, none with more than others,
// and ends no guest. A link that works in one direction only speaks against it as well: over there
// this host counts as alive.
bool stands_apart(const Evidence& evidence, const Groups& groups, const OwnStanding& own,
                  Instant now);

}  // namespace wardom::core
