"""Shared storage: two nbdkit servers on the storage network, one for guest disks, one for the
state volume, so that neither waits for the other's clients.

The `pause` filter holds all I/O of a server, the `error` filter fails it while a trigger file
exists. Both act on the server: no client can tell them from a real array's troubles.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path

from . import errors, flight, guest, procs, run
from .layout import (GUEST_DISK_BYTES, GUEST_PORT, STORAGE_SERVER, VOLUME_BYTES, VOLUME_PORT, Lab)

START_LIMIT_S = 10.0
CONTROL_LIMIT_S = 5.0
# The longest that a write of a dead host takes to land, for the state volume's L_late. Its death ends
# its connections, and what the servers had received by then they work off at once: there are no
# retries of a fabric to be covered (measured: libha/doc/lab.md).
L_LATE_S = 2
# Each client connection gets this many threads. A guest has one request in flight.
# As nbdkit-log-filter(1) writes them; the answer's line has no count.
REQUEST = re.compile(r" (Read|Write) id=\d+ offset=0x[0-9a-f]+ count=0x([0-9a-f]+)")
SERVERS = {"guests": (GUEST_PORT, 2), "volume": (VOLUME_PORT, 8)}


def create_disks(lab: Lab) -> None:
    for name in SERVERS:
        (lab.disks / name).mkdir(parents=True)
    for name in lab.guests:
        guest.write_disk(lab.disks / "guests" / name, GUEST_DISK_BYTES, lab.slow_guests)
    with open(lab.disks / "volume" / "volume", "wb") as volume:
        volume.truncate(VOLUME_BYTES)


def start(lab: Lab) -> None:
    """Returns when both servers take connections.

    Not with --foreground: nbdkit then ends with the process that started it. In the background it
    forks when it listens, and writes its PID.
    """
    for name, (port, threads) in SERVERS.items():
        log = lab.log_volume and name == "volume"
        run.command(run.in_netns(lab.fabric, [
            "nbdkit", f"--pidfile={pid_file(lab, name)}", f"--ipaddr={STORAGE_SERVER}",
            f"--port={port}", f"--threads={threads}", *(["--filter=log"] if log else []),
            "--filter=pause", "--filter=error", "file",
            f"dir={lab.disks / name}", f"pause-control={control_socket(lab, name)}",
            "error=EIO", "error-rate=100%", f"error-file={error_file(lab)}",
            *([f"logfile={lab.volume_log}"] if log else [])]),
            limit_s=START_LIMIT_S)
        # It may return to us before what it has become has written its PID.
        run.put_ahead(run.wait_for("PID", lambda: recorded_pid(lab, name), START_LIMIT_S,
                                   where=f"storage server for {name}"))


def pid_file(lab: Lab, name: str) -> Path:
    return lab.dir / f"storage-{name}.pid"


def recorded_pid(lab: Lab, name: str) -> int:
    try:
        return int(pid_file(lab, name).read_text())
    except (FileNotFoundError, ValueError):
        return 0


def control_socket(lab: Lab, name: str) -> str:
    return str(lab.dir / f"storage-{name}.pause")


def error_file(lab: Lab) -> str:
    return str(lab.dir / "storage-error")


def control(lab: Lab, action: str) -> None:
    """pause or resume every server; returns when each has said that it did."""
    request, answer = (b"p", b"P") if action == "pause" else (b"r", b"R")
    for name in SERVERS:
        where = f"storage server for {name}"
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(CONTROL_LIMIT_S)
                connection.connect(control_socket(lab, name))
                connection.sendall(request)
                said = connection.recv(1)
        except OSError as error:
            raise errors.LabError(f"its control socket fails: {error}", where)
        if said != answer:
            raise errors.LabError(f"it answered {said!r} to {request!r}", where)
    (lab.dir / "storage-state").write_text("paused\n" if action == "pause" else "running\n")
    flight.note(lab, f"storage {action}")


def set_errors(lab: Lab, on: bool) -> None:
    trigger = lab.dir / "storage-error"
    if on:
        trigger.touch()
    else:
        trigger.unlink(missing_ok=True)
    flight.note(lab, f"storage error {'on' if on else 'off'}")


def volume_requests(lab: Lab) -> dict[str, int]:
    """Requests that the state volume's server has taken so far, by kind."""
    counts = {"read": 0, "write": 0, "read_bytes": 0, "write_bytes": 0}
    with open(lab.volume_log) as log:
        for line in log:
            found = REQUEST.search(line)
            if found:
                kind = found[1].lower()
                counts[kind] += 1
                counts[f"{kind}_bytes"] += int(found[2], 16)
    return counts


def describe(lab: Lab) -> dict:
    path = lab.dir / "storage-state"
    dead = [name for name in SERVERS if not procs.lives(recorded_pid(lab, name))]
    state = path.read_text().strip() if path.exists() else "running"
    return {"state": f"DEAD: {', '.join(dead)}" if dead else state,
            "errors": (lab.dir / "storage-error").exists(),
            "volume_requests": volume_requests(lab) if lab.log_volume else None,
            "pids": {name: recorded_pid(lab, name) for name in SERVERS}}
