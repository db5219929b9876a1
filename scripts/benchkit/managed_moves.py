"""`pcs resource move` of a guest that counts: live, with one writer, and how long it stands still."""

from __future__ import annotations

import time

from labkit import layout
from labkit.watched import Watched

from . import managed
from .lab import RECOVERY_LIMIT_S, Lab, summary, tell, wait_until

STILL_S = 1.0  # on both sides of a move the guest counts undisturbed


def entry_of(lab: Lab, guest: str) -> dict:
    return next(entry for entry in lab.guests() if entry["guest"] == guest)


def one_move(lab: Lab, guest: str, target: str) -> dict:
    with Watched(layout.load(lab.name).disks / "guests" / guest) as watched:
        time.sleep(STILL_S)
        began = time.monotonic()
        lab.run("exec", target, "pcs", "resource", "move", managed.resource(guest), target)
        took = time.monotonic() - began
        wait_until(f"{guest} on {target}", RECOVERY_LIMIT_S,
                   lambda: entry_of(lab, guest)["running_on"] == [target]
                   and managed.located(lab, target, guest) == target)
        time.sleep(STILL_S)
    managed.settle(lab, target)
    second = watched.second_writer()
    if len(watched.boots()) != 1:
        second = second or "it booted anew"
    tell(f"{guest} moved to {target}: the command took {took:.2f} s, the longest standstill "
         f"{watched.longest_still_s():.3f} s{'; ' if second else ''}{second}")
    return {"command_s": took, "standstill_s": watched.longest_still_s(), "fault": second}


def impossible_move(lab: Lab, guest: str) -> dict:
    """To a host whose libvirt does not run: the guest stays where it is, and counts."""
    before = entry_of(lab, guest)
    home = before["running_on"][0]
    away = next(host["name"] for host in lab.hosts() if host["name"] != home)
    lab.run("service", away, "libvirtd", "stop")
    with Watched(layout.load(lab.name).disks / "guests" / guest) as watched:
        lab.run("exec", home, "crm_resource", "--resource", managed.resource(guest), "--move",
                "--node", away)
        wait_until("the move has failed", RECOVERY_LIMIT_S, lambda: "blocked" in lab.run(
            "exec", home, "crm_mon", "--one-shot", "--inactive"))
        time.sleep(STILL_S)
    lab.run("service", away, "libvirtd", "start")
    after = entry_of(lab, guest)
    stayed = (after["boot"], after["running_on"]) == (before["boot"], [home]) and after["counting"]
    tell(f"{guest} could not go to {away}: it " + ("stayed" if stayed else "DID NOT STAY"))
    return {"stayed": stayed, "standstill_s": round(watched.longest_still_s(), 3)}


def moves(lab: Lab, count: int) -> dict:
    guest = lab.guests()[0]["guest"]
    names = [host["name"] for host in lab.hosts()]
    done = []
    for _ in range(count):
        here = entry_of(lab, guest)["running_on"][0]
        done.append(one_move(lab, guest, names[(names.index(here) + 1) % len(names)]))
    faults = [move["fault"] for move in done if move["fault"]]
    stuck = impossible_move(lab, guest)
    return {"measures": "pcs resource move: seconds that the command takes, and that the guest's "
                        "counter stands still at most, of 55 ms between two writes at rest",
            "command": summary([move["command_s"] for move in done]),
            "standstill": summary([move["standstill_s"] for move in done]),
            "second_writers": faults, "impossible": stuck,
            "targets": {"no_second_writer": {"is": len(faults), "reached": not faults},
                        "what_cannot_go_stays": {"is": stuck["stayed"],
                                                 "reached": stuck["stayed"]}}}
