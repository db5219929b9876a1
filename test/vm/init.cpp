// The first process of the watchdog test's virtual machine, and its supervisor: keeps the keeper's
// descriptors as systemd does, starts and signals programs as the console tells it, and prints the
// guest's own clock, so that the test outside knows when the machine stopped.
//
// One command per line:
//   start NAME       keeper | daemon | guest (a process listed in /run/wardom/guests) | measure
//                    (wardomctl host measure-watchdog)
//   signal NAME N    to the process of that name
//   rest NAME        it is not started again when it ends
//   drop             closes the descriptor that is kept for the keeper
//   usage NAME       prints what that process has cost so far
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <net/if.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

constexpr int kMarkEveryMs = 100;
constexpr int kFirstKept = 3;
const std::string kStoreName = "wardom-watchdog";

void say(const std::string& text) { ::dprintf(STDOUT_FILENO, "INIT %s\n", text.c_str()); }

void must(bool ok, const char* what) {
  if (!ok) say(std::string("FAILED ") + what + ": " + std::strerror(errno));
}

std::uint64_t raw_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u +
         static_cast<std::uint64_t>(now.tv_nsec);
}

void mount_all() {
  for (const char* path : {"/proc", "/sys", "/dev", "/run", "/tmp"}) ::mkdir(path, 0755);
  must(::mount("proc", "/proc", "proc", 0, nullptr) == 0, "mount /proc");
  must(::mount("sysfs", "/sys", "sysfs", 0, nullptr) == 0, "mount /sys");
  must(::mount("devtmpfs", "/dev", "devtmpfs", 0, nullptr) == 0, "mount /dev");
  must(::mount("tmpfs", "/run", "tmpfs", 0, nullptr) == 0, "mount /run");
  ::mkdir("/dev/shm", 0755);
  ::mkdir("/run/wardom", 0700);
}

// In the order that the test wrote them down: what a module needs comes before it.
void load_modules() {
  std::ifstream list("/modules");
  for (std::string path; std::getline(list, path);) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    must(fd >= 0 && ::syscall(SYS_finit_module, fd, "", 0) == 0, path.c_str());
    ::close(fd);
  }
}

// The host's own disk, which outlives a reset.
void mount_own_disk() {
  must(::mount("/dev/vdb", "/var/lib/wardom", "ext4", 0, nullptr) == 0, "mount /dev/vdb");
}

void loopback_up() {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  must(::ioctl(fd, SIOCSIFFLAGS, &request) == 0, "lo up");
  ::close(fd);
}

