// What passes between corosync's quorum device and the core: data only. votequorum asks the device
// for its vote in every new ring and again before a timeout; see quorum_vote.hpp for who votes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libha/core/ids.hpp"
#include "libha/core/time.hpp"

namespace wardom::core {

// corosync.conf makes Wardom the quorum device, and this host is registered with votequorum.
struct DeviceSet {
  Duration timeout{0};       // quorum.device.timeout: a vote is forgotten so long after its poll
  Duration sync_timeout{0};  // quorum.device.sync_timeout: so long a new ring waits for a poll
  std::vector<HostId> nodes;  // every node of corosync.conf
  std::optional<std::uint32_t> votes{};  // quorum.device.votes; none: left out
  bool wait_for_all{false};              // quorum.wait_for_all
  friend bool operator==(const DeviceSet&, const DeviceSet&) = default;
};
// No vote can be given from now on. The last one may still count, for as long as corosync keeps it.
struct DeviceLost {
  std::string reason;     // for people, as a clause
  bool forgotten{false};  // no vote of this host's counts any more
};
// The nodes of the ring that is being formed, or that stands when the device registers.
struct RingFormed {
  RingId ring;
  std::vector<HostId> nodes;
  bool syncing{false};  // corosync holds the ring up until the device has voted
};
// The answer to a Vote: whether corosync has taken it. It does not once the ring has moved on.
struct VoteTaken {
  Ticket ticket;
  bool taken{false};
  std::string error;
};

// To be given in this ring, and in no other. Votes are given in the order of their tickets.
struct Vote {
  Ticket ticket;
  RingId ring;
  bool cast{false};
  Instant until;  // a vote that is cast is not given at or after this: what it rests on is too old
};

}  // namespace wardom::core
