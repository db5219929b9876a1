// Hosts as people read them: "host 3", "host 1, host 2". Pure.
#pragma once

#include <string>
#include <vector>

#include "libha/core/ids.hpp"

namespace wardom::core {

inline std::string host_text(HostId host) { return "host " + std::to_string(host.value); }

inline std::string hosts_text(const std::vector<HostId>& hosts) {
  std::string text;
  for (HostId host : hosts) text += (text.empty() ? "" : ", ") + host_text(host);
  return text;
}

}  // namespace wardom::core
