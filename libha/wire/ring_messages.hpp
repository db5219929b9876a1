// What wardomd says to its peers over the ring, inside an envelope (envelope.hpp). Hints, requests
// and reports; nothing that decides travels only here.
#pragma once

#include <optional>
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
inline constexpr MessageKind kKeyWordKind{5};
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

// What a host holds while the cluster's key is changed: see runtime/key_change.hpp.
enum class KeyStep : std::uint8_t {
  holds,    // has stored the next key
  wanted,   // and has joined the attempt to change to it
  change,   // every host has: send with it from this message on
  dropped,  // an operator has given the attempt up
};
struct KeyWord {
  HostId from;
  KeyId present;
  KeyId next;  // kNoKey: none
  KeyStep step{KeyStep::holds};
  std::uint64_t attempt{0};  // grows with each change that is asked for; 0: none was
  std::uint64_t config{0};   // the upper half of the teller's config_digest: of its members
  std::optional<Box> offer;  // the next key under the present one, for hosts that have none
  friend bool operator==(const KeyWord&, const KeyWord&) = default;
};

using RingMessage = std::variant<core::PleaseAssign, StepMessage, core::OperatorAsk,
                                 core::OperatorAnswer, KeyWord>;

Bytes encode_ring_message(const Key& key, const RingMessage& message,
                          Level level = spoken_levels().newest);
// Error: not sealed with this key, of an unknown level or kind, or malformed.
Result<RingMessage> decode_ring_message(const Key& key, View sealed);

}  // namespace wardom::wire
