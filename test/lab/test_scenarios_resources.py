#!/usr/bin/python3
"""Guests as Pacemaker's resources, by ocf:wardom:Guest: Pacemaker says where they run, and Wardom that
they run once.

Run as root: /usr/bin/python3 test/lab/test_scenarios_resources.py
"""

from __future__ import annotations

import re
import unittest

from scenario_support import ScenarioCase, eventually, storage

LIMIT_S = 90.0
RESOURCE = """\
<primitive id="vm-{guest}" class="ocf" provider="wardom" type="Guest">
 <instance_attributes id="vm-{guest}-params">
  <nvpair id="vm-{guest}-guest" name="guest" value="{guest}"/>
  <nvpair id="vm-{guest}-force" name="force_stop" value="true"/>
 </instance_attributes>
 <meta_attributes id="vm-{guest}-meta">
  <nvpair id="vm-{guest}-live" name="allow-migrate" value="{live}"/>
 </meta_attributes>
 <operations>
  <op id="vm-{guest}-migrate_to" name="migrate_to" interval="0" timeout="60s" on-fail="block"/>
  <op id="vm-{guest}-migrate_from" name="migrate_from" interval="0" timeout="60s"/>
  <op id="vm-{guest}-start" name="start" interval="0" timeout="60s"/>
  <op id="vm-{guest}-stop" name="stop" interval="0" timeout="60s"/>
  <op id="vm-{guest}-monitor" name="monitor" interval="2s" timeout="20s"/>
 </operations>
</primitive>
"""

NONSENSE = """\
<primitive id="nonsense" class="ocf" provider="wardom" type="Guest">
 <instance_attributes id="nonsense-params">
  <nvpair id="nonsense-param" name="{name}" value="{value}"/>
 </instance_attributes>
 <operations>
  <op id="nonsense-start" name="start" interval="0" timeout="20s"/>
  <op id="nonsense-stop" name="stop" interval="0" timeout="20s"/>
  <op id="nonsense-monitor" name="monitor" interval="10s" timeout="20s"/>
 </operations>
</primitive>
"""
# The lab has a service manager of its own. allow-unhealthy-nodes: or it would end where it says red.
GUARDS = """\
<clone id="guards">
 <meta_attributes id="guards-meta">
  <nvpair id="guards-interleave" name="interleave" value="true"/>
 </meta_attributes>
 <primitive id="guard" class="ocf" provider="wardom" type="HostGuard">
  <meta_attributes id="guard-meta">
   <nvpair id="guard-unhealthy" name="allow-unhealthy-nodes" value="true"/>
  </meta_attributes>
  <instance_attributes id="guard-params">
   <nvpair id="guard-supervise" name="supervise" value="no"/>
  </instance_attributes>
  <operations>
   <op id="guard-start" name="start" interval="0" timeout="60s"/>
   <op id="guard-monitor" name="monitor" interval="1s" timeout="20s"/>
   <op id="guard-deep" name="monitor" interval="2s" timeout="20s">
    <instance_attributes id="guard-deep-params">
     <nvpair id="guard-level" name="OCF_CHECK_LEVEL" value="10"/>
    </instance_attributes>
   </op>
  </operations>
 </primitive>
</clone>
"""
ALERTS = """\
<alerts><alert id="wardom" path="/usr/libexec/wardom/wardom-alert"/></alerts>
"""


