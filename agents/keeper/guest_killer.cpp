#include "agents/keeper/guest_killer.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <charconv>
#include <map>
#include <memory>
#include <string_view>
#include <utility>

#include "libha/proc/process.hpp"

namespace wardom::keeper {
namespace {

using proc::read_file;
using proc::start_time_of;

struct Closer {
  int fd{-1};
  explicit Closer(int number) : fd(number) {}
  Closer(Closer&& other) noexcept : fd(std::exchange(other.fd, -1)) {}
  Closer& operator=(Closer&&) = delete;
  ~Closer() {
    if (fd >= 0) ::close(fd);
  }
};

// glibc has no wrappers before 2.36.
int pidfd_open(std::int32_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }
bool pidfd_kill(int fd) {
  return ::syscall(SYS_pidfd_send_signal, fd, SIGKILL, nullptr, 0) == 0;
}
// All threads have ended; a zombie does no I/O.
bool has_ended(int pidfd) {
  pollfd one{pidfd, POLLIN, 0};
  return ::poll(&one, 1, 0) == 1;
}

std::optional<std::int32_t> pid_of(std::string_view name) {
  std::int32_t pid = 0;
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
  if (parsed.ec != std::errc{} || parsed.ptr != name.data() + name.size()) return std::nullopt;
  return pid;
}

std::vector<std::int32_t> all_pids(const std::string& proc) {
  std::vector<std::int32_t> pids;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(proc.c_str()), ::closedir);
  if (!directory) return pids;
  while (const auto* entry = ::readdir(directory.get()))
    if (const auto pid = pid_of(entry->d_name); pid && *pid > 1) pids.push_back(*pid);
  return pids;
}

// What stands after `-uuid` on the process's command line.
std::optional<GuestId> uuid_of(std::int32_t pid, const std::string& proc) {
  const auto line = read_file(proc + "/" + std::to_string(pid) + "/cmdline");
  if (!line) return std::nullopt;
  constexpr std::string_view kOption("\0-uuid\0", 7);
  const auto at = line->find(kOption);
  if (at == std::string::npos) return std::nullopt;
  const auto start = at + kOption.size();
  const auto bits = parse_bits(std::string_view(*line).substr(start, line->find('\0', start) -
                                                                         start));
  return bits ? std::optional(GuestId{*bits}) : std::nullopt;
}

// Only a cgroup that is one guest's own: libvirt names it machine-qemu-… (by systemd) or
// …libvirt-qemu.
bool is_guests_own(const std::string& cgroup) {
  const auto slash = cgroup.find_last_of('/');
  const auto last = slash == std::string::npos ? cgroup : cgroup.substr(slash + 1);
  return cgroup.find("..") == std::string::npos && last.find("qemu") != std::string::npos;
}

class Killer {
 public:
  Killer(std::string proc, std::string cgroups)
      : proc_(std::move(proc)), cgroups_(std::move(cgroups)) {}

  // One look: true where something of these guests was found that had not been found before.
  bool look(const std::vector<ListedGuest>& guests) {
    bool found = false;
    std::map<GuestId, const ListedGuest*> by_id;
    for (const auto& guest : guests) {
      by_id[guest.guest] = &guest;
      const auto& [pid, start_time, cgroup] = guest.process;
      if (pid > 1) found |= take(pid, start_time);
      if (is_guests_own(cgroup)) kill_cgroup(cgroup);
    }
    for (const auto pid : all_pids(proc_)) {
      const auto uuid = uuid_of(pid, proc_);
      if (!uuid || !by_id.contains(*uuid)) continue;
      if (const auto start = start_time_of(pid, proc_)) found |= take(pid, *start);
    }
    return found;
  }
  std::size_t killed() const { return processes_.size(); }
  std::size_t remaining() const {
    std::size_t count = 0;
    for (const auto& [key, fd] : processes_) count += has_ended(fd.fd) ? 0 : 1;
    return count;
  }

 private:
  bool take(std::int32_t pid, std::uint64_t start) {
    if (processes_.contains({pid, start})) return false;
    // First the descriptor, then the look: whatever the number means later, the descriptor stays
    // with the process that had this start time.
    Closer fd(pidfd_open(pid));
    if (fd.fd < 0 || start_time_of(pid, proc_) != start || !pidfd_kill(fd.fd)) return false;
    processes_.emplace(std::pair(pid, start), std::move(fd));
    return true;
  }
  void kill_cgroup(const std::string& cgroup) const {
    const Closer fd(::open((cgroups_ + "/" + cgroup + "/cgroup.kill").c_str(),
                           O_WRONLY | O_CLOEXEC));
    // Absent under cgroup v1 and before Linux 5.14: then QEMU alone is killed, as above.
    if (fd.fd >= 0) [[maybe_unused]] const auto put = ::write(fd.fd, "1", 1);
  }

  std::string proc_, cgroups_;
  std::map<std::pair<std::int32_t, std::uint64_t>, Closer> processes_;
};

}  // namespace

KillReport kill_guests(const std::string& list_path, Instant until,
                       const std::function<Instant()>& now, const std::string& proc,
                       const std::string& cgroups) {
  KillReport report;
  Killer killer(proc, cgroups);
  Instant quiet_since = now();
  while (true) {
    // Read anew each time: a start is listed before it is made.
    std::vector<ListedGuest> guests;
    if (const auto text = read_file(list_path)) {
      auto decoded = wire::decode_guest_list(*text);
      if (decoded)
        guests = std::move(decoded).value();
      else
        report.trouble = list_path + ": " + decoded.error().message;
    }
    report.listed = std::max(report.listed, guests.size());
    const bool found = killer.look(guests);
    report.killed = killer.killed();
    report.remaining = killer.remaining();
    const auto at = now();
    if (found || report.remaining > 0) quiet_since = at;
    if (at >= until || at - quiet_since >= kGoneAfter) return report;
    const timespec nap{0, static_cast<long>(kKillAgainEvery.count())};
    ::nanosleep(&nap, nullptr);
  }
}

}  // namespace wardom::keeper
