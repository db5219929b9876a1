// Hosts that somebody wants fenced: Pacemaker, by fence_wardom. What is asked for, until when, and
// whether it is proved. The decider acts on it (decider.cpp); every daemon that hears of it keeps
// it, so that another decider goes on. Pure, one thread.
//
// A fencing is over once the boot of the host that was there when it was asked for can run nothing
// any more. That is more than a verdict says: a host that has released its guests still runs, and
// one that was proved dead may have been switched on since, without Wardom. So the BMC has the last
// word where it answers, and corosync's ring where it does not (libha/doc/decisions/0016).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "libha/core/board.hpp"
#include "libha/core/evidence.hpp"
#include "libha/core/judge.hpp"

namespace wardom::core {

// Kept at a time; more are refused.
inline constexpr std::size_t kMaxFencings = 64;
// Whoever asks waits no longer; it may ask again.
inline constexpr Duration kFencingPatienceMax = std::chrono::seconds{60};

inline bool asks_to_fence(const OperatorAsk& ask) {
  return ask.wish == Wish::fence || ask.wish == Wish::fence_unless_split;
}

// It is heard on no link, and its slot shows that it and its daemon live: it is in another group.
inline bool lives_apart(HostState state) {
  return state == HostState::isolated || state == HostState::split;
}

class Fencing {
 public:
  // stay_up: hosts of this domain may outlive their leases, without guests (Config::Watchdog).
  Fencing(const Evidence& evidence, const Board& board, bool stay_up)
      : evidence_(evidence), board_(board), stay_up_(stay_up) {}

  void on_ready(const VolumeReady& ready);
  // false: too many are kept.
  bool take(const OperatorAsk& ask, Instant now);
  // Somebody who decides has answered.
  void on_answered(const OperatorAnswer& answer);
  // Takes note of what has come to be known. `decides`: this host does; else what a new verdict
  // covers is forgotten, since whoever decides knows of it.
  void look(bool decides, Instant now);

  // Who wants this host, in that state, powered off now; nullptr: nobody.
  const OperatorAsk* wish(HostId host, HostState state) const;

  struct Ended {
    OperatorAsk ask;
    bool done{false};  // false: the time is over
    std::string how;
  };
  std::vector<Ended> take_ended();
  // When something is due that look() finds by time alone.
  Instant next_deadline() const;

 private:
  struct Asked {
    OperatorAsk ask;
    Instant at;
    Instant until;
    Incarnation boot;         // the newest that was known when it came
    bool said_before{false};  // a verdict covered that boot then
    std::optional<Instant> shown_since;  // what shows that it is over has stood since
    std::optional<Instant> due;          // and has to stand until then
  };
  // What shows that it is over: for so long it has to stand, and until then.
  struct Shown {
    Proof proof{Proof::none};
    std::string how;
    Duration stands{0};
    Instant until{};
    bool read{false};  // by its BMC: of which another reading, asked since, has to say so too
  };
  struct Said {
    Incarnation incarnation;
    Instant at;  // when this daemon learned of the verdict
    std::uint64_t ring_joins{0};
  };

  void note_verdicts(Instant now);
  bool is_about(const Asked& asked) const;
  bool look(Asked& asked, bool decides, Instant now);
  std::optional<Shown> shown(const Asked& asked, Instant now) const;
  std::optional<Shown> shown_by_reboot(const Asked& asked) const;
  std::optional<Shown> shown_by_silence(const Verdict& verdict, Instant now) const;

  const Evidence& evidence_;
  const Board& board_;
  bool stay_up_;
  Duration late_{0};            // L_late
  Duration late_after_off_{0};  // L_late_after_off
  std::vector<Asked> asked_;
  std::vector<Ended> ended_;
  std::map<HostId, Said> said_;  // the newest verdict on each host
};

}  // namespace wardom::core
