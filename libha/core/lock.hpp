// Who would take the domain lock if it were free, and in which order: a rule over fresh beats and
// slots. Two hosts may each believe to be first for a moment; the ballots (domain_lock.hpp) make
// one of them the owner. Pure.
#pragma once

#include <optional>

#include "libha/core/evidence.hpp"

namespace wardom::core {

// A daemon that started less than so many beats ago has seen too little to judge a silence that
// began before: it leaves deciding to others, where one has been there for twice as long.
inline constexpr std::uint64_t kYoungBeats = 100;

// What the rule needs beside the evidence.
struct RuleInputs {
  std::uint64_t own_beats{0};  // sent by this daemon since its start
  MemberSet condemned;         // members whose present incarnation a verdict names
  bool able{true};             // this host's own writes and reads of the volume complete
};

// The hosts that see, and are seen by, a majority of the domain, and can use the volume; young
// daemons last, else the lowest id first. A link counts only if both ends hear each other by it: a
// host that hears all and is heard by none decides nothing. A host that this one does not hear, but
// that a heard member hears, stands in the order by what its slot says.
struct Contention {
  std::vector<HostId> order;
  bool in_touch{false};  // this host is in touch with a majority
  bool young{false};     // this host's daemon is
  // Place in the order once `without` is taken out; nullopt: not in it.
  std::optional<std::size_t> place(HostId host, HostId without = kNoHost) const;
};
Contention contention(const Evidence& evidence, const RuleInputs& own, Instant now);

// Who decides now, and what that means for this host.
struct LockView {
  HostId decider;       // the owner, unless it is known to be gone; kNoHost: nobody decides
  LockVersion version;  // highest that is known to be decided
  bool mine{false};     // this host owns the lock and may act
  bool backup{false};   // next in line: keeps its BMC sessions warm
  bool first{false};    // next in line, and fit: asks about a silent owner until there is proof
  HostId owner;         // of `version`, gone or not
};

}  // namespace wardom::core
