// The decider: while the lock is this host's, it asks about silent members until there is proof,
// stores the verdict, and assigns the dead host's guests until each runs again.
//
// What it has decided stands on the volume; what is left to do follows from the board. So another
// decider, or this one after a restart, takes up a recovery at any step. One thread, pure.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "libha/core/board.hpp"
#include "libha/core/evidence.hpp"
#include "libha/core/fencing.hpp"
#include "libha/core/handed_back.hpp"
#include "libha/core/judge.hpp"
#include "libha/core/lock.hpp"
#include "libha/core/placement.hpp"
#include "libha/core/proofs.hpp"
#include "libha/core/turn.hpp"

namespace wardom::core {

// Active power-offs of one silence: so many with the short pause, then with the long one, since a
// BMC that takes no order now may be back later; so many at most.
inline constexpr int kPowerOffTries = 3;
inline constexpr Duration kPowerOffPause = std::chrono::seconds{5};
inline constexpr int kPowerOffTriesAtMost = 60;
inline constexpr Duration kPowerOffLongPause = std::chrono::seconds{60};
// A guest that found no place, or that every fit host refused, is tried again: so many rounds with
// growing pauses, then with the long one, so many at most. A host that becomes fit starts anew.
inline constexpr int kPlacementRounds = 6;
inline constexpr Duration kPlacementPause = std::chrono::seconds{5};
inline constexpr int kPlacementRoundsAtMost = 60;
inline constexpr Duration kPlacementLongPause = std::chrono::seconds{60};
// An assignment that its target neither claims nor refuses for so long is withdrawn.
inline constexpr Duration kClaimPatience = std::chrono::seconds{10};
// How often what is left of a disarmed time is recorded: so much longer it lasts, at most, for each
// change of decider.
inline constexpr Duration kDisarmedRecord = std::chrono::seconds{60};
// An operator's word is answered within this time, if only to say that nobody acted on it.
inline constexpr Duration kOperatorPatience = std::chrono::seconds{15};
// After so long a silence without proof, slot and BMC are asked at their usual pace again.
inline constexpr Duration kUrgentInquiry = std::chrono::seconds{60};

// A silent member, being asked about. `seen_alive`: by this daemon, before the silence.
struct Inquiry {
  RecoveryId recovery;
  bool seen_alive{false};
  Instant since;
  WallTime first_sign;
  std::optional<Ticket> asked;
  Instant asked_at;
  Instant next_ask;
  std::optional<Ticket> off_asked;
  Instant off_asked_at;
  Instant next_off;
  int off_tries{0};
  std::optional<Power> last_told;
  int offs_told{0};
  std::string held;  // why no active power-off is made; for people
};

struct Problem {
  std::string what;
  std::string where;
  std::string remedy;
};

class Decider {
 public:
  // speaks: what this daemon does. stay_up: as fencing.hpp says.
  Decider(const Evidence& evidence, Board& board, std::uint64_t memory_reserve_mib,
          Levels speaks = {}, bool stay_up = false)
      : evidence_(evidence),
        board_(board),
        reserve_mib_(memory_reserve_mib),
        speaks_(speaks),
        fencing_(evidence, board, stay_up) {}

  void on_ready(const VolumeReady& ready, DomainId domain) {
    me_ = ready;
    fencing_.on_ready(ready);
    lock_domain_ = domain;
    rewriting_.reset();
  }
  void on_written(const CellWritten& written, Turn& turn);
  void on_power(const PowerSeen& seen, Instant asked, Turn& turn);
  void on_power_off(const PowerOffTaken& taken, Turn& turn);
  void on_please(const PleaseAssign& please, Turn& turn);
  // `ask` has been found to be possible. What is to be fenced is kept also while others decide.
  void on_operator(const OperatorAsk& ask, Turn& turn);
  // What a decider, this host or another, has answered an operator.
  void on_answered(const OperatorAnswer& answer) { fencing_.on_answered(answer); }
  // hypervisor_ok: libvirt answers on this host.
  void tick(const LockView& lock, bool volume_ok, bool hypervisor_ok, Turn& turn);
  Instant next_deadline() const;

