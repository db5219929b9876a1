// The life of a protected guest on one host: the one place where its phases are decided.
//
//   phase             means                                         goes to
//   assigned          the decider's word stands, nothing claimed    claimed, claimed_incoming
//   claimed           own table says so; all others were not read   starting, refused; yielded
//                                                                   where a tombstone stood
//   starting          all claims read, the start is ordered         holding, refused
//   holding           the guest is this host's, running or not      yielded
//   claimed_incoming  it arrives here live, and is paused until     holding, refused
//                     who has sent it has yielded it (moving.cpp)
//   yielded           the owner gave the guest up: no QEMU of it    (end)
//                     exists here; wanted, it is assigned anew
//   refused           the start is settled: no QEMU of it exists    (end)
#pragma once

#include <optional>
#include <string_view>

#include "libha/core/records.hpp"

namespace wardom::core {

// The host may be running the guest, or may start it.
constexpr bool is_active(GuestPhase phase) {
  switch (phase) {
    case GuestPhase::claimed:
    case GuestPhase::starting:
    case GuestPhase::holding:
    case GuestPhase::claimed_incoming:
      return true;
    case GuestPhase::assigned:
    case GuestPhase::yielded:
    case GuestPhase::refused:
      return false;
  }
  return true;
}

constexpr bool may_follow(GuestPhase from, GuestPhase to) {
  switch (from) {
    case GuestPhase::assigned:
      return to == GuestPhase::claimed || to == GuestPhase::claimed_incoming;
    case GuestPhase::claimed:
      return to == GuestPhase::starting || to == GuestPhase::holding ||
             to == GuestPhase::refused || to == GuestPhase::yielded;
    case GuestPhase::starting:
      return to == GuestPhase::holding || to == GuestPhase::refused;
    case GuestPhase::holding:
      return to == GuestPhase::yielded;
    case GuestPhase::claimed_incoming:
      return to == GuestPhase::holding || to == GuestPhase::refused;
    case GuestPhase::yielded:
    case GuestPhase::refused:
      return false;
  }
  return false;
}

// Its protection has ended (doc/decisions/0003): a yield with nothing to start anywhere.
inline bool is_tombstone(const GuestEntry& entry) {
  return entry.phase == GuestPhase::yielded && entry.xml.empty();
}

const char* to_text(GuestPhase phase);
const char* to_text(IsolationResponse response);
// nullopt: no such word.
std::optional<IsolationResponse> isolation_response(std::string_view word);

}  // namespace wardom::core
