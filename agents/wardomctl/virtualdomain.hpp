// Resources of ocf:heartbeat:VirtualDomain in a Pacemaker configuration (CIB) become resources of
// ocf:wardom:Guest. Only the agent changes: ids, operations, meta attributes, constraints and
// everything else stay as they are. What Guest cannot do is not left out in silence: such a
// resource stays with VirtualDomain, and the reason is told. Pure.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "libha/core/result.hpp"

namespace wardom::ctl {

struct ImportedResource {
  std::string id;                       // of a primitive or a template
  std::vector<std::string> left_out;    // "NAME=VALUE", which Guest does without
  std::vector<std::string> reasons;     // not empty: it stays with VirtualDomain
};

struct Imported {
  std::string before;  // the CIB as it was, written as `after` is, for a comparison
  std::string after;
  std::vector<ImportedResource> resources;  // in the order of the CIB
  bool in_maintenance{false};  // Pacemaker touches no resource: its agent may change under it

  bool all() const;   // no resource stays with VirtualDomain
  bool some() const;  // at least one changes
};

// dropped: parameters that are to be left out whatever they say. Error: not a CIB.
Result<Imported> import_virtualdomain(const std::string& cib,
                                      const std::set<std::string>& dropped);

}  // namespace wardom::ctl
