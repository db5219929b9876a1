#include "agents/keeper/identity.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "agents/keeper/run_versions.hpp"
#include "libha/core/check.hpp"
#include "libha/proc/replace_file.hpp"

namespace wardom::keeper {
namespace {

constexpr const char* kStaysUp = "stays-up";

std::optional<Bits128> bits_in(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  if (!(file >> word)) return std::nullopt;
  return parse_bits(word);
}

std::string kept_path(const std::string& run_dir) { return run_dir + "/incarnation"; }

std::string cannot(const std::string& what, const std::string& path) {
  return "cannot " + what + " " + path + ": " + std::strerror(errno);
}

}  // namespace

Result<Identity> read_identity() {
  Identity identity;
  const auto boot = bits_in("/proc/sys/kernel/random/boot_id");
  if (!boot) return failure("cannot read /proc/sys/kernel/random/boot_id; is /proc mounted?");
  identity.boot_id = *boot;
  identity.machine_id = bits_in("/etc/machine-id").value_or(Bits128{});
  identity.dmi_uuid = bits_in("/sys/class/dmi/id/product_uuid").value_or(Bits128{});
  return identity;
}

std::optional<KeptIncarnation> load_incarnation(const std::string& run_dir,
                                                const Bits128& boot_id) {
  std::ifstream file(kept_path(run_dir));
  std::string first;
  std::string boot, volume, id;
  std::uint64_t number = 0;
  std::uint16_t self = 0;
  if (!std::getline(file, first) || first != kIncarnationLine) return std::nullopt;
  if (!(file >> boot >> volume >> self >> number >> id)) return std::nullopt;
  std::string stays;  // absent in older ones
  file >> stays;
  const auto boot_bits = parse_bits(boot);
  const auto volume_bits = parse_bits(volume);
  const auto id_bits = parse_bits(id);
  if (!boot_bits || !volume_bits || !id_bits || *boot_bits != boot_id) return std::nullopt;
  return KeptIncarnation{*boot_bits, *volume_bits, HostId{self}, {number, *id_bits},
                         stays == kStaysUp};
}

Result<void> save_incarnation(const std::string& run_dir, const KeptIncarnation& kept) {
  std::ostringstream text;
  text << kIncarnationLine << '\n'
       << to_uuid(kept.boot_id) << '\n'
       << to_uuid(kept.volume) << '\n'
       << kept.self.value << ' ' << kept.incarnation.number << ' ' << to_hex(kept.incarnation.id)
       << (kept.stays_up ? std::string(" ") + kStaysUp : std::string()) << '\n';
  return proc::replace_file(kept_path(run_dir), text.str(), proc::Flush::content);
}

Result<std::optional<Incarnation>> load_released(const std::string& run_dir,
                                                 const Bits128& boot_id) {
  const auto path = run_dir + "/released";
  std::ifstream file(path);
  if (!file.is_open() && ::access(path.c_str(), F_OK) != 0) return std::optional<Incarnation>{};
  std::string first, boot, id, end;
  std::uint64_t number = 0;
  if (std::getline(file, first) && first == kReleasedLine &&
      file >> boot >> number >> id >> end && end == "end") {
    const auto boot_bits = parse_bits(boot);
    const auto id_bits = parse_bits(id);
    if (boot_bits && id_bits && *boot_bits != boot_id) return std::optional<Incarnation>{};
    if (boot_bits && id_bits) return std::optional(Incarnation{number, *id_bits});
  }
  return failure(path + ": cannot be read, so it is not known which incarnation is over; reboot "
                        "this host");
}

Result<void> save_released(const std::string& run_dir, const Bits128& boot_id,
                           const Incarnation& incarnation) {
  std::ostringstream text;
  text << kReleasedLine << '\n'
       << to_uuid(boot_id) << ' ' << incarnation.number << ' ' << to_hex(incarnation.id)
       << " end\n";
  return proc::replace_file(run_dir + "/released", text.str(), proc::Flush::content);
}

std::optional<KeptDaemon> load_daemon(const std::string& run_dir, const Bits128& boot_id) {
  std::ifstream file(run_dir + "/daemon");
  std::string first, boot;
  KeptDaemon kept;
  if (!std::getline(file, first) || first != kDaemonLine) return std::nullopt;
  if (!(file >> boot >> kept.epoch.value >> kept.run >> kept.pid >> kept.start_time))
    return std::nullopt;
  const auto boot_bits = parse_bits(boot);
  if (!boot_bits || *boot_bits != boot_id) return std::nullopt;
  kept.boot_id = *boot_bits;
  return kept;
}

Result<void> save_daemon(const std::string& run_dir, const KeptDaemon& kept) {
  std::ostringstream text;
  text << kDaemonLine << '\n'
       << to_uuid(kept.boot_id) << ' ' << kept.epoch.value << ' ' << kept.run << ' ' << kept.pid
       << ' ' << kept.start_time << '\n';
  return proc::replace_file(run_dir + "/daemon", text.str());
}

Bits128 random_bits() {
  Bits128 bits;
  WARDOM_CHECK(::getrandom(bits.bytes.data(), bits.bytes.size(), 0) ==
               static_cast<ssize_t>(bits.bytes.size()));
  return bits;
}

Result<void> claim_run_dir(const std::string& run_dir) {
  if (::mkdir(run_dir.c_str(), 0755) != 0 && errno != EEXIST)
    return failure(cannot("create", run_dir));
  const auto path = run_dir + "/keeper.lock";
  // The descriptor stays open on purpose: the kernel releases the lock with the process, that is,
  // after its last I/O has ended.
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return failure(cannot("create", path));
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0)
    return failure("another wardom-keeper uses " + run_dir +
                   ", or a killed one still waits for the storage; there can be one at a time");
  return success();
}

}  // namespace wardom::keeper
