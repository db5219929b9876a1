"""A guest's counter, read from its disk all the while: how long it stands still, and whether two
that run of one boot write it. That is told by its pace: two go at twice that of one.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from . import guest
from .boot_sector import TICK_S

LOOK_S = 0.005
PACE_WINDOW_S = 2.0
PACE_SLACK = 1.4
CAUGHT_UP = 5  # ticks that a guest may make up for after a standstill


class Watched:
    """With it, the disk is watched."""

    def __init__(self, disk: Path) -> None:
        self.disk = disk
        self.samples: list[tuple[float, guest.Sample]] = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self) -> None:
        descriptor = os.open(self.disk, os.O_RDONLY)
        try:
            while not self.ended.wait(LOOK_S):
                now = guest.sample(descriptor)
                if not self.samples or self.samples[-1][1] != now:
                    self.samples.append((time.monotonic(), now))
        finally:
            os.close(descriptor)

    def __enter__(self) -> Watched:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()

    def boots(self) -> set[int]:
        return {sample.boot for _, sample in self.samples}

    def longest_still_s(self) -> float:
        times = [at for at, _ in self.samples]
        return max(b - a for a, b in zip(times, times[1:]))

    def second_writer(self) -> str:
        """Empty if the counter never falls and its pace is that of one guest."""
        before: list[tuple[float, int]] = []
        for at, sample in self.samples:
            before = [one for one in before if at - one[0] <= PACE_WINDOW_S]
            if before:
                span, grown = at - before[0][0], sample.counter - before[0][1]
                if sample.counter <= before[-1][1]:
                    return f"the counter went from {before[-1][1]} to {sample.counter}"
                if grown >= CAUGHT_UP + PACE_SLACK * span / TICK_S:
                    return f"the counter grew by {grown} in {span:.2f} s: two of it write"
            before.append((at, sample.counter))
        return ""
