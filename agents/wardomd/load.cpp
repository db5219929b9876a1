#include "agents/wardomd/load.hpp"

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>

namespace wardom::daemon {
namespace {

constexpr std::uint64_t kKibPerMib = 1024;

}  // namespace

Load LoadSampler::sample() {
  Load load;
  load.cpus = std::max(1u, std::thread::hardware_concurrency());
  std::ifstream stat("/proc/stat");
  std::string word;
  stat >> word;  // "cpu", then user nice system idle iowait irq softirq steal (proc(5))
  std::uint64_t busy = 0;
  std::uint64_t total = 0;
  for (int column = 0; column < 8; ++column) {
    std::uint64_t ticks = 0;
    if (!(stat >> ticks)) break;
    total += ticks;
    if (column != 3 && column != 4) busy += ticks;
  }
  if (total > total_ && total_ != 0)
    load.cpu_permille = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(1000, (busy - std::min(busy, busy_)) * 1000 / (total - total_)));
  busy_ = busy;
  total_ = total;
  std::ifstream memory("/proc/meminfo");
  std::uint64_t kib = 0;
  std::string unit;
  while (memory >> word >> kib >> unit) {
    if (word == "MemTotal:") load.memory_total_mib = kib / kKibPerMib;
    if (word == "MemAvailable:") {
      load.memory_free_mib = kib / kKibPerMib;
      break;
    }
  }
  return load;
}

}  // namespace wardom::daemon
