// The spellings of single values in wardom.toml. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libha/core/time.hpp"

namespace wardom {

// "100ms", "2s", "1m": whole numbers with a unit. nullopt: anything else, also negative or longer
// than a day.
std::optional<Duration> parse_duration(std::string_view text);

// "512MiB", "2GiB", "1TiB": whole numbers with a unit, in MiB. nullopt: anything else, also above
// 1024 TiB.
std::optional<std::uint64_t> parse_mebibytes(std::string_view text);

// An IPv4 or IPv6 address in its canonical spelling. nullopt: a name or nothing valid.
std::optional<std::string> canonical_address(std::string_view text);

// "host", "host:623", "[2001:db8::1]:623", "2001:db8::1".
struct HostPort {
  std::string host;
  std::optional<std::uint16_t> port;
};
std::optional<HostPort> parse_host_port(std::string_view text);

// 1..64 characters that start with a letter or digit. `upper_and_dot`: as in host names.
bool is_name(std::string_view text, bool upper_and_dot);

// The word of `known` that `word` was probably meant to be. nullopt: none is near enough.
std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace wardom
