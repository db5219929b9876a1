#include "libha/wire/ballot.hpp"

#include <algorithm>

#include "libha/core/check.hpp"
#include "libha/wire/layout.hpp"

namespace wardom::wire {
namespace {

// Flags of the first byte.
constexpr std::uint8_t kReleased = 1;
constexpr std::uint8_t kOwnDirectory = 2;  // the input's directory differs from the decided one
constexpr std::uint8_t kFlags = kReleased | kOwnDirectory;

// A proposer in 16 bits: host id, guardian, weight.
constexpr unsigned kGuardianBit = 11;
constexpr unsigned kWeightShift = 12;
constexpr std::uint16_t kHostMask = (1u << kGuardianBit) - 1;
static_assert(kMaxHosts <= kHostMask);

void write(Writer& out, const Owner& owner) {
  out.u16(owner.host.value);
  out.incarnation(owner.incarnation);
  out.u32(owner.epoch.value);
}

Owner read_owner(Reader& in) {
  Owner owner;
  owner.host = HostId{in.u16()};
  owner.incarnation = in.incarnation();
  owner.epoch = DaemonEpoch{in.u32()};
  return owner;
}

void write(Writer& out, const std::vector<Proposer>& directory) {
  out.u8(static_cast<std::uint8_t>(directory.size()));
  for (const auto& one : directory)
    out.u16(static_cast<std::uint16_t>(one.host.value | (one.guardian ? 1u << kGuardianBit : 0u) |
                                       (unsigned{one.weight} << kWeightShift)));
}

std::vector<Proposer> read_directory(Reader& in) {
  const std::size_t count = in.u8();
  if (count > kMaxProposers || count * 2 > in.left()) in.fail();
  std::vector<Proposer> directory(in.failed() ? 0 : count);
  for (auto& one : directory) {
    const auto packed = in.u16();
    one.host = HostId{static_cast<std::uint16_t>(packed & kHostMask)};
    one.guardian = ((packed >> kGuardianBit) & 1) != 0;
    one.weight = static_cast<std::uint8_t>(packed >> kWeightShift);
  }
  return directory;
}

bool sound(const std::vector<Proposer>& directory) {
  HostId last;
  for (const auto& one : directory) {
    if (one.host <= last || one.host.value > kMaxHosts || one.weight > kMaxProposerWeight)
      return false;
    last = one.host;
  }
  return directory.size() <= kMaxProposers;
}

// A value stands exactly where its version, or its ballot number, says that there is one.
bool sound(const LockValue& value, bool present) {
  if (!present) return value == LockValue{};
  return value.owner.host != kNoHost && value.owner.host.value <= kMaxHosts &&
         !value.directory.empty() && sound(value.directory);
}

// Far above what any life of a cluster reaches, and far below where sums would overflow.
constexpr std::uint64_t kHighest = std::uint64_t{1} << 56;

bool sound(const Ballot& b) {
  if (b.decided.value > kHighest || b.mbal.value > kHighest) return false;
  if (!sound(b.value, b.decided != LockVersion{})) return false;
  if (!sound(b.input, b.bal != BallotNumber{})) return false;
  if (b.released && b.decided == LockVersion{}) return false;
  const bool balloting = b.version != LockVersion{};
  if (balloting != (b.mbal != BallotNumber{})) return false;
  return b.bal <= b.mbal && (!balloting || b.version == b.decided.next());
}

}  // namespace

Result<Bytes> encode_ballot(const Ballot& ballot, Level level) {
  if (!spoken_levels().has(level)) return failure("ballot: of a level that is not spoken here");
  if (!sound(ballot)) return failure("ballot: fields out of range, or at odds with one another");
  const bool own = ballot.bal != BallotNumber{} && ballot.input.directory != ballot.value.directory;
  Writer out;
  out.u8(static_cast<std::uint8_t>((ballot.released ? kReleased : 0) | (own ? kOwnDirectory : 0)));
  out.u64(ballot.decided.value);
  write(out, ballot.value.owner);
  out.u64(ballot.version.value);
  out.u64(ballot.mbal.value);
  out.u64(ballot.bal.value);
  write(out, ballot.input.owner);
  write(out, ballot.value.directory);
  WARDOM_CHECK(out.size() <= kHeadPayload);
  if (own) write(out, ballot.input.directory);
  return out.take();
}

Result<Ballot> decode_ballot(View payload, Level level) {
  if (!spoken_levels().has(level)) return failure("ballot: of a level that is not spoken here");
  Reader in(payload);
  Ballot b;
  const auto flags = in.u8();
  if ((flags & ~kFlags) != 0) in.fail();
  b.released = (flags & kReleased) != 0;
  b.decided = LockVersion{in.u64()};
  b.value.owner = read_owner(in);
  b.version = LockVersion{in.u64()};
  b.mbal = BallotNumber{in.u64()};
  b.bal = BallotNumber{in.u64()};
  b.input.owner = read_owner(in);
  b.value.directory = read_directory(in);
  const bool own = (flags & kOwnDirectory) != 0;
  if (own)
    b.input.directory = read_directory(in);
  else if (b.bal != BallotNumber{})
    b.input.directory = b.value.directory;
  if (!in.complete()) return failure("ballot: malformed");
  if (!sound(b) || (own && b.input.directory == b.value.directory))
    return failure("ballot: fields out of range, or at odds with one another");
  return b;
}

}  // namespace wardom::wire
