// The loop: the one place that reads the clock and the one place that acts.
//
// turn(): take what has arrived -> decode -> core::Member::step for each -> tick -> carry out the
// orders, in the order in which core::Orders lists them. It runs on one thread; the owner calls
// turn() whenever wake was called or deadline() has come.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "libha/core/member.hpp"
#include "libha/runtime/device_rounds.hpp"
#include "libha/runtime/inbox.hpp"
#include "libha/runtime/key_change.hpp"
#include "libha/runtime/record_book.hpp"
#include "libha/wire/beat.hpp"
#include "libha/wire/ring_messages.hpp"
#include "libha/wire/table.hpp"

namespace wardom::runtime {

struct Clock {
  std::function<core::Now()> now;  // CLOCK_MONOTONIC_RAW and the wall clock
};

// The loop's hands. All outlive the loop.
struct Ports {
  port::Volume& volume;
  port::Beats& beats;
  port::Power& power;
  port::Ring& ring;
  port::Hypervisor& hypervisor;
  port::QuorumDevice& quorum;
};

struct LoopEvents {
  std::function<void(const core::Note&, WallTime)> note;        // for the log
  std::function<void(const wire::StepMessage&)> step;           // a recovery's, to be kept
  std::function<void(const core::Reply&)> reply;                // to a local operator
  std::function<void(const port::ActDone&)> described;          // answers of describe()
  std::function<void(const std::vector<GuestId>&)> protected_;  // the list has changed
  // A host, or this one, asks about this host's corosync.conf; and what all have answered.
  std::function<void(const wire::DeviceAsk&)> device_asked;
  std::function<void(const DeviceRounds::Ended&)> device_round;
};

struct LoopOptions {
  core::MemberSettings member;
  wire::Secret key{};
  std::optional<NextKey> next_key;  // while the key is changed
  KeyStore key_store;
  std::uint64_t run{0};  // drawn at each daemon start, not 0
};

// What was refused on the way in, by reason. For `status` and metrics.
struct Refusals {
  std::array<std::uint64_t, 7> beats{};  // by wire::BeatError
  std::uint64_t ring_messages{0};
  std::uint64_t cells{0};
};

class Loop {
 public:
  Loop(LoopOptions options, Clock clock, Ports ports, LoopEvents events);

  // A step that an earlier daemon has kept. Before the first turn.
  void remember(const wire::StepMessage& step) { book_.learn(step); }
  void turn(std::span<const Arrival> arrivals);
  // When turn() must run again although nothing arrived.
  Instant deadline() const {
    if (!own_inputs_.empty()) return Instant{};
    return std::min({member_.next_deadline(), keys_.deadline(), devices_.deadline()});
  }

  const core::Member& member() const { return member_; }
  const RecordBook& book() const { return book_; }
  const KeyChange& keys() const { return keys_; }
  // For an operator's wishes, and what the key store tells. turn() must run after each call.
  KeyChange& keys() { return keys_; }
  // For an operator's wishes. turn() must run after each call.
  DeviceRounds& devices() { return devices_; }
  // This host's answer to `device_asked`.
  void answer(const wire::DeviceAnswer& answer) { send_to_ring(answer); }
  const Refusals& refusals() const { return refusals_; }
  // As the keeper told them last; empty while there is no connection to it.
  const std::vector<port::KeeperTroubles::Trouble>& keeper_troubles() const {
    return keeper_troubles_;
  }
  // What somebody beside the core has seen or done: for the log and for `why`, and for all hosts
  // where it is a recovery's step. The core is told nothing of it.
  void tell(const core::Note& note) { tell(note, clock_.now()); }
  core::Now now() const { return clock_.now(); }
  bool ring_send_failed() const { return ring_dropped_ > 0; }

 private:
  void take(const Arrival& arrival, core::Now now, core::Orders& orders);
  void take_cells(const port::ReadDone& done, core::Now now, core::Orders& orders);
  void take_datagram(const port::Datagram& datagram, core::Now now, core::Orders& orders);
  void take_other_level(const port::Datagram& datagram, core::Now now, core::Orders& orders);
  void take_ring(const port::RingMessage& message, core::Now now, core::Orders& orders);
  core::CellSeen decode(const port::CellRead& read);
  void carry_out(core::Orders& orders, core::Now now);
  bool may_act() const;
  void write_records(const core::Orders& orders);
  void send_beat(const Beat& beat, const std::vector<BeatWord>& words);
  void act(const core::GuestAct& act);
  void tell(const core::Note& note, core::Now now);
  void take_description(const port::ActDone& done, core::Now now, core::Orders& orders);
  void describe_own();
  void change_keys(core::Now now);
  void ask_about_devices(core::Now now);
  void send_to_ring(const wire::RingMessage& message);
  void failed_write(Ticket ticket, Cell cell, const std::string& error);

  LoopOptions options_;
  Clock clock_;
  Ports ports_;
  LoopEvents events_;
  core::Member member_;
  KeyChange keys_;
  DeviceRounds devices_;
  core::Orders orders_;  // of this turn
  RecordBook book_;
  Refusals refusals_;
  wire::TablePacker tables_;
  std::vector<port::KeeperTroubles::Trouble> keeper_troubles_;
  std::array<Sequence, kLinks> sequence_;
  std::uint32_t ballot_base_{0};
  std::size_t decision_capacity_{0};
  std::size_t table_capacity_{0};
  std::uint64_t progress_{0};
  std::uint64_t ring_dropped_{0};
  std::set<Ticket> acts_;  // of the core; other ActDone answers belong to operators' requests
  // Definitions that changed while libvirt or this daemon was away bring no event: each own guest
  // is described once after every (re)connection.
  bool described_{false};
  bool hypervisor_up_{false};
  std::uint64_t last_description_{0};
  std::set<Ticket> descriptions_;
  std::vector<core::Input> own_inputs_;  // what the loop itself has to tell the core next turn
  std::vector<GuestId> protected_;
  std::uint64_t listed_{0};  // the board's revision from which the list was made
};

}  // namespace wardom::runtime
