#!/usr/bin/python3
"""Wardom as corosync's quorum device: set up on all hosts from one; and then the ring that holds the
domain lock's owner has quorum, down to a single host, and no other ring has it.

Run as root: /usr/bin/python3 test/lab/test_scenarios_quorum.py
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import unittest
from pathlib import Path

from scenario_support import ScenarioCase, eventually, lab_hosts, run

CONF = "/etc/corosync/corosync.conf"

# What passes the lock on, with a lease that has to expire, and corosync's vote that has to be forgotten.
LIMIT_S = 60.0


class QuorumDevice(ScenarioCase):
    """Three hosts, set up by `wardomctl quorum setup` on one of them."""

    up_words = ("--hosts", "3", "--guests", "3")

    def setUp(self) -> None:
        super().setUp()
        cluster = self.cluster
        cluster.must("n1", "wardomctl", "quorum", "setup")
        files = {cluster.must(host, "cat", CONF) for host in cluster.host_names}
        self.assertEqual(len(files), 1, files)
        self.await_casts(*cluster.host_names)

    def quorate(self, host: str) -> bool | None:
        """As corosync says on the host."""
        said = self.cluster.run(host, "corosync-quorumtool", "-s").stdout
        words = [line.split() for line in said.splitlines()]
        return next((w[1] == "Yes" for w in words if w[:1] == ["Quorate:"]), None)

    def casts(self, host: str) -> bool:
        status = self.cluster.status(host)
        return bool(status and status["quorum_device"] and status["quorum_device"]["casts"])

    def explain(self) -> str:
        return "\n".join(f"{host}: {(self.cluster.status(host) or {}).get('quorum_device')}"
                         for host in self.cluster.answering())

    def await_casts(self, *hosts: str) -> None:
        eventually(f"{hosts} cast", lambda: all(self.casts(h) for h in hosts), LIMIT_S,
                   self.explain)

    def await_quorum(self, **hosts: bool) -> None:
        eventually(f"quorum is {hosts}",
                   lambda: all(self.quorate(h) == has for h, has in hosts.items()), LIMIT_S,
                   self.explain)

    def await_owner(self, *wanted: str) -> str:
        """On whom all agree that answer."""
        def agreed() -> str | None:
            decider = self.cluster.decider()
            return decider if decider in wanted else None
        return eventually(f"one of {wanted} decides", agreed, LIMIT_S, self.cluster.picture)

    def test_down_to_one_host(self) -> None:
        """Two hosts lose power one after the other, the lock's owner first; then they come back."""
        self.cluster.make_decider("n1")
        self.cluster.lab("cut", "n1")
        owner = self.await_owner("n2", "n3")
        self.await_quorum(n2=True, n3=True)
        self.await_casts("n2", "n3")
        last = "n3" if owner == "n2" else "n2"
        self.cluster.lab("cut", owner)
        self.await_owner(last)
        self.await_casts(last)
        self.await_quorum(**{last: True})

    def test_the_group_without_the_owner_loses_it(self) -> None:
        """The owner is cut off, and gives the lock up to the two others."""
        self.cluster.make_decider("n1")
        self.cluster.lab("split", "n1|n2,n3")
        self.await_quorum(n1=False, n2=True, n3=True)
        self.await_casts("n2", "n3")
        self.assertFalse(self.casts("n1"))
        self.cluster.lab("heal")
        self.await_casts("n1", "n2", "n3")

    def test_a_new_owner_costs_no_quorum(self) -> None:
        """The owner's wardomd is killed in a ring that has quorum by the device's vote alone: the lock
        passes on, and neither corosync hears of it."""
        self.cluster.make_decider("n1")
        self.cluster.lab("cut", "n3")
        self.await_state("n3", "dead", "n1", "n2")
        self.await_quorum(n1=True, n2=True)
        self.await_casts("n1", "n2")
        self.cluster.kill_service("n1", "wardomd")

        def passed_on() -> bool:
            for host in ("n1", "n2"):
                self.assertTrue(self.quorate(host), self.explain())
            return self.cluster.decider() == "n2" and self.casts("n1") and self.casts("n2")

        eventually("n2 decides and both cast", passed_on, LIMIT_S, self.cluster.picture)


