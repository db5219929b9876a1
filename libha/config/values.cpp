#include "libha/config/values.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "libha/config/config.hpp"

namespace wardom {
namespace {

constexpr Duration kLongest = std::chrono::hours{24};
constexpr std::uint64_t kMostMebibytes = 1024ULL * 1024 * 1024;

struct Quantity {
  std::uint64_t number;
  std::string_view unit;
};

// Digits, then a unit; blanks between them are allowed.
std::optional<Quantity> split_quantity(std::string_view text) {
  Quantity quantity{0, {}};
  const auto* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, quantity.number);
  if (error != std::errc{}) return std::nullopt;
  quantity.unit = text.substr(static_cast<std::size_t>(stop - text.data()));
  while (quantity.unit.starts_with(' ')) quantity.unit.remove_prefix(1);
  return quantity;
}

bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc{} || stop != end || port == 0) return std::nullopt;
  return port;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

}  // namespace

std::optional<Duration> parse_duration(std::string_view text) {
  const auto quantity = split_quantity(text);
  if (!quantity) return std::nullopt;
  Duration unit{0};
  if (quantity->unit == "ms") unit = std::chrono::milliseconds{1};
  if (quantity->unit == "s") unit = std::chrono::seconds{1};
  if (quantity->unit == "m") unit = std::chrono::minutes{1};
  if (unit == Duration::zero()) return std::nullopt;
  if (quantity->number > static_cast<std::uint64_t>(kLongest / unit)) return std::nullopt;
  return unit * static_cast<std::int64_t>(quantity->number);
}

std::optional<std::uint64_t> parse_mebibytes(std::string_view text) {
  const auto quantity = split_quantity(text);
  if (!quantity) return std::nullopt;
  std::uint64_t unit = 0;
  if (quantity->unit == "MiB") unit = 1;
  if (quantity->unit == "GiB") unit = 1024;
  if (quantity->unit == "TiB") unit = 1024ULL * 1024;
  if (unit == 0 || quantity->number > kMostMebibytes / unit) return std::nullopt;
  return quantity->number * unit;
}

std::optional<std::string> canonical_address(std::string_view text) {
  const std::string copy(text);
  if (copy.find('\0') != std::string::npos) return std::nullopt;
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  std::array<char, INET6_ADDRSTRLEN> spelled{};
  for (int family : {AF_INET, AF_INET6}) {
    if (inet_pton(family, copy.c_str(), bytes.data()) != 1) continue;
    if (inet_ntop(family, bytes.data(), spelled.data(), spelled.size()) == nullptr) continue;
    return std::string(spelled.data());
  }
  return std::nullopt;
}

std::optional<HostPort> parse_host_port(std::string_view text) {
  if (auto address = canonical_address(text)) return HostPort{*address, std::nullopt};
  HostPort result;
  std::string_view port;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    const auto address = canonical_address(text.substr(1, close - 1));
    if (!address) return std::nullopt;
    result.host = *address;
    port = text.substr(close + 1);
  } else {
    const auto colon = std::min(text.find(':'), text.size());
    result.host = text.substr(0, colon);
    port = text.substr(colon);
    if (!is_name(result.host, true)) return std::nullopt;
    if (const auto address = canonical_address(result.host)) result.host = *address;
  }
  if (port.empty()) return result;
  if (!port.starts_with(':')) return std::nullopt;
  result.port = parse_port(port.substr(1));
  if (!result.port) return std::nullopt;
  return result;
}

bool is_name(std::string_view text, bool upper_and_dot) {
  if (text.empty() || text.size() > kMaxNameBytes || !is_alnum(text.front())) return false;
  return std::all_of(text.begin(), text.end(), [upper_and_dot](char c) {
    if (c == '-') return true;
    if (c == '.' || (c >= 'A' && c <= 'Z')) return upper_and_dot;
    return is_alnum(c);
  });
}

std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& known) {
  // A third of the word may be wrong, but at least one letter and at most three.
  constexpr std::size_t kMostEdits = 3;
  const std::size_t allowed = std::clamp<std::size_t>(word.size() / 3, 1, kMostEdits);
  std::size_t least = allowed + 1;
  std::optional<std::string> best;
  for (const auto& candidate : known) {
    const auto distance = edit_distance(word, candidate);
    if (distance >= least) continue;
    least = distance;
    best = candidate;
  }
  return best;
}

}  // namespace wardom
