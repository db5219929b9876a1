// Who decides in a domain. In this release a rule over fresh beats; the domain lock on the state
// volume (leases.md) replaces the rule behind this interface. Pure.
#pragma once

#include "libha/core/evidence.hpp"

namespace wardom::core {

struct LockView {
  HostId decider;      // kNoHost: nobody may decide
  bool mine{false};
  bool backup{false};  // next in line: keeps its BMC sessions warm
};

class DeciderRule {
 public:
  virtual LockView view(const Evidence& evidence, Instant now) const = 0;

 protected:
  ~DeciderRule() = default;
};

// The lowest id among hosts that see a majority of the domain by fresh beats. A host that this one
// does not hear, but that a heard member hears, counts as a candidate: it may well decide.
// Two hosts can believe in themselves for a moment; claims on the volume keep that harmless.
class LowestOfMajority final : public DeciderRule {
 public:
  LockView view(const Evidence& evidence, Instant now) const override;
};

}  // namespace wardom::core
