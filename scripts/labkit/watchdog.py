"""The hosts' watchdogs: one process in the fabric, out of every host's reach.

A host arms and feeds its own through a datagram socket in its lab directory (the words stand in
libha/watchdog/lab_watchdog.hpp). One that is not fed for its timeout resets the host: cables
first, then every process, then it boots again. It protects no real guest: the keeper uses it only
where the configuration says `watchdog.lab = true`.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from pathlib import Path

from . import flight, host as hosts, run
from .layout import WATCHDOG_SOCKET, Host, Lab

MAX_WORDS_BYTES = 64
TIMEOUT_LIMIT_MS = 600_000
IDLE_S = 3600.0
START_LIMIT_S = 10.0


class Watchdog:
    """One host's. Armed by one boot of it: a later boot has to arm it anew."""

    def __init__(self, lab: Lab, host: Host) -> None:
        self.lab = lab
        self.host = host
        path = lab.host_dir(host) / WATCHDOG_SOCKET
        path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(str(path))
        self.timeout_s = 0.0
        self.due: float | None = None
        self.boot = ""

    def hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.take(self.socket.recv(MAX_WORDS_BYTES).decode(errors="replace").split())

    def take(self, words: list[str]) -> None:
        if len(words) == 2 and words[0] == "arm" and words[1].isdigit():
            self.timeout_s = min(int(words[1]), TIMEOUT_LIMIT_MS) / 1000
            self.boot = self.current_boot()
            self.due = time.monotonic() + self.timeout_s
        elif words == ["feed"] and self.due is not None:
            self.due = time.monotonic() + self.timeout_s
        elif words == ["disarm"]:
            self.due = None

    def current_boot(self) -> str:
        try:
            return (self.lab.host_dir(self.host) / "pid").read_text()
        except FileNotFoundError:
            return ""

    def fire(self) -> None:
        self.due = None
        # The host that armed it may have lost its power meanwhile.
        if self.boot and self.current_boot() == self.boot:
            flight.note(self.lab, "watchdog resets", host=self.host.name)
            threading.Thread(target=hosts.chassis, args=(self.lab, self.host, "watchdog")).start()


def watch(lab: Lab) -> None:
    """The process's main loop; ends with the lab."""
    watchdogs = [Watchdog(lab, host) for host in lab.machines]
    selector = selectors.DefaultSelector()
    for watchdog in watchdogs:
        selector.register(watchdog.socket, selectors.EVENT_READ, watchdog)
    while True:
        ahead = [watchdog.due for watchdog in watchdogs if watchdog.due is not None]
        wait_s = max(0.0, min(ahead) - time.monotonic()) if ahead else IDLE_S
        for key, _ in selector.select(wait_s):
            key.data.hear()
        for watchdog in watchdogs:
            if watchdog.due is not None and time.monotonic() >= watchdog.due:
                watchdog.hear()  # what came while this process was held up counts
                if watchdog.due is not None and time.monotonic() >= watchdog.due:
                    watchdog.fire()


def start(lab: Lab) -> None:
    run.put_ahead(run.spawn(run.in_netns(lab.fabric, [
        "/usr/bin/python3", "-I", str(lab.code / "lab"), "--name", lab.name, "_watchdogs"]),
        str(lab.dir / "watchdogs.log")))
    sockets = [lab.host_dir(host) / WATCHDOG_SOCKET for host in lab.machines]
    run.wait_for("watchdogs", lambda: all(map(Path.exists, sockets)), START_LIMIT_S,
                 where=f"lab '{lab.name}'", todo=f"see {lab.dir}/watchdogs.log")
