"""Processes of a lab, found by the namespaces they live in and never by name.

A namespace's inode number is its identity: whatever runs in a lab's network or PID namespace was
started by that lab, also when the lab's tool died before it could write anything down.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection

from . import errors
from .layout import netns_path

KILL_LIMIT_S = 10.0


def all_pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def namespace_of(pid: int, kind: str) -> str:
    """For example `pid:[4026532300]`; empty when the process is gone, dying or not ours to see."""
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    except OSError:
        return ""


def in_namespaces(kind: str, names: set[str]) -> list[int]:
    """Living processes in any of the namespaces."""
    return [pid for pid in all_pids() if namespace_of(pid, kind) in names]


def netns_identity(name: str) -> str:
    """The same text that /proc/PID/ns/net shows for a named network namespace."""
    try:
        return f"net:[{os.stat(netns_path(name)).st_ino}]"
    except FileNotFoundError:
        return ""


def state_of(pid: int) -> str:
    """R, S, D, T, Z … or empty when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def lives(pid: int) -> bool:
    return state_of(pid) not in ("", "Z", "X")


def send(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False


def kill_all_in_netns(names: list[str]) -> int:
    """SIGKILL whatever lives in these network namespaces, again and again until nothing does."""
    identities = {netns_identity(name) for name in names} - {""}
    if not identities:
        return 0
    killed: set[int] = set()
    deadline = time.monotonic() + KILL_LIMIT_S
    while True:
        # PID 1 of a host takes its whole PID namespace with it; order does not matter.
        pids = in_namespaces("net", identities)
        if not pids:
            return len(killed)
        for pid in pids:
            send(pid, signal.SIGKILL)
            killed.add(pid)
        if time.monotonic() > deadline:
            raise errors.LabError(f"processes {pids} survive SIGKILL", ", ".join(names))
        time.sleep(0.01)


def kill_and_wait(pid: int) -> None:
    """End one process that the lab started and wait until it is gone."""
    send(pid, signal.SIGKILL)
    deadline = time.monotonic() + KILL_LIMIT_S
    while lives(pid):
        if time.monotonic() > deadline:
            raise errors.LabError(f"process {pid} survives SIGKILL")
        time.sleep(0.005)


def freeze(pid_namespace: str, but: Collection[int] = ()) -> int:
    """SIGSTOP every process of a host, but for those named, until a whole pass finds nobody left
    to stop. Tells how many stand still."""
    deadline = time.monotonic() + KILL_LIMIT_S
    while True:
        pids = [pid for pid in in_namespaces("pid", {pid_namespace}) if pid not in but]
        running = [pid for pid in pids if state_of(pid) not in ("T", "t", "Z", "X", "")]
        if not running:
            return len(pids)
        for pid in running:
            send(pid, signal.SIGSTOP)
        if time.monotonic() > deadline:
            raise errors.LabError(f"processes {running} do not stop")
        time.sleep(0.002)


def thaw(pid_namespace: str, but: Collection[int] = ()) -> int:
    pids = [pid for pid in in_namespaces("pid", {pid_namespace}) if pid not in but]
    for pid in pids:
        send(pid, signal.SIGCONT)
    return len(pids)
