// A simulated domain: hosts with the real loop, core and wire; ports, machines, time are made up.
// One thread. The truth lives here; the checker looks at nothing else.
#pragma once

#include <bitset>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "agents/keeper/ladder.hpp"
#include "agents/keeper/pulse.hpp"
#include "agents/keeper/ride.hpp"
#include "libha/disk/twin_writer.hpp"
#include "libha/runtime/loop.hpp"
#include "libha/wire/level.hpp"
#include "test/sim/barriers.hpp"
#include "test/sim/clockwork.hpp"
#include "test/sim/volume.hpp"

namespace wardom::sim {

// Deliberately wrong variants: what the core is told is bent, so that one of its barriers is gone.
enum class Planted : std::uint8_t {
  none,
  one_off_suffices,      // every reading after the first "off" is a copy of it
  unknown_is_off,        // a BMC that does not answer reads "off"
  slot_silence_ignored,  // slots are shown as they stood at first
  distrust_ignored,      // an "off" beside a life sign is hidden
  claims_ignored,        // claims of other living hosts are hidden
  late_writes,           // writes are acknowledged long before they land
  refusal_unsettled,     // a kill is answered before the start under way has ended
  window_ignored,        // the feeding thread feeds beyond the window's end
  watchdog_slower,       // than the slot says
  yield_unsettled,       // a kill is answered before the QEMU has ended
  late_writes_forgotten, // the volume says that nothing lands late
  not_read_again,        // tables are taken as they were read before the faults
  failures_forgotten,    // a write that ended in an error counts as one that cannot land
  heartbeat_waits,       // the next heartbeat waits for one that does not end, for T_F/2
  window_from_ack,       // the window counts from a heartbeat's acknowledgement
  timeouts_forgotten,    // a write that was given up counts as one that cannot land
  keeper_forgets,        // a keeper that starts again knows of no ballot in flight
  one_pair_for_two,      // another domain's lock ballots in the same pair
  no_latch,              // a window that has ended is extended by the next acknowledgement
  others_unseen,         // the rest: a rule of the core is left out (barriers.hpp)
  acts_until_released,
  takeover_unproved,
  silence_to_now,
  d_too_short,
  acts_too_late,
  left_expires,
  lease_with_suspend,    // a host that may be suspended publishes a lease
  decides_blind,         // decides without reading
  own_proposal_zeroed,
  proposals_unread,
  boot_waits_for_nothing,  // a keeper does not wait for what an earlier boot had in flight
  granted_untimed,       // a grant is given, and the asker not timed anew
  heard_asked,           // only members that are heard must grant
  extended_from_answer,  // a window is lengthened from the grants' arrival on
  vote_unwaited,         // casts the quorum device's vote while others may still cast it
  vote_by_old_read,      // casts it by what it read long ago
  released_early,        // the ladder says that its guests are gone, and has not killed them
  released_unrecorded,   // it is said before it is recorded
  unyielded,             // a new incarnation begins before the guests of the old one are yielded
  lies_untold,           // that a BMC lies is known only to the daemon that saw it
  guests_to_strangers,   // a host that not all files name is given guests
  moved_unheld,          // the volume is moved though not every host holds
  rests_unsaid,          // a lease rests before the slot says that there is none
  stop_unrecorded,       // Pacemaker is told of a stop before the volume says so
  start_unwaited,        // Pacemaker's start does not wait for what may still land
  sent_untrue,           // a guest is yielded as sent whatever libvirt said
  arrival_unyielded,     // what has arrived is run once its source is dead
};
inline constexpr int kPlanted = 48;
const char* to_text(Planted planted);

enum class FaultKind : std::uint8_t {
  power_cut, pull, reset, hang, daemon_kill, daemon_hang, keeper_kill, libvirt_restart,
  libvirt_away, corosync_down, cut_all, cut_out, cut_in, cut_mgmt, cut_storage, cut_pair, lossy,
  storage_stall, storage_slow, volume_outage, bmc_unreachable, bmc_slow, bmc_deaf, bmc_lie,
  bmc_glitch, start_fails, start_open, start_slow, admin_start, admin_shutdown, redefine,
  unprotect, protect, cell_damaged, acks_lost, io_errors,
  // drawn apart from the others, or only asked for
  answers_held, leave, suspend, reads_fail, volume_flaps, bmc_lies_for,
  volume_move, fence
};

// A fault that a schedule must contain: so long after its beginning.
struct Focus {
  FaultKind kind{FaultKind::hang};
  Duration after{0};
  Duration lasts{0};
  bool everywhere{false};  // on every host, else on the victim
  std::optional<std::size_t> host{};  // on this one, whoever the victim is
};

// Ballot cells of domain 1 lie behind as many as the geometry has hosts.
inline constexpr std::uint32_t kBallotBase = 64;

wire::Key beat_key();

struct Violation {
  int exit_code{0};  // 127 crash, 128 liveness, 129 safety
  std::string what;
};

struct GuestTruth {
  GuestId id;
  std::string name;
  bool is_protected{false};
  bool wanted{true};          // not shut down by its administrator
  std::uint32_t version{1};   // of the definition
  std::optional<IsolationResponse> isolation;
  bool managed{false};        // by Pacemaker
  Time answer_due{0};         // to its newest order
};

struct Domain;

struct Qemu {
  std::uint32_t version{0};
  std::uint64_t number{0};  // of all that ever ran
};

// A guest that is being sent live, at its source.
struct Sending {
  std::uint64_t job{0};
  std::optional<Qemu> stopped{};  // for the last of its memory, and not known yet to be done
  std::function<void(bool, const char*)> answer;
};
// And at its destination, paused.
struct Arrival {
  std::uint64_t number{0};  // of the QEMU that it comes from
  std::uint64_t job{0};
  std::uint32_t version{0};
  bool whole{false};
};

// One own cell of a host, in the hands of its keeper.
struct Care {
  using Done = std::function<void(bool, Sequence)>;  // no sequence: was not submitted
  struct Job {
    std::vector<std::uint8_t> payload;
    Done done;
    Level level;
  };
  disk::TwinWriter writer{Duration{0}};
  Done done;  // of the awaited write
  std::optional<wire::Twin> awaited;
  std::map<Sequence, Done> overtaken;  // heartbeats that were given up
  std::deque<Job> waiting;
};

// A line of /run/wardom/in-flight.
struct InFlight {
  Sequence sequence;
  std::optional<Instant> until;
};

inline constexpr std::size_t kMaxHosts = 40;
using Places = std::bitset<kMaxHosts>;  // of hosts, by index

// What a wardom.toml says of the domain: who its members are, and which of their links are on new
// addresses.
struct HostsFile {
  Places members = Places{}.set();
  std::array<Places, kLinks> moved{};
  friend bool operator==(const HostsFile&, const HostsFile&) = default;
};
struct Host;

// The hands of one host's loop.
struct Hands final : port::Volume,
                     port::Beats,
                     port::Power,
                     port::Ring,
                     port::Hypervisor,
                     port::QuorumDevice {
  Hands(Domain& d, Host& h) : domain(d), host(h) {}
  virtual ~Hands() = default;
  void read(Ticket ticket, std::vector<Cell> cells) override;
  void write(Ticket ticket, Cell cell, std::vector<std::uint8_t> payload, Level level) override;
  void publish(const port::SelfView& view) override;
  void list_start(Ticket ticket, GuestId guest) override;
  void settle_start(GuestId guest, const GuestProcess& process) override;
  void unlist(GuestId guest) override;
  void extend(Instant stamp, std::vector<HostId> unasked) override;
  void send(HostId to, Link link, std::span<const std::uint8_t> bytes) override;
  void ask(Ticket ticket, HostId host) override;
  void power_off(Ticket ticket, HostId host) override;
  bool send(std::vector<std::uint8_t> bytes) override;
  void define(Ticket ticket, GuestId guest, std::string xml) override;
  void start(Ticket ticket, GuestId guest, std::string xml) override;
  void shutdown(Ticket ticket, GuestId guest) override;
  void kill(Ticket ticket, GuestId guest) override;
  void undefine(Ticket ticket, GuestId guest) override;
  void describe(Ticket ticket, std::string name) override;
  void mark(Ticket ticket, GuestId guest, Generation generation) override;
  void unmark(Ticket ticket, GuestId guest) override;
  void migrate(Ticket ticket, GuestId guest, HostId to) override;
  void abort_migration(Ticket ticket, GuestId guest) override;
  void resume(Ticket ticket, GuestId guest) override;
  void vote(const core::Vote& vote) override;
  Domain& domain;
  Host& host;
};

struct Bmc {
  bool powered{true};     // has standby power
  bool reachable{true};
  bool lies_off{false};
  Places lies_to{Places{}.set()};  // whom it tells so
  int false_offs{0};      // so many readings are wrong
  bool deaf{false};       // takes power-offs and does nothing
  Time heard{0};          // when it has answered anybody last
  Time speaks_again{-ms(60000)};  // when that was after a long silence
  Duration latency{ms(5)};
  Duration off_delay{ms(200)};
  std::optional<Time> first_off;  // for Planted::one_off_suffices
};

// A hardware watchdog. It bites so long after the last feed: not later than W, often sooner.
struct Dog {
  bool armed{false};
  Time fed{0};
  Duration bites_after{0};
};

// votequorum on one host, with Wardom as its device (votequorum_qdevice_register(3)).
struct Votequorum {
  std::uint64_t device_of{0};  // the life of the daemon whose adapter is connected
  bool registered{false};      // outlives that daemon
  bool alive{false};           // polled lately: a new ring waits for the next poll
  bool cast{false};            // as polled last, until it is forgotten
  LockVersion under;           // which that vote was cast under
  RingId ring;
  bool syncing{false};
  bool quorate{false};         // as told last
  std::uint64_t timer{0};      // of the newest wait
};
// The simulated corosync.conf.
inline constexpr Duration kDeviceTimeout = ms(4000);
inline constexpr Duration kSyncTimeout = ms(4000);

struct Host {
  HostId id;
  std::size_t index{0};
  // machine
  bool powered{false};
  bool frozen{false};
  std::uint64_t life{0};  // grows with each power change; events of older lives are void
  std::uint64_t ended_life{0};
  Time late_until{0};     // writes of the life that ended last may land until then
  Time booted{0};
  std::int64_t clock_ppm{0};
  std::int64_t wall_off_ms{0};  // of its wall clock
  Incarnation incarnation;
  bool joined{false};
  std::vector<std::function<void()>> deferred;  // while frozen
  std::deque<std::pair<std::uint64_t, runtime::Arrival>> libvirt_words;  // each to a daemon's life
  std::map<GuestId, Qemu> qemus;
  std::map<GuestId, std::uint32_t> definitions;
  std::map<GuestId, Sending> sending;
  std::map<GuestId, Arrival> arrivals;
  std::set<GuestId> migrated;  // why they are off here
  bool has_qemu(GuestId guest) const { return qemus.contains(guest) || arrivals.contains(guest); }
  // storage as seen from here
  bool storage_ok{true};
  Duration storage_slow{0};
  std::uint64_t acks_lost{1};  // permille
  bool reads_fail{false};      // of the daemon; heartbeats go on
  bool io_errors{false};       // every request ends in an error; a write may land all the same
  Time answers_held{0};        // writes land, and nothing is answered before
  std::vector<std::function<void()>> stalled;  // I/O waiting for the storage path
  // keeper
  bool keeper_up{false};
  // What its programs speak, from their next start on: of the release that is installed.
  Levels speaks{kFirstLevel, wire::spoken_levels().newest};
  Level level{kFirstLevel};  // of its slot's payload
  std::uint64_t keeper_life{0};
  std::map<Region, Care> cares;
  std::set<std::pair<Region, Sequence>> forgotten;  // Planted::timeouts_forgotten
  int flying{0};               // writes that have not ended
  std::map<std::pair<Region, int>, InFlight> in_flight;  // by extent, over keepers of one boot
  std::optional<keeper::Pulse> pulse;
  bool overdue{false};         // a heartbeat waits for an answer
  int looks{0};                // reads of the own slot under way
  Sequence beaten;             // newest acknowledged heartbeat of this keeper
  Time may_decide_until{0};    // by the newest acknowledged heartbeat of this boot
  port::SelfView view;
  LockVersion votes_under;     // as the slot states it; of this boot, over all its keepers
  std::optional<keeper::Ladder> ladder;  // of this boot, over all its keepers
  std::optional<keeper::Ride> ride;      // of this keeper
  struct Request {  // its daemon's newest one, as beats have carried it; for planted bugs
    Incarnation incarnation;
    std::uint64_t number{0};
    DirectoryWord under;
  };
  Request request;
  std::map<std::size_t, std::uint64_t> grants;  // and who has granted what
  std::optional<Incarnation> released;   // as its run directory says
  std::optional<Incarnation> quiet;      // none of its guests is left, as an earlier keeper saw too
  std::set<Incarnation> earlier;         // of this boot, all of them over
  bool renew{false};                     // a new incarnation is due
  bool renewed{false};                   // and was drawn for the next keeper
  Dog dog;
  std::map<GuestId, ListedGuest> listed;
  VolumeState hold;                   // as it has read in the superblocks
  std::uint64_t on_volume{0};         // which of Domain::volumes it has open
  bool may_serve{false};              // its daemon; as read after the first heartbeat
  bool fresh{true};                   // its keeper drew the incarnation
  DaemonEpoch epoch;                  // of this boot's daemons, over its keepers
  std::uint64_t greeted{0};           // the life of the daemon that has this epoch; 0: none has
  bool suspended{false};
  bool leaving{false};                // no heartbeat follows
  Time suspended_at{0};
  std::optional<Time> last_read_done;
  // daemon
  HostsFile file;     // as it lies on this host's disk
  HostsFile running;  // as its daemon has read it
  std::unique_ptr<Hands> hands;
  std::unique_ptr<runtime::Loop> loop;
  std::uint64_t daemon_life{0};
  bool daemon_hung{false};
  bool volume_told{false};
  std::vector<runtime::Arrival> inbox;
  Time busy_till{0};                // the loop takes nothing new before
  Time turn_at{Time::max()};        // when it has to run next
  int restless{0};  // turns in a row after which the next was due at once
  Time timer_at{Time::max()};       // the earliest event that looks after turn_at
  Duration last_now{0};
  std::map<std::uint64_t, std::pair<GuestId, bool>> replies;  // tickets of operators' requests
  struct FencingAsked {
    std::size_t victim{0};
    std::uint64_t life{0};  // of the victim, then
    bool switches_on{false};
  };
  std::map<std::uint64_t, FencingAsked> fencings;  // by ticket
  std::map<std::uint64_t, std::pair<GuestId, bool>> orders;   // of Pacemaker's; starts, or stops
  std::map<std::uint64_t, std::pair<GuestId, std::size_t>> moves;  // live; to which host
  // corosync
  bool corosync_up{true};
  Places ring;  // nodes as told last
  Places ring_pending;
  Places daemons_told;
  Time ring_pending_since{0};
  bool ring_formed{false};
  Duration device_timeout{kDeviceTimeout};  // as its corosync.conf is read
  bool ring_apart{false};  // corosync's network alone is cut here
  std::uint64_t ring_sequence{0};  // of its newest ring, over lives of its corosync
  Votequorum votes;
  std::vector<std::vector<std::uint8_t>> ring_held;
  // libvirt
  bool libvirt_up{true};
  std::uint64_t libvirt_life{0};
  std::map<GuestId, Time> busy_until;  // calls about one guest run in order
  int start_failures{0};               // permille of starts that fail, settled
  int start_open{0};                   // permille of starts whose answer is lost
  Duration start_slow{0};
  std::uint64_t deaf_guests{300};      // permille of shutdowns that the guest takes no notice of
  Bmc bmc;
  bool bmc_lied{false};        // ever, in this run
};


// In whole microseconds, so that a printed fault is the same when it is read again.
struct Fault {
  std::size_t round{0};
  Time at{0};  // since the round began
  FaultKind kind{FaultKind::hang};
  std::size_t host{0};
  std::size_t other{0};
  Duration lasts{0};
};

// How long a write may stay in the storage path after its issuer stopped: L_late of the simulated
// volume, and what is left of it after a loss of power.
inline constexpr Duration kLate = ms(10000);
inline constexpr Duration kLateAfterOff{0};
// The last fault of a round begins by then, its first not before the domain has come up.
inline constexpr Duration kFaultsLast = ms(20000);

struct Options {
  std::uint64_t seed{1};
  std::size_t hosts{3};
  std::size_t guests{3};
  Timing timing;
  bool trace{false};
  bool lease{false};         // hosts have watchdogs, and publish leases
  bool stays_up{false};      // what guests leave behind can be told: the ladder may spare the reset
  bool may_suspend{false};   // the hosts' sleep targets are not masked: they publish none
  bool ride_out{false};      // an outage of the volume is lived through by grants
  bool grants_always{false}; // also by hosts whose volume works
  std::set<std::size_t> fenced;  // hosts that do not take part in that
  Planted planted{Planted::none};
  std::vector<Barrier> without;  // the core's barriers that are gone once the domain is built up
  Duration length{0};        // rounds of faults are made until so much time has passed
  std::vector<Focus> focus;  // empty: faults are drawn
  std::uint64_t acks_lost{1};  // permille of writes that land unacknowledged while nothing is wrong
  std::optional<std::vector<Fault>> faults;  // instead of drawn ones
  std::optional<IsolationResponse> isolation;  // of every guest, instead of drawn ones
  bool quorum{false};          // corosync has Wardom as its quorum device
  bool fences{false};          // hosts are fenced at times, by any other
  bool pacemaker{false};       // Pacemaker manages some of the guests
  bool migrates{false};        // guests are sent from host to host, live
  bool moves{false};           // the volume is moved to another one at times
  bool upgrades{false};        // hosts begin with a release of the first level, and are upgraded
  std::optional<HostsFile> file;  // of every host at first
  // The wardom.toml that hosts get one after another in the first round; `taken_back`: and lose.
  std::optional<HostsFile> next_file;
  bool taken_back{false};
  bool wall_steps{false};      // the hosts' wall clocks are set, by seconds or years, at any time
  bool keeper_greets_at_once{false};  // a new daemon is greeted with writes of the old in flight
};

struct Domain {
  explicit Domain(Options options);
  ~Domain();

