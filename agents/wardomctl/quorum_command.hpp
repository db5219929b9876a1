// `wardomctl quorum`: Wardom as the quorum device of this host's corosync.conf.
#pragma once

#include <CLI/CLI.hpp>

namespace wardom::ctl {

void add_quorum_commands(CLI::App& app, int& exit_code);

}  // namespace wardom::ctl
