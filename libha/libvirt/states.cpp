#include "libha/libvirt/states.hpp"

#include <libvirt/libvirt.h>

namespace wardom::libvirt {

using port::RunState;
using port::StopCause;

namespace {

StopCause shut_off_cause(int reason) {
  switch (reason) {
    case VIR_DOMAIN_SHUTOFF_DESTROYED: return StopCause::destroyed;
    case VIR_DOMAIN_SHUTOFF_CRASHED: return StopCause::crashed;
    case VIR_DOMAIN_SHUTOFF_MIGRATED: return StopCause::migrated;
    case VIR_DOMAIN_SHUTOFF_SAVED: return StopCause::saved;
    case VIR_DOMAIN_SHUTOFF_FAILED:
    case VIR_DOMAIN_SHUTOFF_DAEMON: return StopCause::failed;
    case VIR_DOMAIN_SHUTOFF_UNKNOWN:
    case VIR_DOMAIN_SHUTOFF_SHUTDOWN:
    case VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT: return StopCause::unknown;
  }
  return StopCause::unknown;
}

}  // namespace

StateAndCause from_state(int state, int reason) {
  switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED: return {RunState::running, StopCause::none};
    case VIR_DOMAIN_PAUSED:
      return {reason == VIR_DOMAIN_PAUSED_IOERROR ? RunState::paused_io_error : RunState::paused,
              StopCause::none};
    case VIR_DOMAIN_PMSUSPENDED: return {RunState::paused, StopCause::none};
    case VIR_DOMAIN_SHUTDOWN: return {RunState::in_shutdown, StopCause::none};
    case VIR_DOMAIN_SHUTOFF: return {RunState::shut_off, shut_off_cause(reason)};
    case VIR_DOMAIN_CRASHED: return {RunState::crashed, StopCause::crashed};
    case VIR_DOMAIN_NOSTATE: return {};
  }
  return {};
}

bool is_active(RunState state) {
  switch (state) {
    case RunState::running:
    case RunState::paused:
    case RunState::paused_io_error:
    case RunState::in_shutdown:
    case RunState::crashed: return true;  // crashed with on_crash=preserve: QEMU is still there
    case RunState::absent:
    case RunState::shut_off:
    case RunState::unknown: return false;
  }
  return false;
}

StopCause LifecycleTable::stopped(const GuestId& guest, int detail) {
  const auto asked = shutdown_detail_.find(guest);
  const int by = asked == shutdown_detail_.end() ? VIR_DOMAIN_EVENT_SHUTDOWN_FINISHED
                                                 : asked->second;
  shutdown_detail_.erase(guest);
  switch (detail) {
    case VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN:
      if (by == VIR_DOMAIN_EVENT_SHUTDOWN_GUEST) return StopCause::guest_shutdown;
      if (by == VIR_DOMAIN_EVENT_SHUTDOWN_HOST) return StopCause::host_signal;
      return StopCause::unknown;
    case VIR_DOMAIN_EVENT_STOPPED_DESTROYED: return StopCause::destroyed;
    case VIR_DOMAIN_EVENT_STOPPED_CRASHED: return StopCause::crashed;
    case VIR_DOMAIN_EVENT_STOPPED_MIGRATED: return StopCause::migrated;
    case VIR_DOMAIN_EVENT_STOPPED_SAVED: return StopCause::saved;
    case VIR_DOMAIN_EVENT_STOPPED_FAILED: return StopCause::failed;
    case VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT: return StopCause::unknown;
  }
  return StopCause::unknown;
}

std::optional<StateAndCause> LifecycleTable::on_event(const GuestId& guest, int event,
                                                      int detail) {
  switch (event) {
    case VIR_DOMAIN_EVENT_STARTED:
      shutdown_detail_.erase(guest);
      // An incoming migration: QEMU is there, but the guest runs elsewhere until RESUMED.
      if (detail == VIR_DOMAIN_EVENT_STARTED_MIGRATED) return StateAndCause{RunState::paused, {}};
      return StateAndCause{RunState::running, StopCause::none};
    case VIR_DOMAIN_EVENT_RESUMED: return StateAndCause{RunState::running, StopCause::none};
    case VIR_DOMAIN_EVENT_SUSPENDED:
      return StateAndCause{detail == VIR_DOMAIN_EVENT_SUSPENDED_IOERROR ? RunState::paused_io_error
                                                                       : RunState::paused,
                           StopCause::none};
    case VIR_DOMAIN_EVENT_PMSUSPENDED: return StateAndCause{RunState::paused, StopCause::none};
    case VIR_DOMAIN_EVENT_SHUTDOWN:
      shutdown_detail_[guest] = detail;
      return StateAndCause{RunState::in_shutdown, StopCause::none};
    case VIR_DOMAIN_EVENT_STOPPED:
      return StateAndCause{RunState::shut_off, stopped(guest, detail)};
    case VIR_DOMAIN_EVENT_CRASHED:
      // With a crash kernel loaded the guest is still at work and will reboot by itself.
      if (detail == VIR_DOMAIN_EVENT_CRASHED_CRASHLOADED)
        return StateAndCause{RunState::running, StopCause::none};
      return StateAndCause{RunState::crashed, StopCause::crashed};
    case VIR_DOMAIN_EVENT_DEFINED:
    case VIR_DOMAIN_EVENT_UNDEFINED: return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace wardom::libvirt
