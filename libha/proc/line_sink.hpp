// Lines to a descriptor, commonly stderr, whose reader may hang: a journald that stands still must
// not hold up a heartbeat. What the reader does not take at once waits in memory, within limits,
// and what goes beyond them is counted and told once lines flow again.
//
// Sockets are written to without waiting, as systemd's journal has it; pipes and terminals only
// while poll(2) says that they take a line; files at once. Nothing here raises SIGPIPE where that
// is ignored, which both daemons do. Any thread.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <string>

namespace wardom::proc {

inline constexpr std::size_t kMaxWaitingBytes = 256 * 1024;
// A longer line is cut: a pipe that has room takes so much without waiting (pipe(7)).
inline constexpr std::size_t kMaxLineBytes = 4096;

class LineSink {
 public:
  // The descriptor stays the caller's.
  explicit LineSink(int descriptor);

  // line: without its end.
  void write(std::string line);
  // Tries again to write what waits.
  void flush();

 private:
  void write_waiting();
  bool write_front();

  int descriptor_;
  bool socket_{false};
  std::mutex mutex_;
  std::deque<std::string> waiting_;
  std::size_t waiting_bytes_{0};
  std::uint64_t lost_{0};  // since the last line that was taken into the queue
};

}  // namespace wardom::proc
