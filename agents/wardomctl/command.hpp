// What the subcommands of wardomctl do alike: ask wardomd, print what it says, or why there is
// nothing to print.
#pragma once

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <chrono>
#include <functional>
#include <string>

#include "agents/wardomctl/client.hpp"
#include "agents/wardomctl/table.hpp"

namespace wardom::ctl {

void add_json_flag(CLI::App& command, bool& as_json);

// Prints the message on standard error. Returns the code.
int fail(int code, const std::string& message);

// A result of wardomd as text for people.
using Printer = std::function<std::string(const boost::json::value&, const Paint&)>;

// Asks, and prints the result: as JSON, or else as `print` puts it. Returns the exit code.
int show(const std::string& socket, bool as_json, const boost::json::object& request,
         const Printer& print, std::chrono::milliseconds patience = kAskPatience);

}  // namespace wardom::ctl
