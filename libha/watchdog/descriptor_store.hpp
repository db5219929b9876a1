// A descriptor that outlives this process: kept by systemd's descriptor store, or by any supervisor
// that speaks the same two small protocols (sd_pid_notify_with_fds(3), sd_listen_fds(3)).
#pragma once

#include <optional>
#include <string>

#include "libha/core/result.hpp"

namespace wardom::watchdog {

// The descriptor that the supervisor kept under this name ($LISTEN_PID, $LISTEN_FDS,
// $LISTEN_FDNAMES). Close-on-exec is set. nullopt: it has none.
std::optional<int> kept_descriptor(const std::string& name);

// Somebody would keep it ($NOTIFY_SOCKET is set).
bool has_descriptor_store();
// Hands a copy over (FDSTORE=1, FDNAME=name). Returns when it was sent; the supervisor takes it in
// its own time, but before it notices this process's end.
Result<void> keep_descriptor(const std::string& name, int fd);
// The supervisor closes what it keeps under this name (FDSTOREREMOVE=1), in its own time.
Result<void> forget_descriptor(const std::string& name);

}  // namespace wardom::watchdog
