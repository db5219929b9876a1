#!/usr/bin/python3
"""Our own processes and our neighbours' killed, hung, stopped: guests run on, nobody is dead.

Run as root: /usr/bin/python3 test/lab/test_scenarios_services.py
"""

from __future__ import annotations

import unittest

from scenario_support import ScenarioCase, eventually

WATCH_S = 2.0

# Not protected and without disks: all that the hook needs to see of a guest is its name and UUID.
UNPROTECTED = """\
<domain type='qemu'><name>plain</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os><devices>
<controller type='usb' model='none'/><memballoon model='none'/></devices></domain>
"""


class Services(ScenarioCase):
    def watch(self) -> None:
        self.quiet_watch(WATCH_S, also=self.assert_nobody_dead)
        self.assert_all_untouched()

    def healed(self) -> None:
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        self.assert_all_untouched()
        # Adapters come back with a back-off of up to 2 s.
        eventually("no problem on n1", lambda: self.cluster.problems("n1") == [],
                   explain=self.cluster.picture)

    def service(self, host: str, name: str, verb: str) -> None:
        self.cluster.lab("service", host, name, verb)

    # --- wardomd -----------------------------------------------------------------------------

    def killed(self, host: str, name: str) -> None:
        """The service manager starts it again; afterwards all is as before."""
        incarnation = self.cluster.incarnation("n2", host)
        starts = self.cluster.services(host)[name]["starts"]
        self.service(host, name, "kill")
        eventually(f"{name} of {host} runs again",
                   lambda: self.cluster.services(host)[name]["starts"] > starts)
        self.watch()
        self.healed()
        self.assertEqual(self.cluster.incarnation("n2", host), incarnation)

    def test_wardomd_killed(self) -> None:
        self.killed("n3", "wardomd")

    def test_wardomd_of_the_decider_killed(self) -> None:
        self.killed("n1", "wardomd")
        eventually("a host decides again",
                   lambda: self.cluster.status("n3")["decider"] is not None)

    def test_wardomd_hung(self) -> None:
        self.service("n3", "wardomd", "hang")
        self.await_state("n3", "daemon-down", "n1", "n2")
        self.await_problem("n1", "n3", "daemon-down")
        self.watch()
        self.service("n3", "wardomd", "resume")
        self.healed()

    def test_wardomd_stopped(self) -> None:
        self.service("n3", "wardomd", "stop")
        self.await_state("n3", "daemon-down", "n1", "n2")
        self.watch()
        self.assertEqual(self.cluster.state("n1", "n3"), "daemon-down")
        self.service("n3", "wardomd", "start")
        self.healed()

    def test_wardomd_of_the_decider_stopped(self) -> None:
        self.service("n1", "wardomd", "stop")
        self.await_state("n1", "daemon-down", "n2", "n3")
        for asked in ("n2", "n3"):
            eventually(f"n2 decides, says {asked}",
                       lambda: self.cluster.status(asked)["decider"] == "n2")
        self.watch()
        self.service("n1", "wardomd", "start")
        self.healed()

    def test_wardomd_stopped_on_all_hosts(self) -> None:
        for host in self.cluster.host_names:
            self.service(host, "wardomd", "stop")
        self.quiet_watch(WATCH_S)
        for host in self.cluster.host_names:
            self.service(host, "wardomd", "start")
        self.healed()

    # --- keeper ------------------------------------------------------------------------------

    def test_keeper_killed(self) -> None:
        self.killed("n3", "keeper")

    def test_keeper_of_the_decider_killed(self) -> None:
        self.killed("n1", "keeper")

    def test_both_daemons_killed(self) -> None:
        """Links and slot fall silent at once, and come back at once: not a death."""
        self.service("n3", "keeper", "kill")
        self.killed("n3", "wardomd")

    # --- neighbours --------------------------------------------------------------------------

    def test_corosync_killed(self) -> None:
        self.service("n3", "corosync", "kill")
        self.await_problem("n3", "no corosync ring here")
        self.watch()
        self.await_state("n3", "alive", "n1", "n2")
        self.service("n3", "corosync", "start")
        self.healed()
        eventually("no problem on n3", lambda: self.cluster.problems("n3") == [],
                   explain=self.cluster.picture)

    def test_libvirtd_killed_and_started(self) -> None:
        self.service("n3", "libvirtd", "kill")
        self.await_problem("n3", "libvirt does not answer")
        self.watch()
        self.service("n3", "libvirtd", "start")
        self.healed()
        eventually("libvirt answers again", lambda: self.cluster.problems("n3") == [],
                   explain=self.cluster.picture)
        eventually("g3 is known to run",
                   lambda: self.cluster.guest_view("n3", "g3").get("state") == "running")

    def test_libvirtd_stopped_and_started(self) -> None:
        self.service("n1", "libvirtd", "stop")
        self.await_problem("n1", "libvirt does not answer")
        self.watch()
        self.service("n1", "libvirtd", "start")
        self.healed()

    # --- the hook without its daemon ---------------------------------------------------------

    def test_hook_while_wardomd_is_stopped(self) -> None:
        """A protected guest is not started on a guess; other guests are none of our business."""
        self.cluster.must("n1", "virsh", "destroy", "g4")
        eventually("g4 is wanted stopped",
                   lambda: self.cluster.guest_view("n2", "g4").get("wanted") == "stopped")
        self.service("n1", "wardomd", "stop")
        done = self.cluster.run("n1", "virsh", "start", "g4")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("guest g4 is protected by Wardom", done.stderr)
        self.assertIn("Start wardomd", done.stderr)
        self.assertEqual(self.cluster.truth()["g4"]["running_on"], [])
        self.addCleanup(self.cluster.run, "n1", "virsh", "destroy", "plain")
        self.cluster.must("n1", "virsh", "create", "/dev/stdin", stdin=UNPROTECTED)
        self.assertIn("running", self.cluster.must("n1", "virsh", "domstate", "plain"))
        self.service("n1", "wardomd", "start")
        eventually("wardomd answers", lambda: self.cluster.status("n1"))
        eventually("the start is allowed again",
                   lambda: self.cluster.run("n1", "virsh", "start", "g4").returncode == 0)
        eventually("g4 is wanted running",
                   lambda: self.cluster.guest_view("n2", "g4").get("wanted") == "running")
        self.assert_untouched(["g1", "g2", "g3"])


class KeeperAway(ScenarioCase):
    """A keeper away for longer than its watchdog's patience harms no host that has none. (What it
    does to one that holds a lease is shown with the lease.)"""

    up_words = ("--hosts", "3", "--guests", "4", "--no-watchdog")

    def keeper_away(self, verb: str, back: str) -> None:
        self.cluster.lab("service", "n3", "keeper", verb)
        self.await_state("n3", "storage-cut", "n1", "n2")
        self.await_problem("n3", "n3", "state volume")
        self.await_problem("n1", "n3", "holds no lease")
        self.quiet_watch(WATCH_S, also=self.assert_nobody_dead)
        self.cluster.lab("service", "n3", "keeper", back)
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        self.assert_all_untouched()

    def test_keeper_hung(self) -> None:
        self.keeper_away("hang", "resume")

    def test_keeper_stopped(self) -> None:
        self.keeper_away("stop", "start")


if __name__ == "__main__":
    unittest.main(verbosity=2)
