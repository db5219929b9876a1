#include "libha/watchdog/measurement.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>

namespace wardom::watchdog {
namespace {

constexpr std::size_t kMaxFileBytes = 4096;
constexpr std::size_t kMaxDriverBytes = 64;

// The text between `before` and `after`; empty where either is missing.
std::string_view between(std::string_view text, std::string_view before, std::string_view after) {
  const auto start = text.find(before);
  if (start == std::string_view::npos) return {};
  text.remove_prefix(start + before.size());
  const auto end = text.find(after);
  return end == std::string_view::npos ? std::string_view{} : text.substr(0, end);
}

template <class Number>
Number number_of(std::string_view text, int base) {
  Number value{};
  std::from_chars(text.data(), text.data() + text.size(), value, base);
  return value;
}

std::string plain(const std::string& text) {
  std::string out;
  for (const char c : text.substr(0, kMaxDriverBytes))
    out += c >= ' ' && c <= '~' && c != '"' && c != '\\' ? c : '?';
  return out;
}

}  // namespace

std::string to_json(const Measurement& m) {
  char hex[17];
  std::snprintf(hex, sizeof hex, "%016llx", static_cast<unsigned long long>(m.fingerprint));
  return std::string("{\"fingerprint\":\"") + hex +
         "\",\"w_ms\":" + std::to_string(whole_ms(m.worst)) +
         ",\"timeout_ms\":" + std::to_string(whole_ms(m.timeout)) + ",\"driver\":\"" +
         plain(m.driver) + "\"}\n";
}

Result<Measurement> parse_measurement(std::string_view text) {
  using std::chrono::milliseconds;
  Measurement m;
  m.fingerprint = number_of<std::uint64_t>(between(text, "\"fingerprint\":\"", "\""), 16);
  const auto w = number_of<std::int64_t>(between(text, "\"w_ms\":", ","), 10);
  const auto timeout = number_of<std::int64_t>(between(text, "\"timeout_ms\":", ","), 10);
  m.driver = between(text, "\"driver\":\"", "\"");
  constexpr auto longest = whole_ms(kLongestW);
  if (w > 0 && w <= longest && timeout > 0 && timeout <= longest) {
    m.worst = milliseconds{w};
    m.timeout = milliseconds{timeout};
    if (m.fingerprint != 0 && to_json(m) == text) return m;
  }
  return failure("is not as `wardomctl host measure-watchdog` writes it; measure again");
}

Result<Measurement> load_measurement(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return failure(path + ": " + std::strerror(errno) +
                   "; `wardomctl host measure-watchdog` makes it");
  std::string text(kMaxFileBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  auto measured = parse_measurement(text);
  if (!measured) return failure(path + ": " + measured.error().message);
  return measured;
}

Result<void> save_measurement(const std::string& path, const Measurement& measured) {
  const auto text = to_json(measured);
  const auto fresh = path + ".new";
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const bool written =
      fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
      ::fsync(fd) == 0;
  const std::string why = std::strerror(errno);
  if (fd >= 0) ::close(fd);
  if (!written) return failure(fresh + ": " + why);
  if (::rename(fresh.c_str(), path.c_str()) != 0)
    return failure(path + ": " + std::strerror(errno));
  const auto directory = path.substr(0, path.find_last_of('/') + 1);
  const int parent = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (parent >= 0) {
    ::fsync(parent);
    ::close(parent);
  }
  return success();
}

}  // namespace wardom::watchdog
