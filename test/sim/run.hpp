// One run: rounds of faults, each with its heal and the time in which all must settle.
#pragma once

#include "test/sim/faults.hpp"
#include "test/sim/world.hpp"

namespace wardom::sim {

inline constexpr Time kFaultsFrom = ms(12000);

struct Outcome {
  std::optional<Violation> violation;
  std::uint64_t hash{0};
  std::uint64_t acts{0};  // of what was done alone, not of what was written about it
  std::uint64_t turns{0};
  Time ran{0};
  std::map<std::string, std::uint64_t> marks;
  std::vector<Fault> faults;
};

Options options_of(std::uint64_t seed);
// Of a domain that gets another wardom.toml, host by host, in the first round.
void draw_rollout(Options& options);
// A schedule that needs the barrier which the planted bug takes away.
Options planted_options(Planted planted, std::uint64_t seed);
// The same schedule for a core that has the barrier, and none of those that stand behind it.
void leave_out_the_bug(Options& options);
Outcome run(const Options& options);
// The fewest and shortest faults found that break the same kind of rule, after so many runs at
// most. `failed`: the outcome of run(options), which has a violation.
std::vector<Fault> shrink(Options options, const Outcome& failed, int runs);

}  // namespace wardom::sim
