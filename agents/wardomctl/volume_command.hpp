// `wardomctl volume format|show|check|dump|repair`: the state volume itself, without wardomd or
// wardom-keeper.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace wardom::ctl {

// `exit_code` receives the result of whichever subcommand ran. It and `socket`, where wardomd
// listens, live as long as the app.
void add_volume_commands(CLI::App& app, const std::string& socket, int& exit_code);

}  // namespace wardom::ctl
