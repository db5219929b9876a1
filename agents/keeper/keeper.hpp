// The keeper: one loop that beats, reads back, serves the daemon and never waits for the volume.
#pragma once

#include <atomic>
#include <list>
#include <map>
#include <memory>
#include <optional>

#include "agents/keeper/daemon_life.hpp"
#include "agents/keeper/daemon_server.hpp"
#include "agents/keeper/guest_register.hpp"
#include "agents/keeper/join.hpp"
#include "agents/keeper/lease.hpp"
#include "agents/keeper/log.hpp"
#include "agents/keeper/peer_process.hpp"
#include "agents/keeper/pulse.hpp"
#include "libha/disk/cell_store.hpp"
#include "libha/disk/lane.hpp"

namespace wardom::keeper {

inline constexpr Duration kJoinBackoffMin = std::chrono::milliseconds{250};
inline constexpr Duration kJoinBackoffMax = std::chrono::seconds{1};
// Heartbeats that fail for so long, with nothing in flight: open the volume anew (a FUSE or NFS
// mount that went away and came back leaves dead descriptors behind). With a short T_F after a
// quarter of it, well before guests are killed.
inline constexpr Duration kReopenAfter = std::chrono::seconds{5};
inline constexpr std::size_t kMaxReads = 64;  // of the daemon, at a time
inline constexpr std::size_t kMaxReadBacks = 2;

class Keeper {
 public:
  Keeper(Options options, Identity identity);
  // Until SIGTERM or SIGINT (0), or until the heartbeat may not be kept (1).
  int run();

 private:
  // Everything that exists only while the slot is ours.
  struct Running {
    // before: nothing that an earlier keeper had in flight then can land L_late later.
    // used: the sequences that this process has used before it opened the volume anew.
    Running(const Joined& joined, const Options& options, const Identity& identity,
            disk::Completions& completions, Instant before, const std::map<Cell, Sequence>& used);
    disk::InFlightList in_flight;
    disk::CellStore store;
    Incarnation incarnation;
    Level level;                // of the slot's payload; never falls
    Duration patience;          // T_F/4: for one I/O, and between two read-backs
    Instant next_beat;
    Instant next_read_back;
    std::size_t read_backs{0};  // in flight
    Pulse pulse;
    std::optional<Instant> ask_at;  // unless the heartbeat has ended by then
    bool overdue{false};        // a heartbeat's time has come, and it waits for an answer
    bool settling{false};       // cells that were in doubt are being read again
    Instant next_settle;        // not before
    Sequence found;             // newest in the slot at the join; ours are all above it
    Sequence acknowledged;      // newest heartbeat
    std::optional<Instant> failing_since;
    // As the superblocks say; while it is held, nothing but the slot is written.
    VolumeState state;
    bool may_serve{false};      // in use, as read after the first heartbeat was acknowledged
    bool asking{false};         // all superblocks are being read
    bool trying{false};         // the new volume is
    bool fresh{true};           // the incarnation was drawn for this join
    bool reaches{false};        // the new volume can be used
    std::optional<Instant> lost_since;  // no superblock can be found
    bool reopen{false};         // it is not this volume any more, or not in this shape
    Sequence stranger;          // of an earlier incarnation, seen once; may be a late write
    std::optional<Instant> contested_until;  // another owner was found; then stop
  };
  // What the own slot, and the volume's first superblock, say some time after a write.
  struct ReadBack {
    disk::CellExtents slot;
    disk::VolumeNow volume;
    Sequence acknowledged;  // when the read was submitted
    Instant issued;
  };
  struct Read {
    Session session;
    wire::ReadRequest request;
    std::size_t answered{0};
    Instant deadline;
    std::uint64_t number{0};
  };

  void open_signals();
  void take_signal();
  bool may_leave() const;
  void wait(Instant until);
  Instant next_deadline() const;
  void tick(Instant now);
  void look_at_run_dir(Instant now);
  void fatal(const std::string& why);

  void record_release(Instant now);
  bool over() const;
  bool begin_new_incarnation(Instant now);

  void begin_join(Instant now);
  void take(JoinResult result);
  void retry_join(const std::string& why);

