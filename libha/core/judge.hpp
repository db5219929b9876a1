// The judge: from the evidence about one member to the state that people and the decider see.
// Pure functions. Doubt is `unknown`, and unknown is never dead: only a stored verdict makes dead.
#pragma once

#include <optional>
#include <string>

#include "libha/core/evidence.hpp"

namespace wardom::core {

enum class HostState : std::uint8_t {
  unknown,       // not heard of since this daemon started, or the volume cannot be read
  alive,
  daemon_down,   // the disk heartbeat lives, wardomd does not
  mgmt_lost,     // heard on the storage link only
  storage_lost,  // heard on the management link only
  isolated,      // heard on no link, the disk heartbeat lives, and it hears nobody
  split,         // heard on no link, the disk heartbeat lives, and it hears others
  suspect,       // silent on both links and on disk: being asked about
  storage_cut,   // heard on both links, but its disk heartbeat stands still
  dead,          // a verdict names this incarnation
  maintenance,
  left,
};

const char* to_text(HostState state);

// Made for every member on every beat: it holds no text of its own.
struct Judgement {
  HostState state{HostState::unknown};
  const char* reason{""};
  std::optional<Duration> silent_for;  // follows the reason, where it is said
  std::string because() const;         // one sentence for people
};

// A wardomd that has said that it may be back at once is waited for, so long and while the disk
// heartbeat goes on.
inline constexpr Duration kRestartPatience = std::chrono::seconds{5};

// verdict: a stored verdict about this member's newest incarnation exists.
// volume_ok: this host's own reads of the volume complete.
Judgement judge(const Evidence& evidence, HostId host, bool verdict, bool volume_ok, Instant now);

// What is still missing for the proof `power-off` (leases.md, Proofs).
struct PowerProof {
  bool complete{false};
  bool credible{false};   // the BMC's word counts for this silence
  bool slot_silent{false};
  int offs{0};
  std::string missing;    // for people; empty when complete
};
PowerProof power_proof(const Evidence& evidence, HostId host, Instant now);

}  // namespace wardom::core
