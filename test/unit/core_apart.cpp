#include <catch2/catch.hpp>

#include "core_samples.hpp"
#include "libha/core/apart.hpp"
#include "libha/core/lock.hpp"
#include "libha/core/turn.hpp"

using namespace wardom;
using namespace wardom::core;
using namespace wardom::core::sample;

namespace {

constexpr std::size_t kMost = 5;

// A domain as it is: its first host asks itself whether it stands apart.
struct Domain {
  std::size_t hosts{3};
  bool hears[kMost][kMost]{};  // hears[a][b]: the beats of host b+1 reach host a+1
  bool slot[kMost]{true, true, true, true, true};  // grows
  bool daemon[kMost]{true, true, true, true, true};
  bool dead[kMost]{};  // a verdict names it
  bool able{true};
  std::size_t decider{1};  // by its place; kMost: nobody decides

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
  const Board board(members);
  for (int ms = 0; ms <= 5000; ms += 250)
    for (std::size_t i = 0; i < domain.hosts; ++i) {
      const auto count = static_cast<std::uint64_t>(ms / 250 + 1);
      auto read = slot(id(i), domain.slot[i] ? count : 1, 5, domain.daemon[i] ? count : 1);
      std::get<Slot>(read.content).sees_storage = domain.sees(i);
      evidence.on_slot(read, at(ms), at(ms));
      if (i == 0 || !domain.hears[0][i]) continue;
      auto heard = beat(id(i), Link::mgmt, count);
      heard.sees_mgmt = domain.sees(i);
      evidence.on_beat(heard, at(ms));
    }
  RuleInputs inputs;
  for (std::size_t i = 0; i < domain.hosts; ++i)
    if (domain.dead[i]) inputs.gone.set(i);
  const auto groups = contention(evidence, board, inputs, at(5001)).groups;
  const HostId decider = domain.decider == kMost ? kNoHost : id(domain.decider);
  return stands_apart(evidence, groups, {domain.able, domain.decider == 0, decider}, at(5001));
}

// Who exchanges beats with `from`, over others too, as the first host can know.
MemberSet together(const Domain& domain, std::size_t from) {
  const auto lives = [&](std::size_t host) {
    const bool by_slot = domain.slot[host] && domain.daemon[host];
    return host == 0 || (!domain.dead[host] && (domain.hears[0][host] || by_slot));
  };
  MemberSet group;
  if (!lives(from)) return group;
  group.set(from);
  for (std::size_t round = 0; round < domain.hosts; ++round)
    for (std::size_t a = 0; a < domain.hosts; ++a)
      for (std::size_t b = 0; b < domain.hosts; ++b)
        if (group.test(a) && lives(b) && domain.hears[a][b] && domain.hears[b][a]) group.set(b);
  return group;
}

// The rule, written down once more without a look at apart.cpp.
bool oracle(const Domain& domain) {
  if (!domain.able || domain.decider == 0 || domain.decider >= domain.hosts) return false;
  const auto own = together(domain, 0);
  const auto others = together(domain, domain.decider);
  if (own.test(domain.decider) || others.count() <= own.count()) return false;
  for (std::size_t host = 1; host < domain.hosts; ++host) {
    if (own.test(host)) continue;
    if (domain.hears[0][host]) return false;
    if (domain.slot[host] && domain.daemon[host] && domain.hears[host][0]) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("stands_apart_in_every_domain_of_three", "[apart]") {
  int found = 0;
  for (unsigned bits = 0; bits < 1u << 11; ++bits)
    for (std::size_t decider : {0u, 1u, 2u, static_cast<unsigned>(kMost)}) {
      Domain domain;
      domain.decider = decider;
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
      INFO(bits << ", decider " << decider);
      REQUIRE(apart(domain) == oracle(domain));
      found += oracle(domain) ? 1 : 0;
    }
  CHECK(found == 2);  // two others go on without a third, and one of them decides
}

TEST_CASE("stands_apart_in_domains_of_two_to_five", "[apart]") {
  Random random(7);
  const auto chance = [&](std::uint64_t percent) { return random.next() % 100 < percent; };
  int found = 0;
  int with_others = 0;
  for (int round = 0; round < 3000; ++round) {
    Domain domain;
    domain.hosts = 2 + random.next() % 4;
    domain.decider = random.next() % domain.hosts;
    const std::size_t side = chance(70) ? 1 : 2;  // so many hosts are cut off, mostly
    for (std::size_t a = 0; a < domain.hosts; ++a) {
      for (std::size_t b = 0; b < domain.hosts; ++b)
        domain.hears[a][b] = a != b && chance((a < side) == (b < side) ? 90 : 4);
      domain.slot[a] = chance(95);
      domain.daemon[a] = chance(95);
      domain.dead[a] = a != 0 && chance(5);
    }
    INFO(round);
    REQUIRE(apart(domain) == oracle(domain));
    if (domain.hosts == 2) REQUIRE_FALSE(apart(domain));  // nobody is more than the other
    if (!oracle(domain)) continue;
    ++found;
    with_others += together(domain, 0).count() > 1 ? 1 : 0;
  }
  CHECK(found > 300);
  CHECK(with_others > 30);
}
