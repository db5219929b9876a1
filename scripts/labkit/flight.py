"""The flight log: one JSON object per line, written by the recorder and by every fault command."""

from __future__ import annotations

import json
import os

from . import run
from .layout import Lab


def note(lab: Lab, event: str, **details: object) -> None:
    """Append one event. One write of less than a page with O_APPEND: writers do not mix."""
    line = json.dumps({"t_ms": run.now_ms(), "event": event, **details}) + "\n"
    descriptor = os.open(lab.flight_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC,
                         0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def read(lab: Lab, since_ms: int = 0) -> list[dict]:
    events = []
    for line in lab.flight_log.read_text().splitlines():
        event = json.loads(line)
        if event["t_ms"] >= since_ms:
            events.append(event)
    return sorted(events, key=lambda event: event["t_ms"])
