"""The peer: Pacemaker with ocf:heartbeat:VirtualDomain and fence_ipmilan, as its manuals say.

Timeouts and intervals are the agents' own advice; nothing is tuned against the peer.
"""

from __future__ import annotations

from collections.abc import Callable

from . import errors, host as hosts, pacemaker, run, services
from .configs import GUEST_XML_DIR
from .layout import BMC_CIPHER_SUITE, BMC_PASSWORD, BMC_USER, Lab
from .pacemaker import nvpairs, operations

START_LIMIT_S = 120.0
SETTLE_LIMIT_S = 60


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


def write_configuration(lab: Lab) -> None:
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
    pacemaker.write_configuration(lab, pacemaker.cib(lab, lab.bmc, resources, constraints))


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
