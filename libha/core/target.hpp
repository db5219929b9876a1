// The target: keeps this host's own table, claims what the decider assigns to it, and starts a
// guest only after its claim stands on the volume and everybody's claims were read afterwards.
//
// It also watches over what the host may run: a guest that belongs to another host is ended here,
// its stale definition removed; and on a host that stands apart it carries out each guest's
// isolation response. One thread, pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "libha/core/board.hpp"
#include "libha/core/decider.hpp"
#include "libha/core/evidence.hpp"
#include "libha/core/turn.hpp"

namespace wardom::core {

// How long a protect or unprotect request may take before its caller is told that it failed.
inline constexpr Duration kRequestPatience = std::chrono::seconds{8};
// The decider is asked again after this pause: the first word may have found none.
inline constexpr Duration kAskAgain = std::chrono::seconds{1};
// A kill or a removal of a definition that failed is tried again after this pause.
inline constexpr Duration kActPause = std::chrono::seconds{2};

inline bool runs(const GuestSeen* seen) {
  return seen != nullptr && (seen->running == Running::yes || seen->running == Running::paused ||
                             seen->running == Running::io_error);
}

// The record's definition is that one from now on.
inline void redefine(GuestEntry& record, const auto& from) {
  record.xml = from.xml;
  record.name = from.name;
  record.memory_kib = from.memory_kib;
  record.vcpus = from.vcpus;
}

// What of a guest is on this host.
struct GuestHere {
  GuestId guest;
  std::string name;
  Running running{Running::unknown};
  GuestProcess process;  // all zero: not known
};

struct StartAnswer {
  bool allowed{false};
  bool known{false};   // the guest is protected somewhere in this domain
  std::string reason;  // for people, when refused
};

class Target {
 public:
  // by_default: the isolation response of guests for which nobody has said otherwise.
  Target(const Evidence& evidence, Board& board, IsolationResponse by_default)
      : evidence_(evidence), board_(board), isolation_by_default_(by_default) {}

  void on_ready(const VolumeReady& ready, Instant now);
  void on_written(const CellWritten& written, Turn& turn);
  void on_start_listed(const StartListed& answer, Turn& turn);
  void on_guest(const GuestSeen& seen, Turn& turn);
  void on_hypervisor_up(const HypervisorUp& up, Turn& turn);
  void on_hypervisor_down(const HypervisorDown& down, Turn& turn);
  void on_definition(const GuestDefinition& definition, Turn& turn);
  void on_done(const ActDone& done, Turn& turn);
  void on_protect(const Protect& protect, const LockView& lock, Turn& turn);
  void on_unprotect(const Unprotect& unprotect, Turn& turn);
  void on_start_guest(const StartGuest& start, Turn& turn);
  void on_stop_guest(const StopGuest& stop, Turn& turn);
  void on_migrate_guest(const MigrateGuest& migrate, Turn& turn);
  void on_hook(const HookAllowed& allowed, Turn& turn);
  // isolated: how long this host has been standing apart, once that is for longer than the delay.
  void tick(bool volume_ok, std::optional<Duration> isolated, Turn& turn);
  // The domain has gone on to this format level: a table of an earlier one is written anew, once.
  void keep_level(Level level);
  // Instead of tick() once this incarnation is released: every guest is given up, by a yield that
  // says so as soon as this host's writes reach the volume again. The keeper begins a new
  // incarnation only after that, and nothing is done under this one any more.
  void give_all_up(bool volume_ok, Turn& turn);
  // The own table, as it stands on the volume, shows no guest of this incarnation.
  bool gave_all_up() const;
  Instant next_deadline() const;

  // As Member::may_start, without the lease's say.
  StartAnswer may_start(GuestId guest, const std::string& name, HookOp op, Instant now) const;

