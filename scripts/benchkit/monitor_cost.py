"""What Pacemaker's calls of the agents cost: one call, and those of a hundred guests."""

from __future__ import annotations

import json
import os
import pathlib
import re
import statistics
import time

from labkit.configs import GUEST_XML_DIR

from . import managed
from .lab import REJOIN_LIMIT_S, Lab, process_cost, tell

AGENTS = "/usr/lib/ocf/resource.d"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
INTERVAL_S = 10  # of the monitors, as both agents' metadata have it
SETTLE_S = 5.0
LOOK_S = 2.0
PEER = "peer"

CPU_MS, WALL_MS, TIMES_LESS, CORES = 5.0, 15.0, 40.0, 0.1  # what has to be reached


def peer_primitive(guest: str) -> str:
    """VirtualDomain on a guest of ours: it looks, and has no say."""
    name = f"{PEER}-{guest}"
    return managed.primitive(
        name, "ocf:heartbeat:VirtualDomain",
        {"config": f"{GUEST_XML_DIR}/{guest}.xml", "hypervisor": "qemu:///system"},
        {"is-managed": "false"}, managed.operation(name, "monitor", f"{INTERVAL_S}s", "30s"))


def environment(instance: str, agent: str, parameters: dict[str, str]) -> dict[str, str]:
    """As Pacemaker's executor gives it to a recurring monitor."""
    provider, kind = agent.split("/")
    return {"PATH": PATH, "OCF_ROOT": "/usr/lib/ocf", "OCF_RA_VERSION_MAJOR": "1",
            "OCF_RA_VERSION_MINOR": "1", "OCF_RESOURCE_INSTANCE": instance,
            "OCF_RESOURCE_PROVIDER": provider, "OCF_RESOURCE_TYPE": kind,
            "OCF_EXIT_REASON_PREFIX": "ocf-exit-reason:", "OCF_OUTPUT_FORMAT": "text",
            "OCF_RESKEY_CRM_meta_name": "monitor", "OCF_RESKEY_CRM_meta_timeout": "30000",
            "OCF_RESKEY_CRM_meta_interval": str(INTERVAL_S * 1000),
            "OCF_RESKEY_crm_feature_set": "3.16.1", "HA_RSCTMP": "/run/resource-agents",
            **{f"OCF_RESKEY_{name}": value for name, value in parameters.items()}}


def cost_of(name: str, calls: list[list[float]]) -> dict:
    failed = [code for _, _, code in calls if code != 0]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(calls)} calls of {name} failed, one with "
                           f"{failed[0]}")
    cpu, wall = ([1000 * call[i] for call in calls] for i in (0, 1))
    return {"n": len(calls),
            **{f"{what}_ms": {"min": round(min(ms), 2), "median": round(statistics.median(ms), 2),
                              "max": round(max(ms), 2)} for what, ms in (("cpu", cpu),
                                                                         ("wall", wall))}}


def one_call(lab: Lab, calls: int) -> dict:
    """Guest's monitor against VirtualDomain's of the same guest, in turns. `true` shows what a
    process costs that does nothing."""
    guest = next(entry["guest"] for entry in lab.guests() if entry["running_on"] == ["n1"])
    lab.run("exec", "n1", "cibadmin", "--create", "--scope", "resources", "--xml-pipe",
            stdin=peer_primitive(guest))
    managed.settle(lab, "n1")
    programs = {
        "Guest": {"argv": [f"{AGENTS}/wardom/Guest", "monitor"],
                  "env": environment(managed.resource(guest), "wardom/Guest", {"guest": guest})},
        "VirtualDomain": {
            "argv": [f"{AGENTS}/heartbeat/VirtualDomain", "monitor"],
            "env": environment(f"{PEER}-{guest}", "heartbeat/VirtualDomain",
                               {"config": f"{GUEST_XML_DIR}/{guest}.xml",
                                "hypervisor": "qemu:///system"})},
        "true": {"argv": ["/bin/true"], "env": {"PATH": PATH}}}
    tell(f"monitors of {guest}: {calls} calls each")
    source = pathlib.Path(__file__).with_name("one_call.py").read_text()
    asked = {"rounds": calls, "programs": programs}
    said = json.loads(lab.run("exec", "n1", "python3", "-I", "-c", source, json.dumps(asked)))
    lab.run("exec", "n1", "cibadmin", "--delete", "--scope", "resources", "--xml-text",
            f'<primitive id="{PEER}-{guest}"/>')
    costs = {name: cost_of(name, found) for name, found in said.items()}
    ours, theirs = costs["Guest"], costs["VirtualDomain"]
    times_less = theirs["cpu_ms"]["median"] / ours["cpu_ms"]["median"]
    return {"measures": "one monitor as a whole process with its children, by wait4; medians",
            "calls": costs, "times_less_cpu": round(times_less, 1),
            "cores_of_100_guests_by_that": {
                name: round(costs[name]["cpu_ms"]["median"] / 1000 * 100 / INTERVAL_S, 3)
                for name in ("Guest", "VirtualDomain")},
            "targets": {
                "cpu_ms": target(CPU_MS, ours["cpu_ms"]["median"]),
                "wall_ms": target(WALL_MS, ours["wall_ms"]["median"]),
                "times_less_cpu": target(TIMES_LESS, round(times_less, 1), at_least=True)}}


