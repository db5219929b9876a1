// Which twin of an own cell to write next. A state machine without I/O, so that every order of
// completions and timeouts can be tried.
//
// One write is awaited at a time. A write that does not end in time is given up, but the storage
// may still carry it out: its extent is quarantined until the I/O completes, and the twin is used
// meanwhile. When both are quarantined, nothing is written. Sequences only grow, so that a write
// which lands late stands below every newer one.
#pragma once

#include <optional>

#include "libha/core/time.hpp"
#include "libha/wire/block.hpp"

namespace wardom::disk {

// Where a twin could not be read at start, an unknown sequence may stand there: go on far above.
inline constexpr std::uint64_t kUnknownSequenceGap = std::uint64_t{1} << 32;
// Failed writes in a row on one twin before the other, which holds the last good write, is risked.
inline constexpr unsigned kFailuresBeforeSwitch = 2;

class TwinWriter {
 public:
  // From what stands on the volume at start.
  void recover(const wire::Extent& a, const wire::Extent& b);

  struct Started {
    wire::Twin twin;
    Sequence sequence;
  };
  bool awaited() const { return awaited_.has_value(); }
  bool all_quarantined() const;
  std::size_t quarantined() const;
  // nullopt: a write is awaited, or both twins are quarantined.
  std::optional<Started> begin(Instant now);
  // Gives the awaited write up when it is older than `patience`: true, once.
  bool expire(Instant now, Duration patience);

  enum class Ended : std::uint8_t { acknowledged, failed, late };
  // The I/O of `write` has completed. `late`: it had been given up before.
  Ended finished(const Started& write, bool ok);

  Sequence newest() const { return newest_sequence_; }  // acknowledged or found at start; 0: none

 private:
  struct Extent {
    bool in_flight{false};
    unsigned failures{0};
  };
  struct Awaited {
    Started write;
    Instant since;
  };
  void landed(wire::Twin twin, Sequence sequence);

  Extent extents_[2];
  std::optional<Awaited> awaited_;
  std::optional<wire::Twin> newest_;
  Sequence newest_sequence_;
  Sequence last_used_;
};

}  // namespace wardom::disk
