// What wardomd says to its peers over the ring, inside an envelope (envelope.hpp). Hints, requests
// and reports; nothing that decides travels only here.
#pragma once

#include <variant>

#include "libha/core/inputs.hpp"
#include "libha/core/result.hpp"
#include "libha/wire/bytes.hpp"
#include "libha/wire/envelope.hpp"

namespace wardom::wire {

inline constexpr MessageKind kPleaseAssignKind{1};
inline constexpr MessageKind kStepKind{2};
inline constexpr MessageKind kOperatorAskKind{3};
inline constexpr MessageKind kOperatorAnswerKind{4};
inline constexpr std::size_t kMaxStepNameBytes = 32;
inline constexpr std::size_t kMaxStepTextBytes = 500;
inline constexpr std::size_t kMaxAnswerBytes = 500;

// One step of a recovery, told by the host that took it. Times are wall clock: for people.
struct StepMessage {
  HostId teller;
  RecoveryId recovery;
  WallTime at;
  HostId host;    // kNoHost: about no host
  GuestId guest;  // zero: about no guest
  std::string source;
  std::string step;
  std::string text;
  friend bool operator==(const StepMessage&, const StepMessage&) = default;
};

using RingMessage = std::variant<core::PleaseAssign, StepMessage, core::OperatorAsk,
                                 core::OperatorAnswer>;

Bytes encode_ring_message(const Key& key, const RingMessage& message,
                          Level level = spoken_levels().newest);
// Error: not sealed with this key, of an unknown level or kind, or malformed.
Result<RingMessage> decode_ring_message(const Key& key, View sealed);

}  // namespace wardom::wire
