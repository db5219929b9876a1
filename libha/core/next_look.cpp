// The member's part that tells when all has to be looked at again: by what comes, and by time.
#include "libha/core/member.hpp"

#include <algorithm>

namespace wardom::core {
namespace {

// How often the decider and the next in line look at one decision cell, each in its turn, without
// any news: a block that has gone bad at rest is told of before it is needed.
constexpr Duration kScrubInterval = std::chrono::seconds{4};

// In beats: what has no instant of its own at which it is due is found out by then.
constexpr std::int64_t kLookAtLeastEvery = 4;

}  // namespace

// Slots are watched, that is, read at every disk interval, by the decider and the next in line, and
// by everybody while a member is silent, nobody decides, a guest's start is under way here, or what
// the slots say of the quorum device's vote is waited for. Else beats say all that slots do, and
// reads by everybody would cost the volume without need.
void Member::set_pace(Instant now) {
  const auto& timing = settings_.timing;
  const bool watch = last_lock_.mine || last_lock_.backup || last_lock_.decider == kNoHost ||
                     target_.busy() || silent_member(now) || quorum_.waits_for_slots();
  if (watch && !watching_since_) {
    watching_since_ = now;
    next_slots_ = std::min(next_slots_, now);
  } else if (!watch) {
    watching_since_.reset();
  }
  // What was read at the old pace is not stale before the new one has had its time.
  const bool settled = watching_since_ && now - *watching_since_ > disk_silent_after(timing);
  evidence_.set_read_horizon(settled ? disk_silent_after(timing)
                                     : seldom_read_interval(timing) + volume_patience(timing));
}

// A host that is heard tells of every acknowledged write of its cells with each beat. One that is
// not, and lives, may yield guests meanwhile.
void Member::look_for_lost_nudges(Instant now) {
  if (now < next_look_) return;
  next_look_ = now + kLookInterval;
  for (HostId host : settings_.members) {
    const bool self = host == settings_.self;
    const bool news = self && decider_.sequence() > board_.decision(host).sequence;
    if (news || (!self && !evidence_.of(host).heard(now, settings_.timing) && !verdict_on(host)))
      board_.want_decision(host);
    if (last_lock_.mine && !self && !evidence_.of(host).heard(now, settings_.timing) &&
        evidence_.of(host).slot_fresh(now, settings_.timing, evidence_.read_horizon()))
      board_.want_table(host);
  }
  for (HostId host : board_.proposers())
    if (!evidence_.has(host)) {  // no beat of it is taken
      board_.want_decision(host);
      board_.want_table(host);
    }
  if (now < next_scrub_ || !(last_lock_.mine || last_lock_.backup)) return;
  next_scrub_ = now + kScrubInterval;
  board_.want_decision(settings_.members[scrubbed_++ % settings_.members.size()]);
}

// Whether an input can change what the tick decides. An own heartbeat that went well every quarter
// of a second does not: the next beat tells its sequence, and a right to act that only lasts longer
// moves nothing that the tick has put off. Nor does one more `on` of a host that nobody asks about.
bool Member::is_news(const Input& input, Now now) const {
  if (const auto* own = std::get_if<OwnHeartbeat>(&input))
    return quorum_.is_news(own->votes_under);
  if (const auto* taken = std::get_if<VoteTaken>(&input)) return quorum_.is_news(*taken);
  if (std::holds_alternative<CellsRead>(input)) return false;  // take() looks at what was read
  const auto* rights = std::get_if<Rights>(&input);
  if (const auto* power = std::get_if<PowerSeen>(&input)) return !routine(*power);
  return rights == nullptr || !acting_ || now.at >= rights_.act_until ||
         rights->lease != rights_.lease || rights->act_until < rights_.act_until;
}

// One heartbeat more of a host that is heard, and none of one that is known to be gone, is what
// every read shows.
bool Member::is_news(const CellSeen& slot, SlotNews news, Now now) const {
  const HostId host{static_cast<std::uint16_t>(slot.cell.index)};
  if (!evidence_.has(host)) return false;
  if (news == SlotNews::changed) return true;
  const bool heard =
      host == settings_.self || evidence_.of(host).heard(now.at, settings_.timing);
  if (news == SlotNews::grew) return !heard;
  return heard || !verdict_on(host);
}

bool Member::routine(const PowerSeen& seen) const {
  const auto found = asked_power_.find(seen.ticket);
  if (found == asked_power_.end()) return true;
  const HostId host = found->second.host;
  const auto* member = evidence_.find(host);
  return member != nullptr && seen.power == Power::on && member->power.last == Power::on &&
         !decider_.inquiries().contains(host);
}

// Every host is heard or gone, and nothing is under way that time alone could move.
bool Member::calm(const Contention& others, const LockView& lock, Instant now) const {
  const bool paced = (lock.mine || lock.backup) == watching_since_.has_value();
  return acting_ && !leaving_ && paced && lock.decider != kNoHost && !others.groups.split() &&
         !apart_since_ && !outside_since_ && !quorum_.waits_for_slots() && !silent_member(now) &&
         !target_.busy() && !outage_.asks() && !outage_.riding_since();
}

// When all has to be looked at again without news. Unless the domain is calm, each beat does.
Instant Member::find_next_look(const Contention& others, const LockView& lock,
                               Instant now) const {
  const auto& timing = settings_.timing;
  const auto most = std::min(timing.suspect_after, kLookAtLeastEvery * timing.beat_interval);
  auto next = std::min({next_look_, next_poll_, evidence_.first_silence(now), now + most});
  if (!calm(others, lock, now)) next = std::min(next, next_beat_);
  if (ready_) next = std::min(next, next_lock_look_);
  if (ready_ && !reading_slots_) next = std::min(next, next_slots_);
  if (ready_ && !reading_board_ && board_.wants()) next = std::min(next, next_board_);
  next = std::min(next, quorum_.next_deadline());
  if (!acting_) return next;
  next = std::min(next, act_until());
  next = std::min(next, domain_lock_.next_deadline());
  next = std::min(next, decider_.next_deadline());
  next = std::min(next, target_.next_deadline());
  if (apart_since_ && !isolated(now))
    next = std::min(next, *apart_since_ + settings_.timing.isolation_delay);
  return next;
}

}  // namespace wardom::core
