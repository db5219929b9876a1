// Which twin of an own cell to write next. A state machine without I/O, so that every order of
// completions and timeouts can be tried.
//
// One write is awaited at a time. A write that does not end in time is given up, but the storage
// may still carry it out: its extent is quarantined until the I/O completes. Sequences only grow,
// so that a write which lands late stands below every newer one.
//
// The twin with the newest acknowledged content is written over only where a write cannot tear
// (models.md, P2: a power cut then leaves neither): elsewhere nothing is written to the pair while
// its other twin is quarantined.
#pragma once

#include <array>
#include <optional>

#include "libha/core/time.hpp"
#include "libha/wire/block.hpp"

namespace wardom::disk {

// Where a twin could not be read at start, an unknown sequence may stand there: go on far above.
inline constexpr std::uint64_t kUnknownSequenceGap = std::uint64_t{1} << 32;
// Failed writes in a row on one twin before the other, which holds the last good write, is risked.
inline constexpr unsigned kFailuresBeforeSwitch = 2;

// What is written over the last good write, should the other twin be of no use.
enum class Tearing : std::uint8_t {
  possible,    // nothing: it is the only good copy
  impossible,  // the next write: its payload fits the head, which a disk writes whole or not at all
};

// The writes that an earlier process had in flight, by twin: they may land at any time.
using Inherited = std::array<std::optional<Sequence>, 2>;

class TwinWriter {
 public:
  explicit TwinWriter(Tearing tearing = Tearing::possible) : tearing_(tearing) {}

  // From what stands on the volume at start. Inherited extents are quarantined until settle().
  void recover(const wire::Extent& a, const wire::Extent& b, const Inherited& inherited = {});
  // No inherited write can land any more; `a` and `b` were read since.
  void settle(const wire::Extent& a, const wire::Extent& b);

  struct Started {
    wire::Twin twin;
    Sequence sequence;
  };
  bool awaited() const { return awaited_.has_value(); }
  std::size_t quarantined() const;
  // nullopt: a write is awaited, or what may be written is quarantined.
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
    bool inherited{false};
    unsigned failures{0};
  };
  struct Awaited {
    Started write;
    Instant since;
  };
  void landed(wire::Twin twin, Sequence sequence);
  void judge(const wire::Extent& a, const wire::Extent& b);

  Tearing tearing_;
  Extent extents_[2];
  std::optional<Awaited> awaited_;
  std::optional<wire::Twin> newest_;
  Sequence newest_sequence_;
  Sequence last_used_;
};

}  // namespace wardom::disk
