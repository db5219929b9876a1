// Who decides in a domain. In this release a rule over fresh beats; the domain lock on the state
// volume (leases.md) replaces the rule behind this interface. Pure.
#pragma once

#include "libha/core/evidence.hpp"

namespace wardom::core {

// A daemon that started less than so many beats ago has seen too little to judge a silence that
// began before: it leaves deciding to others, where one has been there for twice as long.
inline constexpr std::uint64_t kYoungBeats = 100;

struct LockView {
  HostId decider;      // kNoHost: nobody may decide
  bool mine{false};
  bool backup{false};  // next in line: keeps its BMC sessions warm
};

// What the rule needs beside the evidence.
struct RuleInputs {
  std::uint64_t own_beats{0};  // sent by this daemon since its start
  MemberSet condemned;         // members whose present incarnation a verdict names
};

class DeciderRule {
 public:
  virtual LockView view(const Evidence& evidence, const RuleInputs& own, Instant now) const = 0;

 protected:
  ~DeciderRule() = default;
};

// The lowest id among hosts that see, and are seen by, a majority of the domain. A link counts only
// if both ends hear each other by it: a host that hears all and is heard by none decides nothing.
// A host that this one does not hear, but that a heard member hears, is a candidate by what its
// slot says. Two hosts can believe in themselves for a moment; claims on the volume keep that
// harmless.
class LowestOfMajority final : public DeciderRule {
 public:
  LockView view(const Evidence& evidence, const RuleInputs& own, Instant now) const override;
};

}  // namespace wardom::core
