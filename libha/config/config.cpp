#include "libha/config/config.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace wardom {
namespace {

// Feeds the digest with values of fixed width, least significant byte first, and with strings
// that carry their length, so that no two member lists read alike.
class DigestText {
 public:
  void number(std::uint64_t value) {
    for (int i = 0; i < 8; ++i) bytes_.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  }
  void text(const std::string& value) {
    number(value.size());
    bytes_ += value;
  }
  std::uint64_t hash() const { return XXH3_64bits(bytes_.data(), bytes_.size()); }

 private:
  std::string bytes_;
};

std::string in_uri(const std::string& address) {
  return address.find(':') == std::string::npos ? address : "[" + address + "]";
}

}  // namespace

std::string Config::Migration::uri_of(const HostConfig& host) const {
  std::string text = uri;
  for (const auto& [word, value] : {std::pair{"{address}", in_uri(host.address(link))},
                                    std::pair{"{name}", host.name}})
    if (const auto at = text.find(word); at != std::string::npos)
      text.replace(at, std::string_view(word).size(), value);
  return text;
}

std::string Config::Migration::data_uri_of(const HostConfig& host) const {
  return "tcp://" + in_uri(host.address(link));
}

const HostConfig* Config::find_host(std::string_view name) const {
  const auto found = std::find_if(hosts.begin(), hosts.end(),
                                  [&](const HostConfig& host) { return host.name == name; });
  return found == hosts.end() ? nullptr : &*found;
}

const HostConfig* Config::find_host(HostId id) const {
  const auto found = std::find_if(hosts.begin(), hosts.end(),
                                  [&](const HostConfig& host) { return host.id == id; });
  return found == hosts.end() ? nullptr : &*found;
}

const DomainConfig* Config::find_domain(DomainId id) const {
  const auto found = std::find_if(domains.begin(), domains.end(),
                                  [&](const DomainConfig& domain) { return domain.id == id; });
  return found == domains.end() ? nullptr : &*found;
}

std::vector<const HostConfig*> Config::members(DomainId domain) const {
  std::vector<const HostConfig*> found;
  for (const auto& host : hosts)
    if (host.domain == domain) found.push_back(&host);
  std::sort(found.begin(), found.end(), [](auto* a, auto* b) { return a->id < b->id; });
  return found;
}

std::string to_text(const ConfigProblem& problem, std::string_view file) {
  std::string text(file);
  if (problem.line != 0)
    text += ":" + std::to_string(problem.line) + ":" + std::to_string(problem.column);
  text += ": ";
  if (!problem.key.empty()) text += "key `" + problem.key + "`: ";
  return text + problem.what;
}

Result<Config> parse_config(std::string_view text, std::string_view name) {
  auto checked = check_config(text);
  if (checked.problems.empty()) return std::move(checked.config);
  std::string message;
  for (const auto& problem : checked.problems)
    message += (message.empty() ? "" : "\n") + to_text(problem, name);
  return failure(std::move(message));
}

Result<Config> load_config(const std::filesystem::path& path) {
  auto text = read_config_file(path);
  if (!text) return failure(text.error().message);
  return parse_config(text.value(), path.native());
}

Result<std::string> read_config_file(const std::filesystem::path& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error)
    return failure(path.native() + ": " + error.message() +
                   "; see wardom.toml(5) for what belongs in it");
  if (size > kMaxConfigBytes)
    return failure(path.native() + ": has " + std::to_string(size) + " bytes; at most " +
                   std::to_string(kMaxConfigBytes) + " are read");
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) return failure(path.native() + ": cannot be read: " + std::strerror(errno));
  return text;
}

std::uint64_t config_digest(const Config& config, DomainId domain) {
  DigestText digest;
  digest.number(domain.value);
  for (const auto* host : config.members(domain)) {
    digest.number(host->id.value);
    digest.text(host->mgmt);
    digest.text(host->storage);
  }
  return digest.hash();
}

std::uint64_t told_digest(const Config& config, DomainId domain) {
  return (config_digest(config, domain) & ~std::uint64_t{0xffffffff}) | config.text_digest;
}

}  // namespace wardom
