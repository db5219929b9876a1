// What /proc says about a process (proc(5)). Nothing here touches the process's memory, so that one
// which hangs in the storage holds nobody up.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "libha/core/records.hpp"

namespace wardom::proc {

inline constexpr std::size_t kMaxProcFileBytes = 2 * 1024 * 1024;

// nullopt: cannot be read, or is longer than kMaxProcFileBytes.
std::optional<std::string> read_file(const std::string& path);

// Field 22 of /proc/PID/stat; nullopt: there is no such process. `proc` stands for /proc.
std::optional<std::uint64_t> start_time_of(std::int32_t pid, const std::string& proc = "/proc");

// A guest's QEMU by the pid file that libvirt keeps of it. All zero where there is none. The cgroup
// is the guest's own (libvirt names it machine-qemu-... or ...libvirt-qemu), not a part of it.
GuestProcess guest_process(const std::string& pid_file, const std::string& proc = "/proc");

}  // namespace wardom::proc
