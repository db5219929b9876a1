// The measured W of this host, as `wardomctl host measure-watchdog` leaves it on the local disk.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "libha/core/result.hpp"
#include "libha/core/time.hpp"

namespace wardom::watchdog {

inline constexpr const char* kDefaultMeasurement = "/var/lib/wardom/watchdog.json";
inline constexpr Duration kLongestW = std::chrono::minutes{10};

struct Measurement {
  std::uint64_t fingerprint{0};
  Duration worst{};      // W: the longest of all measurements with this fingerprint
  Duration timeout{};    // nominal
  std::string driver;    // for people; printable ASCII without quotes
  friend bool operator==(const Measurement&, const Measurement&) = default;
};

// One JSON object, always spelled the same way. Reading accepts that spelling alone: a file that a
// person or a fault has changed is not trusted with a host's life.
std::string to_json(const Measurement& measured);
Result<Measurement> parse_measurement(std::string_view text);

// Error: missing or not trusted; the message says what to do.
Result<Measurement> load_measurement(const std::string& path);
// Replaces the file as a whole, on stable storage.
Result<void> save_measurement(const std::string& path, const Measurement& measured);

}  // namespace wardom::watchdog
