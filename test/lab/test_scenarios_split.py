#!/usr/bin/python3
"""Deaths in a divided domain: the heaviest group decides and recovers, down to a single survivor;
the others keep their guests and start nothing.

Run as root: /usr/bin/python3 test/lab/test_scenarios_split.py
"""

from __future__ import annotations

import unittest

from scenario_support import ScenarioCase, eventually

# D + L_late of the lab's volume, and time to start on a busy machine.
LEASE_LIMIT_S = 40.0


class Divided(ScenarioCase):
    """Four hosts, one guest each."""

    up_words = ("--hosts", "4", "--guests", "4")

    def await_decider(self, *wanted: str) -> str:
        """The one that all powered hosts name."""
        def agreed() -> str | None:
            named = {self.cluster.status(host)["decider"] for host in self.cluster.answering()}
            return named.pop() if len(named) == 1 and named <= set(wanted) else None
        return eventually(f"all say that one of {wanted} decides", agreed,
                          explain=self.cluster.picture)

    def await_started_on(self, victim: str, hosts: tuple[str, ...], limit_s: float) -> None:
        guests = self.guests_of(victim)

        def recovered() -> bool:
            truth = self.cluster.truth()
            return all(truth[g]["counting"] and truth[g]["boot"] != self.before[g]["boot"]
                       and len(truth[g]["running_on"]) == 1 for g in guests)
        eventually(f"{guests} of {victim} count again", recovered, limit_s, self.cluster.picture)
        truth = self.cluster.truth()
        for guest in guests:
            self.assertIn(truth[guest]["running_on"][0], hosts)
            boots = [e for e in self.cluster.starts(self.began_ms) if e["guest"] == guest]
            self.assertEqual(len(boots), 1, f"{guest} was started once: {boots}")

    def keep_theirs(self, *dead: str) -> None:
        lost = {g for host in dead for g in self.guests_of(host)}
        self.assert_untouched(set(self.before) - lost)

    def test_two_and_two(self) -> None:
        """As many hosts and guests on both sides: the owner keeps the lock, nothing moves. Then a
        host of either side loses power, and only the deciding side starts what it had."""
        self.cluster.make_decider("n3")
        self.cluster.lab("split", "n1,n2|n3,n4")
        for asked, about in (("n1", "n3"), ("n3", "n1"), ("n2", "n4"), ("n4", "n2")):
            self.await_state(about, "split", asked)
        self.await_decider("n3")
        self.await_problem("n3", "split")
        self.quiet_watch(3.0, also=self.assert_nobody_dead)
        self.assert_all_untouched()
        self.cluster.lab("cut", "n1")
        self.await_started_on("n1", ("n3", "n4"), LEASE_LIMIT_S)
        self.assertEqual(self.cluster.status("n3")["decider"], "n3")
        self.keep_theirs("n1")

    def test_the_decider_dies_in_its_group(self) -> None:
        """The three that are left agree on another decider, while one of them is cut off."""
        self.cluster.make_decider("n1")
        self.cluster.lab("split", "n4|n1,n2,n3")
        self.await_state("n4", "isolated", "n1", "n2", "n3")
        self.cluster.lab("cut", "n1")
        self.await_started_on("n1", ("n2", "n3"), LEASE_LIMIT_S)
        self.await_decider("n2", "n3")
        self.keep_theirs("n1")

    def test_a_single_survivor(self) -> None:
        """The power of three hosts goes at once, and their BMCs with it."""
        self.cluster.make_decider("n1")
        for host in ("n1", "n2", "n3"):
            self.cluster.lab("pull", host)
        for host in ("n1", "n2", "n3"):
            self.await_started_on(host, ("n4",), LEASE_LIMIT_S)
        self.assertEqual(self.cluster.status("n4")["decider"], "n4")
        self.keep_theirs("n1", "n2", "n3")


class Two(ScenarioCase):
    """A domain of two hosts: whoever is left decides."""

    up_words = ("--hosts", "2", "--guests", "2")

    def test_the_decider_loses_power(self) -> None:
        self.cluster.make_decider("n1")
        self.cluster.lab("cut", "n1")
        self.assert_timeline("n2", "n1", self.await_recovery("n1"))

    def test_the_other_is_pulled(self) -> None:
        self.cluster.make_decider("n1")
        self.cluster.lab("pull", "n2")
        self.assert_timeline("n1", "n2", self.await_recovery("n2", LEASE_LIMIT_S),
                             proof="lease-expired")

    def test_the_links_between_them(self) -> None:
        self.cluster.make_decider("n1")
        self.cluster.lab("split", "n1|n2")
        for asked, about in (("n1", "n2"), ("n2", "n1")):
            self.await_state(about, "isolated", asked)
        self.quiet_watch(4.0, also=self.assert_nobody_dead)
        for host in ("n1", "n2"):
            self.assertEqual(self.cluster.status(host)["decider"], "n1")
        self.assert_all_untouched()


if __name__ == "__main__":
    unittest.main(verbosity=2)
