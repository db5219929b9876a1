// wardom-sim --seeds A..B [--trace] [--seconds S]: runs seeds, prints a line per failing one.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "test/sim/run.hpp"

namespace {

using wardom::sim::Outcome;

struct Totals {
  std::uint64_t seeds{0};
  std::uint64_t failed{0};
  int exit_code{0};
  wardom::Duration virtual_time{0};
  std::uint64_t turns{0};
  std::map<std::string, std::uint64_t> marks;
};

void tell(std::uint64_t seed, const Outcome& outcome) {
  std::printf("seed %llu: exit %d: %s\n", static_cast<unsigned long long>(seed),
              outcome.violation->exit_code, outcome.violation->what.c_str());
  for (const auto& fault : outcome.faults)
    std::printf("    %8.4f %s host %zu other %zu for %s\n",
                static_cast<double>(fault.at.count()) / 1e9, to_text(fault.kind), fault.host + 1,
                fault.other + 1, wardom::to_text(fault.lasts).c_str());
  std::fflush(stdout);
}

void run_one(std::uint64_t seed, bool trace, bool hashes, int plant, int hosts, Totals& totals) {
  auto options = plant == 0 ? wardom::sim::options_of(seed)
                            : wardom::sim::planted_options(
                                  static_cast<wardom::sim::Planted>(plant), seed);
  options.trace = trace;
  if (hosts > 0) options.hosts = static_cast<std::size_t>(hosts);
  const auto outcome = wardom::sim::run(options);
  ++totals.seeds;
  totals.virtual_time += outcome.ran;
  totals.turns += outcome.turns;
  for (const auto& [mark, count] : outcome.marks) totals.marks[mark] += count;
  if (hashes)
    std::printf("seed %llu: %016llx\n", static_cast<unsigned long long>(seed),
                static_cast<unsigned long long>(outcome.hash));
  if (!outcome.violation) return;
  ++totals.failed;
  totals.exit_code = std::max(totals.exit_code, outcome.violation->exit_code);
  tell(seed, outcome);
}

// The seeds of a file, one per line, each with an optional comment after '#'.
std::vector<std::uint64_t> seeds_of(const std::string& path) {
  std::vector<std::uint64_t> seeds;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    if (std::uint64_t seed = 0; words >> seed) seeds.push_back(seed);
  }
  return seeds;
}

// Each planted bug must be caught by one of the first seeds, and the same schedules must pass
// without it: else they show nothing.
constexpr std::uint64_t kPlantedSeeds = 40;

int run_planted() {
  using wardom::sim::Planted;
  int failures = 0;
  for (int i = 1; i < wardom::sim::kPlanted; ++i) {
    const auto planted = static_cast<Planted>(i);
    std::uint64_t caught = 0;
    std::string how;
    std::string false_alarm;
    for (std::uint64_t seed = 1; seed <= kPlantedSeeds; ++seed) {
      auto options = wardom::sim::planted_options(planted, seed);
      if (const auto bent = wardom::sim::run(options); bent.violation && caught == 0) {
        caught = seed;
        how = bent.violation->what;
      }
      options.planted = Planted::none;
      if (const auto sound = wardom::sim::run(options); sound.violation && false_alarm.empty())
        false_alarm = "seed " + std::to_string(seed) + ": " + sound.violation->what;
      if (caught != 0 && seed >= 5) break;
    }
    const bool good = caught != 0 && false_alarm.empty();
    if (!good) ++failures;
    std::printf("%s: %s%s%s\n", to_text(planted),
                caught == 0 ? "NOT CAUGHT"
                            : ("caught by seed " + std::to_string(caught) + ", " + how).c_str(),
                false_alarm.empty() ? "" : "; FAILS WITHOUT IT: ", false_alarm.c_str());
  }
  return failures == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Runs Wardom's core, wire and loop in a simulated domain."};
  std::string range = "1..100";
  std::string replay;
  bool trace = false;
  bool hashes = false;
  bool planted = false;
  int plant = 0;
  int seconds = 0;
  int hosts = 0;
  app.add_option("--seeds", range, "A..B, or one seed");
  app.add_option("--replay", replay, "a file of seeds, run instead of --seeds");
  app.add_flag("--trace", trace, "print what happens");
  app.add_flag("--hashes", hashes, "print each run's hash");
  app.add_option("--seconds", seconds, "stop after so much real time");
  app.add_option("--hosts", hosts, "so many hosts")->check(CLI::Range(2, 8));
  app.add_flag("--planted", planted, "show that each planted bug is caught");
  app.add_option("--plant", plant, "run the seeds with this planted bug")
      ->check(CLI::Range(0, wardom::sim::kPlanted - 1));
  CLI11_PARSE(app, argc, argv);
  if (planted) return run_planted();
  const auto dots = range.find("..");
  const auto first = std::stoull(range);
  const auto last = dots == std::string::npos ? first : std::stoull(range.substr(dots + 2));
  std::vector<std::uint64_t> seeds;
  if (replay.empty())
    for (auto seed = first; seed <= last; ++seed) seeds.push_back(seed);
  else
    seeds = seeds_of(replay);
  Totals totals;
  const auto start = std::chrono::steady_clock::now();
  for (const auto seed : seeds) {
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    if (seconds > 0 && spent.count() > seconds) break;
    run_one(seed, trace, hashes, plant, hosts, totals);
  }
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  const auto hours = static_cast<double>(totals.virtual_time.count()) / 3.6e12;
  std::printf("%llu seeds, %llu failed, %.2f virtual hours, %.1f s, %.3f virtual hours/s, %.2f us "
              "per turn\n",
              static_cast<unsigned long long>(totals.seeds),
              static_cast<unsigned long long>(totals.failed), hours, spent.count(),
              hours / spent.count(), spent.count() * 1e6 / static_cast<double>(totals.turns + 1));
  for (const auto& [mark, count] : totals.marks)
    std::printf("  %s: %llu\n", mark.c_str(), static_cast<unsigned long long>(count));
  return totals.exit_code;
}
