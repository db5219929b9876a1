#include "libha/core/groups.hpp"

#include <algorithm>
#include <tuple>

#include "libha/core/guest_life.hpp"

namespace wardom::core {
namespace {

bool exchange(const std::vector<Reach>& reaches, std::size_t a, std::size_t b) {
  const auto& one = reaches[a].sees;
  const auto& other = reaches[b].sees;
  if (!one && !other) return false;
  return (!one || one->test(b)) && (!other || other->test(a));
}

// All whose daemons live, and this host: whole if each of them hears all of them.
std::optional<MemberSet> whole(const std::vector<Reach>& reaches, std::size_t self) {
  MemberSet all;
  for (std::size_t i = 0; i < reaches.size(); ++i)
    if (reaches[i].daemon_lives || i == self) all.set(i);
  for (std::size_t i = 0; i < reaches.size(); ++i)
    if (all.test(i) && (!reaches[i].sees || (*reaches[i].sees & all) != all)) return std::nullopt;
  return all;
}

MemberSet connected_with(const std::vector<Reach>& reaches, std::size_t first) {
  MemberSet group;
  std::vector<std::size_t> at{first};
  group.set(first);
  while (!at.empty()) {
    const auto from = at.back();
    at.pop_back();
    for (std::size_t to = 0; to < reaches.size(); ++to) {
      if (group.test(to) || !reaches[to].daemon_lives || !exchange(reaches, from, to)) continue;
      group.set(to);
      at.push_back(to);
    }
  }
  return group;
}

std::size_t lowest(const MemberSet& hosts) {
  std::size_t at = 0;
  while (at < hosts.size() && !hosts.test(at)) ++at;
  return at;
}

std::size_t guests_of(const Board& board, HostId host) {
  const auto& guests = board.table(host).record.guests;
  return static_cast<std::size_t>(
      std::count_if(guests.begin(), guests.end(), [&](const GuestEntry& entry) {
        return is_active(entry.phase) && board.verdict_on(host, entry.holder) == nullptr;
      }));
}

}  // namespace

bool Groups::outweighed() const {
  if (!split() || own == 0) return false;
  const auto weight = [](const Group& group) {
    return std::pair(group.hosts.count(), group.guests);
  };
  return weight(list.front()) > weight(list[own]);
}

std::vector<MemberSet> Groups::division() const {
  std::vector<MemberSet> hosts;
  for (const auto& group : list) hosts.push_back(group.hosts);
  return hosts;
}

Groups find_groups(const std::vector<Reach>& reaches, std::size_t self,
                   const std::vector<HostId>& members, const Board& board) {
  Groups groups;
  if (const auto all = whole(reaches, self)) {  // nearly always
    groups.list.push_back({*all, 0});
    return groups;
  }
  MemberSet done;
  for (std::size_t i = 0; i < reaches.size(); ++i) {
    if (done.test(i) || !(reaches[i].daemon_lives || i == self)) continue;
    groups.list.push_back({connected_with(reaches, i), 0});
    done |= groups.list.back().hosts;
  }
  if (groups.split())
    for (auto& group : groups.list)
      for (std::size_t i = 0; i < reaches.size(); ++i)
        if (group.hosts.test(i)) group.guests += guests_of(board, members[i]);
  std::sort(groups.list.begin(), groups.list.end(), [](const Group& a, const Group& b) {
    return std::tuple(b.hosts.count(), b.guests, lowest(a.hosts)) <
           std::tuple(a.hosts.count(), a.guests, lowest(b.hosts));
  });
  for (std::size_t i = 0; i < groups.list.size(); ++i)
    if (groups.list[i].hosts.test(self)) groups.own = i;
  return groups;
}

std::string to_text(const std::vector<MemberSet>& division, const std::vector<HostId>& members) {
  std::string text;
  for (const auto& hosts : division) {
    if (!text.empty()) text += " | ";
    bool first = true;
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (!hosts.test(i)) continue;
      text += (first ? "host " : ", host ") + std::to_string(members[i].value);
      first = false;
    }
  }
  return text;
}

}  // namespace wardom::core
