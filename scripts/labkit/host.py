"""A host's life: its disk is made once, then it boots and loses power as often as one likes."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Collection
from pathlib import Path

from . import configs, errors, fabric, flight, procs, run
from .layout import Host, Lab

BOOT_LIMIT_S = 10.0
CUT_LIMIT_S = 20.0
CLONE_NEWTIME = 0x80

libc = ctypes.CDLL(None, use_errno=True)


def create(lab: Lab, host: Host) -> None:
    """The host's disk and configuration; nothing runs yet."""
    directory = lab.host_dir(host)
    for name in ("upper", "work", "root", "disk", "log"):
        (directory / name).mkdir(parents=True)
    (directory / "power").write_text("0\n")
    configs.write_host(lab, host)


def fresh_clocks() -> None:
    """A host's monotonic clocks count from its own boot, as they do on a machine of its own.

    For CLOCK_MONOTONIC_RAW that is exact: the lease counts by it, and peers weigh the uptime that
    it shows. CLOCK_MONOTONIC has drifted from it by little, and is as far ahead here as there.
    """
    if libc.unshare(CLONE_NEWTIME) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"unshare of the time namespace: {os.strerror(number)}")
    seconds, rest_ns = divmod(-time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW), 1_000_000_000)
    Path("/proc/self/timens_offsets").write_text(
        f"monotonic {seconds} {rest_ns}\nboottime {seconds} {rest_ns}\n")


def boot(lab: Lab, host: Host) -> None:
    """Start the host; returns when its first process lives and its cables are connected.

    Also called by the BMC's hook, which has set the power to 1 by then; if it is 0 again, somebody
    pressed off before we came to boot.
    """
    directory = lab.host_dir(host)
    with fabric.host_lock(lab, host):
        if not fabric.is_powered(lab, host) or (directory / "pid").exists():
            return
        fabric.plug_in(lab, host)
        (directory / "control").unlink(missing_ok=True)
        run.spawn(run.in_netns(lab.netns(host), [
            "unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child",
            "/usr/bin/python3", "-I", str(lab.code / "lab"), "--name", lab.name, "_init",
            host.name]), str(directory / "log" / "boot.log"), before=fresh_clocks)
        run.wait_for("first process", (directory / "pid").exists, BOOT_LIMIT_S,
                     where=f"host {host.name}", todo=f"see {directory}/log/boot.log", poll_s=0.005)
        fabric.connect(lab, host)


def boot_after_post(lab: Lab, host: Host) -> None:
    """What the BMC's power-on leads to. If the power went off meanwhile, also if it came back,
    this boot is void: the later power-on has its own.
    """
    power = lab.host_dir(host) / "power"
    switched_ns = power.stat().st_mtime_ns
    time.sleep(lab.post_s)
    if power.stat().st_mtime_ns == switched_ns:
        boot(lab, host)


def power_on(lab: Lab, host: Host) -> None:
    (lab.host_dir(host) / "power").write_text("1\n")
    flight.note(lab, "power on", host=host.name)
    boot(lab, host)


def chassis(lab: Lab, host: Host, *words: str) -> str:
    """Press a button of the host's power supply, without its BMC."""
    return run.command(["sh", str(lab.code / "labkit" / "chassis.sh"), str(lab.dir), lab.name,
                        host.name, *words], limit_s=CUT_LIMIT_S).stdout.strip()


def cut(lab: Lab, host: Host) -> None:
    """Power cut; returns when the host is dead."""
    if not fabric.is_powered(lab, host):
        raise errors.LabError("it has no power already", f"host {host.name}",
                              f"`lab power {host.name} on` boots it")
    chassis(lab, host, "cut")
    if fabric.is_powered(lab, host):
        raise errors.LabError("it survived the power cut", f"host {host.name}", "run `lab down`")


def hang(lab: Lab, host: Host, but: Collection[int] = ()) -> int:
    """Stop every process, but for those outer PIDs; the file `hung` lets other commands refuse
    what would never end."""
    _, namespace = identity(lab, host)
    (lab.host_dir(host) / "hung").touch()
    flight.note(lab, "hang", host=host.name)
    return procs.freeze(namespace, but)


def resume(lab: Lab, host: Host, but: Collection[int] = ()) -> int:
    _, namespace = identity(lab, host)
    count = procs.thaw(namespace, but)
    (lab.host_dir(host) / "hung").unlink(missing_ok=True)
    flight.note(lab, "resume", host=host.name)
    return count


def identity(lab: Lab, host: Host) -> tuple[int, str]:
    """The outer PID of the host's first process and its PID namespace."""
    found = living(lab, host)
    if not found:
        raise errors.LabError("it has no power", f"host {host.name}",
                              f"`lab power {host.name} on` boots it")
    return found


def living(lab: Lab, host: Host) -> tuple[int, str] | None:
    try:
        pid, namespace = (lab.host_dir(host) / "pid").read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    if procs.namespace_of(int(pid), "pid") != namespace:
        return None
    return int(pid), namespace


def is_hung(lab: Lab, host: Host) -> bool:
    return (lab.host_dir(host) / "hung").exists()


def enter_command(lab: Lab, host: Host, argv: list[str]) -> list[str]:
    """The command that runs argv inside the host, as a login on its console would."""
    pid, _ = identity(lab, host)
    if is_hung(lab, host):
        raise errors.refused("it is hung, a command would run as if it were not",
                             f"host {host.name}", f"`lab resume {host.name}` first")
    return ["nsenter", f"--target={pid}", "--mount", "--pid", "--uts", "--ipc", "--net",
            "--root", "--wd", "--", *argv]


def execute(lab: Lab, host: Host, argv: list[str], *, limit_s: float = run.COMMAND_LIMIT_S,
            check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program inside the host to its end; a failure says which host and what it said."""
    try:
        return run.command(enter_command(lab, host, argv), limit_s=limit_s, check=check,
                           stdin=stdin)
    except errors.LabError as error:
        if error.code == errors.FAILED:
            raise errors.LabError(error.what, f"host {host.name}: {' '.join(argv)}", error.todo)
        raise


def copy_code(lab: Lab) -> None:
    """Hosts and BMC hooks run a copy: an edit of the repository must not reach a running lab."""
    package = Path(__file__).resolve().parent
    lab.code.mkdir(parents=True)
    shutil.copy(package.parent / "lab", lab.code / "lab")
    shutil.copytree(package, lab.code / "labkit", ignore=shutil.ignore_patterns("__pycache__"))
    os.chmod(lab.code / "labkit" / "chassis.sh", 0o755)
