// /run/wardom/guests: the protected guests that this host may be running, for the keeper's ladder.
//
// The keeper keeps it, whole and by rename(2), as wardomd asks (port/volume.hpp): a guest is listed
// *before* libvirt is asked to start it, completed when it runs, and removed when it is this host's
// no more. So it holds after the daemon's end and over restarts of the keeper. Text, one line each:
//
//   wardom guests 2
//   UUID EPOCH PID START CGROUP
//   end COUNT
//
// EPOCH is that of the daemon whose start of it is not settled yet, "-" once it is. PID and START
// (field 22 of /proc/PID/stat) name the QEMU process; both are 0 while they are unknown, and then
// it is found by its UUID on QEMU's command line. CGROUP is the path below /sys/fs/cgroup, "-"
// where it is unknown; it is the line's last field and may hold blanks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libha/core/ids.hpp"
#include "libha/core/records.hpp"
#include "libha/core/result.hpp"

namespace wardom::wire {

inline constexpr const char* kGuestListName = "guests";  // in the run directory
inline constexpr const char* kGuestListLine = "wardom guests 2";  // its first line
inline constexpr std::size_t kMaxCgroupBytes = 1024;
inline constexpr std::size_t kMaxGuestListBytes =
    (kMaxGuestsPerHost + 2) * (36 + 11 + 11 + 21 + kMaxCgroupBytes + 5);

// A cgroup that is too long or has a line break counts as unknown.
std::string encode_guest_list(const std::vector<ListedGuest>& guests);
// Error: not such a list, or not all of it. Nothing of it is to be trusted then.
Result<std::vector<ListedGuest>> decode_guest_list(std::string_view text);

}  // namespace wardom::wire
