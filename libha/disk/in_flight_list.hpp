// /run/wardom/in-flight: the writes that this process has submitted and that have not ended.
//
// A write can land after its process is gone: the list tells the next one which extents to leave
// alone, and above which sequence to go on (models.md, P3). It is kept before a write is submitted
// and after it has ended. Text, one line each, replaced as a whole by rename(2):
//
//   wardom in-flight 1
//   BOOT-ID VOLUME-UUID
//   REGION INDEX EXTENT SEQUENCE
//   end COUNT
#pragma once

#include <string>
#include <vector>

#include "libha/core/records.hpp"
#include "libha/core/result.hpp"
#include "libha/disk/twin_writer.hpp"

namespace wardom::disk {

inline constexpr const char* kInFlightName = "in-flight";  // in the run directory
// A host's cells are a slot, a decision, a table and its ballots; each has two extents.
inline constexpr std::size_t kMaxInFlight = 1024;

struct InFlight {
  Cell cell;
  wire::Twin twin;
  Sequence sequence;
  friend bool operator==(const InFlight&, const InFlight&) = default;
};

std::string encode_in_flight(const Bits128& boot_id, const Bits128& volume,
                             const std::vector<InFlight>& writes);
// Error: no such list, not all of it, or that of another boot or volume.
Result<std::vector<InFlight>> decode_in_flight(const std::string& text, const Bits128& boot_id,
                                               const Bits128& volume);

class InFlightList {
 public:
  // `before`: what an earlier process of this boot had in flight. It stays listed until settle().
  InFlightList(std::string path, Bits128 boot_id, Bits128 volume, std::vector<InFlight> before);

  Inherited inherited(const Cell& cell) const;
  // Error: not kept, and so not to be submitted.
  Result<void> add(const InFlight& write);
  void remove(const Cell& cell, wire::Twin twin);
  void settle(const Cell& cell);  // removes what is inherited of this cell

 private:
  Result<void> keep() const;

  std::string path_;
  Bits128 boot_id_;
  Bits128 volume_;
  std::vector<InFlight> before_;
  std::vector<InFlight> own_;
};

}  // namespace wardom::disk
