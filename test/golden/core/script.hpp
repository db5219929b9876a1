// A script drives one member of a domain of three: it says what the world does, and the member's
// orders and words come out as text. Lines:
//
//   guests HOST NAME[:RESPONSE|:managed]...    guests that HOST holds, before `start`
//   start                        the member (host 1) starts, all is well
//   run MS                       time passes
//   stall MS                     it passes without host 1's daemon; a beat of each host has waited
//   host N beats both|mgmt|storage|none
//   host N slot grows|still      its disk heartbeat
//   host N daemon up|down        whether its slot shows a daemon that moves
//   host N epoch E [listed]      of its daemon; listed: a start of an earlier one is open
//   host N bmc on|off|unreachable
//   host N corosync member|gone
//   host N claims|holds|refuses NAME    as its table says; the newest assignment to it
//   host N reboots               its slot goes on under the next number
//   host N lease MS              its slot publishes a lease with this W; 0: none
//   host N leaves                its beats say so
//   host N accuses M B           its beats say that M's BMC lies in boot B; 0 0: they do not
//   operator confirm-dead N      at host 1: of the newest incarnation
//   operator trust-bmc N
//   operator fence N MS [unless-split]   at host 1, which waits so long for the proof
//   operator arm                 at host 1
//   operator disarm MS           at host 1; 0: until somebody arms
//   libvirt runs|lacks NAME      on host 1
//   start-answer NAME ok|failed|open    of the start ordered on host 1
//   stays-up                     host 1 may stay up when its lease ends; before `start`
//   keeper released              host 1's keeper has recorded that
//   volume hangs|works           for host 1: heartbeats and writes fail meanwhile
//   protect|unprotect NAME       at host 1, of a guest that is off
//   pacemaker starts NAME [xml]  on host 1, for at most 20 s; xml: as the request gives it
//   pacemaker stops NAME MS      on host 1; MS: to shut down by itself
//   restart NAME...              the daemon of host 1 starts anew; libvirt runs these guests
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "libha/core/member.hpp"

namespace wardom::golden {

class Script {
 public:
  Script();
  // One line of input; returns what came out.
  std::string feed(const std::string& line);

 private:
  struct Peer {
    bool mgmt{true}, storage{true}, slot{true}, daemon{true}, corosync{true};
    core::Power bmc{core::Power::on};
    bool bmc_answers{true}, leaves{false};
    LyingBmc accuses;
    std::uint32_t w_ms{0};
    MemberSet sees;  // by its slot
    Incarnation incarnation;
    DaemonEpoch epoch;
    bool start_listed{false};
    std::uint64_t slot_sequence{1}, beat_sequence{0}, progress{1};
    Instant booted{};
    HostTable table;
    std::uint64_t table_sequence{0};
  };
  struct Stored {
    bool written{false};
    Incarnation writer;
    Sequence sequence;
    core::CellContent content;
  };

  void guests(HostId host, std::vector<std::string> names);
  void start(const std::vector<std::string>& running);
  void run(Duration time);
  void stall(Duration time);
  void tick();
  void step(const core::Input& input);
  void carry_out(core::Orders orders);
  void answer_reads(const std::vector<core::ReadCells>& reads);
  void ask_for(const std::string& what, const std::string& name);
  void say_pacemaker(const std::vector<std::string>& words);
  void say_operator(const std::vector<std::string>& words);
  void tell_quorum();
  void tell_rights();
  void say(const std::string& text);
  void tell_decision(const Decision& decision);
  void tell_table(const HostTable& table);
  void set_host(const std::vector<std::string>& words);
  void take_lock(HostId host);
  void set_entry(Peer& peer, HostId host, const std::string& name, GuestPhase phase);
  void set_way(HostId host, const std::string& name, GuestPhase phase, bool done);
  void end_migration(const std::string& name, const std::string& how);
  void say_hook(const std::string& name, core::HookOp op, const std::string& allows);
  core::CellSeen cell(const Cell& cell) const;
  GuestEntry entry(const std::string& name, Incarnation holder) const;
  static GuestId guest(const std::string& name);
  static std::string name(const GuestId& guest);

  std::unique_ptr<core::Member> member_;
  core::MemberSettings settings_;
  std::map<HostId, Peer> peers_;
  bool stays_up_{false}, released_{false}, volume_hangs_{false};
  std::map<Cell, Stored> stored_;
  std::vector<core::Input> answers_;  // for the next tick
  std::map<std::string, Ticket> starts_;
  std::map<GuestId, ListedGuest> listed_;  // the keeper's, which outlives the member
  Instant now_{std::chrono::seconds{1000}};
  std::string out_;
  Decision last_decision_;
};

}  // namespace wardom::golden
