#include "agents/keeper/drain.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <sstream>
#include <string_view>
#include <utility>

#include "libha/proc/process.hpp"

namespace wardom::keeper {
namespace {

using namespace std::literals;

// What is local for certain; of anything else nobody can tell what is queued for it.
constexpr std::array kLocalTypes{
    "autofs"sv,   "bdev"sv,       "binfmt_misc"sv, "bpf"sv,      "btrfs"sv,       "cgroup"sv,
    "cgroup2"sv,  "configfs"sv,   "cpuset"sv,      "debugfs"sv,  "devpts"sv,      "devtmpfs"sv,
    "efivarfs"sv, "ext2"sv,       "ext3"sv,        "ext4"sv,     "f2fs"sv,        "fusectl"sv,
    "hugetlbfs"sv, "iso9660"sv,   "mqueue"sv,      "nsfs"sv,     "overlay"sv,     "proc"sv,
    "pstore"sv,   "ramfs"sv,      "rootfs"sv,      "rpc_pipefs"sv, "securityfs"sv, "selinuxfs"sv,
    "squashfs"sv, "sysfs"sv,      "tmpfs"sv,       "tracefs"sv,  "vfat"sv,        "xfs"sv,
    "fuse.lxcfs"sv, "fuse.portal"sv, "fuse.gvfsd-fuse"sv};

bool is_local(std::string_view type) {
  return std::find(kLocalTypes.begin(), kLocalTypes.end(), type) != kLocalTypes.end();
}

// net/tcp_states.h: closed by its process, and not yet acknowledged by the other side.
bool is_closing(std::string_view state) { return state == "04" || state == "09" || state == "0B"; }

// proc_net_tcp(5): "sl local remote st tx_queue:rx_queue ...".
std::string unsent(const std::string& path) {
  const auto text = proc::read_file(path);
  if (!text) return path + " cannot be read";
  std::istringstream lines(*text);
  std::string line;
  std::getline(lines, line);  // the headings
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string number, local, remote, state, queues;
    if (line.empty()) continue;
    if (!(words >> number >> local >> remote >> state >> queues)) return path + " is malformed";
    const auto sent = queues.substr(0, queues.find(':'));
    if (is_closing(state) && sent.find_first_not_of('0') != std::string::npos)
      return "a closed connection to " + remote + " has not sent all that it holds";
  }
  return {};
}

std::string strange_mount(const std::string& own_volume, const std::string& path) {
  const auto text = proc::read_file(path);
  if (!text) return path + " cannot be read";
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string device, where, type;
    if (line.empty()) continue;
    if (!(words >> device >> where >> type)) return path + " is malformed";
    if (!is_local(type) && where != own_volume)
      return "what is queued for " + where + " (" + type + ") cannot be told";
  }
  return {};
}

}  // namespace

std::string undrained(const std::string& own_volume, const std::string& host,
                      const std::string& proc) {
  const auto base = proc + "/" + host;
  if (auto why = unsent(base + "/net/tcp"); !why.empty()) return why;
  // No IPv6: no such file. Anything else that keeps it from being read is no answer.
  const auto six = base + "/net/tcp6";
  if (::access(six.c_str(), F_OK) == 0 || errno != ENOENT)
    if (auto why = unsent(six); !why.empty()) return why;
  return strange_mount(own_volume, base + "/mounts");
}

}  // namespace wardom::keeper
