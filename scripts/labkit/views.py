"""What the lab can say about its guests and hosts, from the outside only: disks and processes."""

from __future__ import annotations

import os
import time

from . import bmc, errors, fabric, guest, host as hosts, procs, recorder, run, services, storage
from .layout import Host, Lab

SAMPLE_S = 0.15
# A moment with two writers counts as present for this long after it was last seen.
TWO_WRITERS_MS = 2000


def qemu_processes(lab: Lab) -> dict[str, list[tuple[str, int, bool]]]:
    """guest -> (host, outer PID, was started for an incoming migration), frozen hosts included."""
    namespaces = {}
    for host in lab.machines:
        found = hosts.living(lab, host)
        if found:
            namespaces[found[1]] = host.name
    running: dict[str, list[tuple[str, int, bool]]] = {name: [] for name in lab.guests}
    for pid in procs.all_pids():
        host_name = namespaces.get(procs.namespace_of(pid, "pid"))
        if host_name is None:
            continue
        argv = arguments(pid)
        if not argv or not os.path.basename(argv[0]).startswith("qemu-system"):
            continue
        name = guest_of(argv)
        if name in running and procs.lives(pid):
            running[name].append((host_name, pid, "-incoming" in argv))
    return running


def arguments(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode(errors="replace").split("\0")
    except OSError:
        return []


def guest_of(argv: list[str]) -> str:
    """From libvirt's `-name guest=g1,debug-threads=on`; empty for its probing processes."""
    if "-name" not in argv:
        return ""
    value = argv[argv.index("-name") + 1]
    return value.split(",")[0].removeprefix("guest=")


def guests(lab: Lab) -> list[dict]:
    """See `guests --json` in the manual; takes SAMPLE_S to see whether counters move."""
    disks = [os.open(lab.disks / "guests" / name, os.O_RDONLY) for name in lab.guests]
    try:
        before = [guest.sample(disk) for disk in disks]
        time.sleep(SAMPLE_S)
        after = [guest.sample(disk) for disk in disks]
    finally:
        for disk in disks:
            os.close(disk)
    processes = qemu_processes(lab)
    changes = recorder.last_changes(lab) if lab.flight_state.exists() else [(0, 0, 0)] * len(disks)
    now_ms = run.now_ms()
    report = []
    for index, name in enumerate(lab.guests):
        moved_ms, two_writers_ms, count = changes[index]
        # A migration has two processes for a while, and its target's was started with -incoming;
        # two that were started on their own are two running copies.
        started = {host for host, _, incoming in processes[name] if not incoming}
        report.append({
            "guest": name,
            "counter": after[index].counter,
            "boot": f"{after[index].boot:016x}" if after[index].boot else None,
            "counting": after[index] != before[index],
            "running_on": sorted({host for host, _, _ in processes[name]}),
            "two_writers": len(started) > 1
            or (two_writers_ms > 0 and now_ms - two_writers_ms < TWO_WRITERS_MS),
            "two_writers_count": count,
            "since_ms": now_ms - moved_ms if moved_ms else None,
        })
    return report


def outer_pids(namespace: str) -> dict[int, int]:
    """Inner PID -> outer PID of a host's processes."""
    found = {}
    for pid in procs.in_namespaces("pid", {namespace}):
        try:
            with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
                inner = next(line for line in file if line.startswith("NSpid:")).split()[-1]
        except (OSError, StopIteration):
            continue
        found[int(inner)] = pid
    return found


def host_status(lab: Lab, host: Host) -> dict:
    found = hosts.living(lab, host)
    state: dict[str, dict] | None = None
    if found and not hosts.is_hung(lab, host):
        try:
            state = services.request(lab, host, "status")
        except errors.LabError:
            state = None  # still booting: unknown
    pids = outer_pids(found[1]) if found else {}
    for service in (state or {}).values():
        service["pid"] = pids.get(service.pop("inner_pid"))
    return {
        "name": host.name, "id": host.id, "domain": host.domain,
        "mgmt": host.address("mgmt"), "storage": host.address("storage"),
        "power": "on" if fabric.is_powered(lab, host) else "off",
        "hung": hosts.is_hung(lab, host),
        "pid": found[0] if found else None, "processes": len(pids),
        "bmc": {"address": host.bmc, "state": bmc.mode_of(lab, host)} if lab.bmc else None,
        "links": {link: fabric.load_faults(lab)["links"].get(host.name, {}).get(link, "up")
                  for link in ("mgmt", "storage")},
        "services": state,
    }


def status(lab: Lab) -> dict:
    return {
        "name": lab.name, "stack": lab.stack, "profile": lab.profile, "complete": lab.complete,
        "uptime_s": round((run.now_ms() - lab.started_ms) / 1000, 1),
        "directory": str(lab.dir),
        "hosts": [host_status(lab, host) for host in lab.machines],
        "split": fabric.load_faults(lab)["split"],
        "storage": storage.describe(lab),
        "recorder": recorder.is_running(lab),
        "guests": guests(lab),
    }


# --- for people ----------------------------------------------------------------------------------


def guests_text(report: list[dict]) -> str:
    lines = [f"{'GUEST':8} {'RUNS ON':12} {'COUNTER':>10} {'BOOT':>17}  STATE"]
    for entry in report:
        state = "counting" if entry["counting"] else (
            "never started" if entry["since_ms"] is None else
            f"silent for {entry['since_ms'] / 1000:.1f} s")
        if entry["two_writers"]:
            state += ", TWO WRITERS"
        lines.append(f"{entry['guest']:8} {','.join(entry['running_on']) or '-':12} "
                     f"{entry['counter']:>10} {entry['boot'] or '-':>17}  {state}")
    return "\n".join(lines)


def status_text(report: dict) -> str:
    lines = [f"lab {report['name']}: stack {report['stack']}, up {report['uptime_s']} s"
             + ("" if report["complete"] else ", NOT COMPLETE")]
    for entry in report["hosts"]:
        state = "hung" if entry["hung"] else entry["power"]
        links = " ".join(f"{name}:{value}" for name, value in entry["links"].items())
        state_of = entry["services"] or {}
        running = " ".join(name if service["ready"] else f"{name}(NOT READY)"
                           for name, service in state_of.items() if service["running"])
        machine = f" bmc:{entry['bmc']['state']}" if entry["bmc"] else ""
        lines.append(f"{entry['name']:4} {state:5} {entry['mgmt']:11} {links}{machine}  {running}")
    if report["split"]:
        lines.append("split " + " | ".join(",".join(group) for group in report["split"]))
    store = report["storage"]
    lines.append(f"storage {store['state']}" + (", ERRORS ON" if store["errors"] else ""))
    return "\n".join(lines) + "\n" + guests_text(report["guests"])
