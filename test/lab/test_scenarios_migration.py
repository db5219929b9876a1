#!/usr/bin/python3
"""Live migration: a guest goes on elsewhere, or where it was; whatever dies, it runs once.

Run as root: /usr/bin/python3 test/lab/test_scenarios_migration.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import unittest
from collections.abc import Callable

from scenario_support import ScenarioCase, eventually, lab_hosts, views
from labkit import guest as lab_guest

LIMIT_S = 60.0
# The guest adds one each tick of its BIOS. Two that run, on one disk, go at twice that pace.
TICK_S = 0.055
PACE_WINDOW_S = 2.0
PACE_SLACK = 1.4


class Watched:
    """Reads a guest's counter from its disk all the while."""

    def __init__(self, disk: str) -> None:
        self.disk = disk
        self.samples: list[tuple[float, lab_guest.Sample]] = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self) -> None:
        descriptor = os.open(self.disk, os.O_RDONLY)
        try:
            while not self.ended.wait(0.005):
                now = lab_guest.sample(descriptor)
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

    def assert_one_writer(self, case: unittest.TestCase) -> None:
        """The counter never falls, and its pace is that of one guest."""
        before: list[tuple[float, int]] = []
        for at, sample in self.samples:
            before = [one for one in before if at - one[0] <= PACE_WINDOW_S]
            if before:
                case.assertGreater(sample.counter, before[-1][1])
                grown = sample.counter - before[0][1]
                most = 5 + PACE_SLACK * (at - before[0][0]) / TICK_S
                case.assertLess(grown, most, "two of it write")
            before.append((at, sample.counter))


