// /run/wardom/in-flight: the writes of this boot that may still land although nobody may wait for
// them: submitted and not ended, or ended in an error less than L_late ago.
//
// A write can land after its process is gone: the list tells the next one which extents to leave
// alone, and above which sequence to go on (models.md, P3). It is kept before a write is submitted
// and after it has ended. One that cannot be kept is removed: a missing list says that everything
// was in flight, so that the next process waits for L_late. Text, one line each, replaced as a
// whole by rename(2):
//
//   wardom in-flight 2
//   BOOT-ID VOLUME-UUID
//   REGION INDEX EXTENT SEQUENCE UNTIL
//   end COUNT
//
// UNTIL is CLOCK_MONOTONIC_RAW in nanoseconds, by which the write has landed or never will; "-"
// while it has not ended, so that nobody can say.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libha/core/records.hpp"
#include "libha/core/result.hpp"
#include "libha/disk/twin_writer.hpp"

namespace wardom::disk {

inline constexpr const char* kInFlightName = "in-flight";  // in the run directory
inline constexpr const char* kInFlightLine = "wardom in-flight 2";  // its first line
// A host's cells are a slot, a decision, a table and its ballots; each has two extents.
inline constexpr std::size_t kMaxInFlight = 1024;

struct InFlight {
  Cell cell;
  wire::Twin twin;
  Sequence sequence;
  std::optional<Instant> until;  // nullopt: it has not ended
  friend bool operator==(const InFlight&, const InFlight&) = default;
};

std::string encode_in_flight(const Bits128& boot_id, const Bits128& volume,
                             const std::vector<InFlight>& writes);
// Error: no such list, not all of it, or that of another boot or volume.
Result<std::vector<InFlight>> decode_in_flight(const std::string& text, const Bits128& boot_id,
                                               const Bits128& volume);

class InFlightList {
 public:
  // `before`: what was listed by an earlier process of this boot, or by this one before it opened
  // the volume anew. What had not ended may land until `unended`.
  InFlightList(std::string path, Bits128 boot_id, Bits128 volume, std::vector<InFlight> before,
               Instant unended);

  Doubts doubts(const Cell& cell) const;
  // Error: neither kept nor removed, and so not to be submitted.
  Result<void> add(const InFlight& write);
  // The write in flight there has ended: well, or it may still land until then.
  void ended(const Cell& cell, wire::Twin twin, std::optional<Instant> until);
  // Removes what was in doubt until `issued`, at the latest.
  void settle(const Cell& cell, Instant issued);
  // Why it could not be kept the last time; empty: it was.
  const std::string& trouble() const { return trouble_; }

 private:
  Result<void> keep();

  std::string path_;
  Bits128 boot_id_;
  Bits128 volume_;
  std::vector<InFlight> writes_;
  std::string trouble_;
};

}  // namespace wardom::disk
