#include "libha/proc/process.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>
#include <sstream>
#include <string_view>

namespace wardom::proc {
namespace {

constexpr std::size_t kStartTimeField = 22;  // proc(5), counted from 1
constexpr std::size_t kNameField = 2;

template <class Value>
std::optional<Value> leading_number(std::string_view text) {
  Value value{};
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  return parsed.ec == std::errc{} ? std::optional(value) : std::nullopt;
}

// Only cgroup v2 has cgroup.kill, and its line begins with "0::".
std::string own_cgroup(const std::string& cgroup_file) {
  std::istringstream lines(cgroup_file);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("0::")) continue;
    const auto named = line.rfind("qemu");
    if (named == std::string::npos) return {};
    return line.substr(3, line.find('/', named) - 3);
  }
  return {};
}

std::optional<std::int32_t> pid_of(std::string_view name) {
  std::int32_t pid = 0;
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
  if (parsed.ec != std::errc{} || parsed.ptr != name.data() + name.size()) return std::nullopt;
  return pid;
}

}  // namespace

std::optional<std::string> read_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  std::string content;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = ::read(fd, buffer, sizeof buffer)) > 0 && content.size() <= kMaxProcFileBytes)
    content.append(buffer, static_cast<std::size_t>(got));
  ::close(fd);
  if (got < 0 || content.size() > kMaxProcFileBytes) return std::nullopt;
  return content;
}

std::optional<std::vector<std::int32_t>> all_pids(const std::string& proc) {
  std::vector<std::int32_t> pids;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(proc.c_str()), ::closedir);
  if (!directory) return std::nullopt;
  errno = 0;
  while (const auto* entry = ::readdir(directory.get()))
    if (const auto pid = pid_of(entry->d_name); pid && *pid > 1) pids.push_back(*pid);
  if (errno != 0) return std::nullopt;
  return pids;
}

std::optional<GuestId> guest_in(const std::string& line) {
  constexpr std::string_view kOption("\0-uuid\0", 7);
  const auto at = line.find(kOption);
  if (at == std::string::npos) return std::nullopt;
  const auto start = at + kOption.size();
  const auto end = line.find('\0', start);
  const auto bits = parse_bits(std::string_view(line).substr(start, end - start));
  return bits ? std::optional(GuestId{*bits}) : std::nullopt;
}

std::optional<ProcessStat> stat_of(std::int32_t pid, const std::string& proc) {
  const auto text = read_file(proc + "/" + std::to_string(pid) + "/stat");
  if (!text) return std::nullopt;
  // The name in parentheses may hold anything, so fields are counted from its end.
  const auto name_end = text->rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= text->size()) return std::nullopt;
  std::string_view left = std::string_view(*text).substr(name_end + 1);
  ProcessStat stat;
  stat.state = left[1];
  for (std::size_t field = kNameField; field + 1 < kStartTimeField; ++field) {
    const auto blank = left.find(' ', 1);
    if (blank == std::string_view::npos) return std::nullopt;
    left.remove_prefix(blank);
  }
  left.remove_prefix(std::min<std::size_t>(left.size(), 1));
  const auto start = leading_number<std::uint64_t>(left);
  if (!start) return std::nullopt;
  stat.start_time = *start;
  return stat;
}

std::optional<std::uint64_t> start_time_of(std::int32_t pid, const std::string& proc) {
  const auto stat = stat_of(pid, proc);
  return stat ? std::optional(stat->start_time) : std::nullopt;
}

GuestProcess guest_process(const std::string& pid_file, const std::string& proc) {
  const auto text = read_file(pid_file);
  const auto pid = text ? leading_number<std::int32_t>(*text) : std::nullopt;
  if (!pid || *pid <= 1) return {};
  const auto start = start_time_of(*pid, proc);
  if (!start) return {};
  const auto cgroup = read_file(proc + "/" + std::to_string(*pid) + "/cgroup");
  return {*pid, *start, cgroup ? own_cgroup(*cgroup) : std::string()};
}

}  // namespace wardom::proc
