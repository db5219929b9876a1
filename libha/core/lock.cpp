#include "libha/core/lock.hpp"

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

namespace wardom::core {
namespace {

// What is known here of one member as a candidate.
struct View {
  bool heard{false};            // by this host, itself included
  bool able{true};              // to use the volume, as far as is known
  std::optional<MemberSet> sees;
  std::uint64_t beats{0};       // how long its daemon has been there
};

std::vector<View> gather(const Evidence& evidence, const RuleInputs& own, Instant now) {
  const auto& members = evidence.members();
  const MemberSet heard =
      evidence.fresh_on(Link::mgmt, now) | evidence.fresh_on(Link::storage, now);
  const MemberSet on_disk = evidence.fresh_on_disk(now);
  std::vector<View> views(members.size());
  MemberSet reachable;  // by this host, or by somebody that it hears
  for (std::size_t i = 0; i < members.size(); ++i) {
    auto& view = views[i];
    view.heard = heard.test(i);
    if (members[i] == evidence.self()) {
      view.sees = heard;
      view.beats = own.own_beats;
      view.able = own.able;
    } else if (view.heard) {
      const auto& newest = *evidence.of(members[i]).beats.newest;
      view.sees = newest.sees_mgmt | newest.sees_storage;
      view.beats = newest.sequence.value;
      view.able = newest.volume_ok;
    }
    if (view.sees) reachable |= *view.sees;
  }
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (views[i].heard || !reachable.test(i) || !on_disk.test(i)) continue;
    const auto& slot = *evidence.of(members[i]).disk.slot;
    views[i].sees = slot.sees_mgmt | slot.sees_storage;
    views[i].beats = slot.daemon_progress;
  }
  return views;
}

// How many members it exchanges beats with, itself included. The word of a member that is not
// known here is taken as the other end says.
std::size_t exchanges(const std::vector<View>& views, std::size_t at) {
  std::size_t count = 1;
  for (std::size_t other = 0; other < views.size(); ++other) {
    if (other == at || !views[at].sees->test(other)) continue;
    if (!views[other].sees || views[other].sees->test(at)) ++count;
  }
  return count;
}

}  // namespace

std::optional<std::size_t> Contention::place(HostId host, HostId without) const {
  std::size_t at = 0;
  for (HostId one : order) {
    if (one == host) return at;
    if (one != without) ++at;
  }
  return std::nullopt;
}

Contention contention(const Evidence& evidence, const RuleInputs& own, Instant now) {
  const auto& members = evidence.members();
  const std::size_t majority = members.size() / 2 + 1;
  const auto views = gather(evidence, own, now);
  Contention result;
  std::uint64_t oldest = 0;
  std::vector<std::size_t> candidates;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (!views[i].sees || own.condemned.test(i)) continue;
    const bool enough = exchanges(views, i) >= majority;
    // Who is in touch with no majority knows of no other candidate either.
    if (members[i] == evidence.self() && !enough) return {};
    if (members[i] == evidence.self()) result.in_touch = true;
    if (!enough || !views[i].able) continue;
    candidates.push_back(i);
    oldest = std::max(oldest, views[i].beats);
  }
  // Both counts only grow, so each bound is crossed once: nothing here can flutter. Hosts that
  // start together never see one another as young.
  const auto young = [&](std::size_t i) {
    return views[i].beats < kYoungBeats && oldest >= 2 * kYoungBeats;
  };
  std::sort(candidates.begin(), candidates.end(), [&](std::size_t a, std::size_t b) {
    return std::tuple(young(a), a) < std::tuple(young(b), b);
  });
  for (std::size_t i : candidates) {
    result.order.push_back(members[i]);
    if (members[i] == evidence.self()) result.young = young(i);
  }
  return result;
}

}  // namespace wardom::core
