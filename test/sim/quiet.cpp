// What a domain at rest asks of the state volume.
#include <catch2/catch.hpp>

#include "test/sim/world.hpp"

namespace wardom::sim {
namespace {

constexpr std::size_t kHosts = 5;
// Every disk interval of 1 s by the decider and the next in line, every T_F/4 = 5 s by the others,
// and a look at the lock now and then. Keepers' read-backs do not pass through the daemon.
// The two also look at one decision every 4 s, at both of its heads.
constexpr double kReads = 2 + (kHosts - 2) / 5.0 + 2 * 2 / 4.0 + 0.5;
constexpr Time kStarted = ms(20000);
constexpr double kSeconds = 120;

}  // namespace

TEST_CASE("a_domain_at_rest_reads_and_writes_no_more_than_it_needs") {
  Options options;
  options.hosts = kHosts;
  options.guests = 0;
  options.timing = timing_of(Profile::normal);
  options.timing.disk_interval = ms(1000);
  options.timing.suspect_after = ms(500);
  Domain d(options);
  for (auto& host : d.hosts) d.power_on(*host, ms(100));
  const auto run_to = [&d](Time until) { d.clock.run(until, [] { return false; }); };
  run_to(kStarted);
  const auto before = d.volume;
  run_to(kStarted + ms(1000 * static_cast<std::int64_t>(kSeconds)));
  const auto reads = static_cast<double>(d.volume.reads - before.reads) / kSeconds;
  const auto writes = static_cast<double>(d.volume.writes - before.writes) / kSeconds;
  INFO("reads " << reads << ", writes " << writes);
  CHECK(reads > 2);
  CHECK(reads <= kReads);
  CHECK(writes > 0.9 * kHosts);
  CHECK(writes <= kHosts + 1);
  CHECK_FALSE(d.violation.has_value());
}

}  // namespace wardom::sim
