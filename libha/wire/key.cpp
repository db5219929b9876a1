#include "libha/wire/key.hpp"

#include <sodium.h>

#include <algorithm>
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
static_assert(kBoxBytes ==
              crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES + sizeof(Secret));

Key::Key(const Secret& secret) {
  static_assert(sizeof(beat_key_) == crypto_shorthash_siphashx24_KEYBYTES);
  derive(beat_key_, "wardom beat v1", secret);
  derive(message_key_, "wardom message v1", secret);
  static_assert(sizeof(box_key_) == crypto_secretbox_KEYBYTES);
  derive(box_key_, "wardom next key v1", secret);
  std::array<std::uint8_t, 16> name{};
  derive(name, "wardom key id v1", secret);
  std::uint64_t id = 0;
  for (std::size_t i = 0; i < sizeof id; ++i) id |= std::uint64_t{name[i]} << (8 * i);
  id_ = KeyId{std::max<std::uint64_t>(id, 1)};
}

Box Key::box(const Secret& secret) const {
  Box box{};
  crypto_generichash(box.data(), crypto_secretbox_NONCEBYTES, secret.data(), secret.size(),
                     box_key_.data(), box_key_.size());
  crypto_secretbox_easy(box.data() + crypto_secretbox_NONCEBYTES, secret.data(), secret.size(),
                        box.data(), box_key_.data());
  return box;
}

std::optional<Secret> Key::unbox(const Box& box) const {
  Secret secret{};
  if (crypto_secretbox_open_easy(secret.data(), box.data() + crypto_secretbox_NONCEBYTES,
                                 box.size() - crypto_secretbox_NONCEBYTES, box.data(),
                                 box_key_.data()) != 0)
    return std::nullopt;
  return secret;
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
