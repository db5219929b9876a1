// Live migration between the simulated hosts: who asks for one, and what libvirt does with it.
//
// libvirt as it is (peer to peer, the guest to stay paused): the destination's hook is asked, its
// QEMU receives the memory, the source's stops for the last of it. Then the destination says that
// it has all: on that word the source's QEMU is ended. Where the word is lost, the source's libvirt
// resumes its QEMU by itself, while the other one waits, whole.
#include "test/sim/world.hpp"

namespace wardom::sim {
namespace {

port::ActDone done_of(Ticket ticket, port::Act act, GuestId guest) {
  port::ActDone done;
  done.ticket = ticket;
  done.act = act;
  done.guest = guest;
  return done;
}

}  // namespace

// ---- who asks -----------------------------------------------------------------------------------

void Domain::begin_moving() {
  for (auto& guest : guests) move_at_times(guest);
}

void Domain::move_at_times(GuestTruth& guest) {
  clock.in(movers.between(ms(300), ms(9000)), [this, &guest] {
    auto* from = runner(guest.id);
    auto& to = *hosts[movers.below(hosts.size())];
    if (from != nullptr && from != &to && !healed) order_move(*from, guest, to);
    move_at_times(guest);
  });
}

void Domain::order_move(Host& host, GuestTruth& guest, const Host& to) {
  if (!host.powered || host.frozen || !host.loop || host.daemon_hung) return;
  core::MigrateGuest migrate;
  migrate.request = Ticket{movers.next() | (1ULL << 63)};
  migrate.guest = guest.id;
  migrate.to = to.id;
  migrate.patience = movers.between(ms(100), ms(15000));
  trace(guest.name + " is to go live from host " + std::to_string(host.id.value) + " to host " +
        std::to_string(to.id.value));
  ++marks["migrations asked for"];
  host.moves[migrate.request.value] = {guest.id, to.index};
  to_daemon(host, us(10), core::Input{migrate});
}

// MoveIsTrue: who is told that it runs there finds it there, unless something ended it since.
bool Domain::take_moved(Host& host, const core::Reply& reply) {
  const auto found = host.moves.find(reply.request.value);
  if (found == host.moves.end()) return false;
  const auto [id, to] = found->second;
  host.moves.erase(found);
  const auto& name = truth(id)->name;
  trace("  [" + std::to_string(host.id.value) + "] live migration of " + name + ": " +
        (reply.ok ? "done" : reply.text));
  if (!reply.ok) return true;
  ++marks["guest handed over live"];
  if (host.qemus.contains(id))
    fail(129, "MoveIsTrue: " + name + " is called gone, and runs on host " +
                  std::to_string(host.id.value));
  return true;
}

// ---- port::Hypervisor ---------------------------------------------------------------------------

// What receives goes when its sender's connection is closed, as a rule.
void Domain::drop_arrival(Host& host, GuestId guest, std::uint64_t job) {
  const auto found = host.arrivals.find(guest);
  if (found == host.arrivals.end() || found->second.job != job || found->second.whole) return;
  host.arrivals.erase(found);
  if (host.libvirt_up) from_libvirt(host, us(200), port::GuestChanged{state_of(host, guest)});
}

bool Domain::libvirt_reaches(const Host& from, const Host& to) {
  return to.powered && !to.frozen && to.libvirt_up && link(from.index, to.index, Link::mgmt) &&
         link(to.index, from.index, Link::mgmt);
}

void Hands::migrate(Ticket ticket, GuestId guest, HostId to) {
  auto& d = domain;
  auto& h = host;
  auto& peer = *d.hosts[to.value - 1u];
  const auto daemon = h.daemon_life;
  const auto libvirt = h.libvirt_life;
  const auto answer = [&d, &h, ticket, guest, daemon, libvirt](bool ok, const char* error) {
    if (h.daemon_life != daemon) return;
    auto done = done_of(ticket, port::Act::migrate, guest);
    done.ok = ok;
    done.error = error;
    done.settled = h.libvirt_up && h.libvirt_life == libvirt;
    if (done.settled) {
      const auto state = d.state_of(h, guest);
      done.state = state.state;
      done.cause = state.cause;
    }
    d.to_daemon(h, us(80), done);
  };
  const auto qemu = h.qemus.find(guest);
  if (!h.libvirt_up || qemu == h.qemus.end() || h.sending.contains(guest))
    return answer(false, "it does not run here");
  const auto number = qemu->second.number;
  const auto job = ++d.migrations;
  h.sending[guest] = Sending{job, std::nullopt, answer};
  // Of this very call; a later one has another number.
  const auto under_way = [&h, guest, job] {
    const auto found = h.sending.find(guest);
    return found != h.sending.end() && found->second.job == job;
  };
  const auto fail_unless = [&d, &h, &peer, guest, job, answer](bool good, const char* why) {
    if (good) return true;
    h.sending.erase(guest);
    if (d.libvirt_reaches(h, peer) || d.movers.chance(700))
      d.on_host(peer, d.movers.between(ms(1), ms(300)),
                [&d, &peer, guest, job] { d.drop_arrival(peer, guest, job); });
    answer(false, why);
    return false;
  };
  const auto still = [&d, &h, &peer, guest, number, libvirt] {
    const auto here = h.qemus.find(guest);
    return h.libvirt_up && h.libvirt_life == libvirt && here != h.qemus.end() &&
           here->second.number == number && d.libvirt_reaches(h, peer);
  };
  const auto takes = [&d](Duration least, Duration most) { return d.movers.between(least, most); };
  const auto memory =
      d.movers.chance(300) ? takes(ms(500), ms(9000)) : takes(ms(20), ms(500));
  const bool lost = d.movers.chance(d.options.planted == Planted::arrival_unyielded ? 700 : 80);
  const bool open = d.movers.chance(50);
  const auto told = [=, &d, &h, &peer] {
    if (!under_way() || !h.sending.at(guest).stopped) return;
    const auto stopped = *h.sending.at(guest).stopped;
    const bool cut_short = h.libvirt_life != libvirt;
    const bool heard = d.libvirt_reaches(h, peer) && peer.arrivals.contains(guest) && !lost;
    h.sending.erase(guest);
    // A libvirtd that was restarted in between knows no better than one that was not told.
    if (!heard || (cut_short && d.movers.chance(500))) {
      ++d.marks["source resumed by libvirt itself"];
      d.run_qemu(h, guest, stopped.version, "libvirt, which was not told that it has arrived");
      return answer(false, "the destination's answer was lost");
    }
    h.migrated.insert(guest);
    if (h.libvirt_up) d.from_libvirt(h, us(100), port::GuestChanged{d.state_of(h, guest)});
    if (!open) return answer(true, "");
    if (h.daemon_life != daemon) return;
    auto done = done_of(ticket, port::Act::migrate, guest);
    done.error = "the connection broke";
    done.settled = false;
    d.to_daemon(h, us(80), done);
  };
  const auto sent = [=, &d, &h, &peer] {
    if (!under_way()) return;
    const auto arrival = peer.arrivals.find(guest);
    const bool good =
        still() && arrival != peer.arrivals.end() && arrival->second.job == job;
    if (!fail_unless(good, "the connection to the destination broke")) return;
    // Its processors have stopped, its disks are flushed; all of it is there.
    arrival->second = Arrival{number, job, h.qemus.at(guest).version, true};
    if (h.definitions.contains(guest)) peer.definitions[guest] = h.definitions.at(guest);
    arrival->second.version = std::max(arrival->second.version, peer.definitions[guest]);
    h.sending.at(guest).stopped = Qemu{arrival->second.version, number};
    h.qemus.erase(guest);
    ++d.marks["guest arrived whole"];
    d.trace("guest " + d.truth(guest)->name + " has arrived on host " +
            std::to_string(peer.id.value));
    d.on_host(h, d.movers.between(ms(2), ms(60)), told);
  };
  const auto receives = [=, &d, &h, &peer] {
    if (!under_way()) return;
    const bool good = still() && !peer.qemus.contains(guest) && !peer.arrivals.contains(guest) &&
                      d.hook_allows(peer, guest, core::HookOp::prepare) &&
                      d.hook_allows(peer, guest, core::HookOp::start);
    if (!fail_unless(good, "the destination did not take it")) return;
    peer.arrivals[guest] = Arrival{number, job, 0, false};
    d.from_libvirt(peer, us(200), port::GuestChanged{d.state_of(peer, guest)});
    d.on_host(h, memory, sent);
  };
  d.on_host(h, takes(ms(3), ms(60)), [=, &d, &peer, &h] {
    if (!under_way()) return;
    const bool may = still() && d.hook_allows(peer, guest, core::HookOp::migrate);
    if (!fail_unless(may, "the destination's hook refused it")) return;
    d.on_host(h, d.movers.between(ms(5), ms(150)), receives);
  });
}

void Hands::abort_migration(Ticket ticket, GuestId guest) {
  auto& d = domain;
  auto& h = host;
  auto done = done_of(ticket, port::Act::abort_migration, guest);
  if (!h.libvirt_up) {
    done.error = "libvirtd is away; nothing was done";
    done.settled = true;
    return d.to_daemon(h, us(50), done);
  }
  ++d.marks["migration ended by order"];
  const auto job = h.sending.find(guest);
  if (job != h.sending.end() && !job->second.stopped) {
    const auto [number, stopped, answer] = job->second;
    h.sending.erase(job);
    answer(false, "operation aborted");
    for (auto& peer : d.hosts)  // the connection closes
      if (d.libvirt_reaches(h, *peer))
        d.on_host(*peer, ms(5), [&d, &peer = *peer, guest, number = number] {
          d.drop_arrival(peer, guest, number);
        });
  }
  d.await_no_migration(h, h.daemon_life, done);
}

void Domain::await_no_migration(Host& host, std::uint64_t daemon, const port::ActDone& done) {
  on_host(host, ms(5), [this, &host, daemon, done] {
    if (host.daemon_life != daemon) return;
    if (host.libvirt_up && host.sending.contains(done.guest))
      return await_no_migration(host, daemon, done);
    auto answer = done;
    const auto state = state_of(host, done.guest);
    answer.ok = answer.settled = host.libvirt_up;
    if (host.libvirt_up) {
      answer.state = state.state;
      answer.cause = state.cause;
    } else {
      answer.error = "the connection broke";
    }
    to_daemon(host, us(80), answer);
  });
}

void Hands::resume(Ticket ticket, GuestId guest) {
  auto& d = domain;
  auto& h = host;
  const auto daemon = h.daemon_life;
  const auto libvirt = h.libvirt_life;
  const bool open = d.movers.chance(static_cast<std::uint64_t>(h.start_open));
  const auto finish = [&d, &h, ticket, guest, daemon, libvirt, open] {
    const bool up = h.libvirt_up && h.libvirt_life == libvirt;
    const auto arrival = h.arrivals.find(guest);
    const bool whole = arrival != h.arrivals.end() && arrival->second.whole;
    auto done = done_of(ticket, port::Act::resume, guest);
    done.ok = up && ((whole && !open) || h.qemus.contains(guest));
    if (up && whole) d.run_arrival(h, guest);
    done.settled = up && !open;
    done.error = done.ok ? "" : up ? "nothing whole has arrived" : "the connection broke";
    if (done.settled) done.state = d.state_of(h, guest).state;
    if (h.daemon_life == daemon) d.to_daemon(h, us(80), done);
  };
  d.on_host(h, d.movers.between(ms(1), ms(30)), finish);
}

// StaleMemory: what has arrived goes on only if nothing of the guest has run since it was sent.
void Domain::run_arrival(Host& host, GuestId guest) {
  const auto arrival = host.arrivals.at(guest);
  host.arrivals.erase(guest);
  if (newest_qemu[guest] != arrival.number)
    return fail(129, "StaleMemory: " + truth(guest)->name + " goes on on host " +
                         std::to_string(host.id.value) +
                         " with memory from before it ran elsewhere");
  run_qemu(host, guest, arrival.version, "its arrival");
  if (host.libvirt_up) from_libvirt(host, us(60), port::GuestChanged{state_of(host, guest)});
}

}  // namespace wardom::sim
