// Which twin of an own cell to write next. A state machine without I/O, so that every order of
// completions, failures and timeouts can be tried.
//
// One write is awaited at a time. A write that does not end in time is given up, but the storage
// may still carry it out: its extent is quarantined until the I/O completes. A write that ended in
// an error may be carried out as well, within L_late: its extent is in doubt until then, and until
// the cell has been read again. Sequences only grow, so that a write which lands late stands below
// every newer one.
//
// The twin with the newest acknowledged content is written over only where a write cannot tear
// (models.md, P2: a power cut then leaves neither): elsewhere nothing is written to the pair while
// its other twin is quarantined or in doubt.
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

// A write that may land although nobody waits for it: it failed, or its process was killed.
struct Doubt {
  Sequence sequence;
  Instant until;  // by then it has landed, or never will
  friend bool operator==(const Doubt&, const Doubt&) = default;
};
using Doubts = std::array<std::optional<Doubt>, 2>;  // by twin

class TwinWriter {
 public:
  // late: how long after its failure a write may still land (L_late).
  explicit TwinWriter(Duration late, Tearing tearing = Tearing::possible)
      : late_(late), tearing_(tearing) {}

  // From what stands on the volume at start, and what an earlier writer of this boot knew: its
  // doubts, and the highest sequence that it used. An extent of an unknown format version is never
  // written over: then nothing is written at all, see refuses().
  void recover(const wire::Extent& a, const wire::Extent& b, const Doubts& doubts = {},
               Sequence used = {});
  // What has been in doubt until `issued` has landed or never will; `a` and `b` were read by a
  // request issued then. False, and nothing changes: neither can be read.
  bool settle(const wire::Extent& a, const wire::Extent& b, Instant issued);
  // When the first doubt can be settled; nullopt: there is none.
  std::optional<Instant> settles_at() const;

  struct Started {
    wire::Twin twin;
    Sequence sequence;
  };
  bool awaited() const { return awaited_.has_value(); }
  bool in_flight(wire::Twin twin) const { return extents_[twin.value].in_flight; }
  // Extents that are not to be written: given up, or in doubt.
  std::size_t quarantined() const;
  // The cell holds what another version of Wardom wrote.
  bool refuses() const { return refuses_; }
  // nullopt: a write is awaited, what may be written is quarantined, or refuses().
  std::optional<Started> begin(Instant now);
  // Gives the awaited write up when it is older than `patience`: true, once.
  bool expire(Instant now, Duration patience);

  enum class Ended : std::uint8_t { acknowledged, failed, late };
  // The I/O of `write` has completed. `late`: it had been given up before.
  Ended finished(const Started& write, bool ok, Instant now);
  // The awaited write was never submitted, and so cannot land.
  void cancel(const Started& write);

  Sequence newest() const { return newest_sequence_; }  // acknowledged or found at start; 0: none
  Sequence last_used() const { return last_used_; }

 private:
  struct Extent {
    bool in_flight{false};
    std::optional<Doubt> doubt;
    unsigned failures{0};
    bool free() const { return !in_flight && !doubt; }
  };
  struct Awaited {
    Started write;
    Instant since;
  };
  void landed(wire::Twin twin, Sequence sequence);
  void judge(const wire::Extent& a, const wire::Extent& b);

  Duration late_;
  Tearing tearing_;
  bool refuses_{false};
  Extent extents_[2];
  std::optional<Awaited> awaited_;
  std::optional<wire::Twin> newest_;
  Sequence newest_sequence_;
  Sequence last_used_;
};

}  // namespace wardom::disk
