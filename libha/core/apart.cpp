#include "libha/core/apart.hpp"

#include <optional>
#include <vector>

#include "libha/core/judge.hpp"

namespace wardom::core {
namespace {

// Whom the members hear that are not heard here, as their slots say; none: its slot or its daemon
// does not live, or it hears nobody.
std::vector<std::optional<MemberSet>> views_by_slot(const Evidence& evidence, const Board& board,
                                                    Instant now) {
  const auto& members = evidence.members();
  std::vector<std::optional<MemberSet>> views(members.size());
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (members[i] == evidence.self()) continue;
    const auto& member = evidence.of(members[i]);
    const bool dead = board.verdict_on(members[i], member.incarnation()) != nullptr;
    if (judge(evidence, members[i], dead, true, now).state != HostState::split) continue;
    const auto& slot = *member.disk.slot;
    views[i] = slot.sees_mgmt | slot.sees_storage;
  }
  return views;
}

// And `owner` is among them, or exchanges beats with one of them.
bool majority_among(const std::vector<std::optional<MemberSet>>& views, std::size_t owner) {
  const std::size_t majority = views.size() / 2 + 1;
  for (std::size_t i = 0; i < views.size(); ++i) {
    if (!views[i] || (i != owner && !(views[i]->test(owner) && views[owner]->test(i)))) continue;
    std::size_t count = 1;
    for (std::size_t other = 0; other < views.size(); ++other)
      if (other != i && views[other] && views[i]->test(other) && views[other]->test(i)) ++count;
    if (count >= majority) return true;
  }
  return false;
}

}  // namespace

bool stands_apart(const Evidence& evidence, const Board& board, const OwnStanding& own,
                  Instant now) {
  if (!own.able || own.decides) return false;
  for (HostId host : evidence.members())
    if (host != evidence.self() && evidence.of(host).heard(now, evidence.timing())) return false;
  const auto views = views_by_slot(evidence, board, now);
  const auto self = evidence.index_of(evidence.self());
  for (const auto& view : views)
    if (view && view->test(self)) return false;
  const auto& lock = board.lock();
  const HostId owner = lock.value.owner.host;
  if (lock.released || lock.conflict) return false;
  if (owner == evidence.self() || !evidence.has(owner)) return false;
  const auto at = evidence.index_of(owner);
  return views[at] && majority_among(views, at);
}

}  // namespace wardom::core
