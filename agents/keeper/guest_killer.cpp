#include "agents/keeper/guest_killer.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <utility>

#include "agents/keeper/guest_register.hpp"
#include "libha/proc/descriptor.hpp"
#include "libha/proc/process.hpp"

namespace wardom::keeper {
namespace {

using proc::all_pids;
using proc::Descriptor;
using proc::guest_in;
using proc::read_file;
using proc::start_time_of;

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

std::optional<std::string> link_of(const std::string& path) {
  char target[256];
  const auto length = ::readlink(path.c_str(), target, sizeof target);
  if (length <= 0 || static_cast<std::size_t>(length) >= sizeof target) return std::nullopt;
  return std::string(target, static_cast<std::size_t>(length));
}

bool exists_or_unknown(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0 || errno != ENOENT;
}

// A process that lives, is no kernel thread, and shows no command line: it may be on its way to
// become a guest's QEMU. proc_pid_stat(5): state, ppid, pgrp, session, tty, tpgid, flags.
bool lives_unnamed(std::int32_t pid, const std::string& proc) {
  constexpr unsigned kKernelThread = 0x00200000;
  const auto path = proc + "/" + std::to_string(pid) + "/stat";
  const auto stat = read_file(path);
  if (!stat) return exists_or_unknown(path);
  const auto name_end = stat->rfind(')');
  if (name_end == std::string::npos) return true;
  std::istringstream words(stat->substr(name_end + 1));
  char state = 0;
  long parent = 0, group = 0, session = 0, tty = 0, foreground = 0;
  unsigned long flags = 0;
  if (!(words >> state >> parent >> group >> session >> tty >> foreground >> flags)) return true;
  return state != 'Z' && state != 'X' && (flags & kKernelThread) == 0;
}

// Why what this process has under way may outlive it, unseen; empty: no reason is known.
std::string why_lingers(std::int32_t pid, const std::string& proc, const std::string& host) {
  const auto own = proc + "/" + std::to_string(pid);
  const auto name = "guest process " + std::to_string(pid);
  const auto network = link_of(own + "/ns/net");
  if (!network || network != link_of(proc + "/" + host + "/ns/net"))
    return name + " is not seen to be in the host's own network namespace";
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir((own + "/fd").c_str()),
                                                      ::closedir);
  if (!directory) return name + ": what it has open cannot be listed";
  std::size_t open = 0;
  errno = 0;
  while (const auto* entry = ::readdir(directory.get())) {
    if (entry->d_name[0] == '.') continue;
    const auto path = own + "/fd/" + entry->d_name;
    const auto target = link_of(path);
    struct stat status {};
    // One that was closed meanwhile is gone; any other that cannot be read may be anything.
    if (!target && (::lstat(path.c_str(), &status) == 0 || errno != ENOENT))
      return name + ": what it has open cannot be read";
    if (target && target->find("io_uring") != std::string::npos) return name + " uses io_uring";
    ++open;
    errno = 0;
  }
  if (errno != 0 || open == 0) return name + ": what it had open cannot be told any more";
  return {};
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
  Killer(std::string proc, std::string cgroups, const KillRules& rules)
      : proc_(std::move(proc)), cgroups_(std::move(cgroups)), rules_(rules) {}

  // One look: true where something of these guests was found that had not been found before, or
  // may have been missed.
  bool look(const std::vector<ListedGuest>& guests) {
    bool found = false;
    std::map<GuestId, const ListedGuest*> by_id;
    if (rules_.strict && !rules_.lab && !guests.empty() &&
        ::access((cgroups_ + "/cgroup.controllers").c_str(), F_OK) != 0)
      linger(cgroups_ + " is not of cgroup v2");
    for (const auto& guest : guests) {
      by_id[guest.guest] = &guest;
      const auto& [pid, start_time, cgroup] = guest.process;
      if (is_guests_own(cgroup)) inspect_cgroup(cgroups_ + "/" + cgroup);
      if (pid > 1 && take(pid, start_time)) {
        found = true;
        if (!is_guests_own(cgroup) && !rules_.lab)
          linger("the cgroup of guest process " + std::to_string(pid) + " is not known");
      }
      if (is_guests_own(cgroup)) {
        kill_cgroup(cgroup);
        found |= is_populated(cgroup);
      }
    }
    const auto pids = all_pids(proc_);
    if (!pids) return true;
    for (const auto pid : *pids) {
      const auto line = read_file(proc_ + "/" + std::to_string(pid) + "/cmdline");
      if (!line || line->empty()) {
        found |= rules_.strict && lives_unnamed(pid, proc_);
        continue;
      }
      const auto uuid = guest_in(*line);
      if (!uuid || !by_id.contains(*uuid)) continue;
      if (const auto start = start_time_of(pid, proc_)) found |= take(pid, *start);
    }
    return found;
  }
  const std::string& lingers() const { return lingers_; }
  std::size_t killed() const { return processes_.size(); }
  std::size_t remaining() const {
    std::size_t count = 0;
    for (const auto& [key, fd] : processes_) count += has_ended(fd.get()) ? 0 : 1;
    return count;
  }

