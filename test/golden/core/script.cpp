#include "test/golden/core/script.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "libha/core/guest_life.hpp"

namespace wardom::golden {
namespace {

using std::chrono::milliseconds;
constexpr HostId kSelf{1};
constexpr Duration kTick = milliseconds{25};

std::string host_text(HostId host) { return "host " + std::to_string(host.value); }

std::vector<std::string> split(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

[[noreturn]] void bad(const std::string& line) {
  std::fprintf(stderr, "no such line in a script: %s\n", line.c_str());
  std::exit(2);
}

}  // namespace

Script::Script() {
  settings_.self = kSelf;
  settings_.members = {HostId{1}, HostId{2}, HostId{3}};
  settings_.with_bmc = {HostId{2}, HostId{3}};
  settings_.seed = 1;
  for (HostId host : settings_.members) {
    auto& peer = peers_[host];
    peer.incarnation.number = 5;
    peer.incarnation.id.bytes[0] = static_cast<std::uint8_t>(host.value);
  }
}

GuestId Script::guest(const std::string& name) {
  GuestId id;
  std::copy(name.begin(), name.end(), id.bytes.begin());
  return id;
}
std::string Script::name(const GuestId& guest) {
  const auto* text = reinterpret_cast<const char*>(guest.bytes.data());
  return std::string(text, std::find(text, text + guest.bytes.size(), '\0'));
}

GuestEntry Script::entry(const std::string& name, Incarnation holder) const {
  GuestEntry entry;
  entry.guest = guest(name);
  entry.name = name;
  entry.generation = Generation{1};
  entry.phase = GuestPhase::holding;
  entry.holder = holder;
  entry.memory_kib = 1024 * 1024;
  entry.vcpus = 1;
  entry.xml = "<domain/>";
  return entry;
}

namespace {
HostId host_of(const std::string& word) {
  return HostId{static_cast<std::uint16_t>(std::stoi(word))};
}
std::string way_text(const GuestEntry& entry) {
  if (!entry.hand_over) return {};
  const auto other = host_text(entry.hand_over->other);
  switch (entry.phase) {
    case GuestPhase::claimed_incoming:
      return " from " + other + (entry.hand_over->done ? ", ready" : "");
    case GuestPhase::yielded:
      return ", gone to " + other;
    default:
      return ", to go to " + other;
  }
}
}  // namespace

std::string Script::feed(const std::string& line) {
  out_.clear();
  const auto words = split(line);
  if (words[0] == "guests")
    guests(HostId{static_cast<std::uint16_t>(std::stoi(words[1]))},
           {words.begin() + 2, words.end()});
  else if (words[0] == "start" || words[0] == "restart")
    start({words.begin() + 1, words.end()});
  else if (words[0] == "run")
    run(milliseconds{std::stoi(words[1])});
  else if (words[0] == "stall")
    stall(milliseconds{std::stoi(words[1])});
  else if (words[0] == "host")
    set_host(words);
  else if (words[0] == "stays-up")
    stays_up_ = true;
  else if (words[0] == "volume")
    volume_hangs_ = words[1] == "hangs";
  else if (words[0] == "keeper") {
    released_ = true;
    tell_rights();
  } else if (words[0] == "protect" || words[0] == "unprotect")
    ask_for(words[0], words[1]);
  else if (words[0] == "pacemaker")
    say_pacemaker(words);
  else if (words[0] == "operator")
    say_operator(words);
  else if (words[0] == "hook") {
    const auto op = words.size() > 2 && words[2] == "prepare" ? core::HookOp::prepare
                                                              : core::HookOp::start;
    say_hook(words[1], op, "allows " + words[1]);
  } else if (words[0] == "libvirt")
    step(core::GuestSeen{guest(words[2]), words[2],
                         words[1] == "runs"     ? core::Running::yes
                         : words[1] == "pauses" ? core::Running::paused
                                                : core::Running::no,
                         words[1] == "shuts-down" ? core::Stopped::by_guest : core::Stopped::none,
                         true});
  else if (words[0] == "start-answer")
    step(core::ActDone{starts_[words[1]], core::Act::start, guest(words[1]), words[2] == "ok",
                       words[2] != "open",
                       words[2] == "ok"     ? core::Running::yes
                       : words[2] == "open" ? core::Running::unknown
                                            : core::Running::no,
                       core::Stopped::none, words[2] == "ok" ? "" : "cannot open the disk"});
  else if (words[0] == "migrate")
    step(core::MigrateGuest{Ticket{75}, guest(words[1]), host_of(words[2]),
                            milliseconds{std::stoi(words[3])}});
  else if (words[0] == "migration")
    end_migration(words[1], words[2]);
  else if (words[0] == "arrival")
    say_hook(words[1], core::HookOp::migrate, "lets " + words[1] + " in");
  else
    bad(line);
  return out_;
}

void Script::guests(HostId host, std::vector<std::string> names) {
  auto& peer = peers_.at(host);
  for (const auto& one : names) {
    const auto colon = one.find(':');
    peer.table.guests.push_back(entry(one.substr(0, colon), peer.incarnation));
    if (colon != std::string::npos)
      peer.table.guests.back().isolation = core::isolation_response(one.substr(colon + 1));
    if (one.ends_with(":managed")) peer.table.guests.back().manager = Manager::pacemaker;
  }
  ++peer.table_sequence;
  if (host == kSelf)
    stored_[{Region::table, 1}] = {true, peer.incarnation, Sequence{1}, peer.table};
}

void Script::start(const std::vector<std::string>& running) {
  member_ = std::make_unique<core::Member>(settings_);
  answers_.clear();
  core::VolumeReady ready;
  ready.incarnation = peers_.at(kSelf).incarnation;
  ready.volume_hosts = 3;
  ready.stays_up = stays_up_;
  for (const auto& [guest, one] : listed_) ready.listed.push_back(one);
  step(ready);
  tell_rights();
  core::HypervisorUp up;
  for (const auto& one : peers_.at(kSelf).table.guests)
    up.guests.push_back({one.guest, one.name, core::Running::yes, core::Stopped::none, true});
  for (const auto& one : running)
    up.guests.push_back({guest(one), one, core::Running::yes, core::Stopped::none, true});
  step(up);
  tell_quorum();
  step(core::RingMembers{settings_.members, {}, {}});
  run(milliseconds{12000});
  out_ += "  (all is well)\n";
}

void Script::step(const core::Input& input) {
  core::Orders orders;
  member_->step(input, {now_, {1000 + whole_ms(now_.since_boot)}}, orders);
  carry_out(std::move(orders));
}

void Script::run(Duration time) {
  for (const auto until = now_ + time; now_ < until;) {
    now_ = now_ + kTick;
    tick();
  }
}

void Script::stall(Duration time) {
  now_ = now_ + time;
  while (now_.since_boot / kTick % 4 != 0) now_ = now_ + kTick;
  tick();
}

void Script::tick() {
  const auto count = now_.since_boot / kTick;
  for (auto& [host, peer] : peers_) {
    if (peer.slot && count % 10 == 0) ++peer.slot_sequence;
    if (peer.daemon) ++peer.progress;
    if (host == kSelf || count % 4 != 0) continue;
    ++peer.beat_sequence;
    for (Link link : {Link::mgmt, Link::storage}) {
      if (!(link == Link::mgmt ? peer.mgmt : peer.storage)) continue;
      Beat beat;
      beat.from = host;
      beat.incarnation = peer.incarnation;
      beat.link = link;
      beat.run = 7 + peer.incarnation.number;
      beat.epoch = peer.epoch;
      beat.sequence = Sequence{peer.beat_sequence};
      for (const auto& [other, view] : peers_) {
        if (view.mgmt) beat.sees_mgmt.set(other.value - 1u);
        if (view.storage) beat.sees_storage.set(other.value - 1u);
      }
      beat.leaving = peer.leaves;
      beat.lying_bmc = peer.accuses;
      beat.table_sequence = Sequence{peer.table_sequence};
      beat.volume_ok = beat.hypervisor_ok = true;
      beat.load = {static_cast<std::uint32_t>(100 * host.value), 8, 65536, 60000};
      step(core::BeatSeen{beat});
    }
  }
  if (count % 10 == 0 && !volume_hangs_) {
    step(core::OwnHeartbeat{Sequence{peers_.at(kSelf).slot_sequence}, {}});
    tell_rights();
  }
  for (const auto& answer : std::exchange(answers_, {})) step(answer);
  core::Orders orders;
  member_->tick({now_, {1000 + whole_ms(now_.since_boot)}}, orders);
  carry_out(std::move(orders));
}

core::CellSeen Script::cell(const Cell& where) const {
  core::CellSeen seen;
  seen.cell = where;
  const HostId host{static_cast<std::uint16_t>(where.index)};  // the ballots' base is 0
  const auto& peer = peers_.at(host);
  seen.writer = host;
  seen.incarnation = peer.incarnation;
  seen.health = core::CellHealth::valid;
  if (where.region == Region::slot) {
    Slot slot;
    slot.state = SlotState::up;
    slot.machine_id.bytes[0] = static_cast<std::uint8_t>(host.value);
    slot.boot_id.bytes[0] = static_cast<std::uint8_t>(peer.incarnation.number);
    slot.raw_ns = static_cast<std::uint64_t>((now_ - peer.booted).count());
    slot.daemon_progress = peer.progress;
    slot.sees_mgmt = peer.sees;
    slot.t_f_ms = static_cast<std::uint32_t>(whole_ms(settings_.timing.feed_window));
    slot.w_ms = peer.w_ms;
    slot.daemon_epoch = peer.epoch;
    slot.start_listed = peer.start_listed;
    slot.load = {static_cast<std::uint32_t>(100 * host.value), 8, 65536, 60000};
    seen.sequence = Sequence{peer.slot_sequence};
    seen.content = slot;
    return seen;
  }
  if (host != kSelf && where.region == Region::table && peer.table_sequence > 0) {
    seen.sequence = Sequence{peer.table_sequence};
    seen.content = peer.table;
    return seen;
  }
  const auto found = stored_.find(where);
  if (found == stored_.end()) {
    seen.health = core::CellHealth::empty;
    return seen;
  }
  seen.sequence = found->second.sequence;
  seen.content = found->second.content;
  return seen;
}

void Script::carry_out(core::Orders orders) {
  for (const auto& ask : orders.asks) answers_.push_back(ask);  // the ring brings it back
  for (const auto& write : orders.ballots) {
    auto& kept = stored_[{Region::ballot, 1}];
    kept = {true, peers_.at(kSelf).incarnation, kept.sequence.next(), write.ballot};
    answers_.push_back(core::CellWritten{write.ticket, {Region::ballot, 1}, true, kept.sequence,
                                         ""});
  }
  for (const auto& write : orders.decisions) {
    auto& kept = stored_[{Region::decision, 1}];
    kept = {true, peers_.at(kSelf).incarnation, kept.sequence.next(), write.decision};
    tell_decision(write.decision);
    answers_.push_back(core::CellWritten{write.ticket, {Region::decision, 1}, true, kept.sequence,
                                         ""});
  }
  for (const auto& write : orders.tables) {
    if (volume_hangs_) {
      answers_.push_back(core::CellWritten{write.ticket, {Region::table, 1}, false, {}, "hangs"});
      continue;
    }
    auto& kept = stored_[{Region::table, 1}];
    kept = {true, peers_.at(kSelf).incarnation, kept.sequence.next(), write.table};
    tell_table(write.table);
    answers_.push_back(core::CellWritten{write.ticket, {Region::table, 1}, true, kept.sequence,
                                         ""});
  }
  for (const auto& off : orders.switch_off) {
    say("-> power off " + host_text(off.host));
    answers_.push_back(core::PowerOffTaken{off.ticket, off.host, true, ""});
  }
  for (const auto& ask : orders.ask_power) {
    const auto& peer = peers_.at(ask.host);
    answers_.push_back(core::PowerSeen{ask.ticket, ask.host,
                                       peer.bmc_answers ? peer.bmc : core::Power::unknown,
                                       peer.bmc_answers ? "" : "no answer"});
  }
  for (const auto& read : orders.reads) {
    core::CellsRead done{read.ticket, {}};
    for (const auto& where : read.cells) done.cells.push_back(cell(where));
    answers_.push_back(std::move(done));
  }
  for (const auto& list : orders.list_starts) {
    listed_[list.guest] = {list.guest, {}, DaemonEpoch{}};
    answers_.push_back(core::StartListed{list.ticket, list.guest, true, ""});
  }
  for (const auto& settled : orders.settle_starts)
    listed_[settled.guest] = {settled.guest, settled.process, {}};
  for (const auto& guest : orders.unlist) listed_.erase(guest);
  for (const auto& act : orders.acts) {
    if (act.act == core::Act::start) {
      starts_[act.name] = act.ticket;
      say("-> libvirt starts " + act.name);
    } else if (act.act == core::Act::resume) {
      starts_[act.name] = act.ticket;
      say("-> libvirt resumes " + act.name);
    } else if (act.act == core::Act::migrate) {
      starts_[act.name] = act.ticket;
      say("-> libvirt sends " + act.name + " to " + host_text(act.to));
    } else if (act.act == core::Act::abort_migration) {
      say("-> libvirt sends " + act.name + " no more");
      answers_.push_back(core::ActDone{act.ticket, act.act, act.guest, true, true,
                                       core::Running::yes, core::Stopped::none, ""});
    } else if (act.act == core::Act::shutdown) {
      say("-> libvirt presses the power button of " + act.name);
      answers_.push_back(core::ActDone{act.ticket, act.act, act.guest, true, true,
                                       core::Running::yes, core::Stopped::none, ""});
    } else if (act.act == core::Act::kill) {
      say("-> libvirt kills " + act.name);
      answers_.push_back(core::ActDone{act.ticket, act.act, act.guest, true, true,
                                       core::Running::no, core::Stopped::none, ""});
    } else if (act.act == core::Act::undefine) {
      say("-> libvirt forgets " + act.name);
      answers_.push_back(core::GuestDefinition{act.guest, act.name, "", 0, 0});
      answers_.push_back(core::ActDone{act.ticket, act.act, act.guest, true, true,
                                       core::Running::no, core::Stopped::none, ""});
    }
  }
  for (const auto& note : orders.notes) say(note.text);
  for (const auto& reply : orders.replies)
    say(reply.ok ? "-> operator: done" + (reply.text.empty() ? "" : ", " + reply.text)
                 : "-> operator: exit " + std::to_string(reply.exit_code) + ", " + reply.text);
}

void Script::say_operator(const std::vector<std::string>& words) {
  core::OperatorAsk ask;
  ask.from = kSelf;
  ask.request = Ticket{77};
  ask.by = "root on host 1";
  if (words[1] == "confirm-dead") {
    ask.host = HostId{static_cast<std::uint16_t>(std::stoi(words[2]))};
    ask.incarnation = peers_.at(ask.host).incarnation;
  } else if (words[1] == "disarm") {
    ask.wish = core::Wish::disarm;
    ask.time = milliseconds{std::stoi(words[2])};
  } else if (words[1] == "trust-bmc") {
    ask.wish = core::Wish::trust_bmc;
    ask.host = HostId{static_cast<std::uint16_t>(std::stoi(words[2]))};
  } else if (words[1] == "fence") {
    ask.wish = words.back() == "unless-split" ? core::Wish::fence_unless_split
                                              : core::Wish::fence;
    ask.host = HostId{static_cast<std::uint16_t>(std::stoi(words[2]))};
    ask.time = milliseconds{std::stoi(words[3])};
  } else {
    ask.wish = core::Wish::arm;
  }
  step(ask);
}

void Script::tell_rights() {
  const auto window = settings_.timing.feed_window;
  const Instant until = now_ + window;
  step(released_ ? core::Rights{LeaseState::released, {}, until, false,
                                peers_.at(kSelf).incarnation}
                 : core::Rights{LeaseState::held, now_ + window / 2, until, false, {}});
}

void Script::ask_for(const std::string& what, const std::string& name) {
  if (what == "unprotect") return step(core::Unprotect{Ticket{78}, guest(name)});
  auto asked = entry(name, {});
  asked.wanted = Wanted::stopped;
  step(core::Protect{Ticket{79}, asked});
}

void Script::say_pacemaker(const std::vector<std::string>& words) {
  const auto& name = words[2];
  if (words[1] == "stops")
    return step(core::StopGuest{Ticket{77}, guest(name), name, milliseconds{std::stoi(words[3])},
                                milliseconds{20000}});
  auto asked = entry(name, {});
  if (words.size() < 4) asked.xml.clear();
  step(core::StartGuest{Ticket{76}, asked, milliseconds{20000}});
}

void Script::end_migration(const std::string& name, const std::string& how) {
  core::ActDone done;
  done.ticket = starts_[name];
  done.act = core::Act::migrate;
  done.guest = guest(name);
  done.ok = how == "ok";
  done.settled = how != "open";
  done.running = done.ok        ? core::Running::no
                 : done.settled ? core::Running::yes
                                : core::Running::unknown;
  if (done.ok) done.stopped = core::Stopped::migrated;
  if (!done.ok) done.error = "the connection to the destination broke";
  step(done);
}

void Script::say_hook(const std::string& name, core::HookOp op, const std::string& allows) {
  const auto answer = member_->may_start(guest(name), name, op, now_);
  say("-> the hook " + (answer.allowed ? allows : "refuses: " + answer.reason));
  if (answer.allowed && answer.known) step(core::HookAllowed{guest(name), op});
}

void Script::say(const std::string& text) {
  char at[32];
  std::snprintf(at, sizeof at, "  %9.3f ", static_cast<double>(now_.since_boot.count()) / 1e9);
  out_ += at + text + "\n";
}

void Script::tell_decision(const Decision& decision) {
  std::string text = "-> decision " + std::to_string(decision.version.value) + ":";
  for (const auto& verdict : decision.verdicts)
    text += " " + host_text(verdict.host) + " incarnation " +
            std::to_string(verdict.incarnation.number) + " dead;";
  if (decision.disarmed)
    text += " disarmed, " + std::to_string(decision.disarmed->left.count()) + " ms left;";
  for (const auto& liar : decision.lying_bmcs)
    text += " the BMC of " + host_text(liar.host) + (liar.lies() ? " lies" : " is mended") +
            " in boot " +
            std::to_string(liar.boot) + ";";
  for (const auto& assignment : decision.assignments)
    text += " " + name(assignment.guest) + "/" + std::to_string(assignment.generation.value) +
            " to " + host_text(assignment.target) + ";";
  last_decision_ = decision;
  say(text);
}

void Script::tell_table(const HostTable& table) {
  std::string text = "-> table:";
  for (const auto& one : table.guests)
    text += " " + one.name + "/" + std::to_string(one.generation.value) + " " +
            core::to_text(one.phase) + (one.parting ? ", parting" : "") + way_text(one) + ";";
  say(text);
}

void Script::tell_quorum() {
  if (!member_) return;  // what it is told at its start
  core::RingQuorum quorum;
  for (const auto& [host, peer] : peers_)
    if (peer.corosync) quorum.nodes.push_back(host);
  quorum.quorate = quorum.nodes.size() > 1;
  step(quorum);
}

// Of a live migration, as one host's table says it.
void Script::set_way(HostId host, const std::string& name, GuestPhase phase, bool done) {
  auto& peer = peers_.at(host);
  const bool incoming = phase == GuestPhase::claimed_incoming;
  GuestEntry fresh = entry(name, peer.incarnation);
  Generation given;
  for (const auto& assignment : last_decision_.assignments)
    if (assignment.guest == fresh.guest) given = assignment.generation;
  fresh.phase = phase;
  fresh.epoch = peer.epoch;
  if (incoming) fresh.generation = given;
  fresh.hand_over = HandOver{kSelf, incoming ? Generation{1} : given, done};
  std::erase_if(peer.table.guests, [&](const auto& old) { return old.guest == fresh.guest; });
  peer.table.guests.push_back(fresh);
  ++peer.table_sequence;
}

void Script::set_entry(Peer& peer, HostId host, const std::string& name, GuestPhase phase) {
  GuestEntry fresh = entry(name, peer.incarnation);
  for (const auto& assignment : last_decision_.assignments)
    if (assignment.guest == fresh.guest && assignment.target == host)
      fresh.generation = assignment.generation;
  fresh.phase = phase;
  fresh.epoch = peer.epoch;
  if (phase == GuestPhase::refused) fresh.reason = "cannot open the disk";
  if (phase == GuestPhase::yielded) {
    fresh.reason = "isolated for 10.0 s: killed";
    fresh.recovery.bytes[0] = 7;
  }
  std::erase_if(peer.table.guests, [&](const auto& old) { return old.guest == fresh.guest; });
  peer.table.guests.push_back(fresh);
  ++peer.table_sequence;
}

// By a ballot that nobody here has seen anything of.
void Script::take_lock(HostId host) {
  LockVersion highest;
  for (HostId one : settings_.members)
    if (const auto kept = stored_.find({Region::ballot, one.value}); kept != stored_.end())
      highest = std::max(highest, std::get<Ballot>(kept->second.content).decided);
  const auto& peer = peers_.at(host);
  Ballot ballot;
  ballot.decided = highest.next();
  ballot.value.owner = {host, peer.incarnation, peer.epoch};
  for (HostId one : settings_.members) ballot.value.directory.push_back({one, false, 1});
  auto& kept = stored_[{Region::ballot, host.value}];
  kept = {true, peer.incarnation, kept.sequence.next(), ballot};
}

void Script::set_host(const std::vector<std::string>& words) {
  const HostId host{static_cast<std::uint16_t>(std::stoi(words[1]))};
  auto& peer = peers_.at(host);
  const auto& what = words[2];
  if (what == "beats") {
    peer.mgmt = words[3] == "both" || words[3] == "mgmt";
    peer.storage = words[3] == "both" || words[3] == "storage";
  } else if (what == "slot") {
    peer.slot = words[3] == "grows";
  } else if (what == "daemon") {
    peer.daemon = words[3] == "up";
  } else if (what == "epoch") {
    peer.epoch = DaemonEpoch{static_cast<std::uint32_t>(std::stoi(words[3]))};
    peer.start_listed = words.back() == "listed";
  } else if (what == "bmc") {
    peer.bmc_answers = words[3] != "unreachable";
    peer.bmc = words[3] == "off" ? core::Power::off : core::Power::on;
  } else if (what == "corosync") {
    peer.corosync = words[3] == "member";
    tell_quorum();
  } else if (what == "sees") {
    peer.sees.reset();
    for (const char* at = words[3].c_str(); *at != '\0'; ++at)
      if (*at >= '1' && *at <= '3') peer.sees.set(static_cast<std::size_t>(*at - '1'));
  } else if (what == "takes-lock") {
    take_lock(host);
  } else if (what == "lease") {
    peer.w_ms = static_cast<std::uint32_t>(std::stoul(words[3]));
  } else if (what == "accuses") {
    peer.accuses = {HostId{static_cast<std::uint16_t>(std::stoi(words[3]))}, std::stoull(words[4])};
  } else if (what == "leaves") {
    peer.leaves = true;
  } else if (what == "claims") {
    set_entry(peer, host, words[3], GuestPhase::claimed);
  } else if (what == "holds") {
    set_entry(peer, host, words[3], GuestPhase::holding);
  } else if (what == "refuses") {
    set_entry(peer, host, words[3], GuestPhase::refused);
  } else if (what == "arrives") {
    set_way(host, words[3], GuestPhase::claimed_incoming, words.back() == "ready");
  } else if (what == "offers") {
    set_way(host, words[3], GuestPhase::holding, false);
  } else if (what == "sent") {
    set_way(host, words[3], GuestPhase::yielded, true);
  } else if (what == "asks") {
    step(core::PleaseAssign{host, peer.incarnation, peer.epoch, guest(words[3]), 0, false, kSelf});
  } else if (what == "yields") {
    set_entry(peer, host, words[3], GuestPhase::yielded);
  } else if (what == "reboots") {
    ++peer.incarnation.number;
    peer.booted = now_;
    ++peer.slot_sequence;
  } else {
    bad(words[0] + " " + words[1] + " " + what);
  }
}

}  // namespace wardom::golden
