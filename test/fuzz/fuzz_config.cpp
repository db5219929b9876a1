// A configuration file. A fault has a place and a sentence; a file without faults can be used
// whole.
#include "libha/config/config.hpp"

#include "libha/core/check.hpp"
#include "targets.hpp"

using namespace wardom;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto checked = check_config({reinterpret_cast<const char*>(data), size});
  for (const auto& problem : checked.problems) {
    WARDOM_CHECK(!problem.what.empty());
    WARDOM_CHECK(!to_text(problem, "wardom.toml").empty());
  }
  if (!checked.problems.empty()) return 0;
  for (const auto& domain : checked.config.domains) config_digest(checked.config, domain.id);
  for (const auto& host : checked.config.hosts) {
    WARDOM_CHECK(checked.config.find_host(host.name) == &host);
    WARDOM_CHECK(checked.config.find_domain(host.domain) != nullptr);
  }
  WARDOM_CHECK(check(checked.config.timing).empty());
  return 0;
}
