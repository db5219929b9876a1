#include "ocf/child.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "libha/proc/descriptor.hpp"
#include "libha/proc/process.hpp"

namespace wardom::ocf {
namespace {

using Clock = std::chrono::steady_clock;
using proc::Descriptor;
using std::chrono::milliseconds;

int left_until(Clock::time_point until) {
  const auto left = std::chrono::ceil<milliseconds>(until - Clock::now()).count();
  return left < 0 ? 0 : static_cast<int>(left);
}

// What it says until it closes the pipe, or has ended: a child of its own may hold the pipe open.
void listen(int pipe, int process, Clock::time_point until, std::string& said) {
  std::array<char, 1024> buffer;
  for (;;) {
    std::array<pollfd, 2> both{pollfd{pipe, POLLIN, 0}, pollfd{process, POLLIN, 0}};
    const int ready = ::poll(both.data(), both.size(), left_until(until));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return;
    if (both[0].revents != 0) {
      const auto got = ::read(pipe, buffer.data(), buffer.size());
      if (got <= 0) return;
      const auto size = static_cast<std::size_t>(got);
      said.append(buffer.data(), std::min(size, kMaxChildOutput - said.size()));
    } else if (both[1].revents != 0) {
      return;
    }
  }
}

}  // namespace

Ran run_child(const std::vector<std::string>& argv, milliseconds patience) {
  Ran ran;
  const auto until = Clock::now() + patience;
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return ran;
  const Descriptor reader(ends[0]);
  std::vector<char*> words;
  for (const auto& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
  pid_t pid = 0;
  const int failed = ::posix_spawnp(&pid, words[0], &actions, nullptr, words.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  if (failed != 0) return ran;
  const Descriptor process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  listen(reader.get(), process.get(), until, ran.said);
  pollfd one{process.get(), POLLIN, 0};
  while (::poll(&one, 1, left_until(until)) < 0 && errno == EINTR) {
  }
  int status = 0;
  if (::waitpid(pid, &status, WNOHANG) == 0) {
    ::kill(pid, SIGKILL);
    // One that hangs in the kernel is left to whoever comes after this process.
    constexpr int kKillPatienceMs = 200;
    ::poll(&one, 1, kKillPatienceMs);
    ::waitpid(pid, &status, WNOHANG);
    return ran;
  }
  if (WIFEXITED(status)) ran.code = WEXITSTATUS(status);
  return ran;
}

std::optional<int> process_called(const std::string& name) {
  const auto space_of = [](const std::string& pid) {
    std::array<char, 64> link{};
    const auto path = "/proc/" + pid + "/ns/pid";
    return ::readlink(path.c_str(), link.data(), link.size() - 1) > 0 ? std::string(link.data())
                                                                      : std::string();
  };
  const auto own = space_of("self");
  for (const auto pid : proc::all_pids().value_or(std::vector<std::int32_t>{})) {
    const auto folder = "/proc/" + std::to_string(pid);
    const auto comm = proc::read_file(folder + "/comm");
    if (!comm || *comm != name + "\n") continue;
    struct stat owner {};
    if (::stat(folder.c_str(), &owner) != 0 || owner.st_uid != ::geteuid()) continue;
    const auto stat = proc::stat_of(pid);
    if (!stat || stat->state == 'Z' || stat->state == 'X') continue;
    if (space_of(std::to_string(pid)) == own) return pid;
  }
  return std::nullopt;
}

}  // namespace wardom::ocf
