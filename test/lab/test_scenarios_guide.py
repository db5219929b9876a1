#!/usr/bin/python3
"""The guide's commands, run as they are written there (libha/doc/guide.md).

Run as root: /usr/bin/python3 test/lab/test_scenarios_guide.py
"""

from __future__ import annotations

import re
import unittest

from scenario_support import REPOSITORY, ScenarioCase, eventually

GUIDE = REPOSITORY / "libha/doc/guide.md"
BLOCK = re.compile(r"^```sh ?([a-z-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_HERE = "on-real-hosts"
AFTER_A_DEATH = "## 6. See that it works"
LIMIT_S = 90.0
RESOURCES = ("g1", "g2", "guard", "wardom")


def blocks() -> list[tuple[str, list[str]]]:
    """What each block is for, and its commands. Those of the last step follow a host's death."""
    before, after = GUIDE.read_text().split(AFTER_A_DEATH)
    return [(kind, text.splitlines()) for kind, text in BLOCK.findall(before)] + [
        (kind or AFTER_A_DEATH, text.splitlines()) for kind, text in BLOCK.findall(after)]


class Guide(ScenarioCase):
    up_words = ("--hosts", "3", "--guests", "2", "--profile", "default", "--pacemaker")

    def setUp(self) -> None:
        super().setUp()
        # A real host has a service manager that keeps Wardom running, as this one has the lab's.
        # By this HostGuard takes it for systemd's, and starts no supervisor beside it.
        for host in self.cluster.host_names:
            self.cluster.must(host, "mkdir", "-p", "/run/systemd/system")

    def tearDown(self) -> None:
        by = self.cluster.answering()[0]
        for guest in ("g1", "g2"):   # the lab's guests take no notice of a power button
            self.cluster.run(by, "crm_resource", "--resource", guest, "--set-parameter",
                             "force_stop", "--parameter-value", "true")
        for name in RESOURCES:
            self.cluster.run(by, "crm", "--force", "resource", "stop", name)
        self.cluster.run(by, "crm_resource", "--wait", "--timeout", "60")
        for name in (*RESOURCES, "wardom-alert"):
            self.cluster.run(by, "crm", "--force", "configure", "delete", name)
        super().tearDown()

    def run_blocks(self, *kinds: str) -> None:
        for kind, commands in blocks():
            if kind not in kinds:
                continue
            for command in commands:
                with self.subTest(command):
                    self.cluster.must("n1", "sh", "-c", command)

    def where(self, guest: str) -> list[str]:
        entry = self.cluster.truth()[guest]
        return entry["running_on"] if entry["counting"] else []

    def follow(self, chapter: str) -> None:
        self.run_blocks("", chapter)
        for guest, home in (("g1", "n1"), ("g2", "n2")):
            self.await_on(guest, home)
            shown, = [one for one in self.cluster.status("n1")["guests"] if one["name"] == guest]
            self.assertEqual((shown["owner"], shown["manager"]), (home, "pacemaker"))
        eventually("a guard runs on every host", lambda: all(
            host["guard"] == "started" for host in self.cluster.status("n1")["hosts"]),
                   LIMIT_S, self.cluster.picture)

    def await_on(self, guest: str, *hosts: str) -> None:
        eventually(f"{guest} runs on one of {hosts}",
                   lambda: len(self.where(guest)) == 1 and self.where(guest)[0] in hosts, LIMIT_S,
                   self.cluster.picture)

    def test_with_pcs(self) -> None:
        self.follow("pcs")

    def test_with_crm(self) -> None:
        self.follow("crm")
        self.cluster.lab("cut", "n2")
        self.await_on("g2", "n1", "n3")
        self.run_blocks(AFTER_A_DEATH)
        self.assertIn("n2", self.cluster.must("n1", "wardomctl", "timeline"))

    def test_has_no_block_that_nobody_runs(self) -> None:
        self.assertEqual({kind for kind, _ in blocks()},
                         {"", "pcs", "crm", NOT_HERE, AFTER_A_DEATH})
        self.assertTrue(all(commands for _, commands in blocks()))


if __name__ == "__main__":
    unittest.main(verbosity=2)
