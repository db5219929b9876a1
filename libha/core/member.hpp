// A member of a detection domain: evidence, judge, decider and target put together. The same code
// runs in wardomd and under test. step(input) takes one input in; tick() then moves everything
// that is due and returns what is to be done. No clock, no I/O, one thread.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "libha/core/board.hpp"
#include "libha/core/decider.hpp"
#include "libha/core/domain_lock.hpp"
#include "libha/core/evidence.hpp"
#include "libha/core/judge.hpp"
#include "libha/core/lock.hpp"
#include "libha/core/operator_desk.hpp"
#include "libha/core/outage.hpp"
#include "libha/core/proofs.hpp"
#include "libha/core/quorum_vote.hpp"
#include "libha/core/target.hpp"

namespace wardom::core {

// How often decisions are looked at of whom no nudge can come.
inline constexpr Duration kLookInterval = std::chrono::seconds{2};

struct MemberSettings {
  HostId self;
  DomainId domain{1};
  std::vector<HostId> members;           // sorted by id, self included
  std::vector<HostId> with_bmc;          // members whose BMC is configured
  Timing timing;
  std::uint64_t config_digest{0};        // as in a beat
  std::uint64_t memory_reserve_mib{512};
  bool stay_up{false};                   // hosts may outlive their leases (core/fencing.hpp)
  bool ride_out{false};                  // takes part in outage.hpp's rule
  bool grants_always{false};             // also while this host can use the volume; only for tests
  IsolationResponse isolation{IsolationResponse::leave};  // where a guest's entry says nothing
  Levels speaks;                         // what this daemon reads and writes
  std::uint64_t seed{0};                 // of the ids drawn
};

// One line of `status` about a host.
struct HostView {
  HostId host;
  Judgement judged;
  Incarnation incarnation;
  bool mgmt{false};
  bool storage{false};
  bool disk{false};
  Power power{Power::unknown};
  bool power_known{false};               // this host polls that BMC
  std::optional<Duration> since_life;
  std::optional<Levels> speaks;          // what its keeper and its wardomd do, as far as known
};

// One line of `status` about a guest.
struct GuestView {
  GuestEntry entry;
  HostId owner;                          // kNoHost: nobody owns it now
  Running running{Running::unknown};     // as libvirt says, for guests of this host
};

class Member {
 public:
  explicit Member(MemberSettings settings);

  void step(const Input& input, Now now, Orders& orders);
  // Beats are nine inputs of ten: the same, without a copy.
  void step(const BeatSeen& beat, Now now, Orders& orders);
  void tick(Now now, Orders& orders);
  // The latest instant at which tick() must run again although no input came.
  Instant next_deadline() const { return std::min(next_beat_, next_full_look_); }

  // May libvirt bring this guest to life here? Answers the hook. Where it is allowed and known, say
  // so by HookAllowed before anything else: what arrives may be prepared and started once.
  StartAnswer may_start(GuestId guest, const std::string& name, HookOp op, Instant now) const;
  // What of this host's own standing is known: the keeper answers and has joined; reads of the
  // volume complete; its lease, where the keeper answers.
  bool uses_volume() const { return ready_; }
  bool reads_volume(Instant now) const {
    return ready_ && (reads_ok(now) || reads_begin(now));
  }
  LeaseState lease() const { return rights_.lease; }
  // Nothing is decided and no guest is started at or after this.
  Instant act_until() const {
    return ready_ && !released() ? rights_.act_until : Instant{};
  }
  LockView lock(Instant now) const;
  LockVersion version() const { return board_.highest_version(); }
  // The domain's, as this host knows it: what is written is written in it (core/level.hpp).
  Level level() const {
    return std::max({settings_.speaks.oldest, level_found_, board_.level()});
  }
  const Levels& speaks() const { return settings_.speaks; }
  // The lowest one in which a cell of the domain is still written, as far as this host has read: a
  // release that does not speak it cannot be installed yet.
  Level oldest_level() const;
  std::vector<HostView> hosts(Instant now) const;
  std::vector<GuestView> guests() const;
  // The one of these with that name or UUID.
  std::optional<GuestView> guest_called(const std::string& guest) const;
  bool hypervisor_answers() const { return target_.hypervisor_ok(); }
  // What of a guest is on this host, as libvirt has said it last and the keeper lists it, whether
  // or not it is protected. By name or UUID; nullopt: nothing is known of it here.
  std::optional<GuestHere> guest_here(const std::string& guest) const;
  std::vector<Problem> problems(Instant now) const;
  // The split groups as the leading decider has recorded them, its own first; empty: the domain is
  // whole, or nobody decides.
  std::vector<std::vector<HostId>> split_groups() const;
  // none: armed. As the leading decider has recorded it.
  std::optional<Disarmed> disarmed() const;
  // Since when this host has lived on the others' grants; none: it does not.
  std::optional<Instant> on_grants_since() const { return outage_.riding_since(); }
  // What a person may confirm dead, newest first.
  std::vector<Incarnation> boots(HostId host) const { return desk_.boots(host); }
  // What is proved about the newest incarnation of a member, and what is missing.
  ProofAbout proof(HostId host, Instant now) const;
  // Every protected guest of the domain that is known now.
  std::vector<GuestId> protected_guests() const;
  // Grows when the answer of guests() and protected_guests() may have changed.
  std::uint64_t board_revision() const { return board_.revision(); }
  const Evidence& evidence() const { return evidence_; }
  const Incarnation& incarnation() const { return me_.incarnation; }
  bool ready() const { return ready_ && target_.loaded(); }
  // After Leaving: nothing of this host's has to reach the volume before the process may end.
  bool left() const { return domain_lock_.left() && !quorum_.leaves(); }
  QuorumVoteView quorum_vote() const { return quorum_.view(); }
  // The owner of the domain lock's highest version, as this host knows it, gone or not.
  const LockWord& lock_word() const { return board_.lock(); }

