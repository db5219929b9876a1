#include "libha/core/apart.hpp"

namespace wardom::core {
namespace {

// Its beats arrive here, or its slot says that it hears this host.
bool in_touch(const Evidence& evidence, std::size_t at, Instant now) {
  const auto& timing = evidence.timing();
  const auto& member = evidence.of(evidence.members()[at]);
  if (member.heard(now, timing)) return true;
  if (!member.slot_fresh(now, timing, evidence.read_horizon()) ||
      !member.daemon_progresses(now, timing))
    return false;
  const auto& slot = *member.disk.slot;
  return (slot.sees_mgmt | slot.sees_storage).test(evidence.index_of(evidence.self()));
}

}  // namespace

bool stands_apart(const Evidence& evidence, const Groups& groups, const OwnStanding& own,
                  Instant now) {
  if (!groups.split() || !own.able || own.decides || !evidence.has(own.decider)) return false;
  const auto decider = evidence.index_of(own.decider);
  const auto& with = groups.list[groups.own].hosts;
  bool others_go_on = false;
  for (const auto& group : groups.list)
    if (group.hosts.test(decider)) others_go_on = group.hosts.count() > with.count();
  if (!others_go_on) return false;
  for (std::size_t i = 0; i < evidence.members().size(); ++i)
    if (!with.test(i) && in_touch(evidence, i, now)) return false;
  return true;
}

}  // namespace wardom::core
