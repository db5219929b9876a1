// What goes wrong in a run, drawn from its seed: a list, so that single faults can be left out.
#pragma once

#include <string>
#include <vector>

#include "test/sim/world.hpp"

namespace wardom::sim {

enum class FaultKind : std::uint8_t {
  power_cut, pull, reset, hang, daemon_kill, daemon_hang, keeper_kill, libvirt_restart,
  libvirt_away, corosync_down, cut_all, cut_out, cut_in, cut_mgmt, cut_storage, cut_pair, lossy,
  storage_stall, storage_slow, volume_outage, bmc_unreachable, bmc_slow, bmc_deaf, bmc_lie,
  bmc_glitch, start_fails, start_open, start_slow, admin_start, admin_shutdown, redefine,
  unprotect, protect, cell_damaged
};
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
