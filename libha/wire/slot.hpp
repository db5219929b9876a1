// The payload of a heartbeat slot. It fits the head of its extent, so that no heartbeat can tear.
#pragma once

#include "libha/core/records.hpp"
#include "libha/core/result.hpp"
#include "libha/wire/block.hpp"

namespace wardom::wire {

inline constexpr std::size_t kMaxHostNameBytes = 64;

// A longer host name is cut: it is for people only. `level`: that of the head, one that is spoken.
Bytes encode_slot(const Slot& slot, Level level = spoken_levels().newest);
Result<Slot> decode_slot(View payload, Level level = spoken_levels().newest);

}  // namespace wardom::wire
