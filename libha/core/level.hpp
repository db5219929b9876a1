// The format level of a domain: which layout its hosts write, to the volume and to each other.
//
// Every release speaks a range of levels, the newest of which is its own; the one before it is
// always among them, so that hosts of two adjacent releases work together. All write the domain's
// level, and read every level that they speak. The decider raises it, once all hosts speak a higher
// one; it never falls (decisions/0013).
#pragma once

#include <algorithm>

#include "libha/core/ids.hpp"

namespace wardom {

using Level = Number<struct LevelTag, std::uint8_t>;
inline constexpr Level kFirstLevel{1};

// What a program, or a host, can read and write. `oldest` is not above `newest`.
struct Levels {
  Level oldest{kFirstLevel};
  Level newest{kFirstLevel};
  constexpr bool has(Level level) const { return oldest <= level && level <= newest; }
  friend bool operator==(const Levels&, const Levels&) = default;
};

// What two programs that work as one speak, in turn. Where they have nothing in common, `newest` is
// the older one's, and `oldest` with it.
constexpr Levels common(const Levels& a, const Levels& b) {
  const Level newest = std::min(a.newest, b.newest);
  return {std::min(std::max(a.oldest, b.oldest), newest), newest};
}

}  // namespace wardom