  // machine
  void power_on(Host& host, Duration boot);
  // late: how long what was under way to the storage may still land.
  void power_off(Host& host, bool pull, Duration late);
  void boot(Host& host);
  void freeze(Host& host);
  void thaw(Host& host);
  void suspend(Host& host);
  void resume(Host& host);
  // processes
  void start_daemon(Host& host);
  void kill_daemon(Host& host);
  void hang_daemon(Host& host, bool hung);
  void start_keeper(Host& host);
  void kill_keeper(Host& host);
  void restart_libvirt(Host& host, Duration away);
  void set_storage(Host& host, bool ok);
  // A release whose newest level this is: both daemons are restarted, one after the other.
  void install(Host& host, Level newest) { install(host, Levels{kFirstLevel, newest}); }
  void install(Host& host, const Levels& speaks);
  // Another wardom.toml, which its daemon takes when it is restarted, so much later.
  void reconfigure(Host& host, const HostsFile& file, Duration later);
  void heal();
  // operators
  void protect(Host& host, GuestTruth& guest);
  void unprotect(Host& host, GuestTruth& guest);
  bool hook_allows(Host& host, GuestId guest, core::HookOp op);
  bool admin_start(Host& host, GuestTruth& guest);
  void admin_shutdown(GuestTruth& guest);
  void redefine(GuestTruth& guest);
  // Pacemaker on that host has another fenced. wait: not while it lives in another split group.
  void fence(Host& host, Host& victim, Duration patience, bool wait, bool switches_on);
  // pacemaker.cpp
  void begin_managing();
  void manage(GuestTruth& guest);
  void order(GuestTruth& guest);
  void order_start(Host& host, GuestTruth& guest);
  void order_stop(Host& host, GuestTruth& guest);
  bool take_answer(Host& host, const core::Reply& reply);
  void check_stopped(const Host& host, const GuestTruth& guest);
  // migration.cpp
  void begin_moving();
  void move_at_times(GuestTruth& guest);
  void order_move(Host& host, GuestTruth& guest, const Host& to);
  bool take_moved(Host& host, const core::Reply& reply);
  void drop_arrival(Host& host, GuestId guest, std::uint64_t job);
  bool libvirt_reaches(const Host& from, const Host& to);
  void await_no_migration(Host& host, std::uint64_t daemon, const port::ActDone& done);
  void run_arrival(Host& host, GuestId guest);
  bool source_lives(const GuestEntry& incoming) const;
  bool source_holds(const GuestEntry& incoming);

