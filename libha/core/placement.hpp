// Placement: which host each guest goes to. Pure and deterministic: recovery and `whatif` run it.
#pragma once

#include <string>
#include <vector>

#include "libha/core/ids.hpp"
#include "libha/core/records.hpp"

namespace wardom::core {

struct Candidate {
  HostId host;
  Load load;
  std::uint64_t promised_mib{0};   // memory of guests assigned to it that do not run yet
  std::uint32_t promised_vcpus{0};
};

struct Seeker {
  GuestId guest;
  std::string name;
  std::int32_t priority{0};
  std::uint64_t memory_kib{0};
  std::uint32_t vcpus{0};
  std::vector<HostId> avoid;  // hosts that refused it in this recovery
};

struct Place {
  GuestId guest;
  HostId target;    // kNoHost: it fits nowhere
  std::string why;  // for people: the choice, or what is missing on each host
};

// Guests in order of priority (higher first), then memory (larger first), then name; each to the
// host with the lowest CPU load among those with enough memory, promises included. Ties: the lower
// id. reserve_mib stays free on every host.
std::vector<Place> place(std::vector<Seeker> seekers, std::vector<Candidate> candidates,
                         std::uint64_t reserve_mib);

}  // namespace wardom::core
