// The cluster's key, and the two keyed hashes derived from it.
//
// Beats are checked by SipHash-2-4 with 128 bits of output: a domain of 16 hosts checks about a
// thousand beats a second, the simulator millions, and BLAKE2b costs five times as much at a beat's
// size. Ring messages and other datagrams are few and carry orders: BLAKE2b, 256 bits. Both keys
// are derived from the file's key, so that neither use says anything about the other.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace wardom::wire {

inline constexpr std::size_t kKeyBytes = 32;  // content of /etc/wardom/key, decoded
inline constexpr std::size_t kBeatHashBytes = 16;
inline constexpr std::size_t kMessageHashBytes = 32;

class Key {
 public:
  explicit Key(const std::array<std::uint8_t, kKeyBytes>& secret);

  std::array<std::uint8_t, kBeatHashBytes> beat_hash(std::span<const std::uint8_t> bytes) const;
  std::array<std::uint8_t, kMessageHashBytes> message_hash(
      std::span<const std::uint8_t> bytes) const;

 private:
  std::array<std::uint8_t, 16> beat_key_{};
  std::array<std::uint8_t, 32> message_key_{};
};

// Takes the same time wherever the two differ.
bool equal_hash(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b);

}  // namespace wardom::wire
