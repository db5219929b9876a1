#include "agents/wardomctl/key_command.hpp"

#include <iostream>
#include <memory>
#include <thread>

#include "agents/wardomctl/command.hpp"
#include "agents/wardomctl/print.hpp"

namespace wardom::ctl {
namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLookInterval{200};
constexpr int kWaitDefaultSeconds = 60;
constexpr int kWaitMostSeconds = 24 * 60 * 60;

struct Options {
  const std::string& socket;
  int& exit_code;
  bool prepared{false};
  bool give_up{false};
  int wait_s{kWaitDefaultSeconds};
  bool as_json{false};
};

std::string text(const json::value& status, const char* key) {
  const auto* object = status.if_object();
  const auto* value = object == nullptr ? nullptr : object->if_contains(key);
  if (value == nullptr || value->is_null()) return "";
  return value->is_string() ? printable(value->get_string()) : json::serialize(*value);
}

std::string waits_for(const json::value& status) {
  std::string names;
  const auto* object = status.if_object();
  const auto* list = object == nullptr ? nullptr : object->if_contains("waits_for");
  if (list != nullptr && list->is_array())
    for (const auto& name : list->get_array())
      if (name.is_string())
        names += (names.empty() ? "" : ", ") + printable(name.get_string());
  return names;
}

// One line: what is going on, and what it waits for.
std::string progress(const json::value& status) {
  const auto stage = text(status, "stage");
  const auto waits = waits_for(status);
  std::string line = stage == "sending"   ? "sends with the next key"
                     : stage == "waiting" ? "hands out the next key"
                                          : "has one key";
  if (!waits.empty()) line += ", waits for " + waits;
  if (const auto trouble = text(status, "trouble"); !trouble.empty()) line += ": " + trouble;
  return line;
}

int ended(const Options& options, const json::value& status, const std::string& was,
          const std::string& target) {
  const auto now = text(status, "present");
  if (options.as_json) std::cout << status << "\n";
  if (options.give_up) {
    if (now != was) return fail(kFailed, "the change had come too far: the key is " + now + " now");
    if (!options.as_json) std::cout << "given up; the key is " << now << ", as before\n";
    return kDone;
  }
  if (now == was)
    return fail(kFailed, "the change was given up by somebody; the key is " + now + ", as before");
  if (now != target)
    return fail(kFailed, "somebody else changed the key at the same time, to " + now);
  if (!options.as_json)
    std::cout << "the key is " << now << " now, and was " << was
              << "; every host that is up sends with it\n";
  return kDone;
}

// It is written, or waits for its turn to be: no word of its end yet.
bool goes_on(const json::value& status) {
  const auto stage = text(status, "stage");
  return stage == "waiting" || stage == "sending";
}

// The change goes on by itself: this only looks until it has ended.
int watch(const Options& options, const std::string& was, const std::string& target) {
  const auto until = Clock::now() + std::chrono::seconds(options.wait_s);
  std::string told;
  while (true) {
    const auto answer = ask(options.socket, {{"do", "key-status"}}, kAskPatience);
    if (answer.exit_code == kDone && !goes_on(answer.result))
      return ended(options, answer.result, was, target);
    if (options.wait_s == 0) {
      std::cout << (options.give_up ? "asked to give it up" : "asked for")
                << "; `wardomctl key status` tells how far it is\n";
      return kDone;
    }
    const auto line = answer.exit_code == kDone ? progress(answer.result) : answer.error;
    if (line != told) std::cerr << (told = line) << "\n";
    if (Clock::now() >= until)
      return fail(kFailed, "not ended within " + std::to_string(options.wait_s) +
                               " s; it goes on by itself: `wardomctl key status`" +
                               (text(answer.result, "stage") == "sending"
                                    ? ""
                                    : "; `wardomctl key rotate --give-up` takes it back, as long "
                                      "as it waits"));
    std::this_thread::sleep_for(kLookInterval);
  }
}

int rotate(const Options& options) {
  const auto before = ask(options.socket, {{"do", "key-status"}}, kAskPatience);
  if (before.exit_code != kDone) return fail(before.exit_code, before.error);
  const auto was = text(before.result, "present");
  const auto answer =
      options.give_up
          ? ask(options.socket, {{"do", "key-give-up"}, {"by", who()}}, kAskPatience)
          : ask(options.socket,
                {{"do", "key-rotate"}, {"prepared", options.prepared}, {"by", who()}},
                kAskPatience);
  if (answer.exit_code != kDone) return fail(answer.exit_code, answer.error);
  return watch(options, was, text(answer.result, "next"));
}

std::string print_key(const json::value& status, const Paint& paint) {
  const auto stage = text(status, "stage");
  std::string out = "present  " + text(status, "present") + "\n";
  const auto trouble = text(status, "trouble");
  if (stage == "none")
    return out + (trouble.empty() ? "no change is under way here\n" : "trouble  " + trouble + "\n");
  out += "next     " + text(status, "next") + "\n";
  out += stage == "held" ? "state    a next key is stored, and nobody wants it; `wardomctl key "
                           "rotate` changes to it, with --prepared if it was put there by hand\n"
                         : "state    " + progress(status) + "\n";
  if (stage == "held" && !trouble.empty()) out += "trouble  " + trouble + "\n";
  TextTable table({"HOST", "IN RING", "HOLDS NEXT", "SENDS NEXT"});
  const auto* hosts = status.get_object().if_contains("hosts");
  const auto yes = [](const json::value& host, const char* key) -> TextCell {
    return text(host, key) == "true" ? TextCell{"yes", Colour::good}
                                     : TextCell{"no", Colour::warning};
  };
  if (hosts != nullptr && hosts->is_array())
    for (const auto& host : hosts->get_array())
      table.add({{text(host, "name")},
                 yes(host, "in_ring"),
                 yes(host, "holds_next"),
                 yes(host, "sends_next")});
  return out + "\n" + table.print(paint);
}

}  // namespace

void add_key_commands(CLI::App& app, const std::string& socket, int& exit_code) {
  const auto options = std::make_shared<Options>(Options{socket, exit_code});
  auto* key = app.add_subcommand("key", "The cluster's key");
  key->require_subcommand(1);
  auto* status =
      key->add_subcommand("status", "Which key is in use, and how far a change of it is");
  add_json_flag(*status, options->as_json);
  status->callback([options] {
    options->exit_code =
        show(options->socket, options->as_json, {{"do", "key-status"}}, print_key);
  });
  auto* rotate_ = key->add_subcommand(
      "rotate", "Change the key on every host of the domain while everything runs");
  add_json_flag(*rotate_, options->as_json);
  auto* prepared = rotate_->add_flag(
      "--prepared", options->prepared,
      "Change to the key that lies on every host already, in the present one's file name with "
      "`.next` behind it: for a key that others may know, since without this the next key travels "
      "under the present one");
  rotate_->add_flag("--give-up", options->give_up,
                    "Keep the present key after all; only until every host holds the next one")
      ->excludes(prepared);
  rotate_
      ->add_option("--wait", options->wait_s,
                   "Seconds to look on; the change goes on by itself after that")
      ->check(CLI::Range(0, kWaitMostSeconds))
      ->capture_default_str();
  rotate_->callback([options] { options->exit_code = rotate(*options); });
}

}  // namespace wardom::ctl
