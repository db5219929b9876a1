#include "agents/wardomctl/print.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>

namespace wardom::ctl {
namespace {

namespace json = boost::json;

// The value under a path of keys. nullptr: missing or null.
const json::value* find(const json::value& from, std::initializer_list<const char*> path) {
  const auto* at = &from;
  for (const auto* key : path) {
    const auto* object = at->if_object();
    at = object == nullptr ? nullptr : object->if_contains(key);
    if (at == nullptr) return nullptr;
  }
  return at->is_null() ? nullptr : at;
}

// At most three decimals, without zeros at the end.
std::string number_text(double value) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.3f", value);
  std::string result = text.data();
  result.erase(result.find_last_not_of('0') + 1);
  if (result.ends_with('.')) result.pop_back();
  return result;
}

std::string scalar(const json::value& value) {
  if (value.is_string()) return value.get_string().empty() ? "-" : printable(value.get_string());
  if (value.is_bool()) return value.get_bool() ? "yes" : "no";
  if (value.is_int64()) return std::to_string(value.get_int64());
  if (value.is_uint64()) return std::to_string(value.get_uint64());
  if (value.is_double()) return number_text(value.get_double());
  if (value.is_null()) return "-";
  return printable(json::serialize(value));
}

std::string text(const json::value& from, std::initializer_list<const char*> path) {
  const auto* value = find(from, path);
  return value == nullptr ? "-" : scalar(*value);
}

std::optional<std::int64_t> whole(const json::value& from, const char* key) {
  const auto* value = find(from, {key});
  if (value == nullptr) return std::nullopt;
  if (value->is_int64()) return value->get_int64();
  if (value->is_double()) return static_cast<std::int64_t>(value->get_double());
  return std::nullopt;
}

std::string span(const json::value& from, const char* key) {
  const auto ms = whole(from, key);
  return ms ? span_text(*ms) : "-";
}

const json::array& list(const json::value& from, const char* key) {
  static const json::array kNone;
  const auto* value = find(from, {key});
  return value != nullptr && value->is_array() ? value->get_array() : kNone;
}

// A link, a disk or a power state, whether it comes as a word or as true and false.
TextCell signal(const json::value& from, std::initializer_list<const char*> path) {
  const auto* value = find(from, path);
  if (value == nullptr) return {"-", Colour::faint};
  const auto word = value->is_bool() ? (value->get_bool() ? "up" : "down") : scalar(*value);
  if (word == "up" || word == "on" || word == "ok" || word == "alive") return {word, Colour::good};
  if (word == "down" || word == "off" || word == "silent") return {word, Colour::bad};
  return {word, Colour::warning};
}

TextCell state_cell(const std::string& state) {
  if (state == "alive" || state == "running" || state == "holding") return {state, Colour::good};
  if (state == "dead" || state == "refused" || state == "failed") return {state, Colour::bad};
  if (state == "-" || state == "left" || state == "maintenance" || state == "stopped")
    return {state, Colour::faint};
  return {state, Colour::warning};
}

std::string problems(const json::value& status, const Paint& paint) {
  const auto* known = find(status, {"problems"});
  if (known == nullptr || !known->is_array())
    return paint(Colour::warning, "problems: unknown, wardomd does not tell") + "\n";
  std::string out;
  for (const auto& problem : list(status, "problems")) {
    out += paint(Colour::bad, "problem") + "  ";
    if (find(problem, {"where"}) != nullptr) out += text(problem, {"where"}) + ": ";
    out += text(problem, {"what"}) + "\n";
    if (find(problem, {"do"}) != nullptr)
      out += paint(Colour::strong, "     do") + "  " + text(problem, {"do"}) + "\n";
  }
  return out.empty() ? paint(Colour::good, "no problems") + "\n" : out;
}

std::string seconds(const json::value& status, const char* key) {
  const auto* value = find(status, {"profile", key});
  return value == nullptr ? "-" : scalar(*value) + " s";
}

std::string disarmed_text(const json::value& status) {
  const auto left = find(status, {"disarmed", "left_ms"});
  return "disarmed" + (left == nullptr || !left->is_int64()
                           ? std::string()
                           : " for at most " + span_text(left->get_int64())) +
         ": nothing is restarted";
}

std::string quorum_text(const json::value& status, const Paint& paint) {
  const auto* casts = find(status, {"quorum_device", "casts"});
  if (casts == nullptr || !casts->is_bool()) return {};
  const auto ring = ", ring " + text(status, {"quorum_device", "ring"});
  if (casts->get_bool())
    return "\nquorum device: casts under lock version " +
           text(status, {"quorum_device", "lock_version"}) + ring;
  return "\nquorum device: " + paint(Colour::warning, "casts nothing") + ring + ": " +
         text(status, {"quorum_device", "why"});
}

std::string headline(const json::value& status, const Paint& paint) {
  const auto* armed = find(status, {"armed"});
  std::string out = "domain " + paint(Colour::strong, text(status, {"domain"})) + ", decider " +
                    text(status, {"decider"}) + ", lock version " + text(status, {"lock_version"}) +
                    ", ";
  if (armed == nullptr || !armed->is_bool())
    out += "armed or not: unknown";
  else
    out += armed->get_bool() ? "armed" : paint(Colour::warning, disarmed_text(status));
  if (find(status, {"profile"}) != nullptr)
    out += "\nlease T_F " + seconds(status, "t_f_s") + ", W " + seconds(status, "w_s") + ", D " +
           seconds(status, "d_s") + ", L_late " + seconds(status, "l_late_s");
  return out + quorum_text(status, paint) + "\n";
}

TextTable host_table(const json::array& hosts, const json::value* self) {
  TextTable table(
      {"HOST", "STATE", "MGMT", "STORAGE", "DISK", "POWER", "LAST SEEN", "INCARNATION"});
  for (const auto& host : hosts) {
    const auto name = text(host, {"name"});
    table.add({{self != nullptr && name == scalar(*self) ? name + " (here)" : name},
               state_cell(text(host, {"state"})),
               signal(host, {"links", "mgmt"}),
               signal(host, {"links", "storage"}),
               signal(host, {"disk"}),
               signal(host, {"power"}),
               {span(host, "last_seen_ms"), Colour::none, true},
               {text(host, {"incarnation"}), Colour::faint}});
  }
  return table;
}

std::string memory_text(const json::value& guest) {
  const auto mib = whole(guest, "memory_mib");
  if (!mib) return "-";
  if (*mib >= 1024 && *mib % 1024 == 0) return std::to_string(*mib / 1024) + " GiB";
  return std::to_string(*mib) + " MiB";
}

// With `all`, also the columns that only `guest list` has.
TextTable guest_table(const json::array& guests, bool all) {
  std::vector<std::string> titles = {"GUEST", "OWNER", "STATE", "WANTED", "GENERATION", "PRIORITY"};
  if (all) titles.insert(titles.end(), {"ISOLATION", "VCPUS", "MEMORY", "REASON"});
  TextTable table(std::move(titles));
  for (const auto& guest : guests) {
    std::vector<TextCell> row = {{text(guest, {"name"})},
                                 {text(guest, {"owner"})},
                                 state_cell(text(guest, {"state"})),
                                 {text(guest, {"wanted"})},
                                 {text(guest, {"generation"}), Colour::none, true},
                                 {text(guest, {"priority"}), Colour::none, true}};
    if (all) {
      row.push_back({text(guest, {"isolation"})});
      row.push_back({text(guest, {"vcpus"}), Colour::none, true});
      row.push_back({memory_text(guest), Colour::none, true});
      const auto reason = text(guest, {"reason"});
      row.push_back({reason == "-" ? "" : reason});
    }
    table.add(std::move(row));
  }
  return table;
}

std::string moment(const json::value& from, const char* key, bool date) {
  const auto* value = find(from, {key});
  if (value != nullptr && value->is_string()) return scalar(*value);
  const auto ms = whole(from, key);
  return ms ? clock_text(*ms, date) : "-";
}

// Milliseconds from the first sign, in seconds, so that the points stand in one column.
std::string offset(const json::value& step) {
  const auto ms = whole(step, "t_ms");
  if (!ms) return "-";
  std::array<char, 32> out{};
  std::snprintf(out.data(), out.size(), "%.3f s", static_cast<double>(*ms) / 1000);
  return out.data();
}

}  // namespace

