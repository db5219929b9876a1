// Virtual time and keyed randomness: the two things that make a run repeatable.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
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
// Events live in a pool: millions of them pass through a run, some dozens wait at a time.
class Clockwork {
 public:
  Clockwork() = default;
  Clockwork(const Clockwork&) = delete;
  Clockwork& operator=(const Clockwork&) = delete;
  ~Clockwork() {
    for (const auto& entry : queue_) entry.event->finish(*entry.event, false);
  }

  Time now() const { return now_; }
  template <class Action>
  void at(Time when, Action action) {
    static_assert(std::is_invocable_v<Action>);
    Event* event = fresh();
    if constexpr (sizeof(Action) <= kRoom && alignof(Action) <= alignof(std::max_align_t)) {
      new (event->room) Action(std::move(action));
      event->finish = [](Event& self, bool run) {
        auto* held = std::launder(reinterpret_cast<Action*>(self.room));
        if (run) (*held)();
        held->~Action();
      };
    } else {
      new (event->room) std::unique_ptr<Action>(new Action(std::move(action)));
      event->finish = [](Event& self, bool run) {
        auto* held = std::launder(reinterpret_cast<std::unique_ptr<Action>*>(self.room));
        if (run) (**held)();
        std::destroy_at(held);
      };
    }
    queue_.push_back({std::max(when, now_), ++made_, event});
    std::push_heap(queue_.begin(), queue_.end());
  }
  template <class Action>
  void in(Duration delay, Action action) {
    at(now_ + delay, std::move(action));
  }
  // Runs what is due up to `until`; stops early when stop() says so.
  template <class Stop>
  void run(Time until, const Stop& stop) {
    while (!queue_.empty() && queue_.front().when <= until && !stop()) {
      std::pop_heap(queue_.begin(), queue_.end());
      const Entry entry = queue_.back();
      queue_.pop_back();
      now_ = entry.when;
      ++done_;
      entry.event->finish(*entry.event, true);
      free_.push_back(entry.event);
    }
    if (!stop()) now_ = std::max(now_, until);
  }
  std::uint64_t done() const { return done_; }

 private:
  static constexpr std::size_t kRoom = 88;
  struct Event {
    alignas(std::max_align_t) std::byte room[kRoom];
    void (*finish)(Event& self, bool run){nullptr};  // runs the action if so told, destroys it
  };
  struct Entry {
    Time when;
    std::uint64_t order;
    Event* event;
    bool operator<(const Entry& other) const {
      return when != other.when ? when > other.when : order > other.order;
    }
  };

  Event* fresh() {
    if (free_.empty()) return &pool_.emplace_back();
    Event* event = free_.back();
    free_.pop_back();
    return event;
  }

  std::deque<Event> pool_;
  std::vector<Event*> free_;
  std::vector<Entry> queue_;  // a heap, the earliest in front
  Time now_{0};
  std::uint64_t made_{0};
  std::uint64_t done_{0};
};

}  // namespace wardom::sim