  bool deciding() const { return std::holds_alternative<Deciding>(state_); }
  // This host decides under `version`, all of that stands on the volume, and every cell has been
  // read since it did and can be relied upon.
  bool knows_all(LockVersion version) const;
  // What it has assigned to this host is not settled.
  bool awaits_claims_of(HostId host) const;
  LockVersion version() const { return cell_.wanted().version; }
  Sequence sequence() const { return cell_.sequence(); }
  // Since when no decision has reached the volume, and when the last one failed to.
  std::optional<Instant> failing_since() const { return cell_.failing_since(); }
  std::optional<Instant> failed_at() const { return cell_.failed_at(); }
  // A silence is so young that its slot is to be read as fast as can be.
  bool urgent(Instant now) const;
  const std::map<HostId, Inquiry>& inquiries() const { return inquiries_; }
  // Somebody wants the lock's owner powered off, and it is of this host's own split group.
  bool fences_owner(HostId owner, HostState state) const {
    return !lives_apart(state) && fencing_.wish(owner, state) != nullptr;
  }
  // What deciders have recorded of BMCs that lie is known here, as of this host's silence.
  bool knows_lying_bmcs(HostId silent) const;
  // Boots of hosts that hold guests by the tables, and that no verdict names.
  std::set<std::pair<HostId, Incarnation>> boots_that_hold_guests() const;
  std::vector<Problem> problems(Instant now) const;

 private:
  struct Idle {};
  struct CatchingUp {
    Instant since;
    LockVersion version;
  };
  struct Deciding {
    Instant since;
  };
  // A guest without a place, and when to look for one again.
  struct Attempt {
    int rounds{0};
    Instant next{};
    std::string why;
    RecoveryId recovery;
    MemberSet silent;  // targets that never answered
    bool over() const { return rounds >= kPlacementRoundsAtMost; }
  };
  using Guests = std::map<GuestId, GuestFacts>;

