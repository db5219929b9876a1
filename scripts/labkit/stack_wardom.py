"""The stack under test: wardom-keeper and wardomd on every host."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from . import errors, host as hosts, pacemaker, run, services, up
from .layout import VOLUME_PATH, Host, Lab
from .storage import L_LATE_S

PROGRAMS = ("wardomd", "wardom-keeper", "wardomctl", "wardom-qemu-hook")
VOLUME_HOSTS = 8
VOLUME_DOMAINS = 2
ALIVE_LIMIT_S = 30.0
PACKAGE_LIMIT_S = 300.0
REPOSITORY = Path(__file__).resolve().parents[2]
CTL_LIMIT_S = 20.0


def check_programs(lab: Lab) -> None:
    missing = [name for name in PROGRAMS
               if not os.access(Path(lab.wardom_bin) / name, os.X_OK)]
    if missing:
        raise errors.LabError(f"programs are missing: {', '.join(missing)}", lab.wardom_bin,
                              "build Wardom first, or set WARDOM_BIN to the directory they are in")
    if lab.package:
        run.command([str(REPOSITORY / "scripts" / "package"), "--as-built"],
                    limit_s=PACKAGE_LIMIT_S)


def start(lab: Lab, progress: Callable[[str], None]) -> None:
    progress("state volume")
    hosts.execute(lab, lab.hosts[0], [
        "wardomctl", "volume", "format", VOLUME_PATH,
        "--hosts", str(max(VOLUME_HOSTS, len(lab.hosts))),
        "--domains", str(max(VOLUME_DOMAINS, len(lab.domains()))), "--profile", lab.profile,
        "--l-late", str(L_LATE_S)],
        limit_s=CTL_LIMIT_S)
    progress("wardom-keeper and wardomd")
    for name in services.OF_STACK["wardom"]:
        for host in lab.hosts:
            services.request(lab, host, "enable", name)
    up.each(lab.hosts, lambda host: wait_alive(lab, host))
    if lab.pacemaker:
        progress("pacemaker")
        for host in lab.hosts:
            services.request(lab, host, "enable", "pacemaker")
    progress("guests")
    up.each(lab.hosts, lambda host: up.start_guests(lab, host))
    up.each(lab.hosts, lambda host: protect_guests(lab, host))
    if lab.pacemaker:
        progress("pacemaker with quorum")
        pacemaker.wait_whole(lab)


def wait_alive(lab: Lab, host: Host) -> None:
    """Until the host's daemon answers and calls every host of its domain alive."""
    last = ["it was never asked"]

    def all_alive() -> bool:
        done = hosts.execute(lab, host, ["wardomctl", "status", "--json"], limit_s=CTL_LIMIT_S,
                             check=False)
        if done.returncode != 0:
            last[0] = f"exit code {done.returncode}: {done.stderr.strip()}"
            return False
        try:
            states = {entry["name"]: entry["state"] for entry in json.loads(done.stdout)["hosts"]}
        except (ValueError, KeyError, TypeError) as error:
            raise errors.LabError(f"its answer is not as agreed ({error!r}): {done.stdout[:400]}",
                                  f"host {host.name}: wardomctl status --json")
        wanted = [member.name for member in lab.domains()[host.domain]]
        last[0] = ", ".join(f"{name} {states.get(name, 'missing')}" for name in wanted)
        return all(states.get(name) == "alive" for name in wanted)

    try:
        run.wait_for("agreement that all hosts are alive", all_alive, ALIVE_LIMIT_S, poll_s=0.1)
    except errors.LabError as error:
        if not error.what.startswith("no agreement"):
            raise
        tails = "".join(f"\n  {name}: {services.log_tail(lab, host, name)}"
                        for name in services.OF_STACK["wardom"])
        raise errors.LabError(f"{error.what}; last answer: {last[0]}{tails}",
                              f"host {host.name}: wardomctl status")


def protect_guests(lab: Lab, host: Host) -> None:
    for name in lab.guests:
        if lab.home_of(name) == host:
            hosts.execute(lab, host, ["wardomctl", "guest", "protect", name], limit_s=CTL_LIMIT_S)
