"""The keeper and a real kernel's watchdog: a host that cannot write its heartbeat is reset in time,
and no other is.

    softdog.py --programs DIR --init PROGRAM --cache DIR

Prints what it measured. Exit code 77: this machine lacks what it takes to run it.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import machine

T_F_S = 6.0        # profile fast
TIMEOUT_S = 2
OWN_DISK_BYTES = 8 << 20
W_MOST_S = TIMEOUT_S + 1.0   # softdog's tick, and an emulated CPU on a busy machine
EARLY_S = 1.0      # how much before the window's end, counted from the stop, nothing may happen
SEEN_LATE_S = 0.6  # from the guest's reset to this program's knowing of it
SKIPPED = 77

CONFIG = f"""\
[cluster]
name = "vm"
[volume]
path = "/dev/vda"
[timing]
profile = "fast"
[watchdog]
device = "/dev/watchdog0"
timeout = "{TIMEOUT_S}s"
[[domain]]
name = "d1"
id = 1
[[host]]
name = "n1"
id = 1
domain = "d1"
mgmt = "127.0.0.1"
storage = "127.0.1.1"
[[host]]
name = "n2"
id = 2
domain = "d1"
mgmt = "127.0.0.2"
storage = "127.0.1.2"
"""


class Bench:
    """What all boots share: the kernel, the initramfs and a formatted volume."""

    def __init__(self, options: argparse.Namespace, directory: Path) -> None:
        for tool in ("qemu-system-x86_64", "nbdkit", "dpkg-deb", "mkfs.ext4"):
            if not shutil.which(tool):
                raise machine.CannotRun(f"{tool} is not installed")
        self.directory = directory
        self.root = machine.kernel(Path(options.cache))
        self.initrd = directory / "initrd"
        self.volume = directory / "volume"
        self.own = directory / "own"
        self.w_s = W_MOST_S
        with open(self.own, "wb") as own:
            own.truncate(OWN_DISK_BYTES)
        subprocess.run(["mkfs.ext4", "-q", self.own], check=True)
        programs = Path(options.programs)
        config = directory / "wardom.toml"
        config.write_text(CONFIG)
        subprocess.run([programs / "wardomctl", "volume", "format", self.volume, "--hosts", "2",
                        "--domains", "1", "--profile", "fast", "--config", config], check=True,
                       stdout=subprocess.DEVNULL)
        machine.initramfs(self.initrd, self.root, Path(options.init),
                          [programs / "wardom-keeper", programs / "wardomd",
                           programs / "wardomctl"], {
                              "etc/wardom/wardom.toml": (CONFIG.encode(), 0o644),
                              "etc/wardom/key": (b"0123456789abcdef" * 4 + b"\n", 0o600),
                              "etc/machine-id": (b"00000000000000000000000000000042\n", 0o644),
                              "etc/passwd": (b"root:x:0:0::/:/bin/sh\n", 0o644),
                              "etc/hostname": (b"n1\n", 0o644),
                              # Empty, and so masked: nothing puts this machine to sleep.
                              "etc/systemd/system/sleep.target": (b"", 0o644),
                              "var/lib/wardom/.keep": (b"", 0o644),
                              "var/log/.keep": (b"", 0o644),
                              "tmp/.keep": (b"", 0o644)})

    @contextlib.contextmanager
    def booted(self, name: str, first: str = "keeper",
               ) -> Iterator[tuple[machine.Machine, machine.Disk]]:
        """One boot, ended whatever happens; a failure shows its console."""
        print(f"{name}:", flush=True)
        directory = self.directory / name
        directory.mkdir()
        disk = machine.Disk(directory, self.volume)
        started = time.monotonic()
        vm = machine.Machine(directory, self.root, self.initrd, disk, self.own)
        try:
            vm.expect("INIT ready", machine.BOOT_LIMIT_S)
            vm.tell(f"start {first}")
            if first == "keeper":
                vm.expect("feeds the watchdog", 3 * machine.ANSWER_LIMIT_S)
                vm.expect("INIT keeps a descriptor")
                print(f"  booted, lease held after {time.monotonic() - started:.1f} s", flush=True)
            yield vm, disk
        except BaseException:
            print(vm.console())
            raise
        finally:
            vm.close()
            disk.close()


def within(what: str, seconds: float, least: float, most: float) -> None:
    print(f"  {what}: {seconds:.2f} s (allowed {least:.2f} to {most:.2f})", flush=True)
    assert least <= seconds <= most, what


def measure(bench: Bench) -> None:
    """W as an administrator learns it: a reset, then a second run that concludes."""
    for step in ("measure-reset", "measure-conclude"):
        with bench.booted(step, "measure") as (vm, _):
            if step == "measure-reset":
                vm.expect("waits for the reset")
                vm.wait_reset(W_MOST_S + 3)
                continue
            at = vm.expect("W is ")
            line = next(line for when, line in vm.lines if when == at and "W is " in line)
            bench.w_s = int(re.search(r"W is (\d+) ms", line).group(1)) / 1000
            vm.expect("INIT ended measure 0")
            within("measured W", bench.w_s, TIMEOUT_S - 0.5, W_MOST_S)


def healthy_then_stopped_disk(bench: Bench) -> None:
    with bench.booted("daemon-dies-then-disk-stops") as (vm, disk):
        vm.tell("start daemon")
        vm.expect("connected", 3 * machine.ANSWER_LIMIT_S)
        vm.stays_up(2.0)

        stopped = vm.tell(f"signal daemon {signal.SIGSTOP}")
        killed = vm.expect("it hangs, and is killed", 2 * machine.ANSWER_LIMIT_S)
        within("hung daemon killed after", killed - stopped, T_F_S / 2 - 1, T_F_S / 2 + 2)
        vm.expect("daemon epoch 1")
        vm.expect(f"INIT ended daemon -{signal.SIGKILL.value}")
        before = time.monotonic()
        vm.tell("usage keeper")
        vm.stays_up(3 * T_F_S)
        print(f"  up for {time.monotonic() - stopped:.0f} s with wardomd stopped, then dead")

        vm.tell(f"signal keeper {signal.SIGKILL}")
        vm.expect("goes on feeding", since=before)
        vm.stays_up(T_F_S + bench.w_s + 1)
        print("  keeper killed and restarted: no reset")

        vm.tell("start guest")
        at = disk.pause()
        no_starts = vm.expect("no guest is started here", T_F_S, since=at)
        within("no starts after", no_starts - at, T_F_S / 2 - EARLY_S, T_F_S / 2 + 1)
        guest = vm.expect(f"INIT ended guest -{signal.SIGKILL.value}", T_F_S, since=at)
        within("guest killed after", guest - at, T_F_S * 3 / 4 - EARLY_S, T_F_S * 3 / 4 + 1)
        reset = vm.wait_reset(T_F_S + bench.w_s + 2)
        within("reset after the disk's stop", reset - at, T_F_S + TIMEOUT_S - EARLY_S,
               T_F_S + bench.w_s + SEEN_LATE_S)
        for _, line in vm.lines:
            if "INIT usage" in line:
                print("  " + line)


def stopped_keeper(bench: Bench) -> None:
    with bench.booted("keeper-stopped") as (vm, _):
        vm.stays_up(1.0)
        at = vm.tell(f"signal keeper {signal.SIGSTOP}")
        reset = vm.wait_reset(T_F_S + bench.w_s + 2)
        within("reset after SIGSTOP", reset - at, TIMEOUT_S - 1, bench.w_s + SEEN_LATE_S)


def left_and_back(bench: Bench) -> None:
    with bench.booted("left-and-back") as (vm, _):
        vm.tell("rest keeper")
        vm.tell(f"signal keeper {signal.SIGTERM}")
        vm.expect("this host has left")
        vm.expect("INIT forgets a descriptor")
        vm.stays_up(bench.w_s + 3)
        print("  left: no reset without a keeper")

        again = time.monotonic()
        vm.tell("start keeper")
        vm.expect("feeds the watchdog", 3 * machine.ANSWER_LIMIT_S, since=again)
        vm.expect("INIT keeps a descriptor", since=again)
        vm.tell("rest keeper")
        at = vm.tell(f"signal keeper {signal.SIGKILL}")
        vm.tell("drop")  # closes the device for good: having been left once must not stop it
        reset = vm.wait_reset(bench.w_s + 3)
        within("reset after the last close", reset - at, TIMEOUT_S - 1,
               bench.w_s + SEEN_LATE_S + 0.5)


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("programs", "init", "cache"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wardom-vm-") as directory:
        try:
            bench = Bench(options, Path(directory))
        except machine.CannotRun as reason:
            print(f"skipped: {reason}")
            return SKIPPED
        measure(bench)
        healthy_then_stopped_disk(bench)
        stopped_keeper(bench)
        left_and_back(bench)
    print("passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
