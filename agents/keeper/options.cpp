#include "agents/keeper/options.hpp"

#include <unistd.h>

#include <array>
#include <string_view>

#include "libha/config/config.hpp"
#include "libha/watchdog/measurement.hpp"

#ifndef WARDOM_VERSION
#error "the build passes WARDOM_VERSION"
#endif

namespace wardom::keeper {
namespace {

constexpr const char* kHelp =
    "wardom-keeper: keeps this host's disk heartbeat and does all I/O on the state volume\n"
    "\n"
    "  --config FILE   the cluster's configuration (default /etc/wardom/wardom.toml)\n"
    "  --host NAME     this host's name in it (default: as `uname -n` says; where the file\n"
    "                  has no such host, the one with this machine's addresses)\n"
    "  --socket PATH   where wardomd connects (default RUN-DIR/keeper.sock)\n"
    "  --run-dir DIR   what has to outlive the keeper, but not a boot (default /run/wardom)\n"
    "  --measurement FILE  this host's measured watchdog (default\n"
    "                  /var/lib/wardom/watchdog.json)\n"
    "  --replaces MACHINE-ID  the machine that had this host's id before is gone for good\n"
    "  --version, --help\n"
    "\n"
    "Stopping the keeper leaves guests running; but a host that holds a lease is reset unless\n"
    "a keeper comes back inside the window. Exit: 0 stopped, 1 cannot keep the heartbeat,\n"
    "2 wrong usage or configuration.\n";

struct Arguments {
  std::string config{kDefaultConfigFile};
  std::string host;
  std::string socket;
  std::string run_dir{"/run/wardom"};
  std::string measurement{watchdog::kDefaultMeasurement};
  std::string replaces;
};

std::string own_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return {};
  return name.data();
}

Result<Options> configured(const Arguments& arguments) {
  auto config = load_config(arguments.config);
  if (!config) return failure(config.error().message);
  const auto& c = config.value();
  Options options;
  const auto name = arguments.host.empty() ? own_name() : arguments.host;
  const auto* host = arguments.host.empty() ? own_host(c, name) : c.find_host(name);
  if (host == nullptr)
    return failure(arguments.config + ": no [[host]] has the name \"" + name +
                   "\", or both addresses of this machine; add it, or say --host NAME");
  options.host_name = host->name;
  options.self = host->id;
  options.domain = host->domain;
  options.volume_path = c.volume.path.string();
  options.volume_uuid = c.volume.uuid;
  options.cluster = c.cluster.name;
  options.disk_interval = c.timing.disk_interval;
  options.feed_window = c.timing.feed_window;
  options.ride_out = c.volume.ride_out;
  if (c.watchdog.device) options.watchdog_device = c.watchdog.device->string();
  options.watchdog_timeout = c.watchdog.timeout;
  options.watchdog_lab = c.watchdog.lab;
  options.stay_up = c.watchdog.stay_up;
  options.measurement = arguments.measurement;
  if (!arguments.replaces.empty()) {
    options.replaces = parse_bits(arguments.replaces);
    if (!options.replaces)
      return failure("--replaces \"" + arguments.replaces +
                     "\": not a machine id (32 hexadecimal digits, as in /etc/machine-id)");
  }
  options.run_dir = arguments.run_dir;
  options.socket =
      arguments.socket.empty() ? arguments.run_dir + "/keeper.sock" : arguments.socket;
  return options;
}

}  // namespace

Result<std::variant<Options, Answer>> parse_options(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--help" || word == "-h") return Answer{kHelp};
    if (word == "--version") return Answer{"wardom-keeper " WARDOM_VERSION "\n"};
    std::string* into = word == "--config"    ? &arguments.config
                        : word == "--host"    ? &arguments.host
                        : word == "--socket"  ? &arguments.socket
                        : word == "--run-dir" ? &arguments.run_dir
                        : word == "--measurement" ? &arguments.measurement
                        : word == "--replaces"    ? &arguments.replaces
                                              : nullptr;
    if (into == nullptr)
      return failure("unknown argument \"" + std::string(word) + "\"; see --help");
    if (i + 1 == argc) return failure(std::string(word) + " needs a value; see --help");
    *into = argv[++i];
  }
  auto options = configured(arguments);
  if (!options) return failure(options.error().message);
  return std::move(options).value();
}

}  // namespace wardom::keeper
