#include "libha/libvirt/job_lane.hpp"

#include <pthread.h>

#include <algorithm>

#include "libha/libvirt/limits.hpp"
#include "libha/libvirt/quiet_signals.hpp"

namespace wardom::libvirt {

bool JobLane::add(const GuestId& guest, Job job) {
  {
    const std::lock_guard lock(mutex_);
    if (ended_ || waiting_.size() >= max_waiting_) return false;
    waiting_.emplace_back(guest, std::move(job));
  }
  begin_next();
  return true;
}

bool JobLane::busy(const GuestId& guest) const {
  const std::lock_guard lock(mutex_);
  return running_.contains(guest) ||
         std::any_of(waiting_.begin(), waiting_.end(),
                     [&](const Waiting& one) { return one.first == guest; });
}

void JobLane::drop(const GuestId& guest) {
  std::deque<Waiting> dropped;
  {
    const std::lock_guard lock(mutex_);
    const auto first = std::stable_partition(
        waiting_.begin(), waiting_.end(), [&](const Waiting& one) { return one.first != guest; });
    std::move(first, waiting_.end(), std::back_inserter(dropped));
    waiting_.erase(first, waiting_.end());
  }
  for (const auto& one : dropped) one.second(false);
}

void JobLane::end() {
  std::deque<Waiting> dropped;
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    dropped.swap(waiting_);
  }
  for (const auto& one : dropped) one.second(false);
}

void JobLane::begin_next() {
  for (;;) {
    Waiting next;
    {
      const std::lock_guard lock(mutex_);
      if (running_.size() >= most_) return;
      const auto found =
          std::find_if(waiting_.begin(), waiting_.end(),
                       [&](const Waiting& one) { return !running_.contains(one.first); });
      if (found == waiting_.end()) return;
      next = std::move(*found);
      waiting_.erase(found);
      running_.insert(next.first);
    }
    begin(std::move(next));
  }
}

void JobLane::begin(Waiting next) {
  struct Start {
    std::shared_ptr<JobLane> lane;
    Waiting job;
  };
  auto* start = new Start{shared_from_this(), std::move(next)};
  const QuietSignals quiet;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  const int refused = pthread_create(
      &thread, &attributes,
      [](void* given) -> void* {
        const std::unique_ptr<Start> own(static_cast<Start*>(given));
        pthread_setname_np(pthread_self(), "libvirt-migrate");
        own->lane->run(own->job, true);
        return nullptr;
      },
      start);
  pthread_attr_destroy(&attributes);
  if (refused == 0) return;
  const std::unique_ptr<Start> own(start);
  run(own->job, false);
}

void JobLane::run(const Waiting& job, bool now) {
  job.second(now);
  {
    const std::lock_guard lock(mutex_);
    running_.erase(job.first);
  }
  begin_next();
}

}  // namespace wardom::libvirt
