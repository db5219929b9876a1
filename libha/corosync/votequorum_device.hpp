// port::QuorumDevice by libvotequorum and libcmap.
//
// One thread does everything. votequorum answers also while membership is being synchronised, cmap
// does not, and a synchronisation waits for the vote: so the configuration is read before the
// device is registered, and followed afterwards by what corosync sends of its changes. A reload
// counts once it is complete.
//
// `lost` says that the vote is forgotten when corosync's process has ended, and when corosync.conf
// names the device no more, for then it is unregistered.
//
// Another device (corosync-qdevice), or an option of corosync.conf that excludes any device, is
// `lost` with the reason and what to change.
#pragma once

#include <chrono>
#include <memory>

#include "libha/core/ids.hpp"
#include "libha/core/result.hpp"
#include "libha/port/quorum_device.hpp"

namespace wardom {

inline constexpr const char* kDeviceName = "wardom";  // of the model, and of the registration
inline constexpr std::chrono::milliseconds kDeviceRetry{500};
// How long the destructor waits for a thread that a stopped corosync may hold for ever.
inline constexpr std::chrono::milliseconds kDeviceStopLimit{1000};

class VotequorumDevice final : public port::QuorumDevice {
 public:
  // Starts the thread; corosync may be absent.
  explicit VotequorumDevice(port::QuorumDeviceEvents events);
  // Stays registered. No event follows.
  ~VotequorumDevice();
  VotequorumDevice(const VotequorumDevice&) = delete;
  VotequorumDevice& operator=(const VotequorumDevice&) = delete;

  void vote(const core::Vote& vote) override;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;  // shared with its thread, which may outlive this object
};

}  // namespace wardom
