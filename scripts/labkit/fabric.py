"""The fabric: one namespace with two bridges, into which every host plugs one cable per bridge.

Faults are made at the fabric's end of the cables and never inside a host: a host cannot undo them,
and they outlive its reboot, as a pulled cable does. A cable that is down carries nothing in either
direction; one-way faults and splits are nftables rules on the bridges.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator

from . import errors, flight, run
from .layout import LINKS, STORAGE_SERVER, Host, Lab, netns_path

# Leaf bridges of a switch that never loops: forwarding starts at once, nothing is learnt by
# listening to multicast.
BRIDGE_OPTIONS = "stp_state 0 forward_delay 0 mcast_snooping 0"
NO_IPV6 = ("for f in all default; do echo 1 > /proc/sys/net/ipv6/conf/$f/disable_ipv6; done "
           "2>/dev/null; true")


def create(lab: Lab) -> None:
    """The namespace, its bridges, and the addresses of the storage server and the BMCs."""
    run.command(["ip", "netns", "add", lab.fabric])
    run.command(run.in_netns(lab.fabric, ["sh", "-c", NO_IPV6]))
    lines = ["link set lo up"]
    for number, link in enumerate(LINKS):
        # A bridge without an address of its own takes one of its ports', and changes it when that
        # host goes: then nobody would reach the storage server any more.
        lines.append(f"link add name {link} address 02:77:00:01:{number:02x}:00 type bridge "
                     f"{BRIDGE_OPTIONS}")
        lines.append(f"link set dev {link} up")
    lines.append(f"address add {STORAGE_SERVER}/24 dev storage")
    lines += [f"address add {host.bmc}/24 dev mgmt" for host in lab.machines if lab.bmc]
    run.ip_batch(lab.fabric, lines)
    save_faults(lab, {"links": {}, "split": []})


def plug_in(lab: Lab, host: Host) -> None:
    """A fresh namespace and fresh cables for a host that is about to boot; the ports stay down.

    Fresh, because sockets of the host's former life may still wait in an old namespace to
    retransmit what a dead host must not send.
    """
    if netns_path(lab.netns(host)).exists():
        run.command(["ip", "netns", "del", lab.netns(host)])
    run.ip_batch(lab.fabric, [f"link del {host.port(link)}" for link in LINKS], force=True)
    run.command(["ip", "netns", "add", lab.netns(host)])
    run.command(run.in_netns(lab.netns(host), ["sh", "-c", NO_IPV6]))
    outside, inside = [], ["link set lo up"]
    for number, link in enumerate(LINKS):
        # The address of a network card does not change when its host reboots: the others'
        # neighbour tables stay right.
        mac = f"02:77:00:00:{number:02x}:{host.id:02x}"
        outside.append(f"link add {host.port(link)} type veth peer name {link} "
                       f"address {mac} netns {lab.netns(host)}")
        outside.append(f"link set dev {host.port(link)} master {link}")
        inside.append(f"address add {host.address(link)}/24 dev {link}")
        inside.append(f"link set dev {link} up")
    run.ip_batch(lab.fabric, outside)
    run.ip_batch(lab.netns(host), inside)


def connect(lab: Lab, host: Host, *, may_boot: bool = False) -> None:
    """Bring a running host's ports to what its cables' faults allow. One that has just got power may
    not have plugged them in yet: it does this itself when it has."""
    faults = load_faults(lab)["links"].get(host.name, {})
    run.ip_batch(lab.fabric, [
        f"link set dev {host.port(link)} {'down' if faults.get(link) == 'down' else 'up'}"
        for link in LINKS], force=may_boot)


# --- faults --------------------------------------------------------------------------------------


def load_faults(lab: Lab) -> dict:
    """`links`: host -> link -> "down" | "in" | "out" (what is blocked); `split`: groups."""
    return json.loads((lab.dir / "faults.json").read_text())


def save_faults(lab: Lab, faults: dict) -> None:
    temporary = lab.dir / "faults.json.new"
    temporary.write_text(json.dumps(faults))
    os.replace(temporary, lab.dir / "faults.json")


def set_link(lab: Lab, host: Host, link: str, up: bool, one_way: str | None) -> None:
    if up and one_way:
        raise errors.usage("--one-way goes with `down`", f"link {host.name} {link}",
                           "`link HOST LINK up` heals both directions")
    faults = load_faults(lab)
    of_host = faults["links"].setdefault(host.name, {})
    if up:
        of_host.pop(link, None)
    else:
        of_host[link] = one_way or "down"
    apply(lab, faults)
    flight.note(lab, f"link {link} {'up' if up else of_host[link]}", host=host.name)


def set_split(lab: Lab, groups: list[list[str]]) -> None:
    seen: set[str] = set()
    for name in [name for group in groups for name in group]:
        lab.host(name)
        if name in seen:
            raise errors.usage(f"host {name} is in two groups", "split")
        seen.add(name)
    faults = load_faults(lab)
    faults["split"] = groups
    apply(lab, faults)
    flight.note(lab, "split", detail="|".join(",".join(group) for group in groups))


def heal(lab: Lab) -> None:
    apply(lab, {"links": {}, "split": []})
    flight.note(lab, "heal")


def apply(lab: Lab, faults: dict) -> None:
    """Make the fabric what the faults say. Rules first: nothing leaks while a port comes up."""
    run.command(run.in_netns(lab.fabric, ["nft", "-f", "-"]), stdin=rules(lab, faults))
    save_faults(lab, faults)
    for host in lab.machines:
        with host_lock(lab, host):
            # The ports of a host without power stay down, whatever is done to its cables.
            if is_powered(lab, host):
                connect(lab, host, may_boot=True)


def rules(lab: Lab, faults: dict) -> str:
    """The ruleset of the fabric's bridges; one atomic replacement."""
    from_host, to_host, between = [], [], []
    for name, links in faults["links"].items():
        for link, blocked in links.items():
            port = lab.host(name).port(link)
            if blocked == "out":
                from_host.append(f'iifname "{port}" drop')
            elif blocked == "in":
                to_host.append(f'oifname "{port}" drop')
    groups = [[lab.host(name).port(link) for name in group for link in LINKS]
              for group in faults["split"]]
    for one in groups:
        for other in groups:
            if one is not other:
                between.append(f"iifname {port_set(one)} oifname {port_set(other)} drop")
    chains = [("from_host", "prerouting", from_host), ("to_host", "postrouting", to_host),
              ("between", "forward", between)]
    text = "table bridge lab\ndelete table bridge lab\ntable bridge lab {\n"
    for chain, hook, lines in chains:
        text += f" chain {chain} {{\n  type filter hook {hook} priority -300;\n"
        text += "".join(f"  {line}\n" for line in lines) + " }\n"
    return text + "}\n"


def port_set(ports: list[str]) -> str:
    return "{ " + ", ".join(f'"{port}"' for port in ports) + " }"


# --- power, as the fabric needs to know it -------------------------------------------------------


@contextlib.contextmanager
def host_lock(lab: Lab, host: Host) -> Iterator[None]:
    """Keeps a boot, a power cut and a cable change of one host apart (also against chassis.sh)."""
    descriptor = os.open(lab.host_dir(host) / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_powered(lab: Lab, host: Host) -> bool:
    try:
        return (lab.host_dir(host) / "power").read_text().strip() == "1"
    except FileNotFoundError:
        return False
