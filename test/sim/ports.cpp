// Beats, BMCs, the ring and libvirt, as one simulated host's loop meets them.
#include <algorithm>

#include "test/sim/world.hpp"

namespace wardom::sim {

// ---- port::Beats --------------------------------------------------------------------------------

void Hands::send(HostId to, Link link, std::span<const std::uint8_t> bytes) {
  auto& d = domain;
  const std::size_t from = host.index;
  const std::size_t target = to.value - 1u;
  if (!d.link(from, target, link) || !d.addressed(from, target, link)) return;
  const auto path = static_cast<std::size_t>(link);
  const auto share = [roll = d.net.next()](int part, std::uint64_t of) {  // three draws in one
    return (roll >> (21 * part) & 0x1fffff) * of >> 21;
  };
  if (share(0, 1000) < 1 + d.loss[from][target][path]) return;
  // Mostly quick; now and then a datagram is overtaken by many others.
  auto delay = us(50) + Duration{static_cast<std::int64_t>(share(1, 550000))};
  if (share(2, 1000) < 5) delay += d.net.between(ms(1), ms(400));
  auto& peer = *d.hosts[target];
  const auto bent = d.bend(host, peer, bytes);
  if (!bent.empty()) bytes = bent;
  if (peer.frozen && d.net.chance(900)) return;  // few fit into a frozen host's buffers
  d.send_datagram(peer, delay, link, bytes);
}

// ---- port::Power --------------------------------------------------------------------------------

void Hands::ask(Ticket ticket, HostId to) {
  auto& d = domain;
  auto& h = host;
  auto& peer = *d.hosts[to.value - 1u];
  if (!peer.bmc.powered || !peer.bmc.reachable)
    return d.to_daemon(h, d.options.timing.bmc_timeout,
                       port::PowerReading{ticket, to, d.bend(h, peer, port::PowerState::unknown),
                                          "no answer"});
  const auto life = h.daemon_life;
  d.on_host(h, peer.bmc.latency / 2, [&d, &h, &peer, ticket, to, life] {
    if (h.daemon_life != life) return;
    if (d.clock.now() - peer.bmc.heard >= 2 * d.options.timing.bmc_timeout)
      peer.bmc.speaks_again = d.clock.now();
    peer.bmc.heard = d.clock.now();
    auto state = peer.powered ? port::PowerState::on : port::PowerState::off;
    if (peer.bmc.lies_off && peer.bmc.lies_to.test(h.index)) state = port::PowerState::off;
    if (peer.bmc.false_offs > 0) {
      --peer.bmc.false_offs;
      state = port::PowerState::off;
    }
    peer.bmc_lied = peer.bmc_lied || (peer.powered && state == port::PowerState::off);
    d.to_daemon(h, peer.bmc.latency / 2,
                port::PowerReading{ticket, to, d.bend(h, peer, state), ""});
  });
}

void Hands::power_off(Ticket ticket, HostId to) {
  auto& d = domain;
  auto& h = host;
  auto& peer = *d.hosts[to.value - 1u];
  ++d.marks["power-off ordered"];
  d.trace("host " + std::to_string(h.id.value) + " orders host " + std::to_string(to.value) +
          " off");
  if (!peer.bmc.powered || !peer.bmc.reachable)
    return d.to_daemon(h, d.options.timing.bmc_timeout,
                       port::PowerOffSent{ticket, to, false, "no answer"});
  d.to_daemon(h, peer.bmc.latency, port::PowerOffSent{ticket, to, true, ""});
  if (peer.bmc.deaf) return;
  d.clock.in(peer.bmc.latency + peer.bmc.off_delay, [&d, &peer] {
    if (peer.bmc.powered) d.power_off(peer, false, kLateAfterOff);
  });
}

// ---- port::Ring ---------------------------------------------------------------------------------

bool Hands::send(std::vector<std::uint8_t> bytes) {
  auto& d = domain;
  if (!host.corosync_up) return false;
  if (!host.ring_formed || host.ring != host.ring_pending) {  // totem re-forms
    if (host.ring_held.size() >= port::kMaxRingQueue) return false;
    host.ring_held.push_back(std::move(bytes));
    return true;
  }
  for (auto& one : d.hosts) {
    auto& peer = *one;
    if (host.ring.test(peer.index) && peer.ring == host.ring && peer.corosync_up)
      d.to_daemon(peer, d.net.between(us(300), ms(3)), port::RingMessage{host.id, bytes});
  }
  return true;
}

// ---- port::Hypervisor ---------------------------------------------------------------------------

namespace {

struct Answer {
  Domain& d;
  Host& h;
  std::uint64_t daemon;
  std::uint64_t libvirt;
  Ticket ticket;
  port::Act act;
  GuestId guest;
  bool same() const { return h.daemon_life == daemon && h.libvirt_life == libvirt; }
  void give(bool ok, bool settled, const std::string& error) const {
    tell(ok, settled, error,
         settled && h.libvirt_up ? d.state_of(h, guest).state : port::RunState::unknown);
  }
  // Planted::yield_unsettled
  void give_off() const { tell(true, true, "", port::RunState::shut_off); }
  void tell(bool ok, bool settled, const std::string& error, port::RunState state) const {
    if (h.daemon_life != daemon) return;
    port::ActDone done;
    done.ticket = ticket;
    done.act = act;
    done.guest = guest;
    done.ok = ok;
    done.settled = settled;
    done.error = error;
    done.state = state;
    d.to_daemon(h, us(80), done);
  }
};

// When a call about the guest may begin: after the earlier ones, this daemon's or another's.
Duration turn_of(Domain& d, Host& h, GuestId guest, Duration takes) {
  auto& until = h.busy_until[guest];
  until = std::max(until, d.clock.now());
  const auto wait = until - d.clock.now();
  until += takes;
  return wait + takes;
}

}  // namespace

void Hands::start(Ticket ticket, GuestId guest, std::string xml) {
  auto& d = domain;
  auto& h = host;
  const Answer answer{d, h, h.daemon_life, h.libvirt_life, ticket, port::Act::start, guest};
  if (!h.libvirt_up) {
    port::ActDone done;
    done.ticket = ticket;
    done.act = port::Act::start;
    done.guest = guest;
    done.error = "libvirtd is away; nothing was done";
    return d.to_daemon(h, us(50), done);
  }
  const auto takes = d.virt.between(ms(20), ms(600)) + h.start_slow;
  const auto begin = turn_of(d, h, guest, Duration{0});
  const auto end = turn_of(d, h, guest, takes);
  const bool fails = d.virt.chance(static_cast<std::uint64_t>(h.start_failures));
  const bool open = d.virt.chance(static_cast<std::uint64_t>(h.start_open));
  auto allowed = std::make_shared<bool>(false);
  d.on_host(h, begin, [&h, guest, allowed, &d] {  // libvirt asks its hook
    *allowed = d.hook_allows(h, guest, core::HookOp::start);
    if (h.loop && !h.daemon_hung && !*allowed) ++d.marks["hook refused an ordered start"];
  });
  const auto version = Domain::version_of(xml);
  d.on_host(h, end, [&d, &h, answer, guest, version, fails, open, allowed] {
    // A libvirtd that was restarted in the middle may have left the QEMU running, or not.
    const bool cut_short = h.libvirt_life != answer.libvirt;
    const bool runs_already = h.has_qemu(guest);
    if (*allowed && !fails && !runs_already && (!cut_short || d.virt.chance(500))) {
      h.definitions[guest] = version;
      d.run_qemu(h, guest, version, "its target");
      if (h.libvirt_up && !cut_short)
        d.from_libvirt(h, us(60), port::GuestChanged{d.state_of(h, guest)});
    } else if (!cut_short && !runs_already) {
      h.definitions[guest] = version;
    }
    if (cut_short || open) return answer.give(false, false, "the connection broke");
    if (runs_already) return answer.give(false, true, "the guest is active here already");
    if (!*allowed) return answer.give(false, true, "the hook refused it");
    answer.give(!fails, true, fails ? "cannot open the disk" : "");
  });
}

void Hands::shutdown(Ticket ticket, GuestId guest) {
  auto& d = domain;
  auto& h = host;
  const Answer answer{d, h, h.daemon_life, h.libvirt_life, ticket, port::Act::shutdown, guest};
  if (!h.libvirt_up) return answer.give(false, true, "libvirtd is away; nothing was done");
  const bool deaf = d.virt.chance(h.deaf_guests);
  const auto takes = d.virt.between(ms(100), ms(5000));
  d.on_host(h, turn_of(d, h, guest, ms(2)), [&d, &h, answer, guest, deaf, takes] {
    if (h.libvirt_life != answer.libvirt) return answer.give(false, false, "connection broke");
    ++d.marks["guest asked to shut down"];
    const auto qemu = h.qemus.find(guest);
    answer.give(true, true, "");
    if (deaf || qemu == h.qemus.end()) return;
    // This QEMU's guest, whatever becomes of libvirtd and the daemon meanwhile.
    d.on_host(h, takes, [&d, &h, guest, number = qemu->second.number] {
      const auto still = h.qemus.find(guest);
      if (still == h.qemus.end() || still->second.number != number) return;
      ++d.marks["guest shut down as asked"];
      d.stop_qemu(h, guest, port::StopCause::guest_shutdown);
    });
  });
}

void Hands::kill(Ticket ticket, GuestId guest) {
  auto& d = domain;
  auto& h = host;
  const Answer answer{d, h, h.daemon_life, h.libvirt_life, ticket, port::Act::kill, guest};
  if (!h.libvirt_up) return answer.give(false, true, "libvirtd is away; nothing was done");
  if (d.options.planted == Planted::refusal_unsettled && !h.has_qemu(guest))
    return answer.give(true, true, "");
  const auto ends = turn_of(d, h, guest, d.virt.between(ms(5), ms(100)));
  const bool lasts = d.options.planted == Planted::yield_unsettled && d.bent();
  d.on_host(h, ends, [&d, &h, answer, guest, lasts] {
    if (h.libvirt_life != answer.libvirt) return answer.give(false, false, "connection broke");
    ++d.marks["guest killed by order"];
    if (lasts) {
      answer.give_off();
      return d.on_host(h, ms(10000),
                       [&d, &h, guest] { d.stop_qemu(h, guest, port::StopCause::destroyed); });
    }
    d.stop_qemu(h, guest, port::StopCause::destroyed);
    answer.give(true, true, "");
  });
}

void Hands::undefine(Ticket ticket, GuestId guest) {
  auto& d = domain;
  auto& h = host;
  const Answer answer{d, h, h.daemon_life, h.libvirt_life, ticket, port::Act::undefine, guest};
  if (!h.libvirt_up) return answer.give(false, true, "libvirtd is away; nothing was done");
  d.on_host(h, turn_of(d, h, guest, ms(5)), [&d, &h, answer, guest] {
    if (h.libvirt_life != answer.libvirt) return answer.give(false, false, "connection broke");
    h.definitions.erase(guest);
    d.from_libvirt(h, us(60), port::GuestDefined{guest, d.truth(guest)->name, "", 0, 0});
    answer.give(true, true, "");
  });
}

void Hands::define(Ticket ticket, GuestId guest, std::string xml) {
  const Answer answer{domain,            host,  host.daemon_life, host.libvirt_life, ticket,
                      port::Act::define, guest};
  if (!host.libvirt_up) return answer.give(false, true, "libvirtd is away; nothing was done");
  host.definitions[guest] = Domain::version_of(xml);
  answer.give(true, true, "");
}

void Hands::describe(Ticket ticket, std::string name) {
  port::ActDone done;
  done.ticket = ticket;
  done.act = port::Act::describe;
  done.guest = GuestId{*parse_bits(name)};
  const auto found = host.definitions.find(done.guest);
  if (host.libvirt_up && found != host.definitions.end()) {
    done.ok = true;
    done.xml = domain.xml_of(done.guest, found->second);
    done.name = domain.truth(done.guest)->name;
    done.memory_kib = 1024 * 1024;
    done.vcpus = 1;
    done.state = domain.state_of(host, done.guest).state;
  }
  domain.to_daemon(host, ms(3), done);
}

void Hands::mark(Ticket ticket, GuestId guest, Generation) {
  Answer{domain, host, host.daemon_life, host.libvirt_life, ticket, port::Act::mark, guest}.give(
      host.libvirt_up, true, host.libvirt_up ? "" : "libvirtd is away; nothing was done");
}

void Hands::unmark(Ticket ticket, GuestId guest) {
  Answer{domain, host, host.daemon_life, host.libvirt_life, ticket, port::Act::unmark, guest}.give(
      host.libvirt_up, true, "");
}

}  // namespace wardom::sim
