// port::Watchdog by a Linux watchdog device (Documentation/watchdog/watchdog-api.rst).
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "libha/port/watchdog.hpp"

namespace wardom::watchdog {

class LinuxWatchdog final : public port::Watchdog {
 public:
  // Opens the device, which feeds it and starts its time. Error: it is not a watchdog, another
  // process has it (EBUSY), any close would stop it, or it cannot be set to `timeout` (whole
  // seconds) or less. Then it is disarmed again, unless the driver refuses that (nowayout).
  static Result<std::unique_ptr<LinuxWatchdog>> open(const std::string& path, Duration timeout);
  // Takes over a device that an earlier process opened and set to `timeout`. Feeds only where it
  // has to be set to that anew. The same errors, after which it stays open: a close would feed it.
  static Result<std::unique_ptr<LinuxWatchdog>> adopt(int fd, const std::string& path,
                                                      Duration timeout);

  bool feed() noexcept override;  // WDIOC_KEEPALIVE; never write(2), so that no byte is a magic one
  const port::WatchdogFacts& facts() const override { return facts_; }
  int descriptor() const override { return fd_; }
  Result<void> disarm() override;  // the magic close
  // WDIOC_GETTIMELEFT, whole seconds; nullopt: the driver does not tell.
  std::optional<Duration> time_left() const;

 private:
  LinuxWatchdog(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  Result<void> inspect();
  Result<void> set_timeout(Duration timeout);

  int fd_;
  std::string path_;
  port::WatchdogFacts facts_;
  std::uint32_t firmware_{0};
  bool magic_close_{false};
  bool settable_{false};
};

}  // namespace wardom::watchdog
