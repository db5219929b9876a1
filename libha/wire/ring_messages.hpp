// What wardomd says to its peers over the ring, inside an envelope (envelope.hpp). Hints, requests
// and reports; nothing that decides travels only here.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

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
inline constexpr MessageKind kDeviceAskKind{6};
inline constexpr MessageKind kDeviceAnswerKind{7};
inline constexpr std::size_t kMaxStepNameBytes = 32;
inline constexpr std::size_t kMaxStepTextBytes = 500;
inline constexpr std::size_t kMaxAnswerBytes = 500;
inline constexpr std::size_t kMaxModelBytes = 64;

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

// About Wardom as the quorum device in every host's corosync.conf: runtime/device_rounds.hpp. No
// words of that file travel: each host changes its own, in the one way that is asked for.
enum class DeviceStep : std::uint8_t {
  look,   // what does the file say?
  trial,  // could it be changed so? Nothing is changed; the answer has a pass for `write`
  write,  // change it as was tried
};
// What a host answered to `trial`, back to it: a file that was changed since, or a wish that was
// heard since from somebody else, makes it void, and no message of old can be said once more.
struct DevicePass {
  HostId host;
  std::uint64_t pass{0};
  friend bool operator==(const DevicePass&, const DevicePass&) = default;
};
struct DeviceAsk {
  HostId from;
  Ticket request;
  DeviceStep step{DeviceStep::look};
  bool remove{false};  // the device is taken out; else set up, with:
  std::uint32_t timeout_ms{0};
  std::uint32_t sync_timeout_ms{0};
  std::string by;
  std::vector<DevicePass> passes{};  // for `write`
  friend bool operator==(const DeviceAsk&, const DeviceAsk&) = default;
};
struct DeviceAnswer {
  HostId from;
  HostId to;
  Ticket request;
  bool ok{false};        // else `text` says why not
  bool changes{false};   // the file would be changed, or was
  bool in_force{false};  // corosync, as it runs there, has Wardom as its device
  std::string model;     // as the file has it now; empty: no device
  std::uint32_t timeout_ms{0};  // 0: not named
  std::uint32_t sync_timeout_ms{0};
  std::uint64_t digest{0};  // of the file's text; 0: it cannot be read
  std::uint64_t pass{0};    // for `trial`
  std::string text;
  friend bool operator==(const DeviceAnswer&, const DeviceAnswer&) = default;
};

using RingMessage = std::variant<core::PleaseAssign, StepMessage, core::OperatorAsk,
                                 core::OperatorAnswer, KeyWord, DeviceAsk, DeviceAnswer>;

Bytes encode_ring_message(const Key& key, const RingMessage& message,
                          Level level = spoken_levels().newest);
// Error: not sealed with this key, of an unknown level or kind, or malformed.
Result<RingMessage> decode_ring_message(const Key& key, View sealed);

}  // namespace wardom::wire
