"""Guests that Pacemaker manages, by ocf:wardom:Guest and fence_wardom, in a lab."""

from __future__ import annotations

from xml.etree import ElementTree

from labkit.pacemaker import nvpairs

from .lab import Lab

SETTLE_LIMIT_S = 240
# As libha/doc/guide.md has it: longer than the longest proof.
FENCE_PARAMETERS = {"power_timeout": 50, "pcmk_reboot_timeout": "90s", "pcmk_off_timeout": "90s"}
FENCING_LIMIT = "120s"
FENCE = "wardom"


def resource(guest: str) -> str:
    return f"vm-{guest}"


def operation(owner: str, name: str, interval: str, timeout: str, more: str = "",
              inside: str = "") -> str:
    return (f'<op id="{owner}-{name}-{interval}" name="{name}" interval="{interval}" '
            f'timeout="{timeout}" {more}>{inside}</op>')


def primitive(name: str, kind: str, parameters: dict[str, object], meta: dict[str, object],
              operations: str) -> str:
    """`kind` is class:provider:type, or class:type."""
    words = dict(zip(("class", "provider", "type") if kind.count(":") == 2 else ("class", "type"),
                     kind.split(":")))
    attributes = " ".join(f'{word}="{value}"' for word, value in words.items())
    return (f'<primitive id="{name}" {attributes}>'
            f'<instance_attributes id="{name}-attributes">{nvpairs(f"{name}-a", parameters)}'
            f'</instance_attributes>'
            f'<meta_attributes id="{name}-meta">{nvpairs(f"{name}-m", meta)}</meta_attributes>'
            f"<operations>{operations}</operations></primitive>")


def guest_primitive(guest: str) -> str:
    """With the operations of its metadata, but that a migration which cannot succeed is called back
    earlier. The lab's guests take no notice of a power button."""
    name = resource(guest)
    return primitive(
        name, "ocf:wardom:Guest", {"guest": guest, "force_stop": "true"}, {"allow-migrate": "true"},
        operation(name, "monitor", "10s", "20s") + operation(name, "start", "0s", "90s")
        + operation(name, "stop", "0s", "90s") + operation(name, "migrate_from", "0s", "60s")
        + operation(name, "migrate_to", "0s", "60s", 'on-fail="block"'))


def fence_primitive() -> str:
    return primitive(FENCE, "stonith:fence_wardom", FENCE_PARAMETERS, {},
                     operation(FENCE, "monitor", "60s", "20s"))


def guards_clone() -> str:
    """HostGuard with the operations of its metadata. The lab has a service manager of its own."""
    def deep(level: int) -> str:
        return (f'<instance_attributes id="guard-depth-{level}">'
                + nvpairs(f"guard-{level}", {"OCF_CHECK_LEVEL": level}) + "</instance_attributes>")

    return ('<clone id="guards"><meta_attributes id="guards-meta">'
            + nvpairs("guards", {"interleave": "true"}) + "</meta_attributes>"
            + primitive("guard", "ocf:wardom:HostGuard", {"supervise": "no"},
                        {"allow-unhealthy-nodes": "true"},
                        operation("guard", "monitor", "10s", "20s")
                        + operation("guard", "monitor", "60s", "30s", inside=deep(10))
                        + operation("guard", "monitor", "300s", "60s", inside=deep(20))
                        + operation("guard", "start", "0s", "60s")
                        + operation("guard", "stop", "0s", "20s"))
            + "</clone>")


def settle(lab: Lab, host: str) -> None:
    """Until Pacemaker has nothing more to do."""
    lab.run("exec", host, "crm_resource", "--wait", f"--timeout={SETTLE_LIMIT_S}")


def manage(lab: Lab, more: str = "", **settings: str) -> None:
    """All of the lab's guests become Pacemaker's, where they run, by what the guide says; they may
    run anywhere else, as the stock stack's (stack_stock.py). The lab's own resource goes."""
    homes = {entry["guest"]: entry["running_on"][0] for entry in lab.guests()}
    resources = fence_primitive() + more + "".join(map(guest_primitive, homes))
    constraints = "".join(
        f'<rsc_location id="home-{guest}" rsc="{resource(guest)}" score="10" node="{home}"/>'
        for guest, home in homes.items())
    options = nvpairs("cluster", {"stonith-enabled": "true", "stonith-timeout": FENCING_LIMIT,
                                  **{name.replace("_", "-"): value
                                     for name, value in settings.items()}})
    for scope, text in (
            ("crm_config", f'<crm_config><cluster_property_set id="cib-bootstrap-options">{options}'
                           "</cluster_property_set></crm_config>"),
            ("resources", f"<resources>{resources}</resources>"),
            ("constraints", f"<constraints>{constraints}</constraints>")):
        how = "--replace" if scope != "crm_config" else "--modify"
        lab.run("exec", "n1", "cibadmin", how, "--scope", scope, "--xml-pipe", stdin=text)
    settle(lab, "n1")


def located(lab: Lab, asked: str, guest: str) -> str:
    """Where Pacemaker has it run; empty if it has not."""
    return lab.run("exec", asked, "crm_resource", "--resource", resource(guest), "--locate",
                   "--quiet", check=False).strip()


def coordinator(lab: Lab, asked: str) -> str:
    """The host whose Pacemaker decides for all."""
    said = ElementTree.fromstring(lab.run("exec", asked, "crm_mon", "--output-as=xml"))
    found = said.find("summary/current_dc")
    return "" if found is None else found.get("name", "")
