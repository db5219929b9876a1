#include "test/sim/faults.hpp"

#include <algorithm>
#include <iterator>
#include <set>
#include <sstream>

namespace wardom::sim {
namespace {

constexpr const char* kNames[] = {
    "power-cut", "pull", "reset", "hang", "daemon-kill", "daemon-hang", "keeper-kill",
    "libvirt-restart", "libvirt-away", "corosync-down", "cut-all", "cut-out", "cut-in", "cut-mgmt",
    "cut-storage", "cut-pair", "lossy", "storage-stall", "storage-slow", "volume-outage",
    "bmc-unreachable", "bmc-slow", "bmc-deaf", "bmc-lie", "bmc-glitch", "start-fails", "start-open",
    "start-slow", "admin-start", "admin-shutdown", "redefine", "unprotect", "protect",
    "cell-damaged", "acks-lost", "io-errors", "answers-held", "leave", "suspend", "reads-fail",
    "volume-flaps", "bmc-lies-for", "volume-move", "fence"};
static_assert(std::size(kNames) == kFaultKinds);

// Boundary lengths mixed with uniform ones: bugs sit on the timeouts.
Duration draw_length(Stream& draw, const Timing& t) {
  if (draw.chance(500)) return draw.between(ms(20), ms(12000));
  const Duration edges[] = {t.suspect_after,     disk_silent_after(t), t.disk_interval,
                            t.power_poll,        t.feed_window / 4,    t.feed_window / 2,
                            t.feed_window * 3 / 4, t.feed_window,      lease_silence(t),
                            ms(2200)};
  return edges[draw.below(std::size(edges))] + draw.between(ms(0), ms(200)) - ms(100);
}

void set_cut(Domain& d, std::size_t a, std::size_t b, Link link, bool on) {
  d.cut[a][b][static_cast<std::size_t>(link)] = on;
}

void cut_links(Domain& d, const Fault& fault, bool on) {
  for (std::size_t other = 0; other < d.hosts.size(); ++other) {
    if (other == fault.host) continue;
    const bool pair = fault.kind == FaultKind::cut_pair;
    if (pair && other != fault.other) continue;
    for (Link link : {Link::mgmt, Link::storage}) {
      if (fault.kind == FaultKind::cut_mgmt && link != Link::mgmt) continue;
      if (fault.kind == FaultKind::cut_storage && link != Link::storage) continue;
      if (fault.kind != FaultKind::cut_in) set_cut(d, fault.host, other, link, on);
      if (fault.kind != FaultKind::cut_out) set_cut(d, other, fault.host, link, on);
    }
  }
}

void strike_machine(Domain& d, Host& h, const Fault& fault) {
  switch (fault.kind) {
    case FaultKind::power_cut:
    case FaultKind::pull:
      d.power_off(h, fault.kind == FaultKind::pull, kLateAfterOff);
      // About half of the dead stay dead.
      if (fault.lasts > ms(4000)) {
        d.clock.in(fault.lasts, [&d, &h] {
          h.bmc.powered = true;
          d.power_on(h, d.machine.between(ms(300), ms(8000)));
        });
      }
      return;
    case FaultKind::reset:
      if (!h.powered) return;
      d.power_off(h, false, kLate);
      return d.power_on(h, fault.lasts);
    case FaultKind::hang:
      d.freeze(h);
      return d.clock.in(fault.lasts, [&d, &h] { d.thaw(h); });
    case FaultKind::suspend:
      d.suspend(h);
      return d.clock.in(fault.lasts, [&d, &h] { d.resume(h); });
    case FaultKind::leave: return d.leave(h);
    case FaultKind::daemon_kill:
      d.kill_daemon(h);
      return d.on_host(h, fault.lasts / 4, [&d, &h] {
        if (h.joined) d.start_daemon(h);
      });
    case FaultKind::daemon_hang:
      d.hang_daemon(h, true);
      return d.clock.in(fault.lasts, [&d, &h] { d.hang_daemon(h, false); });
    case FaultKind::keeper_kill:
      d.kill_keeper(h);
      return d.on_host(h, fault.lasts / 4, [&d, &h] {
        if (h.joined) d.start_keeper(h);
      });
    case FaultKind::libvirt_restart: return d.restart_libvirt(h, ms(100) + fault.lasts / 10);
    case FaultKind::libvirt_away: return d.restart_libvirt(h, fault.lasts);
    case FaultKind::corosync_down:
      d.lose_corosync(h);
      return d.clock.in(fault.lasts, [&h] { h.corosync_up = true; });
    default: return;
  }
}

void strike_bmc(Domain& d, Host& h, const Fault& fault) {
  auto& bmc = h.bmc;
  switch (fault.kind) {
    case FaultKind::bmc_unreachable:
      bmc.reachable = false;
      return d.clock.in(fault.lasts, [&bmc] { bmc.reachable = true; });
    case FaultKind::bmc_slow:
      bmc.latency = fault.lasts / 8;
      bmc.off_delay = fault.lasts;
      return d.clock.in(2 * fault.lasts, [&bmc] {
        bmc.latency = ms(5);
        bmc.off_delay = ms(200);
      });
    case FaultKind::bmc_deaf:
      bmc.deaf = true;
      return d.clock.in(fault.lasts, [&bmc] { bmc.deaf = false; });
    case FaultKind::bmc_lie: bmc.lies_off = true; return;
    case FaultKind::bmc_lies_for:
      bmc.lies_off = true;
      return d.clock.in(fault.lasts, [&bmc] { bmc.lies_off = false; });
    case FaultKind::bmc_glitch: bmc.false_offs = 1; return;
    default: return;
  }
}

void strike_storage(Domain& d, Host& h, const Fault& fault) {
  switch (fault.kind) {
    case FaultKind::storage_stall:
      d.set_storage(h, false);
      return d.clock.in(fault.lasts, [&d, &h] { d.set_storage(h, true); });
    case FaultKind::storage_slow:
      h.storage_slow = fault.lasts / 20;
      return d.clock.in(2 * fault.lasts, [&h] { h.storage_slow = Duration{0}; });
    case FaultKind::volume_outage:
      for (auto& one : d.hosts) d.set_storage(*one, false);
      return d.clock.in(fault.lasts, [&d] {
        for (auto& one : d.hosts) d.set_storage(*one, true);
      });
    // Away and back for all, each a little later than another.
    case FaultKind::volume_flaps:
      for (Duration at{0}; at < fault.lasts;) {
        const auto off = d.disk.between(ms(100), ms(6000));
        for (auto& one : d.hosts) {
          const auto late = d.disk.between(ms(0), ms(200));
          d.clock.in(at + late, [&d, &one] { d.set_storage(*one, false); });
          d.clock.in(at + off + late, [&d, &one] { d.set_storage(*one, true); });
        }
        at += off + d.disk.between(ms(205), ms(1500));
      }
      return;
    case FaultKind::cell_damaged: {
      const Cell cell{fault.other % 2 == 0 ? Region::table : Region::decision, h.id.value};
      d.store.change(cell).damaged = true;
      return d.clock.in(fault.lasts, [&d, cell] { d.store.change(cell).damaged = false; });
    }
    case FaultKind::acks_lost:
      h.acks_lost = 500;
      return d.clock.in(fault.lasts, [&d, &h] { h.acks_lost = d.options.acks_lost; });
    case FaultKind::reads_fail:
      h.reads_fail = true;
      return d.clock.in(fault.lasts, [&h] { h.reads_fail = false; });
    case FaultKind::volume_move:
      // Some of those who move it are killed in the middle of it.
      return d.hold_volume(fault.lasts);
    case FaultKind::answers_held: h.answers_held = d.clock.now() + fault.lasts; return;
    case FaultKind::io_errors:
      h.io_errors = true;
      return d.clock.in(fault.lasts, [&h] { h.io_errors = false; });
    default: return;
  }
}

void strike_guests(Domain& d, Host& h, const Fault& fault) {
  if (d.guests.empty()) return;
  auto& guest = d.guests[fault.other % d.guests.size()];
  switch (fault.kind) {
    case FaultKind::start_fails:
      h.start_failures = 700;
      return d.clock.in(2 * fault.lasts, [&h] { h.start_failures = 0; });
    case FaultKind::start_open:
      h.start_open = 700;
      return d.clock.in(2 * fault.lasts, [&h] { h.start_open = 0; });
    case FaultKind::start_slow:
      h.start_slow = fault.lasts;
      return d.clock.in(2 * fault.lasts, [&h] { h.start_slow = Duration{0}; });
    case FaultKind::admin_start:
      for (int i = 0; i < 5; ++i)
        d.clock.in(i * fault.lasts / 5, [&d, &h, &guest] { d.admin_start(h, guest); });
      return;
    case FaultKind::admin_shutdown: return d.admin_shutdown(guest);
    case FaultKind::redefine: return d.redefine(guest);
    case FaultKind::unprotect:
      // What runs unrecorded while Pacemaker has it started elsewhere is outside the promise; the
      // daemon refuses this once it knows that Pacemaker manages the guest.
      if (guest.managed) return;
      if (auto* runs = d.runner(guest.id)) d.unprotect(*runs, guest);
      return;
    case FaultKind::protect:
      if (auto* runs = d.runner(guest.id)) d.protect(*runs, guest);
      return;
    default: return;
  }
}

// fence_wardom on that host, about the other one. `lasts` says all else: how long it waits, and by
// its milliseconds what it wants.
void strike_fence(Domain& d, Host& h, const Fault& fault) {
  const auto wants = whole_ms(fault.lasts);
  d.fence(h, *d.hosts[fault.other], fault.lasts, wants % 2 == 0, wants / 2 % 2 == 0);
}

}  // namespace

const char* to_text(FaultKind kind) { return kNames[static_cast<std::size_t>(kind)]; }

namespace {

constexpr Time whole_us(Duration d) { return std::chrono::floor<std::chrono::microseconds>(d); }

// A little apart from one another, so that each seed meets the timeouts differently.
std::vector<Fault> focused(const Options& options) {
  Stream draw(options.seed, 101);
  const auto victim = draw.below(options.hosts);
  const auto start = draw.between(Time{0}, kFaultsLast / 2);
  std::vector<Fault> faults;
  for (const auto& focus : options.focus)
    for (std::size_t host = 0; host < options.hosts; ++host)
      if (focus.everywhere || host == focus.host.value_or(victim))
        faults.push_back({0, whole_us(start + focus.after + draw.between(ms(0), ms(300))),
                          focus.kind, host, draw.below(options.hosts), focus.lasts});
  return faults;
}

std::vector<Fault> drawn(const Options& options, std::size_t round) {
  Stream draw(options.seed, 100 + 1000 * round);
  const auto count = 1 + draw.below(7);
  const bool burst = draw.chance(500);
  const auto victim = draw.below(options.hosts);
  const auto centre = draw.between(Time{0}, kFaultsLast);
  // Most runs have something die; without a death little else matters.
  const bool death = draw.chance(800);
  std::vector<Fault> faults;
  for (std::uint64_t i = 0; i < count; ++i) {
    Stream one(options.seed, 200 + i + 1000 * round);
    Fault fault;
    fault.round = round;
    fault.kind = static_cast<FaultKind>(one.below(kDrawnKinds));
    if (i == 0 && death) fault.kind = static_cast<FaultKind>(one.below(4));
    fault.host = one.below(options.hosts);
    fault.other = one.below(options.hosts);
    fault.lasts = whole_us(draw_length(one, options.timing));
    fault.at = whole_us(one.between(Time{0}, kFaultsLast));
    if (burst) {
      fault.at = whole_us(centre + one.between(ms(0), one.chance(500) ? ms(1500) : ms(6000)));
      if (one.chance(700)) fault.host = victim;
    }
    faults.push_back(fault);
  }
  // Drawn lengths are mostly too short for a host to stand apart for long.
  Stream isolation(options.seed, 300 + 1000 * round);
  if (isolation.chance(150)) {
    Fault fault;
    fault.round = round;
    fault.kind = FaultKind::cut_all;
    fault.host = burst ? victim : isolation.below(options.hosts);
    fault.other = fault.host;
    fault.at = whole_us(isolation.between(Time{0}, kFaultsLast / 2));
    fault.lasts = whole_us(options.timing.isolation_delay + isolation.between(ms(0), ms(12000)));
    faults.push_back(fault);
  }
  // Longer than a window, and with links that go meanwhile.
  Stream outage(options.seed, 400 + 1000 * round);
  if (options.ride_out && outage.chance(350)) {
    Fault fault;
    fault.round = round;
    fault.kind = outage.chance(300) ? FaultKind::volume_flaps : FaultKind::volume_outage;
    fault.at = whole_us(outage.between(Time{0}, kFaultsLast / 2));
    fault.lasts = whole_us(outage.between(ms(5000), ms(28000)));
    faults.push_back(fault);
    fault.kind = FaultKind::storage_stall;  // one path comes back later than the others
    fault.host = outage.below(options.hosts);
    fault.at += whole_us(outage.between(ms(0), ms(4000)));
    fault.lasts += whole_us(outage.between(ms(0), ms(9000)));
    if (outage.chance(500)) faults.push_back(fault);
    fault.kind = FaultKind::cut_all;
    fault.at += whole_us(outage.between(ms(0), ms(14000)));
    fault.lasts = whole_us(outage.between(ms(500), ms(15000)));
    if (outage.chance(500)) faults.push_back(fault);
  }
  Stream move(options.seed, 500 + 1000 * round);
  if (options.moves && move.chance(150)) {
    Fault fault;
    fault.round = round;
    fault.kind = FaultKind::volume_move;
    fault.at = whole_us(move.between(Time{0}, kFaultsLast));
    if (move.chance(300)) fault.lasts = whole_us(move.between(ms(100), ms(6000)));
    faults.push_back(fault);
  }
  // Who fails is often fenced just then, and by several.
  Stream fencing(options.seed, 600 + 1000 * round);
  if (options.fences && fencing.chance(500)) {
    Fault fault;
    fault.round = round;
    fault.kind = FaultKind::fence;
    fault.other = burst && fencing.chance(600) ? victim : fencing.below(options.hosts);
    for (auto asked = 1 + fencing.below(3); asked > 0; --asked) {
      fault.host = fencing.below(options.hosts);
      if (fencing.chance(250)) fault.other = fencing.below(options.hosts);
      fault.at = whole_us(burst ? centre + fencing.between(ms(0), ms(8000))
                                : fencing.between(Time{0}, kFaultsLast));
      fault.lasts = whole_us(fencing.between(ms(500), ms(50000)));
      faults.push_back(fault);
    }
  }
  // A lie that begins just as every path is lost cannot be told from a power cut: outside the
  // promise. So a lie comes alone on its host, and early enough to be seen beside life.
  for (auto& fault : faults) {
    if (fault.kind != FaultKind::bmc_lie) continue;
    bool alone = true;
    for (const auto& other : faults)
      alone = alone && (&other == &fault || other.kind > FaultKind::volume_outage);
    if (!alone) fault.kind = FaultKind::bmc_glitch;
  }
  // Two false readings in a row, just as the host dies or resets, are such a lie too.
  std::set<std::size_t> glitched;
  for (auto& fault : faults)
    if (fault.kind == FaultKind::bmc_glitch && !glitched.insert(fault.host).second)
      fault.kind = FaultKind::bmc_unreachable;
  return faults;
}

}  // namespace

std::vector<Fault> draw_faults(const Options& options, std::size_t round) {
  std::vector<Fault> faults;
  if (options.faults) {
    std::copy_if(options.faults->begin(), options.faults->end(), std::back_inserter(faults),
                 [&](const Fault& fault) { return fault.round == round; });
  } else {
    faults = options.focus.empty() ? drawn(options, round) : focused(options);
  }
  std::stable_sort(faults.begin(), faults.end(),
                   [](const Fault& a, const Fault& b) { return a.at < b.at; });
  return faults;
}

std::string to_text(const std::vector<Fault>& faults) {
  std::string text;
  for (const auto& fault : faults) {
    if (!text.empty()) text += ',';
    text += to_text(fault.kind);
    for (const auto number :
         {static_cast<std::int64_t>(fault.host + 1), static_cast<std::int64_t>(fault.other + 1),
          static_cast<std::int64_t>(fault.round), fault.at.count() / 1000,
          fault.lasts.count() / 1000})
      text += '/' + std::to_string(number);
  }
  return text;
}

std::optional<std::vector<Fault>> parse_faults(const std::string& text) {
  std::vector<Fault> faults;
  std::istringstream list(text);
  for (std::string word; std::getline(list, word, ',');) {
    std::replace(word.begin(), word.end(), '/', ' ');
    std::istringstream fields(word);
    std::string name;
    std::size_t host = 0, other = 0, round = 0;
    std::int64_t at_us = 0, lasts_us = 0;
    if (!(fields >> name >> host >> other >> round >> at_us >> lasts_us)) return std::nullopt;
    const auto* found = std::find(std::begin(kNames), std::end(kNames), name);
    const bool hosts_fit = host >= 1 && host <= kMaxHosts && other >= 1 && other <= kMaxHosts;
    if (found == std::end(kNames) || !hosts_fit) return std::nullopt;
    faults.push_back({round, us(at_us), static_cast<FaultKind>(found - std::begin(kNames)),
                      host - 1, other - 1, us(lasts_us)});
  }
  return faults;
}

void strike(Domain& d, const Fault& fault) {
  auto& h = *d.hosts[fault.host];
  d.trace(std::string("!! ") + to_text(fault.kind) + " host " + std::to_string(h.id.value) +
          " other " + std::to_string(fault.other + 1) + " for " + wardom::to_text(fault.lasts));
  if (fault.kind >= FaultKind::cut_all && fault.kind <= FaultKind::cut_pair) {
    cut_links(d, fault, true);
    d.clock.in(fault.lasts, [&d, fault] { cut_links(d, fault, false); });
    return;
  }
  if (fault.kind == FaultKind::lossy) {
    for (std::size_t other = 0; other < d.hosts.size(); ++other)
      for (std::size_t l = 0; l < kLinks; ++l)
        d.loss[fault.host][other][l] = d.loss[other][fault.host][l] = 400;
    return;
  }
  strike_machine(d, h, fault);
  strike_bmc(d, h, fault);
  strike_storage(d, h, fault);
  strike_guests(d, h, fault);
  if (fault.kind == FaultKind::fence) strike_fence(d, h, fault);
}

}  // namespace wardom::sim