class Migration(ScenarioCase):
    up_words = ("--hosts", "3", "--guests", "3", "--profile", "fast")

    def watched(self, guest: str) -> Watched:
        return Watched(str(self.cluster.record.disks / "guests" / guest))

    def home(self, guest: str) -> str:
        return self.cluster.truth()[guest]["running_on"][0]

    def migrate(self, guest: str, source: str, target: str,
                *words: str) -> subprocess.CompletedProcess:
        return self.cluster.run(source, "wardomctl", "guest", "migrate", guest, target, *words)

    def await_ready(self, target: str) -> None:
        """It would be assigned a guest: it is alive, and its libvirt answers."""
        eventually(f"{target} is ready", lambda: self.cluster.all_alive() and not any(
            "libvirt" in problem for problem in self.cluster.problems(target)),
                   explain=self.cluster.picture)

    def incoming_on(self, guest: str, host: str) -> bool:
        return any(name == host and incoming for name, _, incoming in
                   views.qemu_processes(self.cluster.record)[guest])

    def assert_held(self, guest: str, host: str) -> None:
        """It counts there and nowhere else, and all say so."""
        def held() -> bool:
            entry = self.cluster.truth()[guest]
            return entry["counting"] and entry["running_on"] == [host] and all(
                (lambda view: view.get("owner") == host and view.get("state") == "running")(
                    self.cluster.guest_view(asked, guest))
                for asked in self.cluster.answering())
        eventually(f"{guest} runs on {host}, and all say so", held, LIMIT_S, self.cluster.picture)

    def test_sent_and_sent_back(self) -> None:
        source = self.home("g1")
        target, third = self.cluster.others(source)
        with self.watched("g1") as watched:
            for step, (off, on) in enumerate(((source, target), (target, third),
                                              (third, source))):
                self.await_ready(on)
                began = time.monotonic()
                done = self.migrate("g1", off, on)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(done.stdout, f"guest g1 runs on {on}\n")
                print(f"migration {step + 1}: {time.monotonic() - began:.2f} s as a command",
                      file=sys.stderr)
                self.assert_held("g1", on)
                self.assertEqual(self.migrate("g1", off, on).returncode, 0, "done already")
                eventually(f"{off} has cleaned its definition",
                           lambda: "g1" not in self.cluster.defined(off))
        self.assertEqual(len(watched.boots()), 1, "it booted anew")
        watched.assert_one_writer(self)
        print(f"longest standstill of the counter: {watched.longest_still_s() * 1000:.0f} ms",
              file=sys.stderr)
        self.assertLess(watched.longest_still_s(), 5.0)
        self.assertIn("wardom:guest", self.cluster.must(source, "virsh", "dumpxml", "g1"))
        self.assertIn("Autostart:      disable",
                      self.cluster.must(source, "virsh", "dominfo", "g1"))
        self.assert_all_untouched()

    def test_what_cannot_go_stays(self) -> None:
        source = self.home("g1")
        target, third = self.cluster.others(source)
        with self.watched("g1") as watched:
            for words, reason in ((("g1", source), "is this host"), (("g1", "nowhere"), "no host"),
                                  (("nobody", target), "no protected guest")):
                done = self.cluster.run(source, "wardomctl", "guest", "migrate", *words)
                self.assertNotEqual(done.returncode, 0, words)
                self.assertIn(reason, done.stderr)
            done = self.migrate("g1", third, target)
            self.assertIn(f"but on {source}", done.stderr)

            self.cluster.lab("service", target, "libvirtd", "stop")
            done = self.migrate("g1", source, target, "--timeout", "10s")
            self.assertEqual(done.returncode, 1, done.stdout)
            self.cluster.lab("service", target, "libvirtd", "start")
            self.assert_held("g1", source)

            self.await_ready(target)
            self.cluster.lab("link", target, "storage", "down")
            done = self.migrate("g1", source, target, "--timeout", "10s")
            self.cluster.lab("link", target, "storage", "up")
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assert_held("g1", source)

            self.await_ready(target)
            done = self.in_the_middle("g1", source, target, lambda: self.cluster.lab(
                "service", target, "libvirtd", "hang"), "--timeout", "3s")
            self.cluster.lab("service", target, "libvirtd", "resume")
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assert_held("g1", source)
            eventually("nothing is left of it there", lambda: not self.incoming_on("g1", target),
                       LIMIT_S, self.cluster.picture)
        self.assertEqual(len(watched.boots()), 1, "it booted anew")
        watched.assert_one_writer(self)

    def in_the_middle(self, guest: str, source: str, target: str, fault: Callable[[], object],
                      *words: str) -> subprocess.CompletedProcess:
        """The fault, once there is a QEMU that waits for the guest."""
        answers: list[subprocess.CompletedProcess] = []
        asking = threading.Thread(
            target=lambda: answers.append(self.migrate(guest, source, target, *words)))
        asking.start()
        eventually(f"{guest} arrives at {target}", lambda: self.incoming_on(guest, target),
                   LIMIT_S, self.cluster.picture)
        fault()
        asking.join()
        return answers[0]

    def test_source_dies_in_the_middle(self) -> None:
        source = self.home("g1")
        target, _ = self.cluster.others(source)
        record = self.cluster.record
        with self.watched("g1") as watched:
            self.in_the_middle("g1", source, target,
                               lambda: lab_hosts.cut(record, record.host(source)))
            self.runs_once("g1", *self.cluster.others(source))
        watched.assert_one_writer(self)

    def test_target_dies_in_the_middle(self) -> None:
        source = self.home("g1")
        target, third = self.cluster.others(source)
        record = self.cluster.record
        with self.watched("g1") as watched:
            self.in_the_middle("g1", source, target,
                               lambda: lab_hosts.cut(record, record.host(target)))
            self.runs_once("g1", source, third)
        watched.assert_one_writer(self)

    def runs_once(self, guest: str, *hosts: str) -> None:
        def once() -> bool:
            entry = self.cluster.truth()[guest]
            return entry["counting"] and len(entry["running_on"]) == 1 \
                and entry["running_on"][0] in hosts
        eventually(f"{guest} runs once, on one of {hosts}", once, LIMIT_S, self.cluster.picture)
        self.assert_held(guest, self.home(guest))


if __name__ == "__main__":
    unittest.main(verbosity=2)