 private:
  static const Claim* record_of(const GuestFacts& facts);
  GuestView view_of(const Claim& record) const;
  void take(const VolumeReady& ready, Turn& turn);
  void take(const VolumeLost& lost, Turn& turn);
  void take(const OwnHeartbeat& heartbeat, Turn& turn);
  void take(const Rights& rights, Turn& turn);
  void take(const AskStamp& stamp, Turn& turn);
  void take(const StartListed& answer, Turn& turn);
  void take(const CellsRead& read, Turn& turn);
  void take(const CellWritten& written, Turn& turn);
  void take(const BeatSeen& seen, Turn& turn);
  void take(const OtherLevel& seen, Turn& turn);
  void take(const PowerSeen& seen, Turn& turn);
  void take(const PowerOffTaken& taken, Turn& turn);
  void take(const RingMembers& members, Turn& turn);
  void take(const RingQuorum& quorum, Turn& turn);
  void take(const RingLost& lost, Turn& turn);
  void take(const GuestSeen& seen, Turn& turn);
  void take(const HypervisorUp& up, Turn& turn);
  void take(const HypervisorDown& down, Turn& turn);
  void take(const GuestDefinition& definition, Turn& turn);
  void take(const ActDone& done, Turn& turn);
  void take(const Protect& protect, Turn& turn);
  void take(const Unprotect& unprotect, Turn& turn);
  void take(const StartGuest& start, Turn& turn);
  void take(const StopGuest& stop, Turn& turn);
  void take(const MigrateGuest& migrate, Turn& turn);
  void take(const HookAllowed& allowed, Turn& turn);
  void take(const PleaseAssign& please, Turn& turn);
  void take(const Load& load, Turn& turn);
  void take(const OperatorAsk& ask, Turn& turn);
  void take(const OperatorAnswer& answer, Turn& turn);
  void take(const DeviceSet& device, Turn& turn);
  void take(const DeviceLost& lost, Turn& turn);
  void take(const RingFormed& formed, Turn& turn);
  void take(const VoteTaken& taken, Turn& turn);
  void take(const Leaving& leaving, Turn& turn);

  bool look_for_stall(Instant now);
  bool routine(const PowerSeen& seen) const;
  bool is_news(const Input& input, Now now) const;
  bool is_news(const CellSeen& slot, SlotNews news, Now now) const;
  bool may_act(Instant now) const;
  bool outdated_by(Level level, Turn& turn);
  std::string unfit_for(const CellSeen& cell) const;
  std::optional<Levels> speaks_of(HostId host) const;
  void add_levels(std::vector<Problem>& list) const;
  void look_at_directory(Instant now);
  std::vector<HostId> dead_proposers() const;
  DirectoryWord directory_known() const;
  Outage::Asking asking() const;
  void take_grants(const Beat& beat, Turn& turn);
  void live_on_grants(Turn& turn);
  std::vector<BeatWord> words(Instant now) const;
  void add_outage(std::vector<Problem>& list, Instant now) const;
  // The keeper has recorded that this incarnation is released.
  bool released() const;
  bool may_yield(Instant now) const;
  // Why `protect` and `unprotect` are refused; empty: they are not.
  std::string why_no_change(Instant now) const;
  bool may_time(Instant now) const;
  bool reads_ok(Instant now) const;
  bool reads_begin(Instant now) const;
  bool silent_member(Instant now) const;
  void set_pace(Instant now);
  void look_for_lost_nudges(Instant now);
  bool verdict_on(HostId host) const;
  Contention contention(Instant now) const;
  LockView lock_among(const Contention& others, Instant now) const;
  LockStanding standing(const Contention& others, Instant now) const;
  bool owner_gone(Instant now) const;
  bool owner_silent(Instant now) const;
  bool owner_suspect(Instant now) const;
  bool cannot_decide(Instant now) const;
  bool division_settled(Instant now) const;
  void look_at_division(const Contention& others, Instant now);
  void look_at_ring(const Contention& others, Instant now);
  RingId own_ring(Instant now) const;
  bool leaves_lock_to_ring(Instant now) const;
  bool names_others(HostId host) const;
  bool has_other_file(HostId host) const;
  void note_file(const Beat& beat, Turn& turn);
  bool gone(HostId host) const;
  std::vector<HostId> in_the_way(Instant now) const;
  std::vector<Proposer> wanted_directory(Instant now) const;
  void add_membership(std::vector<Problem>& list, Instant now) const;
  std::vector<std::vector<HostId>> groups_by_host(const Groups& groups) const;
  void look_at_lock(const LockView& lock, Turn& turn);
  void look_around(const Contention& others, const LockView& lock, Instant now);
  std::optional<Duration> isolated(Instant now) const;
  void look_at_consent();
  VoteStanding vote_standing(Instant now) const;
  void vote(Turn& turn);
  void add_quorum(std::vector<Problem>& list, Instant now) const;
  std::optional<Duration> bmc_quiet(HostId host, Instant now) const;
  std::string bmc_quiet_text(HostId host, Duration quiet) const;
  void tell_bmcs(Turn& turn);
  void add_bmcs(std::vector<Problem>& list, Instant now) const;
  void read_slots(Turn& turn);
  void read_board(Turn& turn);
  void poll_power(const LockView& lock, Turn& turn);
  void tell_changes(const LockView& lock, Turn& turn);
  void beat(Turn& turn);
  LyingBmc unrecorded_liar() const;
  Beat make_beat(Instant now) const;
  bool calm(const Contention& others, const LockView& lock, Instant now) const;
  Instant find_next_look(const Contention& others, const LockView& lock, Instant now) const;