 private:
  // False also where it is certain that the process is gone.
  bool take(std::int32_t pid, std::uint64_t start) {
    if (processes_.contains({pid, start})) return false;
    // First the descriptor, then the look: whatever the number means later, the descriptor stays
    // with the process that had this start time.
    Descriptor fd(pidfd_open(pid));
    if (fd.get() < 0) return errno != ESRCH && start_time_of(pid, proc_) == start;
    if (start_time_of(pid, proc_) != start || has_ended(fd.get())) return false;
    inspect(pid);
    if (cancelled()) return true;
    if (!pidfd_kill(fd.get())) return errno != ESRCH;
    processes_.emplace(std::pair(pid, start), std::move(fd));
    return true;
  }
  bool cancelled() const { return rules_.cancelled != nullptr && *rules_.cancelled; }
  void linger(const std::string& why) {
    if (rules_.strict && lingers_.empty()) lingers_ = why;
  }
  void inspect(std::int32_t pid) {
    if (!rules_.strict || !inspected_.insert(pid).second) return;
    if (const auto why = why_lingers(pid, proc_, rules_.host); !why.empty()) linger(why);
  }
  // Before it is killed, and once: helpers of a QEMU do I/O too. A threaded part lists its
  // processes only at the whole's root.
  void inspect_cgroup(const std::string& path) {
    if (!rules_.strict || !walked_.insert(path).second) return;
    if (!exists_or_unknown(path)) return;
    std::error_code failed;
    std::vector<std::string> parts{path};
    for (auto at = std::filesystem::recursive_directory_iterator(path, failed);
         !failed && at != std::filesystem::recursive_directory_iterator();
         at.increment(failed))
      if (at->is_directory(failed)) parts.push_back(at->path().string());
    if (failed) return linger(path + " cannot be listed: " + failed.message());
    for (const auto& part : parts) {
      const auto type = read_file(part + "/cgroup.type");
      if (type && type->starts_with("threaded")) continue;
      const auto procs = read_file(part + "/cgroup.procs");
      if (!procs) {
        linger(part + "/cgroup.procs cannot be read");
        continue;
      }
      std::istringstream pids(*procs);
      for (std::int32_t pid = 0; pids >> pid;)
        if (pid > 1 && !has_gone(pid)) inspect(pid);
    }
  }
  bool has_gone(std::int32_t pid) const { return !start_time_of(pid, proc_); }
  // Helpers of a QEMU count too. What cannot be read, though it is there, may be populated.
  bool is_populated(const std::string& cgroup) const {
    const auto path = cgroups_ + "/" + cgroup + "/cgroup.events";
    const auto events = read_file(path);
    if (!events) return rules_.strict && exists_or_unknown(path);
    return events->find("populated 0") == std::string::npos;
  }
  void kill_cgroup(const std::string& cgroup) const {
    if (cancelled()) return;
    const Descriptor fd(::open((cgroups_ + "/" + cgroup + "/cgroup.kill").c_str(),
                               O_WRONLY | O_CLOEXEC));
    // Absent under cgroup v1 and before Linux 5.14: then QEMU alone is killed, as above.
    if (fd.get() >= 0) [[maybe_unused]] const auto put = ::write(fd.get(), "1", 1);
  }

  std::string proc_, cgroups_;
  const KillRules& rules_;
  std::string lingers_;
  std::set<std::int32_t> inspected_;
  std::set<std::string> walked_;
  std::map<std::pair<std::int32_t, std::uint64_t>, Descriptor> processes_;
};

}  // namespace

KillReport kill_guests(const std::string& list_path, Instant until,
                       const std::function<Instant()>& now, const std::string& proc,
                       const std::string& cgroups, const KillRules& rules) {
  KillReport report;
  Killer killer(proc, cgroups, rules);
  Instant quiet_since = now();
  while (true) {
    if (rules.cancelled != nullptr && *rules.cancelled) {
      report.gone = false;
      return report;
    }
    // Read anew each time: a start is listed before it is made.
    std::vector<ListedGuest> guests;
    bool known = !exists_or_unknown(list_path) && !rules.expects_list;
    if (const auto text = read_file(list_path)) {
      auto decoded = wire::decode_guest_list(*text);
      known = decoded.has_value();
      if (decoded)
        guests = std::move(decoded).value();
      else
        report.trouble = list_path + ": " + decoded.error().message;
    }
    report.listed = std::max(report.listed, guests.size());
    report.open = static_cast<std::size_t>(
        std::count_if(guests.begin(), guests.end(), [](const auto& one) { return one.start; }));
    // What is not known may live: an earlier list that was put aside, too.
    known = known && !exists_or_unknown(list_path + kMalformedSuffix);
    const bool found = killer.look(guests);
    report.killed = killer.killed();
    report.remaining = killer.remaining();
    report.lingers = killer.lingers();
    const auto at = now();
    if (found || report.remaining > 0) quiet_since = at;
    report.gone = known && report.open == 0 && at - quiet_since >= kGoneAfter;
    if (at >= until || at - quiet_since >= kGoneAfter) return report;
    const timespec nap{0, static_cast<long>(kKillAgainEvery.count())};
    ::nanosleep(&nap, nullptr);
  }
}

}  // namespace wardom::keeper
