#include "libha/core/quorum_vote.hpp"

#include <algorithm>
#include <utility>

#include "libha/core/digest.hpp"
#include "libha/core/host_text.hpp"

namespace wardom::core {
namespace {

// A vote that corosync did not take is given again after this, unless a new ring comes first.
constexpr Duration kVoteAgain = std::chrono::milliseconds{200};
// A read of the ballots that left a doubt is repeated after this.
constexpr Duration kReadAgain = std::chrono::milliseconds{200};

std::string version_text(LockVersion version) {
  return "lock version " + std::to_string(version.value);
}

std::string ring_text(const RingId& ring) {
  return "ring " + std::to_string(ring.node) + "." + std::to_string(ring.sequence);
}

// By two clocks, both of which may be wrong.
Duration surely(Duration time) { return counted_by_clock(counted_by_clock(time)); }

bool within(Duration value, Duration least, Duration most) {
  return value >= least && value <= most;
}

}  // namespace

bool QuorumVote::Ring::has(HostId host) const {
  return std::find(formed.nodes.begin(), formed.nodes.end(), host) != formed.nodes.end();
}

// A registration of the same device goes on where it was: only its times may be others.
void QuorumVote::on_device(const DeviceSet& device) {
  lasts_ = std::max(lasts_, vote_lasts(device, timing_));
  device_ = device;
}

void QuorumVote::on_device_lost(const DeviceLost& lost, Turn& turn) {
  device_.reset();
  ring_.reset();
  cast_.reset();
  lost_ = lost.reason;
  withdrawn_ = withdrawn_ || lost.forgotten;
  tell(false, lost_, turn);
}

void QuorumVote::on_ring(const RingFormed& formed, Instant now) {
  if (ring_ && ring_->formed.ring == formed.ring) return;
  ring_ = Ring{formed, now, std::nullopt, {}, {}, false, {}};
  next_poll_ = now;
  asked_.reset();
}

void QuorumVote::on_taken(const VoteTaken& taken, Instant now) {
  if (ring_ && ring_->cast && taken.ticket == ring_->ticket) {
    ring_->took = taken.taken;
    ring_->untaken = taken.error;
  }
  if (!taken.taken) {
    next_poll_ = std::min(next_poll_, now + kVoteAgain);
    return;
  }
  // What was cast before under an earlier version counts no more.
  if (raises(taken.ticket)) wanted_ = cast_->under;
  if (first_zero_ && taken.ticket >= *first_zero_) withdrawn_ = true;
}

bool QuorumVote::raises(Ticket taken) const {
  return cast_ && taken >= cast_->first && wanted_ != cast_->under && wanted_ != LockVersion{};
}

// Since when there stands that this host may cast counts: a read issued later shows whatever was
// decided by somebody who did not see it.
void QuorumVote::on_stated(LockVersion under, Instant now) {
  const bool stood = stated_ && stated_->under != LockVersion{} && under != LockVersion{};
  if (stood)
    stated_->under = under;
  else if (!stated_ || stated_->under != under)
    stated_ = Stated{under, now};
}

void QuorumVote::look_at_version(Instant now) {
  if (seen_ == board_.lock().version) return;
  seen_ = board_.lock().version;
  seen_at_ = now;
  withdrew_.clear();
}

// What can be told by the clock alone: that corosync keeps no vote any more, anybody's under an
// earlier version or the own one. Both clocks may be wrong.
void QuorumVote::look_at_time(Instant now) {
  if (device_ && now - seen_at_ >= surely(vote_lasts(*device_, timing_))) forgotten_ = seen_;
  if (!counts_from_) counts_from_ = now;
  // While the device is set a vote is withdrawn by the next one.
  if (!device_ && now - *counts_from_ >= surely(lasts_)) withdrawn_ = true;
}

bool QuorumVote::read_since(Instant since) const {
  const auto issued = board_.ballots_read_issued();
  return issued && *issued >= since;
}

// Why the device is not served as it is set up; empty: it is.
std::string QuorumVote::refusal() const {
  if (!within(device_->timeout, kDeviceTimeoutMin, kDeviceTimeoutMax))
    return "quorum.device.timeout is " + wardom::to_text(device_->timeout) + "; give from " +
           wardom::to_text(kDeviceTimeoutMin) + " to " + wardom::to_text(kDeviceTimeoutMax) +
           " in corosync.conf";
  if (!within(device_->sync_timeout, kSyncTimeoutMin, kSyncTimeoutMax))
    return "quorum.device.sync_timeout is " + wardom::to_text(device_->sync_timeout) +
           "; give from " + wardom::to_text(kSyncTimeoutMin) + " to " +
           wardom::to_text(kSyncTimeoutMax) + " in corosync.conf";
  // With fewer votes a majority is quorate without the lock's owner.
  if (device_->votes && *device_->votes + 1 != device_->nodes.size())
    return "quorum.device.votes is " + std::to_string(*device_->votes) +
           "; take it out of corosync.conf, and it is one less than there are nodes";
  // Another domain's owner would give the same vote to another ring.
  for (HostId node : device_->nodes)
    if (std::find(members_.begin(), members_.end(), node) == members_.end())
      return "corosync's node " + std::to_string(node.value) +
             " is no host of this domain; the quorum device serves one domain alone";
  return {};
}

// What the ballots say about the owner and this ring.
QuorumVote::Answer QuorumVote::about_owner(const VoteStanding& standing) const {
  const auto& word = board_.lock();
  const auto owner = word.value.owner.host;
  if (const auto doubt = board_.unknown_ballot(); !doubt.empty())
    return {Kind::unsure, doubt};
  if (word.version == LockVersion{})
    return {Kind::unsure, "nobody has owned the domain lock yet"};
  const auto whose = version_text(word.version) + " of the domain lock is of " + host_text(owner);
  if (word.released) return {Kind::unsure, whose + ", which has given it up"};
  if (standing.owner_gone)
    return {Kind::unsure,
            whose + (owner == self_ ? ", which cannot decide now" : ", which is gone")};
  if (!ring_->has(owner)) return {Kind::no, whose + ", which is outside this ring"};
  return {Kind::yes, whose + ", which is in this ring", true};
}

// Whether a vote of this host's under an earlier version may count, now or in a ring to come.
//
// Whoever casts has written its slot within T_F/2 before it read what the vote rests on. So where
// that has stood for as long, and for as long again as a vote lasts, there is none; and if it casts
// later than the read that shows this, it knows the present version.
bool QuorumVote::may_count(const OtherVote& other) const {
  if (!other.read_issued || *other.read_issued < seen_at_) return true;
  const auto window = std::max(other.feed_window, timing_.feed_window);
  return other.under != LockVersion{} && other.under < seen_ &&
         other.stands < surely(window / 2 + vote_lasts(*device_, timing_));
}

// A host inside is not waited for, but it may leave, and it does not cast less for that: in the
// ring that it has gone to its vote under an earlier version counts on. So they are looked at too.
//
// What is found here is told to the others of the ring: a daemon that has just begun cannot know
// for how long a slot has stood.
void QuorumVote::look_outside(const VoteStanding& standing) {
  cleared_ = {};
  waits_for_.reset();
  if (!device_ || !ring_ || seen_ == LockVersion{}) return;
  for (const auto& other : standing.others) {
    if (forgotten_ == seen_) break;
    // A verdict says nothing about the host's next boot, so it is not kept.
    if (other.dead || withdrew_.contains(other.host)) continue;
    const bool inside = ring_->has(other.host);
    if (!may_count(other) || (!inside && standing.cleared >= seen_))
      withdrew_.insert(other.host);
    else if (!inside && !waits_for_)
      waits_for_ = other.host;
  }
  if (!waits_for_) cleared_ = seen_;
}

// The first host outside this ring whose vote may still count elsewhere, as a clause; empty: none.
std::string QuorumVote::not_withdrawn(Instant now) const {
  if (!waits_for_) return {};
  return "the vote of " + host_text(*waits_for_) + ", outside this ring, may still count for " +
         wardom::to_text(std::chrono::ceil<std::chrono::seconds>(
             std::max(seen_at_ + vote_lasts(*device_, timing_) - now, Duration{0}))) +
         " or so";
}

// When a read must have been issued to count for a vote now. One that was ordered for this poll may
// have taken long.
Instant QuorumVote::reads_from(Instant now) const {
  const Instant shortly = now - poll_interval(*device_);
  if (!asked_) return shortly;
  return std::min(shortly, std::max(*asked_, now - read_counts(*device_, timing_)));
}

QuorumVote::Answer QuorumVote::answer(const VoteStanding& standing, Instant now) const {
  if (leaving_) return {Kind::no, "wardomd stops here"};
  if (standing.condemned) return {Kind::no, "this host was pronounced dead"};
  if (auto why = refusal(); !why.empty()) return {Kind::no, std::move(why)};
  if (!standing.able)
    return {Kind::unsure, "this host cannot use the state volume now"};
  if (!read_since(ring_->told))
    return {Kind::unsure, "the ballots were not read in this ring yet", false, true};
  auto found = about_owner(standing);
  if (found.kind != Kind::yes) return found;
  const auto wait = [&](std::string why, bool reads) {
    return Answer{Kind::unsure, std::move(why), true, reads};
  };
  if (auto why = not_withdrawn(now); !why.empty()) return wait(std::move(why), false);
  const bool stands = wanted_ != LockVersion{} && stated_ && stated_->under != LockVersion{} &&
                      stated_->under <= seen_;
  if (!stands) return wait("this host's slot does not state yet that it casts", false);
  if (!read_since(std::max(stated_->since, reads_from(now))))
    return wait("the ballots have to be read anew", true);
  return found;
}

// What the slot is to state: the lowest version under which a vote of this host's may count. So a
// statement is raised when corosync has taken a vote under a later version, and no sooner; it
// covers that vote all the while. What a daemon before this one has stated is not known before a
// heartbeat has told it.
//
// The slot says 0 only once no vote of this host's counts; and having said so it says nothing else
// before that stands there, for an acknowledgement of the earlier statement could else be taken for
// one of the next.
void QuorumVote::state(const Answer& answer) {
  const bool clearing = wanted_ == LockVersion{} && !(stated_ && stated_->under == LockVersion{});
  if (clearing) return;
  const bool none = withdrawn_ || (stated_ && stated_->under == LockVersion{});
  if (!answer.claims && withdrawn_)
    wanted_ = LockVersion{};
  else if (answer.claims && none && wanted_.value_or(LockVersion{}) == LockVersion{})
    wanted_ = seen_;
}

Instant QuorumVote::ask_again() const {
  if (!asked_) return {};
  return *asked_ + (read_since(*asked_) ? kReadAgain : volume_patience(timing_));
}

void QuorumVote::ask(Instant now) {
  if (now < ask_again()) return;
  asked_ = now;
  board_.want_ballots();
}

// Until then doubt leaves the vote as it is. corosync keeps the last one for `timeout`.
Instant QuorumVote::unsure_until() const {
  const auto most = device_->timeout * 3 / 4;
  if (ring_->cast) return *ring_->cast ? ring_->ordered + most : Instant{};
  return ring_->told + (ring_->formed.syncing ? kRingDecides : most);
}

void QuorumVote::vote(bool cast, const std::string& why, Turn& turn, std::vector<Vote>& votes) {
  const auto interval = poll_interval(*device_);
  Vote vote{turn.ticket(), ring_->formed.ring, cast, turn.now.at + interval};
  if (cast) {
    vote.until =
        std::min(*board_.ballots_read_issued(), turn.now.at) + read_counts(*device_, timing_);
    asked_.reset();
    cast_under_ = seen_;
    withdrawn_ = false;
    counts_from_ = turn.now.at;
    lasts_ = vote_lasts(*device_, timing_);
    first_zero_.reset();
    if (!cast_ || cast_->under != seen_) cast_ = Cast{vote.ticket, seen_};
  } else {
    cast_under_ = {};
    cast_.reset();
    if (!first_zero_) first_zero_ = vote.ticket;
  }
  ring_->cast = cast;
  ring_->ordered = turn.now.at;
  ring_->ticket = vote.ticket;
  next_poll_ = turn.now.at + interval;
  votes.push_back(vote);
  tell(cast, why, turn);
}

void QuorumVote::tell(bool casts, const std::string& why, Turn& turn) {
  if (std::exchange(told_casts_, casts) == casts) return;
  const auto where = ring_ ? " in " + ring_text(ring_->formed.ring) : std::string{};
  turn.note({casts ? Severity::notice : Severity::warning, "quorum", self_, {}, {}, "",
             (casts ? "casts the quorum device's vote" : "casts the quorum device's vote no more") +
                 where + ": " + why,
             {}});
}

std::vector<Vote> QuorumVote::tick(const VoteStanding& standing, Turn& turn) {
  const Instant now = turn.now.at;
  std::vector<Vote> votes;
  look_at_version(now);
  look_at_time(now);
  look_outside(standing);
  deadline_ = Instant::never();
  if (!device_ || !ring_) {
    why_ = device_ ? "corosync has told of no ring yet" : lost_;
    state({});
    return votes;
  }
  auto found = answer(standing, now);
  state(found);
  const bool casting = ring_->cast.value_or(false);
  const bool due = !ring_->cast || now >= next_poll_;
  const bool wants = due || (found.reads && !casting);
  const bool asks = wants && found.kind != Kind::yes && standing.able;
  if (asks) ask(now);
  switch (found.kind) {
    case Kind::yes:
      if (due || !casting) vote(true, found.why, turn, votes);
      break;
    case Kind::no:
      if (due || casting) vote(false, found.why, turn, votes);
      break;
    case Kind::unsure:
      if (due && now >= unsure_until()) vote(false, found.why, turn, votes);
      break;
  }
  why_ = std::move(found.why);
  deadline_ = next_poll_ > now ? next_poll_ : std::max(unsure_until(), now);
  if (asks) deadline_ = std::min(deadline_, ask_again());
  return votes;
}

QuorumVoteView QuorumVote::view() const {
  QuorumVoteView view;
  view.set_up = device_.has_value();
  const bool ordered = view.set_up && ring_ && ring_->cast.value_or(false);
  view.casts = ordered && ring_->took;
  view.refused = view.set_up && !refusal().empty();
  view.why = view.refused ? refusal() : why_;
  if (ordered && !ring_->took)
    view.why = ring_->untaken.empty() ? "corosync has not taken the vote yet"
                                      : "corosync did not take the vote: " + ring_->untaken;
  if (ring_) view.ring = ring_->formed.ring;
  if (ordered) view.version = cast_under_;
  return view;
}

std::uint64_t QuorumVote::device_digest() const {
  if (!device_) return 0;
  Digest digest;
  digest.word(static_cast<std::uint64_t>(device_->timeout.count()));
  digest.word(static_cast<std::uint64_t>(device_->sync_timeout.count()));
  digest.word(device_->votes ? std::uint64_t{*device_->votes} + 1 : 0);
  digest.word(device_->wait_for_all ? 1 : 0);
  for (HostId node : device_->nodes) digest.word(node.value);
  return std::max<std::uint64_t>(digest.value(), 1);
}

std::vector<QuorumTrouble> QuorumVote::troubles() const {
  std::vector<QuorumTrouble> list;
  if (!device_) return list;
  constexpr const char* kEverywhere =
      "correct corosync.conf on all hosts, then `corosync-cfgtool -R`";
  if (auto why = refusal(); !why.empty())
    list.push_back({"the quorum device is not served: " + std::move(why), kEverywhere});
  std::vector<HostId> missing;
  for (HostId host : members_)
    if (std::find(device_->nodes.begin(), device_->nodes.end(), host) == device_->nodes.end())
      missing.push_back(host);
  // Nobody is without quorum for that: such a host has the lock only where nobody else can.
  if (!missing.empty())
    list.push_back({"corosync's nodelist is without " + hosts_text(missing) +
                        ", which can be in no ring with the others",
                    kEverywhere});
  if (device_->wait_for_all)
    list.push_back({"corosync.conf sets wait_for_all: once this host has no quorum, it has none "
                    "before every host was back",
                    "set it to 0 in corosync.conf on all hosts, then restart corosync there"});
  return list;
}

}  // namespace wardom::core
