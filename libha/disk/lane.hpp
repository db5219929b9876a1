// Threads for I/O that may block for minutes, and the way back to the event loop.
#pragma once

#include <functional>
#include <memory>
#include <string>

namespace wardom::disk {

inline constexpr std::size_t kLaneStackBytes = 256 * 1024;

// What the workers have finished, to be carried on by the loop's thread. fd() is readable (poll)
// while there is something to run().
class Completions {
 public:
  Completions();
  ~Completions();
  Completions(const Completions&) = delete;
  Completions& operator=(const Completions&) = delete;

  int fd() const { return fd_; }
  void post(std::function<void()> task);  // any thread
  void run();                             // the loop's thread: everything posted so far

 private:
  struct State;
  std::shared_ptr<State> state_;
  int fd_;
};

// A queue served by up to `most` threads, started when they are first needed. Heartbeats have a
// lane of their own, so that a stuck table write does not delay them.
//
// Destroying a lane drops what waits and leaves a stuck thread behind: it owns what it works on.
class Lane {
 public:
  Lane(std::string name, unsigned most, std::size_t queue_limit);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // false: the queue is full, or no thread could be started.
  bool submit(std::function<void()> work);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace wardom::disk
