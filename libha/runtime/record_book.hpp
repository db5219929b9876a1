// The record book: why each host and guest is as it is, and the timeline of each recovery, so that
// every decision can be explained. Bounded; oldest entries go first. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "libha/core/inputs.hpp"
#include "libha/wire/ring_messages.hpp"

namespace wardom::runtime {

inline constexpr std::size_t kMaxChain = 200;        // facts kept about one host or guest
inline constexpr std::size_t kMaxChains = 4096;
inline constexpr std::size_t kMaxRecoveries = 100;
inline constexpr std::size_t kMaxSteps = 4000;       // of one recovery

struct Fact {
  WallTime at;
  std::string source;
  std::string what;
};

struct Recovery {
  RecoveryId id;
  std::uint64_t order{0};  // later recoveries have higher ones
  bool finished{false};
  bool grounded{false};  // a verdict about its host, or its yield of a guest, is on record
  std::vector<wire::StepMessage> steps;  // sorted by time
  HostId victim() const;
  WallTime first_sign() const;
};

class RecordBook {
 public:
  // A fact about a host or guest, for its chain.
  void add(const core::Note& note, WallTime now);
  // A step of a recovery that this host took. false: known already, or beyond the limit.
  bool add(const wire::StepMessage& step);
  // The same, told by a peer or by an earlier daemon: it also enters the chains of its host and
  // guest, since no note of this daemon has.
  bool learn(const wire::StepMessage& step);

  const std::deque<Fact>& about(HostId host) const;
  const std::deque<Fact>& about(const GuestId& guest) const;
  const Recovery* find(const RecoveryId& id) const;
  // The newest recovery with a verdict or a yield; nullptr: none.
  const Recovery* last() const;
  std::vector<const Recovery*> all() const;  // oldest first

 private:
  void chain(HostId host, const GuestId& guest, const Fact& fact);

  std::map<HostId, std::deque<Fact>> hosts_;
  std::map<GuestId, std::deque<Fact>> guests_;
  std::map<RecoveryId, Recovery> recoveries_;
  std::uint64_t order_{0};
};

}  // namespace wardom::runtime
