// Port: the watchdog that resets this host when nobody feeds it any more.
//
// Wardom's lease rests on it: a host whose heartbeats are not acknowledged stops feeding at the end
// of its window, and is reset no later than W after its last feed, whatever its software does.
//
// Opening a watchdog and closing it both feed it once (watchdog-api.rst: "when the device is
// closed, the watchdog is not disabled"; the kernel's core pings it then). So whoever opens one
// does that inside the window, and nobody closes it: the descriptor is left to whoever keeps it
// over restarts of the keeper, and the destructor does not close.
#pragma once

#include <cstdint>
#include <string>

#include "libha/core/result.hpp"
#include "libha/core/time.hpp"

namespace wardom::port {

struct WatchdogFacts {
  std::string driver;             // as the driver names itself, for people
  Duration timeout{};             // nominal, as the driver confirmed it; not yet W
  // Everything that the real time to the reset may depend on: driver and its firmware, BIOS,
  // kernel, timeout. A measured W counts only for the fingerprint that it was measured with.
  std::uint64_t fingerprint{0};
  bool nowayout{false};           // the driver itself refuses to be disarmed
  bool lab{false};                // a program of the lab, which protects nobody
};

class Watchdog {
 public:
  virtual ~Watchdog() = default;
  // From now on the host lives for the timeout. One system call, no allocation, no lock. One thread
  // at a time. false: the driver refused; whether the time was extended is unknown.
  virtual bool feed() noexcept = 0;
  // Never changes. Any thread.
  virtual const WatchdogFacts& facts() const = 0;
  // What has to be kept open over a restart of the process; -1: nothing has to.
  virtual int descriptor() const = 0;
  // Ends the watch, for a host that has left in good order and runs no guest. It may refuse
  // (nowayout). Nothing else ever disarms.
  virtual Result<void> disarm() = 0;
};

}  // namespace wardom::port
