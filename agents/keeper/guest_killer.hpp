// The ladder's third rung: ends every process of the protected guests, and sees that they are gone.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "libha/core/time.hpp"
#include "libha/wire/guest_list.hpp"

namespace wardom::keeper {

// A start that is under way may bring up a QEMU after the first look: it looks again this often.
inline constexpr Duration kKillAgainEvery = std::chrono::milliseconds{100};
// How long nothing must have been found before the guests count as gone. A create call that is in
// flight has its QEMU on the process list within this, or it hangs, and the host is reset.
inline constexpr Duration kGoneAfter = std::chrono::milliseconds{500};

struct KillReport {
  std::size_t listed{0};
  std::size_t killed{0};     // processes that got SIGKILL
  std::size_t remaining{0};  // processes that still live: held up in the kernel
  std::size_t open{0};       // starts that are not settled: libvirt may still bring up a QEMU
  std::string trouble;       // for people; the list could not be read
  bool gone{false};          // none of the above: all guests that were ever listed, for kGoneAfter
  // Why something of them may outlive them that nobody can see any more; empty: nothing is known.
  std::string lingers;
};

// For a host that may stay up: only what is certain counts, and every process is looked at before
// it is killed.
struct KillRules {
  bool strict{false};
  bool lab{false};           // guests have no cgroup of their own
  bool expects_list{false};  // guests have been listed: a list that is missing was lost
  std::string host{"1"};     // the process that stands for the host, under /proc
  const std::atomic<bool>* cancelled{nullptr};  // nothing is to be killed any more
};

// Kills by pidfd, after the start time has shown that the PID is still the listed process; so a
// number that went to somebody else is never hit. Besides, whatever names a listed guest's UUID
// after `-uuid` on its command line, as libvirt's QEMUs do: guests that are being started. Then the
// rest of the guest's own cgroup, by cgroup.kill.
//
// Blocks until they are gone or `until` has come; `now` is CLOCK_MONOTONIC_RAW. `proc` and
// `cgroups` stand for /proc and /sys/fs/cgroup.
KillReport kill_guests(const std::string& list_path, Instant until,
                       const std::function<Instant()>& now, const std::string& proc = "/proc",
                       const std::string& cgroups = "/sys/fs/cgroup", const KillRules& rules = {});

}  // namespace wardom::keeper
