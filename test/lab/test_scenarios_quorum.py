#!/usr/bin/python3
"""Wardom as corosync's quorum device: the ring that holds the domain lock's owner has quorum, down to
a single host, and no other ring has it.

Run as root: /usr/bin/python3 test/lab/test_scenarios_quorum.py
"""

from __future__ import annotations

import unittest

from scenario_support import ScenarioCase, each, eventually

# What passes the lock on, with a lease that has to expire, and corosync's vote that has to be forgotten.
LIMIT_S = 60.0


class QuorumDevice(ScenarioCase):
    """Three hosts, set up by `wardomctl quorum setup` on all of them at once."""

    up_words = ("--hosts", "3", "--guests", "3")

    def setUp(self) -> None:
        super().setUp()
        cluster = self.cluster
        each(lambda host: cluster.must(host, "wardomctl", "quorum", "setup"), cluster.host_names)
        each(lambda host: cluster.must(host, "corosync-cfgtool", "-R"), cluster.host_names)
        files = {cluster.must(host, "cat", "/etc/corosync/corosync.conf")
                 for host in cluster.host_names}
        self.assertEqual(len(files), 1, files)
        self.await_casts(*cluster.host_names)

    def quorate(self, host: str) -> bool | None:
        """As corosync says on the host."""
        said = self.cluster.run(host, "corosync-quorumtool", "-s").stdout
        words = [line.split() for line in said.splitlines()]
        return next((w[1] == "Yes" for w in words if w[:1] == ["Quorate:"]), None)

    def casts(self, host: str) -> bool:
        status = self.cluster.status(host)
        return bool(status and status["quorum_device"] and status["quorum_device"]["casts"])

    def explain(self) -> str:
        return "\n".join(f"{host}: {(self.cluster.status(host) or {}).get('quorum_device')}"
                         for host in self.cluster.answering())

    def await_casts(self, *hosts: str) -> None:
        eventually(f"{hosts} cast", lambda: all(self.casts(h) for h in hosts), LIMIT_S,
                   self.explain)

    def await_quorum(self, **hosts: bool) -> None:
        eventually(f"quorum is {hosts}",
                   lambda: all(self.quorate(h) == has for h, has in hosts.items()), LIMIT_S,
                   self.explain)

    def await_owner(self, *wanted: str) -> str:
        """On whom all agree that answer."""
        def agreed() -> str | None:
            decider = self.cluster.decider()
            return decider if decider in wanted else None
        return eventually(f"one of {wanted} decides", agreed, LIMIT_S, self.cluster.picture)

    def test_down_to_one_host(self) -> None:
        """Two hosts lose power one after the other, the lock's owner first; then they come back."""
        self.cluster.make_decider("n1")
        self.cluster.lab("cut", "n1")
        owner = self.await_owner("n2", "n3")
        self.await_quorum(n2=True, n3=True)
        self.await_casts("n2", "n3")
        last = "n3" if owner == "n2" else "n2"
        self.cluster.lab("cut", owner)
        self.await_owner(last)
        self.await_casts(last)
        self.await_quorum(**{last: True})

    def test_the_group_without_the_owner_loses_it(self) -> None:
        """The owner is cut off, and gives the lock up to the two others."""
        self.cluster.make_decider("n1")
        self.cluster.lab("split", "n1|n2,n3")
        self.await_quorum(n1=False, n2=True, n3=True)
        self.await_casts("n2", "n3")
        self.assertFalse(self.casts("n1"))
        self.cluster.lab("heal")
        self.await_casts("n1", "n2", "n3")

    def test_a_new_owner_costs_no_quorum(self) -> None:
        """The owner's wardomd is killed in a ring that has quorum by the device's vote alone: the lock
        passes on, and neither corosync hears of it."""
        self.cluster.make_decider("n1")
        self.cluster.lab("cut", "n3")
        self.await_state("n3", "dead", "n1", "n2")
        self.await_quorum(n1=True, n2=True)
        self.await_casts("n1", "n2")
        self.cluster.kill_service("n1", "wardomd")

        def passed_on() -> bool:
            for host in ("n1", "n2"):
                self.assertTrue(self.quorate(host), self.explain())
            return self.cluster.decider() == "n2" and self.casts("n1") and self.casts("n2")

        eventually("n2 decides and both cast", passed_on, LIMIT_S, self.cluster.picture)


if __name__ == "__main__":
    unittest.main()