  bool hypervisor_ok() const { return hypervisor_ok_; }
  bool loaded() const { return loaded_; }
  // This host holds, or held, the guest, as its own table says.
  bool knows(GuestId guest) const { return entry(guest) != nullptr; }
  // The ladder kills whatever is listed here, or may have done so before this was known.
  void on_ladder(Instant now);
  void on_ladder(GuestId guest, Instant now) { killed_[guest] = now; }
  // When it may last have killed this guest, so that writes of it may be under way. nullopt: it has
  // not, the guest was off before, or its start follows from an assignment, which has waited.
  std::optional<Instant> killed(GuestId guest) const;
  bool busy() const { return !works_.empty() || !cell_.settled(); }
  Sequence sequence() const { return cell_.sequence(); }
  const HostTable& table() const { return cell_.wanted(); }
  const GuestSeen* seen(GuestId guest) const;
  std::optional<GuestHere> here(const std::string& guest) const;  // Member::guest_here
  std::vector<Problem> problems() const;

 private:
  // A claim under way. Each struct holds what exists at that step.
  struct Listing {  // the keeper is asked to list the start
    std::optional<Ticket> asked;
    Instant next;  // none asked: when to try again
    bool claims{false};  // its claim follows, else its start
  };
  struct Claiming {
    std::uint64_t revision;  // of the own table that carries the claim
  };
  struct Checking {
    Instant since;  // everybody's cells must be read by reads issued from here on
  };
  struct Arriving {  // it may be sent here, and waits for its source's last word (moving.cpp)
    std::optional<Instant> begun;  // libvirt was told that it may
    HookOp last{HookOp::migrate};  // the latest that it was allowed
  };
  struct Starting {  // or resuming
    Ticket ticket;
  };
  struct Unsettled {  // the create call failed in a way that leaves its effect open
    Instant look_again;
  };
  // Not to be started here, but a start may be under way in libvirt, by this daemon or by one that
  // was killed. A kill that libvirt answers after it settles both: only then it is refused.
  struct Ending {
    std::string reason;
    std::optional<Ticket> killing;
    Instant next;
  };
  struct Work {
    Assignment assignment;
    std::variant<Claiming, Listing, Checking, Arriving, Starting, Unsettled, Ending> step;
    bool resumed{false};  // claimed by an earlier daemon of this boot
    bool ended{false};    // the claim took the place of a tombstone
    int resumptions{0};   // of what has arrived, in vain
  };
  struct Request {
    Ticket ticket;
    GuestEntry entry;
    Instant deadline;
    Instant ask_again;
    bool start{false};  // Pacemaker's: it is to run here
  };
  // An isolation response under way (isolation.cpp). The entry says so before anything is done
  // (GuestEntry::parting), so that it is carried to its end by whatever daemon comes next.
  struct Recording {  // the table that says so is being written
    std::uint64_t revision;
  };
  struct ShuttingDown {
    std::optional<Ticket> asked;
    bool pressed{false};  // its power button, with libvirt's word for it
    Instant next;
    Instant until;
  };
  struct Killing {  // also of what is off already: libvirt's answer says that nothing is left
    std::string how;
    std::optional<Ticket> asked;
    Instant next;
  };
  struct Parting {
    std::string why;
    RecoveryId recovery;
    std::variant<Recording, ShuttingDown, Killing> step;
    bool resumed{false};  // begun by an earlier daemon of this boot
    std::optional<Duration> stop{};  // Pacemaker has it stopped; its time to shut down
  };
  // What Pacemaker has stopped here, until the answer is given (managed.cpp).
  struct Stop {
    StopGuest asked;
    Instant until;     // the guest's own time to shut down
    Instant deadline;
    // Of a guest that is not this host's:
    std::optional<Ticket> shutdown;
    bool pressed{false};
    std::optional<Ticket> kill;
    Instant next;
    bool gone{false};  // libvirt says so, after a kill
  };

  // A guest of this host's that goes on elsewhere (moving.cpp).
  struct Asking {  // the decider, whether it may
    Instant again;
  };
  struct Offering {};  // the own table says so; the destination has not claimed it yet
  struct Sending {
    Ticket ticket;
    std::optional<Ticket> aborting;
    Instant next;
  };
  struct Finding {  // whether it is still here: the answer was lost, or an earlier daemon's
    std::optional<Ticket> asked;
    Instant next;
  };
  struct Sent {};  // it was yielded; the destination has not said yet that it holds it
  struct Move {
    std::optional<MigrateGuest> asked;  // none: by an earlier daemon
    Instant deadline{Instant::never()};
    std::string why{};  // it is given up
    std::variant<Asking, Offering, Sending, Finding, Sent> step;
  };
  struct Offer {
    enum class Word : std::uint8_t { none, open, sent };
    Word word{Word::none};
    const Claim* claim{nullptr};
  };

