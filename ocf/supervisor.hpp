// Where no systemd runs, HostGuard's own supervisor keeps wardom-keeper and wardomd running: it
// starts them, starts again what dies, and holds the keeper's watchdog while there is none. One for
// a host. It is started by the agent, outlives it, and goes on when Pacemaker stops HostGuard: a
// host without it would lose its guests with the first crash of a keeper.
//
// What runs already, whoever started it, is left alone and watched. SIGTERM ends the supervisor,
// and leaves what it watches running.
#pragma once

#include <string>

namespace wardom::ocf {

struct SupervisorOptions {
  std::string programs{"/usr/sbin"};  // the directory of both
  std::string config;                 // empty: their own default
  std::string socket;                 // of wardomd; empty: its own default
  std::string directory;              // for its lock and its socket
  std::string log{"/var/log/wardom.log"};
};

// Whether one runs here.
bool supervisor_runs(const std::string& directory);
// Starts one unless one runs, in a session of its own. Error: why not; empty: done.
std::string start_supervisor(const SupervisorOptions& options);
// The supervisor itself: until SIGTERM. `argv` as start_supervisor() gives it.
int supervise(int argc, char** argv);

}  // namespace wardom::ocf
