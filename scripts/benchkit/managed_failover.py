"""Power cuts under Pacemaker: Guest, fence_wardom and Wardom's quorum device against the stock stack."""

from __future__ import annotations

import re
import statistics
import time

from . import managed
from .lab import Lab, cut_host, guests_by_host, summary, tell
from .monitor_cost import target

TIMES_FASTER = 2.0
# Hosts of the lab boot in two seconds, and fencing boots them: not amid the recovery (labkit/up.py).
POST_S = "30"

STEPS = {
    "token": ("corosync", "A processor failed, forming new configuration"),
    "consensus": ("corosync", "A new membership ("),
    "votes": ("corosync", "Completed service synchronization"),
    "Pacemaker, until it asks for fencing": ("pacemaker-detail", "Requesting fencing ("),
    "fencing": ("pacemaker-detail", "was terminated ("),
    "Pacemaker, until the first start": ("pacemaker-detail", "Requesting local execution of start "
                                         "operation for "),
}
FIRST, LAST = "start, until the first guest writes", "the other guests"
STAMP = re.compile(r"^(\w{3} +\d+ \d\d:\d\d:\d\d)\.(\d{3}) ")


def stamp_of(line: str, year: int) -> float | None:
    """Seconds since the epoch; corosync and Pacemaker leave out the year."""
    found = STAMP.match(line)
    if found is None:
        return None
    when = time.strptime(f"{year} {found.group(1)}", "%Y %b %d %H:%M:%S")
    return time.mktime(when) + int(found.group(2)) / 1000


def marks(lab: Lab, survivors: list[str], since: float, starts: list[str]) -> dict[str, float]:
    """When each step ended, in their order; the first on any host."""
    year = time.localtime(since).tm_year
    lines: dict[str, list[tuple[float, str]]] = {}
    for service in {service for service, _ in STEPS.values()}:
        found = [(at, line) for host in survivors
                 for line in lab.run("log", host, service).splitlines()
                 if (at := stamp_of(line, year)) is not None and at >= since]
        lines[service] = sorted(found)
    ended: dict[str, float] = {}
    last = since
    for step, (service, words) in STEPS.items():
        for at, line in lines[service]:
            about = not step.endswith("start") or any(f"for {name} on" in line for name in starts)
            if at >= last and words in line and about:
                ended[step] = last = at
                break
    return ended


def one_cut(lab: Lab) -> dict:
    by_host = guests_by_host(lab)
    victim = max(sorted(by_host), key=lambda host: len(by_host[host]))
    survivors = [host["name"] for host in lab.hosts() if host["name"] != victim]
    resources = [managed.resource(guest) if lab.stack == "wardom" else guest
                 for guest in by_host[victim]]
    decides = managed.coordinator(lab, survivors[0]) == victim
    times = cut_host(lab, victim)
    cut = max(e["t_ms"] for e in lab.events()
              if e["event"] == "power cut" and e["host"] == victim) / 1000
    steps, last = {}, cut
    for step, at in {**marks(lab, survivors, cut, resources), FIRST: cut + min(times),
                     LAST: cut + max(times)}.items():
        steps[step] = round(max(0.0, at - last), 3)
        last = max(last, at)
    missing = [step for step in STEPS if step not in steps]
    if missing:
        raise RuntimeError(f"{lab.stack}: no word in the logs of {', '.join(missing)}")
    managed.settle(lab, survivors[0])
    return {"first_s": min(times), "last_s": max(times), "guests": len(times),
            "coordinator": decides, "steps_s": steps}


def lab_of(kind: str, hosts: int, guests: int) -> Lab:
    if kind == "stock":
        return Lab("stock", hosts, guests, "--post-s", POST_S)
    lab = Lab("wardom", hosts, guests, "--pacemaker", "--post-s", POST_S)
    try:
        managed.manage(lab)
    except RuntimeError:
        lab.run("down", check=False)
        raise
    return lab


def told(cuts: list[dict]) -> dict:
    steps = {step: round(statistics.median(cut["steps_s"][step] for cut in cuts), 3)
             for step in (*STEPS, FIRST, LAST)}
    return {"first_guest": summary([cut["first_s"] for cut in cuts]),
            "last_guest": summary([cut["last_s"] for cut in cuts]),
            "cuts_of_the_coordinator": sum(cut["coordinator"] for cut in cuts),
            "where_the_time_goes_s": steps}


def failover(hosts: int, guests: int, rounds: int, cuts: int) -> dict:
    """Labs of both kinds in turns, several cuts in each: always of the host with the most guests."""
    samples: dict[str, list[dict]] = {"wardom": [], "stock": []}
    for _ in range(rounds):
        for kind, found in samples.items():
            tell(f"{kind}, under Pacemaker: a lab of {hosts} hosts and {guests} guests")
            with lab_of(kind, hosts, guests) as lab:
                for _ in range(cuts):
                    found.append(one_cut(lab))
    stacks = {kind: told(found) for kind, found in samples.items()}
    ratios = {which: round(stacks["stock"][which]["median_s"]
                           / stacks["wardom"][which]["median_s"], 2)
              for which in ("first_guest", "last_guest")}
    return {"hosts": hosts, "guests": guests, "token_ms": 1000,
            "measures": "seconds from the power cut to an affected guest's first write on another "
                        "host; steps: medians of each, so that their sum is not that of the whole",
            "stacks": stacks,
            "targets": {f"times_faster_{which}": target(TIMES_FASTER, ratio, at_least=True)
                        for which, ratio in ratios.items()}}