  void load_own_table(Turn& turn);
  void resume(const GuestEntry& entry, Turn& turn);
  void take_assignments(Turn& turn);
  void begin_claim(const Assignment& assignment, Turn& turn);
  void claim_listed(const Assignment& assignment, Turn& turn);
  void claim_protected(const Assignment& assignment, Turn& turn);
  void claim_start(const Assignment& assignment, Turn& turn);
  void follow_starts(Turn& turn);
  void answer_held(Turn& turn);
  void answer_start(GuestId guest, const std::string& failure, Turn& turn);
  void follow_stops(Turn& turn);
  bool stopped_here(GuestId guest, Stop& stop, Turn& turn);
  void stop_own(GuestId guest, const Stop& stop, Turn& turn);
  void stop_other(Stop& stop, Turn& turn);
  void on_stop_done(const ActDone& done, Turn& turn);
  Instant stop_deadline() const;
  std::string why_not_started(GuestId guest) const;
  std::string why_not_stopped(GuestId guest) const;
  std::string why_not_moved(const GuestEntry& own) const;
  std::string why_given_up(const GuestEntry& own, const Move& move, Instant now) const;
  const Assignment* way_out(GuestId guest, const GuestEntry& own, HostId to) const;
  const Claim* claim_of(GuestId guest, HostId host, Generation generation) const;
  void follow_moves(Turn& turn);
  void follow_move(GuestId guest, Move& move, Turn& turn);
  void ask_way(const GuestEntry& own, Move& move, Asking& asking, Turn& turn);
  void on_move_done(const ActDone& done, Turn& turn);
  void conclude(const ActDone& done, const std::string& why, Turn& turn);
  void tell_late(Move& move, Turn& turn);
  void give_over(GuestId guest, Turn& turn);
  void await_arrival(GuestId guest, Move& move, Turn& turn);
  void take_back(GuestId guest, const std::string& why, Turn& turn);
  void end_move(GuestId guest, const std::string& why, Turn& turn);
  void moves_without_libvirt();
  Instant move_deadline() const;
  Offer offer(const GuestFacts& facts, HostId from, Generation by, Generation generation) const;
  const Claim* offered(const Assignment& assignment) const;
  void claim_incoming(const Assignment& assignment, Turn& turn);
  void arrive(GuestId guest, Work& work, Turn& turn);
  void check_arrived(GuestId guest, Work& work, Turn& turn);
  bool resume_again(GuestId guest, Work& work, Turn& turn);
  void end_lost(GuestId guest, const std::string& why, Turn& turn);
  StartAnswer may_arrive(GuestId guest, const std::string& name) const;
  bool arrives(const Work& work, HookOp op, Instant now) const;
  void write_claim(const Assignment& assignment, GuestEntry claim, Turn& turn);
  void advance(GuestId guest, Work& work, Turn& turn);
  void check(GuestId guest, Work& work, Turn& turn);
  void check_resumed(GuestId guest, Work& work, Turn& turn);
  void await_libvirt(GuestId guest, Work& work, Instant look_again, Turn& turn);
  void refuse(GuestId guest, Work& work, const std::string& reason, Turn& turn);
  void kill_before_refusal(GuestId guest, Ending& ending, Turn& turn);
  void withdraw_protection(GuestId guest, const std::string& reason, bool ended, Turn& turn);
  void refresh_record(const Assignment& assignment, const GuestFacts& facts);
  void take_record(const GuestEntry& newer);
  std::string objection(const Assignment& assignment, const GuestFacts* facts) const;
  void on_list(std::vector<ListedGuest> listed);
  bool start_listed(GuestId guest) const;
  void ask_to_list(GuestId guest, Work& work, bool claims, Turn& turn);
  void list_again(GuestId guest, Work& work, Instant next, Turn& turn);
  void keep_list(Turn& turn);
  void settle_listed(GuestId guest, Turn& turn);
  void drop_requests(Turn& turn);
  bool runs_for_certain(GuestId guest) const;
  void start(Work& work, Turn& turn);
  void finish_protect(GuestId guest, Turn& turn);
  void finish_start(GuestId guest, Work& work, const ActDone& done, Turn& turn);
  void settle(GuestId guest, GuestPhase phase, const std::string& reason, Turn& turn);
  void watch_over(Turn& turn);
  bool look_due(Instant now);
  void watch_guest(GuestId guest, const GuestFacts& facts, Turn& turn);
  void yield(GuestEntry& entry, const std::string& why, Turn& turn);
  void end_here(GuestId guest, const std::string& name, const std::string& why, Turn& turn);
  void clean_definition(GuestId guest, const GuestSeen& seen, const Claim& owner, Turn& turn);
  IsolationResponse response_of(const GuestEntry& entry) const {
    return entry.isolation.value_or(isolation_by_default_);
  }
  void respond(std::optional<Duration> isolated, Turn& turn);
  void begin_partings(Duration isolated, Turn& turn);
  void follow_table(Turn& turn);
  void advance(GuestId guest, Parting& parting, bool isolated, Turn& turn);
  void act_on_response(GuestId guest, Parting& parting, bool isolated, Turn& turn);
  void shut_down(GuestId guest, Parting& parting, ShuttingDown& step, Turn& turn);
  void kill(GuestId guest, Killing& step, Turn& turn);
  void on_parting_done(const ActDone& done, Turn& turn);
  void finish_parting(GuestId guest, const Parting& parting, const std::string& how, Turn& turn);
  Instant parting_deadline() const;
  bool asks(GuestId guest, const Request& request) const;
  void expire_requests(Turn& turn);
  void ask(GuestId guest, Request& request, Turn& turn);
  void update_wanted(const GuestSeen& seen, Turn& turn);
  const GuestEntry* entry(GuestId guest) const;
  GuestEntry* change_entry(GuestId guest);
  bool mine(const GuestEntry& entry) const { return entry.holder == me_.incarnation; }
  bool holds(const GuestEntry& entry) const {
    return entry.phase == GuestPhase::holding && mine(entry);
  }
  bool act_pending(GuestId guest, Instant now) const;
  void order(Act act, const GuestEntry& entry, Turn& turn);

