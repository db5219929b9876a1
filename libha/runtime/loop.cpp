#include "libha/runtime/loop.hpp"

#include <utility>

#include "libha/wire/ballot.hpp"
#include "libha/wire/block.hpp"
#include "libha/wire/decision.hpp"
#include "libha/wire/layout.hpp"
#include "libha/wire/slot.hpp"
#include "libha/wire/table.hpp"

namespace wardom::runtime {
namespace {

template <class... Ts>
struct Overload : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overload(Ts...) -> Overload<Ts...>;

// The core's tickets count from 1, operators' have the highest bit set: these meet neither.
constexpr std::uint64_t kDescriptionTickets = std::uint64_t{1} << 62;

core::CellHealth health_of(port::CellStatus status) {
  switch (status) {
    case port::CellStatus::valid: return core::CellHealth::valid;
    case port::CellStatus::empty: return core::CellHealth::empty;
    case port::CellStatus::damaged: return core::CellHealth::damaged;
    case port::CellStatus::foreign: return core::CellHealth::foreign;
    case port::CellStatus::unreadable: return core::CellHealth::unreadable;
    case port::CellStatus::unknown_version: return core::CellHealth::unknown_version;
  }
  return core::CellHealth::unreadable;
}

core::Power power_of(port::PowerState state) {
  switch (state) {
    case port::PowerState::on: return core::Power::on;
    case port::PowerState::off: return core::Power::off;
    case port::PowerState::unknown: return core::Power::unknown;
  }
  return core::Power::unknown;
}

core::Running running_of(port::RunState state) {
  switch (state) {
    case port::RunState::absent:
    case port::RunState::shut_off:
    case port::RunState::crashed: return core::Running::no;
    case port::RunState::running:
    case port::RunState::in_shutdown: return core::Running::yes;
    case port::RunState::paused: return core::Running::paused;
    case port::RunState::paused_io_error: return core::Running::io_error;
    case port::RunState::unknown: return core::Running::unknown;
  }
  return core::Running::unknown;
}

core::Stopped stopped_of(port::StopCause cause) {
  switch (cause) {
    case port::StopCause::none:
    case port::StopCause::unknown: return core::Stopped::none;
    case port::StopCause::guest_shutdown: return core::Stopped::by_guest;
    case port::StopCause::host_signal: return core::Stopped::by_host;
    case port::StopCause::destroyed: return core::Stopped::by_admin;
    case port::StopCause::failed:
    case port::StopCause::crashed: return core::Stopped::failed;
    case port::StopCause::migrated: return core::Stopped::migrated;
    case port::StopCause::saved: return core::Stopped::saved;
  }
  return core::Stopped::none;
}

core::GuestSeen seen_of(const port::GuestState& state) {
  core::GuestSeen seen;
  seen.guest = state.guest;
  seen.name = state.name;
  seen.running = running_of(state.state);
  seen.stopped = stopped_of(state.cause);
  seen.defined = state.persistent;
  seen.process = state.process;
  return seen;
}

core::Act act_of(port::Act act) {
  switch (act) {
    case port::Act::define: return core::Act::define;
    case port::Act::start: return core::Act::start;
    case port::Act::shutdown: return core::Act::shutdown;
    case port::Act::kill: return core::Act::kill;
    case port::Act::undefine: return core::Act::undefine;
    case port::Act::mark: return core::Act::mark;
    case port::Act::unmark: return core::Act::unmark;
    case port::Act::migrate: return core::Act::migrate;
    case port::Act::abort_migration: return core::Act::abort_migration;
    case port::Act::resume: return core::Act::resume;
    case port::Act::describe: break;
  }
  return core::Act::define;  // the core never orders a description
}

core::Input input_of(const port::HypervisorUp& up) {
  core::HypervisorUp input;
  for (const auto& guest : up.guests) input.guests.push_back(seen_of(guest));
  return input;
}

core::Input input_of(const port::ActDone& done) {
  return core::ActDone{done.ticket,  act_of(done.act),       done.guest,             done.ok,
                       done.settled, running_of(done.state), stopped_of(done.cause), done.error};
}

// The core has just taken it: it is no replay.
bool is_newest(const core::Evidence& evidence, const Beat& beat) {
  if (!evidence.has(beat.from)) return false;
  const auto& beats = evidence.of(beat.from).beats;
  return beats.run == beat.run &&
         beats.sequence[static_cast<std::size_t>(beat.link)] == beat.sequence;
}

}  // namespace

Loop::Loop(LoopOptions options, Clock clock, Ports ports, LoopEvents events)
    : options_(std::move(options)),
      clock_(std::move(clock)),
      ports_(ports),
      events_(std::move(events)),
      member_(options_.member),
      keys_(options_.member.self, options_.member.members, options_.member.config_digest >> 32,
            options_.key, options_.next_key, options_.key_store),
      devices_(options_.member.self, options_.member.members) {}

void Loop::turn(std::span<const Arrival> arrivals) {
  const core::Now now = clock_.now();
  auto& orders = orders_;
  orders.clear();
  if (!own_inputs_.empty())
    for (const auto& input : std::exchange(own_inputs_, {})) member_.step(input, now, orders);
  for (const auto& arrival : arrivals) take(arrival, now, orders);
  member_.tick(now, orders);
  carry_out(orders, now);
  if (keys_.busy()) change_keys(now);
  if (devices_.busy()) ask_about_devices(now);
}

void Loop::take(const Arrival& arrival, core::Now now, core::Orders& orders) {
  const auto step = [&](core::Input input) { member_.step(input, now, orders); };
  std::visit(
      Overload{
          [&](const port::VolumeReady& ready) {
            decision_capacity_ = wire::extent_payload(ready.geometry.decision_blocks);
            table_capacity_ = wire::extent_payload(ready.geometry.table_blocks);
            ballot_base_ =
                wire::ballot_cell(ready.geometry, options_.member.domain, kNoHost).index;
            step(core::VolumeReady{ready.incarnation, ready.epoch,
                                   std::chrono::milliseconds(ready.geometry.l_late_ms),
                                   std::chrono::milliseconds(ready.geometry.l_late_after_off_ms),
                                   ready.listed,
                                   ballot_base_,
                                   static_cast<std::uint16_t>(ready.geometry.hosts),
                                   ready.stays_up,
                                   ready.level});
          },
          [&](const port::ReadDone& done) { take_cells(done, now, orders); },
          [&](const port::WriteDone& done) {
            step(core::CellWritten{done.ticket, done.cell, done.acknowledged, done.sequence,
                                   done.error});
          },
          [&](const port::HeartbeatDone& done) {
            step(core::OwnHeartbeat{done.sequence, done.votes_under});
          },
          [&](const port::Rights& rights) {
            step(core::Rights{rights.lease, rights.act_until, rights.feed_until, rights.granted,
                              rights.released});
          },
          [&](const port::AskStamp& stamp) { step(core::AskStamp{stamp.at}); },
          [&](const port::StartListed& answer) {
            step(core::StartListed{answer.ticket, answer.guest, answer.listed, answer.error});
          },
          // For people alone: nothing is decided by them.
          [&](const port::KeeperTroubles& told) { keeper_troubles_ = told.troubles; },
          [&](const port::VolumeLost& lost) {
            keeper_troubles_.clear();
            step(core::VolumeLost{lost.reason});
          },
          [&](const port::Datagram& datagram) { take_datagram(datagram, now, orders); },
          [&](const port::PowerReading& reading) {
            step(core::PowerSeen{reading.ticket, reading.host, power_of(reading.state),
                                 reading.error});
          },
          [&](const port::PowerOffSent& sent) {
            step(core::PowerOffTaken{sent.ticket, sent.host, sent.accepted, sent.error});
          },
          [&](const port::RingMembers& members) {
            keys_.on_ring(members.daemons, now.at);
            devices_.on_ring(members.daemons);
            step(core::RingMembers{members.daemons, members.gone_process, members.gone_host});
          },
          [&](const port::RingQuorum& quorum) {
            step(core::RingQuorum{quorum.quorate, quorum.nodes});
          },
          [&](const port::RingMessage& message) { take_ring(message, now, orders); },
          [&](const port::RingLost& lost) {
            keys_.on_ring({}, now.at);
            devices_.on_ring({});
            step(core::RingLost{lost.reason});
          },
          [&](const port::HypervisorUp& up) {
            hypervisor_up_ = true;
            described_ = false;
            step(input_of(up));
          },
          [&](const port::HypervisorDown& down) {
            hypervisor_up_ = false;
            step(core::HypervisorDown{down.reason});
          },
          [&](const port::GuestChanged& changed) { step(seen_of(changed.now)); },
          [&](const port::GuestDefined& defined) {
            step(core::GuestDefinition{defined.guest, defined.name, defined.xml,
                                       defined.memory_kib, defined.vcpus});
          },
          [&](const port::ActDone& done) {
            if (acts_.erase(done.ticket) > 0)
              step(input_of(done));
            else if (descriptions_.erase(done.ticket) > 0)
              take_description(done, now, orders);
            else
              events_.described(done);
          },
          [&](const core::Input& input) { step(input); }},
      arrival);
}

core::CellSeen Loop::decode(const port::CellRead& read) {
  core::CellSeen seen{read.cell,     health_of(read.status), read.writer, read.incarnation,
                      read.sequence, {},                     read.error,  read.twin_damaged,
                      read.level,    read.speaks,             read.domain};
  if (seen.health == core::CellHealth::valid && !options_.member.speaks.has(read.level))
    seen.health = core::CellHealth::unknown_version;
  if (seen.health != core::CellHealth::valid) return seen;
  const auto keep = [&](auto record) {
    if (record) {
      seen.content = std::move(record).value();
      return;
    }
    ++refusals_.cells;
    seen.health = core::CellHealth::damaged;
    seen.error = record.error().message;
  };
  switch (read.cell.region) {
    case Region::slot: keep(wire::decode_slot(read.payload, read.level)); break;
    case Region::decision: keep(wire::decode_decision(read.payload, read.level)); break;
    case Region::table: keep(tables_.decode(read.payload, read.level)); break;
    case Region::ballot: keep(wire::decode_ballot(read.payload, read.level)); break;
    case Region::superblock:
    case Region::directory: break;  // not asked for by the core
  }
  return seen;
}

void Loop::take_cells(const port::ReadDone& done, core::Now now, core::Orders& orders) {
  core::CellsRead read{done.ticket, {}};
  for (const auto& cell : done.cells) read.cells.push_back(decode(cell));
  member_.step(read, now, orders);
}

void Loop::take_datagram(const port::Datagram& datagram, core::Now now, core::Orders& orders) {
  const auto self = options_.member.self;
  auto beat = wire::decode_beat(keys_.present(), datagram.bytes, self, datagram.link);
  const auto* next = keys_.next();
  const bool under_next = next != nullptr && !beat && beat.error() == wire::BeatError::bad_hash;
  if (under_next) beat = wire::decode_beat(*next, datagram.bytes, self, datagram.link);
  if (beat && !options_.member.speaks.has(beat.value().level))
    beat = wire::BeatError::unknown_version;
  if (!beat) {
    if (beat.error() == wire::BeatError::unknown_version) take_other_level(datagram, now, orders);
    const auto reason = static_cast<std::size_t>(beat.error());
    if (reason < refusals_.beats.size() && refusals_.beats[reason]++ == 0)
      tell({core::Severity::warning, "beats", {}, {}, {}, "",
            std::string("datagrams are refused: ") + wire::to_text(beat.error()) +
                "; told once, counted in `wardomctl status --json`"},
           now);
    return;
  }
  const core::BeatSeen seen{beat.value()};
  member_.step(seen, now, orders);
  if (keys_.next() != nullptr && is_newest(member_.evidence(), seen.beat))
    keys_.on_heard(seen.beat.from, under_next, now.at);
}

// Of a beat that is not understood, what every level has in the same place.
void Loop::take_other_level(const port::Datagram& datagram, core::Now now, core::Orders& orders) {
  const auto self = options_.member.self;
  auto head = wire::decode_beat_head(keys_.present(), datagram.bytes, self, datagram.link);
  if (const auto* next = keys_.next(); !head && next != nullptr)
    head = wire::decode_beat_head(*next, datagram.bytes, self, datagram.link);
  if (!head) return;
  const auto& said = head.value();
  member_.step(core::OtherLevel{said.from, said.level, said.speaks}, now, orders);
}

void Loop::take_ring(const port::RingMessage& message, core::Now now, core::Orders& orders) {
  auto decoded = wire::decode_ring_message(keys_.present(), message.bytes);
  const auto* next = keys_.next();
  const bool under_next = next != nullptr && !decoded;
  if (under_next) decoded = wire::decode_ring_message(*next, message.bytes);
  if (!decoded) {
    if (refusals_.ring_messages++ == 0)
      tell({core::Severity::warning, "ring", message.from, {}, {}, "",
            "messages are refused: " + decoded.error().message + "; told once"},
           now);
    return;
  }
  const bool echo = message.from == options_.member.self;
  if (!echo) keys_.on_heard(message.from, under_next, now.at);
  std::visit(Overload{[&](const core::PleaseAssign& please) {
                        if (please.from == message.from) member_.step(please, now, orders);
                      },
                      [&](const wire::StepMessage& step) {
                        if (!echo && book_.learn(step)) events_.step(step);
                      },
                      [&](const core::OperatorAsk& ask) {
                        if (!echo && ask.from == message.from) member_.step(ask, now, orders);
                      },
                      [&](const core::OperatorAnswer& answer) {
                        if (!echo) member_.step(answer, now, orders);
                      },
                      [&](const wire::KeyWord& word) {
                        if (word.from == message.from) keys_.on_word(word, now.at);
                      },
                      // The own ones too: so all hosts hear them in the same order.
                      [&](const wire::DeviceAsk& ask) {
                        if (ask.from == message.from) events_.device_asked(ask);
                      },
                      [&](const wire::DeviceAnswer& answer) {
                        if (answer.from == message.from) devices_.on_answer(answer);
                      }},
             decoded.value());
}

void Loop::failed_write(Ticket ticket, Cell cell, const std::string& error) {
  own_inputs_.push_back(core::CellWritten{ticket, cell, false, {}, error});
}

// The core has looked at the lease when it began to decide; this is the look afterwards.
bool Loop::may_act() const { return clock_.now().at < member_.act_until(); }

void Loop::write_records(const core::Orders& orders) {
  const auto put = [this](Ticket ticket, Cell cell, Result<wire::Bytes> bytes, Level level) {
    if (bytes)
      ports_.volume.write(ticket, cell, std::move(bytes).value(), level);
    else
      failed_write(ticket, cell, bytes.error().message);
  };
  const Level level = member_.level();
  for (const auto& write : orders.ballots) {
    const Cell cell{Region::ballot, ballot_base_ + options_.member.self.value};
    put(write.ticket, cell, wire::encode_ballot(write.ballot, level), level);
  }
  for (const auto& write : orders.decisions) {
    const Cell cell{Region::decision, options_.member.self.value};
    if (!may_act()) {
      failed_write(write.ticket, cell, "this host's own heartbeat is too old to decide");
      continue;
    }
    put(write.ticket, cell, wire::encode_decision(write.decision, decision_capacity_),
        write.decision.level);
  }
  for (const auto& write : orders.tables) {
    const Cell cell{Region::table, options_.member.self.value};
    put(write.ticket, cell, tables_.encode(write.table, table_capacity_, level), level);
  }
}

void Loop::send_beat(const Beat& content, const std::vector<BeatWord>& words) {
  const wire::Key& key = keys_.sends();
  for (const Link link : {Link::mgmt, Link::storage}) {
    auto& sequence = sequence_[static_cast<std::size_t>(link)];
    sequence = sequence.next();
    Beat beat = content;
    beat.link = link;
    beat.run = options_.run;
    beat.sequence = sequence;
    wire::Bytes bytes;
    for (const auto& word : words) {
      if (bytes.empty()) {
        beat.word = word;
        bytes = wire::encode_beat(key, beat);
      } else {
        wire::readdress_beat(key, bytes, word);
      }
      ports_.beats.send(word.to, link, bytes);
    }
  }
}

void Loop::act(const core::GuestAct& act) {
  const bool begins = act.act == core::Act::start || act.act == core::Act::resume;
  if (begins && !may_act()) {
    core::ActDone refused;
    refused.ticket = act.ticket;
    refused.act = act.act;
    refused.guest = act.guest;
    // What has arrived is there, and paused.
    refused.running = act.act == core::Act::start ? core::Running::no : core::Running::paused;
    refused.error = "this host's own heartbeat is too old";
    own_inputs_.push_back(std::move(refused));
    return;
  }
  acts_.insert(act.ticket);
  auto& hypervisor = ports_.hypervisor;
  switch (act.act) {
    case core::Act::define: hypervisor.define(act.ticket, act.guest, act.xml); break;
    case core::Act::start: hypervisor.start(act.ticket, act.guest, act.xml); break;
    case core::Act::shutdown: hypervisor.shutdown(act.ticket, act.guest); break;
    case core::Act::kill: hypervisor.kill(act.ticket, act.guest); break;
    case core::Act::undefine: hypervisor.undefine(act.ticket, act.guest); break;
    case core::Act::mark: hypervisor.mark(act.ticket, act.guest, act.generation); break;
    case core::Act::unmark: hypervisor.unmark(act.ticket, act.guest); break;
    case core::Act::migrate: hypervisor.migrate(act.ticket, act.guest, act.to); break;
    case core::Act::abort_migration: hypervisor.abort_migration(act.ticket, act.guest); break;
    case core::Act::resume: hypervisor.resume(act.ticket, act.guest); break;
  }
}

void Loop::tell(const core::Note& note, core::Now now) {
  const WallTime at = note.at.ms != 0 ? note.at : now.wall;
  book_.add(note, now.wall);
  events_.note(note, at);
  if (note.recovery.is_zero() || note.step.empty()) return;
  const wire::StepMessage step{options_.member.self, note.recovery, at,        note.host,
                               note.guest,           note.source,   note.step, note.text};
  if (book_.add(step)) events_.step(step);
  send_to_ring(step);
}

void Loop::send_to_ring(const wire::RingMessage& message) {
  if (!ports_.ring.send(wire::encode_ring_message(keys_.sends(), message, member_.level())))
    ++ring_dropped_;
}

void Loop::change_keys(core::Now now) {
  for (const auto& word : keys_.tick(now.at)) send_to_ring(word);
  for (auto& news : keys_.take_news())
    tell({core::Severity::notice, "key", {}, {}, {}, "", std::move(news)}, now);
}

void Loop::ask_about_devices(core::Now now) {
  const auto news = devices_.tick(now.at);
  for (const auto& ask : news.asks) send_to_ring(ask);
  for (const auto& ended : news.ended) events_.device_round(ended);
}

void Loop::take_description(const port::ActDone& done, core::Now now, core::Orders& orders) {
  if (!done.ok || done.xml.empty()) return;  // gone: libvirt's list has said so
  member_.step(core::GuestDefinition{done.guest, done.name, done.xml, done.memory_kib, done.vcpus},
               now, orders);
}

void Loop::describe_own() {
  if (described_ || !hypervisor_up_ || !member_.ready()) return;
  described_ = true;
  for (const auto& view : member_.guests()) {
    if (view.owner != options_.member.self) continue;
    const Ticket ticket{kDescriptionTickets | ++last_description_};
    descriptions_.insert(ticket);
    ports_.hypervisor.describe(ticket, to_uuid(view.entry.guest));
  }
}

// Durable writes first, then beats, power requests, reads, guests, words to peers and people. What
// depends on a write comes with the input that confirms it.
void Loop::carry_out(core::Orders& orders, core::Now now) {
  write_records(orders);
  for (const auto& beat : orders.beats) send_beat(beat, orders.words);
  for (const auto& publish : orders.publish)
    ports_.volume.publish({++progress_, publish.sees_mgmt, publish.sees_storage,
                           publish.sees_disk, publish.load, publish.unasked,
                           publish.votes_under, publish.yielded, publish.level,
                           publish.speaks});
  for (auto& extend : orders.extends)
    ports_.volume.extend(extend.stamp, std::move(extend.unasked));
  for (const auto& vote : orders.votes) ports_.quorum.vote(vote);
  // A stall since this turn began may have outlasted the right to act, and the silence as well.
  for (const auto& off : orders.switch_off) {
    if (!may_act())
      own_inputs_.push_back(core::PowerOffTaken{off.ticket, off.host, false,
                                                "this host may not act now; nothing was sent",
                                                false});
    else
      ports_.power.power_off(off.ticket, off.host);
  }
  for (const auto& ask : orders.ask_power) ports_.power.ask(ask.ticket, ask.host);
  for (auto& read : orders.reads) ports_.volume.read(read.ticket, std::move(read.cells));
  // A guest must be on the list that the hook falls back to before it can be started here.
  if (member_.ready() && listed_ != member_.board_revision()) {
    listed_ = member_.board_revision();
    if (auto list = member_.protected_guests(); list != protected_) {
      protected_ = std::move(list);
      events_.protected_(protected_);
    }
  }
  for (const auto& one : orders.list_starts) ports_.volume.list_start(one.ticket, one.guest);
  for (const auto& one : orders.settle_starts)
    ports_.volume.settle_start(one.guest, one.process);
  for (const auto& guest : orders.unlist) ports_.volume.unlist(guest);
  for (const auto& one : orders.acts) act(one);
  describe_own();
  for (const auto& please : orders.asks) send_to_ring(please);
  for (const auto& ask : orders.operator_asks) send_to_ring(ask);
  for (const auto& answer : orders.operator_answers) send_to_ring(answer);
  for (const auto& note : orders.notes) tell(note, now);
  for (const auto& reply : orders.replies) events_.reply(reply);
}

}  // namespace wardom::runtime
