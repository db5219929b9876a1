// libvirt's states and lifecycle events in our words. Pure tables.
#pragma once

#include <map>
#include <optional>

#include "libha/port/hypervisor.hpp"

namespace wardom::libvirt {

struct StateAndCause {
  port::RunState state{port::RunState::unknown};
  port::StopCause cause{port::StopCause::none};
  friend bool operator==(const StateAndCause&, const StateAndCause&) = default;
};

// From virDomainGetState. libvirt forgets whether a shutdown came from inside the guest or from a
// signal, so a shutdown seen only afterwards has the cause `unknown`.
StateAndCause from_state(int state, int reason);

// There is a QEMU of it.
bool is_active(port::RunState state);

// Lifecycle events. Remembers per guest who asked for a shutdown, which only the SHUTDOWN event
// tells, until STOPPED.
class LifecycleTable {
 public:
  // nullopt: the event says nothing about running (DEFINED, UNDEFINED, unknown types).
  std::optional<StateAndCause> on_event(const GuestId& guest, int event, int detail);
  // After a reconnection nothing that was seen before counts.
  void forget() { shutdown_detail_.clear(); }

 private:
  port::StopCause stopped(const GuestId& guest, int detail);
  std::map<GuestId, int> shutdown_detail_;
};

}  // namespace wardom::libvirt
