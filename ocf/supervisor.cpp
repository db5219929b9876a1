#include "ocf/supervisor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "libha/proc/descriptor.hpp"
#include "ocf/child.hpp"

namespace wardom::ocf {
namespace {

using Clock = std::chrono::steady_clock;
using proc::Descriptor;
using std::chrono::milliseconds;

constexpr milliseconds kMostDelay{5000};
// A child that has run for so long did not fail at its start.
constexpr std::chrono::seconds kSettled{10};
constexpr off_t kMaxLogBytes = 16 * 1024 * 1024;  // then it is moved to .old
constexpr std::size_t kMaxKept = 4;               // descriptors; the keeper has one
constexpr int kNice = -10;                        // as their units have it
constexpr int kFirstKept = 3;                     // SD_LISTEN_FDS_START

std::string lock_path(const std::string& directory) { return directory + "/wardom-supervisor"; }
std::string socket_path(const std::string& directory) { return lock_path(directory) + ".notify"; }

// One program that is to run.
struct Ward {
  const char* name;
  milliseconds delay;  // from its end to its next start
  const char* oom_score_adj;
  milliseconds wait{delay};  // as it is now: longer for one that ends at once each time
  Clock::time_point due{};
  Clock::time_point began{};
  std::unique_ptr<Descriptor> process{};  // a pidfd; null: it is to be started at `due`
};

class Supervisor {
 public:
  explicit Supervisor(SupervisorOptions options) : options_(std::move(options)) {}
  int run();

 private:
  bool open_socket();
  void look(Ward& ward);
  void start(Ward& ward);
  [[noreturn]] void become(const Ward& ward);
  void ended(Ward& ward);
  void take_notice();
  void say(const std::string& text) const;

