#include "ocf/hostguard_agent.hpp"
#include "ocf/metadata.hpp"

namespace wardom::ocf {
namespace {

constexpr Parameter kParameters[] = {
    {"config", R"(reloadable="1")", "string", "/etc/wardom/wardom.toml", "wardom.toml",
     "Absolute path of the cluster's wardom.toml."},
    {"socket", R"(reloadable="1")", "string", "/run/wardom/wardomd.sock", "wardomd's socket",
     "Control socket of the local wardomd."},
    {"supervise", R"(reloadable="1")", "string", "auto", "Who keeps the daemons running",
     "yes: a supervisor of this agent starts wardom-keeper and wardomd, and starts again what "
     "dies; it goes on when the resource is stopped. no: somebody else does. auto: yes where no "
     "systemd runs."},
    {"bindir", R"(reloadable="1")", "string", "/usr/sbin", "Directory of the programs",
     "Directory of wardom-keeper, wardomd and fence_wardom."},
    {"logfile", R"(reloadable="1")", "string", "/var/log/wardom.log", "The supervisor's log",
     "Where the daemons' words go when they are supervised. It is moved to .old at a start of the "
     "supervisor once it is longer than 16 MiB."},
    {"attributes", R"(reloadable="1")", "boolean", "true", "Whether node attributes are set",
     "Whether the node attributes wardom-state (Wardom's word for this host) and #health-wardom "
     "(green, yellow, red) are kept up to date. They are removed by a stop."},
    {"bmc", R"(reloadable="1")", "boolean", "true", "Whether this host's own BMC is asked",
     "Whether the monitor with OCF_CHECK_LEVEL 20 asks this host's own BMC. Say no where a host "
     "cannot reach its own BMC, as with a network port that both share."},
};

constexpr About kAbout{
    "HostGuard",
    "Watches Wardom on a host",
    "What makes a host one of Wardom's: a clone, one instance a host. Checks the host, sees that "
    "wardom-keeper and wardomd run, and shows to Pacemaker how they stand. They start at boot by "
    "themselves; this resource stops neither, so it can be stopped, moved and upgraded while "
    "guests run. A monitor fails where this host's guests are lost or about to be, and is degraded "
    "(190) for anything else. Put no mandatory ordering between it and guests, and give it the "
    "meta attribute allow-unhealthy-nodes=true where node-health-strategy is used.",
    kParameters,
    R"(<action name="start" timeout="60s"/>
<action name="stop" timeout="20s"/>
<action name="monitor" timeout="20s" interval="10s" depth="0"/>
<action name="monitor" timeout="30s" interval="60s" depth="10"/>
<action name="monitor" timeout="60s" interval="300s" depth="20"/>
<action name="reload-agent" timeout="10s"/>
<action name="validate-all" timeout="10s"/>
<action name="meta-data" timeout="5s"/>
)"};

}  // namespace

std::string hostguard_metadata() { return metadata(kAbout); }

}  // namespace wardom::ocf
