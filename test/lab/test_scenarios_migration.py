#!/usr/bin/python3
"""Live migration: a guest goes on elsewhere, or where it was; whatever dies, it runs once.

Run as root: /usr/bin/python3 test/lab/test_scenarios_migration.py
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import unittest
from collections.abc import Callable

from scenario_support import ScenarioCase, eventually, lab_hosts, views
from labkit.watched import Watched

LIMIT_S = 60.0


class Migration(ScenarioCase):
    up_words = ("--hosts", "3", "--guests", "3", "--profile", "fast")

    def watched(self, guest: str) -> Watched:
        return Watched(self.cluster.record.disks / "guests" / guest)

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
        self.assertEqual(watched.second_writer(), "")
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
        self.assertEqual(watched.second_writer(), "")

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
        self.assertEqual(watched.second_writer(), "")

    def test_target_dies_in_the_middle(self) -> None:
        source = self.home("g1")
        target, third = self.cluster.others(source)
        record = self.cluster.record
        with self.watched("g1") as watched:
            self.in_the_middle("g1", source, target,
                               lambda: lab_hosts.cut(record, record.host(target)))
            self.runs_once("g1", source, third)
        self.assertEqual(watched.second_writer(), "")

    def runs_once(self, guest: str, *hosts: str) -> None:
        def once() -> bool:
            entry = self.cluster.truth()[guest]
            return entry["counting"] and len(entry["running_on"]) == 1 \
                and entry["running_on"][0] in hosts
        eventually(f"{guest} runs once, on one of {hosts}", once, LIMIT_S, self.cluster.picture)
        self.assert_held(guest, self.home(guest))


if __name__ == "__main__":
    unittest.main(verbosity=2)
