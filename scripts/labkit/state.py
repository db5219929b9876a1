"""The lab's lock: one changing command at a time per lab."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from . import errors
from .layout import RUN_DIR

LOCK_LIMIT_S = 15.0


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lab's lock. The kernel frees it when the holder dies, so a crash blocks nobody."""
    path = RUN_DIR / f"{name}.lock"
    deadline = time.monotonic() + LOCK_LIMIT_S
    while True:
        RUN_DIR.mkdir(mode=0o755, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            continue  # another lab's `down` removed the directory just now
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # `down` removes the file while it holds it: then this is a lock on nothing.
            if os.path.exists(path) and os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                break
        except BlockingIOError:
            if time.monotonic() > deadline:
                holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
                os.close(descriptor)
                raise errors.LabError(f"another lab command is at work (process {holder})",
                                      str(path), "wait for it, or end it, then repeat")
            time.sleep(0.05)
        os.close(descriptor)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def remove_lock(name: str) -> None:
    """Called by `down` while it holds the lock; the directory goes with the last lab."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(RUN_DIR / f"{name}.lock")
    with contextlib.suppress(OSError):
        os.rmdir(RUN_DIR)
