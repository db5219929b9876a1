#include "test/sim/world.hpp"

#include <algorithm>
#include <cstdio>

namespace wardom::sim {
namespace {

constexpr std::uint64_t kSecret = 7;
constexpr int kRestless = 1000;

std::array<std::uint8_t, 32> secret() {
  std::array<std::uint8_t, 32> bytes{};
  bytes.fill(kSecret);
  return bytes;
}

std::uint64_t digest_of(const HostsFile& file) {
  std::uint64_t digest = file.members.to_ullong();
  for (const auto& moved : file.moved) digest = digest * 1099511628211ULL + moved.to_ullong();
  return digest;
}

}  // namespace

wire::Key beat_key() { return wire::Key(secret()); }

Domain::Domain(Options o)
    : options(std::move(o)),
      net(options.seed, 1),
      disk(options.seed, 2),
      machine(options.seed, 3),
      virt(options.seed, 4),
      ids(options.seed, 5),
      crm(options.seed, 7),
      movers(options.seed, 8) {
  for (std::size_t i = 0; i < options.hosts; ++i) {
    auto host = std::make_unique<Host>();
    host->id = HostId{static_cast<std::uint16_t>(i + 1)};
    host->index = i;
    host->acks_lost = options.acks_lost;
    if (options.upgrades) host->speaks.newest = kFirstLevel;
    if (options.file) host->file = *options.file;
    host->clock_ppm = static_cast<std::int64_t>(machine.below(20001)) - 10000;
    if (machine.chance(300)) host->clock_ppm = machine.chance(500) ? 10000 : -10000;
    hosts.push_back(std::move(host));
  }
  Stream responses(options.seed, 6);
  for (std::size_t i = 0; i < options.guests; ++i) {
    GuestTruth guest;
    guest.id.bytes.fill(static_cast<std::uint8_t>(0xa0 + i));
    guest.name = "g" + std::to_string(i);
    // Half of them have a response that ends them.
    constexpr std::optional<IsolationResponse> kResponses[] = {
        std::nullopt, IsolationResponse::leave, IsolationResponse::shutdown,
        IsolationResponse::kill};
    guest.isolation = options.isolation ? options.isolation : kResponses[responses.below(4)];
    guests.push_back(guest);
  }
  clock.in(ms(50), [this] { ring_tick(); });
}

Domain::~Domain() = default;

void Domain::trace(const std::string& text) const {
  if (!options.trace) return;
  std::printf("%10.4f %s\n", static_cast<double>(clock.now().count()) / 1e9, text.c_str());
}

void Domain::fail(int code, const std::string& what) {
  if (violation) return;
  char at[32];
  std::snprintf(at, sizeof at, "at %.4f s: ", static_cast<double>(clock.now().count()) / 1e9);
  violation = Violation{code, at + what};
  trace("VIOLATION " + what);
}

Duration Domain::local(const Host& host, Time at) const {
  const auto up = (at - host.booted).count();
  return Duration{up + up / 1000000 * host.clock_ppm};
}

Time Domain::when(const Host& host, Instant at) const {
  if (at == Instant::never()) return Time::max();
  // local() the other way round, rounded up: a turn before its time would have nothing to do.
  const auto passed = at.since_boot.count();
  const auto rate = 1000000 + host.clock_ppm;
  return host.booted + Duration{passed / rate * 1000000 + passed % rate * 1000000 / rate} + us(20);
}

// ---- machine ------------------------------------------------------------------------------------

void Domain::power_on(Host& host, Duration boot_time) {
  if (host.powered || !host.bmc.powered) return;
  trace("host " + std::to_string(host.id.value) + " is powered on");
  host.powered = true;
  host.frozen = false;
  ++host.life;
  host.booted = clock.now();
  host.joined = false;
  host.libvirt_words.clear();
  on_host(host, boot_time, [this, &host] { boot(host); });
}

void Domain::power_off(Host& host, bool pull, Duration late) {
  if (pull) host.bmc.powered = false;
  if (!host.powered) return;
  host.ended_life = host.life;
  host.late_until = clock.now() + late;
  // What an earlier reset of this host has left under way goes with the power.
  for (auto& [guest, last] : written_until)
    if (last.from == host.id) last.until = std::min(last.until, clock.now() + late);
  for (const auto& [guest, qemu] : host.qemus)
    written_until[guest] = {host.id, clock.now() + disk.between(Duration{0}, late)};
  for (auto& io : std::exchange(host.stalled, {})) clock.in(disk.between(us(10), kLate), io);
  trace("host " + std::to_string(host.id.value) + (pull ? " is pulled" : " is powered off"));
  host.powered = false;
  host.frozen = false;
  ++host.life;
  ++host.keeper_life;
  ++host.daemon_life;
  ++host.libvirt_life;
  host.deferred.clear();
  host.qemus.clear();
  host.sending.clear();
  host.arrivals.clear();
  host.migrated.clear();
  host.loop.reset();
  host.inbox.clear();
  host.keeper_up = host.volume_told = host.joined = host.daemon_hung = host.ring_formed = false;
  host.ring.reset();
  host.ring_held.clear();
  host.cares.clear();
  host.in_flight.clear();
  host.flying = 0;
  host.busy_until.clear();
  host.turn_at = host.timer_at = Time::max();
  host.busy_till = Time{0};
  host.listed.clear();
  host.ladder.reset();
  host.ride.reset();
  host.request = {};
  host.grants.clear();
  host.votes = {};
  host.votes_under = {};
  host.released.reset();
  host.earlier.clear();
  host.renew = false;
  host.dog = {};
  host.epoch = {};
  host.greeted = 0;
  host.suspended = false;
  host.hold = {};
  host.may_serve = false;
}

void Domain::boot(Host& host) {
  host.corosync_up = host.libvirt_up = true;
  start_keeper(host);
  on_host(host, machine.between(ms(50), ms(500)), [this, &host] { start_daemon(host); });
}

void Domain::freeze(Host& host) {
  if (!host.powered || host.frozen) return;
  trace("host " + std::to_string(host.id.value) + " hangs");
  feed(host);
  host.frozen = true;
}

void Domain::thaw(Host& host) {
  if (!host.frozen) return;
  trace("host " + std::to_string(host.id.value) + " goes on");
  host.frozen = false;
  if (host.suspended) {  // its clock stood still, and so did its watchdog
    const auto time = clock.now() - host.suspended_at;
    host.suspended = false;
    host.booted += time;
    host.dog.fed += time;
    watch_dog(host);
  }
  for (auto& what : std::exchange(host.deferred, {}))
    on_host(host, machine.between(us(0), ms(5)), std::move(what));
}

void Domain::suspend(Host& host) {
  if (!host.powered || host.frozen) return;
  freeze(host);
  host.suspended = true;
  host.suspended_at = clock.now();
}

void Domain::resume(Host& host) {
  if (host.suspended) thaw(host);
}

// ---- the daemon ---------------------------------------------------------------------------------

void Domain::start_daemon(Host& host) {
  if (host.loop || !host.powered) return;
  if (!host.file.members.test(host.index))
    return trace("daemon " + std::to_string(host.id.value) + " is not named in its wardom.toml");
  trace("daemon " + std::to_string(host.id.value) + " starts");
  ++host.daemon_life;
  host.daemon_hung = host.volume_told = false;
  host.inbox.clear();
  host.daemons_told.reset();
  host.hands = std::make_unique<Hands>(*this, host);
  core::MemberSettings member;
  member.self = host.id;
  host.running = host.file;
  for (const auto& one : hosts) {
    if (!host.file.members.test(one->index)) continue;
    member.members.push_back(one->id);
    if (one->id != host.id) member.with_bmc.push_back(one->id);
  }
  member.timing = options.timing;
  member.config_digest = digest_of(host.file) << 32;
  member.memory_reserve_mib = 64;
  member.stay_up = options.stays_up;
  member.ride_out = rides_out(host);
  member.grants_always = options.grants_always;
  member.seed = ids.next();
  member.speaks = host.speaks;
  runtime::LoopEvents events;
  events.note = [this, &host](const core::Note& note, WallTime) {
    if (note.source == "target" && note.step == "stays") ++marks["isolation response called off"];
    if (options.trace)
      trace("  [" + std::to_string(host.id.value) + "] " + note.source +
            (note.host == kNoHost ? "" : " host " + std::to_string(note.host.value)) +
            (note.guest.is_zero() ? "" : " guest " + truth(note.guest)->name) + ": " + note.text);
  };
  events.reply = [this, &host](const core::Reply& reply) {
    if (host.fencings.contains(reply.request.value)) return fenced(host, reply);
    if (take_answer(host, reply) || take_moved(host, reply)) return;
    const auto found = host.replies.find(reply.request.value);
    if (found == host.replies.end()) return fail(129, "a reply to nobody");
    auto* guest = truth(found->second.first);
    trace("  [" + std::to_string(host.id.value) + "] reply about " + guest->name + ": " +
          (reply.ok ? "ok" : reply.text));
    if (reply.ok) guest->is_protected = found->second.second;
    host.replies.erase(found);
  };
  events.step = [](const wire::StepMessage&) {};
  events.described = [](const port::ActDone&) {};
  events.protected_ = [](const std::vector<GuestId>&) {};
  events.device_asked = [](const wire::DeviceAsk&) {};
  events.device_round = [](const runtime::DeviceRounds::Ended&) {};
  host.loop = std::make_unique<runtime::Loop>(
      runtime::LoopOptions{member, secret(), {}, {}, ids.next() | 1},
      runtime::Clock{[this, &host] {
        host.last_now = std::max(local(host, clock.now()), host.last_now + Duration{1});
        return core::Now{{host.last_now},
                         {1700000000000 + whole_ms(clock.now()) + 3 * host.id.value +
                          host.wall_off_ms}};
      }},
      runtime::Ports{*host.hands, *host.hands, *host.hands, *host.hands, *host.hands,
                     *host.hands},
      std::move(events));
  host.last_now = Duration{0};
  greet(host);
  if (host.libvirt_up) {
    const auto life = host.libvirt_life;
    on_host(host, machine.between(ms(5), ms(200)), [this, &host, life] {
      if (!host.libvirt_up || host.libvirt_life != life) return;
      port::HypervisorUp up;
      for (const auto& guest : guests)
        if (host.definitions.contains(guest.id) || host.has_qemu(guest.id))
          up.guests.push_back(state_of(host, guest.id));
      from_libvirt(host, us(50), up);
    });
  }
  to_daemon(host, ms(1), core::Input{Load{
                             static_cast<std::uint32_t>(machine.below(900)), 8, 65536, 60000}});
  tell_ring(host);
  wake(host);
}

void Domain::kill_daemon(Host& host) {
  if (!host.loop) return;
  trace("daemon " + std::to_string(host.id.value) + " is killed");
  ++host.daemon_life;
  host.loop.reset();
  host.inbox.clear();
  host.volume_told = host.daemon_hung = false;
  host.view = {};
  host.turn_at = Time::max();
  host.replies.clear();
  host.fencings.clear();
  host.orders.clear();
}

void Domain::hang_daemon(Host& host, bool hung) {
  if (!host.loop || host.daemon_hung == hung) return;
  trace("daemon " + std::to_string(host.id.value) + (hung ? " hangs" : " goes on"));
  host.daemon_hung = hung;
  if (!hung) wake(host);
}

void Domain::to_daemon(Host& host, Duration delay, runtime::Arrival arrival) {
  on_host(host, delay,
          [this, &host, life = host.daemon_life, arrival = std::move(arrival)]() mutable {
            arrive(host, life, std::move(arrival));
          });
}

void Domain::from_libvirt(Host& host, Duration delay, runtime::Arrival arrival) {
  host.libvirt_words.emplace_back(host.daemon_life, std::move(arrival));
  on_host(host, delay, [this, &host] {
    auto [life, word] = std::move(host.libvirt_words.front());
    host.libvirt_words.pop_front();
    arrive(host, life, std::move(word));
  });
}

void Domain::send_datagram(Host& to, Duration delay, Link link,
                           std::span<const std::uint8_t> bytes) {
  std::vector<std::uint8_t> copy;
  if (!spare_datagrams.empty()) {
    copy = std::move(spare_datagrams.back());
    spare_datagrams.pop_back();
  }
  copy.assign(bytes.begin(), bytes.end());
  on_host(to, delay, [this, &to, life = to.daemon_life, link, copy = std::move(copy)]() mutable {
    if (to.inbox.size() > 200) return;  // the socket's buffer is full
    arrive(to, life, port::Datagram{link, std::move(copy)});
  });
}

void Domain::arrive(Host& host, std::uint64_t daemon_life, runtime::Arrival arrival) {
  if (host.daemon_life != daemon_life || !host.loop) return;
  host.inbox.push_back(std::move(arrival));
  wake(host);
}

// A turn takes a moment: what comes meanwhile is taken together by the next one.
void Domain::wake(Host& host) {
  if (host.frozen || host.daemon_hung) return;
  if (clock.now() < host.busy_till) return schedule_turn(host, host.busy_till);
  turn(host);
}

void Domain::schedule_turn(Host& host, Time at) {
  host.turn_at = at;
  if (at >= host.timer_at) return;  // that event will see to it
  host.timer_at = at;
  clock.at(at, [this, &host, at, life = host.life] {
    if (host.life == life && host.timer_at == at) timer(host);  // else an earlier one ran
  });
}

void Domain::timer(Host& host) {
  host.timer_at = Time::max();
  if (host.turn_at == Time::max()) return;
  if (host.turn_at > clock.now()) return schedule_turn(host, host.turn_at);
  if (host.frozen)
    host.deferred.push_back([this, &host] { turn(host); });
  else
    turn(host);
}

void Domain::turn(Host& host) {
  host.turn_at = Time::max();
  if (!host.loop || host.daemon_hung || host.frozen || violation) return;
  ++turns;
  std::swap(host.inbox, taken);
  host.loop->turn(taken);
  for (auto& arrival : taken)
    if (auto* datagram = std::get_if<port::Datagram>(&arrival))
      spare_datagrams.push_back(std::move(datagram->bytes));
  taken.clear();
  host.busy_till = clock.now() + us(30);
  const auto deadline = when(host, host.loop->deadline());
  host.restless = deadline > clock.now() ? 0 : host.restless + 1;
  if (host.restless > kRestless)
    return fail(129, "Rests: the daemon of host " + std::to_string(host.id.value) +
                         " asks for turn after turn, and does nothing in them");
  if (deadline != Time::max()) schedule_turn(host, std::max(deadline, clock.now() + us(50)));
}

// ---- the ring -----------------------------------------------------------------------------------

namespace {
constexpr Duration kRingLook = ms(100);
constexpr Duration kReform = ms(2200);
}  // namespace

void Domain::ring_tick() {
  const auto up = [](const Host& h) {
    return h.powered && !h.frozen && h.corosync_up && h.joined;
  };
  const auto joined = [&](std::size_t a, std::size_t b) {
    if (hosts[a]->ring_apart || hosts[b]->ring_apart) return false;
    for (Link l : {Link::mgmt, Link::storage})
      if (link(a, b, l) && link(b, a, l)) return true;
    return false;
  };
  for (auto& host : hosts) {
    if (!up(*host)) continue;
    Places component;
    component.set(host->index);
    for (bool grown = true; grown;) {
      grown = false;
      for (auto& other : hosts) {
        if (component.test(other->index) || !up(*other)) continue;
        for (std::size_t c = 0; c < hosts.size() && !component.test(other->index); ++c)
          if (component.test(c) && joined(c, other->index)) component.set(other->index);
        grown = grown || component.test(other->index);
      }
    }
    if (component != host->ring_pending) {
      host->ring_pending = component;
      host->ring_pending_since = clock.now();
    }
    const bool settled = clock.now() - host->ring_pending_since >= kReform;
    if (settled && (component != host->ring || !host->ring_formed)) {
      const auto there = std::find_if(hosts.begin(), hosts.end(), [&](const auto& one) {
        return one != host && component.test(one->index) && up(*one) && one->ring_formed &&
               one->ring == component && one->votes.ring.sequence > host->ring_sequence;
      });
      if (there != hosts.end()) {
        enter_ring(*host, component, (*there)->votes.ring);
      } else {
        const RingId ring{host->id.value, ++rings_formed};
        enter_ring(*host, component, ring);
        // One that has left and come back: nobody stays in the ring as it was.
        for (auto& one : hosts)
          if (one != host && component.test(one->index) && up(*one) && one->ring_formed &&
              one->ring == component)
            enter_ring(*one, component, ring);
      }
    }
  }
  check_quorum();
  for (auto& host : hosts)
    if (host->ring_formed && host->loop) {
      connect_device(*host);
      Places daemons;
      for (std::size_t at = 0; at < hosts.size(); ++at)
        if (host->ring.test(at) && hosts[at]->loop) daemons.set(at);
      if (daemons != host->daemons_told) tell_ring(*host);
    }
  clock.in(kRingLook, [this] { ring_tick(); });
}

void Domain::enter_ring(Host& host, const Places& nodes, const RingId& ring) {
  host.ring = nodes;
  host.ring_formed = true;
  host.ring_sequence = ring.sequence;
  host.daemons_told.reset();
  form_ring(host, ring);
  tell_ring(host);
  for (auto& message : std::exchange(host.ring_held, {}))
    if (host.hands) host.hands->send(std::move(message));
}

void Domain::tell_ring(Host& host) {
  if (!host.ring_formed || !host.loop || !host.corosync_up || host.votes.syncing) return;
  port::RingQuorum quorum;
  quorum.quorate =
      options.quorum ? host.votes.quorate : host.ring.count() * 2 > hosts.size();
  port::RingMembers members;
  host.daemons_told.reset();
  for (std::size_t at = 0; at < hosts.size(); ++at) {
    if (!host.ring.test(at)) continue;
    quorum.nodes.push_back(hosts[at]->id);
    if (hosts[at]->loop) {
      members.daemons.push_back(hosts[at]->id);
      host.daemons_told.set(at);
    }
  }
  to_daemon(host, us(100), quorum);
  to_daemon(host, us(100), members);
}

// ---- guests -------------------------------------------------------------------------------------

GuestTruth* Domain::truth(GuestId guest) {
  for (auto& one : guests)
    if (one.id == guest) return &one;
  return nullptr;
}

Host* Domain::runner(GuestId guest) {
  for (auto& host : hosts)
    if (host->qemus.contains(guest)) return host.get();
  return nullptr;
}

std::string Domain::xml_of(GuestId guest, std::uint32_t version) const {
  return "<domain><uuid>" + to_uuid(guest) + "</uuid><version>" + std::to_string(version) +
         "</version></domain>";
}

std::uint32_t Domain::version_of(const std::string& xml) {
  const auto at = xml.find("<version>");
  return at == std::string::npos ? 0 : static_cast<std::uint32_t>(std::stoul(xml.substr(at + 9)));
}

port::GuestState Domain::state_of(const Host& host, GuestId guest) const {
  port::GuestState state;
  state.guest = guest;
  for (const auto& one : guests)
    if (one.id == guest) state.name = one.name;
  state.persistent = host.definitions.contains(guest);
  const auto sent = host.sending.find(guest);
  const bool stopped = sent != host.sending.end() && sent->second.stopped.has_value();
  state.state = host.qemus.contains(guest)                  ? port::RunState::running
                : host.arrivals.contains(guest) || stopped ? port::RunState::paused
                : state.persistent                          ? port::RunState::shut_off
                                                            : port::RunState::absent;
  if (state.state == port::RunState::shut_off && host.migrated.contains(guest))
    state.cause = port::StopCause::migrated;
  if (host.has_qemu(guest)) state.process = {2 + guest.bytes[15], host.life + 1, ""};
  return state;
}

// The one place where a guest begins to run, and so the place to look for a second runner.
void Domain::run_qemu(Host& host, GuestId guest, std::uint32_t version, const char* by) {
  for (auto& other : hosts)
    if (other->qemus.contains(guest))
      return fail(129, "OneRunner: " + truth(guest)->name + " starts on host " +
                           std::to_string(host.id.value) + " by " + by + ", and runs on host " +
                           std::to_string(other->id.value) + (other->frozen ? " (frozen)" : ""));
  if (const auto known = recorded.find(guest); known != recorded.end() && version < known->second)
    return fail(129, "a stale definition of " + truth(guest)->name + " is started: version " +
                         std::to_string(version) + ", recorded was " +
                         std::to_string(known->second));
  if (const auto last = written_until.find(guest);
      last != written_until.end() && clock.now() < last->second.until)
    return fail(129, "OneRunner: " + truth(guest)->name + " starts on host " +
                         std::to_string(host.id.value) +
                         " while a write of its dead runner is under way");
  trace("guest " + truth(guest)->name + " runs on host " + std::to_string(host.id.value) + " by " +
        by);
  host.qemus[guest] = Qemu{version, ++qemus_started};
  newest_qemu[guest] = qemus_started;
  host.migrated.erase(guest);
  acts = (acts ^ (guest.bytes[0] + 256 * host.id.value)) * 1099511628211ULL;
  acts = (acts ^ static_cast<std::uint64_t>(clock.now().count())) * 1099511628211ULL;
}

void Domain::stop_qemu(Host& host, GuestId guest, port::StopCause cause) {
  bool ended = host.qemus.erase(guest) + host.arrivals.erase(guest) > 0;
  if (const auto sent = host.sending.find(guest); sent != host.sending.end()) {
    ended = ended || sent->second.stopped;
    const auto answer = sent->second.answer;
    host.sending.erase(sent);
    answer(false, "the guest was ended");
  }
  if (!ended) return;
  host.migrated.erase(guest);
  trace("guest " + truth(guest)->name + " stops on host " + std::to_string(host.id.value));
  auto state = state_of(host, guest);
  state.cause = cause;
  if (host.libvirt_up) from_libvirt(host, us(200), port::GuestChanged{state});
}

void Domain::restart_libvirt(Host& host, Duration away) {
  if (!host.powered || !host.libvirt_up) return;
  trace("libvirtd " + std::to_string(host.id.value) + " goes down");
  host.libvirt_up = false;
  ++host.libvirt_life;
  std::erase_if(host.arrivals, [this](const auto& one) {
    return !one.second.whole || movers.chance(300);
  });
  from_libvirt(host, us(100), port::HypervisorDown{"connection reset"});
  on_host(host, away, [this, &host] {
    if (host.libvirt_up) return;
    host.libvirt_up = true;
    host.busy_until.clear();
    port::HypervisorUp up;
    for (const auto& guest : guests)
      if (host.definitions.contains(guest.id) || host.has_qemu(guest.id))
        up.guests.push_back(state_of(host, guest.id));
    from_libvirt(host, us(100), up);
  });
}

// ---- operators ----------------------------------------------------------------------------------

void Domain::protect(Host& host, GuestTruth& guest) {
  if (!host.loop || host.daemon_hung || host.frozen) return;
  core::Protect protect;
  protect.request = Ticket{ids.next() | (1ULL << 63)};
  protect.entry.guest = guest.id;
  protect.entry.name = guest.name;
  protect.entry.memory_kib = 1024 * 1024;
  protect.entry.vcpus = 1;
  protect.entry.isolation = guest.isolation;
  protect.entry.wanted = host.qemus.contains(guest.id) ? Wanted::running : Wanted::stopped;
  protect.entry.xml = xml_of(guest.id, host.definitions.contains(guest.id)
                                           ? host.definitions.at(guest.id)
                                           : guest.version);
  host.replies[protect.request.value] = {guest.id, true};
  to_daemon(host, us(10), core::Input{protect});
}

void Domain::unprotect(Host& host, GuestTruth& guest) {
  if (!host.loop || host.daemon_hung || host.frozen) return;
  core::Unprotect unprotect;
  unprotect.request = Ticket{ids.next() | (1ULL << 63)};
  unprotect.guest = guest.id;
  host.replies[unprotect.request.value] = {guest.id, false};
  to_daemon(host, us(10), core::Input{unprotect});
}

// Asks the daemon there, as the libvirt hook does.
bool Domain::hook_allows(Host& host, GuestId guest, core::HookOp op) {
  if (!host.loop || host.daemon_hung) return false;
  const auto answer =
      host.loop->member().may_start(guest, truth(guest)->name, op, host.loop->now().at);
  if (answer.allowed && answer.known)
    to_daemon(host, us(50), core::Input{core::HookAllowed{guest, op}});
  return answer.allowed;
}

// `virsh start`.
bool Domain::admin_start(Host& host, GuestTruth& guest) {
  if (!host.powered || host.frozen || !host.libvirt_up || host.has_qemu(guest.id) ||
      !host.definitions.contains(guest.id) || !guest.is_protected)
    return false;
  if (!hook_allows(host, guest.id, core::HookOp::prepare) ||
      !hook_allows(host, guest.id, core::HookOp::start))
    return false;
  run_qemu(host, guest.id, host.definitions.at(guest.id), "its administrator");
  guest.wanted = true;
  from_libvirt(host, us(200), port::GuestChanged{state_of(host, guest.id)});
  return true;
}

void Domain::admin_shutdown(GuestTruth& guest) {
  auto* host = runner(guest.id);
  if (host == nullptr || host->frozen || !host->libvirt_up || !host->loop) return;
  guest.wanted = false;
  stop_qemu(*host, guest.id, port::StopCause::guest_shutdown);
}

void Domain::redefine(GuestTruth& guest) {
  auto* host = runner(guest.id);
  if (host == nullptr || host->frozen || !host->libvirt_up) return;
  host->definitions[guest.id] = ++guest.version;
  from_libvirt(*host, us(300), port::GuestDefined{guest.id, guest.name,
                                               xml_of(guest.id, guest.version), 1024 * 1024, 1});
}

void Domain::fence(Host& host, Host& victim, Duration patience, bool wait, bool switches_on) {
  if (!host.loop || host.daemon_hung || host.frozen || &host == &victim) return;
  core::OperatorAsk ask;
  ask.from = host.id;
  ask.request = Ticket{ids.next() | (1ULL << 63)};
  ask.wish = wait ? core::Wish::fence_unless_split : core::Wish::fence;
  ask.host = victim.id;
  ask.time = std::chrono::floor<std::chrono::milliseconds>(patience);
  ask.by = "Pacemaker";
  host.fencings[ask.request.value] = {victim.index, victim.life, switches_on};
  ++marks["fencings asked for"];
  to_daemon(host, us(10), core::Input{ask});
}

void Domain::install(Host& host, const Levels& speaks) {
  if (host.speaks == speaks) return;
  trace("host " + std::to_string(host.id.value) + " gets the release of level " +
        std::to_string(speaks.newest.value));
  host.speaks = speaks;
  if (!host.joined) return;
  kill_keeper(host);
  on_host(host, machine.between(ms(50), ms(300)), [this, &host] {
    if (host.joined) start_keeper(host);
  });
  on_host(host, ms(2000), [this, &host] { kill_daemon(host); });
  on_host(host, machine.between(ms(2050), ms(2500)), [this, &host] {
    if (host.joined) start_daemon(host);
  });
}

// It begins on the next restart of its daemon, whatever causes that.
void Domain::reconfigure(Host& host, const HostsFile& file, Duration later) {
  trace("host " + std::to_string(host.id.value) + " gets a wardom.toml with the members " +
        file.members.to_string().substr(kMaxHosts - hosts.size()));
  host.file = file;
  on_host(host, later, [this, &host] {
    const bool boots = !host.loop && !host.joined;
    if (boots || (host.loop && host.running == host.file)) return;
    kill_daemon(host);
    on_host(host, machine.between(ms(50), ms(300)), [this, &host] { start_daemon(host); });
  });
}

// Datagrams go to the address that the sender's file has, from its own; the receiver takes what
// comes to its own address, from an address that its file has.
bool Domain::addressed(std::size_t from, std::size_t to, Link link) const {
  const auto& sender = hosts[from]->running;
  const auto& receiver = hosts[to]->running;
  const auto l = static_cast<std::size_t>(link);
  return receiver.members.test(from) && sender.moved[l].test(to) == receiver.moved[l].test(to) &&
         sender.moved[l].test(from) == receiver.moved[l].test(from);
}

// Some other host that works names it.
bool Domain::is_member(const Host& host) const {
  return std::any_of(hosts.begin(), hosts.end(), [&](const auto& one) {
    return one.get() != &host && one->loop && one->running.members.test(host.index);
  });
}

void Domain::heal() {
  trace("---- heal");
  healed = true;
  for (auto& from : cut)
    for (auto& to : from) to[0] = to[1] = false;
  for (auto& from : loss)
    for (auto& to : from) to[0] = to[1] = 0;
  abandon_hold(use.change);
  for (auto& host : hosts) {
    thaw(*host);
    hang_daemon(*host, false);
    set_storage(*host, true);
    host->storage_slow = Duration{0};
    host->acks_lost = options.acks_lost;
    host->io_errors = host->reads_fail = false;
    host->corosync_up = true;
    host->start_failures = host->start_open = 0;
    host->start_slow = Duration{0};
    host->bmc = Bmc{};
    if (!host->powered) continue;
    if (host->joined && !host->keeper_up) start_keeper(*host);
    if (host->joined && !host->loop) start_daemon(*host);
    if (host->joined && !host->libvirt_up) {
      host->libvirt_up = true;
      restart_libvirt(*host, ms(100));
    }
  }
  // Without a majority nothing is promised: then all come back.
  const auto up = std::count_if(hosts.begin(), hosts.end(), [](auto& h) { return h->powered; });
  if (2 * static_cast<std::size_t>(up) <= hosts.size())
    for (auto& host : hosts) power_on(*host, ms(3000));
  for (auto region : {Region::decision, Region::table})
    for (auto& host : hosts) store.change({region, host->id.value}).damaged = false;
}

}  // namespace wardom::sim
