// A process that may be somebody else's number by now: held by its pidfd, named by its start time.
#pragma once

#include <cstdint>
#include <optional>

#include "libha/proc/descriptor.hpp"

namespace wardom::keeper {

class PeerProcess {
 public:
  // The process that has this number now; with `start_time`, only if it is still that one. A
  // process that cannot be held (of another PID namespace, number 0) yields an empty object.
  static PeerProcess open(std::int32_t pid, std::optional<std::uint64_t> start_time);

  std::int32_t pid() const { return pid_; }
  std::uint64_t start_time() const { return start_time_; }
  // Certainly. An empty object has not: nothing is known about it.
  bool ended() const;
  bool kill() const;  // SIGKILL; false: there is nobody to kill

 private:
  std::int32_t pid_{0};
  std::uint64_t start_time_{0};
  proc::Descriptor held_;
  bool was_gone_{false};  // at open(): another process, or none, has the number
};

}  // namespace wardom::keeper
