// The quorum section of a corosync.conf, edited line by line: comments, order and all that is not
// the device's stay as they are. Pure.
//
// corosync.conf(5): a section begins with a line "NAME {", ends with a line "}", and has lines
// "KEY: VALUE"; a line that begins with # is a comment.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libha/core/result.hpp"

namespace wardom::corosync_conf {

inline constexpr const char* kDeviceModel = "wardom";

// quorum.device, as it stands.
struct DeviceSection {
  std::string model;
  std::optional<unsigned> timeout_ms;
  std::optional<unsigned> sync_timeout_ms;
  std::optional<std::string> votes;
};

// none: the file names no quorum device. Error: the file cannot be followed.
Result<std::optional<DeviceSection>> device_section(const std::string& text);

// The node ids of the nodelist, in its order. Error: the file cannot be followed.
Result<std::vector<std::uint32_t>> node_ids(const std::string& text);

// Within the limits of core/quorum_vote.hpp, beyond which no host casts.
inline constexpr unsigned kTimeoutMinMs = 2000;
inline constexpr unsigned kTimeoutMaxMs = 60'000;
inline constexpr unsigned kSyncTimeoutMaxMs = 120'000;

struct DeviceTimes {
  unsigned timeout_ms{8000};
  unsigned sync_timeout_ms{4000};
};

// The text with Wardom as the quorum device. Error: what stands in the way, and what to do.
Result<std::string> with_device(const std::string& text, const DeviceTimes& times);
// The text without Wardom's device; as it is where there is none. Error: another device is named.
Result<std::string> without_device(const std::string& text);

}  // namespace wardom::corosync_conf
