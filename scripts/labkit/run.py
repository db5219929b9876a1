"""Running programs and waiting for conditions, always with a deadline."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from . import errors
from .layout import netns_path

T = TypeVar("T")

COMMAND_LIMIT_S = 60.0
POLL_S = 0.02
AHEAD = -10

# What programs inside the lab see. Only Debian's own paths: a version manager's python in the
# caller's PATH must not run fence agents.
CLEAN_ENV = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}


def command(argv: Sequence[str], *, limit_s: float = COMMAND_LIMIT_S, stdin: str | None = None,
            check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program to its end. A failure shows the program's own words."""
    try:
        done = subprocess.run(argv, input=stdin, text=True, capture_output=True, timeout=limit_s,
                              env=CLEAN_ENV, errors="replace",
                              stdin=subprocess.DEVNULL if stdin is None else None)
    except FileNotFoundError:
        raise errors.LabError(f"program '{argv[0]}' is missing", "this machine",
                              "install the packages in scripts/packages-lab")
    except subprocess.TimeoutExpired:
        raise errors.LabError(f"no end after {limit_s:g} s", " ".join(argv))
    if check and done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing")
        raise errors.LabError(f"exit code {done.returncode}: {said}", " ".join(argv))
    return done


def in_netns(name: str, argv: Sequence[str]) -> list[str]:
    """The command that runs argv in a network namespace (and changes nothing else)."""
    return ["nsenter", f"--net={netns_path(name)}", "--", *argv]


def ip_batch(netns: str | None, lines: Sequence[str], *, force: bool = False) -> None:
    """Many `ip` commands in one process; with force, go on after an error."""
    argv = ["ip"] + (["-n", netns] if netns else []) + (["-force"] if force else [])
    command([*argv, "-batch", "-"], stdin="\n".join(lines) + "\n", check=not force)


def spawn(argv: Sequence[str], log: str, *, cwd: str | None = None,
          before: Callable[[], None] | None = None) -> int:
    """Start a long-lived program that outlives us and holds nothing of our terminal.

    `before` runs in the new process, just before it becomes that program.
    """
    with open(log, "ab", buffering=0) as out:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                   start_new_session=True, env=CLEAN_ENV, cwd=cwd,
                                   preexec_fn=before)
    # Where we live on, it must not stay a zombie when it ends.
    threading.Thread(target=process.wait, daemon=True).start()
    return process.pid


def put_ahead(pid: int, nice: int = AHEAD) -> None:
    """Let a process have a processor before others: what on real hosts is another machine, or runs
    with a unit's `Nice=`, must not wait for this machine's other labs and builds."""
    try:
        os.setpriority(os.PRIO_PROCESS, pid, nice)
        # Where the kernel weighs whole sessions, each process's own value counts only inside its.
        with open(f"/proc/{pid}/autogroup", "w", encoding="ascii") as session:
            session.write(f"{nice}\n")
    except OSError:
        pass  # it has ended, or the kernel has no such groups


def wait_for(what: str, probe: Callable[[], T], limit_s: float, *, where: str = "",
             todo: str = "", poll_s: float = POLL_S) -> T:
    """Poll until probe() returns something true; the deadline is an error."""
    deadline = time.monotonic() + limit_s
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise errors.LabError(f"no {what} after {limit_s:g} s", where, todo)
        time.sleep(poll_s)


def now_ms() -> int:
    """Wall clock in milliseconds; the one clock of the flight log."""
    return time.time_ns() // 1_000_000
