// Which host of the file this machine is.
#include <ifaddrs.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <set>

#include "libha/config/config.hpp"

namespace wardom {
namespace {

// As getnameinfo(3) writes them, which is their canonical spelling.
std::set<std::string> own_addresses() {
  std::set<std::string> found;
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return found;
  for (const auto* one = all; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr) continue;
    const auto family = one->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    const auto length = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    char text[NI_MAXHOST] = {};
    if (::getnameinfo(one->ifa_addr, static_cast<socklen_t>(length), text, sizeof text, nullptr, 0,
                      NI_NUMERICHOST) == 0)
      found.insert(text);
  }
  ::freeifaddrs(all);
  return found;
}

}  // namespace

const HostConfig* own_host(const Config& config, std::string_view name) {
  if (const auto* named = config.find_host(name)) return named;
  const auto own = own_addresses();
  const auto found =
      std::find_if(config.hosts.begin(), config.hosts.end(), [&](const HostConfig& host) {
        return own.contains(host.mgmt) && own.contains(host.storage);
      });
  return found == config.hosts.end() ? nullptr : &*found;
}

}  // namespace wardom
