// What goes wrong in a run, drawn from its seed: a list, so that single faults can be left out.
#pragma once

#include <string>
#include <vector>

#include "test/sim/world.hpp"

namespace wardom::sim {

inline constexpr int kFaultKinds = 34;
const char* to_text(FaultKind kind);

struct Fault {
  Time at{0};
  FaultKind kind{FaultKind::hang};
  std::size_t host{0};
  std::size_t other{0};
  Duration lasts{0};
};

std::vector<Fault> draw_faults(const Options& options, Time from, Time until);
void strike(Domain& domain, const Fault& fault);

}  // namespace wardom::sim
