// The inequalities of core/timing, each just inside, at and just outside its edge.
#include <algorithm>
#include <catch2/catch.hpp>

#include "libha/core/timing.hpp"

using namespace wardom;
using namespace std::chrono_literals;

namespace {

std::vector<std::string> faulty_keys(const Timing& timing) {
  std::vector<std::string> keys;
  for (const auto& fault : check(timing)) keys.push_back(fault.key);
  return keys;
}

using Keys = std::vector<std::string>;

}  // namespace

TEST_CASE("check_accepts_defaults_of_every_profile") {
  for (auto profile : {Profile::fast, Profile::normal, Profile::tolerant})
    CHECK(check(timing_of(profile)).empty());
}

TEST_CASE("lease_silence_matches_published_values") {
  CHECK(std::chrono::round<std::chrono::milliseconds>(lease_silence(timing_of(Profile::fast))) ==
        12434ms);
  CHECK(std::chrono::round<std::chrono::milliseconds>(lease_silence(timing_of(Profile::normal))) ==
        32019ms);
  const auto tolerant = lease_silence(timing_of(Profile::tolerant));
  CHECK(tolerant > 78s);
  CHECK(tolerant < 79s);
}

TEST_CASE("check_suspicion_needs_three_beats") {
  Timing timing;
  timing.suspect_after = 3 * timing.beat_interval;
  CHECK(faulty_keys(timing).empty());
  timing.suspect_after -= 1ms;
  CHECK(faulty_keys(timing) == Keys{"timing.suspect_after"});
}

TEST_CASE("check_suspicion_before_own_ladder") {
  auto timing = timing_of(Profile::fast);
  timing.suspect_after = timing.feed_window / 2 - 1ms;
  CHECK(faulty_keys(timing).empty());
  timing.suspect_after = timing.feed_window / 2;
  CHECK(faulty_keys(timing) == Keys{"timing.suspect_after"});
}

TEST_CASE("check_disk_interval_within_twice_suspicion") {
  Timing timing;
  timing.disk_interval = 2 * timing.suspect_after;
  CHECK(faulty_keys(timing).empty());
  timing.disk_interval += 1ms;
  CHECK(faulty_keys(timing) == Keys{"timing.disk_interval"});
}

TEST_CASE("check_feed_window_holds_eight_disk_intervals") {
  auto timing = timing_of(Profile::fast);
  timing.suspect_after = 2s;
  timing.disk_interval = timing.feed_window / 8 - 1ms;
  CHECK(faulty_keys(timing).empty());
  timing.disk_interval = timing.feed_window / 8;
  CHECK(faulty_keys(timing) == Keys{"timing.disk_interval"});
}

TEST_CASE("check_power_poll_below_feed_window") {
  auto timing = timing_of(Profile::fast);
  timing.power_poll = timing.feed_window - 1ms;
  CHECK(faulty_keys(timing).empty());
  timing.power_poll = timing.feed_window;
  CHECK(faulty_keys(timing) == Keys{"timing.power_poll"});
}

TEST_CASE("check_three_bmc_answers_fit_into_lease_silence") {
  auto timing = timing_of(Profile::fast);
  timing.bmc_timeout = lease_silence(timing) / 3;
  CHECK(faulty_keys(timing).empty());
  timing.bmc_timeout += 1ms;
  CHECK(faulty_keys(timing) == Keys{"bmc.session_timeout"});
}

TEST_CASE("check_isolation_delay_outlasts_what_slots_tell_of_links") {
  auto timing = timing_of(Profile::tolerant);
  timing.suspect_after = 2s;
  timing.disk_interval = 1s;
  timing.isolation_delay = 2 * timing.suspect_after + 3 * timing.disk_interval + 1ms;
  CHECK(faulty_keys(timing).empty());
  timing.isolation_delay -= 1ms;
  CHECK(faulty_keys(timing) == Keys{"isolation.delay"});
}

TEST_CASE("check_ranges_at_their_edges") {
  struct Range {
    Duration Timing::*field;
    const char* key;
    Duration least;
    Duration most;
  };
  const Range ranges[] = {
      {&Timing::beat_interval, "timing.beat_interval", 50ms, 1s},
      {&Timing::suspect_after, "timing.suspect_after", 150ms, 10s},
      {&Timing::disk_interval, "timing.disk_interval", 100ms, 5s},
      {&Timing::power_poll, "timing.power_poll", 250ms, 30s},
      {&Timing::bmc_timeout, "bmc.session_timeout", 200ms, 10s},
      {&Timing::isolation_delay, "isolation.delay", 2s, 10min},
      {&Timing::shutdown_patience, "isolation.patience", 1s, 30min},
  };
  for (const auto& range : ranges) {
    auto timing = timing_of(Profile::tolerant);
    const auto reported = [&](Duration value) {
      timing.*range.field = value;
      const auto faults = check(timing);
      return std::any_of(faults.begin(), faults.end(), [&](const TimingFault& fault) {
        return fault.key == range.key &&
               fault.what.find("; give a value from ") != std::string::npos;
      });
    };
    CAPTURE(range.key);
    CHECK(reported(range.least - 1ms));
    CHECK_FALSE(reported(range.least));
    CHECK_FALSE(reported(range.most));
    CHECK(reported(range.most + 1ms));
  }
}

TEST_CASE("to_text_spells_durations_as_the_file_does") {
  CHECK(to_text(100ms) == "100ms");
  CHECK(to_text(Duration{2s}) == "2s");
  CHECK(to_text(Duration{1min}) == "1m");
  CHECK(to_text(Duration{0}) == "0ms");
  CHECK(to_text(Duration{1500ms}) == "1500ms");
}
