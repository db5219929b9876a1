// Evidence: what this host has observed of every member of its domain, each fact with its time.
// Pure data and bookkeeping; judging is judge.hpp's. One thread.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "libha/core/ids.hpp"
#include "libha/core/inputs.hpp"
#include "libha/core/records.hpp"
#include "libha/core/timing.hpp"

namespace wardom::core {

// Beats of one member. A beat counts only if its sequence grew within the sender's daemon run.
struct BeatEvidence {
  std::array<std::optional<Instant>, kLinks> last;  // arrival of the newest beat on each link
  std::array<Sequence, kLinks> sequence;
  std::uint64_t run{0};
  std::array<std::uint64_t, 8> past_runs{};  // runs that ended: their beats are replays
  std::size_t past_at{0};
  std::optional<Beat> newest;
  std::uint64_t stale{0};  // beats refused as old or replayed

  std::optional<Instant> last_any() const;
};

// A member's slot as read. Timer zero is the completion of the first read that showed `sequence`.
struct SlotEvidence {
  // A silence as this host has timed it since it last began to time anew (leases.md, the observer's
  // side).
  struct Silence {
    std::optional<Instant> since;        // completion of the first read that showed it
    std::optional<Instant> seen_issued;  // issue of the newest read that still did
    void seen(Instant issued, Instant completed);
    // A read issued so long after the first one's completion still showed it.
    bool lasted(Duration d) const { return since && seen_issued && *seen_issued - *since >= d; }
  };
  struct Earlier {
    Incarnation incarnation;
    Slot slot;
  };
  std::optional<Slot> slot;
  Incarnation incarnation;
  Sequence sequence;
  std::optional<Instant> timer_zero;       // none: never seen to grow or to stand
  bool grew{false};                        // seen to grow at least once since this daemon's start
  std::optional<Instant> progress_moved;   // when daemon_progress last differed
  std::optional<Instant> same_read_issued; // issue of the newest read that still showed `sequence`
  // The newest read that showed `sequence`, by its issue and its completion. Members that neither
  // decide nor stand by read seldom (member.cpp): "not read lately" is not "silent".
  std::optional<Instant> shown_issued;
  std::optional<Instant> shown;
  // The issue of the last read that showed an older sequence: no part of the newest write landed
  // before. That is as much as the slot tells of when its host was last alive.
  std::optional<Instant> not_before;
  std::optional<Instant> empty_issued;     // of the newest read that found it never written
  CellHealth health{CellHealth::empty};    // of the newest read
  bool twin_damaged{false};                // of the newest read of `sequence`
  Levels speaks;                           // of its host, as that says
  Level level{kFirstLevel};                // of the slot as it stands there
  std::optional<Instant> read_ok;          // completion of the newest read that was not unreadable
  // The earlier boot that is proved over, because the same machine has booted since its last sign.
  std::optional<Incarnation> rebooted;
  Silence silence;                 // of (incarnation, sequence): neither has grown
  Silence later_boot;              // of every boot before `incarnation`: the slot shows none
  std::optional<Earlier> earlier;  // the boot that the slot showed before this one

