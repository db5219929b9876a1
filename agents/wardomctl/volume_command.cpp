#include "agents/wardomctl/volume_command.hpp"

#include "agents/wardomctl/volume_common.hpp"
#include "libha/wire/layout.hpp"

namespace wardom::ctl {
namespace {

void add_format(CLI::App& command, VolumeOptions& options) {
  command.add_option("--hosts", options.hosts, "The highest host id")
      ->required()
      ->check(CLI::Range(2u, wire::kMaxHosts));
  command.add_option("--domains", options.domains, "The highest domain id")
      ->required()
      ->check(CLI::Range(1u, wire::kMaxDomains));
  command.add_option("--profile", options.profile, "How patient leases are")
      ->check(CLI::IsMember({"fast", "default", "tolerant"}))
      ->capture_default_str();
  auto* table =
      command.add_option("--table-size", options.table_bytes, "One host's table (default 256KiB)");
  table->transform(CLI::AsSizeValue(false))
      ->check(CLI::Range(wire::kMinTableBlocks * wire::kBlockBytes,
                         wire::kMaxTableBlocks * wire::kBlockBytes));
  command
      .add_option("--guests-per-host", options.guests_per_host,
                  "Instead of --table-size: so many guests on one host, those of a dead "
                  "neighbour included")
      ->check(CLI::Range(1u, static_cast<unsigned>(kMaxGuestsPerHost)))
      ->excludes(table);
  command.add_option("--cluster", options.cluster, "Its name; default: cluster.name");
  command
      .add_option("--l-late", options.late_s,
                  "Seconds: the longest life of a write in the storage path after its writer "
                  "stopped (default 10, on NFS 30)")
      ->check(CLI::Range(0.0, 3600.0));
  command
      .add_option("--l-late-after-off", options.late_after_off_s,
                  "Seconds: the same after a proved power-off")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  command.add_flag("--force", options.force, "Format also what is not empty");
  command.add_flag("--destroy-living-cluster", options.destroy_living,
                   "With --force: format also a volume that a cluster is using now");
  command.add_flag("--dry-run", options.dry_run, "Print the sizes and what stands in the way");
  command.add_flag("--sparse", options.sparse,
                   "A file takes room only as it is written; it may then run out of it");
}

void add_cell_options(CLI::App& command, VolumeOptions& options) {
  command.add_option("--region", options.region, "Which region")
      ->check(CLI::IsMember({"superblock", "slot", "directory", "ballot", "decision", "table"}));
  command.add_option("--host", options.host, "Whose cells: a host id")
      ->check(CLI::Range(1u, wire::kMaxHosts));
  command.add_option("--domain", options.domain, "Of which domain: its id")
      ->check(CLI::Range(1u, wire::kMaxDomains));
}

void add_dump(CLI::App& command, VolumeOptions& options) {
  add_cell_options(command, options);
  command.add_flag("--raw", options.raw, "The bytes too, in hexadecimal");
}

void add_repair(CLI::App& command, VolumeOptions& options) {
  add_cell_options(command, options);
  command.get_option("--region")->required();
  command.add_option("--audit-file", options.audit_file, "Where the repair is put on record")
      ->capture_default_str();
}

void add_change(CLI::App& command, VolumeOptions& options) {
  command.add_flag("--abandon", options.abandon,
                   "Undo a change that was interrupted and is not decided yet");
  command.add_flag("--other-is-gone", options.other_is_gone,
                   "The command that began the change, on another host or before its reboot, has "
                   "ended for certain");
  command
      .add_option("--gone", options.gone,
                  "A host, by its id, that is gone for good and did not leave in order")
      ->check(CLI::Range(1u, wire::kMaxHosts));
  command.add_option("--audit-file", options.audit_file, "Where the change is put on record")
      ->capture_default_str();
}

void add_move(CLI::App& command, VolumeOptions& options) {
  add_change(command, options);
  command.get_option("PATH")->description("The new block device or file");
  command.add_option("--from", options.from, "The volume to move; default: volume.path");
  command.add_option("--hosts", options.hosts, "The new one has room for host ids up to this one")
      ->check(CLI::Range(2u, wire::kMaxHosts));
  command.add_option("--domains", options.domains, "And for domain ids up to this one")
      ->check(CLI::Range(1u, wire::kMaxDomains));
  command.add_flag("--force", options.force, "Also onto what is not empty");
  command.add_flag("--sparse", options.sparse,
                   "A file takes room only as it is written; it may then run out of it");
}

void add_profile(CLI::App& command, VolumeOptions& options) {
  add_change(command, options);
  command.remove_option(command.get_option("PATH"));
  command.add_option("PROFILE", options.new_profile, "fast, default or tolerant")
      ->check(CLI::IsMember({"fast", "default", "tolerant"}));
  command.add_option("PATH", options.path, "Block device or file; default: volume.path");
}

}  // namespace

void add_volume_commands(CLI::App& app, const std::string& socket, int& exit_code) {
  const auto options = std::make_shared<VolumeOptions>();
  auto* volume = app.add_subcommand("volume", "The state volume that the cluster shares");
  volume->require_subcommand(1);

  const auto subcommand = [&](const char* name, const char* help, bool path_needed,
                              int (*run)(const VolumeOptions&)) {
    auto* command = volume->add_subcommand(name, help);
    command->add_option("PATH", options->path, "Block device or file; default: volume.path")
        ->required(path_needed);
    command->add_option("--config", options->config, "The cluster's configuration")
        ->capture_default_str();
    add_json_flag(*command, options->as_json);
    command->callback([options, &socket, &exit_code, run] {
      options->socket = socket;
      exit_code = run(*options);
    });
    return command;
  };
  subcommand("show", "What stands on it: geometry, times, slots, locks, decisions, tables", false,
             volume_show);
  subcommand("check", "Check every block; exit 1 when any is damaged", false, volume_check);
  add_dump(
      *subcommand("dump", "Print cells whole: all, or those that are named", false, volume_dump),
      *options);
  add_repair(*subcommand("repair", "Rewrite a damaged cell of a dead or removed host", true,
                         volume_repair),
             *options);

  add_move(*subcommand("move", "Move it to another device or file, while guests run", false,
                       volume_move),
           *options);
  add_profile(*subcommand("profile", "Other lease times: fast, default, tolerant, while guests run",
                          false, volume_profile),
              *options);

  add_format(*subcommand("format", "Lay out a new state volume", true, volume_format), *options);
}

}  // namespace wardom::ctl
