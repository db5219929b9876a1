// What wardom-keeper is told: by its command line and by the few keys of wardom.toml that it needs.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "libha/core/ids.hpp"
#include "libha/core/result.hpp"
#include "libha/core/time.hpp"

namespace wardom::keeper {

// The volume is held, to be moved there (keeper_hold.cpp).
struct HeldFor {
  std::string path;
  Bits128 uuid;
};

struct Options {
  std::string volume_path;
  std::optional<Bits128> volume_uuid;
  std::string cluster;
  std::string host_name;
  HostId self;
  DomainId domain{1};
  Duration disk_interval{};
  Duration feed_window{};  // T_F of timing.profile; what counts is the volume's
  bool ride_out{false};  // libha/core/outage.hpp
  std::string run_dir{"/run/wardom"};
  std::string socket;
  std::optional<std::string> watchdog_device;  // nullopt: none, and so no lease
  Duration watchdog_timeout{};
  bool watchdog_lab{false};
  bool stay_up{false};      // libha/doc/watchdog.md, "The host that stays up"
  std::string measurement;  // W, as measured on this host
  std::optional<HeldFor> held_for;  // as the volume said last
  std::optional<Bits128> replaces;  // a machine that is gone for good, and that had this host's id
};

// The command line asked for a text (--help, --version) instead of a run.
struct Answer {
  std::string text;
};

Result<std::variant<Options, Answer>> parse_options(int argc, char** argv);

}  // namespace wardom::keeper
