// Wardom as the quorum device in a host's corosync.conf: the file is looked at, tried and replaced.
// Changes nothing in a running corosync: that takes a reload. Every call blocks for as long as the
// file system does.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "libha/core/result.hpp"
#include "libha/corosync_conf/device_section.hpp"
#include "libha/proc/descriptor.hpp"

namespace wardom::corosync_conf {

inline constexpr const char* kCorosyncConf = "/etc/corosync/corosync.conf";

// Whoever changes the file takes turns, from its first look at it to its last. The lock is on the
// directory: the file itself is replaced.
inline constexpr std::chrono::seconds kTurnPatience{3};
class Turn {
 public:
  explicit Turn(const std::string& path);
  // Why there is no turn; empty: there is.
  const std::string& trouble() const { return trouble_; }

 private:
  proc::Descriptor folder_;
  std::string trouble_;
};

// Error: the file's name, and why.
Result<std::string> read_text(const std::string& path);
// Whether two files say the same.
std::uint64_t digest_of(const std::string& text);

// nullopt: Wardom's device is taken out.
using Wish = std::optional<DeviceTimes>;

struct Plan {
  std::string path;  // the file itself, should a link lead to it
  std::string before;
  std::string after;
  bool changes() const { return before != after; }
};
// Error: the file cannot be read or followed, or what stands in the way of the wish.
Result<Plan> plan(const std::string& path, const Wish& wish);
// corosync's own device, which would be beside Wardom; empty: it does not run here.
std::string other_device();

// Writes what the plan says to a file beside, and removes it: what would keep carry_out() from its
// end is found before anything is changed.
Result<void> rehearse(const Plan& plan);
// As a whole and with the mode and owner that the file has, and durable. The file as it was before
// Wardom first changed it is kept. Returns where. Error: somebody has changed the file since it was
// planned, or it cannot be written: it is as it was; only where its folder cannot be flushed the
// new one may be in its place.
Result<std::string> carry_out(const Plan& plan);

// sbd distrusts a quorum that may be as old as its own timeout. Empty: nothing to say.
std::string sbd_warning(const DeviceTimes& times);

}  // namespace wardom::corosync_conf
