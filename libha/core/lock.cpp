#include "libha/core/lock.hpp"

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

namespace wardom::core {
namespace {

// What is known here of one member as a candidate.
struct View {
  Reach reach;
  bool able{true};         // to use the volume, as far as is known
  std::uint64_t beats{0};  // how long its daemon has been there
  RingId ring;             // of its corosync
  bool outside{false};     // see Contention
};

std::vector<View> gather(const Evidence& evidence, const RuleInputs& own, Instant now) {
  const auto& members = evidence.members();
  const MemberSet heard =
      evidence.fresh_on(Link::mgmt, now) | evidence.fresh_on(Link::storage, now);
  std::vector<View> views(members.size());
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (own.gone.test(i)) continue;
    auto& view = views[i];
    const auto& member = evidence.of(members[i]);
    if (members[i] == evidence.self()) {
      view.reach = {true, true, heard};
      view.beats = own.own_beats;
      view.able = own.able;
      view.ring = own.ring;
    } else if (heard.test(i)) {
      const auto& newest = *member.beats.newest;
      // Of a release that does not speak the domain's level it takes no part, and does not
      // understand whom it hears.
      if (!newest.speaks.has(own.level)) continue;
      view.reach = {true, true, newest.sees_mgmt | newest.sees_storage};
      if (own.strangers.test(i)) view.reach.sees.reset();
      view.beats = newest.sequence.value;
      view.able = newest.volume_ok && !newest.leaving && !newest.restarting;
      view.ring = newest.ring;
    } else if (member.slot_fresh(now, evidence.timing(), evidence.read_horizon()) &&
               member.daemon_progresses(now, evidence.timing()) &&
               member.foreign_speaks.value_or(member.disk.speaks).has(own.level)) {
      const auto& slot = *member.disk.slot;
      view.reach = {true, false, slot.sees_mgmt | slot.sees_storage};
      if (own.strangers.test(i)) view.reach.sees.reset();
      view.beats = slot.daemon_progress;
    }
  }
  return views;
}

std::vector<Reach> reaches_of(const std::vector<View>& views) {
  std::vector<Reach> reaches;
  reaches.reserve(views.size());
  for (const auto& view : views) reaches.push_back(view.reach);
  return reaches;
}

// Who of the line is in no ring, or in one with fewer of the line than another ring has.
void find_outside(const std::vector<std::size_t>& line, std::vector<View>& views) {
  const auto same = [&](std::size_t a, std::size_t b) { return views[a].ring == views[b].ring; };
  if (std::all_of(line.begin(), line.end(), [&](std::size_t i) { return same(i, line.front()); }))
    return;  // nearly always
  const auto in_ring = [&](std::size_t i) {
    if (views[i].ring == RingId{}) return std::ptrdiff_t{0};
    return std::count_if(line.begin(), line.end(), [&](std::size_t one) { return same(one, i); });
  };
  std::ptrdiff_t most = 0;
  for (std::size_t i : line) most = std::max(most, in_ring(i));
  for (std::size_t i : line) views[i].outside = in_ring(i) < most;
}

}  // namespace

RingId ring_to_tell(const Evidence& evidence, const RingFormed& formed, Instant now) {
  for (HostId host : formed.nodes) {
    const auto* member = evidence.find(host);
    if (host == evidence.self() || member == nullptr || !member->heard(now, evidence.timing()))
      continue;
    if (member->beats.newest->ring.sequence > formed.ring.sequence) return {};
  }
  return formed.ring;
}

std::optional<std::size_t> Contention::place(HostId host, HostId without) const {
  std::size_t at = kPlacesPerGroup * groups.own;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (order[i] == host) return i < inside ? at : at + kPlacesOutsideRing;
    if (order[i] != without) ++at;
  }
  return std::nullopt;
}

Contention contention(const Evidence& evidence, const Board& board, const RuleInputs& own,
                      Instant now) {
  const auto& members = evidence.members();
  auto views = gather(evidence, own, now);
  Contention result;
  result.groups =
      find_groups(reaches_of(views), evidence.index_of(evidence.self()), members, board);
  const auto& with = result.groups.list[result.groups.own].hosts;
  std::uint64_t oldest = 0;
  std::vector<std::size_t> candidates;
  candidates.reserve(members.size());
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (!with.test(i) || own.gone.test(i) || !views[i].able || !own.proposers.test(i)) continue;
    candidates.push_back(i);
    oldest = std::max(oldest, views[i].beats);
  }
  // Both counts only grow, so each bound is crossed once: nothing here can flutter. Hosts that
  // start together never see one another as young.
  const auto young = [&](std::size_t i) {
    return views[i].beats < kYoungBeats && oldest >= 2 * kYoungBeats;
  };
  find_outside(candidates, views);
  std::sort(candidates.begin(), candidates.end(), [&](std::size_t a, std::size_t b) {
    return std::tuple(views[a].outside, young(a), a) < std::tuple(views[b].outside, young(b), b);
  });
  result.order.reserve(candidates.size());
  for (std::size_t i : candidates) {
    result.order.push_back(members[i]);
    if (!views[i].outside) ++result.inside;
    if (members[i] != evidence.self()) continue;
    result.young = young(i);
    result.outside = views[i].outside;
  }
  return result;
}

}  // namespace wardom::core
