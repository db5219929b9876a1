#include "agents/wardomctl/command.hpp"

#include <iostream>

namespace wardom::ctl {

void add_json_flag(CLI::App& command, bool& as_json) {
  command.add_flag("--json", as_json, "One JSON value on standard output, nothing else");
}

int fail(int code, const std::string& message) {
  std::cerr << "wardomctl: " << message << "\n";
  return code;
}

int show(const std::string& socket, bool as_json, const boost::json::object& request,
         const Printer& print, std::chrono::milliseconds patience) {
  const auto answer = ask(socket, request, patience);
  if (answer.exit_code != kDone) return fail(answer.exit_code, answer.error);
  if (as_json)
    std::cout << answer.result << "\n";
  else
    std::cout << print(answer.result, Paint(stdout_takes_colours()));
  return kDone;
}

}  // namespace wardom::ctl
