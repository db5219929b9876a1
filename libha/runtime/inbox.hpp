// The inbox: where adapters put what they have seen, from their own threads, for the loop.
#pragma once

#include <functional>
#include <mutex>
#include <utility>
#include <variant>
#include <vector>

#include "libha/core/inputs.hpp"
#include "libha/port/beats.hpp"
#include "libha/port/hypervisor.hpp"
#include "libha/port/power.hpp"
#include "libha/port/quorum_device.hpp"
#include "libha/port/ring.hpp"
#include "libha/port/volume.hpp"

namespace wardom::runtime {

// Beyond this many waiting items new datagrams are dropped and counted: they come again. Answers
// and events are never dropped; their number is bounded by what the loop has asked.
inline constexpr std::size_t kMaxWaitingDatagrams = 4096;

// Whatever an adapter reports, undecoded. The loop turns it into inputs of the core.
using Arrival =
    std::variant<port::VolumeReady, port::ReadDone, port::WriteDone, port::HeartbeatDone,
                 port::Rights, port::AskStamp, port::StartListed, port::KeeperTroubles,
                 port::VolumeLost, port::Datagram, port::PowerReading, port::PowerOffSent,
                 port::RingMembers, port::RingQuorum, port::RingMessage, port::RingLost,
                 port::HypervisorUp, port::HypervisorDown, port::GuestChanged, port::GuestDefined,
                 port::ActDone, core::Input>;

class Inbox {
 public:
  // wake: called from the adapter's thread when the inbox turns from empty to not empty.
  explicit Inbox(std::function<void()> wake) : wake_(std::move(wake)) {}

  void put(Arrival arrival) {
    bool first = false;
    {
      const std::lock_guard lock(mutex_);
      if (std::holds_alternative<port::Datagram>(arrival) &&
          waiting_.size() >= kMaxWaitingDatagrams) {
        ++dropped_;
        return;
      }
      first = waiting_.empty();
      waiting_.push_back(std::move(arrival));
    }
    if (first) wake_();
  }

  std::vector<Arrival> take_all() {
    const std::lock_guard lock(mutex_);
    return std::exchange(waiting_, {});
  }

  std::uint64_t dropped() const {
    const std::lock_guard lock(mutex_);
    return dropped_;
  }

 private:
  std::function<void()> wake_;
  mutable std::mutex mutex_;
  std::vector<Arrival> waiting_;
  std::uint64_t dropped_{0};
};

}  // namespace wardom::runtime
