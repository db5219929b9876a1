#include "ocf/guest_process.hpp"

#include <dirent.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "ocf/agent.hpp"

namespace wardom::ocf {
namespace {

constexpr std::size_t kMaxCommandLine = 256 * 1024;

struct Stat {
  char state{'?'};
  std::uint64_t start_time{0};
};

// The name of the program, in brackets, may hold anything.
std::optional<Stat> stat_of(const std::string& pid) {
  const auto text = read_file("/proc/" + pid + "/stat", 4096);
  if (!text) return std::nullopt;
  const auto end = text->rfind(')');
  if (end == std::string::npos) return std::nullopt;
  std::istringstream fields(text->substr(end + 1));
  Stat stat;
  std::string skipped;
  fields >> stat.state;
  for (int field = 4; field < 22; ++field) fields >> skipped;
  if (!(fields >> stat.start_time)) return std::nullopt;
  return stat;
}

}  // namespace

bool lives(const Process& process) {
  const auto stat = stat_of(std::to_string(process.pid));
  return stat && stat->start_time == process.start_time && stat->state != 'Z' &&
         stat->state != 'X';
}

std::optional<Process> find_qemu(const std::string& uuid) {
  DIR* proc = opendir("/proc");
  if (proc == nullptr) return std::nullopt;
  const std::string wanted = std::string("\0-uuid\0", 7) + uuid + '\0';
  std::optional<Process> found;
  while (const dirent* entry = readdir(proc)) {
    const std::string pid = entry->d_name;
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto line = read_file("/proc/" + pid + "/cmdline", kMaxCommandLine);
    if (!line || line->find(wanted) == std::string::npos) continue;
    if (const auto stat = stat_of(pid); stat && stat->state != 'Z') {
      found = Process{std::atoll(pid.c_str()), stat->start_time};
      break;
    }
  }
  closedir(proc);
  return found;
}

}  // namespace wardom::ocf
