// The cluster's key, and what is derived from it: two keyed hashes, a name that says nothing about
// it, and the box in which it carries its successor to the other hosts.
//
// Beats are checked by SipHash-2-4 with 128 bits of output: a domain of 16 hosts checks about a
// thousand beats a second, the simulator millions, and BLAKE2b costs five times as much at a beat's
// size. Ring messages and other datagrams are few and carry orders: BLAKE2b, 256 bits. Each use has
// a key of its own, derived from the file's, so that none says anything about another.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "libha/core/ids.hpp"

namespace wardom::wire {

inline constexpr std::size_t kKeyBytes = 32;  // content of /etc/wardom/key, decoded
inline constexpr std::size_t kBeatHashBytes = 16;
inline constexpr std::size_t kMessageHashBytes = 32;
inline constexpr std::size_t kBoxBytes = 24 + 16 + kKeyBytes;  // nonce, authenticator, content

using Secret = std::array<std::uint8_t, kKeyBytes>;
using Box = std::array<std::uint8_t, kBoxBytes>;
// Tells keys apart in words and logs. 0: no key.
using KeyId = Number<struct KeyIdTag, std::uint64_t>;
inline constexpr KeyId kNoKey{0};

class Key {
 public:
  explicit Key(const Secret& secret);

  std::array<std::uint8_t, kBeatHashBytes> beat_hash(std::span<const std::uint8_t> bytes) const;
  std::array<std::uint8_t, kMessageHashBytes> message_hash(
      std::span<const std::uint8_t> bytes) const;
  KeyId id() const { return id_; }
  // XSalsa20-Poly1305; the nonce follows from both, so that one box is made of one secret. Whoever
  // holds this key can open it, later as well.
  Box box(const Secret& secret) const;
  std::optional<Secret> unbox(const Box& box) const;

 private:
  std::array<std::uint8_t, 16> beat_key_{};
  std::array<std::uint8_t, 32> message_key_{};
  std::array<std::uint8_t, 32> box_key_{};
  KeyId id_;
};

// Takes the same time wherever the two differ.
bool equal_hash(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b);

}  // namespace wardom::wire
