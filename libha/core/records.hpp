// The records that hosts leave for one another: beats on the wire, cells on the state volume.
// Plain data; libha/wire turns them into bytes and back. Any thread.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libha/core/ids.hpp"
#include "libha/core/level.hpp"
#include "libha/core/time.hpp"

namespace wardom {

inline constexpr std::size_t kMaxDomainHosts = 128;  // CPG's fixed arrays (libcpg) set this limit
inline constexpr std::size_t kMaxGuestXmlBytes = 256 * 1024;
inline constexpr std::size_t kMaxGuestsPerHost = 1024;
inline constexpr std::size_t kMaxAssignments = 2048;  // standing in one domain at a time
inline constexpr std::size_t kMaxVerdicts = 512;
inline constexpr std::size_t kMaxUnasked = 8;  // dead hosts that a slot names; more: all are asked
inline constexpr std::size_t kMaxOperatorBytes = 100;  // who asked for something, for the record
inline constexpr std::uint64_t kMaxDisarmedMs = 24 * 3600 * 1000;  // longer: until somebody arms

enum class Link : std::uint8_t { mgmt = 0, storage = 1 };
inline constexpr std::size_t kLinks = 2;

// Bit i: the domain's i-th member, members sorted by host id.
using MemberSet = std::bitset<kMaxDomainHosts>;

// What a host has to give, for placement.
struct Load {
  std::uint32_t cpu_permille{0};       // busy share of all cores over the last seconds, 0..1000
  std::uint32_t cpus{0};
  std::uint64_t memory_total_mib{0};
  std::uint64_t memory_free_mib{0};    // MemAvailable
  friend bool operator==(const Load&, const Load&) = default;
};

// Who ballots for the next version of a domain's lock, as one of its sides knows it.
struct DirectoryWord {
  LockVersion version;      // the highest DECIDED one that is known; 0: none
  std::uint64_t digest{0};  // of that version's directory, directory_digest()
  friend bool operator==(const DirectoryWord&, const DirectoryWord&) = default;
};

// Two files name the same members, by what beats say of them.
constexpr bool same_members(std::uint64_t a, std::uint64_t b) { return (a ^ b) >> 32 == 0; }

// A BMC that some host has seen to read off beside signs of life, in this boot of its host. That
// says nothing about a later boot, and stands for as long as this one lasts, unless an operator
// calls the BMC mended; then it may be seen to lie once more. These turns are counted, so that the
// newest word holds in whatever order words come.
struct LyingBmc {
  HostId host;            // whose BMC it is; kNoHost: none
  std::uint64_t boot{0};  // the number of that incarnation
  std::uint16_t turn{1};  // odd: it lies; even: it is mended
  bool lies() const { return turn % 2 == 1; }
  friend bool operator==(const LyingBmc&, const LyingBmc&) = default;
};

// What a beat says to its one addressee alone.
struct BeatWord {
  HostId to;
  // The newest incarnation of the addressee that the sender knows, by its number; 0: none. Until a
  // verdict covers that one, the sender asks the addressee before it outlives its window.
  std::uint64_t knows{0};
  // A grant (core/outage.hpp): the sender has timed this life of the addressee anew since it had
  // the request. Zero: none.
  Incarnation granted_to;
  std::uint64_t granted{0};       // the request's own number
  DirectoryWord granted_under;
  friend bool operator==(const BeatWord&, const BeatWord&) = default;
};

// One heartbeat datagram. Sent to every other member on both links, and at once when
// decision_sequence or table_sequence has grown: that is the nudge "look at my block".
struct Beat {
  Level level{kFirstLevel};          // that it is written in: the domain's, as its sender knows it
  Levels speaks;                     // what the sender's wardomd speaks
  HostId from;
  Incarnation incarnation;
  DaemonEpoch epoch;
  Link link{Link::mgmt};
  Sequence sequence;                 // per (sender's daemon run, link); strictly grows
  std::uint64_t run{0};              // drawn at each daemon start; a new run resets `sequence`
  // Of the sender's wardom.toml: the upper half of who the members are, views need equality; the
  // lower half of the whole file.
  std::uint64_t config_digest{0};
  MemberSet sees_mgmt;               // whom the sender hears on each link, itself included
  MemberSet sees_storage;
  MemberSet sees_disk;               // whose slot moves, as read by the sender
  Sequence slot_sequence;            // newest acknowledged write of its own slot, 0: none
  Sequence decision_sequence;        // newest acknowledged write of its own decision cell
  Sequence ballot_sequence;          // newest acknowledged write of its own ballot cell
  Sequence table_sequence;           // newest acknowledged write of its own host table
  LockVersion given_up;              // the sender's life never acts under it again; 0: none
  bool volume_ok{false};             // own writes and reads complete in time
  bool hypervisor_ok{false};         // libvirt answers
  bool leaving{false};               // "I am going": an orderly stop of the daemon
  // "I stop, and may be back at once": an orderly stop that is no leaving, as in an upgrade.
  bool restarting{false};
  // The proof `released` (leases.md): the keeper has recorded that `incarnation` holds no guest,
  // that their I/O is drained, and that it will never start one again. Never taken back.
  bool released{false};
  Load load;
  // "My heartbeats are not acknowledged: who grants?" Its own number for that; 0: it does not
  // ask.
  std::uint64_t request{0};
  DirectoryWord request_under;
  // Of the sender's corosync, while Wardom is the quorum device there; zero: no such ring.
  RingId ring;
  // Outside that ring nobody casts the device's vote under an earlier version, nor ever will.
  LockVersion cleared;
  std::uint64_t device_digest{0};    // of what corosync.conf says of the device; 0: there is none
  // What the sender knows of it, where the leading decision does not say so yet. Several take
  // turns.
  LyingBmc lying_bmc;
  BeatWord word;                     // to this host; sent ones are made for each addressee
  friend bool operator==(const Beat&, const Beat&) = default;
};

// Cells of the state volume. Every cell is an A/B pair of extents and has exactly one writer.
enum class Region : std::uint8_t {
  superblock = 0,
  directory = 1,  // index: domain
  slot = 2,       // index: host
  ballot = 3,     // index: domain * hosts + host
  decision = 4,   // index: host
  table = 5,      // index: host
};

struct Cell {
  Region region{Region::slot};
  std::uint32_t index{0};
  friend auto operator<=>(const Cell&, const Cell&) = default;
};

// Life of a slot, as its own host states it. `released`: as in a beat.
enum class SlotState : std::uint8_t { joining = 0, up = 1, left = 2, released = 3 };

// The disk heartbeat. The keeper writes it; part of it comes from wardomd. The incarnation, the
// host and the sequence stand in the cell's header.
struct Slot {
  SlotState state{SlotState::joining};
  Bits128 boot_id;                // /proc/sys/kernel/random/boot_id
  Bits128 machine_id;             // /etc/machine-id
  Bits128 dmi_uuid;               // zero where the machine has none
  std::uint64_t raw_ns{0};        // CLOCK_MONOTONIC_RAW just before this write was submitted
  std::uint32_t t_f_ms{0};        // feed window; 0 with no_lease
  std::uint32_t w_ms{0};          // watchdog's measured worst time; 0: no lease is published
  std::uint64_t w_fingerprint{0};
  DaemonEpoch daemon_epoch;
  // A start that a daemon of an earlier epoch had listed is not settled: its claim still counts.
  bool start_listed{false};
  std::uint64_t daemon_progress{0};  // grows with wardomd's turns; 0: no daemon connected
  // A vote of this host's for the quorum device may count that it has cast under this lock version
  // or a later one (core/quorum_vote.hpp); 0: none does. Outlives daemon and keeper, as votes do.
  LockVersion votes_under;
  MemberSet sees_mgmt;
  MemberSet sees_storage;
  MemberSet sees_disk;
  Load load;
  // It may outlive its window by the grants of others (core/outage.hpp), so its silence proves
  // nothing to whoever is not asked for one; and of the directory, it asks all but these.
  bool rides_out{false};
  std::vector<HostId> unasked;    // at most kMaxUnasked
  // The change of the volume (VolumeUse) for which it writes nothing but this slot, and publishes
  // no lease; 0: none. `reaches`: and it can use the volume that this one is being moved to.
  std::uint64_t held{0};
  bool reaches{false};
  std::string host_name;          // for people; at most 64 bytes
  friend bool operator==(const Slot&, const Slot&) = default;
};

// Where a host stands with its own lease. `none`: no watchdog is fed, so no lease is published, and
// the host's silence proves nothing. `ending`: its protected guests are being killed. `ended`: the
// watchdog is fed no more. `released`: its guests are gone, it stays up, and its incarnation is
// over.
enum class LeaseState : std::uint8_t { none = 0, held = 1, ending = 2, ended = 3, released = 4 };

// Why acting is allowed. `none` never stands on the volume.
enum class Proof : std::uint8_t {
  none = 0, power_off = 1, lease_expired = 2, rebooted = 3, released = 4, operator_word = 5
};

// A stored, never-withdrawn statement about an incarnation: dead, with its proof.
struct Verdict {
  HostId host;
  Incarnation incarnation;
  Proof proof{Proof::none};
  LockVersion version;
  RecoveryId recovery;
  WallTime first_sign;
  WallTime judged;
  std::string detail;  // for people, at most 200 bytes
  friend bool operator==(const Verdict&, const Verdict&) = default;
};

enum class Cause : std::uint8_t {
  protect = 0, verdict = 1, retry = 2, operator_word = 3, yielded = 4, start = 5,
  migrate = 6  // `from` holds it, and hands it over live
};

// "Guest g, generation n, now belongs to host t." Sticky until t yields, refuses or is proved dead.
struct Assignment {
  GuestId guest;
  Generation generation;
  HostId target;
  Incarnation target_incarnation;
  DaemonEpoch target_epoch;
  LockVersion version;
  Cause cause{Cause::protect};
  HostId from;                   // whose table holds the guest's XML; kNoHost: the target's own
  Incarnation from_incarnation;
  // The claims that no longer count: (host, incarnation) of every earlier claim ended by a verdict,
  // a yield or a refusal known to the decider.
  struct Ended {
    HostId host;
    Incarnation incarnation;
    Generation generation;
    friend bool operator==(const Ended&, const Ended&) = default;
  };
  std::vector<Ended> ended;
  RecoveryId recovery;
  std::int32_t priority{0};
  friend bool operator==(const Assignment&, const Assignment&) = default;
};

// The domain observes and reports, and acts on nothing (`wardomctl disarm`). A duration, not a
// moment: every decider counts it down on its own clock and records what is left.
struct Disarmed {
  std::chrono::milliseconds left{0};  // 0: until somebody arms
  WallTime since;
  std::string by;  // for people, at most 100 bytes
  friend bool operator==(const Disarmed&, const Disarmed&) = default;
};

// What a host has decided while it was decider.
struct Decision {
  LockVersion version;
  std::vector<Verdict> verdicts;
  std::vector<Assignment> assignments;
  std::optional<Disarmed> disarmed{};  // none: armed
  // The split groups, each by host id, the deciding one first; empty: the domain is whole.
  std::vector<std::vector<HostId>> groups{};
  DomainId domain{};  // whose lock `version` is of
  std::vector<LyingBmc> lying_bmcs{};  // by host id, each host once; at most kMaxDomainHosts
  // That it is written in. The highest one of a domain's decisions is the domain's level.
  Level level{kFirstLevel};
  friend bool operator==(const Decision&, const Decision&) = default;
};

// One life of a host's wardomd: what may own the domain lock.
struct Owner {
  HostId host;  // kNoHost: nobody
  Incarnation incarnation;
  DaemonEpoch epoch;
  friend bool operator==(const Owner&, const Owner&) = default;
};

// One host that may ballot for a domain's lock.
struct Proposer {
  HostId host;
  bool guardian{false};     // of another domain
  std::uint8_t weight{1};   // 0..15
  friend bool operator==(const Proposer&, const Proposer&) = default;
};
inline constexpr std::size_t kMaxProposers = 128;
inline constexpr std::uint8_t kMaxProposerWeight = 15;

// Equal of two directories if and only if (but for chance) they have the same judges.
std::uint64_t directory_digest(const std::vector<Proposer>& directory);

// What a ballot decides: who owns the lock, and who ballots for the next version.
struct LockValue {
  Owner owner;
  std::vector<Proposer> directory;  // by host id
  friend bool operator==(const LockValue&, const LockValue&) = default;
};

// The payload of a ballot cell: what a host knows to be decided and, apart from it, the ballot that
// it takes part in. Neither is ever erased by the other.
struct Ballot {
  LockVersion decided;   // the highest known; 0: none
  LockValue value;       // of `decided`
  bool released{false};  // its owner has given the lock up
  LockVersion version;   // of the ballot; 0: none
  BallotNumber mbal;     // the highest number begun with
  BallotNumber bal;      // the number under which `input` was proposed; 0: none was
  LockValue input;
  friend bool operator==(const Ballot&, const Ballot&) = default;
};

// Where a guest stands on a host. The transitions stand in core/guest_life.hpp.
enum class GuestPhase : std::uint8_t {
  assigned = 0, claimed = 1, starting = 2, holding = 3, yielded = 4, refused = 5,
  claimed_incoming = 6
};

enum class Wanted : std::uint8_t { running = 0, stopped = 1 };

// What becomes of a guest whose host is cut off from those that decide (core/apart.hpp): it stays;
// it is asked to shut down, and killed when it does not; or it is killed at once. What was ended is
// yielded.
enum class IsolationResponse : std::uint8_t { leave = 0, shutdown = 1, kill = 2 };

// Who has a guest started and stopped: Wardom itself recovers it, or Pacemaker asks for each start.
enum class Manager : std::uint8_t { wardom = 0, pacemaker = 1 };

// A live migration, as the tables of both its hosts have it (core/moving.cpp).
//   holding, not done: it is to go to `other`, which claims it by `generation`
//   yielded, done: all of it has arrived there; it has not run here since, and never will
//   claimed_incoming: it comes from `other`, which holds it by `generation`; done: may be sent
struct HandOver {
  HostId other;
  Generation generation;
  bool done{false};
  friend bool operator==(const HandOver&, const HandOver&) = default;
};

// One protected guest in its host's table.
struct GuestEntry {
  GuestId guest;
  std::string name;               // libvirt's name, at most 255 bytes
  Generation generation;
  GuestPhase phase{GuestPhase::assigned};
  Incarnation holder;             // of the host that put the guest into this phase; a later
                                  // incarnation keeps the entry as history, and owns nothing by it
  DaemonEpoch epoch;              // of the daemon that claimed it
  Wanted wanted{Wanted::running};
  Manager manager{Manager::wardom};
  std::optional<IsolationResponse> isolation;  // none: as the holder's wardom.toml says
  // Its isolation response has begun, or, where it is wanted stopped, Pacemaker has it stopped: its
  // holder ends it and will yield it, come what may.
  bool parting{false};
  std::optional<HandOver> hand_over;
  std::int32_t priority{0};       // higher starts first; -1000..1000
  std::uint64_t memory_kib{0};
  std::uint32_t vcpus{0};
  LockVersion under;              // the lock version of the assignment it rests on
  RecoveryId recovery;            // zero unless it came here by a recovery
  WallTime since;                 // of the phase
  std::string reason;             // why refused or yielded, for people, at most 500 bytes
  std::vector<std::string> waived;  // host-local things that the operator accepted by name
  std::string xml;                // full libvirt XML, inactive, secrets included
  friend bool operator==(const GuestEntry&, const GuestEntry&) = default;
};

// A guest's QEMU. The number alone could be anybody's by now: with the start time (proc(5), stat,
// field 22) it names one process for the whole boot. All zero: unknown, or there is none.
struct GuestProcess {
  std::int32_t pid{0};
  std::uint64_t start_time{0};
  std::string cgroup;  // path below /sys/fs/cgroup; empty: unknown
  friend bool operator==(const GuestProcess&, const GuestProcess&) = default;
};

// A guest that this host may be running, as the keeper lists it for its ladder.
struct ListedGuest {
  GuestId guest;
  GuestProcess process;
  // The daemon that asked for its start; none: that start is settled.
  std::optional<DaemonEpoch> start;
  friend bool operator==(const ListedGuest&, const ListedGuest&) = default;
};

// Everything that a host owns or has claimed. The incarnation stands in the cell's header.
struct HostTable {
  std::vector<GuestEntry> guests;
  friend bool operator==(const HostTable&, const HostTable&) = default;
};

// What the formatter wrote, in the superblock.
struct Geometry {
  Bits128 volume_uuid;
  std::string cluster;            // cluster.name, at most 64 bytes
  std::uint32_t hosts{0};         // highest host id, 2..2000
  std::uint32_t domains{0};       // highest domain id, 1..250
  std::uint32_t decision_blocks{0};  // 4 KiB blocks of one decision extent
  std::uint32_t table_blocks{0};     // 4 KiB blocks of one table extent
  std::uint32_t t_f_ms{0};
  std::uint32_t w_ms{0};
  std::uint32_t l_late_ms{0};
  std::uint32_t l_late_after_off_ms{0};
  WallTime formatted;
  friend bool operator==(const Geometry&, const Geometry&) = default;
};
// Whether the volume may be used: an operator's tool that changes it as a whole says so in the
// superblocks (libha/disk/hold.hpp).
enum class VolumeUse : std::uint8_t {
  in_use,
  held,      // every host says so in its slot (Slot::held), and writes nothing else
  incoming,  // being filled with what another one holds: nobody begins with it
  moved,     // for good: another one has taken its place
};
struct VolumeState {
  VolumeUse use{VolumeUse::in_use};
  std::uint64_t change{0};  // which one; 0 only while in use
  // Of a move, the other volume: the old one names the new one, and an incoming one names the old
  // one. Empty: only the values of the superblock are changed. At most kMaxVolumePathBytes.
  std::string path;
  // Where the command runs that makes this change: its host, as `uname -n` says, and its boot.
  // Empty and zero while in use.
  std::string by;
  Bits128 boot_id;
  friend bool operator==(const VolumeState&, const VolumeState&) = default;
};
inline constexpr std::size_t kMaxVolumePathBytes = 200;

}  // namespace wardom
