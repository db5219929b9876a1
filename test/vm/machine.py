"""A small virtual machine: Debian's kernel, an initramfs made here, a disk that can be stopped."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import stat
import subprocess
import threading
import time
from pathlib import Path

BOOT_LIMIT_S = 90.0
ANSWER_LIMIT_S = 10.0
KERNEL_PACKAGE = "linux-image-cloud-amd64"
MODULES = ("virtio_pci", "virtio_blk", "softdog")


class CannotRun(Exception):
    """Something is missing on this machine; the test is skipped, with this as the reason."""


# --- the kernel and the initramfs


def kernel(cache: Path) -> Path:
    """The unpacked kernel package; fetched once, never installed on the machine itself."""
    root = cache / "kernel"
    if not root.exists():
        cache.mkdir(parents=True, exist_ok=True)
        depends = subprocess.run(["apt-cache", "depends", KERNEL_PACKAGE], text=True,
                                 capture_output=True).stdout
        found = re.search(r"Depends: (linux-image-\S+)", depends)
        if not found:
            raise CannotRun(f"apt knows no package {KERNEL_PACKAGE}")
        got = subprocess.run(["apt-get", "download", found.group(1)], cwd=cache, text=True,
                             capture_output=True)
        packages = sorted(cache.glob("linux-image-*.deb"))
        if got.returncode != 0 or not packages:
            raise CannotRun(f"cannot download {found.group(1)}: {got.stderr.strip()}")
        unpacked = cache / "kernel.new"
        shutil.rmtree(unpacked, ignore_errors=True)
        subprocess.run(["dpkg-deb", "-x", packages[-1], unpacked], check=True)
        unpacked.rename(root)
    return root


def modules_in_order(root: Path) -> list[Path]:
    """The wanted modules with all that they depend on, dependencies first."""
    known = {path.name.split(".")[0].replace("-", "_"): path for path in root.rglob("*.ko")}
    ordered: list[Path] = []

    def add(name: str) -> None:
        path = known.get(name)
        if path is None or path in ordered:
            return  # built in, or done
        found = re.search(rb"(?:^|\0)depends=([^\0]*)\0", path.read_bytes())
        for below in (found.group(1).decode() if found else "").split(","):
            if below:
                add(below.replace("-", "_"))
        ordered.append(path)

    for name in MODULES:
        add(name)
    return ordered


def libraries(program: Path) -> set[str]:
    text = subprocess.run(["ldd", program], text=True, capture_output=True, check=True).stdout
    return set(re.findall(r"(/\S+) \(0x", text))


class Archive:
    """A cpio archive in the kernel's format (initramfs buffer format, "newc")."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.names: set[str] = set()
        self.size = 0

    def add(self, name: str, content: bytes = b"", mode: int = stat.S_IFREG | 0o755) -> None:
        parent = os.path.dirname(name)
        if parent and parent not in self.names:
            self.add(parent, mode=stat.S_IFDIR | 0o755)
        if name in self.names:
            return
        self.names.add(name)
        fields = (len(self.names), mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0,
                  len(name.encode()) + 1, 0)
        self.put(b"070701" + b"".join(b"%08x" % f for f in fields) + name.encode() + b"\0")
        self.put(content)

    def put(self, data: bytes) -> None:
        self.parts.append(data + b"\0" * (-len(data) % 4))

    def write(self, path: Path) -> None:
        self.add("TRAILER!!!", mode=0)
        path.write_bytes(b"".join(self.parts))


def initramfs(path: Path, root: Path, init: Path, programs: list[Path],
              files: dict[str, tuple[bytes, int]]) -> None:
    archive = Archive()
    archive.add("init", init.read_bytes())
    for program in programs:
        archive.add(f"bin/{program.name}", stripped(program))
    for library in sorted(set().union(*(libraries(p) for p in [init, *programs]))):
        archive.add(library[1:], Path(library).resolve().read_bytes())
    modules = modules_in_order(root)
    for module in modules:
        archive.add(f"mod/{module.name}", module.read_bytes())
    archive.add("modules", "".join(f"/mod/{m.name}\n" for m in modules).encode())
    # Before the kernel has mounted anything, its own console needs a place.
    archive.add("dev", mode=stat.S_IFDIR | 0o755)
    for name, (content, mode) in files.items():
        archive.add(name, content, stat.S_IFREG | mode)
    archive.write(path)


def stripped(program: Path) -> bytes:
    done = subprocess.run(["strip", "-o", "/dev/stdout", program], capture_output=True)
    return done.stdout if done.returncode == 0 and done.stdout else program.read_bytes()


