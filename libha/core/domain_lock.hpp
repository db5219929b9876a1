// The domain lock: which host decides. Disk Paxos over versions on the members' ballot cells, as
// libha/doc/models.md states it ("The lock", rules L1-L9). One machine per host; pure, one thread.
//
// Each version has one owner, for ever: one life of a host's wardomd (host, incarnation, daemon
// epoch). The owner of the highest version decides, until it writes RELEASED or its life is proved
// to be over; then the others ballot for the next version. Nothing is ever taken from an owner that
// lives, and while nothing happens the lock costs hardly any I/O.
//
// What all cells say stands on the board; this machine keeps the own cell and the ballot's step.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "libha/core/board.hpp"
#include "libha/core/timing.hpp"
#include "libha/core/turn.hpp"

namespace wardom::core {

// Between the moments at which the first in line, the second, … take a free lock.
inline constexpr Duration kRankPause = std::chrono::milliseconds{500};
// A ballot that failed is tried again at once, then after a random time up to this one.
inline constexpr Duration kBallotBackOff = std::chrono::seconds{1};

// A directory change that failed is tried again after this.
inline constexpr Duration kDirectoryPause = std::chrono::seconds{10};
inline constexpr Duration kDirectoryPauseMost = std::chrono::minutes{10};

// What the lock must know of its host and of the owner. Computed anew for each tick.
struct LockStanding {
  bool fit{false};         // may own the lock: able to act, not condemned
  bool over{false};        // this host's incarnation is released: its lock passes on at once
  bool owner_gone{false};  // the life that owns the highest version is proved to be over
  std::string give_up;     // why an own lock is to be given up now, as a clause; empty: it is not
  // Own place among those who would take a free lock; none: not at all.
  std::optional<std::size_t> place;
  // Who is to ballot for the versions to come, should that differ from the directory; empty: as is.
  std::vector<Proposer> directory;
  Level level{kFirstLevel};  // the domain's: what is written now is written in it
};

class DomainLock {
 public:
  DomainLock(HostId self, std::vector<HostId> members, Timing timing, Board& board)
      : self_(self), members_(std::move(members)), timing_(timing), board_(board) {}

  // A connection to the keeper begins: all writes of an earlier life of this host are settled.
  // A life is never begun twice with different content in flight; the same one goes on.
  void on_ready(const VolumeReady& ready, Instant now);
  void on_lost();
  void on_written(const CellWritten& written, Turn& turn);
  // The cells have been given to the board. true: they were this machine's.
  bool on_read(Ticket ticket, Turn& turn);
  void tick(const LockStanding& standing, Turn& turn);
  // This wardomd stops: a lock that it owns is released, and none is taken any more.
  void leave() { leaving_ = true; }

  Instant next_deadline() const;
  // This life owns the highest version that is known, its DECIDED is acknowledged, and nothing was
  // done to give it up.
  bool holds() const;
  // Nothing of this machine's has to reach the volume before the process may end.
  bool left() const;
  // When a read that was ordered under this ticket was issued.
  std::optional<Instant> reading_since(Ticket ticket) const;
  std::string why_idle(const LockStanding& standing) const;  // for people
  // The highest version that this life has owned and will never act under again. Told with every
  // beat, it is as good as RELEASED (leases.md): the word of a life that cannot write.
  LockVersion given_up() const { return given_up_; }
  // Nothing of this host's is under way, or may still be completed by others, that makes other
  // hosts proposers than those of the highest version that it knows.
  bool quiet() const;
  // The newest acknowledged write of the own ballot cell.
  Sequence sequence() const { return sequence_; }

 private:
  // One attempt at one version. A struct per step: what is awaited there.
  struct Attempt {
    LockVersion version;
    BallotNumber number;
    std::vector<Proposer> directory;  // of the own value
    bool held;                        // the owner itself ballots, to change the directory
  };
  struct Idle {};
  struct Promising {  // phase 1 is being written
    Attempt attempt;
  };
  struct Asking {  // phase 1 stands; all others are being read
    Attempt attempt;
    Instant since;
    std::vector<Cell> rest;  // still to be read
  };
  struct Proposing {  // phase 2 is being written
    Attempt attempt;
  };
  struct Confirming {  // phase 2 stands; all others are being read
    Attempt attempt;
    Instant since;
    std::vector<Cell> rest;
  };
  struct Recording {  // decided; DECIDED is being written, until it is acknowledged
    LockVersion version;
  };
  struct Holding {
    LockVersion version;
  };
  struct Releasing {  // acts no more; RELEASED is written until it is acknowledged
    LockVersion version;
  };
  struct Reading {
    Ticket ticket;
    Instant issued;
  };

  Owner self() const { return {self_, me_.incarnation, me_.epoch}; }
  bool load_own();
  bool free(const LockStanding& standing) const;
  void advance(const LockStanding& standing, Turn& turn);
  void idle(const LockStanding& standing, Turn& turn);
  void give_up();
  void hold(const Holding& holding, const LockStanding& standing, Turn& turn);
  void begin(std::vector<Proposer> directory, Turn& turn);
  void propose(const Attempt& attempt, Turn& turn);
  void know_decided(LockVersion version, const LockValue& value, bool released);
  void record(LockVersion version, const LockValue& value, Turn& turn);
  void release(LockVersion version, const std::string& why, Turn& turn);
  void abort(const Attempt& attempt, const std::string& why, Turn& turn, bool duel = false);
  // What speaks against going on; `duel`: another host ballots, under a higher number.
  struct Objection {
    std::string why;
    bool duel{false};
  };
  Objection objection(const Attempt& attempt, Instant since) const;
  bool own_word() const;
  std::vector<HostId> acceptors() const;
  std::vector<Proposer> members_as_proposers() const;
  bool may_propose() const;
  void rewrite(Turn& turn);
  void write(Turn& turn);
  std::vector<Cell> others() const;
  void read_next(std::vector<Cell>& rest, Turn& turn);
  void read_on(Turn& turn);
  std::optional<Instant> turn_comes() const;

  HostId self_;
  std::vector<HostId> members_;
  Timing timing_;
  Board& board_;
  VolumeReady me_;
  bool ready_{false};
  Instant ready_at_{};
  bool leaving_{false};
  std::variant<Idle, Promising, Asking, Proposing, Confirming, Recording, Holding, Releasing>
      state_;
  // The own cell: as found, then as last submitted. What was submitted may land although it was not
  // acknowledged, so it is honoured from then on.
  std::optional<Ballot> own_;
  Level level_{kFirstLevel};         // the domain's, as of this tick
  Level own_level_{kFirstLevel};     // of the own cell as it stands
  Level writing_level_{kFirstLevel};
  bool rewriting_{false};            // `writing_` says nothing new
  Instant next_rewrite_{};
  std::optional<Ticket> writing_;
  std::optional<Reading> reading_;
  Sequence sequence_;
  LockVersion begun_;                // the highest version that this life has written a ballot for
  LockVersion given_up_;             // never acted under again; RELEASED is written where it can be
  std::optional<Instant> free_since_;  // the highest version is seen as free
  LockVersion free_version_;
  std::optional<std::size_t> place_;
  std::optional<Instant> unfit_since_;
  Instant not_before_{};
  Instant next_directory_{};         // no directory change before this
  Duration directory_pause_{kDirectoryPause};
  int tries_{0};                     // at free_version_ + 1
};

}  // namespace wardom::core
