#!/usr/bin/python3
"""The shared storage stands still, for all or for one keeper; and hosts that come back with old
ideas about their guests.

Run as root: /usr/bin/python3 test/lab/test_scenarios_volume.py
"""

from __future__ import annotations

import time
import unittest

from scenario_support import ScenarioCase, eventually, layout, run, storage

# Shorter than a quarter of the feed window T_F of every profile (fast: 6 s). Where more has to be done
# meanwhile, the default profile leaves the time: its hosts kill their guests after 15 s.
SHORT_PAUSE_S = 1.4
# The lease counts from the last heartbeat that was acknowledged before the pause; and a loaded
# machine takes its time.
LAST_HEARTBEAT_S = 0.8
STARTS_S = 0.2
AWAY_WATCH_S = 3.0
# With the default profile, and shorter than its 15 s by two: long enough for pauses between attempts
# that grow to have grown.
ERRORS_S = 13.0
RETURN_LIMIT_S = 30.0


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

    def test_errors_that_end_in_time_harm_nobody(self) -> None:
        """Keepers open the volume anew meanwhile, in vain; they must not be waiting once it answers
        again. Guests are killed after 15 s."""
        storage.set_errors(self.cluster.record, True)
        self.quiet_watch(ERRORS_S)
        storage.set_errors(self.cluster.record, False)
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        for host in self.cluster.host_names:
            self.assertIn("opens the volume anew",
                          self.cluster.log_path(host, "keeper").read_text())
        self.assertEqual(self.cluster.events(self.began_ms, "watchdog resets"), [])
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


class AwayCase(ScenarioCase):
    up_words = (*ScenarioCase.up_words, "--profile", "fast")

    def setUp(self) -> None:
        super().setUp()
        profile = self.cluster.status("n1")["profile"]
        self.t_f_s, self.w_s = profile["t_f_s"], profile["w_s"]
        self.wait_s = profile["d_s"] + profile["l_late_s"]

    def pause(self) -> float:
        """When it began; without the time that a command of the lab takes."""
        storage.control(self.cluster.record, "pause")
        return time.monotonic()

    def resume(self) -> None:
        storage.control(self.cluster.record, "resume")

    def await_all_killed(self, began: float) -> None:
        eventually("all guests are killed", lambda: not any(
            entry["running_on"] for entry in self.cluster.truth().values()),
                   explain=self.cluster.picture)
        self.assertGreater(time.monotonic() - began, 0.75 * self.t_f_s - LAST_HEARTBEAT_S)
        self.assertLess(time.monotonic() - began, self.t_f_s)

    def resume_until_all_run(self) -> int:
        """When the storage was back, in ms."""
        self.resume()
        back_ms = run.now_ms()
        self.await_started_once(self.before, self.cluster.host_names,
                                self.wait_s + RETURN_LIMIT_S)
        return back_ms

    def assert_harmless(self) -> None:
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        self.assert_all_untouched()
        self.assertEqual(self.cluster.events(self.began_ms, "watchdog resets"), [])


class StorageAway(AwayCase):
    """The same under the fast profile, against each rung of the lease's ladder."""

    up_words = (*AwayCase.up_words, "--outage", "ride-out")

    def test_paused_for_less_than_half_of_t_f(self) -> None:
        self.pause()
        self.quiet_watch(self.t_f_s / 2 - LAST_HEARTBEAT_S, also=self.assert_nobody_dead)
        self.resume()
        self.assert_harmless()

    def test_errors_for_less_than_half_of_t_f(self) -> None:
        storage.set_errors(self.cluster.record, True)
        self.quiet_watch(self.t_f_s / 2 - LAST_HEARTBEAT_S, also=self.assert_nobody_dead)
        storage.set_errors(self.cluster.record, False)
        self.assert_harmless()

    def test_paused_for_more_than_half_of_t_f(self) -> None:
        """Guests run on, but none is started; and then all is as before."""
        self.cluster.must("n1", "virsh", "destroy", "g4")
        eventually("g4 is wanted stopped",
                   lambda: self.cluster.guest_view("n2", "g4").get("wanted") == "stopped")
        began = self.pause()
        eventually("half of T_F has passed",
                   lambda: time.monotonic() - began > self.t_f_s / 2 + STARTS_S)
        done = self.cluster.run("n1", "virsh", "start", "g4")
        self.resume()
        self.assertLess(time.monotonic() - began, 0.75 * self.t_f_s - LAST_HEARTBEAT_S)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("half of T_F", done.stderr)
        self.assertEqual(self.cluster.truth()["g4"]["running_on"], [])
        eventually("the start is allowed again",
                   lambda: self.cluster.run("n1", "virsh", "start", "g4").returncode == 0)
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        self.assert_untouched(["g1", "g2", "g3"])
        self.assertEqual(self.cluster.events(self.began_ms, "watchdog resets"), [])

    def all_on_grants(self) -> bool:
        return all(self.cluster.status(host)["on_grants_ms"] is not None
                   for host in self.cluster.host_names)

    def test_away_for_longer_than_every_lease(self) -> None:
        """Each host grants the others to live on: guests run, nothing is reset or taken over."""
        began = self.pause()
        eventually("every host lives on grants", self.all_on_grants, explain=self.cluster.picture)
        self.assertLess(time.monotonic() - began, 0.75 * self.t_f_s)
        away_s = self.t_f_s + self.w_s + AWAY_WATCH_S - (time.monotonic() - began)
        self.quiet_watch(away_s, also=self.assert_nobody_dead)
        self.await_problem("n1", "lived on grants")
        self.resume()
        eventually("no host lives on grants", lambda: all(
            self.cluster.status(host)["on_grants_ms"] is None for host in self.cluster.host_names),
                   explain=self.cluster.picture)
        self.assert_harmless()

    def test_a_host_that_is_cut_off_while_the_storage_is_away(self) -> None:
        """It has no grant any more, kills its guest and is reset. The others' storage comes back
        before their last grants have run out; they recover the guest, and keep theirs."""
        victim = "n3"
        self.cluster.lab("bmc", victim, "down")  # else it is powered off before that
        began = self.pause()
        eventually("every host lives on grants", self.all_on_grants, explain=self.cluster.picture)
        self.quiet_watch(self.t_f_s + self.w_s - (time.monotonic() - began),
                         also=self.assert_nobody_dead)
        for link in layout.LINKS:
            self.cluster.lab("link", victim, link, "down")
        self.resume()
        resets = eventually("the watchdog resets it", lambda: self.cluster.events(
            self.began_ms, "watchdog resets"), explain=self.cluster.picture)
        self.assertEqual([event["host"] for event in resets], [victim])
        guests = self.guests_of(victim)
        self.cluster.lab("heal")
        eventually(f"{guests} run again, each once", lambda: all(
            entry["boot"] != self.before[guest]["boot"] and len(entry["running_on"]) == 1
            for guest, entry in self.cluster.truth().items() if guest in guests),
                   self.wait_s + RETURN_LIMIT_S, explain=self.cluster.picture)
        self.assert_untouched(set(self.before) - set(guests))


