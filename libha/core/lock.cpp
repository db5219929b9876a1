#include "libha/core/lock.hpp"

namespace wardom::core {

LockView LowestOfMajority::view(const Evidence& evidence, Instant now) const {
  const auto& members = evidence.members();
  const std::size_t majority = members.size() / 2 + 1;
  const MemberSet own =
      evidence.fresh_on(Link::mgmt, now) | evidence.fresh_on(Link::storage, now);
  MemberSet reachable = own;  // by this host, or by somebody that it hears
  std::vector<MemberSet> sees(members.size());
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (members[i] == evidence.self()) {
      sees[i] = own;
    } else if (own.test(i)) {
      const auto& newest = *evidence.of(members[i]).beats.newest;
      sees[i] = newest.sees_mgmt | newest.sees_storage;
      reachable |= sees[i];
    }
  }
  LockView view;
  int rank = 0;
  for (std::size_t i = 0; i < members.size() && rank < 2; ++i) {
    if (!reachable.test(i)) continue;
    const bool candidate = own.test(i) ? sees[i].count() >= majority : true;
    if (!candidate) continue;
    const bool self = members[i] == evidence.self();
    if (rank == 0) {
      view.decider = members[i];
      view.mine = self;
    } else {
      view.backup = self;
    }
    ++rank;
  }
  if (own.count() < majority) return LockView{};  // who sees no majority knows of no decider
  return view;
}

}  // namespace wardom::core
