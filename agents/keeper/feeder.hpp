// The thread that feeds the watchdog inside the window: real-time, in locked memory, with atomics
// alone. After its start it allocates nothing, takes no lock and touches no file but the watchdog.
#pragma once

#include <pthread.h>

#include <atomic>
#include <optional>

#include "libha/core/result.hpp"
#include "libha/core/timing.hpp"
#include "libha/port/watchdog.hpp"

namespace wardom::keeper {

inline constexpr std::size_t kFeederStackBytes = 64 * 1024;
inline constexpr int kFeederPriority = 20;  // SCHED_RR, 1..99: above what others use by default
inline constexpr Duration kFeedEveryMost = std::chrono::milliseconds{500};
// BOOTTIME runs on in suspend, RAW does not. BOOTTIME is also slewed, by at most 10 %, and a thread
// may be held up between reading the two.
inline constexpr Duration kSuspendJump = std::chrono::seconds{1};
inline constexpr int kSlewPercent = 10;

// Why it feeds no more. Each holds for the rest of the boot.
enum class Lapse : std::uint8_t { none, window_ended, stalled, suspended, left };
const char* to_text(Lapse lapse);

// What two looks at the clocks mean. Pure.
struct Clocks {
  Instant raw;
  Duration boot{};  // CLOCK_BOOTTIME
};
bool was_suspended(const Clocks& before, const Clocks& now);

class Feeder {
 public:
  // The watchdog and the feeder live until the process ends.
  explicit Feeder(port::Watchdog& watchdog) : watchdog_(watchdog) {}
  Feeder(const Feeder&) = delete;
  Feeder& operator=(const Feeder&) = delete;

  // Starts the thread; it feeds while `now < feed_until`. Without the right to real-time scheduling
  // it runs all the same, and `warning` says so.
  Result<void> start(Instant feed_until, std::string& warning);
  // Moves the window's end, unless that has come: then false, and it feeds no more.
  bool extend(Instant feed_until);
  // Never feeds again. Any thread; returns at once.
  void stop(Lapse why);

  Lapse lapse() const { return lapse_.load(); }
  Instant last_fed() const { return Instant{Duration{last_fed_.load()}}; }
  std::uint64_t failures() const { return failures_.load(); }  // refused by the driver

 private:
  static void* serve(void* self);
  void cycle(Clocks& before);

  port::Watchdog& watchdog_;
  pthread_t thread_{};
  std::atomic<std::int64_t> feed_until_{0};  // ns of RAW
  std::atomic<Lapse> lapse_{Lapse::none};
  std::atomic<std::int64_t> last_fed_{0};
  std::atomic<std::uint64_t> failures_{0};
};

}  // namespace wardom::keeper
