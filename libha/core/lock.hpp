// Who would take the domain lock if it were free, and in which order: a rule over fresh beats and
// slots. Two hosts may each believe to be first for a moment; the ballots (domain_lock.hpp) make
// one of them the owner. Pure.
#pragma once

#include <optional>

#include "libha/core/evidence.hpp"
#include "libha/core/groups.hpp"
#include "libha/core/quorum_device.hpp"

namespace wardom::core {

// A daemon that started less than so many beats ago has seen too little to judge a silence that
// began before: it leaves deciding to others, where one has been there for twice as long.
inline constexpr std::uint64_t kYoungBeats = 100;
// For each heavier split group so many places in the line are kept free.
inline constexpr std::size_t kPlacesPerGroup = 2;
// Hosts outside the ring that has most of the line take the lock only when nobody of that ring has
// done so for this many places.
inline constexpr std::size_t kPlacesOutsideRing = 4;

// What the rule needs beside the evidence.
struct RuleInputs {
  std::uint64_t own_beats{0};  // sent by this daemon since its start
  MemberSet gone;              // members whose present incarnation is known to be over
  MemberSet strangers;         // their wardom.toml differs: whom they hear is not known
  MemberSet proposers;         // who may own the lock
  bool able{true};             // this host's own writes and reads of the volume complete
  RingId ring;                 // as this host's own beats say
  Level level{kFirstLevel};    // the domain's
};

// The line of this host's own split group: those who can use the volume and may own the lock;
// young daemons last, else the lowest id first. A link counts only if both ends hear each other by
// it: a host that hears all and is heard by none is alone.
//
// Where Wardom is the quorum device, only the ring that holds the owner's host has quorum: whoever
// is in no ring, or in one with fewer hosts of the line than another has, stands behind all others.
struct Contention {
  std::vector<HostId> order;
  std::size_t inside{0};  // so many of them do not stand behind for that
  Groups groups;
  bool young{false};      // this host's daemon is
  bool outside{false};    // this host is one of those that stand behind
  // Place in the line once `without` is taken out; nullopt: not in it. Heavier groups come before.
  std::optional<std::size_t> place(HostId host, HostId without = kNoHost) const;
};
Contention contention(const Evidence& evidence, const Board& board, const RuleInputs& own,
                      Instant now);

// What this host may say of the ring that its corosync formed last: zero if a host of that ring is
// heard to be in a later one, for then corosync hangs here, or has not told yet.
RingId ring_to_tell(const Evidence& evidence, const RingFormed& formed, Instant now);

// Who decides now, and what that means for this host.
struct LockView {
  HostId decider;       // the owner, unless it is known to be gone; kNoHost: nobody decides
  LockVersion version;  // highest that is known to be decided
  bool mine{false};     // this host owns the lock and may act
  bool backup{false};   // next in line: keeps its BMC sessions warm
  bool asks{false};     // asks about a silent owner until there is proof
  std::size_t place{0}; // in the line, the owner taken out: who stands behind shoots later
  HostId owner;         // of `version`, gone or not
  // The owner has not given the lock up, and no proof says that its life is over: its death is
  // waited for, whatever it has of guests.
  bool owner_awaited{false};
  // What the decider records: the split groups by host id, the own one first; empty: the domain is
  // whole. none: they have not stood for long enough.
  std::optional<std::vector<std::vector<HostId>>> groups;
};

}  // namespace wardom::core
