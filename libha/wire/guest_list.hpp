// /run/wardom/guests: the protected guests of this host, for the keeper's ladder.
//
// wardomd writes it, whole and by rename(2), *before* it asks libvirt for a start, and again when
// the guest runs or is gone; the keeper reads it when it has to kill. Text, one line each:
//
//   wardom guests 1
//   UUID PID START CGROUP
//   end COUNT
//
// PID and START (field 22 of /proc/PID/stat) name the QEMU process; both are 0 while the guest is
// being started, and then it is found by its UUID on QEMU's command line. CGROUP is the path below
// /sys/fs/cgroup, "-" where it is unknown; it is the line's last field and may hold blanks.
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
inline constexpr std::size_t kMaxCgroupBytes = 1024;
inline constexpr std::size_t kMaxGuestListBytes =
    (kMaxGuestsPerHost + 2) * (36 + 11 + 21 + kMaxCgroupBytes + 4);

struct ListedGuest {
  GuestId guest;
  std::int32_t pid{0};
  std::uint64_t start_time{0};
  std::string cgroup;  // empty: unknown
  friend bool operator==(const ListedGuest&, const ListedGuest&) = default;
};

// A cgroup that is too long or has a line break counts as unknown.
std::string encode_guest_list(const std::vector<ListedGuest>& guests);
// Error: not such a list, or not all of it. Nothing of it is to be trusted then.
Result<std::vector<ListedGuest>> decode_guest_list(std::string_view text);

}  // namespace wardom::wire
