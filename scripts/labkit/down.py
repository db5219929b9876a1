"""Ending a lab completely, in whatever state it was left.

Nothing here needs the lab's record: processes are found by the lab's network namespaces, those by
their names, mounts by the lab's directory. So it works after a crash and does nothing the second
time.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

from . import procs, run, state
from .layout import RUN_DIR, netns_of_lab, netns_path


def remains(name: str) -> list[str]:
    """What exists of a lab, in words; empty when there is nothing."""
    found = [f"network namespace {netns}" for netns in netns_of_lab(name)]
    found += [f"mount {path}" for path in mounts(name)]
    if (RUN_DIR / name).exists():
        found.append(f"directory {RUN_DIR / name}")
    return found


def mounts(name: str) -> list[str]:
    """The lab's mount points that this namespace sees, deepest first."""
    top = str(RUN_DIR / name)
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        paths = [line.split()[4] for line in table]
    return sorted((p for p in paths if p == top or p.startswith(top + "/")), reverse=True)


def down(name: str) -> dict:
    """End everything; the caller holds the lab's lock."""
    namespaces = netns_of_lab(name)
    killed = procs.kill_all_in_netns(namespaces)
    for netns in namespaces:
        remove_netns(netns)
    directory = RUN_DIR / name
    for path in mounts(name):
        unmount(path)
    if directory.exists():
        # The tmpfs is gone: this is an empty directory, or one that `up` just made.
        subprocess.run(["rm", "-rf", "--one-file-system", str(directory)], check=True)
    state.remove_lock(name)
    return {"killed": killed, "namespaces": len(namespaces)}


def remove_netns(netns: str) -> None:
    # A name without a namespace mounted on it is what a crash inside `ip netns add` leaves.
    run.command(["ip", "netns", "del", netns], check=False)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(netns_path(netns))


def unmount(path: str) -> None:
    """Processes were killed a moment ago; their namespaces may need a moment more to let go."""
    if not Path(path).exists():
        return
    if run.command(["umount", path], check=False).returncode != 0:
        run.command(["umount", "--lazy", path])
