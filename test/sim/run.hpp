// One run: build up, faults, heal, liveness.
#pragma once

#include "test/sim/faults.hpp"
#include "test/sim/world.hpp"

namespace wardom::sim {

inline constexpr Time kFaultsFrom = ms(12000);

struct Outcome {
  std::optional<Violation> violation;
  std::uint64_t hash{0};
  std::uint64_t turns{0};
  Time ran{0};
  std::map<std::string, std::uint64_t> marks;
  std::vector<Fault> faults;
};

Options options_of(std::uint64_t seed);
// A schedule that needs the barrier which the planted bug takes away.
Options planted_options(Planted planted, std::uint64_t seed);
Outcome run(const Options& options);

}  // namespace wardom::sim
