// Jobs that take minutes, each in a thread of its own while it runs: so many at a time, those of
// one guest one after another, in the order in which they were given. Nobody waits for a thread: at
// the end of the lane what runs is left alone.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

#include "libha/core/ids.hpp"

namespace wardom::libvirt {

class JobLane : public std::enable_shared_from_this<JobLane> {
 public:
  // `now`: false where it was taken out of the queue, or no thread can be had, and it should only
  // answer.
  using Job = std::function<void(bool now)>;

  JobLane(std::size_t most, std::size_t max_waiting) : most_(most), max_waiting_(max_waiting) {}

  // False: too many wait, or the lane has ended; the job was not taken.
  bool add(const GuestId& guest, Job job);
  bool busy(const GuestId& guest) const;  // one of the guest's waits or runs
  // Calls those of the guest that wait with now = false.
  void drop(const GuestId& guest);
  // The same for all guests; nothing is taken any more.
  void end();

 private:
  using Waiting = std::pair<GuestId, Job>;
  void begin_next();
  void begin(Waiting next);
  void run(const Waiting& job, bool now);

  const std::size_t most_;
  const std::size_t max_waiting_;
  mutable std::mutex mutex_;
  std::deque<Waiting> waiting_;
  std::set<GuestId> running_;
  bool ended_{false};
};

}  // namespace wardom::libvirt
