// `wardomctl volume format|show|check`: the state volume itself, without wardomd or wardom-keeper.
#pragma once

#include <CLI/CLI.hpp>

namespace wardom::ctl {

// `exit_code` receives the result of whichever subcommand ran, and lives as long as the app.
void add_volume_commands(CLI::App& app, int& exit_code);

}  // namespace wardom::ctl
