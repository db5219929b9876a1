#!/usr/bin/python3
"""Guests as Pacemaker's resources, by ocf:wardom:Guest: Pacemaker says where they run, and Wardom that
they run once.

Run as root: /usr/bin/python3 test/lab/test_scenarios_resources.py
"""

from __future__ import annotations

import unittest

from scenario_support import ScenarioCase, eventually

LIMIT_S = 90.0
RESOURCE = """\
<primitive id="vm-{guest}" class="ocf" provider="wardom" type="Guest">
 <instance_attributes id="vm-{guest}-params">
  <nvpair id="vm-{guest}-guest" name="guest" value="{guest}"/>
  <nvpair id="vm-{guest}-force" name="force_stop" value="true"/>
 </instance_attributes>
 <operations>
  <op id="vm-{guest}-start" name="start" interval="0" timeout="60s"/>
  <op id="vm-{guest}-stop" name="stop" interval="0" timeout="60s"/>
  <op id="vm-{guest}-monitor" name="monitor" interval="2s" timeout="20s"/>
 </operations>
</primitive>
"""


class GuestResources(ScenarioCase):
    up_words = ("--hosts", "3", "--guests", "2", "--profile", "default", "--pacemaker")

    def setUp(self) -> None:
        super().setUp()
        self.managed: list[str] = []

    def tearDown(self) -> None:
        for guest in self.managed:
            self.forget(guest)
        super().tearDown()

    def where(self, guest: str) -> str | None:
        """The one host on which it runs and counts."""
        entry = self.cluster.truth()[guest]
        there = entry["running_on"]
        return there[0] if entry["counting"] and len(there) == 1 else None

    def located(self, guest: str, by: str) -> str:
        return self.cluster.run(by, "crm_resource", "--resource", f"vm-{guest}", "--locate",
                                "--quiet").stdout.strip()

    def manage(self, guest: str) -> str:
        """Pacemaker finds it running, and leaves it where it is. That host's name."""
        host = eventually(f"{guest} runs", lambda: self.where(guest), LIMIT_S)
        boot = self.cluster.truth()[guest]["boot"]
        self.cluster.must("n1", "cibadmin", "--create", "--scope", "resources", "--xml-text",
                          RESOURCE.format(guest=guest))
        self.managed.append(guest)
        eventually(f"Pacemaker finds {guest} on {host}",
                   lambda: self.located(guest, "n1") == host, LIMIT_S, self.explain)
        self.assertEqual(self.cluster.truth()[guest]["boot"], boot)
        return host

    def forget(self, guest: str) -> None:
        """Pacemaker stops it where its resource is gone; what is left of it is the record."""
        by = self.cluster.answering()[0]
        self.cluster.run(by, "crm_resource", "--resource", f"vm-{guest}", "--clear")
        self.cluster.must(by, "cibadmin", "--delete", "--scope", "resources", "--xml-text",
                          f'<primitive id="vm-{guest}"/>')
        eventually(f"{guest} is stopped", lambda: not self.cluster.truth()[guest]["running_on"]
                   and self.view(guest)["state"] == "stopped", LIMIT_S, self.explain)

    def view(self, guest: str) -> dict[str, object]:
        shown = self.cluster.status(self.cluster.answering()[0]) or {"guests": []}
        return next((one for one in shown["guests"] if one["name"] == guest), {"state": None})

    def explain(self) -> str:
        shown = self.cluster.run(self.cluster.answering()[0], "crm_mon", "--one-shot", "--failures")
        return f"{self.cluster.picture()}\n{shown.stdout}{shown.stderr}"

    def await_on(self, guest: str, *hosts: str) -> str:
        return eventually(f"{guest} runs on one of {hosts}",
                          lambda: self.where(guest) if self.where(guest) in hosts else None,
                          LIMIT_S, self.explain)

    def test_moved_by_pacemaker(self) -> None:
        first = self.manage("g1")
        target = self.cluster.others(first)[0]
        self.cluster.must(target, "crm_resource", "--resource", "vm-g1", "--move", "--node", target)
        self.await_on("g1", target)
        shown, = [one for one in self.cluster.status(target)["guests"] if one["name"] == "g1"]
        self.assertEqual((shown["owner"], shown["manager"]), (target, "pacemaker"))
        # Where wardomd is away for a while, nothing is thought to have failed.
        boot = self.cluster.truth()["g1"]["boot"]
        self.before = self.cluster.truth()
        self.cluster.lab("service", target, "wardomd", "stop")
        self.quiet_watch(6.0)
        self.cluster.lab("service", target, "wardomd", "start")
        eventually("wardomd answers", lambda: self.cluster.status(target), LIMIT_S)
        self.assertEqual(self.cluster.truth()["g1"]["boot"], boot)
        self.assertEqual(self.located("g1", target), target)

    def test_killed_guest_runs_again(self) -> None:
        host = self.manage("g1")
        boot = self.cluster.truth()["g1"]["boot"]
        self.cluster.must(host, "virsh", "destroy", "g1")
        eventually("g1 has booted anew", lambda: self.where("g1") is not None
                   and self.cluster.truth()["g1"]["boot"] != boot, LIMIT_S, self.explain)

    def test_host_dies(self) -> None:
        """Pacemaker starts it elsewhere by its own judgement; Wardom lets that happen on proof."""
        host = self.manage("g1")
        others = self.cluster.others(host)
        self.cluster.must(host, "crm_resource", "--resource", "vm-g1", "--move", "--node", others[0])
        self.await_on("g1", others[0])
        self.cluster.must(host, "crm_resource", "--resource", "vm-g1", "--clear")
        self.cluster.lab("cut", others[0])
        self.await_on("g1", host, *others[1:])


if __name__ == "__main__":
    unittest.main(verbosity=2)
