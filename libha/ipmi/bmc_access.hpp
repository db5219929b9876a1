// How a host's BMC is reached: what stands in wardom.toml about it. Plain data.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libha/core/bmc.hpp"
#include "libha/core/ids.hpp"
#include "libha/core/result.hpp"

namespace wardom {

struct BmcAccess {
  HostId host;
  // "address" or "address:port"; an IPv6 address with a port as "[address]:port". A name works as
  // well, but it is looked up for each new session, so that fencing then waits for the resolver.
  std::string address;
  std::string user;
  std::string password;
  // RMCP+ cipher suites, tried in this order: the next one only when the BMC says that it does not
  // know the suite. 17 (SHA-256) needs a newer BMC, 3 (SHA-1) is what every IPMI 2.0 BMC has.
  std::vector<std::uint8_t> cipher_suites{17, 3};
  BmcPrivilege privilege{BmcPrivilege::operator_level};
  // Names as in FreeIPMI's ipmipower(8): authcap intel20 supermicro20 sun20 opensesspriv
  // integritycheckvalue nochecksumcheck.
  std::vector<std::string> workarounds;
};

// FreeIPMI's flag bits for the names. Error: the first unknown name, and the known ones.
Result<unsigned> workaround_flags(const std::vector<std::string>& names);

// Everything that can be found wrong without asking the BMC, named by host.
Result<void> check(const BmcAccess& access);

}  // namespace wardom
