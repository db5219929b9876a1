#!/usr/bin/python3
"""A host that hears nobody and still reaches its disks: each of its guests has its own response.

The lab's guests take no notice of their power button, so a guest that is asked to shut down is
killed once the patience with it has ended.

Run as root: /usr/bin/python3 test/lab/test_scenarios_isolation.py
"""

from __future__ import annotations

import unittest

from scenario_support import ScenarioCase, eventually

from labkit import run

DELAY_S = 3.0
PATIENCE_S = 4.0
# From the end of a guest to its first write elsewhere: the decider looks at the table every 2 s.
STARTS_S = 6.0
CONFIG = f"""
[isolation]
delay = "{DELAY_S:g}s"
patience = "{PATIENCE_S:g}s"
"""


class Isolated(ScenarioCase):
    up_words = ("--hosts", "3", "--guests", "9")

    def setUp(self) -> None:
        super().setUp()
        for host in self.cluster.host_names:
            if "[isolation]" in self.cluster.must(host, "cat", "/etc/wardom/wardom.toml"):
                continue
            self.cluster.must(host, "sh", "-c", "cat >> /etc/wardom/wardom.toml", stdin=CONFIG)
            self.cluster.must(host, "wardomctl", "config", "check")
            self.cluster.lab("service", host, "wardomd", "stop")
            self.cluster.lab("service", host, "wardomd", "start")
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)

    def respond(self, host: str, guest: str, response: str) -> None:
        self.cluster.must(host, "wardomctl", "guest", "protect", guest, "--isolation", response)
        for asked in self.cluster.host_names:
            eventually(f"{asked} has the response {response} of {guest}",
                       lambda: self.cluster.guest_view(asked, guest).get("isolation") == response,
                       explain=self.cluster.picture)

    def counts_elsewhere_after_s(self, guest: str, than: str, since_ms: int) -> float:
        """Until it does; how long after `since_ms` it first wrote there."""
        def elsewhere() -> bool:
            entry = self.cluster.truth()[guest]
            return entry["counting"] and len(entry["running_on"]) == 1 \
                and than not in entry["running_on"]

        eventually(f"{guest} counts elsewhere than on {than}", elsewhere,
                   explain=self.cluster.picture)
        boots = [e for e in self.cluster.starts(self.began_ms) if e["guest"] == guest]
        self.assertEqual(len(boots), 1, f"{guest} was started once: {boots}")
        return (boots[0]["t_ms"] - since_ms) / 1000

    def test_each_guest_by_its_response(self) -> None:
        stays, asked, killed = self.guests_of("n3")
        self.respond("n3", asked, "shutdown")
        self.respond("n3", killed, "kill")
        self.assertEqual(self.cluster.guest_view("n1", stays)["isolation_from"], "wardom.toml")
        split_ms = run.now_ms()
        self.cluster.lab("split", "n3|n1,n2")
        self.await_state("n3", "isolated", "n1", "n2")
        self.await_problem("n3", "n3", "hears no other host")
        after_s = self.counts_elsewhere_after_s(killed, "n3", split_ms)
        self.assertGreater(after_s, DELAY_S)
        self.assertLess(after_s, DELAY_S + 2 + STARTS_S)
        after_s = self.counts_elsewhere_after_s(asked, "n3", split_ms)
        self.assertGreater(after_s, DELAY_S + PATIENCE_S)
        self.assertLess(after_s, DELAY_S + 2 + PATIENCE_S + STARTS_S)
        self.assert_untouched(set(self.before) - {asked, killed})
        self.assertEqual(self.cluster.state("n1", "n3"), "isolated")
        self.assert_told(asked, killed)

        self.cluster.lab("heal")
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        eventually("n3 has no stale definition left",
                   lambda: self.cluster.defined("n3") == [stays], explain=self.cluster.picture)
        self.assert_untouched(set(self.before) - {asked, killed})
        self.assertEqual(len(self.cluster.starts(self.began_ms)), 2)

    def assert_told(self, asked: str, killed: str) -> None:
        """The decider's timeline, and why each guest moved."""
        line = eventually("the recovery is finished on n1",
                          lambda: (lambda found: found if found and found["finished"] and
                                   all(g["result"] == "running" for g in found["guests"])
                                   else None)(self.cluster.timeline("n1")),
                          explain=lambda: self.cluster.timeline("n1"))
        self.assertEqual((line["host"], line["proof"]), ("n3", "yielded"))
        self.assertEqual(sorted(g["name"] for g in line["guests"]), sorted([asked, killed]))
        for guest, word in ((asked, f"killed after {PATIENCE_S:g}s"), (killed, "killed by its")):
            chain = [link["what"] for link in self.cluster.ctl("n1", "why", guest)["chain"]]
            self.assertTrue(any("isolated for" in what and word in what for what in chain), chain)

    def test_links_that_return_in_time(self) -> None:
        killed = self.guests_of("n3")[2]
        self.respond("n3", killed, "kill")
        self.cluster.lab("split", "n3|n1,n2")
        self.await_state("n3", "isolated", "n1")
        self.cluster.lab("heal")
        self.quiet_watch(DELAY_S + 2)
        self.assert_all_untouched()

    def test_everybody_alone(self) -> None:
        killed = self.guests_of("n3")[2]
        self.respond("n3", killed, "kill")
        self.cluster.lab("split", "n1|n2|n3")
        for host in self.cluster.host_names:
            for about in self.cluster.others(host):
                self.await_state(about, "isolated", host)
        self.quiet_watch(DELAY_S + 3)
        self.assert_all_untouched()


if __name__ == "__main__":
    unittest.main(verbosity=2)
