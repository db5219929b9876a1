"""What the benchmarks share: a lab, power cuts in it, and sums of samples."""

from __future__ import annotations

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOOK_S = 0.05
RECOVERY_LIMIT_S = 90.0
REJOIN_LIMIT_S = 120.0
SETTLE_SAMPLES = 5  # looks in a row at which everything must be as it should


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Lab:
    """One lab of its own name; every method is one command of scripts/lab."""

    def __init__(self, stack: str, hosts: int, guests: int, *more: str) -> None:
        self.name = f"bench{os.getpid()}{stack}"
        self.stack = stack
        self.pacemaker = stack == "stock" or "--pacemaker" in more
        try:
            self.run("up", "--stack", stack, "--hosts", str(hosts), "--guests", str(guests), *more)
        except RuntimeError:
            self.run("down", check=False)
            raise

    def run(self, *arguments: str, check: bool = True, stdin: str = "") -> str:
        argv = [str(ROOT / "scripts/lab"), "--name", self.name, *arguments]
        done = subprocess.run(argv, text=True, capture_output=True, check=False, input=stdin)
        if check and done.returncode != 0:
            raise RuntimeError(f"`lab {' '.join(arguments)}` ended with {done.returncode}: "
                               f"{done.stderr.strip()}")
        return done.stdout

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, *_: object) -> None:
        self.run("down", check=False)

    def guests(self) -> list[dict]:
        return json.loads(self.run("guests", "--json"))

    def hosts(self) -> list[dict]:
        return json.loads(self.run("status", "--json"))["hosts"]

    def events(self) -> list[dict]:
        return json.loads(self.run("recorder", "--json"))


def wait_until(what: str, limit_s: float, condition, in_a_row: int = 1) -> None:
    deadline = time.monotonic() + limit_s
    seen = 0
    while seen < in_a_row:
        seen = seen + 1 if condition() else 0
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not within {limit_s:g} s")
        time.sleep(LOOK_S)


def all_count(lab: Lab) -> bool:
    return all(g["counting"] and len(g["running_on"]) == 1 for g in lab.guests())


def rejoined(lab: Lab, victim: str) -> bool:
    """The host is a full member again: the next cut finds the cluster as the first one did."""
    if lab.stack == "wardom":
        text = lab.run("exec", victim, "wardomctl", "status", "--json", check=False)
        try:
            status = json.loads(text)
        except ValueError:
            return False
        if status["decider"] is None or any(h["state"] != "alive" for h in status["hosts"]):
            return False
    if not lab.pacemaker:
        return True
    text = lab.run("exec", victim, "crm_mon", "--output-as=xml", check=False)
    hosts = len(lab.hosts())
    return text.count('online="true"') >= hosts and 'pending="true"' not in text


def down_times(lab: Lab, victim: str, affected: set[str]) -> dict[str, float]:
    """Seconds from the power cut to each affected guest's first write on another host."""
    events = lab.events()
    cut = max(e["t_ms"] for e in events if e["event"] == "power cut" and e["host"] == victim)
    return {e["guest"]: (e["t_ms"] - cut) / 1000 for e in events
            if e["event"] == "boot changed" and e["t_ms"] >= cut and e["guest"] in affected}


def guests_by_host(lab: Lab) -> dict[str, set[str]]:
    by_host: dict[str, set[str]] = {}
    for guest in lab.guests():
        by_host.setdefault(guest["running_on"][0], set()).add(guest["guest"])
    return by_host


def cut_fullest(lab: Lab) -> list[float]:
    """Cuts the host with the most guests; seconds until each of them runs elsewhere."""
    by_host = guests_by_host(lab)
    return cut_host(lab, max(sorted(by_host), key=lambda host: len(by_host[host])))


def cut_host(lab: Lab, victim: str) -> list[float]:
    """Seconds until each of its guests runs elsewhere; afterwards everything is as before."""
    affected = guests_by_host(lab)[victim]
    lab.run("cut", victim)
    wait_until(f"recovery of {victim}", RECOVERY_LIMIT_S,
               lambda: affected <= set(down_times(lab, victim, affected)))
    times = down_times(lab, victim, affected)
    wait_until("all guests counting", RECOVERY_LIMIT_S, lambda: all_count(lab))
    if any(e["event"] == "two writers" for e in lab.events()):
        raise RuntimeError("two writers: a guest ran on two hosts")
    tell(f"{lab.stack}: {victim} cut, {len(affected)} guests, last after {max(times.values()):.2f} s")
    lab.run("power", victim, "on")
    wait_until(f"return of {victim}", REJOIN_LIMIT_S, lambda: rejoined(lab, victim),
               SETTLE_SAMPLES)
    return list(times.values())


def summary(samples: list[float]) -> dict:
    return {"n": len(samples), "min_s": round(min(samples), 3),
            "median_s": round(statistics.median(samples), 3), "max_s": round(max(samples), 3),
            "samples_s": [round(s, 3) for s in samples]}


def process_cost(pid: int) -> tuple[float, float]:
    """CPU seconds used so far, and resident MiB."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12])
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    rss = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return ticks / os.sysconf("SC_CLK_TCK"), rss / 1024
