// Port: the domain's corosync ring: one CPG group for ordered messages, and quorum.
//
// Messages are hints: nothing that decides travels only here. Events come from the adapter's
// thread. The adapter reconnects by itself when corosync goes away.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "libha/core/ids.hpp"

namespace wardom::port {

inline constexpr std::size_t kMaxRingMessageBytes = 60 * 1024;
inline constexpr std::size_t kMaxRingQueue = 1024;  // messages waiting while totem re-forms

struct RingMembers {
  std::vector<HostId> daemons;      // hosts whose wardomd is in the group
  std::vector<HostId> gone_process; // left the group in this change: their daemon's process died
  std::vector<HostId> gone_host;    // left the group in this change: their node left the ring
};

struct RingQuorum {
  bool quorate{false};
  std::uint64_t ring_sequence{0};
  std::vector<HostId> nodes;
};

struct RingMessage {
  HostId from;
  std::vector<std::uint8_t> bytes;
};

struct RingLost {
  std::string reason;
};

struct RingEvents {
  std::function<void(RingMembers)> members;
  std::function<void(RingQuorum)> quorum;
  std::function<void(RingMessage)> message;
  std::function<void(RingLost)> lost;
};

class Ring {
 public:
  // Queues a message for all members, the sender included. false: the queue is full or
  // the ring is lost; the message is dropped and counted.
  virtual bool send(std::vector<std::uint8_t> bytes) = 0;

 protected:
  ~Ring() = default;
};

}  // namespace wardom::port
