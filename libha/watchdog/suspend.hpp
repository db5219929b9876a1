// Suspend stops a watchdog and the clock that the lease counts by, and both go on where they were:
// a host that sleeps through its window would live beyond it.
#pragma once

#include <string>

namespace wardom::watchdog {

// Nothing here puts the machine to sleep: the kernel cannot (/sys/power/state), or systemd's
// sleep.target is masked, which all of its ways to sleep pass. `root` stands before both paths. A
// suspend by hand is left to the feeding thread, which takes a jump of the clocks as a lapse.
bool suspend_is_excluded(const std::string& root = "");

}  // namespace wardom::watchdog
