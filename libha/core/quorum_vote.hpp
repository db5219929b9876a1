// When this host casts the vote of corosync's quorum device. The device has as many votes as the
// cluster has hosts, less one, so the ring that has its vote is quorate down to a single host, and
// no other ring is. votequorum counts that vote on each node by the node's own flag, so every host
// of the ring casts it, each by the same rules (libha/doc/decisions/0011):
//
// * The ring that holds the host of the domain lock's owner casts, and no other. What is known of
//   the owner rests on a read of the ballot cells that was issued in this ring, shortly before the
//   vote.
// * Before it casts, a host states in its own slot the lowest lock version under which its vote may
//   count, and reads the ballots once more when that stands there. So whoever owns a later version
//   either sees that statement, or this host sees the later version.
// * A ring casts under a version only when everybody outside has withdrawn a vote under an earlier
//   one: by what the slot says, by a verdict, or because corosync has surely forgotten it. Of a
//   host that leaves the ring that may be known from before, when it was in the ring.
// * While a ring stands, doubt does not withdraw the vote at once: the lock passes on within a
//   healthy ring, and quorum is not to flap. A new ring does not wait for longer than a second.
//
// One machine per host; pure, one thread.
#pragma once

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "libha/core/board.hpp"
#include "libha/core/quorum_device.hpp"
#include "libha/core/timing.hpp"
#include "libha/core/turn.hpp"

namespace wardom::core {

// A new ring is told so much after it began to form, at the latest, whether this host casts.
inline constexpr Duration kRingDecides = std::chrono::seconds{1};
// Limits of quorum.device.timeout and .sync_timeout. Below them the rules cannot be kept, above
// them the hosts outside a ring would be waited for too long.
inline constexpr Duration kDeviceTimeoutMin = std::chrono::seconds{2};
inline constexpr Duration kDeviceTimeoutMax = std::chrono::minutes{1};
inline constexpr Duration kSyncTimeoutMin = std::chrono::seconds{2};
inline constexpr Duration kSyncTimeoutMax = std::chrono::minutes{2};

// Between two polls of the device.
constexpr Duration poll_interval(const DeviceSet& device) {
  return std::max<Duration>(device.timeout / 4, std::chrono::milliseconds{500});
}
// A vote rests on a read that was issued at most so long before: on a slow volume for longer than a
// poll interval, and corosync does not forget the vote before that.
constexpr Duration read_counts(const DeviceSet& device, const Timing& timing) {
  return std::max(poll_interval(device), std::min(device.timeout / 2, volume_patience(timing)));
}
// So long after the read on which it rests a vote may still count: the poll came that much later,
// and just before corosync forgot the vote a new ring began to wait for the next one.
constexpr Duration vote_lasts(const DeviceSet& device, const Timing& timing) {
  return read_counts(device, timing) + device.timeout + device.sync_timeout;
}

// What is known of another host's vote. Computed anew for each tick.
struct OtherVote {
  HostId host;
  bool dead{false};                    // a verdict covers its newest incarnation
  // Of the newest read of its slot that showed something, or that it was never written.
  std::optional<Instant> read_issued;
  LockVersion under;        // as its slot states it: votes under this or later ones; 0: none
  Duration stands{0};       // so long before that read it was first read as it is
  Duration feed_window{0};  // T_F, as it states
};

// What the vote must know of its host and of the others.
struct VoteStanding {
  bool able{false};       // this host may act: it reads and writes the volume, and holds its lease
  bool condemned{false};  // a verdict names this host's own life
  bool owner_gone{false}; // the life that owns the lock is over; when it is this host: cannot act
  // As another host of this ring says, see Beat::cleared.
  LockVersion cleared;
  std::vector<OtherVote> others;  // every member and every host of the directory but this one
};

// For status.
struct QuorumVoteView {
  bool set_up{false};
  bool casts{false};    // and corosync has taken that
  bool refused{false};  // corosync.conf has to be corrected, see why
  std::string why;      // a clause
  RingId ring;
  LockVersion version;  // under which it casts, or would cast if corosync took the vote
};
// What corosync.conf has to say otherwise.
struct QuorumTrouble {
  std::string what;
  std::string remedy;
};

class QuorumVote {
 public:
  QuorumVote(HostId self, std::vector<HostId> members, Timing timing, Board& board)
      : self_(self), members_(std::move(members)), timing_(timing), board_(board) {}

