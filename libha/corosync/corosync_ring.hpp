// port::Ring by corosync: the CPG group of the domain (libcpg, model V1) and quorum (libquorum,
// model V1).
//
// One thread does everything with corosync, because libqb allows no more, because each dispatch
// puts 1 MiB on the stack (lib/cpg.c, IPC_DISPATCH_SIZE), and because initialising, joining and
// asking for the local node id block for as long as membership is being synchronised. After that
// nothing on this thread blocks: messages are sent asynchronously and kept while totem re-forms.
//
// Promises, beyond the port's:
//  * `lost` comes once when corosync dies and once for each new reason why it cannot be reached.
//    The adapter tries again after kRingRetryMin, doubling to kRingRetryMax, for ever.
//  * send() also returns false when kMaxRingQueueBytes wait.
//  * While the ring is lost nothing is queued: send() returns false, and what waited is dropped.
//  * A corosync whose nodeid is not this host's id, or that has no quorum provider, is treated as
//    lost, and the reason says what to change.
//  * A member of `daemons` is listed once, whatever number of its processes is in the group. It is
//    `gone_process` only when its last process has left.
//
// Events come from the adapter's thread. They must not block for long: corosync queues without
// limit for a client that does not read. They must not destroy the adapter.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "libha/core/result.hpp"
#include "libha/port/ring.hpp"

namespace wardom {

inline constexpr std::chrono::milliseconds kRingRetryMin{100};
inline constexpr std::chrono::milliseconds kRingRetryMax{2000};
// How long the destructor waits for a thread that a stopped corosync may hold for ever.
inline constexpr std::chrono::milliseconds kRingStopLimit{1000};

// Bytes waiting to be sent, besides kMaxRingQueue: long messages must not fill the memory.
inline constexpr std::size_t kMaxRingQueueBytes = 4 * 1024 * 1024;

struct RingOptions {
  std::string domain;  // the group is "wardom.<domain>"; at most 100 bytes
  HostId self;         // must be corosync's nodeid
};

struct RingCounters {
  std::uint64_t sent{0};              // taken by the local corosync
  std::uint64_t received{0};
  std::uint64_t refused_full{0};      // send(): the queue was full, by count or bytes
  std::uint64_t refused_size{0};      // send(): longer than kMaxRingMessageBytes
  std::uint64_t refused_lost{0};      // send(): no ring
  std::uint64_t dropped_lost{0};      // queued when the ring was lost
  std::uint64_t dropped_foreign{0};   // received: too long, or from a node id that is no host id
  std::uint64_t connects{0};
};

class CorosyncRing final : public port::Ring {
 public:
  // Starts the thread; corosync may be absent. Error: what is wrong with an option.
  static Result<std::unique_ptr<CorosyncRing>> create(RingOptions options,
                                                      port::RingEvents events);
  // Leaves the group. No event follows.
  ~CorosyncRing();
  CorosyncRing(const CorosyncRing&) = delete;
  CorosyncRing& operator=(const CorosyncRing&) = delete;

  // From any thread; never blocks.
  bool send(std::vector<std::uint8_t> bytes) override;
  RingCounters counters() const;

 private:
  class Impl;
  explicit CorosyncRing(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;  // shared with its thread, which may outlive this object
};

}  // namespace wardom