  // For how long it was seen to stand: from timer zero to the issue of a read that still showed the
  // same; zero: not at all.
  Duration stood() const {
    return timer_zero && same_read_issued ? *same_read_issued - *timer_zero : Duration{0};
  }
};

struct PowerEvidence {
  Power last{Power::unknown};
  std::optional<Instant> last_answered;
  std::optional<Instant> asked;             // when the newest reading was, whatever it said
  std::optional<Instant> on_answered;       // newest reading "on"
  // A run of readings "off" without a life sign after the first one was asked.
  int offs{0};
  std::optional<Instant> first_off_asked;
  // When "off" was first answered with no "on" since, whatever gave signs of life meanwhile.
  std::optional<Instant> off_since;
  std::optional<Instant> unanswered_since;  // no reading has been "on" or "off" since
  // Seen here to read off beside a life sign in this incarnation.
  bool lied{false};
  // The number of the newest boot in which some host has seen that, this one or another; 0: none.
  // And what the newest word about it says (LyingBmc).
  std::uint64_t lied_in{0};
  std::uint16_t turn{0};
  std::string error;
};

// An operator says that this incarnation was seen switched off. A later sign of its life voids it.
struct OperatorEvidence {
  Incarnation incarnation;
  std::string by;
};

// One life of a host's wardomd.
struct DaemonLife {
  Incarnation incarnation;
  DaemonEpoch epoch;
  friend bool operator==(const DaemonLife&, const DaemonLife&) = default;
};

struct MemberEvidence {
  HostId host;
  BeatEvidence beats;
  SlotEvidence disk;
  PowerEvidence power;
  std::optional<OperatorEvidence> operator_word;
  // The newest life that has told this daemon that it knows this host's present incarnation.
  std::optional<DaemonLife> knows_me;
  Instant knows_since{};  // when that life's first beat that said so came
  // The newest incarnation that its own host has called released, by beat or slot. Nothing voids
  // it.
  std::optional<Incarnation> released;
  // As its newest beat has said, where that cannot be read or names no boot; nothing else counts.
  std::optional<Levels> foreign_speaks;
  bool daemon_in_ring{false};
  bool node_in_ring{false};
  std::uint64_t ring_joins{0};  // so often its node was seen to come into the ring

  // The newest sign that the host's software ran: a beat's arrival or the first read of a grown
  // slot. None: never heard of since this daemon started.
  std::optional<Instant> last_life() const;
  // The newest incarnation that beats or slot have shown.
  Incarnation incarnation() const;
  // Its BMC lies: nothing that it says about this boot, or an earlier one, counts. Of a boot that
  // only others have seen yet, they know more than this host.
  bool bmc_distrusted() const {
    return power.lied || (power.turn % 2 == 1 && power.lied_in >= incarnation().number);
  }
  bool link_fresh(Link link, Instant now, const Timing& timing) const;
  bool heard(Instant now, const Timing& timing) const;
  // The slot has been read once, and since then it was seen to stand for too long, or it has not
  // been seen for `horizon`, although it should have been.
  bool slot_stands(Instant now, const Timing& timing, Duration horizon) const;
  bool slot_fresh(Instant now, const Timing& timing, Duration horizon) const {
    return disk.grew && !slot_stands(now, timing, horizon);
  }
  // Its slot says that wardomd works there.
  bool daemon_progresses(Instant now, const Timing& timing) const {
    return disk.progress_moved && now - *disk.progress_moved <= disk_silent_after(timing);
  }
};

// What a beat added to what was known of its sender.
enum class BeatNews : std::uint8_t {
  none,     // stale or replayed: counted, nothing else
  alive,    // it says what its last beat said, on a link on which it was heard anyway
  changed,
};

// What a read of a slot added to what was known of its host.
enum class SlotNews : std::uint8_t {
  stands,   // it reads as it did
  grew,     // one heartbeat more, which says what the last one said
  changed,  // anything else
};

class Evidence {
 public:
  // members: every host of the domain, sorted by id, self included.
  Evidence(std::vector<HostId> members, HostId self, Timing timing);