  void beat(Instant now);
  void beaten(const disk::CellStore::Outcome& outcome, Instant submitted, LockVersion votes);
  void left(const disk::CellStore::Outcome& outcome);
  void beat_if_overdue();
  void ask_if_open(Instant now);
  void write_slot(const Slot& slot, disk::CellStore::Done done);
  void tell_heartbeat(Instant submitted, LockVersion votes);
  void read_back(Instant now);
  void look_at_slot();
  void take(const ReadBack& back);
  void judge_read_back(const ReadBack& back);
  void judge_foreign(const wire::Extent& extent);
  bool reopen_if_due(Instant now);
  void settle_doubts(Instant now);
  void take_settled(const std::vector<std::pair<Cell, disk::CellExtents>>& read, Instant issued);

  // keeper_hold.cpp
  void heed(const disk::VolumeNow& now, bool after_first_beat);
  void heed_own(const wire::Extent& extent);
  void read_superblocks(bool after_first_beat);
  void take(const disk::Superblocks& found, bool after_first_beat);
  void lost(const disk::VolumeError& error);
  void take_moved(const VolumeState& moved);
  void take(VolumeState state);
  void try_new_volume();
  bool held() const { return running_->state.use != VolumeUse::in_use; }
  bool holds() const;
  void hold(Slot& slot) const;
  void held_acknowledged(std::uint64_t change, Instant now);

  wire::ReadyMessage ready() const;
  wire::KeeperMessage hello(const wire::Hello& hello, std::int32_t pid);
  void tell_rights(Session session);
  std::vector<wire::KeeperTrouble> troubles() const;
  void tell_troubles(Session session);
  void watch_daemon(Instant now);
  void keep_daemon();
  bool own_writes_settled() const;
  void take(Session session, wire::DaemonMessage message);
  void start_read(Session session, wire::ReadRequest request);
  void take_read(std::uint64_t number, std::vector<wire::CellView> cells);
  void expire_reads(Instant now);
  void start_write(Session session, wire::WriteRequest request);
  void list_start(Session session, const wire::ListStartRequest& request);
  void note_list(const Result<void>& kept);

  Options options_;
  std::string configured_path_{options_.volume_path};  // and where it was moved to since: options_
  Identity identity_;
  Instant opened_{disk::raw_now()};  // began to open the volume, this time
  std::map<Cell, Sequence> used_;    // sequences, until it was opened anew
  disk::Completions completions_;
  // Two heartbeat threads, one per twin, so that a stuck write leaves the other. The daemon's three
  // cells have six extents, and so six threads.
  disk::Lane beats_{"heartbeat", 2, 4};
  // One read-back may be stuck while another asks whether the storage answers.
  disk::Lane read_backs_{"read-back", kMaxReadBacks, kMaxReadBacks};
  disk::Lane writes_{"write", 6, 64};
  disk::Lane reads_{"read", 3, kMaxReads};
  disk::Lane joins_{"join", 1, 2};
  disk::Lane tries_{"new-volume", 1, 1};  // may hang without harm
  Lease lease_;
  DaemonServer server_;
  int signals_{-1};
  std::optional<int> exit_code_;
  std::optional<Instant> leaving_until_;  // by then the slot says `left`, or it stays as it is

  std::atomic<bool> stop_{false};  // read by the joining thread
  bool joining_{false};
  std::string not_running_why_{"joining the volume"};
  Instant next_join_;
  Duration join_backoff_{kJoinBackoffMin};
  // A new incarnation is to begin as soon as no I/O is under way, and by then.
  std::optional<Instant> renew_;
  bool stays_up_{false};  // watchdog.stay_up counts for this incarnation
  std::unique_ptr<Running> running_;
  std::optional<wire::ReadyMessage> told_;  // what the connected daemon believes

  DaemonLife daemon_;
  PeerProcess daemon_process_;
  GuestRegister guests_;
  DaemonLife::Record kept_daemon_;
  std::optional<wire::RightsMessage> told_rights_;
  std::vector<wire::KeeperTrouble> told_troubles_;
  bool run_dir_emptied_{false};  // this boot's incarnation stands there no more
  Instant next_run_dir_look_{};
  wire::PublishRequest view_;  // of the connected daemon; all zero without one
  // What the last daemon spoke, also an earlier keeper's; none: nobody knows of one.
  std::optional<Levels> daemon_speaks_;
  // What the slot states of the quorum device's vote; none: the volume was not joined yet.
  std::optional<LockVersion> votes_under_;
  std::list<Read> open_reads_;
  std::uint64_t last_read_{0};
  LastingTrouble join_trouble_, beat_trouble_, read_back_trouble_, list_trouble_, settle_trouble_,
      release_trouble_, reach_trouble_, moved_trouble_;
};

}  // namespace wardom::keeper
