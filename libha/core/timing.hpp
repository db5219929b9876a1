// Every timeout of the cluster and every inequality between timeouts, in one place.
//
// The values come from [timing] and [bmc] of wardom.toml and are the same on all hosts. check()
// runs before anything else uses them. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libha/core/time.hpp"

namespace wardom {

// How patient the lease is. `normal` is "default" in wardom.toml, a keyword in C++.
enum class Profile : std::uint8_t { fast, normal, tolerant };

// Clock-rate error of two hosts, of a hardware watchdog, and the granularity of both.
inline constexpr std::int64_t kClockErrorPercent = 1;
inline constexpr std::int64_t kWatchdogErrorPercent = 5;
inline constexpr Duration kClockGranularity = std::chrono::seconds{1};

inline constexpr Duration kBeatIntervalMin = std::chrono::milliseconds{50};
inline constexpr Duration kBeatIntervalMax = std::chrono::seconds{1};
inline constexpr Duration kSuspectAfterMin = std::chrono::milliseconds{150};
inline constexpr Duration kSuspectAfterMax = std::chrono::seconds{10};
inline constexpr Duration kDiskIntervalMin = std::chrono::milliseconds{100};
inline constexpr Duration kDiskIntervalMax = std::chrono::seconds{5};
inline constexpr Duration kPowerPollMin = std::chrono::milliseconds{250};
inline constexpr Duration kPowerPollMax = std::chrono::seconds{30};
inline constexpr Duration kBmcTimeoutMin = std::chrono::milliseconds{200};
inline constexpr Duration kBmcTimeoutMax = std::chrono::seconds{10};
inline constexpr Duration kIsolationDelayMin = std::chrono::seconds{2};
inline constexpr Duration kIsolationDelayMax = std::chrono::minutes{10};
inline constexpr Duration kShutdownPatienceMin = std::chrono::seconds{1};
inline constexpr Duration kShutdownPatienceMax = std::chrono::minutes{30};

struct Timing {
  Profile profile{Profile::normal};
  Duration feed_window{std::chrono::seconds{20}};  // T_F: a heartbeat write extends life so long
  Duration watchdog{std::chrono::seconds{10}};     // W: from the last feed to the reset, at worst
  Duration beat_interval{std::chrono::milliseconds{100}};  // between two beats on one link
  Duration suspect_after{std::chrono::milliseconds{400}};  // silence on both links makes a suspect
  Duration disk_interval{std::chrono::milliseconds{250}};  // between two disk heartbeats
  Duration power_poll{std::chrono::seconds{1}};        // between two power readings of a live host
  Duration bmc_timeout{std::chrono::seconds{2}};       // [bmc] session_timeout: one answer at most
  // [isolation] delay: so long a host stands apart before its guests' responses begin.
  Duration isolation_delay{std::chrono::seconds{10}};
  // [isolation] patience: with a guest that was asked to shut down. More than the 90 s that systemd
  // gives a service that does not stop, or such a guest would be killed just before it ends.
  Duration shutdown_patience{std::chrono::minutes{2}};
  friend bool operator==(const Timing&, const Timing&) = default;
};

// The defaults with the profile's T_F and W.
Timing timing_of(Profile profile);

// D: how long an observer must see a slot silent before its lease has expired for certain.
// With a host's own T_F and W, as its slot states them, or those of the profile.
Duration lease_silence(Duration feed_window, Duration watchdog);
inline Duration lease_silence(const Timing& timing) {
  return lease_silence(timing.feed_window, timing.watchdog);
}

// How long a real time may take by this host's clock, should that run fast.
constexpr Duration counted_by_clock(Duration real) {
  return real + real * kClockErrorPercent / 100 + Duration{1};
}

// One inequality that does not hold. `key` is the key of wardom.toml that should change, such as
// "timing.suspect_after".
struct TimingFault {
  std::string key;
  std::string what;  // what is wrong and what to do
};

// Every range and inequality that `timing` breaks; empty when it may be used.
std::vector<TimingFault> check(const Timing& timing);

// A slot that has not grown for longer than this, as read, counts as silent. Two intervals and a
// suspicion: one late write and one late read on a busy store are not silence.
constexpr Duration disk_silent_after(const Timing& t) {
  return 2 * t.disk_interval + t.suspect_after;
}
// Beside a BMC that reads off, a slot that was seen to stand for longer than this counts as silent:
// a heartbeat interval, and as much again as a beat may be late, since a writer is not punctual.
constexpr Duration slot_misses_one(const Timing& t) { return t.disk_interval + t.beat_interval; }
// Within this time of a change of its links a member notices it, its slot says so, and that has
// been read.
constexpr Duration links_told_within(const Timing& t) {
  return t.suspect_after + t.disk_interval + disk_silent_after(t);
}
// Within this time of a life sign a BMC must have read on to be believed, one answer's time
// allowed. A longer gap in this host's own attention may hide how a silence began.
constexpr Duration bmc_word_lasts(const Timing& t) { return t.power_poll + t.bmc_timeout / 2; }
// While a member is suspect its slot is read and its BMC is asked this often.
constexpr Duration inquiry_interval(const Timing& t) { return t.beat_interval / 2; }
// How long a request to the volume may stay unanswered before it counts as failed.
constexpr Duration volume_patience(const Timing& t) { return t.feed_window / 4; }

// How often a member reads its domain's slots that neither decides nor stands by, while nobody is
// silent: only to know that its reads complete.
constexpr Duration seldom_read_interval(const Timing& t) { return t.feed_window / 4; }

// "400ms", "2s", "1m": as wardom.toml spells it.
std::string to_text(Duration duration);
const char* to_text(Profile profile);

}  // namespace wardom
