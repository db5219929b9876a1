// The payload of a superblock: the geometry and what the formatter fixed with it.
#pragma once

#include "libha/core/records.hpp"
#include "libha/core/result.hpp"
#include "libha/wire/bytes.hpp"

namespace wardom::wire {

inline constexpr std::uint32_t kMaxTimeMs = 3'600'000;  // no timeout of a volume is longer

Bytes encode_superblock(const Geometry& geometry);
// Checks every range too: what is returned can be laid out.
Result<Geometry> decode_superblock(View payload);

}  // namespace wardom::wire