  void on_device(const DeviceSet& device);
  void on_device_lost(const DeviceLost& lost, Turn& turn);
  void on_ring(const RingFormed& formed, Instant now);
  void on_taken(const VoteTaken& taken, Instant now);
  // Whether this answer has something to tell.
  bool is_news(const VoteTaken& taken) const {
    return !taken.taken || first_zero_.has_value() || raises(taken.ticket);
  }
  // Whether a heartbeat that states this has something to tell.
  bool is_news(LockVersion under) const { return !stated_ || stated_->under != under; }
  // The keeper's heartbeat was acknowledged: so says the own slot now.
  void on_stated(LockVersion under, Instant now);
  void on_volume_lost() { stated_.reset(); }
  // Casts no more: corosync will stop here, and the others are not to wait for this host's vote.
  void leave() { leaving_ = true; }
  // On that, and the own slot does not say so yet.
  bool leaves() const {
    return leaving_ && device_ && !(stated_ && stated_->under == LockVersion{});
  }

  // Returns the votes to be given.
  std::vector<Vote> tick(const VoteStanding& standing, Turn& turn);

  // What the own slot is to state from now on. none: what stands there stays, since a daemon that
  // ran here before may have cast under it.
  std::optional<LockVersion> states() const { return wanted_; }
  bool is_set() const { return device_.has_value(); }
  // The newest ring, while this host is registered there; null: no such ring.
  const RingFormed* ring() const { return device_ && ring_ ? &ring_->formed : nullptr; }
  // For this host's beats.
  LockVersion cleared() const { return cleared_; }
  // What the slots of others say of their votes is not known, and is needed.
  bool waits_for_slots() const { return waits_for_.has_value(); }
  // Of what corosync.conf says, to be compared among hosts; 0: the device is not set up.
  std::uint64_t device_digest() const;
  QuorumVoteView view() const;
  std::vector<QuorumTrouble> troubles() const;
  Instant next_deadline() const { return deadline_; }

 private:
  enum class Kind : std::uint8_t { yes, no, unsure };
  struct Answer {
    Kind kind{Kind::unsure};
    std::string why;
    bool claims{false};  // the slot is to state the present version
    bool reads{false};   // only a newer read of the ballots is missing
  };
  struct Stated {
    LockVersion under;
    Instant since;
  };
  struct Cast {  // votes in a row, all under this version
    Ticket first;
    LockVersion under;
  };
  struct Ring {
    RingFormed formed;
    Instant told;
    std::optional<bool> cast;  // as ordered last
    Instant ordered{};         // when
    Ticket ticket;             // of that vote
    bool took{false};          // corosync took the last one that it has answered
    std::string untaken;       // why it did not
    bool has(HostId host) const;
  };

  Answer answer(const VoteStanding& standing, Instant now) const;
  Answer about_owner(const VoteStanding& standing) const;
  bool may_count(const OtherVote& other) const;
  std::string not_withdrawn(Instant now) const;
  void look_outside(const VoteStanding& standing);
  std::string refusal() const;
  bool read_since(Instant since) const;
  Instant reads_from(Instant now) const;
  bool raises(Ticket taken) const;
  void look_at_version(Instant now);
  void look_at_time(Instant now);
  void state(const Answer& answer);
  void ask(Instant now);
  Instant ask_again() const;
  Instant unsure_until() const;
  void vote(bool cast, const std::string& why, Turn& turn, std::vector<Vote>& votes);
  void tell(bool casts, const std::string& why, Turn& turn);

  HostId self_;
  std::vector<HostId> members_;
  Timing timing_;
  Board& board_;

  std::optional<DeviceSet> device_;
  std::string lost_{"corosync was not asked yet"};
  std::optional<Ring> ring_;
  bool leaving_{false};
  Instant next_poll_{};
  std::optional<Instant> asked_;      // the ballots, for a poll
  std::string why_{"no ring yet"};    // of the last tick

  LockVersion seen_;                  // the highest version, since when it is known here
  Instant seen_at_{};
  LockVersion cast_under_;            // as ordered last; 0: the last vote was not cast
  LockVersion forgotten_;             // corosync has surely forgotten votes under earlier versions
  // In this ring or outside: they have no vote under an earlier version than `seen_`, and never
  // cast under one again, since they read the ballots before.
  std::set<HostId> withdrew_;
  LockVersion cleared_;               // 0: not the present version in the present ring
  std::optional<HostId> waits_for_;   // the first outside this ring whose vote may still count

  // A vote of this host's may count: ordered by this daemon, or by one before it.
  bool withdrawn_{false};
  std::optional<Instant> counts_from_;  // none: no tick yet
  Duration lasts_{vote_lasts({kDeviceTimeoutMax, kSyncTimeoutMax, {}}, timing_)};
  std::optional<Ticket> first_zero_;  // the first vote that was not cast, after the last that was
  std::optional<Cast> cast_;          // the newest votes, none of them withdrawn
  std::optional<LockVersion> wanted_;
  std::optional<Stated> stated_;
  bool told_casts_{false};
  Instant deadline_{Instant::never()};
};

}  // namespace wardom::core
