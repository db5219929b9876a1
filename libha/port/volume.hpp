// Port: the state volume as wardomd sees it, that is, through wardom-keeper.
//
// wardomd never opens the volume. The keeper reads and writes cells for it, chooses the A/B twin,
// checks CRCs and keeps one write in flight per cell. All calls return at once; answers come as
// events, each exactly once per ticket, from the adapter's thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "libha/core/ids.hpp"
#include "libha/core/records.hpp"
#include "libha/core/time.hpp"

namespace wardom::port {

// How a cell read ended. Only `valid` carries a payload. All but that and `empty` are unknown, and
// unknown is never dead.
enum class CellStatus : std::uint8_t {
  valid,       // the twin with the highest sequence passed every check
  empty,       // both twins are as the formatter left them
  damaged,     // no twin passes its CRC, or the newer twin is torn and nothing older is valid
  foreign,     // another volume's, region's or index's block stands here
  unreadable,  // the read failed or did not end in time
  unknown_version,  // its newest write is of a level that the keeper does not speak
};

struct CellRead {
  Cell cell;
  CellStatus status{CellStatus::unreadable};
  HostId writer;
  Incarnation incarnation;
  Sequence sequence;
  // The other twin is torn, damaged, foreign or unreadable, and may have been newer than this one:
  // where that matters, a `valid` cell with this flag counts as unknown.
  bool twin_damaged{false};
  std::vector<std::uint8_t> payload;
  std::string error;  // for people, empty when valid
  Level level{kFirstLevel};  // of the payload, where valid or of an unknown version
  Levels speaks;             // what its writer speaks, there as well
  DomainId domain;           // its writer's, there as well
};

struct ReadDone {
  Ticket ticket;
  std::vector<CellRead> cells;  // in the order asked
};

struct WriteDone {
  Ticket ticket;
  Cell cell;
  bool acknowledged{false};  // false: unknown whether it landed, or refused; see error
  Sequence sequence;         // of the acknowledged write
  std::string error;
};

// The keeper answered the daemon's greeting: who this host is on the volume.
struct VolumeReady {
  HostId self;
  Incarnation incarnation;
  DaemonEpoch epoch;
  Geometry geometry;
  std::vector<ListedGuest> listed;  // by this boot's daemons so far
  // The host may stay up when its lease ends (libha/doc/watchdog.md). Then no start may be under
  // way in libvirt that the keeper does not have on its list.
  bool stays_up{false};
  Level level{kFirstLevel};  // the highest one that the host's own cells were found in
};

// The keeper's heartbeat write was acknowledged.
struct HeartbeatDone {
  Sequence sequence;
  Instant submitted;  // CLOCK_MONOTONIC_RAW just before it was submitted
  LockVersion votes_under;  // as it states
};

// Whether the start is listed, and so may be made. Exactly one answer per list_start().
struct StartListed {
  Ticket ticket;
  GuestId guest;
  bool listed{false};
  std::string error;  // for people, where it is not
};

// What the host's own lease allows; comes after `ready` and with every acknowledged heartbeat. Both
// instants are this host's CLOCK_MONOTONIC_RAW. Whoever starts a guest or decides checks
// `now < act_until` before and after.
struct Rights {
  LeaseState lease{LeaseState::none};
  Instant act_until;   // t_s + T_F/2 of the newest acknowledged heartbeat; zero: not at all
  // Until when the host is certain to live: t_s + T_F, or by others' grants (core/outage.hpp).
  Instant feed_until;
  bool granted{false};  // it rests on those grants
  // The incarnation of which the keeper has recorded that it is released (core/records.hpp, Beat):
  // from then on it may be said, and nothing may be started or decided under it. None: no such
  // word.
  Incarnation released;
};

// No heartbeat has been acknowledged for T_F/4, and while that lasts: the keeper's note of this
// moment. Whoever is asked from now on, and grants, allows the host to live until T_F after it.
struct AskStamp {
  Instant at;
};

// What the keeper has for an operator: all that there is, after `ready` and when it changes.
struct KeeperTroubles {
  struct Trouble {
    std::string what;
    std::string remedy;
  };
  std::vector<Trouble> troubles;
};

// The connection to the keeper is gone, or the keeper cannot use the volume. Outstanding tickets
// are answered with `unreadable` / not acknowledged before this event. The adapter reconnects by
// itself, with back-off.
struct VolumeLost {
  std::string reason;
};

// What the daemon wants published with the next heartbeat.
struct SelfView {
  std::uint64_t progress{0};
  MemberSet sees_mgmt;
  MemberSet sees_storage;
  MemberSet sees_disk;
  Load load;
  std::vector<HostId> unasked;  // members that are not asked for grants, see extend()
  // The lowest lock version under which a vote of this host's for the quorum device may count, 0:
  // none does.
  // None: what the slot states stays, since an earlier daemon's vote may still count. What was
  // published last goes on being stated when the daemon is gone, by a later keeper as well.
  std::optional<LockVersion> votes_under;
  // This incarnation is released, and the own table, acknowledged, shows that it holds no guest:
  // the keeper may begin a new one. None: not so.
  Incarnation yielded;
  Level level{kFirstLevel};  // the domain's: from now on the slot is written in it
  Levels speaks;             // what the daemon speaks; the slot tells what keeper and daemon do
};

struct VolumeEvents {
  std::function<void(VolumeReady)> ready;
  std::function<void(ReadDone)> read_done;
  std::function<void(WriteDone)> write_done;
  std::function<void(HeartbeatDone)> heartbeat;
  std::function<void(VolumeLost)> lost;
  std::function<void(Rights)> rights;
  std::function<void(AskStamp)> ask_stamp;
  std::function<void(StartListed)> start_listed;
  std::function<void(KeeperTroubles)> troubles;
};

class Volume {
 public:
  // Reads cells, any host's. At most 256 cells in one call.
  virtual void read(Ticket ticket, std::vector<Cell> cells) = 0;
  // Writes the own host's ballot cell in its domain, its decision or its table cell. The keeper
  // refuses any other cell.
  virtual void write(Ticket ticket, Cell cell, std::vector<std::uint8_t> payload,
                     Level level) = 0;
  virtual void publish(const SelfView& view) = 0;

  // The list of guests that this host may be running: the keeper kills them when the lease ends,
  // and tells all hosts by the slot when an earlier daemon's start is not settled. It outlives
  // daemon and keeper.
  //
  // Before libvirt is asked to start the guest. Listed only on this daemon's connection and while
  // now < act_until; a guest that is listed already becomes one whose start is open.
  virtual void list_start(Ticket ticket, GuestId guest) = 0;
  // The start is settled and its outcome stands in the host's table: the guest is this host's.
  // Also whenever its process has changed. Lists it if it was not.
  virtual void settle_start(GuestId guest, const GuestProcess& process) = 0;
  // Settled, and no QEMU of it is left: it is not this host's (any more).
  virtual void unlist(GuestId guest) = 0;

  // Every member that may judge this host by its silence has granted, since `stamp` was handed out,
  // to time it anew: the window reaches to T_F after the stamp. The keeper takes that only for a
  // stamp of its own and a window that has not ended, and only where its newest heartbeats, as they
  // stand on the volume or may come to stand there, name every member of `unasked`.
  virtual void extend(Instant stamp, std::vector<HostId> unasked) = 0;

 protected:
  ~Volume() = default;  // not destroyed through the port
};

}  // namespace wardom::port
