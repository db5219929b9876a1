#include "agents/wardomctl/config_command.hpp"

#include <boost/json.hpp>
#include <iostream>
#include <set>

#include "agents/wardomctl/client.hpp"
#include "libha/config/config.hpp"

namespace wardom::ctl {
namespace {

namespace json = boost::json;

struct Findings {
  CheckedConfig checked;
  std::vector<std::string> notes;  // allowed, but worth knowing
};

// The key and the password files, as wardomd would read them.
void check_secrets(Findings& findings) {
  auto& [config, problems] = findings.checked;
  const auto key = load_key(config.cluster.key_file);
  if (!key) problems.push_back({0, 0, "cluster.key_file", key.error().message});
  std::set<std::filesystem::path> seen;
  for (const auto& host : config.hosts) {
    if (!host.bmc || !seen.insert(host.bmc->password_file).second) continue;
    const auto password = load_password(host.bmc->password_file);
    if (!password)
      problems.push_back({0, 0, "host." + host.name + ".bmc", password.error().message});
  }
}

void note_what_is_allowed(Findings& findings) {
  const auto& config = findings.checked.config;
  for (const auto& host : config.hosts)
    if (!host.bmc)
      findings.notes.push_back("host " + host.name +
                               " has no BMC, so power-off can never prove it dead");
  for (const auto& domain : config.domains)
    if (config.members(domain.id).size() < 2)
      findings.notes.push_back("domain " + domain.name +
                               " has one host, so nothing can take over its guests");
}

json::object to_json(const std::string& file, const Findings& findings) {
  json::array problems;
  for (const auto& problem : findings.checked.problems)
    problems.push_back({{"line", problem.line == 0 ? json::value() : json::value(problem.line)},
                        {"column", problem.line == 0 ? json::value() : json::value(problem.column)},
                        {"key", problem.key.empty() ? json::value() : json::value(problem.key)},
                        {"what", problem.what}});
  const auto& config = findings.checked.config;
  const bool good = findings.checked.problems.empty();
  const auto known = [good](json::value value) { return good ? value : json::value(); };
  return {{"file", file},
          {"good", good},
          {"cluster", known(json::string(config.cluster.name))},
          {"domains", known(config.domains.size())},
          {"hosts", known(config.hosts.size())},
          {"problems", problems},
          {"notes", json::value_from(findings.notes)}};
}

std::string count(std::size_t n, const std::string& what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

}  // namespace

int check_config_file(const std::string& file, bool as_json) {
  const auto name = file.empty() ? std::string(kDefaultConfigFile) : file;
  Findings findings;
  const auto text = read_config_file(name);
  if (!text) {
    findings.checked.problems.push_back({0, 0, "", text.error().message});
    if (!as_json) {
      std::cerr << text.error().message << "\n";
      return kUsage;
    }
  } else {
    findings.checked = check_config(text.value());
    if (findings.checked.problems.empty() && file.empty()) check_secrets(findings);
    if (findings.checked.problems.empty()) note_what_is_allowed(findings);
  }
  const auto& config = findings.checked.config;
  const auto& problems = findings.checked.problems;
  const int exit_code = problems.empty() ? kDone : kUsage;
  if (as_json) {
    std::cout << to_json(name, findings) << "\n";
    return exit_code;
  }
  for (const auto& problem : problems) std::cerr << to_text(problem, name) << "\n";
  if (!problems.empty()) {
    std::cerr << name << ": " << count(problems.size(), "problem") << "\n";
    return exit_code;
  }
  std::cout << name << ": good; cluster " << config.cluster.name << ", "
            << count(config.domains.size(), "domain") << ", " << count(config.hosts.size(), "host")
            << "\n";
  for (const auto& note : findings.notes) std::cout << "note: " << note << "\n";
  return exit_code;
}

}  // namespace wardom::ctl
