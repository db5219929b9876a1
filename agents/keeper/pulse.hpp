// Whether the next heartbeat may be written beside one that has not ended, or failed: a state
// machine without I/O.
//
// A slot has two extents, and each heartbeat that hangs or fails makes one of them unusable: until
// its I/O ends, or for L_late. If only its acknowledgement was lost, the next heartbeat goes to the
// other extent at its own time, so that the slot does not stand still while its host lives. If the
// path to the storage is gone, that would lose both extents, and with them the host, however soon
// the path comes back. The two are told apart by a read: the storage answers it, or not.
#pragma once

#include <optional>

#include "libha/core/time.hpp"

namespace wardom::keeper {

class Pulse {
 public:
  // patience: where nothing ends for so long, neither heartbeat nor read, the other extent is
  // written all the same.
  explicit Pulse(Duration patience) : patience_(patience) {}

  // Half an interval after its submission a heartbeat has not ended: it is time to read, so that
  // the answer is there when the next one is due.
  void open(Instant now) {
    if (!since_ && !answered_) since_ = now;
  }
  enum class Step : std::uint8_t { write, ask };
  // A heartbeat's time has come. has_open: the one before has not ended. ask: read first.
  Step due(bool has_open, Instant now) {
    if (has_open) open(now);
    return since_ && now - *since_ < patience_ ? Step::ask : Step::write;
  }
  void submitted() {
    since_.reset();
    answered_ = false;
  }
  // A heartbeat has ended: any one, well or with an error.
  void ended(bool ok, Instant now) {
    since_ = ok ? std::nullopt : std::optional(now);
    answered_ = false;
  }
  // A read that was issued at `issued` has ended: with data, or with an error, which says that the
  // path is still gone.
  void read(bool ok, Instant issued, Instant now) {
    if (!since_ || issued < *since_) return;
    if (ok)
      since_.reset();
    else
      since_ = now;
    answered_ = ok;
  }
  // An answer is being waited for.
  bool asks() const { return since_.has_value(); }

 private:
  Duration patience_;
  std::optional<Instant> since_;  // when it was last seen that the storage does not answer
  bool answered_{false};          // since then
};

}  // namespace wardom::keeper
