// The QEMU of a guest, looked for without libvirt and without wardomd: for a monitor while neither
// answers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace wardom::ocf {

struct Process {
  std::int64_t pid{0};
  std::uint64_t start_time{0};  // proc(5), stat, field 22: with the pid it names one process
};

// It is the same process, and not a zombie.
bool lives(const Process& process);
// By the -uuid of its command line. nullopt: there is none.
std::optional<Process> find_qemu(const std::string& uuid);

}  // namespace wardom::ocf