  bool take_over(const LockView& lock, Turn& turn);
  void start_deciding(LockVersion version, Turn& turn);
  void stop_deciding(Turn& turn);
  void ask_about_owner(const LockView& lock, Turn& turn);
  void ask_about_silent(Turn& turn);
  void inquire(HostId host, const OperatorAsk* wish, Turn& turn);
  void begin(HostId host, Inquiry& inquiry, const OperatorAsk* wish, Turn& turn);
  void ask(HostId host, Inquiry& inquiry, Turn& turn);
  std::string power_off_held(HostId host, const Inquiry& inquiry, const OperatorAsk* wish,
                             Instant now) const;
  std::string why_doubtful(HostId host, const Inquiry& inquiry, Instant now) const;
  void consider_power_off(HostId host, Inquiry& inquiry, const OperatorAsk* wish, Turn& turn);
  void pronounce(HostId host, const Incarnation& incarnation, const ProofAbout& proof,
                 const Inquiry* inquiry, Turn& turn);
  bool to_be_asked_about(HostId host, HostState state) const;
  bool silent_together(HostId host, Instant now) const;
  bool heard_by_a_peer(HostId host, Instant now) const;
  bool death_awaited(HostId host) const;
  void look_for_ended_boots(Turn& turn);
  bool said_dead(HostId host, const Incarnation& incarnation) const;
  bool armed() const;
  void count_disarmed(Turn& turn);
  void rewrite(const LockView& lock, Turn& turn);
  bool rewritten(const CellWritten& written, Turn& turn);
  void keep_lying_bmcs();
  void keep_groups(const LockView& lock, Turn& turn);
  void keep_level(const LockView& lock, Turn& turn);
  std::optional<Instant> disarmed_deadline() const;
  void answer_operators(Turn& turn);
  void on_fence(const OperatorAsk& ask, Turn& turn);
  void keep_fencing(Turn& turn);
  std::string why_not_fenced(const OperatorAsk& ask, Instant now) const;
  void reconcile(Turn& turn);
  bool look_due(Turn& turn);
  bool unanswered(const Assignment& assignment, Instant now);
  bool retire_settled(Turn& turn);
  bool over(const Claim& claim) const;
  bool owned(const GuestFacts& facts) const;
  bool lost(const GuestFacts& facts) const;
  Duration late_writes_after(Proof proof) const;
  Instant drained_until(Instant now) const;
  bool writes_may_land(const GuestFacts& facts, Instant now);
  void back_off(GuestId guest, const std::string& name, const std::string& why,
                const RecoveryId& recovery, Turn& turn);
  std::vector<Seeker> seekers(const std::vector<Candidate>& fit, Turn& turn);
  std::optional<Seeker> seeker(GuestId guest, const GuestFacts& facts,
                               const std::vector<Candidate>& fit, Turn& turn);
  RecoveryId recovery_of(const Claim& claim) const;
  std::vector<Candidate> candidates(Instant now) const;
  bool new_host_is_fit(Instant now);
  void assign(const std::vector<Seeker>& seekers, std::vector<Candidate> fit, Turn& turn);
  void close_recoveries(Turn& turn);
  void answer_requests(Turn& turn);
  Assignment new_assignment(GuestId guest, const GuestFacts* facts, Cause cause) const;
  const Claim* stranded(const GuestFacts& facts) const;
  void name_target(Assignment& assignment, HostId target) const;
  void answer_move(const PleaseAssign& please, const GuestFacts* facts, Turn& turn);
  const Assignment* open_assignment(GuestId guest) const;
  bool condemned(HostId host) const;
  bool present(HostId host, const Incarnation& incarnation, DaemonEpoch epoch) const;

  const Evidence& evidence_;
  Board& board_;
  std::uint64_t reserve_mib_;
  Levels speaks_;
  Fencing fencing_;
  VolumeReady me_;
  DomainId lock_domain_;
  std::variant<Idle, CatchingUp, Deciding> state_;
  std::optional<Ticket> rewriting_;
  Instant next_rewrite_{};
  OwnCell<Decision> cell_;
  std::map<HostId, Inquiry> inquiries_;
  std::map<GuestId, Attempt> attempts_;
  std::vector<PleaseAssign> requests_;
  std::optional<Instant> reconcile_since_;  // waiting for cells read since then
  std::uint64_t looked_{0};                 // the board's revision when last looked at
  bool work_{false};                        // something changed that may need assignments
  std::map<RecoveryId, HostId> open_recoveries_;
  std::set<RecoveryId> waiting_;            // recoveries with a guest that has no place yet
  std::map<GuestId, std::pair<Generation, Instant>> open_since_;  // unanswered assignments
  HandedBack handed_back_;
  std::map<GuestId, Generation> given_;     // a withdrawn generation is not given again
  std::map<std::pair<HostId, Incarnation>, Instant> late_until_;  // of boots that a verdict covers
  std::set<std::pair<HostId, Incarnation>> holding_boots_;  // that own guests, without a verdict
  std::uint64_t holding_boots_at_{0};                       // the board's revision they are from
  std::optional<Instant> next_late_;
  struct Owed {
    OperatorAsk ask;
    Instant until;
  };
  std::vector<Owed> owed_;  // answers to operators, due once what they want stands on the volume
  Instant disarmed_counted_{};  // what is left of a disarmed time was recorded then
  MemberSet fit_;
  bool newer_decisions_{false};  // than the lock's version: not this lock's volume
  HostId owner_awaited_;                    // the lock's owner, until its life is over
  bool asks_{false};                        // goes on asking about the silent
  bool volume_ok_{false};
  bool hypervisor_ok_{false};
};

}  // namespace wardom::core
