// What the daemon knows, as JSON: the shapes that `wardomctl --json` prints (interfaces of status,
// why, timeline and guests). Reads the loop's state; changes nothing.
#pragma once

#include <boost/json/value.hpp>
#include <optional>
#include <string>

#include "agents/wardomd/pacemaker_desk.hpp"
#include "libha/config/config.hpp"
#include "libha/core/result.hpp"
#include "libha/runtime/loop.hpp"

namespace wardom::daemon {

// The names that people use, for the ids that the core uses.
class Names {
 public:
  Names(const Config& config, const core::Member& member) : config_(config), member_(member) {}
  boost::json::value host(HostId id) const;  // null for no host
  std::string host_text(HostId id) const;
  std::string guest(const GuestId& id) const;
  // Replaces "host 3" by the host's name.
  std::string in_text(const std::string& text) const;

 private:
  const Config& config_;
  const core::Member& member_;
};

struct Sight {
  const Config& config;
  const HostConfig& self;
  const runtime::Loop& loop;
  Geometry geometry;
  std::string archive_trouble;  // empty: none
  // Addresses that send heartbeats here, and that wardom.toml has for no host: "10.0.0.7 (mgmt)".
  std::vector<std::string> strangers{};
  const PacemakerDesk* pacemaker{nullptr};  // nullptr: nothing is known of it
};

boost::json::value status(const Sight& sight);
Result<boost::json::value> why(const Sight& sight, const std::string& about);
// id: nullopt for the last recovery.
Result<boost::json::value> timeline(const Sight& sight, const std::optional<std::string>& id);
boost::json::value key_status(const Sight& sight);
// What every host said of its corosync.conf, or that it did not.
boost::json::value device_round(const Sight& sight, const runtime::DeviceRounds::Ended& ended);
boost::json::value host_list(const Sight& sight);
Result<boost::json::value> host_show(const Sight& sight, const std::string& host);
boost::json::value guest_list(const Sight& sight);
// Why nothing is shown or done: none is called so.
std::string no_guest(const std::string& name);
Result<boost::json::value> guest_show(const Sight& sight, const std::string& guest);
boost::json::value guest_here(const Sight& sight, const std::string& guest);
boost::json::value host_here(const Sight& sight);

}  // namespace wardom::daemon
