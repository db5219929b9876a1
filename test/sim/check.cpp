// What must hold, whatever happens. Only the truth is looked at: machines, QEMUs, the storage.
#include <algorithm>

#include "libha/core/guest_life.hpp"
#include "libha/core/proofs.hpp"
#include "libha/wire/ballot.hpp"
#include "libha/wire/decision.hpp"
#include "libha/wire/slot.hpp"
#include "libha/wire/table.hpp"
#include "test/sim/world.hpp"

namespace wardom::sim {

bool Domain::verdict_seen(HostId host, const Incarnation& incarnation) const {
  return std::any_of(verdicts.begin(), verdicts.end(), [&](const auto& verdict) {
    return verdict.first == host && (verdict.second == incarnation ||
                                     verdict.second.number > incarnation.number);
  });
}

// OneOwner: a version of the lock has one owner, whoever says so and whenever.
void Domain::check_ballot(const Ballot& ballot) {
  if (ballot.decided == LockVersion{}) return;
  const auto [found, fresh] = owners.try_emplace(ballot.decided, ballot.value);
  if (fresh) ++marks["lock versions decided"];
  if (!fresh && found->second != ballot.value)
    fail(129, "OneOwner: lock version " + std::to_string(ballot.decided.value) +
                  " is decided twice");
}

// What a host orders to be written, whatever becomes of it. A decision is taken only while the own
// lease allows it; DECIDED says what this host will never deny again.
void Domain::check_submitted(const Host& host, Cell cell,
                             const std::vector<std::uint8_t>& payload, Level level) {
  if (cell.region == Region::decision && clock.now() > host.may_decide_until)
    fail(129, "ActsInTime: host " + std::to_string(host.id.value) +
                  " decides later than T_F/2 after its newest acknowledged heartbeat");
  if (cell.region != Region::ballot) return;
  if (const auto ballot = wire::decode_ballot(payload, level)) check_ballot(ballot.value());
}

// OneActing: no two hosts whose wardomd works count themselves the decider.
void Domain::check_one_acts() {
  const Host* acting = nullptr;
  for (const auto& host : hosts) {
    const bool works = host->powered && !host->frozen && host->loop && !host->daemon_hung;
    if (!works || !host->loop->member().lock(host->loop->now().at).mine) continue;
    if (acting != nullptr)
      return fail(129, "OneActing: hosts " + std::to_string(acting->id.value) + " and " +
                           std::to_string(host->id.value) + " both decide");
    acting = host.get();
  }
}

// FenceHonest: whoever is told that a host is fenced starts at once what has run there.
void Domain::fenced(Host& host, const core::Reply& reply) {
  const auto asked = host.fencings.at(reply.request.value);
  host.fencings.erase(reply.request.value);
  auto& victim = *hosts[asked.victim];
  const auto name = "host " + std::to_string(victim.id.value);
  trace("  [" + std::to_string(host.id.value) + "] reply about " + name + ": " +
        (reply.ok ? "fenced, " : "") + reply.text);
  if (!reply.ok) return void(++marks["fencings in vain"]);
  ++marks["fencings by " + reply.text.substr(0, reply.text.find(':'))];
  // With a BMC that says nothing a machine is called fenced that is in no ring and knows no Wardom,
  // though it may be booting (doc/decisions/0016).
  const auto patience = options.timing.bmc_timeout;
  const bool mute = clock.now() - victim.bmc.heard >= 2 * patience ||
                    clock.now() - victim.bmc.speaks_again < patience;  // that answer is on its way
  const bool outside = !victim.joined && !victim.keeper_up;
  if (victim.powered && victim.life == asked.life && !(mute && outside))
    return fail(129, "FenceHonest: " + name + " is told to be fenced, and has had power all the "
                     "time: " + reply.text);
  for (const auto& [guest, last] : written_until)
    if (last.from == victim.id && last.until > clock.now())
      return fail(129, "FenceHonest: " + name + " is told to be fenced, and what it wrote to " +
                           truth(guest)->name + " may still land");
  if (asked.switches_on && victim.bmc.powered && victim.bmc.reachable)
    power_on(victim, machine.between(ms(300), ms(8000)));
}

void Domain::check_landed(Host& host, const Flight& flight) {
  const auto& [cell, payload, level] = std::tie(flight.cell, flight.payload, flight.level);
  for (auto byte : payload) hash = (hash ^ byte) * 1099511628211ULL;
  if (cell.region == Region::table) {
    const auto table = wire::decode_table(payload, level);
    if (!table) return fail(129, "a table that cannot be read was written");
    for (const auto& entry : table.value().guests) {
      if (entry.holder != host.incarnation || entry.phase != GuestPhase::holding) continue;
      const auto [found, fresh] = holders.try_emplace({entry.guest, entry.generation}, host.id);
      if (!fresh && found->second != host.id)
        return fail(129, "TokenMonotone: generation " + std::to_string(entry.generation.value) +
                             " of " + truth(entry.guest)->name + " is held by two hosts");
      auto& top = held[entry.guest];
      if (fresh && entry.generation < top)
        return fail(129, "TokenMonotone: an older generation of " + truth(entry.guest)->name +
                             " is held anew");
      top = std::max(top, entry.generation);
      auto& version = recorded[entry.guest];
      version = std::max(version, version_of(entry.xml));
    }
    return;
  }
  if (cell.region == Region::ballot) {
    const auto ballot = wire::decode_ballot(payload, level);
    if (!ballot) return fail(129, "a ballot that cannot be read was written");
    return check_ballot(ballot.value());
  }
  check_one_acts();
  const auto decision = wire::decode_decision(payload, level);
  if (!decision) return fail(129, "a decision that cannot be read was written");
  for (const auto& verdict : decision.value().verdicts) {
    if (!verdicts.insert({verdict.host, verdict.incarnation}).second) continue;
    ++marks[std::string("verdicts by ") + core::to_text(verdict.proof)];
    const auto& victim = *hosts[verdict.host.value - 1u];
    if (victim.powered && victim.incarnation == verdict.incarnation && victim.joined &&
        !harmless(victim))
      return fail(129, "DeadMeansStopped: host " + std::to_string(verdict.host.value) +
                           " lives, and a verdict says that it is dead");
    // Where blind hosts decide behind another bug, that one is looked for.
    if (flight.blind &&
        (options.planted == Planted::decides_blind || !removed(Barrier::reads_in_time)))
      return fail(129, "NoBlindVerdict: the decider had not read the volume for long");
  }
  // EvidenceHonest: distrust slows a recovery down, so a BMC that told the truth is not convicted.
  for (const auto& liar : decision.value().lying_bmcs)
    if (!hosts[liar.host.value - 1u]->bmc_lied)
      return fail(129, "EvidenceHonest: the BMC of host " + std::to_string(liar.host.value) +
                           " is distrusted, and has told the truth all the time");
  // VerdictStable: what was once said still stands somewhere.
  for (const auto& [victim, incarnation] : verdicts) {
    bool stands = false;
    for (const auto& one : hosts) {
      const auto* newest = store.cell({Region::decision, one->id.value}).newest();
      if (newest == nullptr) continue;
      const auto other = wire::decode_decision(newest->payload, newest->level);
      for (const auto& verdict : other.value().verdicts)
        if (verdict.host == victim && verdict.incarnation.number >= incarnation.number)
          stands = true;
    }
    if (!stands)
      return fail(129, "VerdictStable: the verdict on incarnation " + to_text(incarnation) +
                           " of host " + std::to_string(victim.value) + " is gone");
  }
}

// It stays up after the ladder, and nothing is left of its guests.
bool Domain::harmless(const Host& host) const {
  const auto& ladder = host.ladder;
  const bool quiet = host.quiet == host.incarnation;  // a keeper that starts anew has to find out
  return ladder && (ladder->quiet_since() || ladder->released() || quiet) &&
         std::none_of(host.listed.begin(), host.listed.end(), [&](const auto& listed) {
           return host.has_qemu(listed.first);
         });
}

// YieldFirst: where a boot goes on under a new incarnation, its table shows no guest of an earlier.
void Domain::check_yielded(const Host& host, const Incarnation& incarnation) {
  if (incarnation != host.incarnation || host.earlier.empty()) return;
  const auto* table = table_of(host);
  if (table == nullptr) return;
  for (const auto& entry : table->guests)
    if (core::is_active(entry.phase) && host.earlier.contains(entry.holder))
      return fail(129, "YieldFirst: host " + std::to_string(host.id.value) +
                           " goes on, and still has " + truth(entry.guest)->name +
                           " by an incarnation that is over");
}

// The table as it stands on the storage now; nullptr: none.
const HostTable* Domain::table_of(const Host& host) {
  const auto* newest = store.cell({Region::table, host.id.value}).newest();
  if (newest == nullptr) return nullptr;
  auto& known = tables[host.id];
  if (known.first != newest->sequence)
    known = {newest->sequence, wire::decode_table(newest->payload, newest->level).value()};
  return &known.second;
}

// The boot published a lease, and so its silence proves its end sooner or later: unless it names
// who would have to judge, the decider or all who are left, as one that it does not ask for grants.
bool Domain::leased(HostId host, const Incarnation& incarnation) {
  const auto* newest = store.cell({Region::slot, host.value}).newest();
  if (newest == nullptr || newest->incarnation != incarnation) return false;
  const auto slot = wire::decode_slot(newest->payload, newest->level).value();
  const auto judges = [&](const Host& judge) {
    return std::find(slot.unasked.begin(), slot.unasked.end(), judge.id) == slot.unasked.end();
  };
  const auto& decider = *hosts[owners.empty() ? 0 : owners.rbegin()->second.owner.host.value - 1u];
  const bool decides = decider.powered && decider.id != host;
  const bool some = std::any_of(hosts.begin(), hosts.end(), [&](const auto& one) {
    return one->powered && one->id != host && one->file.members.test(one->index) && judges(*one);
  });
  return slot.w_ms != 0 && some && (!decides || judges(decider));
}

// The domain lock is of a host that is gone for good, or is no member any more, and nothing but a
// person's deed ends that: nobody may decide.
bool Domain::lock_unproved() {
  if (owners.empty()) return false;
  const auto& [version, value] = *owners.rbegin();
  const auto& owner = value.owner;
  const auto& host = *hosts[owner.host.value - 1u];
  // Who is no member any more has to be named again: no other host asks about it.
  const bool member = is_member(host);
  if ((host.powered && member) || verdict_seen(owner.host, owner.incarnation)) return false;
  for (const auto& one : hosts) {
    const auto* newest = store.cell({Region::ballot, kBallotBase + one->id.value}).newest();
    if (newest == nullptr) continue;
    const auto ballot = wire::decode_ballot(newest->payload, newest->level).value();
    if (ballot.decided == version && ballot.released) return false;
  }
  return !member || !leased(owner.host, owner.incarnation);
}

// Of a guest on its way: it goes on, or is refused. Else its source's end has to be proved first.
bool Domain::source_lives(const GuestEntry& incoming) const {
  const auto& source = *hosts[incoming.hand_over->other.value - 1u];
  return source.powered && source.joined && is_member(source);
}

// Its source still has what is on record of it.
bool Domain::source_holds(const GuestEntry& incoming) {
  const auto* table = table_of(*hosts[incoming.hand_over->other.value - 1u]);
  return table != nullptr &&
         std::any_of(table->guests.begin(), table->guests.end(), [&](const GuestEntry& entry) {
           return entry.guest == incoming.guest &&
                  entry.generation == incoming.hand_over->generation;
         });
}

// After the faults have ended. Empty: every protected guest is where it should be.
std::string Domain::unsettled_guests() {
  // What was refused, or is on its way, is elsewhere, if anywhere.
  using Rank = std::pair<bool, Generation>;
  std::set<GuestId> awaited;  // nothing proves the end of who was to take it in
  std::map<GuestId, std::pair<Rank, std::string>> owner;
  for (const auto& host : hosts) {
    const auto* table = table_of(*host);
    if (table == nullptr) continue;
    for (const auto& entry : table->guests) {
      const bool live = host->powered && entry.holder == host->incarnation && host->joined;
      const auto name = truth(entry.guest)->name;
      const bool works = live && is_member(*host);
      const bool under_way = entry.phase == GuestPhase::claimed ||
                             entry.phase == GuestPhase::starting ||
                             (entry.phase == GuestPhase::claimed_incoming && source_lives(entry));
      if (works && under_way)
        return name + " is still claimed by host " + std::to_string(host->id.value);
      auto& top = owner[entry.guest];
      const bool incoming = entry.phase == GuestPhase::claimed_incoming;
      const bool here = entry.phase != GuestPhase::refused && !(incoming && source_holds(entry));
      const Rank rank{here, entry.generation};
      const bool gone = incoming && !live && !verdict_seen(host->id, entry.holder);
      if (gone && !leased(host->id, entry.holder)) awaited.insert(entry.guest);
      if (rank < top.first) continue;
      const bool proved = verdict_seen(host->id, entry.holder);
      const bool must = proved || !core::is_active(entry.phase) ||
                        (is_member(*host) && (live || leased(host->id, entry.holder)));
      // Started again by hand, but its host died before the volume could be told: it stays off.
      if (core::is_tombstone(entry) || (!live && entry.wanted == Wanted::stopped)) {
        top = {rank, "off"};
        continue;
      }
      top = {rank, must ? core::to_text(entry.phase) : std::string("unproved")};
    }
  }
  for (const auto& guest : guests) {
    const auto found = owner.find(guest.id);
    if (!guest.is_protected || !guest.wanted || found == owner.end()) continue;
    if (found->second.second == "off") continue;
    const bool waits = found->second.second == "unproved" || awaited.contains(guest.id);
    if (waits || lock_unproved()) {
      if (runner(guest.id) == nullptr) unproved.insert(guest.id);
      continue;
    }
    if (runner(guest.id) == nullptr)
      return guest.name + " runs nowhere; its newest record is " + found->second.second +
             ", generation " + std::to_string(found->second.first.second.value);
  }
  return {};
}

}  // namespace wardom::sim
