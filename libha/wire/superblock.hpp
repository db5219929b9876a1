// The payload of a superblock: the geometry, what the formatter fixed with it, and whether the
// volume may be used.
#pragma once

#include "libha/core/records.hpp"
#include "libha/core/result.hpp"
#include "libha/wire/bytes.hpp"

namespace wardom::wire {

inline constexpr std::uint32_t kMaxTimeMs = 3'600'000;  // no timeout of a volume is longer

struct Superblock {
  Geometry geometry;
  VolumeState state;
  friend bool operator==(const Superblock&, const Superblock&) = default;
};

// Fits the head: a superblock cannot tear.
Bytes encode_superblock(const Superblock& superblock);
// Checks every range too: what is returned can be laid out.
Result<Superblock> decode_superblock(View payload);

}  // namespace wardom::wire
