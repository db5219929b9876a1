// Hosts for the adapters' suites: each a network and a mount namespace of its own, held by a child
// process, joined by one bridge in a third namespace. They go with the processes. Needs root.
#pragma once

#include <sched.h>
#include <sys/mount.h>

#include <memory>

#include "net_sandbox.hpp"

namespace sandbox {

class Namespaces {
 public:
  // private_folders: each gets an empty tmpfs of the host's own.
  explicit Namespaces(const std::vector<std::string>& private_folders = {}) {
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) != 0) abort();
    holder_ = Process({"/bin/sleep", "infinity"}, "/dev/null", [&] {
      if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) _exit(1);
      if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) _exit(1);
      for (const auto& folder : private_folders)
        if (mount("none", folder.c_str(), "tmpfs", 0, nullptr) != 0) _exit(1);
      if (write(ready[1], "x", 1) != 1) _exit(1);
    });
    close(ready[1]);
    char word = 0;
    usable_ = read(ready[0], &word, 1) == 1;
    close(ready[0]);
    usable_ = usable_ && ip("link set lo up");
  }
  bool usable() const { return usable_; }
  pid_t pid() const { return holder_.pid(); }

  // The calling thread moves into the namespaces; threads that it starts are born there.
  void enter() const {
    const std::string base = "/proc/" + std::to_string(pid()) + "/ns/";
    if (unshare(CLONE_FS) != 0) abort();  // a shared working folder forbids changing the mounts
    for (const char* kind : {"net", "mnt"}) {
      const int fd = open((base + kind).c_str(), O_RDONLY | O_CLOEXEC);
      if (fd < 0 || setns(fd, 0) != 0) abort();
      close(fd);
    }
  }
  bool run(const std::vector<std::string>& command) const {
    return Process(command, "/dev/null", [this] { enter(); }).wait() == 0;
  }
  bool ip(const std::string& words) const {
    return run({"/bin/sh", "-c", "PATH=$PATH:/sbin:/usr/sbin exec ip " + words});
  }
  Process start(const std::vector<std::string>& command, const std::string& log) const {
    return Process(command, log, [this] { enter(); });
  }
  // Runs a function on a thread inside.
  void inside(const std::function<void()>& body) const {
    std::thread thread([&] {
      enter();
      body();
    });
    thread.join();
  }

 private:
  Process holder_;
  bool usable_{false};
};

// Hosts 1..count with the address 10.99.<link>.<id>/24 on eth<link>.
class Hosts {
 public:
  Hosts(int count, int links, const std::vector<std::string>& private_folders = {}) {
    for (int i = 0; i <= count; ++i)
      spaces_.push_back(std::make_unique<Namespaces>(i == 0 ? std::vector<std::string>{}
                                                            : private_folders));
    for (const auto& space : spaces_) usable_ = usable_ && space->usable();
    for (int link = 0; usable_ && link < links; ++link) connect(link, count);
  }
  bool usable() const { return usable_; }
  const Namespaces& host(int id) const { return *spaces_[static_cast<std::size_t>(id)]; }
  const Namespaces& fabric() const { return *spaces_[0]; }
  static std::string address(int link, int id) {
    return "10.99." + std::to_string(link) + "." + std::to_string(id);
  }

 private:
  void connect(int link, int count) {
    const std::string l = std::to_string(link), bridge = "br" + l, eth = "eth" + l;
    usable_ = usable_ && fabric().ip("link add " + bridge + " type bridge") &&
              fabric().ip("link set " + bridge + " up");
    for (int id = 1; id <= count; ++id) {
      const std::string port = "h" + std::to_string(id) + "l" + l;
      usable_ = usable_ &&
                fabric().ip("link add " + port + " type veth peer name " + eth + " netns " +
                            std::to_string(host(id).pid())) &&
                fabric().ip("link set " + port + " master " + bridge + " up") &&
                host(id).ip("addr add " + address(link, id) + "/24 dev " + eth) &&
                host(id).ip("link set " + eth + " up");
    }
  }
  std::vector<std::unique_ptr<Namespaces>> spaces_;
  bool usable_{true};
};

}  // namespace sandbox
