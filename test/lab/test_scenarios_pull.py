#!/usr/bin/python3
"""Power cords pulled: the host and its BMC die together, and no power state can ever be read. Its
lease is all there is: every guest runs elsewhere within D + L_late + 3 s, each started once.

Run as root: /usr/bin/python3 test/lab/test_scenarios_pull.py
"""

from __future__ import annotations

import unittest
from collections.abc import Callable

from scenario_support import ScenarioCase, eventually

BEYOND_THE_LEASE_S = 3.0


class Pull(ScenarioCase):
    up_words = (*ScenarioCase.up_words, "--profile", "fast")

    def profile(self) -> dict:
        return self.cluster.status("n1")["profile"]

    def pull_and_recover(self, victim: str, meanwhile: Callable[[], None] | None = None) -> None:
        profile = self.profile()
        bound = profile["d_s"] + profile["l_late_s"]
        self.cluster.lab("pull", victim)
        if meanwhile:
            meanwhile()
        where = self.await_recovery(victim, bound + 30.0)
        pulled = next(e["t_ms"] for e in self.cluster.events(self.began_ms, "power cut")
                      if e["host"] == victim)
        took = {e["guest"]: (e["t_ms"] - pulled) / 1000
                for e in self.cluster.starts(self.began_ms)}
        for guest, seconds in took.items():
            self.assertLessEqual(seconds, bound + BEYOND_THE_LEASE_S, f"{guest} of {took}")
            # A lease that had just been renewed when the cord was pulled cannot end sooner.
            self.assertGreater(seconds, bound - BEYOND_THE_LEASE_S, f"{guest} of {took}")
        asked = self.cluster.others(victim)[0]
        self.assert_timeline(asked, victim, where, proof="lease-expired")

    def test_pull_of_a_plain_host(self) -> None:
        """While the lease runs out, `why` and `status` tell what is waited for, and until when."""
        decider = self.await_decider()
        victim = self.cluster.others(decider)[-1]

        def wait_is_announced() -> None:
            self.await_problem(decider, victim, "lease expires in", "L_late")
            eventually("`why` tells it too", lambda: any(
                "lease expires in" in fact["what"]
                for fact in self.cluster.ctl(decider, "why", victim)["chain"]), 5.0,
                       self.cluster.picture)
            for guest in self.guests_of(victim):
                self.starts_of(guest, 0)

        self.pull_and_recover(victim, wait_is_announced)

    def test_pull_of_the_next_in_line(self) -> None:
        self.pull_and_recover(self.cluster.others(self.await_decider())[0])

    def test_pull_of_the_decider(self) -> None:
        self.pull_and_recover(self.await_decider())

    def test_disarmed_nothing_is_started(self) -> None:
        """Armed again, what is due is done at once."""
        profile = self.profile()
        self.cluster.ctl("n2", "disarm", "--for", "10m")
        eventually("every host says so", lambda: not any(
            self.cluster.status(host)["armed"] for host in self.cluster.host_names))
        self.cluster.lab("pull", "n3")
        self.await_problem("n1", "the whole domain", "disarmed by")
        self.quiet_watch(profile["d_s"] + profile["l_late_s"] + BEYOND_THE_LEASE_S,
                         also=self.assert_nobody_dead)
        self.cluster.ctl("n2", "arm")
        self.await_recovery("n3", profile["l_late_s"] + 10.0)


class ConfirmDead(ScenarioCase):
    """Someone goes and looks sooner than the lease runs out."""

    up_words = (*ScenarioCase.up_words, "--profile", "default")

    def incarnation(self, host: str) -> str:
        return self.cluster.host_view("n1", host)["incarnation"]

    def refused(self, host: str, *words: str) -> str:
        done = self.cluster.run(host, "wardomctl", "host", "confirm-dead", *words)
        self.assertEqual(done.returncode, 3, done)
        return done.stderr

    def test_refused_while_it_lives(self) -> None:
        boot = self.incarnation("n3")
        self.assertIn("may be alive",
                      self.refused("n2", "n3", "--yes-i-saw-it-off", boot))
        self.assertIn("--yes-i-saw-it-off", self.refused("n2", "n3"))
        self.assertIn("no incarnation", self.refused("n2", "n3", "--yes-i-saw-it-off", "1/00"))
        self.quiet_watch(2.0, also=self.assert_nobody_dead)
        self.assert_all_untouched()

    def test_seen_off_and_said_so(self) -> None:
        boot = self.incarnation("n3")
        self.cluster.lab("pull", "n3")
        self.await_state("n3", "suspect", "n1", "n2")
        eventually("n2 takes the word", lambda: self.cluster.run(
            "n2", "wardomctl", "host", "confirm-dead", "n3", "--yes-i-saw-it-off", boot
        ).returncode == 0, explain=self.cluster.picture)
        where = self.await_recovery("n3")
        line = self.assert_timeline("n1", "n3", where, proof="operator")
        self.assertTrue(any(step["what"] == "confirm-dead" and "on n2" in step["detail"]
                            for step in line["steps"]), line)


if __name__ == "__main__":
    unittest.main(verbosity=2)