  MemberSettings settings_;
  Evidence evidence_;
  Board board_;
  DomainLock domain_lock_;
  Decider decider_;
  Target target_;
  OperatorDesk desk_;
  Outage outage_;
  QuorumVote quorum_;
  Random random_;
  Ticket last_ticket_;

  VolumeReady me_;
  bool ready_{false};
  Level level_found_{kFirstLevel};  // in this host's own cells, by the keeper
  // The domain's level, where it is above what this daemon speaks: it takes no part any more.
  std::optional<Level> outdated_;
  std::string volume_error_;
  Rights rights_;
  Incarnation released_;         // the newest of which the keeper has said so
  std::optional<Instant> writes_again_;  // the first acknowledged heartbeat since then
  Sequence slot_sequence_;
  std::optional<Instant> slots_read_at_;
  struct Reading {
    Ticket ticket;
    Instant issued;
  };
  std::optional<Reading> reading_slots_;
  std::optional<Reading> reading_board_;
  Instant next_slots_{};
  LockView last_lock_;                    // as of the last tick
  std::optional<Instant> watching_since_; // nullopt: slots are read seldom
  Instant next_look_{};
  Instant next_scrub_{};
  std::size_t scrubbed_{0};               // counts looks, one member after the other
  Instant next_lock_look_{};
  std::vector<MemberSet> division_;        // the split groups as seen at the last tick
  Instant division_since_{};
  std::vector<MemberSet> yielded_to_;      // the division for which this host gave the lock up
  std::optional<Instant> owner_suspect_since_;
  std::optional<Instant> outside_since_;   // Contention::outside, as of the last tick
  std::optional<Instant> yielded_to_ring_; // when this host gave the lock up for that, since then
  Instant next_board_{};       // not before: a cell that cannot be relied upon is not hammered
  int doubtful_reads_{0};
  std::optional<Instant> last_tick_;
  std::optional<Instant> stalled_until_;
  bool acting_{false};         // as of the last tick
  std::optional<Instant> apart_since_;  // this host stands apart, as of the last tick
  // Something came since the last tick that it has to look at. A beat that says what the sender's
  // last one said is not: it only puts off the instant at which the sender falls silent.
  bool news_{true};
  Instant next_full_look_{};   // before it, and without news, a tick does nothing but send a beat
  bool leaving_{false};        // stops in good order, with no guest to look after
  bool restarting_{false};     // stops in good order, and may be back at once
  std::uint64_t beats_made_{0};
  struct Asked {
    HostId host;
    Instant at;
  };
  std::map<Ticket, Asked> asked_power_;
  std::map<HostId, Instant> next_power_;
  Instant next_poll_{Instant::never()};  // the earliest of them that is this host's to ask
  Load load_;
  Instant next_beat_{};
  std::optional<LockVersion> published_votes_;
  std::optional<Beat> last_beat_;
  // What people were told of a member last.
  struct Told {
    HostState state{HostState::unknown};
    bool distrusted{false};
    bool bmc_quiet{false};
  };
  std::vector<Told> told_;  // by member
  LockVersion directory_seen_;  // the version as of which this host is one that others ask
  std::optional<Instant> told_riding_;
  HostId told_decider_;
  LockVersion told_version_;
  bool told_volume_ok_{true};
  std::map<HostId, std::uint64_t> digests_;  // of members' files, as they said last
};

}  // namespace wardom::core
