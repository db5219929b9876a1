// ocf:wardom:Guest: one libvirt guest as a Pacemaker resource.
//
// The agent decides nothing. A start is asked of wardomd, which has the guest assigned to this
// host, claims it and starts it; a stop is done when wardomd says that nothing of the guest is left
// here and that the volume says so. A monitor asks what wardomd knows; while it is away, it looks
// for the guest's process by itself, and never asks libvirt. A migration is asked of wardomd on the
// source, and waited for on the target.
#pragma once

#include <string>

#include "ocf/agent.hpp"

namespace wardom::ocf {

std::string guest_metadata();
int run_guest(const Call& call);

}  // namespace wardom::ocf
