// Programs that a resource agent runs, within a time. Blocks the caller for no longer than that.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace wardom::ocf {

inline constexpr std::size_t kMaxChildOutput = 4096;  // of what it says; the rest is dropped

struct Ran {
  std::optional<int> code;  // nullopt: not started, ended by a signal, or not in time and killed
  std::string said;         // on standard output and standard error
};

// argv[0] is looked for in PATH. What the child has started itself is not waited for.
Ran run_child(const std::vector<std::string>& argv, std::chrono::milliseconds patience);

// A process of that name (comm(5) in proc(5)) of this user's and this PID namespace, not a zombie.
// nullopt: there is none, or /proc cannot be read.
std::optional<int> process_called(const std::string& name);

}  // namespace wardom::ocf
