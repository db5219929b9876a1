// wardomctl: what administrators see and say. Composes requests and prints answers; wardomd
// decides.
#include <CLI/CLI.hpp>
#include <iostream>

#include "agents/wardomctl/command.hpp"
#include "agents/wardomctl/config_command.hpp"
#include "agents/wardomctl/host_watchdog_command.hpp"
#include "agents/wardomctl/import_command.hpp"
#include "agents/wardomctl/key_command.hpp"
#include "agents/wardomctl/operator_commands.hpp"
#include "agents/wardomctl/print.hpp"
#include "agents/wardomctl/quorum_command.hpp"
#include "agents/wardomctl/volume_command.hpp"
#include "libha/config/values.hpp"

namespace {

namespace json = boost::json;
using namespace wardom::ctl;

// What the command line said. One object for all subcommands: only one of them runs.
struct Options {
  std::string socket{kDefaultSocket};
  bool as_json{false};
  std::string subject;  // a host, a guest, a recovery or a file
  std::vector<std::string> waived;
  std::string isolation;  // empty: as wardom.toml says
  int priority{0};
  std::string target;  // a host
  std::string time{"5m"};
};

int view(const Options& options, const json::object& request, const Printer& print) {
  return show(options.socket, options.as_json, request, print);
}

void add_views(CLI::App& app, Options& options, int& exit_code) {
  auto* status =
      app.add_subcommand("status", "The domain, its hosts and guests, and what is wrong");
  add_json_flag(*status, options.as_json);
  status->callback([&] { exit_code = view(options, {{"do", "status"}}, print_status); });

  auto* why = app.add_subcommand("why", "The evidence behind the state of a host or guest");
  add_json_flag(*why, options.as_json);
  why->add_option("HOST|GUEST", options.subject, "Its name")->required();
  why->callback([&] {
    exit_code = view(options, {{"do", "why"}, {"about", options.subject}}, print_why);
  });

  auto* timeline = app.add_subcommand("timeline", "One recovery, step by step; default: the last");
  add_json_flag(*timeline, options.as_json);
  timeline->add_option("ID", options.subject, "The recovery's id");
  timeline->callback([&] {
    const auto id = options.subject.empty() ? json::value() : json::value(options.subject);
    exit_code = view(options, {{"do", "timeline"}, {"id", id}}, print_timeline);
  });
}

// What a change of a guest leads to: the daemon's own words, or a plain confirmation.
int change_guest(const Options& options, const json::object& request, const char* done) {
  const auto print = [&](const json::value& result, const Paint& paint) {
    return "guest " + options.subject + " is " + done + "\n" + print_plain(result, paint);
  };
  return show(options.socket, options.as_json, request, print, kProtectPatience);
}

int migrate_guest(const Options& options) {
  constexpr std::chrono::hours kMost{1};
  // What is under way when the time is over has to be called back first.
  constexpr std::chrono::seconds kForTheAnswer{20};
  const auto time = wardom::parse_duration(options.time);
  if (!time || *time <= wardom::Duration::zero() || *time > kMost)
    return fail(kUsage, "guest migrate --timeout " + options.time +
                            ": give a time of at most an hour, such as 90s or 10m");
  const auto print = [&](const json::value& result, const Paint&) {
    const auto* how = result.is_object() ? result.get_object().if_contains("how") : nullptr;
    const bool already = how != nullptr && how->is_string();
    return "guest " + options.subject + " runs on " + options.target +
           (already ? ": " + printable(how->get_string()) : "") + "\n";
  };
  const auto patience = std::chrono::ceil<std::chrono::milliseconds>(*time);
  return show(options.socket, options.as_json,
              {{"do", "guest-migrate"},
               {"guest", options.subject},
               {"to", options.target},
               {"patience_ms", patience.count()}},
              print, patience + kForTheAnswer);
}

void add_guest_commands(CLI::App& app, Options& options, int& exit_code) {
  constexpr int kPriorityLimit = 1000;
  auto* guest = app.add_subcommand("guest", "Protected guests");
  guest->require_subcommand(1);

  auto* all = guest->add_subcommand("list", "Every protected guest of the domain");
  add_json_flag(*all, options.as_json);
  all->callback([&] { exit_code = view(options, {{"do", "guest-list"}}, print_guests); });

  const auto named = [&](const char* name, const char* help) {
    auto* command = guest->add_subcommand(name, help);
    add_json_flag(*command, options.as_json);
    command->add_option("GUEST", options.subject, "The guest's name in libvirt")->required();
    return command;
  };
  named("show", "All that is recorded about one guest")->callback([&] {
    exit_code = view(options, {{"do", "guest-show"}, {"guest", options.subject}}, print_plain);
  });
  auto* protect = named("protect", "Let Wardom restart the guest when its host dies");
  protect->add_option("--waive", options.waived,
                      "Accept a host-local thing that the guest needs, by the name that the "
                      "refusal gives it; may be repeated");
  protect->add_option("--priority", options.priority, "Higher starts first")
      ->check(CLI::Range(-kPriorityLimit, kPriorityLimit));
  protect
      ->add_option("--isolation", options.isolation,
                   "What becomes of it while its host is cut off from a larger group of hosts, "
                   "which decides: it is left running, or it is shut down or killed and started "
                   "elsewhere; default: isolation.response of wardom.toml")
      ->check(CLI::IsMember({"leave", "shutdown", "kill"}));
  protect->callback([&] {
    const auto& response = options.isolation;
    exit_code = change_guest(
        options,
        {{"do", "guest-protect"},
         {"guest", options.subject},
         {"waive", json::value_from(options.waived)},
         {"priority", options.priority},
         {"isolation", response.empty() ? json::value() : json::value(response)}},
        "protected");
  });
  named("unprotect", "Leave the guest alone from now on")->callback([&] {
    exit_code = change_guest(options, {{"do", "guest-unprotect"}, {"guest", options.subject}},
                             "no longer protected");
  });
  auto* migrate = named("migrate", "Send the running guest to another host, live");
  migrate->add_option("HOST", options.target, "Where it goes on")->required();
  migrate->add_option("--timeout", options.time, "It stays where it is if it takes longer")
      ->capture_default_str();
  migrate->callback([&] { exit_code = migrate_guest(options); });
}

void add_config_commands(CLI::App& app, Options& options, int& exit_code) {
  auto* config = app.add_subcommand("config", "The configuration file");
  config->require_subcommand(1);
  auto* check = config->add_subcommand("check", "Report every fault of the file; needs no daemon");
  add_json_flag(*check, options.as_json);
  check->add_option("FILE", options.subject,
                    "Default: /etc/wardom/wardom.toml with the key and password files it names");
  check->callback([&] { exit_code = check_config_file(options.subject, options.as_json); });
}

void add_host_commands(CLI::App& app, int& exit_code) {
  auto* host = app.add_subcommand("host", "This host");
  host->require_subcommand(1);
  add_measure_watchdog(*host, exit_code);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Shows and changes what Wardom does on this host", "wardomctl");
  app.set_version_flag("--version", "wardomctl " WARDOM_VERSION);
  app.require_subcommand(1);
  Options options;
  int exit_code = kDone;
  app.add_option("--socket", options.socket, "Where wardomd listens")->capture_default_str();
  add_views(app, options, exit_code);
  add_guest_commands(app, options, exit_code);
  add_config_commands(app, options, exit_code);
  add_host_commands(app, exit_code);
  add_quorum_commands(app, options.socket, exit_code);
  add_import_command(app, exit_code);
  add_key_commands(app, options.socket, exit_code);
  add_volume_commands(app, options.socket, exit_code);
  add_operator_commands(app, options.socket, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kUsage;
  }
  if (!std::cout.flush()) {
    std::cerr << "wardomctl: standard output takes no more; the text above is not complete\n";
    return kFailed;
  }
  return exit_code;
}