# --- the disk


class Disk:
    """The state volume behind nbdkit, whose pause filter stops and resumes all I/O."""

    def __init__(self, directory: Path, volume: Path) -> None:
        self.socket = directory / "disk"
        self.control = directory / "pause"
        self.process = subprocess.Popen(
            ["nbdkit", "-f", "-U", self.socket, "--filter=pause", "file", volume,
             f"pause-control={self.control}"], stdin=subprocess.DEVNULL)
        wait_for(self.socket.exists, ANSWER_LIMIT_S, "nbdkit")

    def say(self, word: bytes, answer: bytes) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_LIMIT_S)
            connection.connect(str(self.control))
            connection.sendall(word)
            assert connection.recv(1) == answer

    def pause(self) -> float:
        """No write is acknowledged after the returned time."""
        self.say(b"p", b"P")
        return time.monotonic()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def wait_for(done, limit_s: float, what: str) -> None:
    deadline = time.monotonic() + limit_s
    while not done():
        if time.monotonic() > deadline:
            raise AssertionError(f"no {what} within {limit_s:g} s")
        time.sleep(0.01)


# --- the machine


class Machine:
    """One boot. It ends with the guest's reset, or with close()."""

    def __init__(self, directory: Path, root: Path, initrd: Path, disk: Disk, own: Path) -> None:
        self.lines: list[tuple[float, str]] = []
        self.reset_at: float | None = None
        self.changed = threading.Condition()
        qmp = directory / "qmp"
        qmp.unlink(missing_ok=True)
        # TCG: the test must also run where /dev/kvm is missing or broken. A reset ends QEMU.
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "1",
             "-m", "512", "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio",
             "-qmp", f"unix:{qmp},server=on,wait=off",
             "-kernel", str(next((root / "boot").glob("vmlinuz-*"))), "-initrd", str(initrd),
             "-append", "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable",
             "-drive", f"file=nbd:unix:{disk.socket},format=raw,if=none,id=volume,cache=none",
             "-device", "virtio-blk-pci,drive=volume",
             "-drive", f"file={own},format=raw,if=none,id=own",
             "-device", "virtio-blk-pci,drive=own"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        threading.Thread(target=self.read_console, daemon=True).start()
        wait_for(qmp.exists, ANSWER_LIMIT_S, "QEMU")
        self.monitor = socket.socket(socket.AF_UNIX)
        self.monitor.connect(str(qmp))
        self.monitor.sendall(b'{"execute":"qmp_capabilities"}\n')
        threading.Thread(target=self.read_monitor, daemon=True).start()

    def read_console(self) -> None:
        for raw in self.process.stdout:
            line = raw.decode(errors="replace").rstrip()
            with self.changed:
                self.lines.append((time.monotonic(), line))
                self.changed.notify_all()

    def read_monitor(self) -> None:
        for raw in self.monitor.makefile():
            # QEMU may hang afterwards, in draining the disk that does not answer.
            if json.loads(raw).get("event") in ("SHUTDOWN", "RESET"):
                with self.changed:
                    self.reset_at = self.reset_at or time.monotonic()
                    self.changed.notify_all()

    def tell(self, command: str) -> float:
        """Has the guest's supervisor carry it out; returns when it has."""
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        return self.expect(f"INIT did {command}", since=0)

    def expect(self, text: str, limit_s: float = ANSWER_LIMIT_S, since: float | None = None) -> float:
        """The time of the first line with the text, from `since` on (default: the start)."""
        deadline = time.monotonic() + limit_s
        with self.changed:
            while True:
                for at, line in self.lines:
                    if text in line and at >= (since or 0):
                        return at
                if self.reset_at or time.monotonic() > deadline:
                    raise AssertionError(f"no {text!r} within {limit_s:g} s"
                                         + (" before the reset" if self.reset_at else "")
                                         + f"; console:\n{self.console()}")
                self.changed.wait(0.05)

    def wait_reset(self, limit_s: float) -> float:
        with self.changed:
            self.changed.wait_for(lambda: self.reset_at, limit_s)
            assert self.reset_at, f"no reset within {limit_s:g} s; console:\n{self.console()}"
            return self.reset_at

    def stays_up(self, seconds: float) -> None:
        with self.changed:
            assert not self.changed.wait_for(lambda: self.reset_at, seconds), \
                f"it was reset; console:\n{self.console()}"

    def console(self) -> str:
        return "\n".join(line for _, line in self.lines if not line.startswith("MARK"))[-6000:]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.monitor.close()
