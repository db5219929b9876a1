// What an operator says to the whole domain: `host confirm-dead`, `host trust-bmc`, `arm`,
// `disarm`; and the views of hosts that these need. wardomd decides; a refusal for safety ends with
// exit code 3.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace wardom::ctl {

// Adds to the subcommand `host` if there is one already. Call it last.
void add_operator_commands(CLI::App& app, const std::string& socket, int& exit_code);

}  // namespace wardom::ctl
