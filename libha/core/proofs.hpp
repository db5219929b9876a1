// Proofs: what shows that an incarnation of a host can run nothing any more, and what is missing
// for it. The one place that knows every kind of proof; a verdict, and a take-over of a dead
// owner's lock, rest on what proof_about() says and on nothing else. Pure functions.
//
// A proof counts for the incarnation asked about and follows from evidence alone. A stored verdict
// (board.hpp) says the same for ever, also when the evidence has gone with the daemon that had it.
#pragma once

#include <optional>
#include <string>

#include "libha/core/evidence.hpp"

namespace wardom::core {

struct ProofAbout {
  Proof proof{Proof::none};  // none: nothing is proved
  std::string detail;        // what the proof rests on; for the verdict and for people
  // Without a proof: which ones are waited for and what each lacks, for people.
  std::string missing;
  // Without a proof: when `lease-expired` comes should the silence go on, on this host's clock.
  // nullopt: it cannot come by itself.
  std::optional<Instant> lease_expires;

  bool stands() const { return proof != Proof::none; }
};

// What is proved about `incarnation` of `host`, which may be an earlier one than evidence shows
// now: what ended a later boot of a machine, or followed it, has ended the earlier ones.
// The quickest kind of proof that is complete is named. `incarnation` none: nothing is proved.
ProofAbout proof_about(const Evidence& evidence, HostId host, const Incarnation& incarnation,
                       Instant now);

// A sign that the newest incarnation of `host` lives, as a sentence; empty: there is none. Not
// being able to look is a reason too: an operator's word is not taken against either.
std::string life_sign(const Evidence& evidence, HostId host, Instant now);

const char* to_text(Proof proof);  // "power-off", "lease-expired", …

// D as an observer counts it for the host that wrote `slot` (leases.md, the observer's side).
// nullopt: the slot publishes no lease that could expire: no watchdog, `left`, or a feed window
// that is not the one of this cluster's profile.
std::optional<Duration> published_lease(const Slot& slot, const Timing& timing);

}  // namespace wardom::core