  BeatNews on_beat(const Beat& beat, Instant now);
  // A beat that cannot be read says what its sender speaks.
  void on_other_level(HostId host, const Levels& speaks) { at(host).foreign_speaks = speaks; }
  SlotNews on_slot(const CellSeen& cell, Instant issued, Instant now);
  void on_power(HostId host, Power power, const std::string& error, Instant asked, Instant now);
  // Some host has seen a BMC lie, or an operator calls it mended, as a beat or a decision says.
  // true: that is news.
  bool on_lying_bmc(const LyingBmc& liar);
  // An operator's word has come to this host that a BMC is mended: what it and its host were seen
  // to say up to now counts no more. `decides`: this host says so for all others from now on.
  void on_mended_bmc(HostId host, bool decides);
  // What counts of BMCs that have lied in the present boot of their hosts, by host id.
  std::vector<LyingBmc> lying_bmcs() const;
  void on_operator(HostId host, const Incarnation& incarnation, std::string by);
  void on_ring_members(const std::vector<HostId>& daemons);
  void on_quorum(bool quorate, const std::vector<HostId>& nodes);
  void on_ring_lost();
  // This host was stalled: it cannot know what it has missed. What BMCs read before says nothing
  // about a silence that began meanwhile, and every slot is timed anew.
  void on_stall(Instant now);
  // Within this time every slot is read again as long as reads complete.
  void set_read_horizon(Duration horizon) { read_horizon_ = horizon; }
  // How long after a power-off a write of that host may still land: L_late_after_off.
  void set_late_after_off(Duration late) { late_after_off_ = late; }
  // Whether this host can time others' silence now: it reads the volume, and is within half the
  // feed window of its own lease. When it cannot, every lease is timed anew from then on.
  void on_observer(bool fit);
  bool observer_fit() const { return observer_fit_; }
  // This host's own incarnation, once it has one.
  void set_own(const Incarnation& incarnation);
  const Incarnation& own() const { return own_; }
  // This host's own heartbeat was acknowledged.
  void on_own_heartbeat(Instant now);
  // Since when that has gone on without a gap above T_F/2: the storage has not stood still since.
  std::optional<Instant> written_since() const { return written_since_; }
  // A grant is a heartbeat seen: whatever has been timed of this member's silence is forgotten, and
  // what is being read now counts as no part of it.
  void grant(HostId host);
  // Since when without a break this host has known itself to be among those whom a member asks
  // before it outlives its window (core/outage.hpp); none: it is not.
  void set_asked_since(std::optional<Instant> since) { asked_since_ = since; }
  std::optional<Instant> asked_since() const { return asked_since_; }

  const std::vector<HostId>& members() const { return members_; }
  HostId self() const { return self_; }
  const Timing& timing() const { return timing_; }
  Duration read_horizon() const { return read_horizon_; }
  const MemberEvidence& of(HostId host) const;
  const MemberEvidence* find(HostId host) const;
  std::size_t index_of(HostId host) const;
  bool has(HostId host) const { return find(host) != nullptr; }
  bool quorate() const { return quorate_; }
  // Most of the members are in corosync's ring here, whatever quorum it has.
  bool ring_has_most() const;
  // To the loss of this host most of the members may agree by themselves; kNoHost: to nobody's.
  void set_counted(HostId host) { counted_ = host; }
  // What speaks against it that corosync's ring agrees to the loss of this host; empty: nothing.
  std::string disagrees(HostId host) const;
  bool ring_up() const { return ring_up_; }

  MemberSet fresh_on(Link link, Instant now) const;  // self included
  MemberSet fresh_on_disk(Instant now) const;
  // When the first sign of life that counts now will be too old to count.
  Instant first_silence(Instant now) const;

 private:
  MemberEvidence& at(HostId host);
  void note_life(MemberEvidence& member, Instant not_before, Duration late);
  static void note_lie(MemberEvidence& member);
  static void note_released(MemberEvidence& member, const Incarnation& incarnation);
  static void new_boot(MemberEvidence& member);
  static void weigh_anew(MemberEvidence& member);
  static void time_anew(MemberEvidence& member);
  static void note_reboot(MemberEvidence& member, const CellSeen& cell, const Slot& slot,
                          Instant now);

  std::vector<HostId> members_;
  HostId self_;
  Timing timing_;
  Duration read_horizon_{disk_silent_after(timing_)};
  std::vector<MemberEvidence> table_;
  bool quorate_{false};
  HostId counted_;
  bool ring_up_{false};
  bool observer_fit_{false};
  Duration late_after_off_{0};
  Incarnation own_;
  std::optional<Instant> own_written_;
  std::optional<Instant> written_since_;
  std::optional<Instant> asked_since_;
};

}  // namespace wardom::core
