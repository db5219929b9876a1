#!/usr/bin/python3
"""Guests: wishes are respected, definitions are recorded, local things refused, protection ends.

Run as root: /usr/bin/python3 test/lab/test_scenarios_guests.py
"""

from __future__ import annotations

import re
import unittest

from scenario_support import GUEST_XML, ScenarioCase, eventually, lab_hosts

# Every path is local to one host. Never started, so none of them needs to exist.
LOCAL = """\
<domain type='qemu'><name>local</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>
<nvram>/var/lib/libvirt/local_VARS.fd</nvram>
<kernel>/boot/local-kernel</kernel></os><features><acpi/></features><devices>
<disk type='file' device='cdrom'><source file='/srv/local.iso'/>
<target dev='sda' bus='sata'/></disk>
</devices></domain>
"""
LOCAL_PATHS = ("/var/lib/libvirt/local_VARS.fd", "/boot/local-kernel", "/srv/local.iso")


class Guests(ScenarioCase):
    def wait_wanted(self, guest: str, wanted: str, *asked: str) -> None:
        for host in asked:
            eventually(f"{host} has {guest} as wanted {wanted}",
                       lambda: self.cluster.guest_view(host, guest).get("wanted") == wanted,
                       explain=self.cluster.picture)

    def counts_elsewhere(self, guest: str, than: str) -> str:
        def elsewhere() -> str | None:
            entry = self.cluster.truth()[guest]
            moved = entry["counting"] and entry["running_on"] not in ([], [than])
            return entry["running_on"][0] if moved else None

        return eventually(f"{guest} counts elsewhere than on {than}", elsewhere,
                          explain=self.cluster.picture)

    def test_a_guest_shut_down_on_purpose_stays_off(self) -> None:
        self.cluster.must("n1", "virsh", "destroy", "g4")
        self.wait_wanted("g4", "stopped", "n1", "n2", "n3")
        self.cluster.lab("cut", "n1")
        self.counts_elsewhere("g1", "n1")
        eventually("the recovery is finished",
                   lambda: (self.cluster.timeline("n2") or {}).get("finished"))
        self.quiet_watch_but("g1", 3.0)
        self.assertEqual(self.cluster.truth()["g4"]["running_on"], [])
        self.assertEqual([g["name"] for g in self.cluster.timeline("n2")["guests"]], ["g1"])

    def quiet_watch_but(self, guest: str, seconds: float) -> None:
        """As quiet_watch, after one guest has been started where it now runs."""
        self.before[guest] = self.cluster.truth()[guest]
        self.quiet_watch(seconds)

    def test_a_guest_started_again_is_wanted_again(self) -> None:
        self.cluster.must("n2", "virsh", "destroy", "g2")
        self.wait_wanted("g2", "stopped", "n3")
        self.cluster.must("n2", "virsh", "start", "g2")
        self.wait_wanted("g2", "running", "n3")
        self.cluster.lab("cut", "n2")
        self.counts_elsewhere("g2", "n2")

    def test_a_killed_qemu_is_no_wish(self) -> None:
        """A crash is not a shutdown: the guest stays wanted. (Restarting it in place is not in
        this release.)"""
        pid = self.cluster.must("n2", "cat", "/run/libvirt/qemu/g2.pid").strip()
        self.cluster.must("n2", "kill", "-9", pid)
        eventually("libvirt has noticed", lambda: "shut off" in self.cluster.must(
            "n2", "virsh", "domstate", "g2"))
        self.quiet_watch(2.0)
        self.wait_wanted("g2", "running", "n1", "n2", "n3")

    def test_a_changed_definition_is_recorded_and_used(self) -> None:
        xml = self.cluster.must("n2", "virsh", "dumpxml", "--inactive", "g2")
        changed = xml.replace("<memory unit", "<description>changed by hand</description>\n"
                              "  <memory unit", 1)
        self.assertNotEqual(changed, xml)
        self.cluster.must("n2", "virsh", "define", "/dev/stdin", stdin=changed)
        for asked in ("n1", "n3"):
            eventually(f"{asked} has the changed definition", lambda: "changed by hand" in
                       self.cluster.ctl(asked, "guest", "show", "g2")["xml"])
        self.cluster.must("n2", "virsh", "setmaxmem", "g2", "24M", "--config")
        self.cluster.must("n2", "virsh", "setmem", "g2", "24M", "--config")
        eventually("its memory is recorded", lambda:
                   self.cluster.ctl("n1", "guest", "show", "g2")["memory_mib"] == 24,
                   explain=lambda: self.cluster.ctl("n1", "guest", "show", "g2"))
        self.assert_all_untouched()
        self.cluster.lab("cut", "n2")
        target = self.counts_elsewhere("g2", "n2")
        there = self.cluster.must(target, "virsh", "dumpxml", "g2")
        self.assertIn("changed by hand", there)
        self.assertIn(">24576<", there)

    # --- protect -----------------------------------------------------------------------------

    def test_local_things_are_refused_by_name_or_waived(self) -> None:
        self.addCleanup(self.cluster.run, "n2", "virsh", "undefine", "local", "--keep-nvram")
        self.cluster.must("n2", "virsh", "define", "/dev/stdin", stdin=LOCAL)
        protect = ("wardomctl", "guest", "protect", "local")
        done = self.cluster.run("n2", *protect)
        self.assertEqual(done.returncode, 3, done.stderr)
        for path in LOCAL_PATHS:
            self.assertIn(path, done.stderr)
        names = re.findall(r"^  (\S+)  \(", done.stderr, re.MULTILINE)
        self.assertGreaterEqual(len(names), len(LOCAL_PATHS))
        some = [word for name in names[1:] for word in ("--waive", name)]
        done = self.cluster.run("n2", *protect, *some)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertEqual(re.findall(r"^  (\S+)  \(", done.stderr, re.MULTILINE), names[:1])
        self.assertEqual(self.cluster.guest_view("n2", "local"), {})
        self.cluster.must("n2", *protect, *some, "--waive", names[0])
        eventually("n1 knows the new guest", lambda: self.cluster.guest_view("n1", "local"))
        self.assertEqual(sorted(self.cluster.ctl("n1", "guest", "show", "local")["waived"]),
                         sorted(names))
        self.cluster.must("n2", "wardomctl", "guest", "unprotect", "local")
        eventually("n1 knows", lambda: self.cluster.guest_view("n1", "local") == {})

    def test_protect_of_an_unknown_guest(self) -> None:
        done = self.cluster.run("n2", "wardomctl", "guest", "protect", "nobody")
        self.assertEqual(done.returncode, 1)
        self.assertIn("nobody", done.stderr)

    def test_protect_twice_changes_nothing_but_what_is_said(self) -> None:
        before = self.cluster.ctl("n2", "guest", "show", "g2")
        self.cluster.must("n2", "wardomctl", "guest", "protect", "g2", "--priority", "7")
        eventually("the priority is known",
                   lambda: self.cluster.guest_view("n1", "g2").get("priority") == 7)
        after = self.cluster.ctl("n2", "guest", "show", "g2")
        self.assertEqual((after["generation"], after["owner"], after["xml"]),
                         (before["generation"], before["owner"], before["xml"]))
        self.cluster.must("n2", "wardomctl", "guest", "protect", "g2", "--priority", "0")
        self.assert_all_untouched()

    def test_protect_of_another_hosts_guest_is_refused(self) -> None:
        self.cluster.must("n3", "virsh", "define", GUEST_XML.format("g2"))
        self.addCleanup(self.cluster.run, "n3", "virsh", "undefine", "g2")
        done = self.cluster.run("n3", "wardomctl", "guest", "protect", "g2")
        self.assertIn(done.returncode, (1, 3), done.stderr)  # 1: its definition is gone already
        eventually("the definition there is removed",
                   lambda: "g2" not in self.cluster.defined("n3"))
        self.assert_all_untouched()

    def test_an_unprotected_guest_stays_down_with_its_host(self) -> None:
        self.cluster.must("n3", "wardomctl", "guest", "unprotect", "g3")
        self.assertNotIn("wardom:guest", self.cluster.must("n3", "virsh", "dumpxml", "g3"))
        self.cluster.lab("cut", "n3")
        self.await_state("n3", "dead", "n1", "n2")
        self.quiet_watch(3.0)

    # --- a host that comes back ---------------------------------------------------------------

    def test_unprotected_while_its_first_host_was_away(self) -> None:
        """Protection that has ended has ended on all hosts, also on one that was dead meanwhile."""
        self.cluster.lab("cut", "n3")
        owner = self.counts_elsewhere("g3", "n3")
        eventually(f"{owner} holds g3",
                   lambda: self.cluster.guest_view(owner, "g3").get("state") == "running")
        self.cluster.must(owner, "wardomctl", "guest", "unprotect", "g3")
        self.cluster.must(owner, "virsh", "destroy", "g3")
        self.cluster.must(owner, "virsh", "undefine", "g3")
        self.cluster.lab("power", "n3", "on")
        self.await_state("n3", "alive", "n1", "n2", "n3")
        self.cluster.whole = False
        try:
            eventually("n3 may start what nobody protects", lambda: self.cluster.run(
                "n3", "virsh", "create", GUEST_XML.format("g3")).returncode == 0, 8.0,
                       lambda: self.cluster.run("n3", "virsh", "create",
                                                GUEST_XML.format("g3")).stderr)
        except AssertionError:
            self.cluster.renew()
            raise

    def test_reboot_before_any_proof(self) -> None:
        """A power cycle too short for its BMC to be read off: the next boot proves the end of the
        last, and the guest runs again once the volume's L_late has passed."""
        record = self.cluster.record
        incarnation = self.cluster.incarnation("n1", "n3")
        lab_hosts.cut(record, record.host("n3"))
        self.cluster.lab("power", "n3", "on")
        eventually("n1 hears its next boot", lambda:
                   self.cluster.host_view("n1", "n3").get("incarnation", "0/")
                   .startswith(f"{incarnation + 1}/"), explain=self.cluster.picture)
        self.await_state("n3", "alive", "n1", "n2", "n3")
        if self.cluster.truth()["g3"]["running_on"] == []:
            self.assertNotEqual(self.cluster.guest_view("n1", "g3").get("state"), "running",
                                "status says running of a guest that runs nowhere")
        eventually("g3 runs again, somewhere", lambda: self.cluster.truth()["g3"]["counting"],
                   40.0, self.cluster.picture)
        self.assertEqual(len(self.cluster.truth()["g3"]["running_on"]), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
