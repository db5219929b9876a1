#include "libha/wire/key.hpp"

#include <sodium.h>

#include <string_view>

namespace wardom::wire {
namespace {

void derive(std::span<std::uint8_t> out, std::string_view purpose,
            std::span<const std::uint8_t> secret) {
  crypto_generichash(out.data(), out.size(),
                     reinterpret_cast<const unsigned char*>(purpose.data()), purpose.size(),
                     secret.data(), secret.size());
}

}  // namespace

static_assert(kBeatHashBytes == crypto_shorthash_siphashx24_BYTES);
static_assert(kMessageHashBytes == crypto_generichash_BYTES);

Key::Key(const std::array<std::uint8_t, kKeyBytes>& secret) {
  static_assert(sizeof(beat_key_) == crypto_shorthash_siphashx24_KEYBYTES);
  derive(beat_key_, "wardom beat v1", secret);
  derive(message_key_, "wardom message v1", secret);
}

std::array<std::uint8_t, kBeatHashBytes> Key::beat_hash(std::span<const std::uint8_t> bytes) const {
  std::array<std::uint8_t, kBeatHashBytes> hash{};
  crypto_shorthash_siphashx24(hash.data(), bytes.data(), bytes.size(), beat_key_.data());
  return hash;
}

std::array<std::uint8_t, kMessageHashBytes> Key::message_hash(
    std::span<const std::uint8_t> bytes) const {
  std::array<std::uint8_t, kMessageHashBytes> hash{};
  crypto_generichash(hash.data(), hash.size(), bytes.data(), bytes.size(), message_key_.data(),
                     message_key_.size());
  return hash;
}

bool equal_hash(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) {
  return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace wardom::wire
