// CRC-32C (Castagnoli, RFC 3720 appendix B.4): what every block of the volume is checked by.
#pragma once

#include <cstdint>
#include <span>

namespace wardom::wire {

// By the CPU's instruction where it has one (SSE4.2), else by table.
std::uint32_t crc32c(std::span<const std::uint8_t> bytes);

namespace detail {
std::uint32_t crc32c_table(std::span<const std::uint8_t> bytes);
bool have_crc32c_instruction();
// Only where have_crc32c_instruction().
std::uint32_t crc32c_instruction(std::span<const std::uint8_t> bytes);
}  // namespace detail

}  // namespace wardom::wire
