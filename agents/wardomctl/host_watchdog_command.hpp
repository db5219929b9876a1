// `wardomctl host measure-watchdog`: how long this host's watchdog really takes, by letting it
// fire.
#pragma once

#include <CLI/CLI.hpp>

namespace wardom::ctl {

void add_measure_watchdog(CLI::App& host, int& exit_code);

}  // namespace wardom::ctl