  const Evidence& evidence_;
  Board& board_;
  const IsolationResponse isolation_by_default_;
  VolumeReady me_;
  Level rewritten_{kFirstLevel};  // the newest that the table was written anew for
  OwnCell<HostTable> cell_;
  bool loaded_{false};
  Instant table_read_from_;  // of the own table: earlier reads do not count
  bool load_failed_{false};
  bool gives_up_{false};  // give_all_up() has begun under this incarnation
  bool condemned_{false};
  bool hypervisor_ok_{false};
  std::map<GuestId, Work> works_;
  std::map<GuestId, Parting> partings_;
  RecoveryId isolation_;  // of all guests that are ended by one isolation
  std::map<GuestId, Request> protects_;  // and starts
  std::vector<std::pair<Ticket, std::uint64_t>> unprotects_;  // request, table revision
  std::map<GuestId, Stop> stops_;
  std::map<GuestId, Move> moves_;
  std::map<GuestId, ListedGuest> listed_;  // what the keeper has on its list, at least
  std::map<GuestId, Instant> killed_;  // by the ladder, or maybe so
  std::map<GuestId, GuestSeen> seen_;
  std::map<GuestId, Instant> acted_;  // kills and removals ordered, and when to try again
  // What watch_over() has looked at: it runs on every beat, and mostly nothing has changed.
  struct Looked {
    std::uint64_t board{0};
    std::uint64_t table{0};
    std::uint64_t libvirt{0};
    Instant again{Instant::never()};
  };
  Looked looked_;
  std::uint64_t libvirt_changes_{1};
};

}  // namespace wardom::core
