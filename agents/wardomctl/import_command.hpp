// `wardomctl import-virtualdomain`: a cluster's VirtualDomain resources become Wardom's.
#pragma once

#include <CLI/CLI.hpp>

namespace wardom::ctl {

void add_import_command(CLI::App& app, int& exit_code);

}  // namespace wardom::ctl
