#include "libha/core/outage.hpp"

#include <algorithm>

#include "libha/core/digest.hpp"

namespace wardom {

std::uint64_t directory_digest(const std::vector<Proposer>& directory) {
  Digest digest;
  for (const auto& one : directory) {
    digest.byte(one.host.value);
    digest.byte(one.host.value >> 8);
    digest.byte(one.guardian ? 1 : 0);
  }
  return digest.value();
}

}  // namespace wardom

namespace wardom::core {

void Outage::on_ready(const Incarnation& own) {
  own_ = own;
  stamp_.reset();
  extended_.reset();
  got_.clear();
}

void Outage::on_stamp(const AskStamp& stamp) { stamp_ = stamp.at; }

// act_until is t_s + T_F/2 of the newest acknowledged heartbeat.
void Outage::on_rights(const Rights& rights, bool ready, Instant now) {
  const bool late = rights.act_until != Instant{} && now >= rights.act_until - window_ / 4;
  const bool over = rights.lease == LeaseState::ending || rights.lease == LeaseState::ended;
  released_ = rights.lease == LeaseState::released;
  if (released_) away_at_.reset();
  if (ready && (late || over)) away_at_ = now;
  asks_ = settings_.takes_part && ready && late && rights.lease == LeaseState::held;
  if (!asks_) stamp_.reset();
  if (!rights.granted || rights.lease != LeaseState::held)
    riding_since_.reset();
  else if (!riding_since_)
    riding_since_ = now;
}

void Outage::granted(const Beat& beat, Instant now) {
  others_[beat.from] = {beat.incarnation, beat.request, beat.request_under, now};
}

// Who has not read a version yet takes the asker's word for it: naming it hides no newer one.
void Outage::say(BeatWord& word, HostId host, const DirectoryWord& under, Instant now) const {
  const auto found = others_.find(host);
  if (found == others_.end() || !grants(now) || now - found->second.at > fresh_) return;
  word.granted_to = found->second.incarnation;
  word.granted = found->second.number;
  word.granted_under = found->second.under.version > under.version ? found->second.under : under;
}

std::uint64_t Outage::request(const Asking& asking) const {
  if (!asks_ || !stamp_ || asking.under.version == LockVersion{}) return 0;
  return static_cast<std::uint64_t>(stamp_->since_boot.count());
}

// What was granted under another directory was not granted by all whom this one names.
void Outage::on_beat(const Beat& beat, const Asking& asking) {
  const auto& word = beat.word;
  if (word.granted == 0 || word.granted_to != own_ || asking.under.version == LockVersion{} ||
      word.granted_under.digest != asking.under.digest)
    return;
  if (got_under_ != asking.under.digest) got_.clear();
  got_under_ = asking.under.digest;
  auto& highest = got_[beat.from];
  highest = std::max(highest, word.granted);
}

// A grant for a request is one for all earlier ones of the same life.
std::optional<Instant> Outage::complete(const Asking& asking) {
  if (request(asking) == 0) return std::nullopt;
  std::uint64_t all = request(asking);
  for (HostId host : asking.asked) {
    const auto found = got_.find(host);
    if (found == got_.end() || got_under_ != asking.under.digest) return std::nullopt;
    all = std::min(all, found->second);
  }
  const Instant stamp{Duration{static_cast<std::int64_t>(all)}};
  if (extended_ && stamp <= *extended_) return std::nullopt;
  extended_ = stamp;
  return stamp;
}

std::vector<HostId> Outage::missing(const Asking& asking, Instant now) const {
  std::vector<HostId> hosts;
  const auto least = static_cast<std::uint64_t>((now - window_ / 4).since_boot.count());
  for (HostId host : asking.asked) {
    const auto found = got_.find(host);
    if (found == got_.end() || got_under_ != asking.under.digest || found->second < least)
      hosts.push_back(host);
  }
  return hosts;
}

bool asked_by_all(const Evidence& evidence, const Board& board) {
  if (!board.verdicts().contains(evidence.self())) return true;
  const auto& present = board.lock().value.directory;
  return std::all_of(present.begin(), present.end(), [&](const Proposer& one) {
    if (one.host == evidence.self()) return true;
    const auto* member = evidence.find(one.host);
    if (member == nullptr) return false;
    const auto boot = member->incarnation();
    if (!boot.is_none() && board.verdict_on(one.host, boot) != nullptr) return true;
    const auto& slot = member->disk.slot;
    if (slot && slot->state == SlotState::left) return true;
    return member->knows_me && member->knows_me->incarnation == boot;
  });
}

}  // namespace wardom::core
