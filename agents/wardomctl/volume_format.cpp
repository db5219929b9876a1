// `wardomctl volume format`.
#include <sys/random.h>
#include <sys/vfs.h>

#include <algorithm>
#include <chrono>
#include <iostream>

#include "agents/wardomctl/table.hpp"
#include "agents/wardomctl/volume_common.hpp"
#include "agents/wardomctl/volume_json.hpp"
#include "agents/wardomctl/volume_text.hpp"
#include "libha/core/check.hpp"
#include "libha/disk/format.hpp"

namespace wardom::ctl {
namespace {

constexpr long kNfsMagic = 0x6969;  // statfs(2), NFS_SUPER_MAGIC

std::uint32_t to_ms(double seconds) { return static_cast<std::uint32_t>(seconds * 1000 + 0.5); }

std::uint32_t default_late_ms(const std::string& path) {
  struct statfs fs {};
  // A file that does not exist yet lies where its directory does.
  const auto slash = path.find_last_of('/');
  const auto directory = slash == std::string::npos ? std::string(".") : path.substr(0, slash + 1);
  if (::statfs(path.c_str(), &fs) != 0 && ::statfs(directory.c_str(), &fs) != 0) return 10'000;
  return fs.f_type == kNfsMagic ? 30'000 : 10'000;
}

// The table's extent: as said, or for so many guests of one host.
Result<std::uint32_t> wanted_table_blocks(const VolumeOptions& options) {
  auto bytes = options.table_bytes;
  if (options.guests_per_host != 0)
    bytes = options.guests_per_host * kTableBytesPerGuest;
  else if (bytes == 0)
    bytes = wire::kDefaultTableBlocks * wire::kBlockBytes;
  else if (bytes % wire::kBlockBytes != 0)
    return failure("--table-size must be a multiple of 4KiB");
  const auto blocks = (bytes + wire::kBlockBytes - 1) / wire::kBlockBytes;
  return std::max(static_cast<std::uint32_t>(blocks), wire::kMinTableBlocks);
}

Result<Geometry> wanted_geometry(const VolumeOptions& options) {
  Geometry g;
  g.cluster = options.cluster;
  if (g.cluster.empty()) {
    auto config = load_config(options.config);
    if (!config)
      return failure(
          "the cluster's name is needed: give --cluster, or a --config that can be "
          "read: " +
          config.error().message);
    g.cluster = config.value().cluster.name;
  }
  g.hosts = options.hosts;
  g.domains = options.domains;
  g.decision_blocks = wire::kDefaultDecisionBlocks;
  const auto table_blocks = wanted_table_blocks(options);
  if (!table_blocks) return failure(table_blocks.error().message);
  g.table_blocks = table_blocks.value();
  give_lease_times(g, options.profile);
  g.l_late_ms = options.late_s < 0 ? default_late_ms(options.path) : to_ms(options.late_s);
  g.l_late_after_off_ms = to_ms(options.late_after_off_s);
  g.formatted = WallTime{std::chrono::duration_cast<std::chrono::milliseconds>(
                             std::chrono::system_clock::now().time_since_epoch())
                             .count()};
  WARDOM_CHECK(::getrandom(g.volume_uuid.bytes.data(), g.volume_uuid.bytes.size(), 0) ==
               static_cast<ssize_t>(g.volume_uuid.bytes.size()));
  if (auto ok = wire::check_geometry(g); !ok) return failure(ok.error().message);
  return g;
}

// kDone: nothing forbids to format.
int may_format(const VolumeOptions& options, const disk::Contents& found) {
  if (found.empty) return kDone;
  std::string slots;
  for (const auto& slot : found.used_slots) slots += "\n  slot " + slot;
  const auto what = options.path + " holds " + found.what + slots;
  if (!options.force)
    return fail(kRefused, what + "\nnot formatted; to lose all of that, say --force");
  if (found.unknown_version && !options.destroy_living)
    return fail(kRefused, what +
                              "\nnot formatted: whether a cluster uses it cannot be seen by this "
                              "version (--force --destroy-living-cluster formats it all the same)");
  if (found.moving && !options.destroy_living)
    return fail(kRefused, what +
                              "\nnot formatted: a slot moves, so a living cluster uses the volume; "
                              "stop wardom-keeper on its hosts first (--force "
                              "--destroy-living-cluster formats it all the same)");
  std::cerr << "wardomctl: overwrites " << what << "\n";
  return kDone;
}

int report(const VolumeOptions& options, const Geometry& geometry) {
  if (options.as_json)
    std::cout << geometry_json(options.path, geometry) << "\n";
  else
    print_geometry(options.path, geometry);
  return kDone;
}

}  // namespace

int volume_format(const VolumeOptions& options) {
  const auto geometry = wanted_geometry(options);
  if (!geometry) return fail(kUsage, geometry.error().message);
  if (!options.as_json) {
    print_plan(geometry.value());
    print_costs(geometry.value());
  }
  const auto size = wire::Layout(geometry.value()).size();
  const auto space = options.sparse ? disk::Space::sparse : disk::Space::allocated;
  if (const auto room = disk::check_room(options.path, size); !options.sparse && !room)
    return fail(kFailed, room.error().message);
  const auto found = disk::inspect(options.path);
  if (!found) return fail(kFailed, found.error().message);
  if (const int code = may_format(options, found.value()); code != kDone) return code;
  if (options.dry_run) return report(options, geometry.value());
  if (auto done = disk::format_volume(options.path, geometry.value(), space); !done)
    return fail(kFailed, done.error().message);
  return report(options, geometry.value());
}

}  // namespace wardom::ctl
