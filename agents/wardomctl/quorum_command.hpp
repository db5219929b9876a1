// `wardomctl quorum`: Wardom as corosync's quorum device, in the corosync.conf of every host of the
// domain, or of this one alone.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "libha/corosync_conf/device_file.hpp"

namespace wardom::ctl {

struct QuorumOptions {
  explicit QuorumOptions(const std::string& of) : socket(of) {}
  const std::string& socket;
  std::string file{corosync_conf::kCorosyncConf};
  bool one_file{false};  // --file
  bool this_host{false};
  corosync_conf::DeviceTimes times;
  std::vector<std::string> without;  // hosts that are away, and may stay as they are
  int wait_s{15};  // for a wardomd that is restarted meanwhile, and for corosync
  bool print{false};
  bool as_json{false};

  bool alone() const { return one_file || this_host || print; }
};

// On all hosts, by their wardomds. Return the exit code.
int change_quorum_on_all(const QuorumOptions& options, bool remove);
int show_quorum_of_all(const QuorumOptions& options);

void add_quorum_commands(CLI::App& app, const std::string& socket, int& exit_code);

}  // namespace wardom::ctl
