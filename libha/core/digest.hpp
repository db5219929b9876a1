// FNV-1a: whether two hosts hold the same thing, told in eight bytes. No defence against anybody
// who wants two to be alike. Pure.
#pragma once

#include <cstdint>

namespace wardom {

class Digest {
 public:
  void byte(std::uint64_t value) { value_ = (value_ ^ (value & 0xff)) * 1099511628211ULL; }
  void word(std::uint64_t value) {
    for (int shift = 0; shift < 64; shift += 8) byte(value >> shift);
  }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_{14695981039346656037ULL};
};

}  // namespace wardom
