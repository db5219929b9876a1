#include "libha/ipmi/configured.hpp"

#include <algorithm>

#include "libha/ipmi/ipmi_power.hpp"

namespace wardom {

Result<BmcAccess> configured_bmc(const HostConfig& host) {
  const std::string who = "BMC of " + host.name + ": ";
  if (!host.bmc) return failure(who + "wardom.toml names none");
  auto password = load_password(host.bmc->password_file);
  if (!password) return failure(who + password.error().message);
  const auto port = std::to_string(host.bmc->port);
  BmcAccess access;
  access.host = host.id;
  access.address = host.bmc->address.find(':') == std::string::npos
                       ? host.bmc->address + ":" + port
                       : "[" + host.bmc->address + "]:" + port;
  access.user = host.bmc->user;
  access.password = std::move(password).value();
  access.cipher_suites = {static_cast<std::uint8_t>(host.bmc->cipher_suite)};
  access.privilege = host.bmc->privilege;
  access.workarounds = host.bmc->workarounds;
  return access;
}

IpmiOptions configured_times(const Timing& timing) {
  IpmiOptions options;
  options.session_timeout =
      std::chrono::duration_cast<std::chrono::milliseconds>(timing.bmc_timeout);
  options.retransmission = std::min(options.retransmission, options.session_timeout / 5);
  return options;
}

}  // namespace wardom
