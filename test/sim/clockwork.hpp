// Virtual time and keyed randomness: the two things that make a run repeatable.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <vector>

#include "libha/core/time.hpp"

namespace wardom::sim {

// True time since the run began. No simulated host can see it.
using Time = Duration;

constexpr Duration ms(std::int64_t n) { return std::chrono::milliseconds{n}; }
constexpr Duration us(std::int64_t n) { return std::chrono::microseconds{n}; }

// Draws keyed by (seed, stream, counter): leaving one draw out moves no other stream's draws.
class Stream {
 public:
  Stream(std::uint64_t seed, std::uint64_t id) : key_(mix(seed) ^ mix(id * 0x9e37 + 0x51)) {}
  std::uint64_t next() { return mix(key_ + 0x9e3779b97f4a7c15ULL * ++counter_); }
  std::uint64_t below(std::uint64_t n) { return next() % n; }
  bool chance(std::uint64_t permille) { return below(1000) < permille; }
  Duration between(Duration low, Duration high) {
    return low + Duration{static_cast<std::int64_t>(
                     below(static_cast<std::uint64_t>((high - low).count()) + 1))};
  }

 private:
  static std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  std::uint64_t key_;
  std::uint64_t counter_{0};
};

// The queue of what happens when. Events of one instant happen in the order of their making.
class Clockwork {
 public:
  Time now() const { return now_; }
  void at(Time when, std::function<void()> what) {
    queue_.push({std::max(when, now_), ++made_, std::move(what)});
  }
  void in(Duration delay, std::function<void()> what) { at(now_ + delay, std::move(what)); }
  // Runs what is due up to `until`; stops early when stop() says so.
  void run(Time until, const std::function<bool()>& stop) {
    while (!queue_.empty() && queue_.top().when <= until && !stop()) {
      auto what = std::move(const_cast<Event&>(queue_.top()).what);
      now_ = queue_.top().when;
      queue_.pop();
      ++done_;
      what();
    }
    if (!stop()) now_ = std::max(now_, until);
  }
  std::uint64_t done() const { return done_; }

 private:
  struct Event {
    Time when;
    std::uint64_t order;
    std::function<void()> what;
    bool operator<(const Event& other) const {
      return when != other.when ? when > other.when : order > other.order;
    }
  };
  std::priority_queue<Event> queue_;
  Time now_{0};
  std::uint64_t made_{0};
  std::uint64_t done_{0};
};

}  // namespace wardom::sim
