// Formatting a state volume, and finding out first what would be lost.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "libha/disk/volume_file.hpp"

namespace wardom::disk {

// How long living slots are watched for before a format: three of the longest disk intervals.
inline constexpr Duration kObserveSlots = std::chrono::seconds{15};
inline constexpr Duration kObserveEvery = std::chrono::milliseconds{250};

struct Contents {
  bool empty{false};  // zeros, as far as looked: the first and the last MiB, and no signature
  std::string what;   // for people: what was found; empty when `empty`
  std::optional<Geometry> wardom;       // it is a Wardom volume
  std::vector<std::string> used_slots;  // "3 (n3, incarnation 7/1f0c52aa, up)"
  bool moving{false};  // a slot grew while being watched: a living cluster uses the volume
  // Formatted by another version of Wardom: whether a cluster uses it cannot be seen.
  bool unknown_version{false};
};

// Looks without writing. A Wardom volume with slots in use is watched for up to kObserveSlots; the
// function returns as soon as one moves. Blocks.
Result<Contents> inspect(const std::string& path);

// Whether a volume of so many bytes fits: on the device, or into the free space of a file's file
// system. The message says what is there and what is needed.
Result<void> check_room(const std::string& path, Offset size);

// What a regular file's blocks are before anybody writes them. A device has all of its own.
enum class Space : std::uint8_t {
  allocated,  // taken now: a later write cannot fail because the file system is full
  sparse,     // taken as they are written
};

// Lays the volume out: zeros everything (so that nothing of an earlier format is ever believed),
// then writes the superblocks. A regular file is created or grown to its size. The caller has
// inspected the path and settled what may be lost. `state`: as the superblocks shall say. Blocks.
Result<void> format_volume(const std::string& path, const Geometry& geometry,
                           Space space = Space::allocated, const VolumeState& state = {});

}  // namespace wardom::disk
