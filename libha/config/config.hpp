// wardom.toml: one file for the whole cluster, the same on every host, checked as a whole.
//
// Reading reports every fault of the file at once, each as
//   FILE:LINE:COLUMN: key `timing.beat_interval`: what is wrong; what to do
// Nothing here keeps state or caches: a file is read when it is asked for. Any thread; the
// functions that open files block for as long as the file system does.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libha/core/bmc.hpp"
#include "libha/core/ids.hpp"
#include "libha/core/records.hpp"
#include "libha/core/result.hpp"
#include "libha/core/timing.hpp"

namespace wardom {

inline constexpr std::size_t kMaxConfigBytes = 4 * 1024 * 1024;
inline constexpr std::size_t kMaxConfigProblems = 100;  // reported of one file
inline constexpr std::uint16_t kMaxHostId = 2000;
inline constexpr std::uint16_t kMaxDomainId = 250;
inline constexpr std::size_t kMaxNameBytes = 64;
inline constexpr std::size_t kMaxSharedPaths = 64;
inline constexpr std::size_t kMaxMigrationUriBytes = 256;
inline constexpr unsigned kMaxMigrations = 8;  // libvirtd has 20 threads for requests

inline constexpr const char* kDefaultConfigFile = "/etc/wardom/wardom.toml";
inline constexpr const char* kDefaultKeyFile = "/etc/wardom/key";
inline constexpr std::uint16_t kDefaultBeatPort = 5415;
inline constexpr std::uint16_t kDefaultBmcPort = 623;
inline constexpr Duration kDefaultWatchdogTimeout = std::chrono::seconds{5};
inline constexpr Duration kWatchdogTimeoutMin = std::chrono::seconds{2};
inline constexpr Duration kWatchdogTimeoutMax = std::chrono::seconds{60};

// How to reach one host's BMC, with the defaults of [bmc] already filled in.
struct BmcConfig {
  std::string address;  // host name or IP address
  std::uint16_t port{kDefaultBmcPort};
  std::string user;
  std::filesystem::path password_file;   // read with load_password()
  unsigned cipher_suite{3};              // 0..17
  std::vector<std::string> workarounds;  // ipmipower's names, such as "opensesspriv"
  BmcPrivilege privilege{BmcPrivilege::operator_level};
};

struct HostConfig {
  std::string name;  // as `uname -n` says
  HostId id;
  DomainId domain;
  std::string mgmt;  // IPv4 or IPv6 address, in its canonical spelling
  std::string storage;
  std::optional<BmcConfig> bmc;  // nullopt: the host has none, and `power-off` never proves it dead

  const std::string& address(Link link) const { return link == Link::mgmt ? mgmt : storage; }
};

struct DomainConfig {
  std::string name;
  DomainId id;
};

struct Config {
  struct Cluster {
    std::string name;
    std::filesystem::path key_file{kDefaultKeyFile};  // read with load_key()
  };
  struct StateVolume {
    std::filesystem::path path;
    std::optional<Bits128> uuid;  // refuse any other volume
    // `outage`: hosts outlive an outage that all of them see, by each other's grants; else each is
    // fenced by its own ladder. A host that does not take part grants nothing, so none does.
    bool ride_out{false};
  };
  struct Beats {
    std::uint16_t port{kDefaultBeatPort};  // UDP, on both links
  };
  struct Placement {
    std::uint64_t memory_reserve_mib{512};  // left free on a target
    unsigned parallel_starts{4};            // on one host
  };
  struct Guests {
    std::vector<std::filesystem::path> shared_paths;  // directories that every host has, the same
  };

  // Live migration between hosts. Without it no guest is migrated by Wardom.
  struct Migration {
    std::string uri;               // of a host's libvirtd, with {address} or {name} for the host
    Link link{Link::storage};      // on which that address is; a guest's memory takes it too
    unsigned max{2};               // from one host at a time
    std::uint64_t bandwidth_mib{0};  // per second, for each guest; 0: as much as there is
    bool auto_converge{false};     // slows a guest down that writes faster than that

