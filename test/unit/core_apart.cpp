#include <catch2/catch.hpp>

#include "core_samples.hpp"
#include "libha/core/apart.hpp"
#include "libha/core/turn.hpp"

using namespace wardom;
using namespace wardom::core;
using namespace wardom::core::sample;

namespace {

constexpr std::size_t kMost = 5;

// A domain as it is: host 1 asks itself whether it stands apart.
struct Domain {
  std::size_t hosts{3};
  bool hears[kMost][kMost]{};  // hears[a][b]: the beats of host b+1 reach host a+1
  bool slot[kMost]{true, true, true, true, true};  // grows
  bool daemon[kMost]{true, true, true, true, true};
  bool dead[kMost]{};  // a verdict names it
  bool able{true};
  bool decides{false};
  std::size_t owner{1};  // of the lock
  bool released{false};

  MemberSet sees(std::size_t host) const {
    MemberSet set;
    for (std::size_t other = 0; other < hosts; ++other)
      if (other == host || hears[host][other]) set.set(other);
    return set;
  }
};

HostId id(std::size_t at) { return HostId{static_cast<std::uint16_t>(at + 1)}; }

bool apart(const Domain& domain) {
  std::vector<HostId> members;
  for (std::size_t i = 0; i < domain.hosts; ++i) members.push_back(id(i));
  Evidence evidence(members, id(0), Timing{});
  Board board(members);
  Decision decision;
  for (std::size_t i = 0; i < domain.hosts; ++i)
    if (domain.dead[i]) {
      decision.verdicts.emplace_back();
      decision.verdicts.back().host = id(i);
      decision.verdicts.back().incarnation = boot(5);
    }
  CellSeen cell;
  cell.cell = {Region::decision, 1};
  cell.health = CellHealth::valid;
  cell.sequence = Sequence{1};
  cell.content = decision;
  board.on_read(cell, at(0));
  Ballot ballot;
  ballot.decided = LockVersion{3};
  ballot.value.owner = {id(domain.owner), boot(5), DaemonEpoch{1}};
  for (HostId host : members) ballot.value.directory.push_back({host, false, 1});
  ballot.released = domain.released;
  cell.cell = board.ballot_cell(id(0));
  cell.content = ballot;
  board.on_read(cell, at(0));
  for (int ms = 0; ms <= 5000; ms += 250)
    for (std::size_t i = 0; i < domain.hosts; ++i) {
      const auto count = static_cast<std::uint64_t>(ms / 250 + 1);
      auto read = slot(id(i), domain.slot[i] ? count : 1, 5, domain.daemon[i] ? count : 1);
      std::get<Slot>(read.content).sees_storage = domain.sees(i);
      evidence.on_slot(read, at(ms), at(ms));
      if (i != 0 && domain.hears[0][i]) evidence.on_beat(beat(id(i), Link::mgmt, count), at(ms));
    }
  return stands_apart(evidence, board, {domain.able, domain.decides}, at(5001));
}

// The rule, written down once more without a look at apart.cpp.
bool oracle(const Domain& domain) {
  if (!domain.able || domain.decides || domain.owner == 0 || domain.released) return false;
  const auto goes_on = [&](std::size_t host) {
    return host != 0 && domain.slot[host] && domain.daemon[host] && !domain.dead[host];
  };
  for (std::size_t host = 1; host < domain.hosts; ++host) {
    if (domain.hears[0][host]) return false;
    if (goes_on(host) && domain.hears[host][0]) return false;
  }
  for (std::size_t host = 1; host < domain.hosts; ++host) {
    std::size_t together = goes_on(host) ? 1 : 0;
    for (std::size_t other = 1; other < domain.hosts; ++other)
      if (other != host && goes_on(host) && goes_on(other) && domain.hears[host][other] &&
          domain.hears[other][host])
        ++together;
    const bool with_owner = host == domain.owner || (goes_on(domain.owner) &&
                                                     domain.hears[host][domain.owner] &&
                                                     domain.hears[domain.owner][host]);
    if (2 * together > domain.hosts && with_owner) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("stands_apart_in_every_domain_of_three", "[apart]") {
  int found = 0;
  for (unsigned bits = 0; bits < 1u << 12; ++bits) {
    Domain domain;
    unsigned left = bits;
    const auto next = [&left] {
      const bool bit = (left & 1) != 0;
      left >>= 1;
      return bit;
    };
    for (std::size_t a = 0; a < 3; ++a)
      for (std::size_t b = 0; b < 3; ++b)
        if (a != b) domain.hears[a][b] = next();
    domain.slot[1] = next();
    domain.slot[2] = next();
    domain.daemon[2] = next();
    domain.dead[1] = next();
    domain.able = next();
    domain.decides = next();
    INFO(bits);
    REQUIRE(apart(domain) == oracle(domain));
    found += oracle(domain) ? 1 : 0;
  }
  CHECK(found == 1);  // the one way in which two others go on without a third
}

TEST_CASE("stands_apart_in_domains_of_two_to_five", "[apart]") {
  Random random(7);
  const auto chance = [&](std::uint64_t percent) { return random.next() % 100 < percent; };
  int found = 0;
  for (int round = 0; round < 3000; ++round) {
    Domain domain;
    domain.hosts = 2 + random.next() % 4;
    domain.owner = random.next() % domain.hosts;
    domain.released = chance(10);
    for (std::size_t a = 0; a < domain.hosts; ++a) {
      for (std::size_t b = 0; b < domain.hosts; ++b)
        domain.hears[a][b] = a != b && chance(a == 0 || b == 0 ? 4 : 85);
      domain.slot[a] = chance(90);
      domain.daemon[a] = chance(90);
      domain.dead[a] = a != 0 && chance(5);
    }
    INFO(round);
    REQUIRE(apart(domain) == oracle(domain));
    if (domain.hosts == 2) REQUIRE_FALSE(apart(domain));  // nobody could take the guests
    found += oracle(domain) ? 1 : 0;
  }
  CHECK(found > 300);
}
