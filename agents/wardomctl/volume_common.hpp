// What the subcommands of `wardomctl volume` share.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agents/wardomctl/command.hpp"
#include "libha/config/config.hpp"
#include "libha/disk/volume_file.hpp"

namespace wardom::ctl {

inline constexpr const char* kDefaultAuditFile = "/var/lib/wardom/audit.jsonl";

// What the command line said; one of the subcommands runs.
struct VolumeOptions {
  std::string path;
  std::string config{kDefaultConfigFile};
  std::string socket{kDefaultSocket};
  bool as_json{false};
  // format
  std::uint32_t hosts{0};
  std::uint32_t domains{0};
  std::string profile{"default"};
  std::uint64_t table_bytes{0};      // 0: from guests_per_host
  std::uint32_t guests_per_host{0};  // 0: from table_bytes
  std::string cluster;
  double late_s{-1};
  double late_after_off_s{0};
  bool force{false};
  bool destroy_living{false};
  bool dry_run{false};
  bool sparse{false};
  // dump and repair
  std::string region;
  std::uint16_t host{0};    // 0: any
  std::uint16_t domain{0};  // 0: any
  bool raw{false};
  std::string audit_file{kDefaultAuditFile};
  // move and profile
  std::string from;  // empty: volume.path
  std::string new_profile;
  bool abandon{false};
  bool other_is_gone{false};
  std::vector<std::uint16_t> gone;  // hosts
};

struct OpenedVolume {
  std::string path;
  std::unique_ptr<disk::VolumeFile> volume;
};
// The volume that the command line names, or the one of the configuration.
Result<OpenedVolume> open_volume(const VolumeOptions& options, disk::Access access);

// The one cell that --region with --host and --domain name; nullopt: they name several. It may lie
// outside the geometry.
std::optional<Cell> named_cell(const VolumeOptions& options, Region region,
                               const Geometry& geometry);

// T_F and W of the profile of that name: fast, default or tolerant.
void give_lease_times(Geometry& geometry, const std::string& profile);

// One line more in the audit file, and in the system's log. Error: it does not stand there.
Result<void> put_on_record(const std::string& path, boost::json::object entry);

// Looks again and again, for three of the longest disk intervals that this T_F allows (timing.cpp:
// T_F/8), until `seen` says yes. Whether it did.
bool watch_for(std::chrono::milliseconds t_f, const std::function<bool()>& seen);

// Of a repair that is not begun: the exit code, its reason told.
int refuse_repair(const std::string& why);
// Writes `name`, with a line in the audit file before and one after, and prints what became of it;
// `told` where all went well. Nothing is written unless the first line stands. Returns the exit
// code.
int repair_on_record(const VolumeOptions& options, boost::json::object entry,
                     const std::string& name, const std::function<Result<void>()>& write,
                     const std::string& told);

// Where no two superblocks say the same. nullopt: they do not contradict each other.
std::optional<int> settle_contradiction(const VolumeOptions& options);

int volume_format(const VolumeOptions& options);
int volume_show(const VolumeOptions& options);
int volume_check(const VolumeOptions& options);
int volume_dump(const VolumeOptions& options);
int volume_repair(const VolumeOptions& options);
int volume_move(const VolumeOptions& options);
int volume_profile(const VolumeOptions& options);

}  // namespace wardom::ctl
