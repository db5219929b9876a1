"""Pacemaker: its configuration, which is on every host's disk before it starts for the first time,
so that nobody waits for a command line to load it; and what it says.

Beside Wardom it has one resource, which does nothing: where that runs Pacemaker acts. It fences
nobody there.
"""

from __future__ import annotations

import dataclasses
import os
import pwd
from html import escape
from xml.etree import ElementTree

from . import errors, host as hosts, run
from .layout import Host, Lab

RESOURCE = "acts"
START_LIMIT_S = 90.0
CRM_MON = ["crm_mon", "--one-shot", "--output-as=xml"]


def nvpairs(owner: str, pairs: dict[str, object]) -> str:
    return "".join(f'<nvpair id="{owner}-{name}" name="{name}" value="{escape(str(value))}"/>'
                   for name, value in pairs.items())


def operations(owner: str, ops: list[tuple[str, str, str]]) -> str:
    return "<operations>" + "".join(
        f'<op id="{owner}-{name}" name="{name}" interval="{interval}" timeout="{timeout}"/>'
        for name, interval, timeout in ops) + "</operations>"


def cib(lab: Lab, fences: bool, resources: str, constraints: str = "") -> str:
    """The whole cluster configuration, one document. Only dc-deadtime is not Pacemaker's own: how
    long the very first start waits for other nodes, which plays no part in a failure."""
    options = nvpairs("cluster", {
        "cluster-infrastructure": "corosync", "cluster-name": lab.name,
        "stonith-enabled": "true" if fences else "false", "dc-deadtime": "2s"})
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


def cib_beside_wardom(lab: Lab) -> str:
    does_nothing = f'<primitive id="{RESOURCE}" class="ocf" provider="pacemaker" type="Dummy">'
    return cib(lab, False, does_nothing + operations(RESOURCE, [("monitor", "10s", "20s")])
               + "</primitive>")


def write_configuration(lab: Lab, text: str) -> None:
    owner = pwd.getpwnam("hacluster")
    for host in lab.hosts:
        path = lab.host_dir(host) / "disk/var/lib/pacemaker/cib/cib.xml"
        path.write_text(text)
        os.chown(path, owner.pw_uid, owner.pw_gid)
        path.chmod(0o600)


@dataclasses.dataclass(frozen=True)
class View:
    """What Pacemaker says on one host."""

    quorum: bool
    online: tuple[str, ...]
    acts_on: tuple[str, ...]  # where RESOURCE runs

    def whole(self, lab: Lab) -> bool:
        return self.quorum and len(self.online) == len(lab.hosts) and len(self.acts_on) == 1


def view(lab: Lab, host: Host) -> View | None:
    """None while it has no coordinator, or does not run."""
    done = hosts.execute(lab, host, CRM_MON, check=False)
    return parse(done.stdout) if done.returncode == 0 else None


def parse(text: str) -> View | None:
    try:
        said = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None
    coordinator = said.find("summary/current_dc")
    if coordinator is None or coordinator.get("present") != "true":
        return None
    online = tuple(node.get("name", "") for node in said.iterfind("nodes/node")
                   if node.get("online") == "true" and node.get("pending") == "false")
    runs = said.iterfind(f".//resource[@id='{RESOURCE}']/node")
    return View(coordinator.get("with_quorum") == "true", online,
                tuple(node.get("name", "") for node in runs))


def wait_whole(lab: Lab) -> None:
    """Until it says on every host that all are there and that it acts."""
    last: list[object] = []

    def whole() -> bool:
        last[:] = [view(lab, host) for host in lab.hosts]
        return all(isinstance(said, View) and said.whole(lab) for said in last)

    try:
        run.wait_for("Pacemaker with all hosts and quorum", whole, START_LIMIT_S, poll_s=0.3)
    except errors.LabError as error:
        raise errors.LabError(f"{error.what}: {last}", f"lab '{lab.name}'",
                              f"`lab log {lab.hosts[0].name} pacemaker`")
