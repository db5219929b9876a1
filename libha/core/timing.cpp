#include "libha/core/timing.hpp"

#include <utility>

namespace wardom {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Faults {
 public:
  void range(const char* key, Duration value, Duration least, Duration most) {
    if (value >= least && value <= most) return;
    add(key, "is " + to_text(value) + "; give a value from " + to_text(least) + " to " +
                 to_text(most));
  }
  // Adds the fault unless the inequality holds.
  void require(bool holds, const char* key, std::string what) {
    if (!holds) add(key, std::move(what));
  }
  std::vector<TimingFault> take() { return std::move(list_); }

 private:
  void add(const char* key, std::string what) { list_.push_back({key, std::move(what)}); }
  std::vector<TimingFault> list_;
};

void check_ranges(const Timing& t, Faults& faults) {
  faults.range("timing.beat_interval", t.beat_interval, kBeatIntervalMin, kBeatIntervalMax);
  faults.range("timing.suspect_after", t.suspect_after, kSuspectAfterMin, kSuspectAfterMax);
  faults.range("timing.disk_interval", t.disk_interval, kDiskIntervalMin, kDiskIntervalMax);
  faults.range("timing.power_poll", t.power_poll, kPowerPollMin, kPowerPollMax);
  faults.range("bmc.session_timeout", t.bmc_timeout, kBmcTimeoutMin, kBmcTimeoutMax);
  faults.range("isolation.delay", t.isolation_delay, kIsolationDelayMin, kIsolationDelayMax);
  faults.range("isolation.patience", t.shutdown_patience, kShutdownPatienceMin,
               kShutdownPatienceMax);
}

}  // namespace

Timing timing_of(Profile profile) {
  Timing timing;
  timing.profile = profile;
  switch (profile) {
    case Profile::fast:
      timing.feed_window = seconds{6};
      timing.watchdog = seconds{5};
      break;
    case Profile::normal:
      timing.feed_window = seconds{20};
      timing.watchdog = seconds{10};
      break;
    case Profile::tolerant:
      timing.feed_window = seconds{60};
      timing.watchdog = seconds{15};
      break;
  }
  return timing;
}

// D = (1+rho) * [T_F/(1-rho) + W(1+rho_w) + G], in whole nanoseconds, rounded up at each step so
// that rounding never shortens the wait.
Duration lease_silence(Duration feed_window, Duration watchdog) {
  constexpr auto scale = [](std::int64_t ns, std::int64_t times, std::int64_t over) {
    return (ns * times + over - 1) / over;
  };
  const auto window = scale(feed_window.count(), 100, 100 - kClockErrorPercent);
  const auto reset = scale(watchdog.count(), 100 + kWatchdogErrorPercent, 100);
  const auto sum = window + reset + kClockGranularity.count();
  return Duration{scale(sum, 100 + kClockErrorPercent, 100)};
}

std::vector<TimingFault> check(const Timing& t) {
  Faults faults;
  check_ranges(t, faults);
  // One lost datagram, or two, must never make a suspect.
  faults.require(3 * t.beat_interval <= t.suspect_after, "timing.suspect_after",
                 "is " + to_text(t.suspect_after) +
                     ", less than 3 × beat_interval; give at least " +
                     to_text(3 * t.beat_interval) + " or lower `timing.beat_interval`");
  // Suspicion must come while the suspect still counts itself as healthy: at T_F/2 its own ladder
  // refuses new starts, and its peers should know of the trouble before that.
  faults.require(2 * t.suspect_after < t.feed_window, "timing.suspect_after",
                 "is " + to_text(t.suspect_after) + "; with profile \"" + to_text(t.profile) +
                     "\" it must be below T_F/2 = " + to_text(t.feed_window / 2));
  // When the links fall silent, the slot tells an isolated host from a dead one. That answer may
  // cost as long as the suspicion itself, no more. (A `power-off` proof waits for the slot to be
  // silent for more than one disk_interval.)
  faults.require(t.disk_interval <= 2 * t.suspect_after, "timing.disk_interval",
                 "is " + to_text(t.disk_interval) + ", more than 2 × suspect_after; give at most " +
                     to_text(2 * t.suspect_after) + " or raise `timing.suspect_after`");
  // Four heartbeat writes in a row may fail or be late before the ladder's first step at T_F/2.
  faults.require(t.feed_window > 8 * t.disk_interval, "timing.disk_interval",
                 "is " + to_text(t.disk_interval) + "; with profile \"" + to_text(t.profile) +
                     "\" it must be below T_F/8 = " + to_text(t.feed_window / 8));
  // A BMC is credible by an `on` reading within the last poll period. One that is as old as T_F
  // may speak of an earlier boot, since the watchdog can have reset the host in between.
  faults.require(t.power_poll < t.feed_window, "timing.power_poll",
                 "is " + to_text(t.power_poll) + "; with profile \"" + to_text(t.profile) +
                     "\" it must be below T_F = " + to_text(t.feed_window));
  // A power-off and its two readings, each lasting to its limit, must end before the silence
  // would prove the same by itself; else asking the BMC gains nothing.
  faults.require(3 * t.bmc_timeout <= lease_silence(t), "bmc.session_timeout",
                 "is " + to_text(t.bmc_timeout) + "; with profile \"" + to_text(t.profile) +
                     "\" it must be at most a third of D = " +
                     to_text(std::chrono::floor<milliseconds>(lease_silence(t))));
  // No guest is ended before the others' slots have had the time to say whom they hear now.
  faults.require(t.isolation_delay > links_told_within(t), "isolation.delay",
                 "is " + to_text(t.isolation_delay) +
                     "; it must be above 2 × suspect_after + 3 × disk_interval = " +
                     to_text(links_told_within(t)));
  return faults.take();
}

std::string to_text(Duration duration) {
  const auto ms = whole_ms(duration);
  if (ms == 0 && duration != Duration::zero()) return std::to_string(duration.count()) + "ns";
  if (ms != 0 && ms % 60000 == 0) return std::to_string(ms / 60000) + "m";
  if (ms != 0 && ms % 1000 == 0) return std::to_string(ms / 1000) + "s";
  return std::to_string(ms) + "ms";
}

const char* to_text(Profile profile) {
  switch (profile) {
    case Profile::fast: return "fast";
    case Profile::normal: return "default";
    case Profile::tolerant: return "tolerant";
  }
  return "?";
}

}  // namespace wardom
