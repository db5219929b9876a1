#include "libha/wire/crc32c.hpp"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace wardom::wire {
namespace detail {
namespace {

constexpr std::uint32_t kPolynomial = 0x82f63b78;  // reflected 0x1edc6f41

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    table[i] = crc;
  }
  return table;
}

constexpr auto kTable = make_table();

}  // namespace

std::uint32_t crc32c_table(std::span<const std::uint8_t> bytes) {
  std::uint32_t crc = 0xffffffff;
  for (auto b : bytes) crc = (crc >> 8) ^ kTable[(crc ^ b) & 0xff];
  return ~crc;
}

#if defined(__x86_64__)

bool have_crc32c_instruction() { return __builtin_cpu_supports("sse4.2") != 0; }

__attribute__((target("sse4.2"))) std::uint32_t crc32c_instruction(
    std::span<const std::uint8_t> bytes) {
  std::uint64_t crc = 0xffffffff;
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    crc = _mm_crc32_u64(crc, word);
  }
  auto tail = static_cast<std::uint32_t>(crc);
  for (; at < bytes.size(); ++at) tail = _mm_crc32_u8(tail, bytes[at]);
  return ~tail;
}

#else

bool have_crc32c_instruction() { return false; }
std::uint32_t crc32c_instruction(std::span<const std::uint8_t> bytes) {
  return crc32c_table(bytes);
}

#endif

}  // namespace detail

std::uint32_t crc32c(std::span<const std::uint8_t> bytes) {
  static const bool fast = detail::have_crc32c_instruction();
  return fast ? detail::crc32c_instruction(bytes) : detail::crc32c_table(bytes);
}

}  // namespace wardom::wire
