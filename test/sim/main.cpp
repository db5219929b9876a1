// The simulator's command: scripts/sim, and what ctest runs.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>

#include "test/sim/run.hpp"

namespace {

namespace json = boost::json;
using wardom::sim::Options;
using wardom::sim::Outcome;
using wardom::sim::Planted;

#ifdef WARDOM_SIM_PLANTED
constexpr bool kCanPlant = true;
#else
constexpr bool kCanPlant = false;
#endif
constexpr int kCrash = 127;
constexpr int kShrinkRuns = 300;
// Each planted bug is given this many seeds, or so much time; the first ones must pass without it.
constexpr std::uint64_t kPlantedSeeds = 3000;
constexpr double kPlantedSeconds = 60;
// The sound core is run by so many seeds, and by the one that caught the bug.
constexpr std::uint64_t kSoundSeeds = 8;

struct Arguments {
  std::string range{"1..100"};
  std::string replay;
  std::string faults;
  bool trace{false};
  bool hashes{false};
  bool planted{false};
  bool as_json{false};
  bool keep_all{false};
  bool rollouts{false};
  int plant{0};
  bool only_behind{false};
  int hosts{0};
  int seconds{0};
  double hours{0};
};

struct Totals {
  std::uint64_t seeds{0};
  std::uint64_t failed{0};
  int exit_code{0};
  double hours{0};
  double host_hours{0};
  std::uint64_t turns{0};
  std::map<std::string, std::uint64_t> marks;
  json::array failures;
};

volatile std::uint64_t running_seed = 0;

// The run is lost; its seed must not be.
void on_crash(int signal) {
  char line[64];
  const int size = std::snprintf(line, sizeof line, "seed %llu: exit 127: signal %d\n",
                                 static_cast<unsigned long long>(running_seed), signal);
  (void)!::write(STDOUT_FILENO, line, static_cast<std::size_t>(size));
  ::_exit(kCrash);
}

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

Options options_for(const Arguments& arguments, std::uint64_t seed) {
  auto options = arguments.plant == 0
                     ? wardom::sim::options_of(seed)
                     : wardom::sim::planted_options(static_cast<Planted>(arguments.plant), seed);
  if (arguments.only_behind) wardom::sim::leave_out_the_bug(options);
  if (arguments.hosts > 0) options.hosts = static_cast<std::size_t>(arguments.hosts);
  if (arguments.rollouts) wardom::sim::draw_rollout(options);
  options.length = wardom::Duration{static_cast<std::int64_t>(arguments.hours * 3.6e12)};
  options.trace = arguments.trace;
  if (!arguments.faults.empty()) options.faults = wardom::sim::parse_faults(arguments.faults);
  return options;
}

std::string replay_line(const Arguments& arguments, std::uint64_t seed,
                        const std::vector<wardom::sim::Fault>& faults) {
  std::ostringstream line;
  line << "scripts/sim --seed " << seed;
  if (arguments.hosts > 0) line << " --hosts " << arguments.hosts;
  if (arguments.hours > 0) line << " --hours " << arguments.hours;
  if (arguments.rollouts) line << " --rollouts";
  line << " --faults " << to_text(faults) << " --trace";
  return line.str();
}

void tell_failure(const Arguments& arguments, std::uint64_t seed, const Options& options,
                  const Outcome& outcome, Totals& totals) {
  ++totals.failed;
  totals.exit_code = std::max(totals.exit_code, outcome.violation->exit_code);
  const bool shrinkable = arguments.plant == 0 && arguments.faults.empty() && !arguments.trace &&
                          !arguments.keep_all;
  const auto faults =
      shrinkable ? wardom::sim::shrink(options, outcome, kShrinkRuns) : outcome.faults;
  const auto line = replay_line(arguments, seed, faults);
  if (arguments.as_json) {
    totals.failures.push_back({{"seed", seed},
                               {"exit_code", outcome.violation->exit_code},
                               {"what", outcome.violation->what},
                               {"faults", to_text(faults)},
                               {"replay", line}});
    return;
  }
  std::printf("seed %llu: exit %d: %s\n", static_cast<unsigned long long>(seed),
              outcome.violation->exit_code, outcome.violation->what.c_str());
  for (const auto& fault : faults)
    std::printf("    round %zu %8.4f %s host %zu other %zu for %s\n", fault.round,
                static_cast<double>(fault.at.count()) / 1e9, to_text(fault.kind), fault.host + 1,
                fault.other + 1, wardom::to_text(fault.lasts).c_str());
  std::printf("    %s\n", line.c_str());
  std::fflush(stdout);
}

void run_one(const Arguments& arguments, std::uint64_t seed, Totals& totals) {
  running_seed = seed;
  const auto options = options_for(arguments, seed);
  const auto outcome = wardom::sim::run(options);
  const auto hours = static_cast<double>(outcome.ran.count()) / 3.6e12;
  ++totals.seeds;
  totals.hours += hours;
  totals.host_hours += hours * static_cast<double>(options.hosts);
  totals.turns += outcome.turns;
  for (const auto& [mark, count] : outcome.marks) totals.marks[mark] += count;
  if (arguments.hashes)
    std::printf("seed %llu: %016llx\n", static_cast<unsigned long long>(seed),
                static_cast<unsigned long long>(outcome.hash));
  if (outcome.violation) tell_failure(arguments, seed, options, outcome, totals);
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

std::vector<std::uint64_t> seeds_of(const Arguments& arguments) {
  if (!arguments.replay.empty()) return seeds_of(arguments.replay);
  const auto dots = arguments.range.find("..");
  const auto first = std::stoull(arguments.range);
  const auto last =
      dots == std::string::npos ? first : std::stoull(arguments.range.substr(dots + 2));
  std::vector<std::uint64_t> seeds;
  for (auto seed = first; seed <= last; ++seed) seeds.push_back(seed);
  return seeds;
}

// Every planted bug must be caught, and the same seeds must pass without it.
int run_planted(int only) {
  int failures = 0;
  for (int number = 1; number < wardom::sim::kPlanted; ++number) {
    if (only != 0 && only != number) continue;
    const auto planted = static_cast<Planted>(number);
    const auto begin = cpu_seconds();
    std::uint64_t caught = 0;
    std::string how;
    std::string false_alarm;
    for (std::uint64_t seed = 1; seed <= kPlantedSeeds; ++seed) {
      running_seed = seed;
      auto options = wardom::sim::planted_options(planted, seed);
      if (caught == 0)
        if (const auto bent = wardom::sim::run(options); bent.violation) {
          caught = seed;
          how = bent.violation->what;
        }
      if (caught != 0 && seed > kSoundSeeds) break;
      if (seed > kSoundSeeds) {
        if (cpu_seconds() - begin > kPlantedSeconds) break;
        continue;
      }
      wardom::sim::leave_out_the_bug(options);
      if (const auto sound = wardom::sim::run(options); sound.violation && false_alarm.empty())
        false_alarm = "seed " + std::to_string(seed) + ": " + sound.violation->what;
    }
    // What caught it must pass without it.
    if (caught > kSoundSeeds) {
      auto options = wardom::sim::planted_options(planted, caught);
      wardom::sim::leave_out_the_bug(options);
      if (const auto sound = wardom::sim::run(options); sound.violation && false_alarm.empty())
        false_alarm = "seed " + std::to_string(caught) + ": " + sound.violation->what;
    }
    const bool good = caught != 0 && false_alarm.empty();
    if (!good) ++failures;
    std::printf("%s: %s%s%s (%.1f s)\n", to_text(planted),
                caught == 0 ? "NOT CAUGHT"
                            : ("caught by seed " + std::to_string(caught) + ", " + how).c_str(),
                false_alarm.empty() ? "" : "; FAILS WITHOUT IT: ", false_alarm.c_str(),
                cpu_seconds() - begin);
  }
  return failures == 0 ? 0 : 1;
}

void print_totals(const Arguments& arguments, const Totals& totals, double cpu) {
  if (arguments.as_json) {
    json::object marks;
    for (const auto& [mark, count] : totals.marks) marks[mark] = count;
    const json::object all{{"seeds", totals.seeds},
                           {"failed", totals.failed},
                           {"simulated_hours", totals.hours},
                           {"simulated_host_hours", totals.host_hours},
                           {"cpu_s", cpu},
                           {"host_hours_per_cpu_s", cpu > 0 ? totals.host_hours / cpu : 0},
                           {"failures", totals.failures},
                           {"reached", marks}};
    std::printf("%s\n", json::serialize(all).c_str());
    return;
  }
  std::printf("%llu seeds, %llu failed, %.2f simulated hours (%.2f host-hours), %.1f CPU-s, "
              "%.2f host-hours per CPU-s, %.2f us per turn\n",
              static_cast<unsigned long long>(totals.seeds),
              static_cast<unsigned long long>(totals.failed), totals.hours, totals.host_hours, cpu,
              totals.host_hours / cpu, cpu * 1e6 / static_cast<double>(totals.turns + 1));
  for (const auto& [mark, count] : totals.marks)
    std::printf("  %s: %llu\n", mark.c_str(), static_cast<unsigned long long>(count));
}

int run_seeds(const Arguments& arguments) {
  Totals totals;
  const auto begin = std::chrono::steady_clock::now();
  const auto cpu = cpu_seconds();
  double told = 0;
  for (const auto seed : seeds_of(arguments)) {
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
    if (arguments.seconds > 0 && spent.count() > arguments.seconds) break;
    if (spent.count() - told >= 10 && ::isatty(STDERR_FILENO) != 0) {
      told = spent.count();
      std::fprintf(stderr, "%llu seeds, %llu failed, %.1f simulated hours\n",
                   static_cast<unsigned long long>(totals.seeds),
                   static_cast<unsigned long long>(totals.failed), totals.hours);
    }
    run_one(arguments, seed, totals);
  }
  print_totals(arguments, totals, cpu_seconds() - cpu);
  return totals.exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Runs Wardom's core, wire and loop in a simulated domain. Exit code: 0 nothing found,\n"
      "127 crash, 128 something never settled, 129 a safety rule was broken."};
  Arguments arguments;
  app.add_option("--seeds,--seed", arguments.range, "A..B, or one seed");
  app.add_option("--hosts", arguments.hosts, "so many hosts, instead of drawn 2, 3 or 5")
      ->check(CLI::Range(2, static_cast<int>(wardom::sim::kMaxHosts)));
  app.add_option("--hours", arguments.hours, "simulated time of each seed; default one round")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--seconds", arguments.seconds, "begin no seed after so much real time");
  app.add_option("--faults", arguments.faults, "these faults instead of drawn ones")
      ->check([](const std::string& text) {
        return wardom::sim::parse_faults(text) ? std::string() : "not a list of faults: " + text;
      });
  app.add_option("--replay", arguments.replay, "a file of seeds, run instead of --seeds")
      ->check(CLI::ExistingFile);
  app.add_flag("--trace", arguments.trace, "print what happens");
  app.add_flag("--hashes", arguments.hashes, "print each run's hash");
  app.add_flag("--rollouts", arguments.rollouts,
               "hosts get another wardom.toml, one after another");
  app.add_flag("--json", arguments.as_json, "the summary as one JSON value");
  app.add_flag("--no-shrink", arguments.keep_all, "print a failed seed's faults as drawn");
  if (kCanPlant) {
    app.add_flag("--planted", arguments.planted, "show that each planted bug is caught");
    app.add_option("--plant", arguments.plant, "run the seeds with this planted bug")
        ->check(CLI::Range(0, wardom::sim::kPlanted - 1));
    app.add_flag("--only-behind", arguments.only_behind,
                 "without the bug itself, only without the barriers behind it");
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL})
    std::signal(signal, on_crash);
  return arguments.planted ? run_planted(arguments.plant) : run_seeds(arguments);
}
