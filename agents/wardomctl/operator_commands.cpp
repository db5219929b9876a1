#include "agents/wardomctl/operator_commands.hpp"

#include <unistd.h>

#include <iostream>
#include <memory>
#include <optional>

#include "agents/wardomctl/command.hpp"
#include "agents/wardomctl/print.hpp"
#include "libha/config/values.hpp"

namespace wardom::ctl {
namespace {

namespace json = boost::json;

// The decider may be another host, and its verdict is written before it answers.
constexpr std::chrono::seconds kOperatorPatience{20};

struct Options {
  const std::string& socket;
  int& exit_code;
  std::string host;
  std::string seen_off;  // the incarnation, instead of a typed confirmation
  std::string time;
  bool as_json{false};
};

std::string text(const json::object& from, const char* key) {
  const auto* value = from.if_contains(key);
  if (value == nullptr || value->is_null()) return "unknown";
  return value->is_string() ? printable(value->get_string()) : json::serialize(*value);
}

int say(const Options& options, json::object request, const std::string& done) {
  request["by"] = who();
  const auto print = [&](const json::value&, const Paint&) { return done + "\n"; };
  return show(options.socket, options.as_json, request, print, kOperatorPatience);
}

// Shows what is at stake, and has the host's name and incarnation typed. nullopt: not confirmed.
std::optional<std::string> confirmed(const Options& options, const json::object& host) {
  const auto boot = text(host, "incarnation");
  std::cerr << "host         " << options.host << "\n"
            << "incarnation  " << boot << "\n"
            << "state        " << text(host, "state") << ": " << text(host, "because") << "\n"
            << "power        " << text(host, "power") << "\n"
            << "last seen    " << text(host, "last_seen_ms") << " ms ago\n"
            << "proof        " << text(host, "proof") << "\n\n"
            << "Its guests are then started on other hosts. Should this boot of " << options.host
            << " still run, two\nmachines write to the same disks. Go and see that it is off.\n\n"
            << "Type \"" << options.host << " " << boot << "\" to confirm: " << std::flush;
  std::string typed;
  std::getline(std::cin, typed);
  if (typed != options.host + " " + boot) return std::nullopt;
  return boot;
}

int confirm_dead(const Options& options) {
  std::string boot = options.seen_off;
  if (boot.empty()) {
    if (::isatty(STDIN_FILENO) != 1)
      return fail(kRefused, "host confirm-dead: standard input is no terminal, so nothing can be "
                            "confirmed; a script says --yes-i-saw-it-off INCARNATION");
    const auto answer =
        ask(options.socket, {{"do", "host-show"}, {"host", options.host}}, kAskPatience);
    if (answer.exit_code != kDone) return fail(answer.exit_code, answer.error);
    const auto* host = answer.result.if_object();
    if (host == nullptr) return fail(kFailed, "wardomd's reply makes no sense");
    const auto typed = confirmed(options, *host);
    if (!typed) return fail(kRefused, "not confirmed; nothing was done");
    boot = *typed;
  }
  return say(options,
             {{"do", "host-confirm-dead"}, {"host", options.host}, {"incarnation", boot}},
             "host " + options.host + ", incarnation " + boot +
                 ", is recorded as dead; its guests start elsewhere after L_late");
}

int disarm(const Options& options) {
  json::object request{{"do", "disarm"}};
  if (!options.time.empty()) {
    // Hours are minutes to the parser of wardom.toml.
    auto time = options.time;
    const bool hours = time.ends_with('h');
    if (hours) time.back() = 'm';
    const auto parsed = parse_duration(time);
    if (!parsed || *parsed <= Duration::zero() ||
        (hours && *parsed > std::chrono::minutes{24}))
      return fail(kUsage, "disarm --for " + options.time +
                              ": give a time of at most a day, such as 90s, 30m or 2h");
    request["for_ms"] = whole_ms(hours ? *parsed * 60 : *parsed);
  }
  return say(options, std::move(request),
             options.time.empty()
                 ? "disarmed until `wardomctl arm`: what happens is reported, nothing is acted on"
                 : "disarmed for " + options.time +
                       ": what happens is reported, nothing is acted on");
}

void add_hosts(CLI::App& host, const std::shared_ptr<Options>& options) {
  const auto add = [&](const char* name, const char* help, bool named) {
    auto* command = host.add_subcommand(name, help);
    add_json_flag(*command, options->as_json);
    if (named) command->add_option("HOST", options->host, "Its name in wardom.toml")->required();
    return command;
  };
  add("list", "Every host of the domain", false)->callback([options] {
    options->exit_code =
        show(options->socket, options->as_json, {{"do", "host-list"}}, print_hosts);
  });
  add("show", "One host, its guests, and what is missing for a proof of its death", true)
      ->callback([options] {
        options->exit_code = show(options->socket, options->as_json,
                                  {{"do", "host-show"}, {"host", options->host}}, print_plain);
      });
  auto* dead = add("confirm-dead", "Say that a host was seen switched off; its guests then start "
                                   "elsewhere", true);
  dead->add_option("--yes-i-saw-it-off", options->seen_off,
                   "The incarnation that was seen off, as `host show` prints it; instead of the "
                   "typed confirmation");
  dead->callback([options] { options->exit_code = confirm_dead(*options); });
  add("trust-bmc", "Say that the BMC of a host, which was seen to lie, is mended", true)
      ->callback([options] {
        options->exit_code = say(*options, {{"do", "host-trust-bmc"}, {"host", options->host}},
                                 "the BMC of " + options->host +
                                     " is trusted again, until it is seen to lie once more");
      });
}

}  // namespace

void add_operator_commands(CLI::App& app, const std::string& socket, int& exit_code) {
  const auto options = std::make_shared<Options>(Options{socket, exit_code, {}, {}, {}, false});
  const auto known =
      app.get_subcommands([](const CLI::App* one) { return one->get_name() == "host"; });
  auto* host = known.empty() ? app.add_subcommand("host", "The hosts of the domain") : known[0];
  host->require_subcommand(1);
  add_hosts(*host, options);
  const auto add = [&](const char* name, const char* help) {
    auto* command = app.add_subcommand(name, help);
    add_json_flag(*command, options->as_json);
    return command;
  };
  add("arm", "Let Wardom act again, in the whole domain")->callback([options] {
    options->exit_code =
        say(*options, {{"do", "arm"}}, "armed: Wardom acts on what it sees");
  });
  auto* off = add("disarm", "Observe and report, act on nothing, in the whole domain");
  off->add_option("--for", options->time, "Arm again by itself after this time, such as 30m or 2h");
  off->callback([options] { options->exit_code = disarm(*options); });
}

}  // namespace wardom::ctl
