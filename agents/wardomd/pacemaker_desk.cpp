#include "agents/wardomd/pacemaker_desk.hpp"

#include <algorithm>
#include <boost/json.hpp>

namespace wardom::daemon {
namespace {

namespace json = boost::json;
using control::reply_error;
using control::reply_with;

constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr const char* kSource = "hostguard";
constexpr const char* kStarted = "guard-started";
constexpr const char* kStopped = "guard-stopped";

// Of all that is said of HostGuard, so that it takes one place among the recoveries on record:
// "hostguard" in its first bytes.
RecoveryId guards_id() {
  RecoveryId id;
  const std::string_view name = kSource;
  std::copy(name.begin(), name.end(), id.bytes.begin());
  return id;
}

// For a log and a terminal: printable, and no longer than that.
std::string text_of(const json::object& request, const char* key) {
  const auto* value = request.if_contains(key);
  if (value == nullptr || !value->is_string()) return {};
  std::string text(value->get_string());
  if (text.size() > kMaxAlertField) text.resize(kMaxAlertField);
  std::replace_if(text.begin(), text.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return text;
}

std::int64_t number_of(const json::object& request, const char* key, std::int64_t otherwise) {
  const auto* value = request.if_contains(key);
  const auto* number = value == nullptr ? nullptr : value->if_int64();
  return number == nullptr ? otherwise : *number;
}

// Pacemaker's name of a node, or corosync's id of it where the name is none of wardom.toml's.
HostId host_of(const json::object& request, const Config& config) {
  const auto* host = config.find_host(text_of(request, "node"));
  const auto id = number_of(request, "nodeid", 0);
  if (host == nullptr && id > 0 && id <= kMaxHostId)
    host = config.find_host(HostId{static_cast<std::uint16_t>(id)});
  return host == nullptr ? kNoHost : host->id;
}

std::string resource_text(const json::object& request) {
  const auto rc = number_of(request, "rc", -1);
  const auto target = number_of(request, "target_rc", 0);
  const auto interval = number_of(request, "interval", 0);
  std::string text = text_of(request, "task") + " of " + text_of(request, "rsc");
  if (interval > 0) text += " (every " + std::to_string(interval) + " ms)";
  text += ": " + text_of(request, "desc");
  if (rc != target) text += " (exit code " + std::to_string(rc) + ")";
  return text;
}

}  // namespace

Result<Alert> alert_of(const json::object& request, const Config& config, WallTime now) {
  Alert alert;
  const auto kind = text_of(request, "kind");
  const auto node = text_of(request, "node");
  const auto desc = text_of(request, "desc");
  if (node.empty()) return failure("pacemaker-alert: no node is named");
  alert.host = host_of(request, config);
  if (alert.host == kNoHost)
    return failure("pacemaker-alert: wardom.toml has no host \"" + node + "\"");
  const auto at = number_of(request, "at_ms", now.ms);
  const auto most = whole_ms(kAlertClockError);
  alert.at = at > now.ms - most && at < now.ms + most ? WallTime{at} : now;
  if (kind == "node") {
    alert.text = "node " + node + " is " + desc;
  } else if (kind == "fencing") {
    alert.fenced = number_of(request, "rc", -1) == 0;
    alert.text = desc + (alert.fenced ? "; Pacemaker's word, which is evidence and no proof" : "");
  } else if (kind == "resource") {
    alert.text = resource_text(request);
  } else {
    return failure("pacemaker-alert: kind is node, fencing or resource");
  }
  return alert;
}

void PacemakerDesk::handle_alert(const json::object& request, const control::Answer& answer) {
  if (text_of(request, "do") != "pacemaker-alert")
    return answer(reply_error(kUsage, "only alerts of Pacemaker are taken here"));
  auto alert = alert_of(request, config_, now_());
  if (!alert) return answer(reply_error(kUsage, alert.error().message));
  heard_(alert.value());
  auto& known = alerts_[alert.value().host];
  const auto place = std::upper_bound(known.begin(), known.end(), alert.value(),
                                      [](const Alert& a, const Alert& b) { return a.at < b.at; });
  known.insert(place, std::move(alert).value());
  if (known.size() > kMaxAlerts) known.pop_front();
  answer(reply_with(json::object{{"done", true}}));
}

bool PacemakerDesk::handle(const json::object& request, const control::Answer& answer) {
  const auto what = text_of(request, "do");
  if (what == "pacemaker-alert") {
    handle_alert(request, answer);
  } else if (what == "guard") {
    take_guard(request, answer);
  } else {
    return false;
  }
  return true;
}

// `runs`: whether Pacemaker has HostGuard run on this host. Said at each change, and by a monitor
// that finds a daemon which does not know.
void PacemakerDesk::take_guard(const json::object& request, const control::Answer& answer) {
  const auto* said = request.if_contains("runs");
  if (said == nullptr || !said->is_bool())
    return answer(reply_error(kUsage, "guard: `runs` is true or false"));
  const bool runs = said->get_bool();
  const auto known = guard(self_);
  if (!known || known->runs != runs) {
    core::Note note;
    note.severity = core::Severity::notice;
    note.source = kSource;
    note.host = self_;
    note.recovery = guards_id();
    note.step = runs ? kStarted : kStopped;
    note.text = runs ? "Pacemaker has ocf:wardom:HostGuard run here"
                     : "Pacemaker has stopped ocf:wardom:HostGuard here: guests, lease and wardomd "
                       "go on";
    guards_[self_] = {now_(), runs};
    tell_(note);
  }
  answer(reply_with(json::object{{"done", true}}));
}

void PacemakerDesk::on_step(const wire::StepMessage& step) {
  if (step.recovery != guards_id() || step.host != step.teller) return;
  auto& known = guards_[step.host];
  if (known.at < step.at) known = {step.at, step.step == kStarted};
}

const std::deque<Alert>& PacemakerDesk::alerts(HostId host) const {
  static const std::deque<Alert> kNone;
  const auto found = alerts_.find(host);
  return found == alerts_.end() ? kNone : found->second;
}

const Alert* PacemakerDesk::last_fencing(HostId host) const {
  const auto& known = alerts(host);
  const auto found = std::find_if(known.rbegin(), known.rend(),
                                  [](const Alert& alert) { return alert.fenced; });
  return found == known.rend() ? nullptr : &*found;
}

std::optional<PacemakerDesk::Guard> PacemakerDesk::guard(HostId host) const {
  const auto found = guards_.find(host);
  return found == guards_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace wardom::daemon
