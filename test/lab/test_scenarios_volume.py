#!/usr/bin/python3
"""The shared storage stands still, for all or for one keeper; and hosts that come back with old
ideas about their guests.

Run as root: /usr/bin/python3 test/lab/test_scenarios_volume.py
"""

from __future__ import annotations

import unittest

from scenario_support import ScenarioCase, eventually

# Shorter than a quarter of the feed window T_F of every profile (fast: 6 s). Where more has to be done
# meanwhile, the default profile leaves the time: its hosts kill their guests after 15 s.
SHORT_PAUSE_S = 1.4


class StoragePause(ScenarioCase):
    """All I/O of the state volume and of the guests' disks is held at the storage server."""

    up_words = ("--hosts", "3", "--guests", "4", "--profile", "default")

    def pause(self) -> None:
        self.cluster.lab("storage", "pause")

    def resume(self) -> None:
        self.cluster.lab("storage", "resume")
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)

    def test_a_short_pause_harms_nobody(self) -> None:
        self.pause()
        self.quiet_watch(SHORT_PAUSE_S, also=self.assert_nobody_dead)
        self.resume()
        self.assert_all_untouched()

    def test_keeper_killed_with_a_write_in_flight(self) -> None:
        """The heartbeat of the killed keeper lands after the new one has started: the slot still
        never falls back, and nobody takes the host for another one or for dead."""
        before = self.cluster.incarnation("n1", "n3")
        self.pause()
        self.await_problem("n3", "do not complete")
        self.cluster.kill_service("n3", "keeper")
        self.resume()
        self.assertEqual(self.cluster.incarnation("n1", "n3"), before,
                         "a keeper's death is not a boot")
        self.quiet_watch(1.0, also=self.assert_nobody_dead)
        self.assert_all_untouched()

    def test_keeper_killed_with_a_write_in_flight_in_the_decider(self) -> None:
        self.pause()
        self.cluster.kill_service("n1", "keeper")
        self.resume()
        self.quiet_watch(1.0, also=self.assert_nobody_dead)
        self.assert_all_untouched()
        self.cluster.lab("cut", "n3")
        self.await_recovery("n3")


class Return(ScenarioCase):
    """A dead host boots again, and its libvirt would like its guests back."""

    def test_a_guest_with_autostart_set(self) -> None:
        self.cluster.must("n3", "virsh", "autostart", "g3")
        self.cluster.lab("cut", "n3")
        where = self.await_recovery("n3")
        self.cluster.lab("power", "n3", "on")
        self.await_state("n3", "alive", "n1", "n2", "n3")
        eventually("n3 has cleaned its stale definition of g3",
                   lambda: "g3" not in self.cluster.defined("n3"), explain=self.cluster.picture)
        truth = self.cluster.truth()["g3"]
        self.assertEqual(truth["running_on"], [where["g3"]])
        boots = [e for e in self.cluster.starts(self.began_ms) if e["guest"] == "g3"]
        self.assertEqual(len(boots), 1, f"g3 was started once: {boots}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
