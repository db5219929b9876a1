#!/usr/bin/python3
"""A second fault in the middle of a recovery: every guest still runs exactly once in the end.

Each test waits for one step of the recovery in a daemon's log and strikes at that moment.

Run as root: /usr/bin/python3 test/lab/test_scenarios_takeover.py
"""

from __future__ import annotations

import os
import signal
import threading
import time
import unittest

from scenario_support import Cluster, ScenarioCase, eventually

LOOK_S = 0.002


class StrikeAt:
    """Sends a signal to a process of the first of the hosts whose log tells of the step."""

    def __init__(self, cluster: Cluster, hosts: list[str], step: str, service: str = "wardomd",
                 signal_number: int = signal.SIGKILL) -> None:
        self.step, self.signal_number = step, signal_number
        self.pids = {host: cluster.service_pid(host, service) for host in hosts}
        self.logs = {host: cluster.log_path(host, "wardomd") for host in hosts}
        self.offsets = {host: path.stat().st_size for host, path in self.logs.items()}
        self.struck: str | None = None
        self.ending = False
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self) -> StrikeAt:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending = True
        self.thread.join()

    def watch(self) -> None:
        while not self.ending:
            for host, path in self.logs.items():
                with path.open("rb") as log:
                    log.seek(self.offsets[host])
                    if f"step={self.step}\n".encode() in log.read():
                        os.kill(self.pids[host], self.signal_number)
                        self.struck = host
                        return
            time.sleep(LOOK_S)

    def await_strike(self) -> str:
        return eventually(f"a log tells of step {self.step}", lambda: self.struck)


class Takeover(ScenarioCase):
    """n3 is cut, n1 decides; what happens to n1 or to the target differs."""

    def strike_and_cut(self, hosts: list[str], step: str, **more: object) -> str:
        self.cluster.make_decider("n1")
        with StrikeAt(self.cluster, hosts, step, **more) as strike:  # type: ignore[arg-type]
            self.cluster.lab("cut", "n3")
            return strike.await_strike()

    def is_recovered(self) -> bool:
        truth = self.cluster.truth()
        return all(truth[g]["counting"] and len(truth[g]["running_on"]) == 1
                   and truth[g]["boot"] != self.before[g]["boot"] for g in self.guests_of("n3"))

    def assert_each_runs_once(self, most_boots: int = 1) -> None:
        guests = self.guests_of("n3")
        eventually(f"{guests} count again", self.is_recovered, explain=self.cluster.picture)
        truth = self.cluster.truth()
        for guest in guests:
            owner = truth[guest]["running_on"][0]
            self.assertNotEqual(owner, "n3")
            boots = [e for e in self.cluster.starts(self.began_ms) if e["guest"] == guest]
            self.assertLessEqual(len(boots), most_boots, f"{guest}: {boots}")
            eventually(f"{owner} holds {guest}", lambda: (
                self.cluster.guest_view(owner, guest).get("owner") == owner
                and self.cluster.guest_view(owner, guest).get("state") == "running"),
                       explain=self.cluster.picture)
        self.assert_untouched(set(self.before) - set(guests))

    # --- the decider dies and stays away -------------------------------------------------------

    def decider_stays_away(self, step: str) -> None:
        """Its keeper sees the end of its wardomd, and so the lock is free: the one host that is
        left takes it and ends the recovery with what it has seen itself."""
        self.strike_and_cut(["n1"], step)
        self.cluster.ask_manager("n1", "stop", "wardomd")
        self.assert_each_runs_once()
        self.assertEqual(self.cluster.status("n2")["decider"], "n2")
        self.cluster.ask_manager("n1", "start", "wardomd")

    def test_decider_gone_at_suspect(self) -> None:
        self.decider_stays_away("suspect")

    def test_decider_gone_at_assigned(self) -> None:
        self.decider_stays_away("assigned")

    # --- the decider dies and is back after a moment -------------------------------------------

    def test_decider_restarted_at_suspect(self) -> None:
        self.strike_and_cut(["n1"], "suspect")
        self.assert_each_runs_once()

    def test_decider_restarted_at_verdict(self) -> None:
        self.strike_and_cut(["n1"], "verdict")
        self.assert_each_runs_once()

    def test_decider_restarted_at_assigned(self) -> None:
        self.strike_and_cut(["n1"], "assigned")
        self.assert_each_runs_once()

    # --- the decider stands still and goes on later --------------------------------------------

    def decider_frozen(self, step: str) -> None:
        """The keeper ends a wardomd that makes no progress, and the other host goes on."""
        self.strike_and_cut(["n1"], step, signal_number=signal.SIGSTOP)
        self.await_state("n1", "daemon-down", "n2")
        self.assert_each_runs_once()

    def test_decider_frozen_at_suspect(self) -> None:
        self.decider_frozen("suspect")

    def test_decider_frozen_at_verdict(self) -> None:
        self.decider_frozen("verdict")

    def test_decider_frozen_at_assigned(self) -> None:
        self.decider_frozen("assigned")

    # --- the target ---------------------------------------------------------------------------

    def test_target_restarted_at_claimed(self) -> None:
        self.strike_and_cut(["n1", "n2"], "claimed")
        self.assert_each_runs_once()

    def test_target_restarted_at_starting(self) -> None:
        self.strike_and_cut(["n1", "n2"], "starting")
        self.assert_each_runs_once()

    def test_target_restarted_at_running(self) -> None:
        self.strike_and_cut(["n1", "n2"], "running")
        self.assert_each_runs_once()

    def test_target_frozen_at_claimed(self) -> None:
        target = self.strike_and_cut(["n1", "n2"], "claimed", signal_number=signal.SIGSTOP)
        self.await_state(target, "daemon-down", *self.cluster.others(target, "n3"))
        self.cluster.ask_manager(target, "resume", "wardomd")
        self.assert_each_runs_once()

    def test_libvirtd_of_the_target_killed_at_starting(self) -> None:
        """Its word is missing: the start stays open, until libvirt tells or another host may."""
        target = self.strike_and_cut(["n1", "n2"], "starting", service="libvirtd")
        self.await_problem(target, "libvirt does not answer")
        self.assert_no_two_writers()
        self.cluster.ask_manager(target, "start", "libvirtd")
        self.assert_each_runs_once()

    # --- everybody ----------------------------------------------------------------------------

    def test_both_survivors_restarted_at_assigned(self) -> None:
        """The verdict stands on the volume: memory is not needed."""
        other = self.cluster.service_pid("n2", "wardomd")
        self.strike_and_cut(["n1"], "assigned")
        os.kill(other, signal.SIGKILL)
        self.assert_each_runs_once()

    def test_keeper_of_the_decider_killed_at_verdict(self) -> None:
        self.strike_and_cut(["n1"], "verdict", service="keeper")
        self.assert_each_runs_once()


if __name__ == "__main__":
    unittest.main(verbosity=2)
