// votequorum and its device on every host, and what must hold of the quorum that comes of them.
#include <algorithm>

#include "test/sim/world.hpp"

namespace wardom::sim {
namespace {

constexpr Duration kReconnects = ms(300);  // an adapter, at most
// Rings that part may both be quorate while the one that has lost the vote forms anew, and until
// corosync has forgotten the vote of a daemon that does not poll. The ring may form twice.
constexpr Duration kBothAtMost = 2 * (ms(3000) + kDeviceTimeout + kSyncTimeout);

bool runs(const Host& host) {
  return host.powered && !host.frozen && host.corosync_up && host.ring_formed;
}

}  // namespace

void Hands::vote(const core::Vote& vote) {
  const auto under = host.loop ? host.loop->member().quorum_vote().version : LockVersion{};
  domain.on_host(host, domain.net.between(us(50), ms(2)),
                 [&d = domain, &h = host, vote, under, life = host.daemon_life] {
                   if (h.daemon_life == life && !h.daemon_hung) d.poll_device(h, vote, under);
                 });
}

void Domain::lose_corosync(Host& host) {
  host.corosync_up = false;
  host.ring_formed = false;
  host.ring.reset();
  host.ring_pending.reset();
  const auto timer = host.votes.timer + 1;
  host.votes = {};
  host.votes.timer = timer;
  to_daemon(host, us(50), port::RingLost{"corosync is gone"});
  if (options.quorum)
    to_daemon(host, us(50), core::Input{core::DeviceLost{"corosync is gone", true}});
}

// A daemon's adapter finds corosync, some time after either has started.
void Domain::connect_device(Host& host) {
  if (!options.quorum || !host.loop || host.votes.device_of == host.daemon_life) return;
  host.votes.device_of = host.daemon_life;
  on_host(host, machine.between(ms(1), kReconnects), [this, &host, life = host.daemon_life] {
    auto& votes = host.votes;
    if (host.daemon_life != life || votes.device_of != life) return;
    votes.registered = true;
    core::DeviceSet device{host.device_timeout, kSyncTimeout, {}};
    core::RingFormed formed{votes.ring, {}, false};
    for (const auto& one : hosts) {
      device.nodes.push_back(one->id);
      if (host.ring.test(one->index)) formed.nodes.push_back(one->id);
    }
    to_daemon(host, us(50), core::Input{std::move(device)});
    to_daemon(host, us(51), core::Input{std::move(formed)});
  });
}

// The membership has changed: quorum is counted anew once the device was polled, where there is one
// that is polled at all.
void Domain::form_ring(Host& host, const RingId& ring) {
  auto& votes = host.votes;
  votes.ring = ring;
  if (!options.quorum) return;
  votes.syncing = votes.registered && votes.alive;
  if (votes.syncing)
    wait_for_poll(host, kSyncTimeout);
  else
    count_votes(host);
  if (votes.device_of != host.daemon_life || !host.loop) return;
  core::RingFormed formed{votes.ring, {}, true};
  for (const auto& one : hosts)
    if (host.ring.test(one->index)) formed.nodes.push_back(one->id);
  to_daemon(host, us(50), core::Input{std::move(formed)});
}

void Domain::wait_for_poll(Host& host, Duration time) {
  const auto number = ++host.votes.timer;
  on_host(host, time, [this, &host, number] {
    auto& votes = host.votes;
    if (votes.timer != number) return;
    if (votes.cast) ++marks["a vote forgotten by corosync"];
    votes.alive = votes.cast = false;
    count_votes(host);
  });
}

void Domain::poll_device(Host& host, const core::Vote& vote, LockVersion under) {
  auto& votes = host.votes;
  const bool late = vote.cast && Instant{local(host, clock.now())} >= vote.until;
  const bool takes = host.corosync_up && votes.registered && votes.ring == vote.ring && !late;
  if (takes) {
    if (vote.cast && (votes.syncing || !votes.cast || votes.under != under))
      check_cast(host, under);
    if (votes.cast && !vote.cast) ++marks["a vote withdrawn"];
    votes.alive = true;
    votes.cast = vote.cast;
    votes.under = under;
    wait_for_poll(host, kDeviceTimeout);
    count_votes(host);
  }
  to_daemon(host, us(50), core::Input{core::VoteTaken{vote.ticket, takes, ""}});
}

void Domain::count_votes(Host& host) {
  auto& votes = host.votes;
  const auto total = host.ring.count() + (votes.cast ? hosts.size() - 1 : 0);
  const bool quorate = total >= hosts.size();
  const bool told = !std::exchange(votes.syncing, false);
  if (told && quorate == votes.quorate) return;
  votes.quorate = quorate;
  trace("ring of host " + std::to_string(host.id.value) + ": " +
        (quorate ? "quorate" : "no quorum"));
  tell_ring(host);
}

// OneVote: who begins to cast under a version or in a ring finds nobody outside that casts under
// another version; but for those that have not noticed yet that their ring has parted from this
// host.
void Domain::check_cast(const Host& host, LockVersion under) {
  ++marks["a vote cast"];
  if (host.ring.count() < hosts.size()) ++marks["a vote cast in a part of the ring"];
  for (const auto& other : hosts)
    if (runs(*other) && !host.ring.test(other->index) && !other->ring.test(host.index) &&
        other->votes.cast && other->votes.under != under)
      fail(129, "OneVote: host " + std::to_string(host.id.value) + " casts under lock version " +
                    std::to_string(under.value) + " while host " +
                    std::to_string(other->id.value) + ", outside its ring, casts under " +
                    std::to_string(other->votes.under.value));
}

// Stated: a vote that counts is covered by what the host's slot is to say.
void Domain::check_stated(const Host& host) {
  const auto& votes = host.votes;
  if (!votes.cast || !host.joined || !host.keeper_up) return;
  if (host.votes_under == LockVersion{} || host.votes_under > votes.under)
    fail(129, "Stated: host " + std::to_string(host.id.value) + " casts under lock version " +
                  std::to_string(votes.under.value) + ", and its slot says " +
                  std::to_string(host.votes_under.value));
}

// OneQuorum: two rings are not both quorate for longer than corosync itself may take.
void Domain::check_quorum() {
  if (!options.quorum) return;
  for (const auto& host : hosts)
    if (runs(*host)) check_stated(*host);
  for (const auto& a : hosts)
    for (const auto& b : hosts) {
      if (a->index >= b->index) continue;
      const bool both = runs(*a) && runs(*b) && a->votes.quorate && b->votes.quorate &&
                        !a->ring.test(b->index) && !b->ring.test(a->index);
      const std::pair pair{a->index, b->index};
      if (!both) {
        both_quorate.erase(pair);
        continue;
      }
      const auto since = both_quorate.try_emplace(pair, clock.now()).first->second;
      if (clock.now() - since > kBothAtMost)
        fail(129, "OneQuorum: the rings of hosts " + std::to_string(a->id.value) + " and " +
                      std::to_string(b->id.value) + " are both quorate");
    }
}

}  // namespace wardom::sim
