// The member's part that lets this host cast the quorum device's vote: what quorum_vote.hpp has to
// know of this host and of all others.
#include "libha/core/member.hpp"

#include <algorithm>

#include "libha/core/host_text.hpp"

namespace wardom::core {
namespace {

// An owner gives the lock up when its host has stood outside the others' ring for so long: a ring
// that forms anew is not told to all at the same moment. Should they leave it, it keeps the lock
// and tries again after the longer time.
constexpr Duration kOutsideRing = std::chrono::seconds{1};
constexpr Duration kOutsideRingAgain = std::chrono::seconds{30};

}  // namespace

void Member::take(const DeviceSet& device, Turn&) { quorum_.on_device(device); }
void Member::take(const DeviceLost& lost, Turn& turn) { quorum_.on_device_lost(lost, turn); }
void Member::take(const RingFormed& formed, Turn& turn) { quorum_.on_ring(formed, turn.now.at); }
void Member::take(const VoteTaken& taken, Turn& turn) { quorum_.on_taken(taken, turn.now.at); }

void Member::take(const RingQuorum& quorum, Turn& turn) {
  if (quorum.quorate != evidence_.quorate())
    turn.note({Severity::notice, "ring", {}, {}, {}, "",
               quorum.quorate ? "corosync's ring has quorum" : "corosync's ring has no quorum"});
  evidence_.on_quorum(quorum.quorate, quorum.nodes);
}

// What corosync agrees to. Where its vote follows the lock, a ring whose lock's owner hangs outside
// has no quorum before the lock has passed on, and for that the owner may have to be powered off:
// there most of the hosts agree by themselves, as they do without the device. To nobody else's
// loss, and only if the lock was still the owner's after it fell silent.
void Member::look_at_consent() {
  const HostId owner = board_.lock().value.owner.host;
  const auto read = board_.ballots_read_issued();
  const bool present = owner_suspect_since_ && read && *read >= *owner_suspect_since_ &&
                       board_.unknown_ballot().empty();
  evidence_.set_counted(quorum_.is_set() && present ? owner : kNoHost);
}

void Member::look_at_ring(const Contention& others, Instant now) {
  if (!others.outside)
    outside_since_ = yielded_to_ring_ = std::nullopt;
  else if (!outside_since_)
    outside_since_ = now;
}

RingId Member::own_ring(Instant now) const {
  const auto* ring = quorum_.ring();
  return ring == nullptr ? RingId{} : ring_to_tell(evidence_, *ring, now);
}

bool Member::leaves_lock_to_ring(Instant now) const {
  return outside_since_ && now - *outside_since_ >= kOutsideRing &&
         !(yielded_to_ring_ && now - *yielded_to_ring_ < kOutsideRingAgain);
}

VoteStanding Member::vote_standing(Instant now) const {
  VoteStanding standing;
  if (!quorum_.is_set()) return standing;
  const HostId owner = board_.lock().value.owner.host;
  standing.able = may_act(now);
  standing.condemned = verdict_on(settings_.self);
  standing.owner_gone = owner == settings_.self ? !domain_lock_.holds() : owner_gone(now);
  for (HostId host : board_.proposers()) {  // all members are among them
    if (host == settings_.self) continue;
    OtherVote other{host, false, std::nullopt, LockVersion{}};
    if (const auto* member = evidence_.find(host)) {
      const auto incarnation = member->incarnation();
      const auto* verdict = board_.verdict_on(host, incarnation);
      // A host that has released its incarnation lives on, and so does its corosync.
      other.dead = verdict != nullptr && !incarnation.is_none() &&
                   verdict->proof != Proof::released;
      const auto& disk = member->disk;
      if (disk.slot) {
        // What stands in an extent that cannot be read may be newer.
        if (!disk.twin_damaged) other.read_issued = disk.shown_issued;
        other.under = disk.slot->votes_under;
        other.stands = *disk.shown_issued - *disk.timer_zero;
        other.feed_window = std::chrono::milliseconds{disk.slot->t_f_ms};
      } else {
        other.read_issued = disk.empty_issued;
      }
      const auto* ring = quorum_.ring();
      const auto& beat = member->beats.newest;
      if (ring != nullptr && member->heard(now, settings_.timing) && beat->ring == ring->ring)
        standing.cleared = std::max(standing.cleared, beat->cleared);
    }
    standing.others.push_back(other);
  }
  return standing;
}

void Member::vote(Turn& turn) {
  for (auto& vote : quorum_.tick(vote_standing(turn.now.at), turn))
    turn.orders.votes.push_back(vote);
}

void Member::add_quorum(std::vector<Problem>& list, Instant now) const {
  for (auto& trouble : quorum_.troubles())
    list.push_back({std::move(trouble.what), host_text(settings_.self),
                    std::move(trouble.remedy)});
  for (HostId host : settings_.members) {
    const auto& member = evidence_.of(host);
    if (!quorum_.is_set() || host == settings_.self || !member.heard(now, settings_.timing))
      continue;
    const auto said = member.beats.newest->device_digest;
    if (said == 0)
      list.push_back({"Wardom is corosync's quorum device here, and not there", host_text(host),
                      "look at `wardomctl quorum status` and at corosync there"});
    else if (said != quorum_.device_digest())
      list.push_back({"its corosync.conf says another thing of the quorum device or of the nodes "
                      "than this host's", host_text(host),
                      "make the files alike, then `corosync-cfgtool -R`"});
  }
}

}  // namespace wardom::core
