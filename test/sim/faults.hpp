// What goes wrong in a run, drawn from its seed: a list, so that single faults can be left out.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "test/sim/world.hpp"

namespace wardom::sim {

inline constexpr int kFaultKinds = 44;
// These are drawn by their number: no kind may come between them.
inline constexpr int kDrawnKinds = 36;
const char* to_text(FaultKind kind);

// A round's faults, in time's order.
std::vector<Fault> draw_faults(const Options& options, std::size_t round);
void strike(Domain& domain, const Fault& fault);

// "hang/2/3/0/1500000/4000000": kind, host, other host, round, at and how long in microseconds;
// several with commas between. nullopt: not so.
std::string to_text(const std::vector<Fault>& faults);
std::optional<std::vector<Fault>> parse_faults(const std::string& text);

}  // namespace wardom::sim
