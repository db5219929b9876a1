// BMCs asked by this program itself, each call until it is answered. One thread.
//
// "Unreachable", "reset" and any error are `unknown`, never `off`, and how an order is taken says
// nothing of what becomes of it (port/power.hpp).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "libha/config/config.hpp"
#include "libha/port/power.hpp"

namespace wardom::fencing {

class Bmcs {
 public:
  // Of those hosts that have one. Error: a password cannot be read, or no host has one.
  static Result<std::unique_ptr<Bmcs>> create(const Timing& timing,
                                              const std::vector<const HostConfig*>& hosts);
  ~Bmcs();

  // All at once; each is answered within [bmc] session_timeout.
  std::map<HostId, port::PowerReading> read(const std::vector<HostId>& hosts);
  port::PowerReading read(HostId host);
  port::PowerOffSent power_off(HostId host);
  port::PowerOffSent power_on(HostId host);

 private:
  class Impl;
  explicit Bmcs(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace wardom::fencing