class Supervisor {
 public:
  Supervisor() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    children_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    store_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, "/run/notify");
    must(::bind(store_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "bind");
  }

  [[noreturn]] void run() {
    say("ready");
    std::uint64_t next_mark = 0;
    while (true) {
      pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {store_, POLLIN, 0}, {children_, POLLIN, 0}};
      ::poll(fds, 3, kMarkEveryMs / 4);
      if (fds[0].revents != 0) read_commands();
      take_descriptors();  // before the end of who sent them is noticed
      reap();
      if (raw_ns() < next_mark) continue;
      ::dprintf(STDOUT_FILENO, "MARK %llu\n", static_cast<unsigned long long>(raw_ns()));
      next_mark = raw_ns() + kMarkEveryMs * 1'000'000ull;
    }
  }

 private:
  void read_commands() {
    char buffer[256];
    const auto got = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (got <= 0) return;
    input_.append(buffer, static_cast<std::size_t>(got));
    for (auto end = input_.find('\n'); end != std::string::npos; end = input_.find('\n')) {
      obey(input_.substr(0, end));
      input_.erase(0, end + 1);
    }
  }

  void obey(const std::string& line) {
    std::istringstream words(line);
    std::string verb, name;
    int number = 0;
    words >> verb >> name >> number;
    if (verb == "start")
      start(name);
    else if (verb == "signal" && pids_.contains(name))
      must(::kill(pids_[name], number) == 0, "kill");
    else if (verb == "usage")
      tell_usage(name);
    else if (verb == "rest")
      resting_.insert(name);
    else if (verb == "drop")
      drop();
    else
      say("FAILED unknown command: " + line);
    say("did " + line);
  }

  void drop() {
    if (kept_ >= 0) ::close(std::exchange(kept_, -1));
  }

  void start(const std::string& name) {
    resting_.erase(name);
    const pid_t pid = ::fork();
    if (pid == 0) become(name);
    pids_[name] = pid;
    if (name == "guest") list_guest(pid);
  }

  [[noreturn]] void become(const std::string& name) {
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    const int null = ::open("/dev/null", O_RDONLY);
    ::dup2(null, STDIN_FILENO);
    if (name == "keeper") {
      ::setenv("NOTIFY_SOCKET", "/run/notify", 1);
      if (kept_ >= 0) {
        ::dup2(kept_, kFirstKept);  // clears close-on-exec
        ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
        ::setenv("LISTEN_FDS", "1", 1);
        ::setenv("LISTEN_FDNAMES", kStoreName.c_str(), 1);
      }
      ::execl("/bin/wardom-keeper", "wardom-keeper", "--host", "n1", nullptr);
    } else if (name == "daemon") {
      ::execl("/bin/wardomd", "wardomd", nullptr);
    } else if (name == "measure") {
      ::execl("/bin/wardomctl", "wardomctl", "host", "measure-watchdog", "--yes", nullptr);
    } else {
      while (true) ::pause();
    }
    ::_exit(126);
  }

  void list_guest(pid_t pid) {
    std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
    std::string word;
    for (int field = 0; field < 22; ++field) stat >> word;  // the name of this program has no blank
    std::ofstream list("/run/wardom/guests.new");
    list << "wardom guests 2\n00000000-0000-0000-0000-000000000001 - " << pid << ' ' << word
         << " -\nend 1\n";
    list.close();
    must(::rename("/run/wardom/guests.new", "/run/wardom/guests") == 0, "list a guest");
  }

  void take_descriptors() {
    char words[256];
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    iovec part{words, sizeof words};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    for (ssize_t got; (got = ::recvmsg(store_, &message, MSG_CMSG_CLOEXEC)) > 0;
         message.msg_controllen = sizeof control) {
      if (std::string(words, static_cast<std::size_t>(got)).starts_with("FDSTOREREMOVE=1\n")) {
        drop();
        say("forgets a descriptor");
        continue;
      }
      const auto* rights = CMSG_FIRSTHDR(&message);
      if (rights == nullptr || rights->cmsg_type != SCM_RIGHTS) continue;
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(rights), sizeof fd);
      kept_ = ::fcntl(fd, F_DUPFD_CLOEXEC, 20);  // out of the way of the numbers handed on
      ::close(fd);
      say("keeps a descriptor");
    }
  }

  void reap() {
    signalfd_siginfo info{};
    while (::read(children_, &info, sizeof info) > 0) {
    }
    int status = 0;
    for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;)
      for (auto it = pids_.begin(); it != pids_.end();) {
        if (it->second != pid) {
          ++it;
          continue;
        }
        const auto name = it->first;
        it = pids_.erase(it);
        say("ended " + name + " " + std::to_string(WIFSIGNALED(status) ? -WTERMSIG(status)
                                                                       : WEXITSTATUS(status)));
        if (name == "keeper" && !resting_.contains(name)) start(name);
      }
  }

  // Of the keeper: what it costs in CPU and memory.
  void tell_usage(const std::string& name) {
    const auto root = "/proc/" + std::to_string(pids_[name]);
    std::ifstream stat(root + "/stat");
    std::string word;
    long ticks = 0;
    for (int field = 1; field <= 15 && stat >> word; ++field)
      if (field >= 14) ticks += std::atol(word.c_str());
    std::ifstream status(root + "/status");
    std::string resident;
    for (std::string line; std::getline(status, line);)
      if (line.starts_with("VmRSS:") || line.starts_with("VmLck:")) resident += " " + line;
    say("usage " + name + " cpu_ms " + std::to_string(ticks * 1000 / ::sysconf(_SC_CLK_TCK)) +
        resident);
  }

  int children_{-1}, store_{-1}, kept_{-1};
  std::string input_;
  std::map<std::string, pid_t> pids_;
  std::set<std::string> resting_;
};

}  // namespace

int main() {
  mount_all();
  must(::sethostname("n1", 2) == 0, "sethostname");
  load_modules();
  mount_own_disk();
  loopback_up();
  Supervisor().run();
}