  // plumbing
  // What a host does later: not if its power goes meanwhile, and after its freeze if it is frozen.
  template <class Action>
  void on_host(Host& host, Duration delay, Action what) {
    clock.in(delay, [&host, life = host.life, what = std::move(what)]() mutable {
      if (host.life != life || !host.powered) return;
      if (!host.frozen) return what();
      host.deferred.push_back(std::move(what));
    });
  }
  void to_daemon(Host& host, Duration delay, runtime::Arrival arrival);
  // By the one connection to libvirt: whatever the delays, nothing overtakes what was said before.
  void from_libvirt(Host& host, Duration delay, runtime::Arrival arrival);
  void send_datagram(Host& to, Duration delay, Link link, std::span<const std::uint8_t> bytes);
  void arrive(Host& host, std::uint64_t daemon_life, runtime::Arrival arrival);
  void wake(Host& host);
  void schedule_turn(Host& host, Time at);
  void timer(Host& host);
  void turn(Host& host);
  Duration local(const Host& host, Time at) const;
  Time when(const Host& host, Instant at) const;
  void trace(const std::string& text) const;
  void fail(int code, const std::string& what);
  void ring_tick();
  void tell_ring(Host& host);
  void lose_corosync(Host& host);
  void connect_device(Host& host);
  void enter_ring(Host& host, const Places& nodes, const RingId& ring);
  void form_ring(Host& host, const RingId& ring);
  void poll_device(Host& host, const core::Vote& vote, LockVersion under);
  void wait_for_poll(Host& host, Duration time);
  void count_votes(Host& host);
  void check_cast(const Host& host, LockVersion under);
  void check_quorum();
  void check_stated(const Host& host);
  void write_cell(Host& host, Region region, std::vector<std::uint8_t> payload, Level level,
                  Care::Done done);
  void submit(Host& host, Region region, Care::Job job);
  // One write on its way to the storage.
  struct Flight {
    Region region;
    Cell cell;
    disk::TwinWriter::Started write;
    Incarnation incarnation;
    std::uint64_t life;
    std::uint64_t keeper;
    bool blind;  // the writer had not read the volume for long when it submitted this
    std::vector<std::uint8_t> payload;
    Level level;
    std::uint64_t volume;
  };
  void arrive(Host& host, const std::shared_ptr<Flight>& flight, bool ack_lost);
  void end_write(Host& host, const Flight& flight, Duration after, bool ok);
  void land(Host& host, const Flight& flight);
  void land_late(Host& host, const Flight& flight);
  void ballot_for_another(Host& host, const Flight& flight);
  void answer(Host& host, Region region, const disk::TwinWriter::Started& write, bool ok);
  void give_up(Host& host, Region region, Sequence sequence);
  void settle_doubts(Host& host);
  void settle_cell(Host& host, Region region, Instant issued);
  bool own_writes_settled(const Host& host) const;
  std::array<wire::Extent, 2> extents_of(const Cell& cell);
  // hold.cpp
  void hold_volume(Duration dies_after);
  void hold_on(std::uint64_t change, Time until, Time dies);
  bool all_hold(std::uint64_t change);
  void commit_move(std::uint64_t change);
  void abandon_hold(std::uint64_t change);
  VolumeState use_as_seen(const Host& host) const;
  bool may_join(Host& host);
  void look_at_use(Host& host, bool after_first_beat);
  void drop_daemon(Host& host);
  bool holds(const Host& host) const;
  void held_acknowledged(Host& host, std::uint64_t change);
  void begin_lease(Host& host);
  void feed(Host& host);
  void tend_lease(Host& host);
  void read_back(Host& host);
  void watch_dog(Host& host);
  port::Rights rights(const Host& host);
  void look_at_quiet(Host& host, bool none, Instant now);
  void renew(Host& host);
  void check_yielded(const Host& host, const Incarnation& incarnation);
  bool harmless(const Host& host) const;
  void ask_stamp(Host& host);
  void extend(Host& host, Instant stamp, const std::vector<HostId>& unasked);
  bool rides_out(const Host& host) const;
  void heartbeat(Host& host);
  void beat(Host& host);
  Slot slot_of(const Host& host, SlotState state) const;
  void beaten(Host& host, bool ok, Sequence sequence, Duration submitted, LockVersion votes);
  void beat_if_overdue(Host& host);
  void ask_if_open(Host& host);
  void look_at_slot(Host& host);
  void greet(Host& host);
  void end_epoch(Host& host);
  void leave(Host& host);
  void run_qemu(Host& host, GuestId guest, std::uint32_t version, const char* by);
  void stop_qemu(Host& host, GuestId guest, port::StopCause cause);
  port::GuestState state_of(const Host& host, GuestId guest) const;
  std::string xml_of(GuestId guest, std::uint32_t version) const;
  static std::uint32_t version_of(const std::string& xml);
  GuestTruth* truth(GuestId guest);
  Host* runner(GuestId guest);

