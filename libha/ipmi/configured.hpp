// A host's BMC as wardom.toml tells of it, ready to be reached.
#pragma once

#include "libha/config/config.hpp"
#include "libha/core/result.hpp"
#include "libha/ipmi/bmc_access.hpp"

namespace wardom {

// Reads the password's file. Error: it cannot be read, or the host has no BMC; names the host.
Result<BmcAccess> configured_bmc(const HostConfig& host);

// The times that wardom.toml's session_timeout leads to; without BMCs.
struct IpmiOptions;
IpmiOptions configured_times(const Timing& timing);

}  // namespace wardom
