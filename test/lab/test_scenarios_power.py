#!/usr/bin/python3
"""Hosts that lose power: every guest runs elsewhere, exactly once, and none at home again.

Run as root: /usr/bin/python3 test/lab/test_scenarios_power.py
"""

from __future__ import annotations

import unittest

from scenario_support import GUEST_XML, ScenarioCase, each, eventually, lab_hosts

# What hosts need to boot, to see each other and to start a guest, on a loaded machine.
BOOT_AND_START_S = 10.0


class PowerCut(ScenarioCase):
    def assert_recovered(self, victim: str) -> dict[str, str]:
        where = self.await_recovery(victim)
        for asked in self.cluster.others(victim):
            self.await_state(victim, "dead", asked)
            self.assert_timeline(asked, victim, where)
        return where

    def assert_returns_without_old_guests(self, victim: str, incarnation: int) -> None:
        """It comes back under a higher incarnation, and its old guests stay where they are."""
        guests = self.guests_of(victim)
        asked = self.cluster.others(victim)[0]
        self.cluster.lab("power", victim, "on")
        self.await_state(victim, "alive", *self.cluster.host_names)
        self.assertGreater(self.cluster.incarnation(asked, victim), incarnation)

        def cleaned() -> bool:
            return not set(guests) & set(self.cluster.must(
                victim, "virsh", "list", "--all", "--name").split())

        eventually(f"stale definitions of {victim} are gone", cleaned,
                   explain=lambda: self.cluster.must(victim, "virsh", "list", "--all"))
        for guest in guests:
            self.assert_refused(victim, guest)
        truth = self.cluster.truth()
        for guest in guests:
            self.assertNotIn(victim, truth[guest]["running_on"])
            boots = [e for e in self.cluster.starts(self.began_ms) if e["guest"] == guest]
            self.assertEqual(len(boots), 1, f"{guest} was started once: {boots}")

    def assert_refused(self, host: str, guest: str) -> None:
        """An administrator's start there is refused with the hook's reason."""
        owner = self.cluster.truth()[guest]["running_on"][0]
        done = self.cluster.run(host, "virsh", "create", GUEST_XML.format(guest))
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f"Wardom refuses prepare of guest {guest}", done.stderr)
        self.assertIn(f"on {owner}", done.stderr)
        # Defined by hand it would be removed at once: the two race, and neither starts it.
        done = self.cluster.run(host, "virsh", f"define {GUEST_XML.format(guest)}; start {guest}")
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(self.cluster.truth()[guest]["running_on"], [owner])

    def cut_and_return(self, victim: str) -> None:
        guests = self.guests_of(victim)
        for guest in guests:
            self.cluster.must(victim, "virsh", "autostart", guest)
        incarnation = self.cluster.incarnation(self.cluster.others(victim)[0], victim)
        self.cluster.lab("cut", victim)
        self.assert_recovered(victim)
        self.assert_returns_without_old_guests(victim, incarnation)

    def test_cut_of_the_decider(self) -> None:
        self.cut_and_return(self.await_decider())

    def test_cut_of_the_next_in_line(self) -> None:
        self.cut_and_return(self.cluster.others(self.await_decider())[0])

    def test_cut_of_the_last_host(self) -> None:
        self.cut_and_return(self.cluster.others(self.await_decider())[-1])

    def test_power_off_of_the_decider_by_its_bmc(self) -> None:
        victim = self.await_decider()
        incarnation = self.cluster.incarnation(victim, victim)
        self.cluster.lab("power", victim, "off")
        self.assert_recovered(victim)
        self.assert_returns_without_old_guests(victim, incarnation)


class WholeDomain(ScenarioCase):
    """All hosts lose power at once. Nobody is left who saw it: what tells the hosts that come back
    is the volume, where no slot of that time ever grows again."""

    def setUp(self) -> None:
        super().setUp()
        profile = self.cluster.status("n1")["profile"]
        self.wait_s = profile["d_s"] + profile["l_late_s"]

    def cut_all(self) -> None:
        record = self.cluster.record
        each(lambda host: lab_hosts.cut(record, host), record.hosts)

    def power_on(self, hosts: list[str]) -> None:
        each(lambda host: self.cluster.lab("power", host, "on"), hosts)

    def assert_guests_return(self, hosts: list[str]) -> dict[str, str]:
        """By themselves, each once, when every lease of that time is certainly over."""
        where = self.await_started_once(self.before, hosts, self.wait_s + 3 * BOOT_AND_START_S)
        dead = max(e["t_ms"] for e in self.cluster.events(self.began_ms, "host dead"))
        on = max(e["t_ms"] for e in self.cluster.events(self.began_ms, "power on"))
        for guest in self.before:
            started, = self.starts_of(guest, 1)
            self.assertGreater(started - dead, self.wait_s * 1000, guest)
            self.assertLess(started - on, (self.wait_s + BOOT_AND_START_S) * 1000, guest)
        for victim in self.cluster.host_names:
            self.await_proof(victim, "lease-expired")
        return where

    def test_all_power_lost_and_back(self) -> None:
        boots = {host: self.cluster.incarnation(host, host) for host in self.cluster.host_names}
        for host in boots:  # the first idea of a libvirtd that boots
            for guest in self.guests_of(host):
                self.cluster.must(host, "virsh", "autostart", guest)
                self.addCleanup(self.cluster.run, host, "virsh", "autostart", "--disable", guest)
        self.cut_all()
        self.power_on(self.cluster.host_names)
        self.assert_guests_return(self.cluster.host_names)
        for host, before in boots.items():
            self.assertEqual(self.cluster.incarnation(host, host), before + 1)

    def test_all_power_lost_and_one_host_stays_away(self) -> None:
        self.cut_all()
        self.power_on(["n1", "n2"])
        where = self.assert_guests_return(["n1", "n2"])
        self.assertEqual(set(where.values()), {"n1", "n2"})
        self.power_on(["n3"])
        self.await_state("n3", "alive", *self.cluster.host_names)
        for guest in self.guests_of("n3"):
            eventually(f"n3 has cleaned its stale definition of {guest}",
                       lambda: guest not in self.cluster.defined("n3"),
                       explain=self.cluster.picture)
            self.starts_of(guest, 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
