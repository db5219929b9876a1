#include "libha/wire/ballot_head.hpp"

#include <algorithm>

#include "libha/wire/ballot.hpp"

namespace wardom::wire {
namespace {

// libha/doc/volume-format.md, "Ballot".
constexpr std::uint8_t kOwnDirectory = 2;
constexpr std::size_t kOwnerBytes = 2 + 24 + 4;
constexpr std::size_t kProposal = 1 + 8 + kOwnerBytes + 8 + 8;  // bal and the proposed owner
constexpr std::size_t kDirectory = kProposal + 8 + kOwnerBytes;

}  // namespace

Result<Ballot> decode_ballot_head(View head_payload, Level level) {
  if (head_payload.size() != kHeadPayload || (head_payload[0] & kOwnDirectory) == 0)
    return failure("ballot: all of it stands in the head");
  const auto length = kDirectory + 1 + std::size_t{2} * head_payload[kDirectory];
  if (length > kHeadPayload) return failure("ballot: malformed");
  Bytes without(head_payload.begin(),
                head_payload.begin() + static_cast<std::ptrdiff_t>(length));
  without[0] &= static_cast<std::uint8_t>(~kOwnDirectory);
  std::fill(without.begin() + kProposal, without.begin() + kDirectory, std::uint8_t{0});
  return decode_ballot(without, level);
}

}  // namespace wardom::wire
