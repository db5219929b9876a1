// What the real time from the last feed to the reset may depend on, as one number.
#pragma once

#include <cstdint>
#include <string>

#include "libha/core/time.hpp"

namespace wardom::watchdog {

// The machine's part: BIOS vendor, version and date (/sys/class/dmi/id), kernel release and build
// (uname(2)). Empty where the machine has none.
struct Platform {
  std::string bios;
  std::string kernel;
};
Platform read_platform();

// Equal only (but for chance) where driver, its firmware version, BIOS, kernel and timeout are.
// Stable over releases of Wardom. Never 0: that means "no watchdog" in a slot.
std::uint64_t fingerprint(const std::string& driver, std::uint32_t firmware,
                          const Platform& platform, Duration timeout);

}  // namespace wardom::watchdog
