// Claims that the end of a daemon has handed back (models.md, A3, A6): claimed by a daemon of an
// earlier epoch than the slot shows, while the slot says that no start of an earlier epoch is open.
// Such a claim was never listed, so it was never started and never will be: the next daemon refuses
// it, whether or not it ever comes. Knowledge only; pure.
#pragma once

#include <map>

#include "libha/core/board.hpp"
#include "libha/core/evidence.hpp"

namespace wardom::core {

class HandedBack {
 public:
  // Notes what the slots show. true: some host's claims may have been handed back since.
  bool look(const Evidence& evidence, Instant now);
  // The claim is over. Slot first, table second: only a table that was read after the slot had
  // shown this has the last word of the daemon that is gone.
  bool over(const Board& board, const Claim& claim) const;

 private:
  struct Shown {
    Incarnation incarnation;
    DaemonEpoch epoch;
    bool start_listed{false};
    Instant since;
  };
  std::map<HostId, Shown> shown_;
};

}  // namespace wardom::core
