#include "libha/core/placement.hpp"

#include <algorithm>
#include <tuple>

namespace wardom::core {
namespace {

constexpr std::uint64_t kKibPerMib = 1024;
// A guest costs its host more than its memory: QEMU's own share, tables, buffers.
constexpr std::uint64_t kGuestOverheadMib = 64;

std::uint64_t need_mib(const Seeker& seeker) {
  return (seeker.memory_kib + kKibPerMib - 1) / kKibPerMib + kGuestOverheadMib;
}

std::uint64_t room_mib(const Candidate& candidate, std::uint64_t reserve_mib) {
  const auto taken = candidate.promised_mib + reserve_mib;
  return candidate.load.memory_free_mib > taken ? candidate.load.memory_free_mib - taken : 0;
}

// Expected CPU load in permille of the host, were every promised guest busy on all its vCPUs.
std::uint64_t expected_load(const Candidate& candidate) {
  const std::uint64_t cpus = std::max<std::uint32_t>(candidate.load.cpus, 1);
  return candidate.load.cpu_permille + candidate.promised_vcpus * 1000ULL / cpus;
}

bool avoids(const Seeker& seeker, HostId host) {
  return std::find(seeker.avoid.begin(), seeker.avoid.end(), host) != seeker.avoid.end();
}

std::string why_nowhere(const Seeker& seeker, const std::vector<Candidate>& candidates,
                        std::uint64_t reserve_mib) {
  if (candidates.empty()) return "no host is fit to take it";
  std::string why = "needs " + std::to_string(need_mib(seeker)) + " MiB;";
  for (const auto& candidate : candidates) {
    why += " host " + std::to_string(candidate.host.value);
    if (avoids(seeker, candidate.host))
      why += " refused it;";
    else
      why += " has " + std::to_string(room_mib(candidate, reserve_mib)) + " MiB;";
  }
  return why;
}

}  // namespace

std::vector<Place> place(std::vector<Seeker> seekers, std::vector<Candidate> candidates,
                         std::uint64_t reserve_mib) {
  std::stable_sort(seekers.begin(), seekers.end(), [](const Seeker& a, const Seeker& b) {
    return std::tuple(-a.priority, b.memory_kib, a.name, a.guest) <
           std::tuple(-b.priority, a.memory_kib, b.name, b.guest);
  });
  std::sort(candidates.begin(), candidates.end(),
            [](const Candidate& a, const Candidate& b) { return a.host < b.host; });
  std::vector<Place> places;
  for (const auto& seeker : seekers) {
    Candidate* best = nullptr;
    for (auto& candidate : candidates) {
      if (avoids(seeker, candidate.host)) continue;
      if (room_mib(candidate, reserve_mib) < need_mib(seeker)) continue;
      if (best == nullptr || expected_load(candidate) < expected_load(*best)) best = &candidate;
    }
    if (best == nullptr) {
      places.push_back({seeker.guest, kNoHost, why_nowhere(seeker, candidates, reserve_mib)});
      continue;
    }
    places.push_back({seeker.guest, best->host,
                      "lowest CPU load (" + std::to_string(expected_load(*best)) +
                          " permille) of the hosts with enough memory"});
    best->promised_mib += need_mib(seeker);
    best->promised_vcpus += std::max<std::uint32_t>(seeker.vcpus, 1);
  }
  return places;
}

}  // namespace wardom::core
