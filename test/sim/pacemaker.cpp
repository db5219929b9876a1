// Pacemaker, as its agents on the simulated hosts carry out its words about the guests it manages.
// It fences nobody and believes anything: while faults happen, it has a guest started on one host
// though it runs on another, or on two at once. What Wardom answers must be true all the same.
#include "libha/core/guest_life.hpp"
#include "test/sim/world.hpp"

namespace wardom::sim {
namespace {

bool can_be_asked(const Host& host) {
  return host.powered && !host.frozen && host.loop && !host.daemon_hung;
}

}  // namespace

void Domain::begin_managing() {
  for (auto& guest : guests) {
    guest.managed = crm.chance(600);
    if (guest.managed) manage(guest);
  }
}

void Domain::manage(GuestTruth& guest) {
  clock.in(crm.between(ms(200), ms(3000)), [this, &guest] {
    if (clock.now() >= guest.answer_due || (!healed && crm.chance(200))) order(guest);
    manage(guest);
  });
}

void Domain::order(GuestTruth& guest) {
  auto* runs = runner(guest.id);
  if (runs != nullptr && (healed || crm.chance(600))) return;
  if (runs != nullptr && crm.chance(600)) return order_stop(*runs, guest);
  auto& host = *hosts[crm.below(hosts.size())];
  if (runs == nullptr && !healed && crm.chance(100)) return order_stop(host, guest);
  order_start(host, guest);
}

void Domain::order_start(Host& host, GuestTruth& guest) {
  if (!can_be_asked(host)) return;
  core::StartGuest start;
  start.request = Ticket{crm.next() | (1ULL << 63)};
  start.patience = crm.between(ms(500), ms(20000));
  start.entry.guest = guest.id;
  start.entry.name = guest.name;
  start.entry.memory_kib = 1024 * 1024;
  start.entry.vcpus = 1;
  start.entry.isolation = guest.isolation;
  if (!guest.is_protected) start.entry.xml = xml_of(guest.id, guest.version);
  trace("Pacemaker starts " + guest.name + " on host " + std::to_string(host.id.value));
  guest.wanted = true;
  guest.answer_due = clock.now() + start.patience;
  host.orders[start.request.value] = {guest.id, true};
  to_daemon(host, us(10), core::Input{start});
}

void Domain::order_stop(Host& host, GuestTruth& guest) {
  if (!can_be_asked(host)) return;
  core::StopGuest stop;
  stop.request = Ticket{crm.next() | (1ULL << 63)};
  stop.guest = guest.id;
  stop.name = guest.name;
  stop.patience = crm.between(ms(500), ms(20000));
  stop.shutdown = crm.chance(500) ? Duration{0} : crm.between(Duration{0}, stop.patience);
  trace("Pacemaker stops " + guest.name + " on host " + std::to_string(host.id.value));
  guest.answer_due = clock.now() + stop.patience;
  host.orders[stop.request.value] = {guest.id, false};
  to_daemon(host, us(10), core::Input{stop});
}

bool Domain::take_answer(Host& host, const core::Reply& reply) {
  const auto found = host.orders.find(reply.request.value);
  if (found == host.orders.end()) return false;
  const auto [id, start] = found->second;
  host.orders.erase(found);
  auto& guest = *truth(id);
  guest.answer_due = clock.now();
  trace("  [" + std::to_string(host.id.value) + "] " + (start ? "start" : "stop") + " of " +
        guest.name + " for Pacemaker: " + (reply.ok ? "done" : reply.text));
  if (reply.ok) ++marks[start ? "guest started for Pacemaker" : "guest stopped for Pacemaker"];
  if (reply.ok && start) guest.is_protected = true;
  if (reply.ok && !start) check_stopped(host, guest);
  return true;
}

// StopIsTrue: Pacemaker goes on to start the guest elsewhere.
void Domain::check_stopped(const Host& host, const GuestTruth& guest) {
  if (host.has_qemu(guest.id))
    return fail(129, "StopIsTrue: " + guest.name + " is called stopped, and runs on host " +
                         std::to_string(host.id.value));
  const auto* table = table_of(host);
  if (table == nullptr) return;
  for (const auto& entry : table->guests)
    if (entry.guest == guest.id && entry.holder == host.incarnation &&
        core::is_active(entry.phase))
      return fail(129, "StopIsTrue: " + guest.name + " is called stopped, and is still " +
                           core::to_text(entry.phase) + " by host " +
                           std::to_string(host.id.value) + " on the volume");
}

}  // namespace wardom::sim
