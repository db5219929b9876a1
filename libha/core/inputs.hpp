// What reaches the core, and what it orders. Data only.
//
// Member::step(input, now) and Member::tick(now) return Orders. The runtime carries the orders of
// one turn out in the order of the fields of `Orders`; an order that depends on another is given
// only after the input that confirms the first.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "libha/core/ids.hpp"
#include "libha/core/quorum_device.hpp"
#include "libha/core/records.hpp"
#include "libha/core/time.hpp"

namespace wardom::core {

// The loop's single clock read of a turn.
struct Now {
  Instant at;
  WallTime wall;
};

// ---- inputs -------------------------------------------------------------------------------------

struct VolumeReady {
  Incarnation incarnation;
  DaemonEpoch epoch;
  Duration late_writes{std::chrono::seconds{10}};  // L_late of this volume
  Duration late_writes_after_off{0};               // L_late_after_off
  std::vector<ListedGuest> listed;                 // as the keeper has it
  std::uint32_t ballot_base{0};  // a host's ballot cell in this domain has index base + host
  std::uint16_t volume_hosts{0};  // host ids that the volume has room for: 1 to this
  bool stays_up{false};           // port::VolumeReady
  Level level{kFirstLevel};       // port::VolumeReady
};
struct VolumeLost {
  std::string reason;
};
// The keeper's own heartbeat was acknowledged.
struct OwnHeartbeat {
  Sequence sequence;
  LockVersion votes_under;  // as it states
};

// What the host's own lease allows: while now < act_until it may decide and start guests.
struct Rights {
  LeaseState lease{LeaseState::none};
  Instant act_until;
  Instant feed_until;
  bool granted{false};   // the window rests on others' grants, and not on a heartbeat
  Incarnation released;  // recorded as released by the keeper; none: no such word
};
// No heartbeat was acknowledged for a while: the keeper's note of the time, to ask others with.
struct AskStamp {
  Instant at;
};
// The keeper's answer to a ListStart.
struct StartListed {
  Ticket ticket;
  GuestId guest;
  bool listed{false};
  std::string error;
};

enum class CellHealth : std::uint8_t {
  valid, empty, damaged, foreign, unreadable, unknown_version
};

using CellContent = std::variant<std::monostate, Slot, Decision, HostTable, Ballot>;

struct CellSeen {
  Cell cell;
  CellHealth health{CellHealth::unreadable};
  HostId writer;
  Incarnation incarnation;
  Sequence sequence;
  CellContent content;  // set when valid
  std::string error;
  // The other extent cannot be judged, and may have been newer than this one.
  bool twin_damaged{false};
  Level level{kFirstLevel};  // where valid or of an unknown version
  Levels speaks;             // what its writer speaks, there as well
  DomainId domain;           // its writer's, there as well
};
struct CellsRead {
  Ticket ticket;
  std::vector<CellSeen> cells;
};
struct CellWritten {
  Ticket ticket;
  Cell cell;
  bool acknowledged{false};
  Sequence sequence;
  std::string error;
};

struct BeatSeen {
  Beat beat;
};

// A beat for this host, by the cluster's key, of a level that this host does not speak.
struct OtherLevel {
  HostId from;
  Level level;
  Levels speaks;
};

enum class Power : std::uint8_t { unknown, on, off };
struct PowerSeen {
  Ticket ticket;
  HostId host;
  Power power{Power::unknown};
  std::string error;
};
struct PowerOffTaken {
  Ticket ticket;
  HostId host;
  bool accepted{false};
  std::string error;
  bool sent{true};  // to the BMC
};

struct RingMembers {
  std::vector<HostId> daemons;
  std::vector<HostId> gone_process;
  std::vector<HostId> gone_host;
};
struct RingQuorum {
  bool quorate{false};
  std::vector<HostId> nodes;
};
struct RingLost {
  std::string reason;
};

// Guests as libvirt reports them.
enum class Running : std::uint8_t { no, yes, paused, io_error, unknown };
enum class Stopped : std::uint8_t { none, by_guest, by_admin, by_host, failed, migrated, saved };
struct GuestSeen {
  GuestId guest;
  std::string name;
  Running running{Running::unknown};
  Stopped stopped{Stopped::none};
  bool defined{false};
  GuestProcess process{};
};
struct HypervisorUp {
  std::vector<GuestSeen> guests;
};
struct HypervisorDown {
  std::string reason;
};
struct GuestDefinition {
  GuestId guest;
  std::string name;
  std::string xml;  // empty: the definition was removed
  std::uint64_t memory_kib{0};
  std::uint32_t vcpus{0};
};
enum class Act : std::uint8_t {
  define, start, shutdown, kill, undefine, mark, unmark, migrate, abort_migration, resume
};
struct ActDone {
  Ticket ticket;
  Act act{Act::start};
  GuestId guest;
  bool ok{false};
  bool settled{true};
  Running running{Running::unknown};
  Stopped stopped{Stopped::none};  // after migrate and abort_migration
  std::string error;
};

// A local operator's request, already checked by the runtime (XML, host-local things).
struct Protect {
  Ticket request;
  GuestEntry entry;  // guest, name, xml, memory, vcpus, priority, waived, wanted
};
struct Unprotect {
  Ticket request;
  GuestId guest;
};

// What Pacemaker wants of this host with a guest that it manages (ocf:wardom:Guest). Answered once
// the outcome stands on the volume; as failed when `patience` is over, and then nothing is taken
// back: the next word about that guest says what is to become of it.
struct StartGuest {
  Ticket request;
  GuestEntry entry;  // as in Protect; no xml: as it is recorded
  Duration patience{};
};
struct StopGuest {
  Ticket request;
  GuestId guest;
  std::string name;
  Duration shutdown{};  // the guest's own time to shut down, before it is killed
  Duration patience{};
};

// The running guest of this host is to go on on that host (core/moving.cpp). Answered once it runs
// there; as failed where it stays here, or when `patience` is over.
struct MigrateGuest {
  Ticket request;
  GuestId guest;
  HostId to;
  Duration patience{};
};

// What libvirt asks its hook before a guest comes to life here, in this order: `migrate` only for
// one that arrives, then `prepare` and `start`; `restore` for one from a file.
enum class HookOp : std::uint8_t { migrate, restore, prepare, start };

// libvirt has asked this of a protected guest, and was told that it may.
struct HookAllowed {
  GuestId guest;
  HookOp op{};
};

// A message of another member's daemon that came over the ring (hints and requests).
// "Decider: give me this guest, I hold it and it is to be protected", or "it is to start here".
struct PleaseAssign {
  HostId from;
  Incarnation incarnation;
  DaemonEpoch epoch;
  GuestId guest;
  std::int32_t priority{0};
  bool start{false};
  HostId to{kNoHost};  // "I hold it, and it is to go there, live"
};

// An operator's word to the whole domain. A daemon takes it from its own socket and carries it to
// the others over the ring; the decider acts on it and answers.
enum class Wish : std::uint8_t {
  confirm_dead = 0,
  arm = 1,
  disarm = 2,
  trust_bmc = 3,
  fence = 4,               // this host is to be powered off, whatever it does (core/fencing.hpp)
  fence_unless_split = 5,  // the same, while it does not live in another split group
};
struct OperatorAsk {
  HostId from;     // whose daemon took it
  Ticket request;  // of that daemon
  Wish wish{Wish::confirm_dead};
  // confirm_dead: this incarnation of this host was seen off; trust_bmc: this host's BMC is mended.
  HostId host;
  Incarnation incarnation;
  // disarm: how long, 0: until somebody arms. fence: for how long its asker waits.
  std::chrono::milliseconds time{0};
  std::string by;                     // for the record, at most 100 bytes
};
struct OperatorAnswer {
  HostId to;
  Ticket request;
  int exit_code{0};  // 0: done
  std::string text;  // why not, or how
};

// This daemon is about to be stopped in good order.
struct Leaving {
  bool machine_stops{false};  // and corosync with it: its vote is withdrawn before that
};

using Input =
    std::variant<VolumeReady, VolumeLost, OwnHeartbeat, Rights, AskStamp, StartListed, CellsRead,
                 CellWritten, BeatSeen, OtherLevel, PowerSeen, PowerOffTaken, RingMembers,
                 RingQuorum, RingLost, GuestSeen, HypervisorUp, HypervisorDown, GuestDefinition,
                 ActDone, Protect, Unprotect, StartGuest, StopGuest, MigrateGuest, HookAllowed,
                 PleaseAssign, Load, OperatorAsk, OperatorAnswer, DeviceSet, DeviceLost,
                 RingFormed, VoteTaken, Leaving>;

// ---- orders -------------------------------------------------------------------------------------

struct WriteBallot {
  Ticket ticket;
  Ballot ballot;
};
struct WriteDecision {
  Ticket ticket;
  Decision decision;
};
struct WriteTable {
  Ticket ticket;
  HostTable table;
};
struct ReadCells {
  Ticket ticket;
  std::vector<Cell> cells;
};
struct AskPower {
  Ticket ticket;
  HostId host;
};
struct SwitchOff {
  Ticket ticket;
  HostId host;
  std::string why;
};
// The keeper's guest list, port/volume.hpp.
struct ListStart {
  Ticket ticket;
  GuestId guest;
};
struct SettleStart {
  GuestId guest;
  GuestProcess process;
};
struct GuestAct {
  Ticket ticket;
  Act act{Act::start};
  GuestId guest;
  std::string name;
  std::string xml;  // define, start
  Generation generation;  // mark
  HostId to{kNoHost};     // migrate
};
struct Publish {
  MemberSet sees_mgmt;
  MemberSet sees_storage;
  MemberSet sees_disk;
  Load load;
  std::vector<HostId> unasked;  // core/outage.hpp
  std::optional<LockVersion> votes_under;  // port/volume.hpp, SelfView
  Incarnation yielded;                     // port/volume.hpp, SelfView
  Level level{kFirstLevel};                // port/volume.hpp, SelfView
  Levels speaks;
};
// Every host that has to has granted since the keeper noted `stamp`.
struct Extend {
  Instant stamp;
  std::vector<HostId> unasked;  // members that were not asked
};

enum class Severity : std::uint8_t { debug, info, notice, warning, error };

// One fact for people: into the log, into `why` of the host or guest, and, with a recovery, into
// the timeline.
struct Note {
  Severity severity{Severity::info};
  std::string source;  // beats, disk, power, ring, judge, decider, target, libvirt, operator
  HostId host;         // kNoHost: about no host
  GuestId guest;       // zero: about no guest
  RecoveryId recovery; // zero: part of no recovery
  std::string step;    // timeline step name, empty: not a step
  std::string text;
  WallTime at{};       // zero: now
};
struct Reply {
  Ticket request;
  bool ok{false};
  int exit_code{0};
  std::string text;  // why not, or how
};

// Carried out in the order of the fields.
struct Orders {
  std::vector<WriteBallot> ballots;
  std::vector<WriteDecision> decisions;
  std::vector<WriteTable> tables;
  std::vector<Beat> beats;  // the newest content; the runtime sends it to all members on both links
  std::vector<BeatWord> words;  // to each addressee of those beats
  std::vector<Publish> publish;
  std::vector<Extend> extends;
  std::vector<Vote> votes;
  std::vector<SwitchOff> switch_off;
  std::vector<AskPower> ask_power;
  std::vector<ReadCells> reads;
  std::vector<ListStart> list_starts;
  std::vector<SettleStart> settle_starts;
  std::vector<GuestId> unlist;
  std::vector<GuestAct> acts;
  std::vector<PleaseAssign> asks;
  std::vector<OperatorAsk> operator_asks;
  std::vector<OperatorAnswer> operator_answers;
  std::vector<Note> notes;
  std::vector<Reply> replies;

  // The fields in their order, for what concerns all of them alike.
  template <class Visit>
  void each(Visit visit) {
    visit(ballots);
    visit(decisions);
    visit(tables);
    visit(beats);
    visit(words);
    visit(publish);
    visit(extends);
    visit(votes);
    visit(switch_off);
    visit(ask_power);
    visit(reads);
    visit(list_starts);
    visit(settle_starts);
    visit(unlist);
    visit(acts);
    visit(asks);
    visit(operator_asks);
    visit(operator_answers);
    visit(notes);
    visit(replies);
  }
  bool empty() {
    bool none = true;
    each([&](const auto& list) { none = none && list.empty(); });
    return none;
  }
  // Keeps the room: most turns order nothing, the others much the same.
  void clear() {
    each([](auto& list) { list.clear(); });
  }
};

}  // namespace wardom::core
