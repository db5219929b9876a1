"""Watches a lab all through a chaos run: who runs which guest, what the disks saw, what the daemons
said. Two runners or two writers end the run at that moment."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

from chaos_judge import Stop, Word
from scenario_support import Cluster, run, views

from labkit import procs

PERIOD_S = 0.15
# A sample that comes later than this is told: the machine was busy, and so were the daemons.
LATE_S = 0.5
LOGS = ("wardomd", "keeper")
# Where own faults alone are made, a guest that stands still for so long was harmed.
STILL_MS = 5000


class Tail:
    """The lines that were added to a file since the last look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        self.rest = b""

    def read(self) -> list[str]:
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return []
        self.offset += len(data)
        *lines, self.rest = (self.rest + data).split(b"\n")
        return [line.decode(errors="replace") for line in lines]


class Watch(threading.Thread):
    """Samples until it is ended; `violated` is set with `violation`, what was seen."""

    def __init__(self, cluster: Cluster, guests_never_stop: bool) -> None:
        super().__init__(daemon=True)
        self.lab = cluster.record
        self.guests_never_stop = guests_never_stop
        self.flight = Tail(self.lab.flight_log)
        self.logs = {(host.name, service): Tail(cluster.log_path(host.name, service))
                     for host in self.lab.hosts for service in LOGS}
        self.began_ms = run.now_ms()
        self.events: list[dict] = []
        self.words: list[Word] = []
        self.stops: list[Stop] = []
        self.running: dict[str, set[tuple[str, int]]] = {}
        self.samples = 0
        self.latest_s = 0.0
        self.violation: str | None = None
        self.violated = threading.Event()
        self.ending = threading.Event()

    def run(self) -> None:
        last = time.monotonic()
        try:
            while not self.ending.is_set():
                self.sample()
                self.samples += 1
                now = time.monotonic()
                self.latest_s = max(self.latest_s, now - last)
                last = now
                self.ending.wait(PERIOD_S)
        except Exception as error:  # a watcher that is blind must end the run
            self.violate(f"the watcher failed: {error!r}")
            raise

    def end(self) -> None:
        self.ending.set()
        self.join()

    def violate(self, text: str) -> None:
        if self.violation is None:
            self.violation = text
        self.violated.set()

    def sample(self) -> None:
        t_ms = run.now_ms()
        self.look_at_processes(t_ms)
        for line in self.flight.read():
            event = json.loads(line)
            if event["t_ms"] >= self.began_ms:
                self.events.append(event)
                self.look_at_event(event)
        for (host, service), tail in self.logs.items():
            self.words += [Word(t_ms, host, service, line) for line in tail.read()]

    def look_at_processes(self, t_ms: int) -> None:
        for guest, found in views.qemu_processes(self.lab).items():
            started = [(host, pid) for host, pid, incoming in found if not incoming]
            # One scan takes a while: two count only if both live at the same moment.
            if len(started) > 1 and all(procs.lives(pid) for _, pid in started):
                self.violate(f"two runners of {guest}: {started}")
            now = {(host, pid) for host, pid, _ in found}
            for host, pid in sorted(self.running.get(guest, set()) - now):
                self.stops.append(Stop(t_ms, guest, host, pid))
                if self.guests_never_stop:
                    self.violate(f"{guest} stopped on {host}")
            self.running[guest] = now

    def look_at_event(self, event: dict) -> None:
        if event["event"] == "two writers":
            self.violate(f"two writers of {event['guest']}: {event}")
        if self.guests_never_stop and event["event"] == "boot changed":
            self.violate(f"{event['guest']} started anew: {event}")
        if self.guests_never_stop and event["event"] == "resumed" and event["gap_ms"] > STILL_MS:
            self.violate(f"{event['guest']} stood still: {event}")
