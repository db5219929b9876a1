// wardom-alert: Pacemaker's alert agent. Hands what Pacemaker tells in CRM_alert_* (Pacemaker
// Administration, "Alert Agents") to the local wardomd, for people to read in `wardomctl why` and
// `timeline`. Runs as hacluster, once for each event, on every node. Never holds Pacemaker up, and
// whatever becomes of the word, the event has happened: it always ends with 0.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>
#include <string>

#include "libha/control_client/control_client.hpp"

namespace {

namespace json = boost::json;

constexpr const char* kSocket = "/run/wardom-alerts/socket";
constexpr std::chrono::milliseconds kPatience{2000};
constexpr std::size_t kMaxField = 256;  // bytes of one; wardomd takes no longer ones

std::string field(const char* name) {
  const char* text = std::getenv((std::string("CRM_alert_") + name).c_str());
  if (text == nullptr) return {};
  std::string value(text, ::strnlen(text, kMaxField));
  // JSON is UTF-8, which nobody has promised of these.
  for (char& c : value)
    if (c < 0x20 || c > 0x7e) c = '?';
  return value;
}

std::optional<std::int64_t> number(const char* name) {
  const auto text = field(name);
  if (text.empty() || text.size() > std::numeric_limits<std::int64_t>::digits10) return {};
  char* end = nullptr;
  const long long value = std::strtoll(text.c_str(), &end, 10);
  return *end == '\0' ? std::optional<std::int64_t>(value) : std::nullopt;
}

json::object request_of(const std::string& kind) {
  json::object request{{"do", "pacemaker-alert"}, {"kind", kind}};
  for (const char* name : {"node", "desc", "task", "rsc"})
    if (const auto text = field(name); !text.empty()) request[name] = text;
  for (const char* name : {"nodeid", "rc", "target_rc", "interval"})
    if (const auto value = number(name)) request[name] = *value;
  if (const auto seconds = number("timestamp_epoch"); seconds && *seconds < 1'000'000'000'000)
    request["at_ms"] = *seconds * 1000 + number("timestamp_usec").value_or(0) / 1000;
  return request;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  if (argc > 1 && std::strcmp(argv[1], "--version") == 0)
    return std::puts("wardom-alert " WARDOM_VERSION) < 0 ? 1 : 0;
  const auto kind = field("kind");
  if (kind.empty()) {
    std::fputs("usage: an alert agent: Pacemaker runs it, with the event in CRM_alert_*; see "
               "wardom-alert(8)\n", stderr);
    return 2;
  }
  if (kind != "node" && kind != "fencing" && kind != "resource") return 0;
  const auto recipient = field("recipient");
  const auto answer = wardom::control::ask(recipient.starts_with('/') ? recipient : kSocket,
                                           request_of(kind), kPatience);
  if (answer.exit_code != 0) std::fprintf(stderr, "wardom-alert: %s\n", answer.error.c_str());
  return 0;
}
