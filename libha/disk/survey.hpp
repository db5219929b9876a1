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
  std::vector<Surveyed<Slot>> slots;  // those that are not empty, by host id
  std::vector<Surveyed<Ballot>> ballots;  // by domain, then by host id
  std::vector<Surveyed<Decision>> decisions;
  std::vector<Surveyed<HostTable>> tables;
};
Survey survey(const VolumeFile& volume);
// Slots and decisions alone.
Survey survey_hosts(const VolumeFile& volume);

// Every cell of the region that may be in use; not the superblock's. Passes over zeros in large
// steps, since most of a volume is empty. A cell that cannot be read is in the list. Blocks.
std::vector<Cell> cells_in_use(const VolumeFile& volume, Region region);

// One extent as it stands.
struct Look {
  Offset offset{0};
  wire::Extent extent;
  // The highest sequence that any part of it names: of a torn extent, the write that was cut short.
  Sequence last_write;
  std::string
      fault;  // "torn", "damaged", "foreign", "malformed: …", why it cannot be read; or empty
};
// nullopt: the geometry has no such extent. Blocks.
std::optional<Look> look_at(const VolumeFile& volume, const Cell& cell, wire::Twin twin);

// The write of a torn extent was cut short, by a power cut as a rule, and its twin holds the write
// before it, or nothing if it was the first: no acknowledged write is lost, and the owner's next
// write replaces it.
bool harmless(const Look& faulty, const Look& twin);

// One extent that is not as it should be.
struct Damage {
  Cell cell;
  wire::Twin twin;
  Offset offset{0};
  std::string what;  // Look::fault
};
struct CheckReport {
  std::uint64_t extents{0};  // looked at
  std::uint64_t in_use{0};   // not empty
  std::vector<Damage> damages;
  std::vector<Damage> remarks;  // harmless ones
};
// Reads every extent of every region, superblocks included. A cell of which an extent fails is read
// a second time, since its owner may have been writing it.
CheckReport check_volume(const VolumeFile& volume);

}  // namespace wardom::disk
