// Port: corosync's quorum device as votequorum knows it (votequorum_qdevice_register(3)). Who may
// vote is the core's (core/quorum_vote.hpp); this carries its word and corosync's questions.
//
// Nothing is set up as long as corosync.conf does not name "wardom" as quorum.device.model. Events
// come from the adapter's thread: `set` once the device is registered and whenever its values have
// changed, then `ring`, at once and for each new ring; `lost` when it is registered no more, and
// for each new reason why it cannot be. The adapter goes on trying.
//
// The registration outlives the process, and so does the last vote, until corosync forgets it: a
// wardomd that is restarted goes on where its predecessor was.
#pragma once

#include <functional>

#include "libha/core/quorum_device.hpp"

namespace wardom::port {

struct QuorumDeviceEvents {
  std::function<void(core::DeviceSet)> set;
  std::function<void(core::DeviceLost)> lost;
  std::function<void(core::RingFormed)> ring;
  std::function<void(core::VoteTaken)> taken;
};

class QuorumDevice {
 public:
  // Never blocks. Answered by `taken`, also where it could not be given; of too many that wait for
  // a corosync that does not answer the oldest are dropped. A vote that is cast is not given at or
  // after its `until`.
  virtual void vote(const core::Vote& vote) = 0;

 protected:
  ~QuorumDevice() = default;
};

}  // namespace wardom::port
