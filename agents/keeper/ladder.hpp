// The host's own side of its lease, as a state machine without I/O: how far the feed window
// reaches, and what a host that cannot write its heartbeat has to give up, and when.
//
//   t_s               a heartbeat is submitted; only its acknowledgement counts, but from t_s on
//   t_s + T_F/2       no guest is started, nothing is decided
//   t_s + 3/4 T_F     protected guests are killed                        (only under a lease)
//   t_s + T_F         the watchdog is fed no more, for the rest of this boot  (only under a lease)
//
// Grants of the others (libha/core/outage.hpp) put the request's time in the place of t_s for the
// last two, and for nothing else.
//
// The last two cannot be taken back: killed guests belong to nobody any more, and an observer may
// count on a window that has ended. Without a lease (no watchdog, so none was ever published) no
// silence proves anything about this host, and it gives up only acting.
//
// A host that is *quiet* by the window's end stays up (libha/doc/models.md, "Released"): every
// listed start is settled, every QEMU has exited, and nothing of theirs is queued here. It may be
// called dead all the same, and there is nothing left of it to fear. Quiet for L_late, its
// incarnation is released; it then does nothing until a new one has been drawn, and its first
// heartbeat acknowledged.
//
// A window that *rests* (libha/disk/hold.hpp) takes no rung: the slot says, acknowledged, that no
// lease is published, so nobody can count on its end. The watchdog is fed for as long as the
// keeper's loop runs. A heartbeat that is acknowledged after wake() begins it anew.
#pragma once

#include <algorithm>
#include <optional>

#include "libha/core/records.hpp"
#include "libha/core/time.hpp"

namespace wardom::keeper {

enum class Rung : std::uint8_t { no_window, rests, full, no_starts, killing, ended };

class Ladder {
 public:
  explicit Ladder(Duration t_f) : t_f_(t_f) {}

  // What an earlier keeper of this boot left behind.
  struct Kept {
    Instant submitted;  // of the newest heartbeat that counts
    Instant granted;    // the newest request that the others have granted; zero: none
    bool lease{false};
    bool killing{false};
    bool ended{false};
    bool released{false};
    bool rests{false};
  };
  void resume(const Kept& kept, Instant now) {
    submitted_ = kept.submitted;
    granted_ = kept.granted;
    lease_ = kept.lease;
    killing_ = kept.killing;
    ended_ = kept.ended;
    owed_since_ = now;
    if (kept.released && !ended_) release(now);
    if (kept.rests && lease_ && !killing_ && !ended_) {
      rests_ = true;
      fed_until_ = now + t_f_;
    }
    climb(now);
  }
  Kept kept() const {
    return {submitted_.value_or(Instant{}), granted_, lease_, killing_, ended_, released_, rests_};
  }

  // A lease is about to be published: from now on observers may count on this window.
  void hold_lease() { lease_ = true; }
  // It was not published after all, and no watchdog runs.
  void release_lease() { lease_ = false; }
  // Whoever cannot say when the window ends has reached its end.
  void lapse() { ended_ = true; }

  // The slot says, acknowledged, that this host publishes no lease, and holds for a change of the
  // volume. Not where guests are being killed already. False: so it is.
  bool rest(Instant now) {
    climb(now);
    if (!lease_ || killing_ || ended_) return false;
    rests_ = true;
    wakes_ = false;
    fed_until_ = now + t_f_;
    return true;
  }
  // The change is over: a heartbeat counts again that is submitted from now on.
  void wake(Instant now) {
    if (rests_ && !wakes_) woken_at_ = now;
    wakes_ = rests_;
  }
  bool rests() const { return rests_; }
  // The window of a lease that rests may be another one from then on.
  void set_window(Duration t_f) { t_f_ = t_f; }

  // A heartbeat submitted at `submitted` is acknowledged. False where that does not extend the
  // window: it ended, guests are being killed, the slot was not read back in time, or a newer
  // heartbeat has extended it already.
  bool extend(Instant submitted, Instant now) {
    climb(now);
    if (rests_ && (!wakes_ || submitted < woken_at_)) return false;
    if ((renewed_ || wakes_) && !ended_) begin_anew(now);
    if (killing_ || ended_) return false;
    if (!submitted_) owed_since_ = now;
    if (!read_back_is_fresh(now) || (submitted_ && submitted <= *submitted_)) return false;
    submitted_ = submitted;
    climb(now);
    return true;
  }

