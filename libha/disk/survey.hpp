// Looking at a whole state volume without changing it: for `wardomctl volume show` and `check`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libha/disk/volume_file.hpp"
#include "libha/wire/keeper_protocol.hpp"

namespace wardom::disk {

// A cell, and what its payload says where it is valid and well formed.
template <class Record>
struct Surveyed {
  wire::CellView view;
  std::optional<Record> record;
};

struct Survey {
  std::vector<Surveyed<Slot>> slots;          // those that are not empty, by host id
  std::vector<Surveyed<Decision>> decisions;
  std::vector<Surveyed<HostTable>> tables;
};
Survey survey(const VolumeFile& volume);

// One extent that is not as it should be.
struct Damage {
  Cell cell;
  wire::Twin twin;
  Offset offset{0};
  std::string what;  // "torn", "damaged", "foreign", "malformed: …"
};
struct CheckReport {
  std::uint64_t extents{0};  // looked at
  std::uint64_t in_use{0};   // not empty
  std::vector<Damage> damages;
};
// Reads every extent of every region, superblocks included. An extent that fails is read a second
// time, since its owner may have been writing it.
CheckReport check_volume(const VolumeFile& volume);

}  // namespace wardom::disk
