// The host's load, from /proc: what it has to give, for placement.
#pragma once

#include <cstdint>

#include "libha/core/records.hpp"

namespace wardom::daemon {

class LoadSampler {
 public:
  // Busy share since the previous call; the first call gives 0. Cheap: two reads of /proc.
  Load sample();

 private:
  std::uint64_t busy_{0};
  std::uint64_t total_{0};
};

}  // namespace wardom::daemon
