// The archive: every step of every recovery, one JSON object per line, so that a timeline outlives
// the daemon. Written by a thread of its own: a slow or full disk never holds the loop up.
#pragma once

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "libha/wire/ring_messages.hpp"

namespace wardom::daemon {

inline constexpr std::uintmax_t kMaxArchiveBytes = 16 * 1024 * 1024;  // then it is moved to .old
inline constexpr std::size_t kMaxArchiveQueue = 10'000;
inline constexpr std::size_t kMaxArchiveLine = 4096;

class Archive {
 public:
  explicit Archive(std::filesystem::path file);
  ~Archive();  // what waits is written
  Archive(const Archive&) = delete;
  Archive& operator=(const Archive&) = delete;

  // The steps on record, oldest first; lines that cannot be read are passed over.
  std::vector<wire::StepMessage> load() const;
  // Any thread; returns at once.
  void add(const wire::StepMessage& step);
  // Why the last write failed; empty: it did not.
  std::string trouble() const;

 private:
  void work();
  void write(const std::deque<std::string>& lines);

  std::filesystem::path file_;
  mutable std::mutex mutex_;
  std::condition_variable more_;
  std::deque<std::string> waiting_;
  std::string trouble_;
  bool stopping_{false};
  std::thread writer_;
};

}  // namespace wardom::daemon
