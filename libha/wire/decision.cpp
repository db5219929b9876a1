#include "libha/wire/decision.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

namespace wardom::wire {
namespace {

constexpr std::size_t kVerdictLeast = 2 + 24 + 1 + 8 + 16 + 8 + 8 + 1;
constexpr std::size_t kEndedBytes = 2 + 24 + 8;
constexpr std::size_t kLyingBmcBytes = 2 + 8 + 2;
constexpr std::size_t kAssignmentLeast = 16 + 8 + 2 + 24 + 4 + 8 + 1 + 2 + 24 + 16 + 4 + 2;

void write(Writer& out, const Verdict& v) {
  out.u16(v.host.value);
  out.incarnation(v.incarnation);
  out.u8(static_cast<std::uint8_t>(v.proof));
  out.u64(v.version.value);
  out.bits(v.recovery);
  out.i64(v.first_sign.ms);
  out.i64(v.judged.ms);
  out.text8(std::string_view(v.detail).substr(0, kMaxVerdictDetailBytes));
}

Verdict read_verdict(Reader& in) {
  Verdict v;
  v.host = HostId{in.u16()};
  v.incarnation = in.incarnation();
  v.proof = in.enumeration(Proof::operator_word);
  v.version = LockVersion{in.u64()};
  v.recovery = RecoveryId{in.bits()};
  v.first_sign = WallTime{in.i64()};
  v.judged = WallTime{in.i64()};
  v.detail = in.text8(kMaxVerdictDetailBytes);
  // A verdict without host or proof is no verdict: refuse the block rather than half-believe it.
  if (v.host == kNoHost || v.proof == Proof::none) in.fail();
  return v;
}

void write(Writer& out, const Assignment& a) {
  out.bits(a.guest);
  out.u64(a.generation.value);
  out.u16(a.target.value);
  out.incarnation(a.target_incarnation);
  out.u32(a.target_epoch.value);
  out.u64(a.version.value);
  out.u8(static_cast<std::uint8_t>(a.cause));
  out.u16(a.from.value);
  out.incarnation(a.from_incarnation);
  out.bits(a.recovery);
  out.i32(a.priority);
  out.u16(static_cast<std::uint16_t>(a.ended.size()));
  for (const auto& ended : a.ended) {
    out.u16(ended.host.value);
    out.incarnation(ended.incarnation);
    out.u64(ended.generation.value);
  }
}

Assignment read_assignment(Reader& in) {
  Assignment a;
  a.guest = GuestId{in.bits()};
  a.generation = Generation{in.u64()};
  a.target = HostId{in.u16()};
  a.target_incarnation = in.incarnation();
  a.target_epoch = DaemonEpoch{in.u32()};
  a.version = LockVersion{in.u64()};
  a.cause = in.enumeration(Cause::migrate);
  a.from = HostId{in.u16()};
  a.from_incarnation = in.incarnation();
  a.recovery = RecoveryId{in.bits()};
  a.priority = in.i32();
  a.ended.resize(in.count16(kMaxEndedClaims, kEndedBytes));
  for (auto& ended : a.ended) {
    ended.host = HostId{in.u16()};
    ended.incarnation = in.incarnation();
    ended.generation = Generation{in.u64()};
  }
  if (a.target == kNoHost || a.guest.is_zero()) in.fail();
  return a;
}

void write(Writer& out, const Disarmed& d) {
  out.u64(static_cast<std::uint64_t>(d.left.count()));
  out.i64(d.since.ms);
  out.text8(std::string_view(d.by).substr(0, kMaxOperatorBytes));
}

Disarmed read_disarmed(Reader& in) {
  Disarmed d;
  const auto left = in.u64();
  if (left > kMaxDisarmedMs) in.fail();
  d.left = std::chrono::milliseconds{left};
  d.since = WallTime{in.i64()};
  d.by = in.text8(kMaxOperatorBytes);
  return d;
}

enum class Arming : std::uint8_t { armed = 0, disarmed = 1 };

void write(Writer& out, const std::vector<HostId>& group) {
  out.u8(static_cast<std::uint8_t>(group.size()));
  for (HostId host : group) out.u16(host.value);
}

// Ordered by host id, none of them twice.
std::vector<HostId> read_group(Reader& in) {
  const std::size_t count = in.u8();
  if (count == 0 || count > kMaxDomainHosts || count * 2 > in.left()) in.fail();
  std::vector<HostId> group(in.failed() ? 0 : count);
  HostId last;
  for (auto& host : group) {
    host = HostId{in.u16()};
    if (host <= last) in.fail();
    last = host;
  }
  return group;
}

void write(Writer& out, const std::vector<LyingBmc>& liars) {
  out.u8(static_cast<std::uint8_t>(liars.size()));
  for (const auto& liar : liars) {
    out.u16(liar.host.value);
    out.u64(liar.boot);
    out.u16(liar.turn);
  }
}

std::vector<LyingBmc> read_liars(Reader& in) {
  const std::size_t count = in.u8();
  if (count > kMaxDomainHosts || count * kLyingBmcBytes > in.left()) in.fail();
  std::vector<LyingBmc> liars(in.failed() ? 0 : count);
  HostId last;
  for (auto& liar : liars) {
    liar.host = HostId{in.u16()};
    liar.boot = in.u64();
    liar.turn = in.u16();
    if (liar.host <= last || liar.boot == 0 || liar.turn == 0) in.fail();
    last = liar.host;
  }
  return liars;
}

bool in_order(const std::vector<LyingBmc>& liars) {
  HostId last;
  return std::all_of(liars.begin(), liars.end(), [&](const LyingBmc& liar) {
    return std::exchange(last, liar.host) < liar.host && liar.boot != 0 && liar.turn != 0;
  });
}

std::string too_many(const char* what, std::size_t count, std::size_t limit) {
  return "decision: " + std::to_string(count) + " " + what + "; the limit is " +
         std::to_string(limit);
}

}  // namespace

Result<Bytes> encode_decision(const Decision& decision, std::size_t capacity) {
  if (!spoken_levels().has(decision.level))
    return failure("decision: of a level that is not spoken here");
  if (decision.verdicts.size() > kMaxVerdicts)
    return failure(too_many("verdicts", decision.verdicts.size(), kMaxVerdicts));
  if (decision.assignments.size() > kMaxAssignments)
    return failure(too_many("assignments", decision.assignments.size(), kMaxAssignments));
  for (const auto& a : decision.assignments)
    if (a.ended.size() > kMaxEndedClaims)
      return failure(too_many("ended claims of one guest", a.ended.size(), kMaxEndedClaims));
  if (decision.groups.size() > kMaxDomainHosts)
    return failure(too_many("split groups", decision.groups.size(), kMaxDomainHosts));
  for (const auto& group : decision.groups)
    if (group.empty() || group.size() > kMaxDomainHosts ||
        !std::is_sorted(group.begin(), group.end()))
      return failure("decision: a split group is empty, too large, or not ordered by host id");
  if (decision.lying_bmcs.size() > kMaxDomainHosts)
    return failure(too_many("lying BMCs", decision.lying_bmcs.size(), kMaxDomainHosts));
  if (!in_order(decision.lying_bmcs))
    return failure("decision: the lying BMCs are not ordered by host id, or one names no boot");
  Writer out;
  out.u64(decision.version.value);
  out.u16(decision.domain.value);
  out.u16(static_cast<std::uint16_t>(decision.verdicts.size()));
  out.u16(static_cast<std::uint16_t>(decision.assignments.size()));
  for (const auto& v : decision.verdicts) write(out, v);
  for (const auto& a : decision.assignments) write(out, a);
  out.u8(static_cast<std::uint8_t>(decision.disarmed ? Arming::disarmed : Arming::armed));
  if (decision.disarmed) write(out, *decision.disarmed);
  out.u8(static_cast<std::uint8_t>(decision.groups.size()));
  for (const auto& group : decision.groups) write(out, group);
  write(out, decision.lying_bmcs);
  if (out.size() > capacity)
    return failure("decision: " + std::to_string(out.size()) + " bytes; the volume has room for " +
                   std::to_string(capacity));
  return out.take();
}

Result<Decision> decode_decision(View payload, Level level) {
  if (!spoken_levels().has(level)) return failure("decision: of a level that is not spoken here");
  Reader in(payload);
  Decision decision;
  decision.level = level;
  decision.version = LockVersion{in.u64()};
  decision.domain = DomainId{in.u16()};
  const auto verdicts = in.count16(kMaxVerdicts, kVerdictLeast);
  const auto assignments = in.count16(kMaxAssignments, kAssignmentLeast);
  for (std::size_t i = 0; i < verdicts && !in.failed(); ++i)
    decision.verdicts.push_back(read_verdict(in));
  for (std::size_t i = 0; i < assignments && !in.failed(); ++i)
    decision.assignments.push_back(read_assignment(in));
  if (in.enumeration(Arming::disarmed) == Arming::disarmed) decision.disarmed = read_disarmed(in);
  const std::size_t groups = in.u8();
  if (groups > kMaxDomainHosts) in.fail();
  for (std::size_t i = 0; i < groups && !in.failed(); ++i)
    decision.groups.push_back(read_group(in));
  decision.lying_bmcs = read_liars(in);
  if (!in.complete()) return failure("decision: malformed");
  return decision;
}

}  // namespace wardom::wire
