#!/usr/bin/python3
"""Hosts that stand still for longer than their lease: what they would run on with is gone when
they could, and their guests run elsewhere, each once.

No BMC answers here, so that no power-off comes first.

Run as root: /usr/bin/python3 test/lab/test_scenarios_resume.py
"""

from __future__ import annotations

import unittest

from scenario_support import ScenarioCase, eventually

from labkit import run

T_F_S = 6.0
W_S = 5.0
# What the lab's recorder, a loaded machine and the last heartbeat before the hang may add.
SLACK_S = 1.5


class Resumed(ScenarioCase):
    up_words = (*ScenarioCase.up_words, "--profile", "fast")

    def setUp(self) -> None:
        super().setUp()
        self.cluster.lab("bmc", "n3", "down")
        self.boot = self.cluster.incarnation("n1", "n3")

    def seconds_since(self, event_ms: int) -> float:
        return (run.now_ms() - event_ms) / 1000

    def when(self, event: str) -> int | None:
        """Of n3, since the test began."""
        return next((e["t_ms"] for e in self.cluster.events(self.began_ms, event)
                     if e["host"] == "n3"), None)

    def await_reset(self, hung_ms: int) -> int:
        """When nothing of the host was left."""
        eventually("the watchdog resets n3", lambda: self.when("watchdog resets"),
                   explain=self.cluster.picture)
        dead_ms = eventually("n3 is dead", lambda: self.when("host dead"))
        self.assertLess(dead_ms - hung_ms, (T_F_S + W_S + SLACK_S) * 1000)
        return dead_ms

    def test_hung_until_its_lease_has_expired(self) -> None:
        """The watchdog has reset it long before anybody calls it dead, so nothing is left to be
        resumed. With its cables out the next boot can tell nobody: the lease alone proves it.
        When it is back among the others it finds the verdict and leaves its guests where they are."""
        for guest in self.guests_of("n3"):
            self.cluster.must("n3", "virsh", "autostart", guest)
        hung_ms = run.now_ms()
        self.cluster.lab("hang", "n3")
        self.cluster.lab("link", "n3", "storage", "down")
        self.cluster.lab("link", "n3", "mgmt", "down")
        dead_ms = self.await_reset(hung_ms)
        where = self.await_recovery("n3")
        self.assert_timeline("n1", "n3", where, proof="lease-expired")
        self.await_state("n3", "dead", "n1", "n2")
        for guest in where:
            self.assertGreater(self.starts_of(guest, 1)[0], dead_ms)
        self.cluster.lab("heal")
        self.await_state("n3", "alive", *self.cluster.host_names)
        self.assertGreater(self.cluster.incarnation("n1", "n3"), self.boot)
        for guest in where:
            eventually(f"n3 has cleaned its stale definition of {guest}",
                       lambda: guest not in self.cluster.defined("n3"),
                       explain=self.cluster.picture)
            self.starts_of(guest, 1)
        truth = self.cluster.truth()
        self.assertEqual({g: truth[g]["running_on"] for g in where},
                         {g: [host] for g, host in where.items()})

    def test_all_but_its_keeper_hung_and_resumed_past_t_f(self) -> None:
        """The keeper's writes do not end, since what serves the volume hangs too. It kills the
        frozen guests before anybody could resume them; the write that lands afterwards is too late
        to save the lease, and the host does not live on."""
        guests = self.guests_of("n3")
        hung_ms = run.now_ms()
        self.cluster.lab("hang", "n3", "--but", "keeper")
        counters = {g: self.cluster.truth()[g]["counter"] for g in guests}
        eventually(f"{guests} are killed", lambda: not any(
            self.cluster.truth()[g]["running_on"] for g in guests), explain=self.cluster.picture)
        self.assertGreater(self.seconds_since(hung_ms), 0.75 * T_F_S - SLACK_S)
        self.assertLess(self.seconds_since(hung_ms), T_F_S)
        eventually("T_F has passed", lambda: self.seconds_since(hung_ms) > T_F_S + 0.5)
        self.cluster.lab("resume", "n3")
        dead_ms = self.await_reset(hung_ms)
        for guest in guests:
            self.assertEqual(self.cluster.truth()[guest]["counter"], counters[guest])
        where = self.await_started_once(guests, ["n1", "n2"])
        self.await_proof("n3", "rebooted")
        for guest in where:
            self.assertGreater(self.starts_of(guest, 1)[0], dead_ms)
        self.assert_untouched(set(self.before) - set(guests))


if __name__ == "__main__":
    unittest.main(verbosity=2)
