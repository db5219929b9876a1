// ocf:wardom:HostGuard: what makes a host one of Wardom's, as a clone in Pacemaker.
//
// wardom-keeper and wardomd start at boot and wait for nobody; HostGuard checks the host before it
// calls itself started, watches, shows what it sees (exit code, node attributes), and, where no
// systemd runs, has them supervised. Its stop stops neither: a host without a keeper loses its
// guests.
//
// What it calls a failure is a host whose guests are lost or about to be. All else that is wrong is
// `degraded`, which Pacemaker takes for a success: a failed monitor makes it stop what is ordered
// after HostGuard.
#pragma once

#include <string>

#include "ocf/agent.hpp"

namespace wardom::ocf {

std::string hostguard_metadata();
int run_hostguard(const Call& call);

}  // namespace wardom::ocf
