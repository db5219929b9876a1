// The decider: while the lock is this host's, it asks about silent members until there is proof,
// stores the verdict, and assigns the dead host's guests until each runs again.
//
// What it has decided stands on the volume; what is left to do follows from the board. So another
// decider, or this one after a restart, takes up a recovery at any step. One thread, pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "libha/core/board.hpp"
#include "libha/core/evidence.hpp"
#include "libha/core/judge.hpp"
#include "libha/core/lock.hpp"
#include "libha/core/placement.hpp"
#include "libha/core/turn.hpp"

namespace wardom::core {

// Active power-offs of one silence at most, and the pause between two.
inline constexpr int kPowerOffTries = 3;
inline constexpr Duration kPowerOffPause = std::chrono::seconds{5};
// A guest that every fit host refused is tried again, this often at most.
inline constexpr int kPlacementRounds = 6;
inline constexpr Duration kPlacementPause = std::chrono::seconds{5};

// A silent member, being asked about.
struct Inquiry {
  RecoveryId recovery;
  Instant since;
  WallTime first_sign;
  std::optional<Ticket> asked;
  Instant asked_at;
  Instant next_ask;
  std::optional<Ticket> off_asked;
  Instant next_off;
  int off_tries{0};
  Power last_told{Power::unknown};
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
  Decider(const Evidence& evidence, Board& board, std::uint64_t memory_reserve_mib)
      : evidence_(evidence), board_(board), reserve_mib_(memory_reserve_mib) {}

  void on_ready(const VolumeReady& ready) { me_ = ready; }
  void on_written(const CellWritten& written, Turn& turn);
  void on_power(const PowerSeen& seen, Instant asked, Turn& turn);
  void on_power_off(const PowerOffTaken& taken, Turn& turn);
  void on_please(const PleaseAssign& please, Turn& turn);
  void tick(const LockView& lock, bool volume_ok, Turn& turn);
  Instant next_deadline() const;

  bool deciding() const { return std::holds_alternative<Deciding>(state_); }
  LockVersion version() const { return cell_.wanted().version; }
  Sequence sequence() const { return cell_.sequence(); }
  bool suspects() const { return !inquiries_.empty(); }
  const std::map<HostId, Inquiry>& inquiries() const { return inquiries_; }
  std::vector<Problem> problems() const;

 private:
  struct Idle {};
  struct CatchingUp {
    Instant since;
  };
  struct Deciding {};
  struct Attempt {
    int rounds{0};
    Instant next{};
    std::string why;
  };

  void start_deciding(Turn& turn);
  void inquire(HostId host, Turn& turn);
  void ask(HostId host, Inquiry& inquiry, Turn& turn);
  void consider_power_off(HostId host, Inquiry& inquiry, Turn& turn);
  void pronounce(HostId host, const Inquiry& inquiry, Turn& turn);
  void reconcile(Turn& turn);
  bool retire_settled(const std::map<GuestId, GuestFacts>& guests, Turn& turn);
  std::vector<Seeker> seekers(const std::map<GuestId, GuestFacts>& guests, Turn& turn);
  std::vector<Candidate> candidates(const std::map<GuestId, GuestFacts>& guests, Turn& turn);
  void assign(const std::map<GuestId, GuestFacts>& guests, const std::vector<Seeker>& seekers,
              Turn& turn);
  void close_recoveries(Turn& turn);
  Incarnation verdict_incarnation(const RecoveryId& recovery) const;
  void answer_requests(const std::map<GuestId, GuestFacts>& guests, Turn& turn);
  Assignment new_assignment(GuestId guest, const GuestFacts* facts, Cause cause) const;
  const Assignment* open_assignment(GuestId guest) const;
  bool condemned(HostId host) const;

  const Evidence& evidence_;
  Board& board_;
  std::uint64_t reserve_mib_;
  VolumeReady me_;
  std::variant<Idle, CatchingUp, Deciding> state_;
  OwnCell<Decision> cell_;
  std::map<HostId, Inquiry> inquiries_;
  std::map<GuestId, Attempt> attempts_;
  std::vector<PleaseAssign> requests_;
  std::optional<Instant> reconcile_since_;  // waiting for cells read since then
  bool work_{false};                        // something changed that may need assignments
  std::map<RecoveryId, HostId> open_recoveries_;
  bool volume_ok_{false};
};

}  // namespace wardom::core