  // planted bugs (planted.cpp)
  bool bent() const;
  port::PowerState bend(const Host& asker, Host& peer, port::PowerState state);
  port::CellRead bend(const Host& reader, port::CellRead read);
  std::vector<std::uint8_t> bend(Host& from, Host& to, std::span<const std::uint8_t> bytes);
  void extend_if_heard(Host& host);

  // checker
  void check_landed(Host& host, const Flight& flight);
  void check_ballot(const Ballot& ballot);
  void check_submitted(const Host& host, Cell cell, const std::vector<std::uint8_t>& payload,
                       Level level);
  void check_one_acts();
  void fenced(Host& host, const core::Reply& reply);
  bool verdict_seen(HostId host, const Incarnation& incarnation) const;
  bool leased(HostId host, const Incarnation& incarnation);
  const HostTable* table_of(const Host& host);
  bool lock_unproved();
  std::string unsettled_guests();  // empty: liveness holds

  bool link(std::size_t from, std::size_t to, Link l) const {
    return !cut[from][to][static_cast<std::size_t>(l)];
  }
  bool addressed(std::size_t from, std::size_t to, Link link) const;
  bool is_member(const Host& host) const;

  Options options;
  Clockwork clock;
  Store store;
  VolumeState use;             // as the superblocks of the present volume say
  std::uint64_t changes{0};
  std::uint64_t volumes{0};    // so many times it was moved
  std::uint64_t moved_by{0};   // the change that did it last
  bool volumes_settling{false};
  std::map<HostId, Sequence> slots_at_first;  // when the volume began to be held
  std::vector<std::unique_ptr<Host>> hosts;
  std::vector<GuestTruth> guests;
  bool cut[kMaxHosts][kMaxHosts][kLinks]{};
  std::uint64_t loss[kMaxHosts][kMaxHosts][kLinks]{};  // permille
  Stream net, disk, machine, virt, ids, crm, movers;
  bool healed{false};  // no fault is under way
  std::vector<std::vector<std::uint8_t>> spare_datagrams;
  std::vector<runtime::Arrival> taken;  // by the turn under way
  std::optional<Violation> violation;
  std::set<std::pair<HostId, Incarnation>> verdicts;  // every one that ever landed
  std::map<LockVersion, LockValue> owners;  // of the domain lock, as ever seen decided
  std::map<std::pair<GuestId, Generation>, HostId> holders;
  std::map<GuestId, Generation> held;
  std::map<GuestId, std::uint32_t> recorded;  // newest definition in a holder's table
  std::map<HostId, std::pair<Sequence, HostTable>> tables;  // as decoded last, by table_of()
  std::uint64_t hash{1469598103934665603ULL};
  std::uint64_t acts{1469598103934665603ULL};  // hash of which guest was started where and when
  std::uint64_t turns{0};
  std::uint64_t qemus_started{0};
  std::map<GuestId, std::uint64_t> newest_qemu;  // that has run it anywhere
  std::uint64_t migrations{0};
  // Requests of the daemons and heartbeats, as the storage would count them.
  struct Traffic {
    std::uint64_t reads{0};
    std::uint64_t writes{0};
  };
  Traffic volume;
  std::map<std::pair<std::size_t, Cell>, port::CellRead> shown;  // Planted::slot_silence_ignored
  struct LastWrite {
    HostId from;
    Time until;
  };
  std::map<GuestId, LastWrite> written_until;  // by a runner that died
  std::set<GuestId> unproved;  // wait for a proof about their host, as last looked
  // Pairs of hosts whose rings are both quorate by the device's vote, and do not hold one another.
  std::map<std::pair<std::size_t, std::size_t>, Time> both_quorate;
  std::uint64_t rings_formed{0};
  std::map<std::string, std::uint64_t> marks;  // rare states that were reached
};

}  // namespace wardom::sim