    // Of the libvirtd there, and of where QEMU sends a guest's memory.
    std::string uri_of(const HostConfig& host) const;
    std::string data_uri_of(const HostConfig& host) const;
  };

  // What becomes of guests for which nobody has said otherwise. Delay and patience are in Timing.
  struct Isolation {
    IsolationResponse response{IsolationResponse::leave};
  };

  // What resets a host that cannot write its heartbeat any more. See libha/doc/watchdog.md.
  struct Watchdog {
    std::optional<std::filesystem::path> device;  // nullopt: no host publishes a lease
    Duration timeout{kDefaultWatchdogTimeout};    // whole seconds; nominal, W is measured
    bool stay_up{false};  // a host whose guests are gone for certain by T_F is not reset
    bool lab{false};                              // `device` is the lab's socket, not a watchdog
  };

  Cluster cluster;
  StateVolume volume;
  Watchdog watchdog;
  Timing timing;  // with [bmc] session_timeout, [isolation] delay and patience
  Beats beats;
  Placement placement;
  Guests guests;
  Isolation isolation;
  std::optional<Migration> migration;
  std::vector<DomainConfig> domains;  // sorted by id
  std::vector<HostConfig> hosts;      // sorted by id
  std::uint32_t text_digest{0};       // a hash of the file as it is, remarks and all

  // nullptr: no such host or domain. The pointers live as long as the Config is not changed.
  const HostConfig* find_host(std::string_view name) const;
  const HostConfig* find_host(HostId id) const;
  const DomainConfig* find_domain(DomainId id) const;
  // The hosts of a domain, sorted by id: the order of the bits of a MemberSet.
  std::vector<const HostConfig*> members(DomainId domain) const;
};

// This machine's own entry: the host of that name (as `uname -n` says) or, where the file has none,
// the one whose two addresses this machine has now. So a file with a host's new name may come
// before the name does. nullptr: there is none.
const HostConfig* own_host(const Config& config, std::string_view name);

// One fault of a file. Line and column count from 1; 0: the file as a whole.
struct ConfigProblem {
  unsigned line{0};
  unsigned column{0};
  std::string key;   // "timing.beat_interval", "host.n1.mgmt"; empty: not about one key
  std::string what;  // what is wrong and what to do
};
std::string to_text(const ConfigProblem& problem, std::string_view file);

// What a file says and all that is wrong with it. `config` may be used only without problems.
struct CheckedConfig {
  Config config;
  std::vector<ConfigProblem> problems;
};
CheckedConfig check_config(std::string_view text);

// The same as Result: the error's message has one line per problem. `name` stands for the file.
Result<Config> parse_config(std::string_view text, std::string_view name);
Result<Config> load_config(const std::filesystem::path& path);
// The file's text, for check_config(). Error: cannot be read, or larger than kMaxConfigBytes.
Result<std::string> read_config_file(const std::filesystem::path& path);

// A hash of who the members of a domain are: ids, addresses and the domain. Equal on two hosts if
// and only if (but for chance) their files agree; stable over releases and machines. Hosts whose
// digests differ do not take part in each other's views.
std::uint64_t config_digest(const Config& config, DomainId domain);
// What a host says of its file in its beats: the upper half is that of config_digest(), the lower
// one text_digest, in which two files also differ that name the same members.
std::uint64_t told_digest(const Config& config, DomainId domain);

// The cluster's key: 64 hex digits in a regular file of mode 0600 that root owns (or the user that
// runs this, in tests). The message of an error never shows the content.
using ClusterKey = std::array<std::uint8_t, 32>;
Result<ClusterKey> load_key(const std::filesystem::path& path);
// A BMC's password: the file's first line, 1..20 bytes, under the same conditions.
Result<std::string> load_password(const std::filesystem::path& path);

}  // namespace wardom
