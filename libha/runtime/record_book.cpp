#include "libha/runtime/record_book.hpp"

#include <algorithm>

namespace wardom::runtime {
namespace {

// Kept in the order of time, also when a peer's word comes late.
void push(std::deque<Fact>& chain, Fact fact) {
  const auto place =
      std::upper_bound(chain.begin(), chain.end(), fact,
                       [](const Fact& a, const Fact& b) { return a.at < b.at; });
  chain.insert(place, std::move(fact));
  if (chain.size() > kMaxChain) chain.pop_front();
}

const std::deque<Fact> kNothing;

// What guests are moved upon.
bool is_ground(const wire::StepMessage& step) {
  return step.step == "verdict" || step.step == "yielded";
}

}  // namespace

HostId Recovery::victim() const {
  for (const auto& step : steps)
    if (step.step == "last-sign" || is_ground(step)) return step.host;
  return kNoHost;
}

WallTime Recovery::first_sign() const {
  for (const auto& step : steps)
    if (step.step == "last-sign") return step.at;
  return steps.empty() ? WallTime{} : steps.front().at;
}

void RecordBook::chain(HostId host, const GuestId& guest, const Fact& fact) {
  if (host != kNoHost) push(hosts_[host], fact);
  if (!guest.is_zero() && (guests_.size() < kMaxChains || guests_.contains(guest)))
    push(guests_[guest], fact);
}

void RecordBook::add(const core::Note& note, WallTime now) {
  chain(note.host, note.guest, {note.at.ms != 0 ? note.at : now, note.source, note.text});
}

bool RecordBook::learn(const wire::StepMessage& step) {
  if (!add(step)) return false;
  chain(step.host, step.guest, {step.at, step.source, step.text});
  return true;
}

bool RecordBook::add(const wire::StepMessage& step) {
  auto [found, fresh] = recoveries_.try_emplace(step.recovery);
  auto& recovery = found->second;
  if (fresh) {
    recovery.id = step.recovery;
    recovery.order = ++order_;
  }
  auto& steps = recovery.steps;
  if (steps.size() >= kMaxSteps || std::find(steps.begin(), steps.end(), step) != steps.end())
    return false;
  const auto place = std::upper_bound(
      steps.begin(), steps.end(), step,
      [](const auto& a, const auto& b) { return a.at < b.at; });
  steps.insert(place, step);
  if (step.step == "finished") recovery.finished = true;
  if (is_ground(step)) recovery.grounded = true;
  if (recoveries_.size() <= kMaxRecoveries) return true;
  const auto oldest = std::min_element(
      recoveries_.begin(), recoveries_.end(),
      [](const auto& a, const auto& b) { return a.second.order < b.second.order; });
  recoveries_.erase(oldest);
  return true;
}

const std::deque<Fact>& RecordBook::about(HostId host) const {
  const auto found = hosts_.find(host);
  return found == hosts_.end() ? kNothing : found->second;
}

const std::deque<Fact>& RecordBook::about(const GuestId& guest) const {
  const auto found = guests_.find(guest);
  return found == guests_.end() ? kNothing : found->second;
}

const Recovery* RecordBook::find(const RecoveryId& id) const {
  const auto found = recoveries_.find(id);
  return found == recoveries_.end() ? nullptr : &found->second;
}

const Recovery* RecordBook::last() const {
  const Recovery* newest = nullptr;
  for (const auto& [id, recovery] : recoveries_)
    if (recovery.grounded && (newest == nullptr || recovery.order > newest->order))
      newest = &recovery;
  return newest;
}

std::vector<const Recovery*> RecordBook::all() const {
  std::vector<const Recovery*> list;
  for (const auto& [id, recovery] : recoveries_) list.push_back(&recovery);
  std::sort(list.begin(), list.end(), [](auto* a, auto* b) { return a->order < b->order; });
  return list;
}

}  // namespace wardom::runtime
