// `wardomctl key`: the cluster's key is changed while everything runs. wardomd on every host does
// it (libha/runtime/key_change.hpp); this asks, and tells how far it is.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace wardom::ctl {

void add_key_commands(CLI::App& app, const std::string& socket, int& exit_code);

}  // namespace wardom::ctl
