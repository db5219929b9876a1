// What fence_wardom does. Composes requests and waits; wardomd decides what is proved. Where no
// wardomd runs here, the BMC is asked by this program (libha/doc/decisions/0016).
#pragma once

#include <chrono>

#include "fencing/parameters.hpp"

namespace wardom::fencing {

using Clock = std::chrono::steady_clock;

// Ends before began + power_timeout. Returns the exit code: 0 done, or on; 1 failed; 2 off.
int run(const Request& request, Clock::time_point began);

}  // namespace wardom::fencing
