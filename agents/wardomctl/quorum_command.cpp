#include "agents/wardomctl/quorum_command.hpp"

#include <boost/json.hpp>
#include <iostream>
#include <memory>

#include "agents/wardomctl/command.hpp"

namespace wardom::ctl {
namespace {

namespace json = boost::json;
using corosync_conf::DeviceSection;

constexpr int kWaitMostSeconds = 600;

// --- this host's file alone: needs no daemon

int change(const QuorumOptions& options, const corosync_conf::Wish& wish) {
  const auto plan = corosync_conf::plan(options.file, wish);
  if (!plan) return fail(kFailed, plan.error().message);
  if (options.print) {
    std::cout << plan.value().after;
    return kDone;
  }
  if (!plan.value().changes()) {
    std::cout << options.file << ": nothing to change\n";
    return kDone;
  }
  const auto backup = corosync_conf::carry_out(plan.value());
  if (!backup) return fail(kFailed, backup.error().message);
  std::cout << options.file << ": changed; as it was: " << backup.value() << "\n"
            << "The same on every host first; then, once, on one of them: corosync-cfgtool -R\n";
  return kDone;
}

int change_here(const QuorumOptions& options, const corosync_conf::Wish& wish) {
  if (wish) {
    if (const auto other = corosync_conf::other_device(); !other.empty())
      return fail(kFailed, other);
    if (const auto warning = corosync_conf::sbd_warning(*wish); !warning.empty())
      std::cerr << "wardomctl: " << warning << "\n";
  }
  if (options.print) return change(options, wish);
  const corosync_conf::Turn turn(options.file);
  if (!turn.trouble().empty()) return fail(kFailed, turn.trouble());
  return change(options, wish);
}

std::string times_text(const DeviceSection& device) {
  const auto value = [](const std::optional<unsigned>& ms, const char* otherwise) {
    return ms ? std::to_string(*ms) + " ms" : std::string(otherwise);
  };
  return "timeout " + value(device.timeout_ms, "10000 ms") + ", sync_timeout " +
         value(device.sync_timeout_ms, "30000 ms");
}

json::value to_json(const std::optional<DeviceSection>& device) {
  if (!device) return nullptr;
  const auto number = [](const std::optional<unsigned>& ms) {
    return ms ? json::value(*ms) : json::value();
  };
  return json::object{{"model", device->model},
                      {"timeout_ms", number(device->timeout_ms)},
                      {"sync_timeout_ms", number(device->sync_timeout_ms)},
                      {"votes", device->votes ? json::value(*device->votes) : json::value()}};
}

int show_here(const QuorumOptions& options) {
  const auto text = corosync_conf::read_text(options.file);
  if (!text) return fail(kFailed, text.error().message);
  const auto found = corosync_conf::device_section(text.value());
  if (!found) return fail(kFailed, options.file + ": " + found.error().message);
  const auto& device = found.value();
  if (options.as_json) {
    std::cout << to_json(device) << "\n";
    return kDone;
  }
  std::cout << options.file << ": ";
  if (!device)
    std::cout << "no quorum device\n";
  else if (device->model != corosync_conf::kDeviceModel)
    std::cout << "another quorum device, model " << device->model << "\n";
  else
    std::cout << "Wardom is the quorum device, " << times_text(*device)
              << (device->votes ? "; \"votes: " + *device->votes + "\" has to be taken out" : "")
              << "\nWhether this host casts its vote: wardomctl status\n";
  return kDone;
}

// --- the commands

int setup(const QuorumOptions& options) {
  return options.alone() ? change_here(options, options.times)
                         : change_quorum_on_all(options, false);
}

int remove(const QuorumOptions& options) {
  return options.alone() ? change_here(options, std::nullopt)
                         : change_quorum_on_all(options, true);
}

int status(const QuorumOptions& options) {
  return options.alone() ? show_here(options) : show_quorum_of_all(options);
}

void add_times(CLI::App& command, corosync_conf::DeviceTimes& times) {
  using namespace corosync_conf;
  command
      .add_option("--timeout", times.timeout_ms,
                  "Milliseconds after which corosync forgets a vote")
      ->check(CLI::Range(kTimeoutMinMs, kTimeoutMaxMs))
      ->capture_default_str();
  command
      .add_option("--sync-timeout", times.sync_timeout_ms,
                  "Milliseconds that a new ring waits for a vote, at most")
      ->check(CLI::Range(kTimeoutMinMs, kSyncTimeoutMaxMs))
      ->capture_default_str();
}

}  // namespace

void add_quorum_commands(CLI::App& app, const std::string& socket, int& exit_code) {
  auto options = std::make_shared<QuorumOptions>(socket);
  auto* quorum = app.add_subcommand("quorum", "Wardom as corosync's quorum device");
  quorum->require_subcommand(1);
  const auto command = [&](const char* name, const char* help, int (*run)(const QuorumOptions&)) {
    auto* made = quorum->add_subcommand(name, help);
    auto* here = made->add_flag("--this-host", options->this_host,
                                "This host's file alone; needs no wardomd");
    auto* file = made->add_option("--file", options->file, "The same for another file")
                     ->capture_default_str();
    made->callback([options, file, run, &exit_code] {
      options->one_file = file->count() > 0;
      exit_code = run(*options);
    });
    return std::pair(made, here);
  };
  const auto [set, set_here] =
      command("setup", "Name Wardom in corosync.conf on all hosts, and reload corosync", setup);
  add_times(*set, options->times);
  set->add_option("--without", options->without,
                  "A host that does not answer and stays as it is for now; may be repeated")
      ->excludes(set_here);
  const auto [out, out_here] =
      command("remove", "Take Wardom out of it on all hosts, and reload corosync", remove);
  for (auto* each : {set, out}) {
    each->add_flag("--print", options->print,
                   "Print what this host's file would be, and change nothing");
    each->add_option("--wait", options->wait_s,
                     "Seconds for a wardomd that is restarted meanwhile, and for corosync")
        ->check(CLI::Range(0, kWaitMostSeconds))
        ->capture_default_str();
  }
  add_json_flag(*command("status", "What the files say, and what is in force", status).first,
                options->as_json);
}

}  // namespace wardom::ctl
