#include "ocf/guest_agent.hpp"
#include "ocf/metadata.hpp"

namespace wardom::ocf {
namespace {

constexpr Parameter kParameters[] = {
    {"guest", R"(unique-group="guest")", "string", nullptr, "Name or UUID of the guest",
     "Name or UUID of the guest, as libvirt knows it. Needed unless config is given."},
    {"config", R"(unique-group="config")", "string", nullptr, "File with the guest's XML",
     "Absolute path of a file with the guest's libvirt XML, with its uuid, the same on all hosts. "
     "The guest is started with what stands there. Without it, the guest is started with what is "
     "recorded on the state volume, changes made by virsh included."},
    {"hypervisor", R"(reloadable="1")", "string", "qemu:///system", "libvirt's URI",
     "Accepted for resources that were made for VirtualDomain: qemu:///system and nothing else."},
    {"force_stop", R"(reloadable="1")", "boolean", "false", "Kill instead of shutting down",
     "Whether a stop kills the guest at once. Otherwise the guest is asked to shut down, and "
     "killed 20 seconds before the stop's timeout."},
    {"isolation", R"(reloadable="1")", "string", nullptr, "What happens on an isolated host",
     "What becomes of the guest on a host that stands apart while others go on: leave, shutdown or "
     "kill. Default: as wardom.toml says."},
    {"waive", R"(reloadable="1")", "string", nullptr, "Host-local things that are accepted",
     "Things of one host that the guest's XML names, and that exist on all hosts all the same, as "
     "`wardomctl guest protect` prints them, separated by spaces."},
    {"socket", R"(reloadable="1")", "string", "/run/wardom/wardomd.sock", "wardomd's socket",
     "Control socket of the local wardomd."},
};

constexpr About kAbout{
    "Guest",
    "Runs a libvirt/KVM guest through Wardom",
    "Runs a libvirt/KVM guest through Wardom, which starts it on a host only when it is proved "
    R"(that no
other host runs it: Pacemaker chooses the host, and each start is assigned and claimed on the state
volume. A monitor asks wardomd, forks nothing and never waits for libvirt. Fence hosts with
fence_wardom, or with anything else: what Pacemaker believes of a host is no proof for Wardom.

With meta allow-migrate=true the guest is moved live, if wardom.toml has a [migration]. A node is
called as its host is in wardom.toml. Give the operation migrate_to on-fail=block, and a timeout
that is long enough for the guest's memory: a migration that fails leaves the guest running where it
was, and without on-fail=block Pacemaker stops it there and starts it anew on the other node.)",
    kParameters,
    R"(<action name="start" timeout="90s"/>
<action name="stop" timeout="90s"/>
<action name="migrate_to" timeout="120s"/>
<action name="migrate_from" timeout="60s"/>
<action name="monitor" timeout="20s" interval="10s" depth="0"/>
<action name="reload-agent" timeout="10s"/>
<action name="validate-all" timeout="10s"/>
<action name="meta-data" timeout="5s"/>
)"};

}  // namespace

std::string guest_metadata() { return metadata(kAbout); }

}  // namespace wardom::ocf
