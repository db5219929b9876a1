#!/usr/bin/python3
"""Hosts that lose the state volume: the self-fencing ladder, and what must not set it off.

Run as root: /usr/bin/python3 test/lab/test_scenarios_lease.py
"""

from __future__ import annotations

import unittest

from scenario_support import ScenarioCase, eventually

from labkit import run

T_F_S = 6.0
W_S = 5.0
# What the lab's recorder, a loaded machine and the last heartbeat before the fault may add.
SLACK_S = 1.5


class Ladder(ScenarioCase):
    def listed(self, host: str) -> dict[str, list[str]]:
        """The keeper's guest list: UUID -> epoch, pid, start time, cgroup."""
        lines = self.cluster.must(host, "cat", "/run/wardom/guests").splitlines()
        self.assertEqual((lines[0], lines[-1]), ("wardom guests 2", f"end {len(lines) - 2}"))
        return {uuid: rest for uuid, *rest in (line.split() for line in lines[1:-1])}

    def uuids_of(self, host: str) -> set[str]:
        return {self.cluster.guest_view(host, g)["uuid"] for g in self.guests_of(host)}

    def stopped_ms(self, guest: str) -> int | None:
        """When the lab saw that nothing runs it any more."""
        entry = self.cluster.truth()[guest]
        return run.now_ms() if not entry["running_on"] else None

    def await_recovered(self, victim: str) -> None:
        """It was reset: its guests run again, each on one host, perhaps on itself."""
        # Its cables are there again once it boots.
        eventually("it boots again", lambda: any(
            event["host"] == victim for event in self.cluster.events(self.began_ms, "power on"))
            and self.cluster.managers_answer(), explain=self.cluster.picture)
        self.cluster.lab("heal")
        guests = self.guests_of(victim)

        def recovered() -> bool:
            truth = self.cluster.truth()
            return all(truth[g]["counting"] and truth[g]["boot"] != self.before[g]["boot"]
                       and len(truth[g]["running_on"]) == 1
                       and self.cluster.guest_view("n1", g).get("state") == "running"
                       for g in guests)

        eventually(f"{guests} of {victim} run again", recovered, explain=self.cluster.picture)

    def test_every_guest_is_listed_with_its_process(self) -> None:
        for host in self.cluster.host_names:
            listed = self.listed(host)
            self.assertEqual(set(listed), self.uuids_of(host))
            for uuid, (epoch, pid, start, *_) in listed.items():
                self.assertEqual(epoch, "-", "its start is settled")
                words = self.cluster.must(host, "cat", f"/proc/{pid}/cmdline").split("\0")
                self.assertEqual(words[words.index("-uuid") + 1], uuid)
                self.assertGreater(int(start), 0)

    def test_storage_link_cut_kills_at_three_quarters_and_resets_by_t_f_plus_w(self) -> None:
        victim = "n3"
        guest, *_ = self.guests_of(victim)
        cut_ms = run.now_ms()
        self.cluster.lab("link", victim, "storage", "down")
        killed_ms = eventually(f"{guest} is killed", lambda: self.stopped_ms(guest),
                               explain=self.cluster.picture)
        # Its last heartbeat was submitted up to one interval before the cut.
        self.assertGreater(killed_ms - cut_ms, (0.75 * T_F_S - SLACK_S) * 1000)
        self.assertLess(killed_ms - cut_ms, (0.75 * T_F_S + SLACK_S) * 1000)
        resets = eventually("the watchdog resets it", lambda: self.cluster.events(
            cut_ms, "watchdog resets"), explain=self.cluster.picture)
        self.assertEqual([event["host"] for event in resets], [victim])
        self.assertLess(run.now_ms() - cut_ms, (T_F_S + W_S + SLACK_S) * 1000)
        self.await_recovered(victim)
        self.assert_untouched(set(self.before) - set(self.guests_of(victim)))

    def test_a_dead_or_restarted_keeper_or_daemon_sets_nothing_off(self) -> None:
        """On each host by itself, and for as long as a watchdog that was forgotten would take."""
        self.cluster.lab("service", "n3", "wardomd", "stop")
        self.cluster.kill_service("n1", "wardomd")
        self.cluster.kill_service("n2", "keeper")
        self.quiet_watch(T_F_S)
        self.cluster.kill_service("n1", "keeper")
        self.cluster.kill_service("n2", "wardomd")
        self.quiet_watch(T_F_S)
        self.cluster.lab("service", "n3", "wardomd", "start")
        for host in self.cluster.host_names:
            self.await_state(host, "alive", *self.cluster.host_names)
        self.assertEqual(self.cluster.events(self.began_ms, "watchdog resets"), [])
        self.assert_all_untouched()
        for host in self.cluster.host_names:
            self.assertEqual(set(self.listed(host)), self.uuids_of(host))

    def test_a_volume_whose_server_starts_anew_costs_nothing(self) -> None:
        """The open file is dead for good, and has to be opened anew before guests are killed."""
        self.cluster.kill_service("n3", "volume")
        self.quiet_watch(T_F_S + W_S)
        self.assertEqual(self.cluster.events(self.began_ms, "watchdog resets"), [])
        self.assert_all_untouched()

    def test_a_stopped_keeper_lets_the_watchdog_bite(self) -> None:
        self.cluster.lab("service", "n3", "keeper", "hang")
        eventually("the watchdog resets it", lambda: [
            e for e in self.cluster.events(self.began_ms, "watchdog resets")
            if e["host"] == "n3"], explain=self.cluster.picture)
        self.await_recovered("n3")


if __name__ == "__main__":
    unittest.main(verbosity=2)
