// A host of its own for tests with a real libvirtd: private mounts, processes and network, all of
// which end with the test program. Only for processes inside it.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include <array>
#include <optional>

#include "net_sandbox.hpp"

namespace host {

namespace fs = std::filesystem;

// Empty: a private host can be built here. Else what is missing.
inline std::string missing() {
  if (!sandbox::is_root()) return "needs root for namespaces of its own";
  for (const char* program : {"libvirtd", "virtlogd", "qemu-system-x86_64", "virsh"})
    if (sandbox::find_program(program).empty()) return std::string("needs ") + program;
  return {};
}

inline void write(const std::string& path, const std::string& text, mode_t mode = 0644) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path) << text;
  chmod(path.c_str(), mode);
}

// libvirt's own folders and files, in new namespaces. False with errno when the kernel refuses.
inline bool furnish_libvirt(const std::string& libvirtd_conf) {
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  for (const char* folder : {"/run", "/etc/libvirt", "/var/lib/libvirt", "/var/log/libvirt",
                             "/var/cache/libvirt"})
    if (mount("tmpfs", folder, "tmpfs", 0, "mode=0755") != 0) return false;
  write("/etc/libvirt/qemu.conf",
        "user=\"root\"\ngroup=\"root\"\ndynamic_ownership=0\nsecurity_driver=\"none\"\n"
        "cgroup_controllers=[]\nnamespaces=[]\nstdio_handler=\"file\"\nkeepalive_interval=1\n"
        "keepalive_count=3\n");
  write("/etc/libvirt/libvirtd.conf", "auth_unix_rw=\"none\"\n" + libvirtd_conf);
  return true;
}

inline bool furnish() {
  if (!furnish_libvirt("host_uuid=\"6f2b7c51-92a4-4c0e-8d9b-1a7f3f7c0001\"\n") ||
      mount("proc", "/proc", "proc", 0, nullptr) != 0)
    return false;
  fs::create_directories("/run/wardom");
  // libvirtd looks for hooks when it starts: one that comes later is not seen.
  fs::create_directories("/etc/libvirt/hooks/qemu.d");
  fs::create_symlink(WARDOM_HOOK, "/etc/libvirt/hooks/qemu.d/wardom");
  return sandbox::run({sandbox::find_program("ip"), "link", "set", "lo", "up"});
}

// Runs `inside` as the second process of new namespaces; the first one reaps what is orphaned.
inline int in_private_host(const std::function<int()>& inside) {
  if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0) {
    sandbox::say_skipped("tests with a real libvirtd: the kernel refuses new namespaces");
    return 0;
  }
  const pid_t first = fork();
  if (first == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!furnish()) {
      sandbox::say_skipped("tests with a real libvirtd: private mounts are refused");
      _exit(0);
    }
    const pid_t tests = fork();
    if (tests == 0) {
      const int result = inside();
      std::fflush(nullptr);
      _exit(result);
    }
    for (;;) {
      int status = 0;
      if (waitpid(-1, &status, 0) == tests) _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 127);
    }
  }
  int status = 0;
  waitpid(first, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}

inline sandbox::Process start_libvirtd() {
  return sandbox::Process({sandbox::find_program("libvirtd")}, "/run/libvirtd.log");
}

inline bool virsh(std::vector<std::string> words) {
  words.insert(words.begin(), {sandbox::find_program("virsh"), "-q", "-c", "qemu:///system"});
  return sandbox::run(words, "/run/virsh.log");
}

inline pid_t qemu_of(const std::string& guest) {
  std::ifstream file("/run/libvirt/qemu/" + guest + ".pid");
  pid_t pid = 0;
  file >> pid;
  return pid;
}

// A disk of one boot sector: code, then the signature.
inline std::string boot_disk(const std::string& name, const std::string& code) {
  std::string sector = code + std::string(510 - code.size(), '\0') + "\x55\xaa";
  const std::string path = "/run/" + name + ".img";
  write(path, sector);
  return path;
}
inline const std::string kIdle = "\xf4\xeb\xfd";  // hlt; jmp to it
// Lets the PIIX4 tell of its power button, and does as kPowerOff once it is pressed: cli;
// mov dx,0x602; mov ax,0x100; out dx,ax; mov dx,0x600; wait: in ax,dx; test ah,1; jz wait;
// mov dx,0x604; mov ax,0x2000; out dx,ax.
inline const std::string kObeysButton =
    std::string("\xfa\xba\x02\x06\xb8\x00\x01\xef\xba\x00\x06\xed\xf6\xc4\x01\x74\xfa"
                "\xba\x04\x06\xb8\x00\x20\xef", 24) + "\xf4\xeb\xfd";
// Writes "power off" to the PIIX4's control register: mov dx,0x604; mov ax,0x2000; out dx,ax.
inline const std::string kPowerOff =
    std::string("\xba\x04\x06\xb8\x00\x20\xef", 7) + "\xf4\xeb\xfd";

}  // namespace host