def target(limit: float, reached: float, at_least: bool = False) -> dict:
    return {"at_least" if at_least else "at_most": limit, "is": reached,
            "reached": reached >= limit if at_least else reached <= limit}


# --- a hundred guests ----------------------------------------------------------------------------


def processes(lab: Lab) -> dict[str, list[int]]:
    """Of each of these programs the processes on the lab's hosts."""
    namespaces = {os.readlink(f"/proc/{host['pid']}/ns/pid") for host in lab.hosts()}
    found: dict[str, list[int]] = {"pacemaker-execd": [], "pacemaker-fenced": [], "wardomd": []}
    for entry in pathlib.Path("/proc").iterdir():
        try:
            name = pathlib.Path(os.readlink(entry / "exe")).name if entry.name.isdigit() else ""
            if name in found and os.readlink(entry / "ns/pid") in namespaces:
                found[name].append(int(entry.name))
        except OSError:  # it has ended
            continue
    hosts = len(lab.hosts())
    if any(len(pids) != hosts for pids in found.values()):
        raise RuntimeError(f"not one of each on each of {hosts} hosts: {found}")
    return found


def children_cost(pid: int) -> float:
    """CPU seconds of the children that it has waited for, and of theirs."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def costs(pids: dict[str, list[int]]) -> dict[str, float]:
    return {"agents": sum(map(children_cost, pids["pacemaker-execd"] + pids["pacemaker-fenced"])),
            "executors": sum(process_cost(pid)[0] for pid in pids["pacemaker-execd"]),
            "wardomd": sum(process_cost(pid)[0] for pid in pids["wardomd"])}


def cores(pids: dict[str, list[int]], seconds: float) -> dict[str, float]:
    """Share of one core that each takes, all hosts together."""
    before, began = costs(pids), time.monotonic()
    time.sleep(seconds)
    after, span = costs(pids), time.monotonic() - began
    return {name: round((after[name] - before[name]) / span, 4) for name in after}


def maintenance(lab: Lab, on: bool) -> None:
    """In it Pacemaker calls no agent."""
    lab.run("exec", "n1", "crm_attribute", "--name", "maintenance-mode", "--update",
            str(on).lower())
    managed.settle(lab, "n1")
    time.sleep(SETTLE_S)


def monitors(lab: Lab) -> int:
    """Guests whose recurring monitor Pacemaker has seen succeed."""
    status = lab.run("exec", "n1", "cibadmin", "--query", "--scope", "status")
    ops = re.findall(rf'<lrm_rsc_op id="vm-[^"]*_monitor_{INTERVAL_S * 1000}"[^>]*>', status)
    return sum('rc-code="0"' in op for op in ops)


def await_monitors(lab: Lab, count: int) -> None:
    """Asked seldom: the answer is long."""
    deadline = time.monotonic() + REJOIN_LIMIT_S
    while monitors(lab) != count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {REJOIN_LIMIT_S:g} s: the monitors of {count} guests")
        time.sleep(LOOK_S)


def hundred(lab: Lab, seconds: float) -> dict:
    """All of Pacemaker's calls into us. What the executors and the fencers have waited for are our
    agents alone; what wardomd spends on answers is the difference to a time without calls. A peer
    is not run: a hundred VirtualDomains take more than two processors."""
    guests = [entry["guest"] for entry in lab.guests()]
    pids = processes(lab)
    await_monitors(lab, len(guests))
    time.sleep(SETTLE_S)
    tell(f"{len(guests)} guests: {seconds:g} s with Pacemaker's calls, {seconds:g} s without")
    called = cores(pids, seconds)
    maintenance(lab, True)
    idle = cores(pids, seconds)
    maintenance(lab, False)
    await_monitors(lab, len(guests))
    result = {"guests": len(guests), "interval_s": INTERVAL_S, "window_s": seconds,
              "measures": "cores, all hosts together. agents: children of pacemaker-execd and "
                          "pacemaker-fenced; wardomd: what it takes with the calls more than "
                          "without them; executors: pacemaker-execd itself, part of no target",
              "with_calls": called, "without_calls": idle}
    answers = max(0.0, called["wardomd"] - idle["wardomd"])
    cost = round(called["agents"] - idle["agents"] + answers, 4)
    result["cores"] = {"agents": round(called["agents"] - idle["agents"], 4),
                       "wardomd": round(answers, 4), "together": cost}
    result["targets"] = {"cores": target(CORES, cost)}
    return result
