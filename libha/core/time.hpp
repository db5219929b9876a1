// Time as an argument. The core never reads a clock: the loop reads CLOCK_MONOTONIC_RAW once per
// turn and hands the result in. Instants of two hosts are never compared.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace wardom {

using Duration = std::chrono::nanoseconds;

// A point on this host's CLOCK_MONOTONIC_RAW (or on the simulator's virtual clock).
struct Instant {
  Duration since_boot{0};
  friend constexpr auto operator<=>(const Instant&, const Instant&) = default;
  friend constexpr Instant operator+(Instant at, Duration d) { return {at.since_boot + d}; }
  friend constexpr Instant operator-(Instant at, Duration d) { return {at.since_boot - d}; }
  friend constexpr Duration operator-(Instant a, Instant b) { return a.since_boot - b.since_boot; }
  static constexpr Instant never() { return {Duration::max()}; }
};

// Wall clock, milliseconds since 1970. For people and reports only: nothing decides by it.
struct WallTime {
  std::int64_t ms{0};
  friend constexpr auto operator<=>(const WallTime&, const WallTime&) = default;
};

constexpr std::int64_t whole_ms(Duration d) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
}

}  // namespace wardom
