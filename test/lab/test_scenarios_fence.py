#!/usr/bin/python3
"""fence_wardom, run as Pacemaker's fencer runs it: it succeeds by a proof, which it names, and the host
is off; its guests run elsewhere, exactly once.

Run as root: /usr/bin/python3 test/lab/test_scenarios_fence.py
"""

from __future__ import annotations

import unittest

from scenario_support import ScenarioCase, each, eventually


class Fence(ScenarioCase):
    # A host whose BMC is dead is fenced by its lease; the fast profile's D and L_late fit in.
    up_words = ("--hosts", "3", "--guests", "3", "--profile", "fast")

    def fence(self, asked: str, victim: str, action: str = "off", code: int = 0,
              more: str = "") -> str:
        done = self.cluster.run(asked, "fence_wardom",
                                stdin=f"action={action}\nnodename={victim}\nplug={victim}\n{more}")
        self.assertEqual(done.returncode, code, f"{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def victim_of(self, *but: str) -> str:
        """A host that neither decides nor is one of these."""
        return self.cluster.others(self.await_decider(), *but)[-1]

    def test_living_host_is_powered_off_and_comes_back(self) -> None:
        victim = self.victim_of()
        guests = self.guests_of(victim)
        asked = self.cluster.others(victim)[0]
        incarnation = self.cluster.incarnation(asked, victim)
        self.assertIn("fenced, by power-off", self.fence(asked, victim, "reboot"))
        self.await_started_once(guests, [asked])
        eventually("it has power", lambda: self.cluster.is_powered(victim))
        self.await_state(victim, "alive", *self.cluster.host_names)
        self.assertGreater(self.cluster.incarnation(asked, victim), incarnation)

    def test_the_decider_itself_is_fenced(self) -> None:
        victim = self.await_decider()
        guests = self.guests_of(victim)
        asked = self.cluster.others(victim)[-1]  # not the next in line
        self.assertIn("fenced, by power-off", self.fence(asked, victim))
        self.assertFalse(self.cluster.is_powered(victim))
        self.await_started_once(guests, self.cluster.others(victim))

    def test_bmc_dead_waits_for_the_lease(self) -> None:
        victim = self.victim_of()
        guests = self.guests_of(victim)
        asked = self.cluster.others(victim)[0]
        self.cluster.lab("pull", victim)
        self.assertIn("fenced, by lease-expired", self.fence(asked, victim))
        self.await_started_once(guests, self.cluster.others(victim))

    def test_dead_host_is_fenced_at_once(self) -> None:
        victim = self.victim_of()
        asked = self.cluster.others(victim)[0]
        self.cluster.lab("cut", victim)
        self.await_state(victim, "dead", asked)
        for _ in range(2):
            self.assertIn("fenced, by power-off", self.fence(asked, victim))

    def test_the_only_wardomd_left_fences(self) -> None:
        asked = "n1"
        others = self.cluster.others(asked)
        each(lambda host: self.cluster.ask_manager(host, "stop", "wardomd"), others)
        victim = others[-1]
        guests = self.guests_of(victim)
        self.assertIn("fenced, by power-off", self.fence(asked, victim))
        self.assertFalse(self.cluster.is_powered(victim))
        self.await_started_once(guests, [asked])

    def test_without_a_wardomd_here_the_bmc_is_asked(self) -> None:
        asked = "n1"
        victim = self.victim_of(asked)
        guests = self.guests_of(victim)
        self.cluster.ask_manager(asked, "stop", "wardomd")
        self.assertIn("reads off, 2 times", self.fence(asked, victim))
        self.assertFalse(self.cluster.is_powered(victim))
        self.await_started_once(guests, self.cluster.others(victim, asked))

    def test_disarmed_nothing_is_powered_off(self) -> None:
        victim = self.victim_of()
        asked = self.cluster.others(victim)[0]
        self.cluster.must(asked, "wardomctl", "disarm")
        self.addCleanup(self.cluster.must, asked, "wardomctl", "arm")
        self.assertIn("disarmed", self.fence(asked, victim, code=1))
        self.assertTrue(self.cluster.is_powered(victim))
        self.assert_nobody_dead()
        self.cluster.must(asked, "wardomctl", "arm")
        eventually("armed", lambda: self.cluster.status(asked)["armed"])


if __name__ == "__main__":
    unittest.main()