  // All others have granted what was asked at `asked`: they time this host anew from then on at the
  // earliest. False where that does not extend the window.
  bool extend_by_grants(Instant asked, Instant now) {
    climb(now);
    if (!lease_ || rests_ || !submitted_ || killing_ || ended_ || distrusted_) return false;
    if (asked > now || asked <= base()) return false;
    granted_ = asked;
    climb(now);
    return true;
  }
  // The window rests on grants.
  bool on_grants() const { return submitted_ && granted_ > *submitted_; }
  // When others are to be asked; nullopt: nothing is to be gained by it.
  std::optional<Instant> asks_from() const {
    if (!lease_ || rests_ || !submitted_ || killing_ || ended_) return std::nullopt;
    return *submitted_ + t_f_ / 4;
  }
  // The ladder's guests are gone, and so on: seen by a look that is over. False: too late, or there
  // was nothing to kill for.
  bool quiet(Instant now) {
    climb(now);
    if (!killing_ || ended_) return false;
    if (!quiet_since_) quiet_since_ = now;
    stay_up(now);
    return true;
  }
  // Something of them was found after all. Too late for a host that has said that there is nothing.
  void disturbed(Instant now) {
    quiet_since_.reset();
    if (released_) ended_ = true;
    climb(now);
  }
  std::optional<Instant> quiet_since() const { return quiet_since_; }
  // This stands in the run directory: the incarnation is over, whatever else was believed.
  void release(Instant now) {
    killing_ = released_ = true;
    stays_until_ = now + t_f_;
  }
  bool released() const { return released_ && !ended_; }
  // A new incarnation has been drawn: the next acknowledged heartbeat begins its window.
  void renew() { renewed_ = released_; }
  bool renewed() const { return renewed_; }
  // The keeper's loop runs: a host that stays up, or whose window rests, is fed for as long as it
  // does.
  void stay_up(Instant now) {
    climb(now);
    if (rests_ && !ended_) fed_until_ = now + t_f_;
    if ((quiet_since_ || released_) && !ended_) stays_until_ = now + t_f_;
  }

  // The own slot was read back, by a read issued at `issued`: with the own incarnation and a
  // sequence not lower than the last acknowledged (`good`), or not.
  void read_back(bool good, Instant issued) {
    distrusted_ = !good;
    if (good) owed_since_ = std::max(owed_since_, issued);
  }
  // It is issued every T_F/4 and may take as long.
  bool read_back_is_fresh(Instant now) const {
    return !distrusted_ && now < owed_since_ + t_f_ / 2;
  }

  Rung rung(Instant now) {
    climb(now);
    if (ended_) return Rung::ended;
    if (killing_) return Rung::killing;
    if (rests_) return Rung::rests;
    if (!submitted_) return Rung::no_window;
    return now < act_until() ? Rung::full : Rung::no_starts;
  }

  // Zero: not at all.
  Instant act_until() const {
    return !submitted_ || rests_ || killing_ || ended_ ? Instant{} : *submitted_ + t_f_ / 2;
  }
  Instant kill_at() const { return submitted_ ? base() + t_f_ * 3 / 4 : Instant::never(); }
  Instant feed_until() const { return ended_ ? Instant{} : window_end().value_or(Instant{}); }
  bool has_lease() const { return lease_; }
  LeaseState state() const {
    return !lease_     ? LeaseState::none
           : ended_    ? LeaseState::ended
           : released_ ? LeaseState::released
           : killing_  ? LeaseState::ending
           : rests_    ? LeaseState::none
                      : LeaseState::held;
  }
  Duration window() const { return t_f_; }

  // When the next rung is reached; nullopt: none is ahead.
  std::optional<Instant> next_deadline(Instant now) const {
    if (ended_) return std::nullopt;
    if (rests_) return std::max(now, fed_until_ - t_f_ * 3 / 4);
    if (stays_until_) return std::max(now, *stays_until_ - t_f_ * 3 / 4);
    if (!submitted_) return std::nullopt;
    for (const auto at : {*submitted_ + t_f_ / 2, kill_at(), base() + t_f_})
      if (at > now) return at;
    return std::nullopt;
  }

 private:
  // Every look at the clock takes the rungs that it shows, so that none is missed or taken back.
  void climb(Instant now) {
    const auto end = window_end();
    if (!lease_ || !end) return;
    if (!rests_ && submitted_ && now >= kill_at()) killing_ = true;
    if (now >= *end) ended_ = true;
  }
  std::optional<Instant> window_end() const {
    std::optional<Instant> end;
    if (rests_) return fed_until_;
    if (submitted_) end = base() + t_f_;
    if ((quiet_since_ || released_) && stays_until_) end = std::max(end, stays_until_);
    return end;
  }
  void begin_anew(Instant now) {
    killing_ = released_ = renewed_ = distrusted_ = rests_ = wakes_ = false;
    quiet_since_.reset();
    stays_until_.reset();
    submitted_.reset();
    granted_ = {};
    owed_since_ = now;
  }

  Instant base() const { return std::max(*submitted_, granted_); }

  Duration t_f_;
  std::optional<Instant> submitted_;
  Instant granted_;
  Instant owed_since_;  // the newest good read-back, or when the first one began to be owed
  bool distrusted_{false};
  bool lease_{false};
  bool killing_{false};
  bool ended_{false};
  std::optional<Instant> quiet_since_;
  std::optional<Instant> stays_until_;
  bool released_{false};
  bool renewed_{false};
  bool rests_{false};
  bool wakes_{false};
  Instant woken_at_;
  Instant fed_until_;  // while it rests
};

// A read back of the own slot that was issued at `issued` has ended: when the next one is due.
// Every T_F/4; but heartbeats count only beside a look that is younger than T_F/2, and a storage
// that has come back in time is not to be waited for in vain. So one that was held up for T_F/4 is
// repeated when it ends, and one that failed, after `interval`.
inline Instant read_back_due(Duration t_f, Instant issued, Instant ended, bool answered,
                             Duration interval) {
  if (!answered) return ended + interval;
  return ended - issued < t_f / 4 ? issued + t_f / 4 : ended;
}

}  // namespace wardom::keeper
