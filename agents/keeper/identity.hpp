// Who this boot of this machine is, and what of it is kept in the run directory.
#pragma once

#include <optional>
#include <string>

#include "libha/core/ids.hpp"
#include "libha/core/result.hpp"

namespace wardom::keeper {

struct Identity {
  Bits128 boot_id;     // /proc/sys/kernel/random/boot_id
  Bits128 machine_id;  // /etc/machine-id; zero where there is none
  Bits128 dmi_uuid;    // /sys/class/dmi/id/product_uuid; zero where there is none
};
Result<Identity> read_identity();

// The incarnation as kept over restarts of the keeper within one boot.
struct KeptIncarnation {
  Bits128 boot_id;
  Bits128 volume;
  HostId self;
  Incarnation incarnation;
  // watchdog.stay_up was on when it was drawn: no start was ever let pass that is not on the list.
  bool stays_up{false};
};
// nullopt: none kept, or one that is not to be trusted (malformed, another boot's).
std::optional<KeptIncarnation> load_incarnation(const std::string& run_dir, const Bits128& boot_id);
// Replaces the file as a whole, on stable storage where the run directory has any.
Result<void> save_incarnation(const std::string& run_dir, const KeptIncarnation& kept);

// The incarnation of this boot that is over: it holds no guest, their I/O is drained, and none is
// ever started under it. Stands here before anybody is told. nullopt: none. Error: nobody can say.
Result<std::optional<Incarnation>> load_released(const std::string& run_dir,
                                                 const Bits128& boot_id);
Result<void> save_released(const std::string& run_dir, const Bits128& boot_id,
                           const Incarnation& incarnation);

// The last daemon that this boot's keepers stood by, see daemon_life.hpp.
struct KeptDaemon {
  Bits128 boot_id;
  DaemonEpoch epoch;
  std::uint64_t run{0};
  std::int32_t pid{0};
  std::uint64_t start_time{0};  // of that process
};
std::optional<KeptDaemon> load_daemon(const std::string& run_dir, const Bits128& boot_id);
Result<void> save_daemon(const std::string& run_dir, const KeptDaemon& kept);

Bits128 random_bits();

// Makes the run directory and takes its lock, for the life of the process: a second keeper of the
// same host, or one whose predecessor still hangs in the kernel, is refused.
Result<void> claim_run_dir(const std::string& run_dir);

}  // namespace wardom::keeper
