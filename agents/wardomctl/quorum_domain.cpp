// `wardomctl quorum` on all hosts of the domain: first all of them look whether their file can be
// changed, then all change it, then corosync reloads. Which rounds there are and what each of them
// promises: libha/doc/decisions/0018.
#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <thread>

#include "agents/wardomctl/command.hpp"
#include "agents/wardomctl/quorum_command.hpp"

namespace wardom::ctl {
namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

// A round of wardomd takes at most 6 s.
constexpr std::chrono::seconds kRoundPatience{15};
constexpr std::chrono::milliseconds kPause{500};

struct Row {
  std::string name;
  std::string heard;
  bool ok{false};
  bool changes{false};
  bool in_force{false};
  std::string model;  // empty: no device
  std::string timeout;
  std::string sync_timeout;
  std::string digest;
  std::string pass;
  std::string text;

  bool answers() const { return heard == "answer"; }
};
using Rows = std::vector<Row>;

std::string text_of(const json::object& object, const char* key) {
  const auto* value = object.if_contains(key);
  if (value == nullptr || value->is_null()) return {};
  return printable(value->is_string() ? std::string(value->get_string())
                                      : json::serialize(*value));
}

Rows rows_of(const json::value& result) {
  Rows rows;
  const auto* object = result.if_object();
  const auto* hosts = object == nullptr ? nullptr : object->if_contains("hosts");
  if (hosts == nullptr || !hosts->is_array()) return rows;
  for (const auto& one : hosts->get_array()) {
    const auto* host = one.if_object();
    if (host == nullptr) continue;
    const auto flag = [&](const char* key) { return text_of(*host, key) == "true"; };
    Row row{text_of(*host, "name"), text_of(*host, "heard"), flag("ok"), flag("changes"),
            flag("in_force"), {}, {}, {}, text_of(*host, "digest"), text_of(*host, "pass"),
            text_of(*host, "text")};
    const auto* device = host->if_contains("device");
    if (device != nullptr && device->is_object()) {
      row.model = text_of(device->get_object(), "model");
      row.timeout = text_of(device->get_object(), "timeout_ms");
      row.sync_timeout = text_of(device->get_object(), "sync_timeout_ms");
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

bool named(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

template <class Which>
std::string names(const Rows& rows, Which which) {
  std::string list;
  for (const auto& row : rows)
    if (which(row)) list += (list.empty() ? "" : ", ") + row.name;
  return list;
}

const char* why_unheard(const Row& row) {
  return row.heard == "away"
             ? "its wardomd is not in the ring: start it"
             : "its wardomd does not answer this: it hangs, or is of an older release, which has "
               "to be restarted after an upgrade";
}

// What stands in the way; `code` kDone: nothing.
struct Obstacle {
  int code{kDone};
  std::string text;
};

class Change {
 public:
  Change(const QuorumOptions& options, bool remove) : options_(options), remove_(remove) {}

  int run() {
    if (const int code = write_all(); code != kDone) return code;
    if (const int code = reload(); code != kDone) return code;
    return await_force();
  }

 private:
  json::object request(const char* what) const {
    json::object request{{"do", what}, {"change", remove_ ? "remove" : "setup"}, {"by", who()}};
    if (!remove_) {
      request["timeout_ms"] = options_.times.timeout_ms;
      request["sync_timeout_ms"] = options_.times.sync_timeout_ms;
    }
    return request;
  }

  // Of those who have to be with it. One that was called away and answers after all is one of them.
  Obstacle obstacle_in(const Rows& rows) const {
    std::string list;
    bool away = false;
    for (const auto& row : rows) {
      if (row.answers() ? row.ok : named(options_.without, row.name)) continue;
      away = away || !row.answers();
      list += "\n  " + row.name + ": " + (row.answers() ? row.text : why_unheard(row));
    }
    if (list.empty()) return {};
    if (away && !remove_) list += "\nA host may stay as it is for now: --without HOST";
    return {kRefused, "it cannot be done on" + list};
  }

  Obstacle no_such_host(const Rows& rows) const {
    for (const auto& name : options_.without)
      if (std::none_of(rows.begin(), rows.end(), [&](const Row& row) { return row.name == name; }))
        return {kUsage, "--without " + name + ": no host of this domain is called so"};
    return {};
  }

  // All look, then all write.
  Obstacle both_rounds() {
    const auto answer = ask(options_.socket, request("quorum-try"), kRoundPatience);
    if (answer.exit_code != kDone)
      return {answer.exit_code, answer.error + "\nWithout wardomd: --this-host on every host, then "
                                               "`corosync-cfgtool -R` on one"};
    const auto tried = rows_of(answer.result);
    if (auto unknown = no_such_host(tried); unknown.code != kDone) return unknown;
    if (auto found = obstacle_in(tried); found.code != kDone) return found;
    json::object passes;
    for (const auto& row : tried)
      if (row.answers()) passes[row.name] = row.pass;
    auto write = request("quorum-write");
    write["passes"] = std::move(passes);
    const auto wrote = ask(options_.socket, write, kRoundPatience);
    written_ = written_ || wrote.exit_code != kRefused;
    if (wrote.exit_code != kDone) return {wrote.exit_code, wrote.error};
    const auto rows = rows_of(wrote.result);
    auto found = obstacle_in(rows);
    if (found.code == kDone) tell(tried, rows);
    return found;
  }

  int write_all() {
    const auto until = Clock::now() + std::chrono::seconds(options_.wait_s);
    while (true) {
      const auto found = both_rounds();
      if (found.code == kDone) return kDone;
      if (!written_) return fail(found.code, "nothing was changed on any host: " + found.text);
      if (Clock::now() >= until)
        return fail(kFailed, found.text +
                                 "\nOther hosts have it. It is not in force: corosync was not told "
                                 "to reload. Run this again to complete it; `wardomctl quorum "
                                 "status` tells what each host has");
      std::this_thread::sleep_for(kPause);  // a wardomd that was restarted meanwhile
    }
  }

  static void tell(const Rows& tried, const Rows& wrote) {
    for (const auto& row : tried)
      if (!row.text.empty()) std::cerr << "wardomctl: " << row.name << ": " << row.text << "\n";
    const auto changed = names(wrote, [](const Row& row) { return row.answers() && row.changes; });
    const auto left = names(wrote, [](const Row& row) { return !row.answers(); });
    std::cout << (changed.empty() ? "all files say so already\n" : "changed on " + changed + "\n");
    if (!left.empty())
      std::cout << "left as it was: " << left << "; run this again once it is back\n";
  }

  // Makes corosync on all hosts of its ring read the file.
  static int reload() {
    std::string said;
    FILE* const tool = ::popen("corosync-cfgtool -R 2>&1", "re");
    char part[256];
    while (tool != nullptr && std::fgets(part, sizeof part, tool) != nullptr) said += part;
    if (tool != nullptr && ::pclose(tool) == 0) return kDone;
    return fail(kFailed, "the files are written, but not in force: `corosync-cfgtool -R` failed: " +
                             printable(said) + "; run this again once it can");
  }

  int await_force() const {
    const auto until = Clock::now() + std::chrono::seconds(options_.wait_s);
    while (true) {
      const auto answer = ask(options_.socket, {{"do", "quorum-look"}}, kRoundPatience);
      const auto missing = names(rows_of(answer.result), [&](const Row& row) {
        return !named(options_.without, row.name) && (!row.answers() || row.in_force == remove_);
      });
      if (answer.exit_code == kDone && missing.empty()) {
        std::cout << (remove_ ? "corosync has no quorum device any more\n"
                              : "in force: Wardom is corosync's quorum device; whether each host "
                                "casts its vote: wardomctl status\n");
        return kDone;
      }
      if (Clock::now() >= until)
        return fail(kFailed, "the files are written and corosync was told, but it is not in force" +
                                 (answer.exit_code == kDone ? " on " + missing
                                                            : ": " + answer.error) +
                                 "; see `wardomctl quorum status` and corosync's log there");
      std::this_thread::sleep_for(kPause);
    }
  }

  const QuorumOptions& options_;
  bool remove_;
  bool written_{false};  // maybe, on some host
};

TextCell device_cell(const Row& row) {
  if (!row.answers()) return {"?", Colour::warning};
  if (row.model.empty()) return {row.ok ? "none" : "?", row.ok ? Colour::none : Colour::warning};
  const bool ours = row.model == corosync_conf::kDeviceModel;
  return {ours ? "Wardom" : row.model, ours ? Colour::good : Colour::warning};
}

std::string remark(const Row& row) {
  if (!row.answers()) return why_unheard(row);
  if (!row.ok) return row.text;
  const bool ours = row.model == corosync_conf::kDeviceModel;
  if (ours && !row.in_force) return "not in force: corosync has not read the file, or is down";
  if (!ours && row.in_force) return "still in force: corosync has not read the file";
  return row.text;
}

std::string print_quorum(const json::value& result, const Paint& paint) {
  const auto rows = rows_of(result);
  TextTable table({"HOST", "IN ITS FILE", "TIMEOUT", "SYNC_TIMEOUT", "IN FORCE", ""});
  const auto ms = [](const Row& row, const std::string& text) -> TextCell {
    return {row.model.empty() ? "" : text.empty() ? "default" : text + " ms"};
  };
  for (const auto& row : rows)
    table.add({{row.name},
               device_cell(row),
               ms(row, row.timeout),
               ms(row, row.sync_timeout),
               {!row.answers() ? "?" : row.in_force ? "yes" : "no"},
               {remark(row)}});
  std::string out = table.print(paint);
  const auto with = [](const Row& row) { return row.model == corosync_conf::kDeviceModel; };
  const auto lacks = [](const Row& row) {
    return row.answers() && row.ok && row.model != corosync_conf::kDeviceModel;
  };
  const auto have = names(rows, with);
  const auto have_not = names(rows, lacks);
  if (!have.empty() && !have_not.empty())
    out += "\nNot alike: with the device " + have + ", without it " + have_not +
           "; `wardomctl quorum setup` completes it, `wardomctl quorum remove` takes it out "
           "everywhere\n";
  std::string first;
  bool differ = false;
  for (const auto& row : rows) {
    if (row.digest.empty()) continue;
    if (first.empty()) first = row.digest;
    differ = differ || row.digest != first;
  }
  if (differ && (have.empty() || have_not.empty()))
    out += "\nThe hosts' files are not the same: see `wardomctl status`\n";
  return out;
}

}  // namespace

int change_quorum_on_all(const QuorumOptions& options, bool remove) {
  return Change(options, remove).run();
}

int show_quorum_of_all(const QuorumOptions& options) {
  const auto answer = ask(options.socket, {{"do", "quorum-look"}}, kRoundPatience);
  if (answer.exit_code != kDone)
    return fail(answer.exit_code, answer.error + "\nThis host's file alone: --this-host");
  if (options.as_json)
    std::cout << answer.result << "\n";
  else
    std::cout << print_quorum(answer.result, Paint(stdout_takes_colours()));
  return kDone;
}

}  // namespace wardom::ctl
