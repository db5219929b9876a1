// What every part that speaks of BMCs agrees on. Plain data.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wardom {

inline constexpr std::size_t kMaxBmcUserBytes = 16;      // IPMI 2.0, table 22-27
inline constexpr std::size_t kMaxBmcPasswordBytes = 20;  // IPMI 2.0, table 22-30

// The privilege that a session asks for. Power control needs `operator_level`; some BMCs grant
// nothing but `admin` to their users.
enum class BmcPrivilege : std::uint8_t { operator_level, admin };

}  // namespace wardom
