#!/usr/bin/python3
"""The watcher of chaos runs: does it see a second runner, a second writer, a guest that stops?

No HA software is involved (stack none), so nothing keeps the test from doing what must never be.

Run as root: /usr/bin/python3 test/lab/test_chaos_itself.py
"""

from __future__ import annotations

import os
import signal
import unittest

from chaos_watch import Watch
from scenario_support import GUEST_XML, ROOT, Cluster, eventually, lab_hosts, views


class Watching(unittest.TestCase):
    cluster: Cluster

    @classmethod
    def setUpClass(cls) -> None:
        if not ROOT:
            raise unittest.SkipTest("needs root")
        cls.cluster = Cluster(f"w{os.getpid()}")
        cls.addClassCleanup(cls.cluster.down)
        cls.cluster.up("--stack", "none", "--hosts", "2", "--guests", "2")

    def watch(self, guests_never_stop: bool) -> Watch:
        watch = Watch(self.cluster, guests_never_stop)
        watch.start()
        self.addCleanup(watch.end)
        eventually("it has looked", lambda: watch.samples > 2)
        return watch

    def assert_violated(self, watch: Watch, text: str) -> None:
        eventually(f"it says {text}", watch.violated.is_set)
        assert watch.violation is not None
        self.assertIn(text, watch.violation)

    def kill(self, guest: str, host: str) -> None:
        for where, pid, _ in views.qemu_processes(self.cluster.record)[guest]:
            if where == host:
                os.kill(pid, signal.SIGKILL)

    def test_a_second_runner(self) -> None:
        watch = self.watch(False)
        self.cluster.must("n2", "virsh", "create", GUEST_XML.format("g1"))
        self.addCleanup(self.cluster.run, "n2", "virsh", "destroy", "g1")
        self.assert_violated(watch, "two runners of g1")

    def test_a_late_writer(self) -> None:
        """A host that stood still goes on: the disk sees its guest's old life write again."""
        record = self.cluster.record
        self.cluster.lab("hang", "n1")
        self.cluster.must("n2", "virsh", "create", GUEST_XML.format("g1"))
        self.addCleanup(self.cluster.run, "n2", "virsh", "destroy", "g1")
        eventually("g1 counts on n2", lambda: self.cluster.truth()["g1"]["counting"])
        watch = self.watch(False)
        lab_hosts.resume(record, record.host("n1"))
        eventually("it sees the disk change hands", lambda: any(
            event["event"] == "two writers" for event in watch.events))
        self.assertTrue(watch.violated.is_set())

    def test_a_guest_that_stops(self) -> None:
        allowed, forbidden = self.watch(False), self.watch(True)
        self.kill("g2", "n2")
        self.assert_violated(forbidden, "g2 stopped on n2")
        eventually("it is noted", lambda: [stop.guest for stop in allowed.stops] == ["g2"])
        self.assertFalse(allowed.violated.is_set())
        eventually("libvirt has noticed too", lambda: self.cluster.run(
            "n2", "virsh", "start", "g2").returncode == 0)
        eventually("its start is noted", lambda: any(
            event["event"] == "boot changed" for event in allowed.events))
        self.assertFalse(allowed.violated.is_set())


if __name__ == "__main__":
    unittest.main(verbosity=2)
