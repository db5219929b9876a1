// wardomd: judges, decides and recovers for one host of a detection domain.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <string>

#include "agents/wardomd/daemon.hpp"
#include "libha/corosync_conf/device_file.hpp"

namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;

std::string own_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "";
}

int fail(int code, const std::string& message) {
  std::fprintf(stderr, "wardomd: %s\n", message.c_str());
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a log whose reader is gone
  std::string config_file = wardom::kDefaultConfigFile;
  wardom::daemon::DaemonOptions options;
  options.host = own_name();
  options.keeper_socket = "/run/wardom/keeper.sock";
  options.control_socket = "/run/wardom/wardomd.sock";
  options.alert_socket = "/run/wardom-alerts/socket";
  options.protected_list = "/var/lib/wardom/protected";
  options.archive = "/var/lib/wardom/recoveries.jsonl";
  options.libvirt_uri = "qemu:///system";
  options.corosync_conf = wardom::corosync_conf::kCorosyncConf;
  CLI::App app{"Judges the hosts of a detection domain and brings a dead host's guests back."};
  app.set_version_flag("--version", "wardomd " WARDOM_VERSION);
  app.add_option("--config", config_file, "Configuration file")->capture_default_str();
  const auto* named = app.add_option("--host", options.host, "Own name in the configuration");
  app.add_option("--keeper-socket", options.keeper_socket)->capture_default_str();
  app.add_option("--socket", options.control_socket)->capture_default_str();
  app.add_option("--alert-socket", options.alert_socket)->capture_default_str();
  app.add_option("--protected-list", options.protected_list)->capture_default_str();
  app.add_option("--archive", options.archive)->capture_default_str();
  app.add_option("--libvirt", options.libvirt_uri, "libvirt URI")->capture_default_str();
  app.add_option("--corosync-conf", options.corosync_conf)->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  auto config = wardom::load_config(config_file);
  if (!config) return fail(kUsage, config.error().message);
  options.config = std::move(config).value();
  if (named->count() == 0)
    if (const auto* self = wardom::own_host(options.config, options.host);
        self != nullptr && self->name != options.host) {
      std::fprintf(stderr,
                   "wardomd: no [[host]] has the name \"%s\": this is %s, by its addresses\n",
                   options.host.c_str(), self->name.c_str());
      options.host = self->name;
    }
  auto daemon = wardom::daemon::Daemon::create(std::move(options));
  if (!daemon) return fail(kUsage, daemon.error().message);
  daemon.value()->run();
  // Adapters' threads may sit in calls that outlast the daemon (libvirt, IPMI): nothing of theirs
  // needs an orderly end, and a stop must not hang.
  std::fflush(nullptr);
  ::_exit(0);
}