std::string print_status(const json::value& status, const Paint& paint) {
  std::string out = problems(status, paint) + "\n" + headline(status, paint);
  const auto hosts = host_table(list(status, "hosts"), find(status, {"self"}));
  if (!hosts.empty()) out += "\n" + hosts.print(paint);
  const auto guests = guest_table(list(status, "guests"), false);
  return out + "\n" + (guests.empty() ? "no protected guests\n" : guests.print(paint));
}

std::string print_why(const json::value& why, const Paint& paint) {
  const auto state = state_cell(text(why, {"state"}));
  std::string out = text(why, {"kind"}) + " " + paint(Colour::strong, text(why, {"about"})) +
                    " is " + paint(state.colour, state.text) + "\n";
  TextTable table({"TIME", "SOURCE", "WHAT"});
  for (const auto& link : list(why, "chain"))
    table.add({{moment(link, "at_ms", true), Colour::faint},
               {text(link, {"source"})},
               {text(link, {"what"})}});
  return out + (table.empty() ? "nothing is on record about it\n" : table.print(paint));
}

std::string print_timeline(const json::value& timeline, const Paint& paint) {
  if (!timeline.is_object()) return "no recovery is on record\n";
  const auto* finished = find(timeline, {"finished"});
  std::string out = "recovery " + text(timeline, {"id"}) + " of host " +
                    paint(Colour::strong, text(timeline, {"host"})) + ", " +
                    (find(timeline, {"proof"}) == nullptr ? "no proof yet"
                                                          : "proof " + text(timeline, {"proof"})) +
                    ", first sign " + moment(timeline, "first_sign", true);
  if (finished != nullptr && finished->is_bool())
    out += finished->get_bool() ? ", finished" : ", " + paint(Colour::warning, "still going on");
  out += "\n";
  TextTable steps({"AFTER", "ON", "WHAT", "DETAIL"});
  for (const auto& step : list(timeline, "steps")) {
    const auto detail = text(step, {"detail"});
    steps.add({{offset(step), Colour::none, true},
               {text(step, {"on"})},
               {text(step, {"what"})},
               {detail == "-" ? "" : detail}});
  }
  if (!steps.empty()) out += "\n" + steps.print(paint);
  TextTable guests({"GUEST", "FROM", "TO", "DOWN", "RESULT"});
  for (const auto& guest : list(timeline, "guests"))
    guests.add({{text(guest, {"name"})},
                {text(guest, {"from"})},
                {text(guest, {"to"})},
                {span(guest, "down_ms"), Colour::none, true},
                state_cell(text(guest, {"result"}))});
  if (!guests.empty()) out += "\n" + guests.print(paint);
  return out;
}

std::string print_guests(const json::value& guests, const Paint& paint) {
  static const json::array kNone;
  const auto table = guest_table(guests.is_array() ? guests.get_array() : kNone, true);
  return table.empty() ? "no protected guests; protect one with `wardomctl guest protect GUEST`\n"
                       : table.print(paint);
}

std::string print_hosts(const json::value& hosts, const Paint& paint) {
  static const json::array kNone;
  return host_table(hosts.is_array() ? hosts.get_array() : kNone, nullptr).print(paint);
}

std::string print_plain(const json::value& value, const Paint& paint) {
  std::string out;
  if (const auto* object = value.if_object()) {
    for (const auto& [key, item] : *object) {
      out += paint(Colour::strong, printable(key)) + ":";
      if (const auto* items = item.if_array()) {
        out += items->empty() ? " none\n" : "\n";
        for (const auto& each : *items) out += "  " + scalar(each) + "\n";
      } else {
        out += " " + scalar(item) + "\n";
      }
    }
  } else if (const auto* items = value.if_array()) {
    for (const auto& item : *items) out += scalar(item) + "\n";
  } else if (!value.is_null()) {
    out = scalar(value) + "\n";
  }
  return out;
}

}  // namespace wardom::ctl
