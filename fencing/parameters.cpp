#include "fencing/parameters.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>

#include "libha/config/config.hpp"
#include "libha/control_client/control_client.hpp"

namespace wardom::fencing {
namespace {

using Type = Parameter::Type;
using Values = std::map<std::string, std::string, std::less<>>;

constexpr std::array<std::pair<std::string_view, Action>, 12> kActions{{
    {"off", Action::off},
    {"reboot", Action::reboot},
    {"on", Action::on},
    {"status", Action::status},
    {"monitor", Action::monitor},
    {"list", Action::list},
    {"list-status", Action::list_status},
    {"validate-all", Action::validate_all},
    {"metadata", Action::metadata},
    {"manpage", Action::manpage},
    {"help", Action::help},
    {"version", Action::version},
}};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const auto from = text.find_first_not_of(kBlank);
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(kBlank) - from + 1);
}

// What people may see of a value that was not expected.
std::string shown(std::string_view text) {
  constexpr std::size_t kMost = 40;
  std::string out;
  for (const char c : text.substr(0, kMost)) out += c >= ' ' && c <= '~' ? c : '?';
  return '"' + out + (text.size() > kMost ? "…\"" : "\"");
}

Result<std::chrono::seconds> seconds_of(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::chrono::seconds time{number};
  const bool whole = error == std::errc{} && end == text.data() + text.size();
  if (!whole || time < kPowerTimeoutMin || time > kPowerTimeoutMax)
    return failure("power_timeout is " + shown(text) + "; give whole seconds, from " +
                   std::to_string(kPowerTimeoutMin.count()) + " to " +
                   std::to_string(kPowerTimeoutMax.count()));
  return time;
}

const Parameter* by_name(std::string_view name) {
  const auto all = parameters();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const Parameter& one) { return one.name == name; });
  return found == all.end() ? nullptr : &*found;
}

const Parameter* by_option(std::string_view word) {
  const auto all = parameters();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Parameter& one) {
    if (word.starts_with("--")) return word.substr(2) == one.option;
    return word.size() == 2 && word[0] == '-' && one.letter != '\0' && word[1] == one.letter;
  });
  return found == all.end() ? nullptr : &*found;
}

Result<Request> request_of(const Values& values) {
  const auto value = [&](std::string_view name) -> std::string {
    const auto found = values.find(name);
    if (found != values.end() && !found->second.empty()) return found->second;
    const auto* parameter = by_name(name);
    return parameter == nullptr ? std::string() : std::string(parameter->standard);
  };
  Request request;
  const auto action = value("action");
  const auto* known = std::find_if(kActions.begin(), kActions.end(),
                                   [&](const auto& one) { return one.first == action; });
  if (known == kActions.end()) return failure("action is " + shown(action) + "; see --help");
  request.action = known->second;
  if (values.contains("help")) request.action = Action::help;
  if (values.contains("version")) request.action = Action::version;
  // The fencer always tells the target's name, and the plug if a device calls it otherwise.
  for (const auto* name : {"nodename", "port", "plug"})
    if (auto plug = value(name); !plug.empty()) request.plug = std::move(plug);
  const auto split = value("split");
  if (split != "off" && split != "wait")
    return failure("split is " + shown(split) + "; give off or wait");
  request.split = split == "off" ? Split::off : Split::wait;
  const auto timeout = seconds_of(value("power_timeout"));
  if (!timeout) return timeout.error();
  request.power_timeout = timeout.value();
  request.config = value("config");
  request.socket = value("socket");
  return request;
}

}  // namespace

std::span<const Parameter> parameters() {
  static const std::vector<Parameter> kAll{
      {"action", 'o', "action", "ACTION", Type::text, "reboot", {}, "", false, true,
       "Fencing action: off, reboot, on, status, monitor, list, list-status, validate-all, "
       "metadata, manpage"},
      {"plug", 'n', "plug", "HOST", Type::text, "", {}, "port", false, true,
       "The host, by its name in wardom.toml"},
      {"port", '\0', "port", "HOST", Type::text, "", {}, "", true, false,
       "The host; the old name of plug"},
      {"split", '\0', "split", "off|wait", Type::choice, "off", {"off", "wait"}, "", false, false,
       "A host that lives in another split group is powered off, or waited for until its own end"},
      {"power_timeout", '\0', "power-timeout", "SECONDS", Type::seconds, "50", {}, "", false,
       false,
       "The whole of one call ends within so many seconds; keep it below pcmk_off_timeout, "
       "pcmk_reboot_timeout and stonith-timeout, and above D + L_late of `wardomctl status`"},
      {"config", '\0', "config", "FILE", Type::text, kDefaultConfigFile, {}, "", false, false,
       "The configuration file"},
      {"socket", '\0', "socket", "PATH", Type::text, control::kDefaultSocket, {}, "", false,
       false, "Where wardomd listens"},
      {"verbose", 'v', "verbose", "", Type::flag, "", {}, "", false, false,
       "Accepted and of no effect"},
      {"version", 'V', "version", "", Type::flag, "", {}, "", false, false,
       "Display version information and exit"},
      {"help", 'h', "help", "", Type::flag, "", {}, "", false, false, "Display help and exit"},
  };
  return kAll;
}

const char* to_text(Action action) {
  for (const auto& [name, one] : kActions)
    if (one == action) return name.data();
  return "?";
}

Result<Request> from_lines(std::string_view text) {
  if (text.size() > kMaxInputBytes)
    return failure("standard input is longer than " + std::to_string(kMaxInputBytes) + " bytes");
  Values values;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto at = line.find('=');
    if (line.empty() || line[0] == '#' || at == std::string_view::npos) continue;
    const auto name = trimmed(line.substr(0, at));
    const auto value = trimmed(line.substr(at + 1));
    const auto* parameter = by_name(name);
    if (parameter == nullptr && name != "nodename") continue;
    if (value.size() > kMaxValueBytes) return failure(std::string(name) + " is too long");
    // `help=0` is a no.
    if (parameter != nullptr && parameter->type == Type::flag && value != "1" && value != "on" &&
        value != "yes" && value != "true")
      continue;
    values.insert_or_assign(std::string(name), std::string(value));
  }
  return request_of(values);
}

Result<Request> from_options(const std::vector<std::string>& arguments) {
  Values values;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string_view word = arguments[i];
    std::optional<std::string_view> attached;
    if (const auto at = word.find('='); word.starts_with("--") && at != std::string_view::npos) {
      attached = word.substr(at + 1);
      word = word.substr(0, at);
    } else if (word.size() > 2 && word[0] == '-' && word[1] != '-') {  // -ooff
      attached = word.substr(2);
      word = word.substr(0, 2);
    }
    const auto* parameter = by_option(word);
    if (parameter == nullptr) return failure("unknown option " + shown(word) + "; see --help");
    if (parameter->type == Type::flag) {
      values.insert_or_assign(std::string(parameter->name), "1");
      continue;
    }
    if (!attached && i + 1 == arguments.size())
      return failure("option " + shown(word) + " wants a value; see --help");
    const std::string_view value = attached ? *attached : std::string_view(arguments[++i]);
    if (value.size() > kMaxValueBytes)
      return failure(std::string(parameter->name) + " is too long");
    values.insert_or_assign(std::string(parameter->name), std::string(value));
  }
  return request_of(values);
}

}  // namespace wardom::fencing
