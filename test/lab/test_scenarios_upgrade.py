#!/usr/bin/python3
"""Hosts of two releases in one domain: upgraded with guests running, cut while mixed, set back.

The other release is `wardomd-next` and `wardom-keeper-next` (test/next): one format level more, in
which beats, slots and decisions have another layout, and one version more of the keeper's protocol.

Run as root: /usr/bin/python3 test/lab/test_scenarios_upgrade.py
"""

from __future__ import annotations

import threading
import time
import unittest

from scenario_support import ScenarioCase, eventually, layout, run

LEVEL, NEXT = 1, 2
# The last guest of a cut host runs elsewhere by then; `scripts/bench failover` measures it.
RECOVERED_S = 10.0


class Watch:
    """What each host calls each other one, for as long as it is open."""

    def __init__(self, case: ScenarioCase) -> None:
        self.case = case
        self.seen: set[tuple[str, str, str]] = set()
        self.ending = False
        self.thread = threading.Thread(target=self.look, daemon=True)

    def look(self) -> None:
        cluster = self.case.cluster
        while not self.ending:
            for asked in cluster.host_names:
                status = cluster.status(asked)
                for host in status["hosts"] if status else []:
                    self.seen.add((asked, host["name"], host["state"]))
            time.sleep(0.05)

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending = True
        self.thread.join()


class TwoReleases(ScenarioCase):
    def install(self, host: str, suffix: str, services: tuple[str, ...] = ("keeper", "wardomd")
                ) -> None:
        """As a package does: new files, then a restart of each daemon, guests running."""
        programs = {"keeper": "wardom-keeper", "wardomd": "wardomd"}
        for service in services:
            program = programs[service]
            self.cluster.must(host, "ln", "-sfT", f"{layout.HOST_BIN_DIR}/{program}{suffix}",
                              f"/usr/sbin/{program}")
        for service in services:
            self.cluster.ask_manager(host, "stop", service)
            self.cluster.ask_manager(host, "start", service)
            if service == "keeper":
                eventually(f"{host}'s heartbeat goes on", lambda: "as incarnation" in
                           self.log(host, "keeper").rsplit("stopped by a signal", 1)[-1])
        eventually(f"{host} is whole", lambda: self.cluster.status(host) and all(
            view["state"] == "alive" for view in self.cluster.status(host)["hosts"]),
            explain=self.cluster.picture)

    def log(self, host: str, service: str) -> str:
        return self.cluster.log_path(host, service).read_text(errors="replace")

    def await_level(self, level: int) -> None:
        """The domain is, and every cell of it, as each host has read them."""
        for host in self.cluster.host_names:
            for key in ("level", "oldest_level"):
                eventually(f"{host} tells {key} {level}", lambda: (
                    self.cluster.status(host) or {}).get(key) == level, 60.0,
                    explain=self.cluster.picture)


class Upgrade(TwoReleases):
    def upgrade(self, host: str) -> None:
        """All hosts are alive in all eyes, all the while; but for the new wardomd's, which knows
        nobody when it starts."""
        with Watch(self) as watch:
            self.install(host, "-next")
        other = {seen for seen in watch.seen
                 if seen[2] != "alive" and not (seen[0] == host and seen[2] == "unknown")}
        self.assertEqual(other, set())
        self.assertGreater(len(watch.seen), 6)

    def test_upgrade_cut_while_mixed_and_set_back(self) -> None:
        self.await_level(LEVEL)
        self.upgrade("n1")
        self.assert_all_untouched()
        self.await_level(LEVEL)

        # Mixed: n1 of the next release, n2 and n3 of this one.
        guests = self.guests_of("n3")
        cut_at = time.monotonic()
        self.cluster.lab("cut", "n3")
        where = self.await_started_once(guests, ["n1", "n2"])
        print(f"mixed: {len(guests)} guests of a cut host run elsewhere after "
              f"{time.monotonic() - cut_at:.1f} s", flush=True)
        self.assertLess(time.monotonic() - cut_at, RECOVERED_S)
        self.assertNotIn("n3", where.values())
        self.assert_untouched(set(self.before) - set(guests))
        self.cluster.heal()
        self.reset()

        self.before = self.cluster.truth()
        self.began_ms = run.now_ms()
        for host in ("n2", "n3"):
            self.await_level(LEVEL)
            self.upgrade(host)
        self.await_level(NEXT)
        self.assert_all_untouched()

        # wardomd of n2 is set back: refused, told of everywhere, and no guest suffers.
        self.cluster.must("n2", "ln", "-sfT", f"{layout.HOST_BIN_DIR}/wardomd", "/usr/sbin/wardomd")
        self.cluster.ask_manager("n2", "stop", "wardomd")
        self.cluster.ask_manager("n2", "start", "wardomd")
        self.await_problem("n2", "n2", "older release than the domain", "install the release")
        for host in ("n1", "n3"):
            self.await_problem(host, "n2", "runs an older release", "install the release")
        self.assertIn("the domain is at format level 2", self.log("n2", "wardomd"))
        self.quiet_watch(5.0, also=self.assert_nobody_dead)
        self.install("n2", "-next", ("wardomd",))
        self.await_level(NEXT)
        self.assert_all_untouched()


class SetBack(TwoReleases):
    """A keeper of an older release writes nothing, so that its host's lease ends; the host is
    reset, or switched off, and its guests start elsewhere."""

    def test_an_older_keeper_is_refused(self) -> None:
        for host in self.cluster.host_names:
            self.install(host, "-next")
        self.await_level(NEXT)
        guests = self.guests_of("n3")
        eventually("n3's slot is of that level", lambda: f'"level":{NEXT}' in self.cluster.must(
            "n1", f"{layout.HOST_BIN_DIR}/wardomctl-next", "volume", "dump",
            layout.VOLUME_PATH, "--region", "slot", "--host", "3", "--json").splitlines()[0])
        for program in ("wardomd", "wardom-keeper"):
            self.cluster.must("n3", "ln", "-sfT", f"{layout.HOST_BIN_DIR}/{program}",
                              f"/usr/sbin/{program}")
        for service in ("keeper", "wardomd"):
            self.cluster.ask_manager("n3", "stop", service)
            self.cluster.ask_manager("n3", "start", service)
        eventually("the keeper says why", lambda: "was written by another version of Wardom "
                   "(format level 2; this wardom-keeper speaks 1 to 1)" in
                   self.log("n3", "keeper"))
        for host in ("n1", "n2"):
            self.await_problem(host, "n3", "runs an older release", "install the release")
        where = self.await_started_once(guests, ["n1", "n2"], 60.0)
        self.assertNotIn("n3", where.values())
        eventually("n3 answers", self.cluster.managers_answer)
        self.install("n3", "-next")
        self.await_level(NEXT)


if __name__ == "__main__":
    unittest.main(verbosity=2)
