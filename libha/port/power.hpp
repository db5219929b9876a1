// Port: the power state of hosts, by their BMCs.
//
// Calls return at once; each ask() and power_off() is answered by exactly one reading event, from
// the adapter's thread, within the configured time limit. A BMC is asked one thing at a time.
#pragma once

#include <functional>
#include <string>

#include "libha/core/ids.hpp"

namespace wardom::port {

// "Unreachable", "reset" and any error are `unknown`, never `off`.
enum class PowerState : std::uint8_t { unknown, on, off };

struct PowerReading {
  Ticket ticket;
  HostId host;
  PowerState state{PowerState::unknown};
  std::string error;  // for people; empty when the BMC answered
};

// How a power-off request was taken. Acceptance proves nothing: read the state until it is off.
struct PowerOffSent {
  Ticket ticket;
  HostId host;
  bool accepted{false};
  std::string error;
};

struct PowerEvents {
  std::function<void(PowerReading)> reading;
  std::function<void(PowerOffSent)> off_sent;
};

class Power {
 public:
  virtual void ask(Ticket ticket, HostId host) = 0;
  virtual void power_off(Ticket ticket, HostId host) = 0;

 protected:
  ~Power() = default;
};

}  // namespace wardom::port