class GuestResources(ScenarioCase):
    up_words = ("--hosts", "3", "--guests", "2", "--profile", "default", "--pacemaker")

    def setUp(self) -> None:
        super().setUp()
        self.managed: list[str] = []

    def tearDown(self) -> None:
        by = self.cluster.answering()[0]
        self.cluster.run(by, "cibadmin", "--delete", "--scope", "resources", "--xml-text",
                         '<clone id="guards"/>')
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

    def manage(self, guest: str, live: bool = False) -> str:
        """Pacemaker finds it running, and leaves it where it is. That host's name."""
        host = eventually(f"{guest} runs", lambda: self.where(guest), LIMIT_S)
        boot = self.cluster.truth()[guest]["boot"]
        self.cluster.must("n1", "cibadmin", "--create", "--scope", "resources", "--xml-text",
                          RESOURCE.format(guest=guest, live=str(live).lower()))
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
        shown = self.cluster.run(self.cluster.answering()[0], "crm_mon", "--one-shot",
                                "--failcounts")
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

    def test_moved_live_by_pacemaker(self) -> None:
        """It goes on, without a boot. Where it cannot go, it stays, and the resource is blocked."""
        first = self.manage("g1", live=True)
        target, third = self.cluster.others(first)
        boot = self.cluster.truth()["g1"]["boot"]
        self.cluster.must(target, "crm_resource", "--resource", "vm-g1", "--move", "--node", target)
        self.await_on("g1", target)
        eventually(f"Pacemaker knows that g1 is on {target}",
                   lambda: self.located("g1", target) == target, LIMIT_S, self.explain)
        self.assertEqual(self.cluster.truth()["g1"]["boot"], boot, self.explain())
        shown, = [one for one in self.cluster.status(target)["guests"] if one["name"] == "g1"]
        self.assertEqual((shown["owner"], shown["manager"]), (target, "pacemaker"))

        self.cluster.lab("service", third, "libvirtd", "stop")
        self.cluster.must(target, "crm_resource", "--resource", "vm-g1", "--move", "--node", third)
        eventually("the resource is blocked", lambda: "blocked" in self.explain(), LIMIT_S,
                   self.explain)
        self.assertEqual(self.cluster.truth()["g1"]["boot"], boot, self.explain())
        self.assertEqual(self.where("g1"), target)
        self.cluster.lab("service", third, "libvirtd", "start")
        self.cluster.must(target, "crm_resource", "--resource", "vm-g1", "--clear")
        self.cluster.must(target, "crm_resource", "--resource", "vm-g1", "--cleanup")
        self.cluster.must(target, "crm_resource", "--wait", "--timeout", "60")
        eventually(f"Pacemaker has found g1 again on {target}", lambda: "blocked" not in
                   self.explain() and self.located("g1", target) == target, LIMIT_S, self.explain)

    def test_killed_guest_runs_again(self) -> None:
        host = self.manage("g1")
        boot = self.cluster.truth()["g1"]["boot"]
        self.cluster.must(host, "virsh", "destroy", "g1")
        eventually("g1 has booted anew", lambda: self.where("g1") is not None
                   and self.cluster.truth()["g1"]["boot"] != boot, LIMIT_S, self.explain)

    def test_what_goes_by(self) -> None:
        """Wardom, libvirt or the volume away for some seconds, also in maintenance: Pacemaker sees no
        failure, and no guest is touched."""
        host = self.manage("g1")
        self.before = self.cluster.truth()
        self.killed(host, "wardomd")
        self.killed(host, "keeper")
        self.cluster.lab("service", host, "libvirtd", "stop")
        self.quiet_watch(5.0)
        self.cluster.lab("service", host, "libvirtd", "start")
        storage.control(self.cluster.record, "pause")
        self.quiet_watch(4.0)
        storage.control(self.cluster.record, "resume")
        self.cluster.must(host, "crm_attribute", "--name", "maintenance-mode", "--update", "true")
        self.killed(host, "wardomd")
        self.quiet_watch(3.0)
        self.cluster.must(host, "crm_attribute", "--name", "maintenance-mode", "--delete")
        self.cluster.must(host, "crm_resource", "--wait", "--timeout", "60")
        self.assertNotIn("fail-count", self.explain())
        self.assertEqual(self.located("g1", host), host)
        self.assert_nobody_dead()
        self.assert_all_untouched()

    def test_resources_that_make_no_sense(self) -> None:
        """Each fails with one sentence, on every host; and nothing of it calls for a fencing."""
        for host in self.cluster.host_names:
            self.cluster.must(host, "sh", "-c", "echo '<domain>cut off' > /tmp/damaged.xml")
        for name, value, reason in (("config", "/tmp/damaged.xml", "damaged.xml"),
                                    ("config", "/nowhere.xml", "No such file"),
                                    ("hypervisor", "xen:///", "qemu:///system"),
                                    ("guest", "g" * 4000, "ggg")):
            with self.subTest(f"{name}={value[:20]}"):
                self.cluster.must("n1", "cibadmin", "--create", "--scope", "resources",
                                  "--xml-text", NONSENSE.format(name=name, value=value))
                self.cluster.must("n1", "crm_resource", "--wait", "--timeout", "90")
                shown = self.cluster.run("n1", "crm_mon", "--one-shot").stdout
                self.assertIn(reason, shown)
                self.assertNotIn("stop on", shown)  # or a cluster with fencing would fence for it
                self.assertNotIn("blocked", shown)
                self.cluster.must("n1", "cibadmin", "--delete", "--scope", "resources",
                                  "--xml-text", '<primitive id="nonsense"/>')
                self.cluster.must("n1", "crm_resource", "--wait", "--timeout", "60")
                self.cluster.run("n1", "crm_resource", "--refresh")
        self.assert_nobody_dead()
        self.assert_all_untouched()

    def test_host_dies(self) -> None:
        """Pacemaker starts it elsewhere by its own judgement; Wardom lets that happen on proof."""
        host = self.manage("g1")
        others = self.cluster.others(host)
        self.cluster.must(host, "crm_resource", "--resource", "vm-g1", "--move", "--node", others[0])
        self.await_on("g1", others[0])
        self.cluster.must(host, "crm_resource", "--resource", "vm-g1", "--clear")
        self.cluster.lab("cut", others[0])
        self.await_on("g1", host, *others[1:])

    # --- HostGuard and alerts ------------------------------------------------------------------

    def attribute(self, name: str) -> dict[str, str]:
        """Its value on each host that has it."""
        said = self.cluster.run("n1", "attrd_updater", "--name", name, "--query", "--all").stdout
        return {host: value for host, value in re.findall(r'host="(\w+)" value="([^"]*)"', said)
                if value}

    def guards(self) -> set[str]:
        """The hosts on which Pacemaker has one run."""
        return set(self.cluster.run("n1", "crm_resource", "--resource", "guards", "--locate",
                                    "--quiet").stdout.split())

    def guards_said(self, asked: str) -> dict[str, object]:
        shown = self.cluster.status(asked) or {"hosts": []}
        return {one["name"]: one["guard"] for one in shown["hosts"]}

    def await_guards(self, *hosts: str) -> None:
        """There and nowhere else, by Pacemaker, by the attributes and by what all hosts say."""
        wanted = set(hosts)
        eventually(f"guards on {wanted}", lambda: self.guards() == wanted, LIMIT_S, self.explain)
        eventually(f"all of {wanted} are green", lambda: self.attribute("#health-wardom") ==
                   {host: "green" for host in wanted}, LIMIT_S, self.explain)
        eventually(f"all of {wanted} are alive", lambda: self.attribute("wardom-state") ==
                   {host: "alive" for host in wanted}, LIMIT_S, self.explain)
        words = {host: "started" if host in wanted else "stopped"
                 for host in self.cluster.host_names}
        for asked in self.cluster.host_names:
            eventually(f"{asked} knows that", lambda: self.guards_said(asked) == words, LIMIT_S,
                       lambda: self.guards_said(asked))

    def killed(self, host: str, service: str) -> None:
        starts = self.cluster.services(host)[service]["starts"]
        self.cluster.lab("service", host, service, "kill")
        eventually(f"{service} of {host} runs again",
                   lambda: self.cluster.services(host)[service]["starts"] > starts)

    def test_host_guards(self) -> None:
        """Whatever becomes of it, and of what it watches, no guest stops and nobody is fenced."""
        hosts = self.cluster.host_names
        self.cluster.must("n1", "cibadmin", "--create", "--scope", "resources", "--xml-text", GUARDS)
        self.await_guards(*hosts)
        self.killed("n2", "wardomd")
        self.killed("n3", "keeper")
        self.await_guards(*hosts)
        self.cluster.lab("service", "n3", "libvirtd", "stop")
        eventually("n3 is yellow", lambda: self.attribute("#health-wardom").get("n3") == "yellow",
                   LIMIT_S, self.explain)
        self.assertEqual(self.guards(), set(hosts))
        self.cluster.lab("service", "n3", "libvirtd", "start")
        self.cluster.must("n1", "crm_standby", "--node", "n2", "--update", "on")
        self.await_guards("n1", "n3")
        self.cluster.must("n1", "crm_standby", "--node", "n2", "--delete")
        self.await_guards(*hosts)
        self.cluster.must("n1", "crm_attribute", "--name", "maintenance-mode", "--update", "true")
        self.killed("n1", "wardomd")
        self.cluster.must("n1", "crm_attribute", "--name", "maintenance-mode", "--delete")
        self.await_guards(*hosts)
        self.cluster.must("n1", "crm_resource", "--resource", "guards", "--meta",
                          "--set-parameter", "target-role", "--parameter-value", "Stopped")
        self.await_guards()
        self.assert_nobody_dead()
        self.assert_all_untouched()

    def test_fencing_that_pacemaker_only_reports(self) -> None:
        """Somebody tells Pacemaker that n3 was fenced, while it runs: evidence, and no proof."""
        self.cluster.must("n1", "cibadmin", "--modify", "--allow-create", "--scope",
                          "configuration", "--xml-text", ALERTS)
        self.cluster.must("n1", "stonith_admin", "--confirm", "n3")
        for asked in ("n1", "n2"):
            fact = eventually(f"{asked} has Pacemaker's word", lambda: next(
                (fact for fact in self.cluster.ctl(asked, "why", "n3")["chain"]
                 if fact["source"] == "pacemaker" and "no proof" in fact["what"]), None), LIMIT_S,
                lambda: (self.cluster.ctl(asked, "why", "n3"), self.explain()))
            self.assertIn("n3", fact["what"])
            shown = self.cluster.ctl(asked, "host", "show", "n3")
            self.assertEqual(shown["fenced_says_pacemaker"]["what"], fact["what"])
        self.quiet_watch(3.0, also=self.assert_nobody_dead)
        self.assertEqual(self.cluster.state("n1", "n3"), "alive")
        self.assert_all_untouched()


if __name__ == "__main__":
    unittest.main(verbosity=2)
