// What fence_wardom tells of itself. Pure.
#pragma once

#include <string>

namespace wardom::fencing {

// For Pacemaker, pcs and crmsh: valid by the fence-agents' metadata.rng. It names no <version>: by
// "1.1" pcs checks it as a resource agent's.
std::string metadata();
// For people.
std::string help();

}  // namespace wardom::fencing
