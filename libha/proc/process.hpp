// What /proc says about a process (proc(5)). Nothing here touches the process's memory, so that one
// which hangs in the storage holds nobody up.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libha/core/records.hpp"

namespace wardom::proc {

inline constexpr std::size_t kMaxProcFileBytes = 2 * 1024 * 1024;

// nullopt: cannot be read, or is longer than kMaxProcFileBytes.
std::optional<std::string> read_file(const std::string& path);

// nullopt: the directory cannot be read, or not to its end. `proc` stands for /proc.
std::optional<std::vector<std::int32_t>> all_pids(const std::string& proc = "/proc");

// What stands after `-uuid` on a process's command line, as /proc/PID/cmdline has it.
std::optional<GuestId> guest_in(const std::string& command_line);

// Of /proc/PID/stat, fields 3 and 22.
struct ProcessStat {
  char state{'?'};
  std::uint64_t start_time{0};
};
// nullopt: there is no such process.
std::optional<ProcessStat> stat_of(std::int32_t pid, const std::string& proc = "/proc");
std::optional<std::uint64_t> start_time_of(std::int32_t pid, const std::string& proc = "/proc");

// A guest's QEMU by the pid file that libvirt keeps of it. All zero where there is none. The cgroup
// is the guest's own (libvirt names it machine-qemu-... or ...libvirt-qemu), not a part of it.
GuestProcess guest_process(const std::string& pid_file, const std::string& proc = "/proc");

}  // namespace wardom::proc
