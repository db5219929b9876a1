#!/usr/bin/python3
"""Cables and splits: a warning and nothing else; every guest stays where it is.

The state volume and the guests' disks are on the storage network, so a host without that link also
loses its disk heartbeat, and its guests wait for their disks. A split leaves all that alone.

Run as root: /usr/bin/python3 test/lab/test_scenarios_links.py
"""

from __future__ import annotations

import unittest

from scenario_support import ScenarioCase, eventually

WATCH_S = 2.0


class Cables(ScenarioCase):
    def healed(self) -> None:
        self.cluster.lab("heal")
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        self.assert_all_untouched()

    def watch(self) -> None:
        self.quiet_watch(WATCH_S, also=self.assert_nobody_dead)


class LinkDown(Cables):
    def test_management_link_down(self) -> None:
        self.cluster.lab("link", "n3", "mgmt", "down")
        self.await_state("n3", "mgmt-lost", "n1", "n2")
        self.await_state("n1", "mgmt-lost", "n3")
        self.await_problem("n1", "n3", "mgmt-lost")
        self.assertEqual(self.cluster.host_view("n1", "n3")["links"],
                         {"mgmt": "down", "storage": "up"})
        self.watch()
        self.assert_all_untouched()
        self.healed()

    def test_management_link_of_the_decider_down(self) -> None:
        self.cluster.lab("link", "n1", "mgmt", "down")
        self.await_state("n1", "mgmt-lost", "n2", "n3")
        self.await_state("n2", "mgmt-lost", "n1")
        self.watch()
        self.assert_all_untouched()
        self.healed()

    def test_management_link_that_does_not_send(self) -> None:
        self.cluster.lab("link", "n3", "mgmt", "down", "--one-way", "out")
        self.await_state("n3", "mgmt-lost", "n1", "n2")
        self.assertEqual(self.cluster.state("n3", "n1"), "alive")
        self.watch()
        self.assert_all_untouched()
        self.healed()

    def test_management_link_that_does_not_receive(self) -> None:
        self.cluster.lab("link", "n3", "mgmt", "down", "--one-way", "in")
        self.await_state("n1", "mgmt-lost", "n3")
        self.await_state("n2", "mgmt-lost", "n3")
        self.assertEqual(self.cluster.state("n1", "n3"), "alive")
        self.watch()
        self.assert_all_untouched()
        self.healed()


class StorageLinkDown(Cables):
    """Without a watchdog, and so without a lease, no host ends its guests for want of the disk."""

    up_words = ("--hosts", "3", "--guests", "4", "--no-watchdog")

    def assert_waits_for_its_disk(self, guest: str) -> None:
        eventually(f"{guest} stands still",
                   lambda: not self.cluster.truth()[guest]["counting"])

    def test_storage_link_down(self) -> None:
        self.cluster.lab("link", "n3", "storage", "down")
        self.await_state("n3", "storage-lost", "n1", "n2")
        self.await_state("n1", "storage-lost", "n3")
        self.await_problem("n1", "n3", "storage-lost")
        self.await_problem("n3", "n3", "reads of the state volume do not complete")
        self.assert_waits_for_its_disk("g3")
        self.watch()
        self.assert_untouched(["g1", "g2", "g4"])
        self.healed()

    def test_storage_link_of_the_decider_down(self) -> None:
        self.cluster.lab("link", "n1", "storage", "down")
        self.await_state("n1", "storage-lost", "n2", "n3")
        self.assert_waits_for_its_disk("g1")
        self.watch()
        self.assert_untouched(["g2", "g3"])
        self.healed()

    def test_storage_link_one_way(self) -> None:
        """Beats go one way, the disk needs both: the slot stands still beside fresh beats."""
        for blocked, state in (("out", "storage-lost"), ("in", "storage-cut")):
            with self.subTest(blocked=blocked):
                self.cluster.lab("link", "n3", "storage", "down", "--one-way", blocked)
                self.await_state("n3", state, "n1", "n2")
                self.assert_waits_for_its_disk("g3")
                self.watch()
                self.assert_untouched(["g1", "g2", "g4"])
                self.healed()


class Split(ScenarioCase):
    """Both links blocked between two groups; storage and BMCs stay in reach of both."""

    def split(self, alone: str, pair: tuple[str, str]) -> None:
        self.cluster.lab("split", f"{alone}|{pair[0]},{pair[1]}")
        self.await_state(alone, "isolated", *pair)
        for other in pair:
            self.await_state(other, "split", alone)
        self.assertEqual(self.cluster.state(pair[0], pair[1]), "alive")
        # An owner whose group is outweighed gives the lock up; all learn from the volume who has it.
        eventually("one decides among the two, in all eyes",
                   lambda: [self.cluster.status(host)["decider"] for host in (alone, *pair)]
                   in ([pair[0]] * 3, [pair[1]] * 3), explain=self.cluster.picture)
        self.await_problem(pair[0], alone, "isolated")
        self.quiet_watch(3.0, also=self.assert_nobody_dead)
        self.assert_all_untouched()
        self.cluster.lab("heal")
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        self.assert_all_untouched()

    def test_decider_alone(self) -> None:
        self.split("n1", ("n2", "n3"))

    def test_last_host_alone(self) -> None:
        self.split("n3", ("n1", "n2"))

    def test_everybody_alone(self) -> None:
        self.cluster.lab("split", "n1|n2|n3")
        for asked in self.cluster.host_names:
            for about in self.cluster.others(asked):
                self.await_state(about, "isolated", asked)
        eventually("the host with the most guests decides", lambda: all(
            self.cluster.status(host)["decider"] == "n1" for host in self.cluster.host_names),
                   explain=self.cluster.picture)
        self.quiet_watch(3.0, also=self.assert_nobody_dead)
        self.assert_all_untouched()


if __name__ == "__main__":
    unittest.main(verbosity=2)
