"""The flight recorder: watches every guest's disk for as long as the lab lives.

It reads 24 bytes per guest from the backing files (page cache, no I/O through the storage server)
more often than a guest writes, and notes in the flight log

    boot changed    a guest runs anew: boot, before, counter, gap_ms (time without progress)
    stalled         no progress for STALL_MS: since_ms is when the counter last moved
    resumed         the same boot goes on after a stall: gap_ms
    two writers     an older boot number wrote again: two copies live, or a late write landed

The last change of every guest also stands in a small state file that `guests` reads.
"""

from __future__ import annotations

import os
import signal
import struct
import time

from . import boot_sector, flight, guest, procs, run
from .layout import Lab

PERIOD_S = 0.025
STALL_MS = 400
START_LIMIT_S = 5.0
# Per guest, in the order of lab.guests: when its counter last moved, when an older boot number
# last wrote again (both wall clock, 0 for never), and how often the latter was seen.
RECORD = struct.Struct("<QQQ")


class Watch:
    """One guest's history, as far as it decides what to note next."""

    def __init__(self, name: str, stall_ms: int = STALL_MS) -> None:
        self.name = name
        self.stall_ms = stall_ms
        self.last = guest.Sample(0, 0)
        self.moved_ms = 0
        self.stalled = False
        self.earlier_boots: set[int] = set()
        self.two_writers_ms = 0
        self.two_writers_count = 0

    def look(self, now: guest.Sample, t_ms: int) -> dict | None:
        """The event that this sample is, if it is one."""
        if now == self.last:
            if self.moved_ms and not self.stalled and t_ms - self.moved_ms >= self.stall_ms:
                self.stalled = True
                return {"event": "stalled", "since_ms": self.moved_ms, "counter": now.counter,
                        "boot": now.boot}
            return None
        before, gap_ms = self.last, t_ms - self.moved_ms if self.moved_ms else None
        was_stalled, self.stalled = self.stalled, False
        self.last, self.moved_ms = now, t_ms
        told = {"boot": now.boot, "counter": now.counter, "gap_ms": gap_ms}
        if now.boot != before.boot:
            again = now.boot in self.earlier_boots
            self.earlier_boots.add(now.boot)
            if again:
                self.two_writers_ms = t_ms
                self.two_writers_count += 1
                return {"event": "two writers", "before": before.boot, **told}
            return {"event": "boot changed", "before": before.boot or None, **told}
        if was_stalled:
            return {"event": "resumed", **told}
        return None


def record(lab: Lab) -> None:
    """The recorder's main loop; ends with SIGTERM or with the lab."""
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: ending.append(number))
    between_ms = boot_sector.TICK_S * boot_sector.SLOW_TICKS * 1000 if lab.slow_guests else 0
    watches = [Watch(name, STALL_MS + round(between_ms)) for name in lab.guests]
    disks = [os.open(lab.disks / "guests" / name, os.O_RDONLY) for name in lab.guests]
    state = os.open(lab.flight_state, os.O_RDWR | os.O_CREAT, 0o644)
    os.ftruncate(state, RECORD.size * len(watches))
    flight.note(lab, "recorder started")
    while not ending:
        t_ms = run.now_ms()
        for index, watch in enumerate(watches):
            moved_ms = watch.moved_ms
            event = watch.look(guest.sample(disks[index]), t_ms)
            if watch.moved_ms != moved_ms:
                os.pwrite(state, RECORD.pack(watch.moved_ms, watch.two_writers_ms,
                                             watch.two_writers_count), index * RECORD.size)
            if event:
                flight.note(lab, event.pop("event"), guest=watch.name, **event)
        time.sleep(PERIOD_S)


def start(lab: Lab) -> None:
    pid = run.spawn(run.in_netns(lab.fabric, [
        "/usr/bin/python3", "-I", str(lab.code / "lab"), "--name", lab.name, "_record"]),
        str(lab.dir / "recorder.log"))
    run.put_ahead(pid)
    (lab.dir / "recorder.pid").write_text(f"{pid}\n")


def wait_ready(lab: Lab) -> None:
    run.wait_for("flight recorder", lambda: is_running(lab) and lab.flight_state.exists(),
                 START_LIMIT_S, where=f"lab '{lab.name}'", todo=f"see {lab.dir}/recorder.log")


def is_running(lab: Lab) -> bool:
    try:
        pid = int((lab.dir / "recorder.pid").read_text())
    except (FileNotFoundError, ValueError):
        return False
    return procs.namespace_of(pid, "net") == procs.netns_identity(lab.fabric)


def last_changes(lab: Lab) -> list[tuple[int, int, int]]:
    """Per guest: (moved_ms, two_writers_ms, two_writers_count)."""
    data = lab.flight_state.read_bytes()
    return [RECORD.unpack_from(data, index * RECORD.size) for index in range(len(lab.guests))]
