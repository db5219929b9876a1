// Split groups: which hosts of a domain exchange beats, as far as this host can know. While the
// domain is whole there is one group. A rule over fresh beats and slots: two hosts may each believe
// in another order for a moment; the ballots (domain_lock.hpp) make one of them the owner. Pure.
#pragma once

#include <string>
#include <vector>

#include "libha/core/board.hpp"
#include "libha/core/evidence.hpp"

namespace wardom::core {

// A division that has stood for so long is acted upon: an owner in a lighter group gives the lock
// up, and the groups are recorded. Twice the time after which a slot counts as silent: what the
// slots say of the links is as old as that.
constexpr Duration split_settles(const Timing& t) { return 2 * disk_silent_after(t); }

// What a host is known to hear of the domain.
struct Reach {
  bool daemon_lives{false};        // as beats or its slot show: else it is in no group
  bool heard{false};               // by this host, itself included
  std::optional<MemberSet> sees;   // none: its word does not say, the other end's counts
};

struct Group {
  MemberSet hosts;
  std::size_t guests{0};  // protected and held there, counted only while there are several groups
  friend bool operator==(const Group&, const Group&) = default;
};

// All hosts whose daemons live, in groups: the connected parts of the graph of links by which both
// ends hear each other. Heaviest first: by hosts, then by guests, then the one with the lowest id.
struct Groups {
  std::vector<Group> list;
  std::size_t own{0};  // the one of this host

  bool split() const { return list.size() > 1; }
  // Another group has more hosts, or as many and more guests.
  bool outweighed() const;
  std::vector<MemberSet> division() const;
};

// `reaches` by member; `board` tells the guests.
Groups find_groups(const std::vector<Reach>& reaches, std::size_t self,
                   const std::vector<HostId>& members, const Board& board);

// "host 1, host 2 | host 3": for people.
std::string to_text(const std::vector<MemberSet>& division, const std::vector<HostId>& members);

}  // namespace wardom::core