class SetUp(ScenarioCase):
    """From one host, on all or on none; each test begins without the device."""

    up_words = ("--hosts", "3", "--guests", "3")

    def setUp(self) -> None:
        super().setUp()
        eventually("the device is on no host", lambda: self.cluster.run(
            "n1", "wardomctl", "quorum", "remove").returncode == 0, explain=self.cluster.picture)
        self.plain = self.files()
        for host, text in self.plain.items():
            self.assertNotIn("model:", text, host)

    def files(self) -> dict[str, str]:
        return {host: self.cluster.must(host, "cat", CONF) for host in self.cluster.host_names}

    def with_device(self) -> set[str]:
        """The hosts whose file names it; every file is the old one or the new one."""
        found = set()
        for host, text in self.files().items():
            if text != self.plain[host]:
                self.assertEqual(text.count("model: wardom"), 1, f"{host}: {text}")
                found.add(host)
        return found

    def rows(self, asked: str = "n1") -> dict[str, dict]:
        shown = self.cluster.ctl(asked, "quorum", "status")
        return {row["name"]: row for row in shown["hosts"]}

    def set_up(self, *words: str, code: int = 0) -> str:
        done = self.cluster.run("n1", "wardomctl", "quorum", "setup", *words)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def assert_in_force(self, *hosts: str) -> None:
        rows = self.rows()
        for host in hosts:
            self.assertTrue(rows[host]["in_force"], rows)
            self.assertEqual(rows[host]["device"], {"model": "wardom", "timeout_ms": 8000,
                                                    "sync_timeout_ms": 4000})

    def test_on_all_and_off_again(self) -> None:
        began = time.monotonic()
        self.set_up()
        print(f"set up after {time.monotonic() - began:.1f} s", flush=True)
        self.assertEqual(self.with_device(), set(self.cluster.host_names))
        self.assert_in_force(*self.cluster.host_names)
        self.assertEqual({row["digest"] for row in self.rows("n3").values()},
                         {self.rows()["n1"]["digest"]})
        self.assertIn("say so already", self.set_up())
        self.cluster.must("n3", "wardomctl", "quorum", "remove")
        self.assertEqual(self.files(), self.plain)
        self.assertFalse([row for row in self.rows().values() if row["in_force"]])
        self.assert_all_untouched()

    def test_a_host_that_is_away(self) -> None:
        self.cluster.lab("service", "n3", "wardomd", "stop")
        eventually("n3 has left the ring", lambda: self.rows()["n3"]["heard"] == "away")
        said = self.set_up(code=3)
        self.assertIn("n3: its wardomd is not in the ring", said)
        self.assertEqual(self.with_device(), set())
        self.assertIn("left as it was: n3", self.set_up("--without", "n3"))
        self.assertEqual(self.with_device(), {"n1", "n2"})
        self.assert_in_force("n1", "n2")
        # Taken out on all hosts or on none.
        done = self.cluster.run("n1", "wardomctl", "quorum", "remove")
        self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
        self.cluster.lab("service", "n3", "wardomd", "start")
        eventually("n3 is back", lambda: self.rows()["n3"]["heard"] == "answer")
        self.assertIsNone(self.rows()["n3"]["device"])
        self.await_problem("n1", "corosync's quorum device here, and not there")
        self.assertIn("changed on n3", self.set_up())
        self.assert_in_force(*self.cluster.host_names)

    def test_too_few_would_have_it(self) -> None:
        for host in ("n2", "n3"):
            self.cluster.lab("service", host, "wardomd", "stop")
        eventually("both have left the ring", lambda: all(
            self.rows()[host]["heard"] == "away" for host in ("n2", "n3")))
        self.assertIn("most of the hosts must have it",
                      self.set_up("--without", "n2", "--without", "n3", code=3))
        self.assertEqual(self.with_device(), set())

    def test_a_host_with_another_device(self) -> None:
        other = self.plain["n2"].replace(
            "provider: corosync_votequorum",
            "provider: corosync_votequorum\n    device {\n        model: net\n    }")
        self.cluster.must("n2", "sh", "-c", f"cat > {CONF}", stdin=other)
        try:
            said = self.set_up(code=3)
            self.assertIn("n2: ", said)
            self.assertIn("another quorum device is named, model net", said)
            self.assertEqual(self.rows()["n2"]["device"]["model"], "net")
        finally:
            self.cluster.must("n2", "sh", "-c", f"cat > {CONF}", stdin=self.plain["n2"])
        self.assertEqual(self.with_device(), set())
        pid = "/run/corosync-qdevice/corosync-qdevice.pid"
        self.cluster.must("n2", "sh", "-c", f"mkdir -p {pid.rsplit('/', 1)[0]}; touch {pid}")
        try:
            self.assertIn("n2: corosync-qdevice runs", self.set_up("--without", "n2", code=3))
        finally:
            self.cluster.must("n2", "rm", pid)
        self.assertEqual(self.with_device(), set())
        self.set_up()
        self.assert_in_force(*self.cluster.host_names)

    def test_a_daemon_or_the_tool_killed_at_any_step(self) -> None:
        """Each file is the old or the new one; what is missing is told; a second run completes it."""
        ends = []
        record = self.cluster.record
        command = lab_hosts.enter_command(record, record.host("n1"), [
            "wardomctl", "quorum", "setup", "--wait", "5"])
        for victim in ("n2", "n1", "tool"):
            for after in (0.0, 0.003, 0.006, 0.009, 0.012, 0.016, 0.03):  # it takes some 0.1 s
                daemon = self.cluster.service_pid("n1" if victim == "tool" else victim, "wardomd")
                tool = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, env=run.CLEAN_ENV)
                time.sleep(after)
                for pid in self.children(tool.pid) if victim == "tool" else [daemon]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                said = tool.communicate(timeout=60)[0]
                have = self.with_device()
                ends.append((victim, after, tool.returncode, len(have)))
                eventually("all answer", lambda: all(
                    row["heard"] == "answer" for row in self.status_rows()),
                    explain=lambda: f"{said}\n{self.cluster.picture()}")
                self.assertEqual({host for host, row in self.rows().items() if row["device"]}, have)
                if tool.returncode == 0:
                    self.assertEqual(len(have), 3, said)
                elif tool.returncode == 3:
                    self.assertEqual(len(have), 0, said)
                eventually("a second run completes it", lambda: self.cluster.run(
                    "n1", "wardomctl", "quorum", "setup").returncode == 0)
                self.assertEqual(len(self.with_device()), 3)
                self.assert_in_force(*self.cluster.host_names)
                eventually("it is taken out", lambda: self.cluster.run(
                    "n1", "wardomctl", "quorum", "remove").returncode == 0)
                self.assertEqual(self.with_device(), set())
        print(f"victim, seconds, exit code, hosts that had it: {ends}", flush=True)
        self.assertIn(0, [code for _, _, code, _ in ends])
        self.assert_nobody_dead()
        self.assert_all_untouched()

    def children(self, pid: int) -> list[int]:
        with contextlib.suppress(OSError):
            return [int(word) for word in
                    Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []

    def status_rows(self) -> list[dict]:
        done = self.cluster.run("n1", "wardomctl", "quorum", "status", "--json")
        return json.loads(done.stdout)["hosts"] if done.returncode == 0 else [{"heard": ""}]


if __name__ == "__main__":
    unittest.main()