class StorageAwayFenced(AwayCase):
    """Where the cluster does not want that, each host has its own lease and no more."""

    up_words = (*AwayCase.up_words, "--outage", "fence")  # as by default

    def test_away_for_longer_than_every_lease(self) -> None:
        """Every host kills its guests and is reset, and nobody takes anything over. When the
        storage is there again, the guests come back by themselves, each once."""
        began = self.pause()
        self.await_all_killed(began)
        eventually("all hosts are reset", lambda: {e["host"] for e in self.cluster.events(
            self.began_ms, "watchdog resets")} == set(self.cluster.host_names))
        self.assertLess(time.monotonic() - began, self.t_f_s + self.w_s + STARTS_S)
        eventually("all hosts boot", self.cluster.managers_answer)
        self.quiet_watch(AWAY_WATCH_S)
        self.assertEqual(self.cluster.starts(self.began_ms), [])
        back_ms = self.resume_until_all_run()
        for guest in self.before:
            self.assertGreater(self.starts_of(guest, 1)[0] - back_ms, self.wait_s * 1000)
        for victim in self.cluster.host_names:
            self.await_proof(victim, "lease-expired")


class StorageAwayStaysUp(AwayCase):
    """Where hosts may stay up, an outage costs them their guests, and no reboot."""

    up_words = (*AwayCase.up_words, "--outage", "fence", "--stay-up")

    def test_away_for_longer_than_every_lease(self) -> None:
        """Every host kills its guests and stays up, and nobody takes anything over. When the
        storage is there again, each host goes on as a new incarnation, and the guests come back by
        themselves, each once, and not before L_late."""
        lives = {host: self.cluster.incarnation(host, host) for host in self.cluster.host_names}
        began = self.pause()
        self.await_all_killed(began)
        eventually("every watchdog would have bitten",
                   lambda: time.monotonic() - began > self.t_f_s + self.w_s + STARTS_S)
        self.quiet_watch(AWAY_WATCH_S)
        self.assertEqual(self.cluster.starts(self.began_ms), [])
        back_ms = self.resume_until_all_run()
        l_late_ms = self.cluster.status("n1")["profile"]["l_late_s"] * 1000
        for guest in self.before:
            self.assertGreater(self.starts_of(guest, 1)[0] - back_ms, l_late_ms)
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        for host, life in lives.items():
            self.assertGreater(self.cluster.incarnation("n1", host), life)
        self.assertEqual(self.cluster.events(self.began_ms, "watchdog resets"), [])


class VolumeOfOneHost(ScenarioCase):
    """One host loses its path to the state volume; its links, and its guests' disks, stay."""

    up_words = (*ScenarioCase.up_words, "--profile", "fast", "--stay-up")

    def test_its_own_word_is_quicker_than_its_lease(self) -> None:
        profile = self.cluster.status("n1")["profile"]
        by_lease_s = profile["d_s"] + profile["l_late_s"]
        life = self.cluster.incarnation("n1", "n3")
        began_ms = run.now_ms()
        self.cluster.lab("service", "n3", "volume", "hang")
        self.await_recovery("n3")
        took_s = max(self.starts_of(guest, 1)[0] - began_ms
                     for guest in self.guests_of("n3")) / 1000
        print(f"guests run elsewhere after {took_s:.1f} s; lease-expired takes {by_lease_s:.1f} s")
        self.await_proof("n3", "released")
        # Its lease counts from a heartbeat before the fault.
        self.assertLess(took_s, by_lease_s - LAST_HEARTBEAT_S)
        self.assertGreater(took_s, 0.75 * profile["t_f_s"] + profile["l_late_s"] - LAST_HEARTBEAT_S)
        self.await_problem("n3", "is released")
        self.cluster.lab("service", "n3", "volume", "resume")
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        self.assertGreater(self.cluster.incarnation("n1", "n3"), life)
        self.assertEqual(self.cluster.events(self.began_ms, "watchdog resets"), [])


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