  SupervisorOptions options_;
  std::array<Ward, 2> wards_{Ward{"wardom-keeper", milliseconds{100}, "-1000"},
                             Ward{"wardomd", milliseconds{300}, "-900"}};
  std::unique_ptr<Descriptor> notify_{std::make_unique<Descriptor>(-1)};
  std::map<std::string, std::unique_ptr<Descriptor>> kept_;  // by FDNAME
};

void Supervisor::say(const std::string& text) const {
  std::fprintf(stderr, "wardom-supervisor: %s\n", text.c_str());
}

bool Supervisor::open_socket() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const auto path = socket_path(options_.directory);
  if (path.size() >= sizeof address.sun_path) return false;
  path.copy(address.sun_path, path.size());
  ::unlink(path.c_str());
  notify_ = std::make_unique<Descriptor>(
      ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  return notify_->get() >= 0 &&
         ::bind(notify_->get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
         ::setsockopt(notify_->get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0;
}

// A message of sd_notify(3): a descriptor to keep (FDSTORE=1) or to close (FDSTOREREMOVE=1).
void Supervisor::take_notice() {
  std::array<char, 512> text{};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(ucred))> control{};
  iovec part{text.data(), text.size() - 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (::recvmsg(notify_->get(), &message, MSG_CMSG_CLOEXEC) < 0) return;
  std::unique_ptr<Descriptor> fd;
  bool ours = false;
  for (auto* one = CMSG_FIRSTHDR(&message); one != nullptr; one = CMSG_NXTHDR(&message, one)) {
    if (one->cmsg_level != SOL_SOCKET) continue;
    if (one->cmsg_type == SCM_RIGHTS) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(one), sizeof number);
      fd = std::make_unique<Descriptor>(number);
    } else if (one->cmsg_type == SCM_CREDENTIALS) {
      ucred sender{};
      std::memcpy(&sender, CMSG_DATA(one), sizeof sender);
      ours = sender.uid == ::geteuid();
    }
  }
  if (!ours) return;
  const std::string said(text.data());
  constexpr std::string_view kName = "FDNAME=";
  const auto at = said.find(kName);
  if (at == std::string::npos) return;
  const auto begin = at + kName.size();
  const auto name = said.substr(begin, said.find('\n', begin) - begin);
  if (name.empty() || name.find(':') != std::string::npos) return;
  if (said.find("FDSTOREREMOVE=1") != std::string::npos)
    kept_.erase(name);
  else if (said.find("FDSTORE=1") != std::string::npos && fd &&
           (kept_.contains(name) || kept_.size() < kMaxKept))
    kept_[name] = std::move(fd);
}

// One that somebody else started, or an earlier supervisor, is watched; else it is due.
void Supervisor::look(Ward& ward) {
  if (ward.process || Clock::now() < ward.due) return;
  if (const auto pid = process_called(ward.name)) {
    auto fd = std::make_unique<Descriptor>(static_cast<int>(::syscall(SYS_pidfd_open, *pid, 0)));
    if (fd->get() >= 0) {
      say(std::string(ward.name) + " runs already, as process " + std::to_string(*pid));
      ward.process = std::move(fd);
      ward.began = Clock::now();
      return;
    }
  }
  start(ward);
}

void Supervisor::start(Ward& ward) {
  const auto pid = ::fork();
  if (pid == 0) become(ward);
  ward.began = Clock::now();
  ward.due = ward.began + ward.wait;
  if (pid < 0) return say(std::string(ward.name) + ": " + std::strerror(errno));
  auto fd = std::make_unique<Descriptor>(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (fd->get() >= 0) ward.process = std::move(fd);
}

// In the child.
void Supervisor::become(const Ward& ward) {
  ::setsid();
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::umask(0077);
  const rlimit memory{RLIM_INFINITY, RLIM_INFINITY};
  ::setrlimit(RLIMIT_MEMLOCK, &memory);
  if (const Descriptor file(::open("/proc/self/oom_score_adj", O_WRONLY)); file.get() >= 0)
    static_cast<void>(::write(file.get(), ward.oom_score_adj, std::strlen(ward.oom_score_adj)) > 0);
  ::setpriority(PRIO_PROCESS, 0, kNice);
  const bool keeper = &ward == &wards_[0];
  std::string names;
  if (keeper) {
    // First out of the way of the numbers that they get, then there.
    std::vector<int> high;
    for (const auto& [name, fd] : kept_) {
      high.push_back(::fcntl(fd->get(), F_DUPFD, kFirstKept + static_cast<int>(kMaxKept)));
      names += (names.empty() ? "" : ":") + name;
    }
    for (std::size_t i = 0; i < high.size(); ++i) ::dup2(high[i], kFirstKept + static_cast<int>(i));
    for (const int fd : high) ::close(fd);
    ::setenv("NOTIFY_SOCKET", socket_path(options_.directory).c_str(), 1);
    if (!high.empty()) {
      ::setenv("LISTEN_FDS", std::to_string(high.size()).c_str(), 1);
      ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
      ::setenv("LISTEN_FDNAMES", names.c_str(), 1);
    }
  }
  const auto path = options_.programs + "/" + ward.name;
  std::vector<std::string> words{path};
  if (!options_.config.empty()) words.insert(words.end(), {"--config", options_.config});
  if (!keeper && !options_.socket.empty()) words.insert(words.end(), {"--socket", options_.socket});
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execv(path.c_str(), argv.data());
  say(path + ": " + std::strerror(errno));
  ::_exit(127);
}

void Supervisor::ended(Ward& ward) {
  ward.process.reset();
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {
  }
  const auto now = Clock::now();
  if (now - ward.began >= kSettled) ward.wait = ward.delay;
  ward.due = now + ward.wait;
  say(std::string(ward.name) + " has ended; it is started again in " +
      std::to_string(ward.wait.count()) + " ms");
  ward.wait = std::min(2 * ward.wait, kMostDelay);
}

int Supervisor::run() {
  const Descriptor lock(::open(lock_path(options_.directory).c_str(),
                               O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.get() < 0 || ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return 0;  // another one runs
  const auto pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(lock.get(), 0) != 0 ||
      ::write(lock.get(), pid.data(), pid.size()) != static_cast<ssize_t>(pid.size()))
    say(lock_path(options_.directory) + ": " + std::strerror(errno));
  if (!open_socket())
    say(socket_path(options_.directory) + ": nobody keeps the keeper's watchdog");
  sigset_t taken;
  sigemptyset(&taken);
  for (const int one : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&taken, one);
  ::sigprocmask(SIG_BLOCK, &taken, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  const Descriptor signals(::signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK));
  for (;;) {
    auto due = Clock::time_point::max();
    for (auto& ward : wards_) {
      look(ward);
      if (!ward.process) due = std::min(due, ward.due);
    }
    std::array<pollfd, 4> all{pollfd{signals.get(), POLLIN, 0}, pollfd{notify_->get(), POLLIN, 0},
                              pollfd{-1, POLLIN, 0}, pollfd{-1, POLLIN, 0}};
    for (std::size_t i = 0; i < wards_.size(); ++i)
      if (wards_[i].process) all[2 + i].fd = wards_[i].process->get();
    const auto left = due == Clock::time_point::max()
                          ? -1
                          : std::max<long long>(
                                std::chrono::ceil<milliseconds>(due - Clock::now()).count(), 0);
    if (::poll(all.data(), all.size(), static_cast<int>(left)) < 0) continue;
    if (all[1].revents != 0) take_notice();
    for (std::size_t i = 0; i < wards_.size(); ++i)
      if (all[2 + i].revents != 0) ended(wards_[i]);
    signalfd_siginfo seen{};
    while (all[0].revents != 0 && ::read(signals.get(), &seen, sizeof seen) == sizeof seen)
      if (seen.ssi_signo != SIGCHLD) {
        say("ends; what it watched runs on");
        return 0;
      }
  }
}

void turn_log(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
      status.st_size > kMaxLogBytes)
    static_cast<void>(std::rename(path.c_str(), (path + ".old").c_str()));
}

}  // namespace

bool supervisor_runs(const std::string& directory) {
  const Descriptor lock(::open(lock_path(directory).c_str(), O_RDONLY | O_CLOEXEC));
  if (lock.get() < 0) return false;
  return ::flock(lock.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

std::string start_supervisor(const SupervisorOptions& options) {
  if (supervisor_runs(options.directory)) return {};
  std::array<char, 4096> self{};
  if (::readlink("/proc/self/exe", self.data(), self.size() - 1) <= 0)
    return std::string("/proc/self/exe: ") + std::strerror(errno);
  const auto pid = ::fork();
  if (pid < 0) return std::string("fork: ") + std::strerror(errno);
  if (pid > 0) return {};
  // In the child: out of the agent's process group, which the executor kills when it is late.
  ::setsid();
  static_cast<void>(::chdir("/") == 0);
  turn_log(options.log);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  const int log = ::open(options.log.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  ::dup2(null, STDIN_FILENO);
  ::dup2(log >= 0 ? log : null, STDOUT_FILENO);
  ::dup2(log >= 0 ? log : null, STDERR_FILENO);
  ::execl(self.data(), "wardom-supervisor", "supervise", options.programs.c_str(),
          options.config.c_str(), options.socket.c_str(), options.directory.c_str(),
          static_cast<char*>(nullptr));
  ::_exit(127);
}

int supervise(int argc, char** argv) {
  constexpr int kWords = 6;
  if (argc != kWords) return 2;
  SupervisorOptions options;
  options.programs = argv[2];
  options.config = argv[3];
  options.socket = argv[4];
  options.directory = argv[5];
  return Supervisor(std::move(options)).run();
}

}  // namespace wardom::ocf
