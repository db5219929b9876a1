"""The peer: Pacemaker with ocf:heartbeat:VirtualDomain and fence_ipmilan, as its manuals say.

The cluster's configuration is on every host's disk before Pacemaker starts for the first time, so
that nobody waits for a command line to load it. Timeouts and intervals are the agents' own advice;
nothing is tuned against the peer, only dc-deadtime (how long the very first start waits for other
nodes), which plays no part in a failure.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from html import escape

from . import errors, host as hosts, run, services
from .configs import GUEST_XML_DIR
from .layout import BMC_CIPHER_SUITE, BMC_PASSWORD, BMC_USER, Lab

START_LIMIT_S = 120.0
SETTLE_LIMIT_S = 60


def nvpairs(owner: str, pairs: dict[str, object]) -> str:
    return "".join(f'<nvpair id="{owner}-{name}" name="{name}" value="{escape(str(value))}"/>'
                   for name, value in pairs.items())


def operations(owner: str, ops: list[tuple[str, str, str]]) -> str:
    return "<operations>" + "".join(
        f'<op id="{owner}-{name}" name="{name}" interval="{interval}" timeout="{timeout}"/>'
        for name, interval, timeout in ops) + "</operations>"


def fence_device(lab: Lab) -> str:
    """One fence_ipmilan per host, kept off the host that it fences."""
    text = ""
    for host in lab.hosts:
        name = f"fence-{host.name}"
        attributes = nvpairs(name, {
            "ip": host.bmc, "username": BMC_USER, "password": BMC_PASSWORD, "lanplus": 1,
            "cipher": BMC_CIPHER_SUITE, "pcmk_host_list": host.name})
        text += (f'<primitive id="{name}" class="stonith" type="fence_ipmilan">'
                 f'<instance_attributes id="{name}-attributes">{attributes}</instance_attributes>'
                 + operations(name, [("monitor", "60s", "20s")]) + "</primitive>")
    return text


def virtual_domain(name: str) -> str:
    attributes = nvpairs(name, {"config": f"{GUEST_XML_DIR}/{name}.xml",
                                "hypervisor": "qemu:///system"})
    return (f'<primitive id="{name}" class="ocf" provider="heartbeat" type="VirtualDomain">'
            f'<instance_attributes id="{name}-attributes">{attributes}</instance_attributes>'
            + operations(name, [("monitor", "10s", "30s"), ("start", "0s", "90s"),
                                ("stop", "0s", "90s")]) + "</primitive>")


def cib(lab: Lab) -> str:
    """The whole cluster configuration, one document."""
    options = nvpairs("cluster", {
        "cluster-infrastructure": "corosync", "cluster-name": lab.name,
        "stonith-enabled": "true" if lab.bmc else "false", "dc-deadtime": "2s"})
    resources = "".join(virtual_domain(name) for name in lab.guests)
    constraints = ""
    if lab.bmc:
        resources = fence_device(lab) + resources
        constraints = "".join(
            f'<rsc_location id="keep-off-{h.name}" rsc="fence-{h.name}" score="-INFINITY" '
            f'node="{h.name}"/>' for h in lab.hosts)
    # Guests start where every stack has them; they may run anywhere else (a weak preference).
    constraints += "".join(
        f'<rsc_location id="home-{name}" rsc="{name}" score="10" '
        f'node="{lab.home_of(name).name}"/>' for name in lab.guests)
    nodes = "".join(f'<node id="{h.id}" uname="{h.name}"/>' for h in lab.hosts)
    defaults = nvpairs("resource-defaults", {"resource-stickiness": 100})
    return f"""\
<cib crm_feature_set="3.0.14" validate-with="pacemaker-3.0" epoch="1" num_updates="0" \
admin_epoch="1" cib-last-written="" have-quorum="0">
 <configuration>
  <crm_config><cluster_property_set id="cib-bootstrap-options">{options}</cluster_property_set>\
</crm_config>
  <nodes>{nodes}</nodes>
  <resources>{resources}</resources>
  <constraints>{constraints}</constraints>
  <rsc_defaults><meta_attributes id="resource-defaults">{defaults}</meta_attributes></rsc_defaults>
 </configuration>
 <status/>
</cib>
"""


def write_configuration(lab: Lab) -> None:
    owner = pwd.getpwnam("hacluster")
    text = cib(lab)
    for host in lab.hosts:
        path = lab.host_dir(host) / "disk/var/lib/pacemaker/cib/cib.xml"
        path.write_text(text)
        os.chown(path, owner.pw_uid, owner.pw_gid)
        path.chmod(0o600)


def start(lab: Lab, progress: Callable[[str], None]) -> None:
    progress("pacemaker")
    for host in lab.hosts:
        services.request(lab, host, "enable", "pacemaker")
    progress("guests under pacemaker")
    wait_running(lab)
    # First monitors and fence devices too: a fault injected now finds a cluster at rest.
    hosts.execute(lab, lab.hosts[0], ["crm_resource", "--wait", f"--timeout={SETTLE_LIMIT_S}"],
                  limit_s=SETTLE_LIMIT_S + 5)


def wait_running(lab: Lab) -> None:
    first = lab.hosts[0]
    last = [""]

    def all_run() -> bool:
        done = hosts.execute(lab, first, ["crm_mon", "--one-shot", "--as-xml"], check=False)
        last[0] = done.stdout or done.stderr
        return all(f'<resource id="{name}" resource_agent="ocf:heartbeat:VirtualDomain" '
                   f'role="Started"' in last[0] for name in lab.guests)

    try:
        run.wait_for("start of all guests by Pacemaker", all_run, START_LIMIT_S, poll_s=0.3)
    except errors.LabError as error:
        status = hosts.execute(lab, first, ["crm_mon", "--one-shot"], check=False).stdout
        raise errors.LabError(f"{error.what}\n{status}", f"host {first.name}",
                              f"`lab log {first.name} pacemaker`")
