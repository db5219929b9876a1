// What the adapters' suites need of the machine: a folder that goes away, processes that end with
// the test, waiting for a condition, the namespaces of a network of their own.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace sandbox {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

inline void say_skipped(const std::string& why) { std::cout << "SKIPPED: " << why << std::endl; }
inline bool is_root() { return geteuid() == 0; }

inline std::string find_program(const std::string& name) {
  for (const char* folder : {"/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/"})
    if (access((folder + name).c_str(), X_OK) == 0) return folder + name;
  return {};
}

// Waits for an event of another thread or process; false after the limit. Not a fixed sleep.
inline bool eventually(const std::function<bool()>& happened, milliseconds limit) {
  for (const auto end = Clock::now() + limit; Clock::now() < end;) {
    if (happened()) return true;
    std::this_thread::sleep_for(milliseconds{2});
  }
  return happened();
}

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/wardom-contract-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  std::string write(const std::string& name, const std::string& text, mode_t mode = 0600) const {
    const std::string file = *this / name;
    std::filesystem::create_directories(std::filesystem::path(file).parent_path());
    std::ofstream(file) << text;
    chmod(file.c_str(), mode);
    return file;
  }

 private:
  std::string path_;
};

// A child process, in a process group of its own, killed with its group at the latest when the
// object goes; dies as well when the test dies.
class Process {
 public:
  Process() = default;
  // before: runs in the child before exec, for namespaces.
  explicit Process(const std::vector<std::string>& command, const std::string& log = "/dev/null",
                   const std::function<void()>& before = {}) {
    std::vector<char*> words;
    for (const auto& word : command) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    pid_ = fork();
    if (pid_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    dup2(open("/dev/null", O_RDONLY), 0);
    dup2(open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600), 1);
    dup2(1, 2);
    if (before) before();
    execv(words[0], words.data());
    _exit(127);
  }
  ~Process() { end(SIGKILL); }
  Process(Process&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
  Process& operator=(Process&& other) noexcept {
    end(SIGKILL);
    pid_ = std::exchange(other.pid_, 0);
    return *this;
  }
  pid_t pid() const { return pid_; }
  void signal(int number) const {
    if (pid_ > 0) kill(pid_, number);
  }
  int end(int number) {
    if (pid_ <= 0) return 0;
    kill(pid_, number);
    return wait();
  }
  int wait() {
    int status = 0;
    if (pid_ > 0) waitpid(pid_, &status, 0);
    pid_ = 0;
    return status;
  }

 private:
  pid_t pid_{0};
};

// Runs a command to its end; true when it exits with 0.
inline bool run(const std::vector<std::string>& command, const std::string& log = "/dev/null") {
  return Process(command, log).wait() == 0;
}

inline double cpu_us_of_this_process() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto us = [](const timeval& t) { return 1e6 * double(t.tv_sec) + double(t.tv_usec); };
  return us(usage.ru_utime) + us(usage.ru_stime);
}

inline long resident_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmRSS:", 0) == 0) return std::stol(line.substr(6));
  return 0;
}

}  // namespace sandbox
