// port::Watchdog for the lab ONLY: a program outside of the host's namespaces, which cuts the
// host's power when it is not fed. It protects nobody: whoever can kill that program is rid of it.
//
// It listens on a Unix datagram socket that `scripts/lab` puts into the host:
//   "arm MILLISECONDS"  the time starts, or starts anew        "feed"  it starts anew
//   "disarm"            it stops
// Unlike a device it does not care who has it open, so nothing has to be kept over a restart.
#pragma once

#include <memory>
#include <string>

#include "libha/port/watchdog.hpp"

namespace wardom::watchdog {

// How late it may notice, on a machine that many labs share: W is timeout plus this, unmeasured.
inline constexpr Duration kLabLateness = std::chrono::milliseconds{1000};

class LabWatchdog final : public port::Watchdog {
 public:
  // Connects and arms. Error: no socket there, or nobody listens.
  static Result<std::unique_ptr<LabWatchdog>> open(const std::string& path, Duration timeout);

  bool feed() noexcept override;
  const port::WatchdogFacts& facts() const override { return facts_; }
  int descriptor() const override { return -1; }
  Result<void> disarm() override;

 private:
  explicit LabWatchdog(int fd) : fd_(fd) {}
  int fd_;
  port::WatchdogFacts facts_;
};

}  // namespace wardom::watchdog
