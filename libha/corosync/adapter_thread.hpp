// The one thread that an adapter talks to corosync from. Dispatching puts 1 MiB on the stack
// (lib/cpg.c, IPC_DISPATCH_SIZE), and a corosync that does not run holds its callers for ever.
#pragma once

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>

namespace wardom {

class AdapterThread {
 public:
  AdapterThread();
  ~AdapterThread();
  AdapterThread(const AdapterThread&) = delete;
  AdapterThread& operator=(const AdapterThread&) = delete;

  // `body` holds a reference to whatever it uses, this object included: see stop().
  void start(std::function<void()> body);
  // No event is handed out any more. Waits for so long at most; a thread that is held longer is
  // left to itself.
  void stop(std::chrono::milliseconds limit);
  bool stopping() const { return stopping_.load(); }

  // From any thread.
  void wake() const;
  // On the thread: the descriptor that wake() makes readable, until it is drained.
  int wake_fd() const { return wake_; }
  void drain_wake() const;
  void sleep_until_woken(std::chrono::milliseconds limit) const;

  // Hands an event out unless stop() has begun; stop() waits for one that is under way.
  template <class Event>
  void emit(const std::function<void(Event)>& to, Event event) {
    const std::lock_guard lock(emitting_);
    if (!stopping() && to) to(std::move(event));
  }

 private:
  const int wake_;
  pthread_t thread_{};
  std::atomic<bool> stopping_{false};
  std::mutex emitting_;
  std::mutex mutex_;
  std::condition_variable ended_changed_;
  bool ended_{false};
};

}  // namespace wardom
