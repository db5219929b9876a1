// Strong identifiers. Nothing that names a host, a guest or an order of events crosses a function
// boundary as a bare integer. Values only; no I/O; any thread.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace wardom {

// A counter or number with a name of its own. Tag makes each use a distinct type.
template <class Tag, class Rep>
struct Number {
  Rep value{};
  constexpr Number() = default;
  constexpr explicit Number(Rep v) : value(v) {}
  friend constexpr auto operator<=>(const Number&, const Number&) = default;
  constexpr Number next() const { return Number{static_cast<Rep>(value + 1)}; }
};

// A host's number in the cluster, 1..2000, fixed in wardom.toml; also its corosync node id.
using HostId = Number<struct HostIdTag, std::uint16_t>;
// A detection domain's number, 1..250, fixed in wardom.toml.
using DomainId = Number<struct DomainIdTag, std::uint16_t>;
// How often a guest has been given to a host. 0: never assigned. Only grows.
using Generation = Number<struct GenerationTag, std::uint64_t>;
// How often the domain lock has changed hands. Orders the words of successive deciders.
using LockVersion = Number<struct LockVersionTag, std::uint64_t>;
// Orders the attempts to become the owner of one version of the domain lock. 0: none.
using BallotNumber = Number<struct BallotNumberTag, std::uint64_t>;
// How often wardomd lost its standing on this host within one incarnation.
using DaemonEpoch = Number<struct DaemonEpochTag, std::uint32_t>;
// Grows with every acknowledged write of one volume cell, or every beat of one sender.
using Sequence = Number<struct SequenceTag, std::uint64_t>;
// Matches an answer of an adapter to the request that caused it. Unique within one process.
using Ticket = Number<struct TicketTag, std::uint64_t>;

inline constexpr HostId kNoHost{0};

// 128 bits, printed as 32 hex digits or as a UUID.
struct Bits128 {
  std::array<std::uint8_t, 16> bytes{};
  friend constexpr auto operator<=>(const Bits128&, const Bits128&) = default;
  constexpr bool is_zero() const {
    for (auto b : bytes)
      if (b != 0) return false;
    return true;
  }
};

// libvirt's UUID of a guest.
struct GuestId : Bits128 {
  friend constexpr auto operator<=>(const GuestId&, const GuestId&) = default;
};

// One recovery, from the first sign to the last guest running. Drawn by the decider.
struct RecoveryId : Bits128 {
  friend constexpr auto operator<=>(const RecoveryId&, const RecoveryId&) = default;
};

// One boot of a host. `number` grows with each join of the slot; `id` is drawn at the first start
// after boot and kept in /run. Verdicts speak of incarnations, never of hosts for ever.
struct Incarnation {
  std::uint64_t number{0};
  Bits128 id{};
  friend constexpr auto operator<=>(const Incarnation&, const Incarnation&) = default;
  constexpr bool is_none() const { return number == 0 && id.is_zero(); }
};

// One membership of corosync's totem ring: never used twice. A later one of the same host has a
// higher sequence. Zero: none.
struct RingId {
  std::uint32_t node{0};
  std::uint64_t sequence{0};
  friend constexpr auto operator<=>(const RingId&, const RingId&) = default;
};

std::string to_hex(const Bits128& bits);   // 32 lower-case hex digits
std::string to_uuid(const Bits128& bits);  // 8-4-4-4-12
// Accepts both spellings, any case. nullopt: not 32 hex digits.
std::optional<Bits128> parse_bits(std::string_view text);
std::string to_text(const Incarnation& incarnation);  // "3/1f0c52aa": number and first id bytes

}  // namespace wardom
