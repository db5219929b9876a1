#!/usr/bin/python3
"""A host that is cut off and still reaches its disks: each of its guests has its own response.

The lab's guests take no notice of their power button, so a guest that is asked to shut down is
killed once the patience with it has ended.

Run as root: /usr/bin/python3 test/lab/test_scenarios_isolation.py
"""

from __future__ import annotations

import unittest

from scenario_support import ScenarioCase, eventually

from labkit import run

SHORT_S = 3.0
# So long that the links are back in time, however slow the machine is.
LONG_S = 20.0
PATIENCE_S = 4.0
# From the end of a guest to its first write elsewhere: the decider looks at the table every 2 s.
STARTS_S = 8.0
CONFIG = "/etc/wardom/wardom.toml"
SECTION = "\n[isolation]\n"


class Isolated(ScenarioCase):
    up_words = ("--hosts", "3", "--guests", "9")

    def configure(self, delay_s: float) -> None:
        wanted = f'{SECTION}delay = "{delay_s:g}s"\npatience = "{PATIENCE_S:g}s"\n'
        for host in self.cluster.host_names:
            text = self.cluster.must(host, "cat", CONFIG)
            if text.endswith(wanted):
                continue
            self.cluster.must(host, "sh", "-c", f"cat > {CONFIG}",
                              stdin=text.partition(SECTION)[0] + wanted)
            self.cluster.must(host, "wardomctl", "config", "check")
            self.cluster.lab("service", host, "wardomd", "stop")
            self.cluster.lab("service", host, "wardomd", "start")
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        self.cluster.make_decider("n1")

    def respond(self, guest: str, response: str) -> None:
        self.cluster.must(self.cluster.record.home_of(guest).name,
                          "wardomctl", "guest", "protect", guest, "--isolation", response)

    def await_responses(self, response: str, *guests: str) -> None:
        for asked in self.cluster.host_names:
            for guest in guests:
                eventually(f"{asked} has the response {response} of {guest}", lambda: (
                    self.cluster.guest_view(asked, guest).get("isolation") == response),
                           explain=self.cluster.picture)

    def reset(self) -> None:
        """Every guest's response is again what wardom.toml says."""
        self.cluster.heal()
        eventually("no guest is between two hosts", lambda: all(
            guest["state"] == "running" for guest in self.cluster.status("n1")["guests"]),
                   explain=self.cluster.picture)
        self.cluster.bring_home()
        for guest in self.cluster.status("n1")["guests"]:
            if guest["isolation_from"] == "guest":
                self.cluster.must(guest["owner"], "wardomctl", "guest", "protect", guest["name"])

    def counts_elsewhere_after_s(self, guest: str, than: str, since_ms: int) -> float:
        """Until it does; how long after `since_ms` it first wrote there."""
        def elsewhere() -> bool:
            entry = self.cluster.truth()[guest]
            return entry["counting"] and entry["boot"] != self.before[guest]["boot"] \
                and len(entry["running_on"]) == 1 and than not in entry["running_on"]

        eventually(f"{guest} counts elsewhere than on {than}", elsewhere,
                   explain=self.cluster.picture)
        boots = [e for e in self.cluster.starts(self.began_ms) if e["guest"] == guest]
        self.assertEqual(len(boots), 1, f"{guest} was started once: {boots}")
        return (boots[0]["t_ms"] - since_ms) / 1000

    def test_each_guest_by_its_response(self) -> None:
        self.configure(SHORT_S)
        stays, asked, killed = self.guests_of("n3")
        self.respond(asked, "shutdown")
        self.respond(killed, "kill")
        self.await_responses("shutdown", asked)
        self.await_responses("kill", killed)
        self.assertEqual(self.cluster.guest_view("n1", stays)["isolation_from"], "wardom.toml")
        split_ms = run.now_ms()
        self.cluster.lab("split", "n3|n1,n2")
        after_s = self.counts_elsewhere_after_s(killed, "n3", split_ms)
        self.assertGreater(after_s, SHORT_S)
        self.assertLess(after_s, SHORT_S + STARTS_S)
        self.await_problem("n3", "n3", "cut off from the larger group")
        after_s = self.counts_elsewhere_after_s(asked, "n3", split_ms)
        self.assertGreater(after_s, SHORT_S + PATIENCE_S)
        self.assertLess(after_s, SHORT_S + PATIENCE_S + STARTS_S)
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
        def finished() -> dict | None:
            found = self.cluster.timeline("n1")
            whole = found and found["finished"] and len(found["guests"]) == 2 and all(
                guest["result"] == "running" for guest in found["guests"])
            return found if whole else None

        line = eventually("the recovery is finished on n1", finished,
                          explain=lambda: self.cluster.timeline("n1"))
        self.assertEqual((line["host"], line["proof"]), ("n3", "yielded"))
        self.assertEqual(sorted(g["name"] for g in line["guests"]), sorted([asked, killed]))
        for guest, word in ((asked, f"killed after {PATIENCE_S:g}s"), (killed, "killed by its")):
            chain = [link["what"] for link in self.cluster.ctl("n1", "why", guest)["chain"]]
            self.assertTrue(any("isolated for" in what and word in what for what in chain), chain)

    def test_links_that_return_in_time(self) -> None:
        self.configure(LONG_S)
        guests = self.guests_of("n3")
        for guest in guests:
            self.respond(guest, "kill")
        self.await_responses("kill", *guests)
        self.cluster.lab("split", "n3|n1,n2")
        self.await_problem("n3", "n3", "isolation responses begin")
        self.cluster.lab("heal")
        self.quiet_watch(LONG_S + 2)
        self.assert_all_untouched()

    def test_everybody_alone(self) -> None:
        """One of them decides, and could not take the guests of all the others."""
        self.configure(SHORT_S)
        for guest in self.before:
            self.respond(guest, "kill")
        self.await_responses("kill", *self.before)
        self.cluster.lab("split", "n1|n2|n3")
        for host in self.cluster.host_names:
            for about in self.cluster.others(host):
                self.await_state(about, "isolated", host)
        self.quiet_watch(SHORT_S + 4)
        self.assert_all_untouched()


if __name__ == "__main__":
    unittest.main(verbosity=2)
