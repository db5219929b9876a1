"""ocf:wardom:Guest as Pacemaker's executor runs it, against a fake wardomd.

    ocf_guest.py PROGRAM

Without xmllint, pcs, crmsh or the schemas the cases that need them are skipped.
"""

import os
import pathlib
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from ocf_agent import (CONFIGURED, DEGRADED, FAILED, INSTALLED, NOT_RUNNING, SUCCESS,  # noqa: E402
                       UNIMPLEMENTED, UUID, XML, AgentTest, MetadataTests)

PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 else "wardom-ocf-guest"


def here(running, **more):
    return {"ok": True, "result": {"host": "n1", "here": running, "owner": "n1", "state": running,
                                   "uuid": UUID, "name": "g1", **more}}


def no(code, error):
    return {"ok": False, "exit": code, "error": error}


class Guest(AgentTest, MetadataTests):
    AGENT, PROGRAM, INSTANCE = "Guest", PROGRAM, "vm-g1"

    def setUp(self):
        super().setUp()
        self.config = self.path / "g1.xml"
        self.config.write_text(XML)

    # --- monitor ------------------------------------------------------------------------------

    def test_monitor_says_what_the_daemon_knows(self):
        state = {}
        self.serve(lambda request: here(state["now"]))
        for now, code in (("running", SUCCESS), ("stopped", NOT_RUNNING),
                          ("paused-ioerror", FAILED), ("paused", DEGRADED)):
            state["now"] = now
            self.assertEqual(self.run_agent("monitor", config=self.config), code, now)
        self.assertEqual(self.daemon.asked("guest-here")[0]["guest"], UUID)

    def test_monitor_without_a_daemon_goes_by_the_process(self):
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "-uuid", UUID,
                               "-x"]) as qemu:
            try:
                time.sleep(0.2)
                self.assertEqual(self.run_agent("monitor", config=self.config), SUCCESS)
            finally:
                qemu.kill()
        self.assertEqual(self.run_agent("monitor", config=self.config), NOT_RUNNING)

    def test_monitor_with_a_silent_daemon_is_bounded(self):
        self.serve(lambda request: None)
        self.assertEqual(self.run_agent("monitor", config=self.config), NOT_RUNNING)
        self.assertLess(self.took, 4)

    def test_monitor_remembers_the_process(self):
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as qemu:
            try:
                fields = pathlib.Path(f"/proc/{qemu.pid}/stat").read_text().rsplit(")", 1)[1]
                start = int(fields.split()[19])
                self.serve(lambda request: here("running", process={"pid": qemu.pid,
                                                                    "start_time": start}))
                self.assertEqual(self.run_agent("monitor", guest="g1"), SUCCESS)
                self.daemon.answer = lambda request: None
                self.assertEqual(self.run_agent("monitor", guest="g1"), SUCCESS)
            finally:
                qemu.kill()
        self.assertEqual(self.run_agent("monitor", guest="g1"), NOT_RUNNING)

    def test_monitor_while_libvirt_is_away(self):
        self.serve(lambda request: here("unknown"))
        self.assertEqual(self.run_agent("monitor", config=self.config), NOT_RUNNING)

    def test_probe_on_a_clean_host(self):
        self.assertEqual(self.run_agent("monitor", interval_ms=None, guest="g1"), NOT_RUNNING)
        self.assertEqual(self.run_agent("monitor", interval_ms=0, config="/nowhere.xml"),
                         NOT_RUNNING)

    def test_monitor_costs_little(self):
        self.serve(lambda request: here("running"))
        before = os.times()
        for _ in range(20):
            self.assertEqual(self.run_agent("monitor", config=self.config), SUCCESS)
        after = os.times()
        used = after.children_user + after.children_system
        used -= before.children_user + before.children_system
        self.assertLess(used / 20, 0.03)

    # --- start --------------------------------------------------------------------------------

    def test_start_hands_the_xml_over(self):
        self.serve(lambda request: here("running"))
        code = self.run_agent("start", config=self.config, waive="nvram:/a file:/b",
                              isolation="kill")
        self.assertEqual(code, SUCCESS, self.said)
        request = self.daemon.asked("guest-start")[0]
        self.assertEqual((request["xml"], request["waive"], request["isolation"]),
                         (XML, ["nvram:/a", "file:/b"], "kill"))
        self.assertLessEqual(request["patience_ms"], 8000)

    def test_start_without_a_daemon_fails_before_its_deadline(self):
        self.assertEqual(self.run_agent("start", timeout_ms=4000, config=self.config), FAILED)
        self.assertIn("wardomd", self.said)
        self.assertTrue(2 < self.took < 4, self.took)

    def test_start_waits_for_a_daemon_that_comes(self):
        threading.Timer(1.0, lambda: self.serve(lambda request: here("running"))).start()
        self.assertEqual(self.run_agent("start", config=self.config), SUCCESS, self.said)

    def test_start_with_a_silent_daemon(self):
        self.serve(lambda request: None)
        self.assertEqual(self.run_agent("start", timeout_ms=4000, config=self.config), FAILED)
        self.assertLess(self.took, 4)

    def test_start_that_is_refused_says_why(self):
        self.serve(lambda request: no(1, "libvirt: cannot open the disk"))
        self.assertEqual(self.run_agent("start", config=self.config), FAILED)
        self.assertIn("ocf-exit-reason:libvirt: cannot open the disk", self.said)
        self.daemon.answer = lambda request: no(3, "g1 names things of this host:\n  nvram:/a")
        self.assertEqual(self.run_agent("start", config=self.config), INSTALLED)
        self.assertIn("nvram:/a", self.said)

    # --- stop ---------------------------------------------------------------------------------

    def test_stop_leaves_time_for_the_kill(self):
        self.serve(lambda request: {"ok": True, "result": {"done": True}})
        self.assertEqual(self.run_agent("stop", timeout_ms=90000, config=self.config), SUCCESS)
        request = self.daemon.asked("guest-stop")[0]
        self.assertEqual(request["guest"], UUID)
        self.assertTrue(60000 < request["shutdown_ms"] <= 67000, request)
        self.assertEqual(self.run_agent("stop", config=self.config, force_stop="yes"), SUCCESS)
        self.assertEqual(self.daemon.asked("guest-stop")[1]["shutdown_ms"], 0)

    def test_stop_is_never_done_without_proof(self):
        # A start was asked for, whatever has become of it.
        self.assertEqual(self.run_agent("start", timeout_ms=2000, config=self.config), FAILED)
        self.config.write_text("<domain>cut off")
        self.assertEqual(self.run_agent("stop", timeout_ms=2000, config=self.config), FAILED)
        self.assertEqual(self.run_agent("stop", timeout_ms=2000, guest="g1"), FAILED)
        self.serve(lambda request: b"nonsense\n")
        self.assertEqual(self.run_agent("stop", timeout_ms=2000, guest="g1"), FAILED)

    def test_stop_of_what_was_never_asked_to_start_here(self):
        """Pacemaker stops what did not start, and fences the host where that fails."""
        self.config.write_text("<domain>cut off")
        self.assertEqual(self.run_agent("start", config=self.config), INSTALLED)
        self.assertIn("ocf-exit-reason:config=", self.said)
        for wrong in ({"config": self.config}, {"hypervisor": "xen:///"}, {}):
            self.assertEqual(self.run_agent("stop", **wrong), SUCCESS, self.said)
        self.assertEqual(self.said, "")

    def test_start_that_could_not_be_stopped_is_not_begun(self):
        self.serve(lambda request: here("running"))
        self.assertEqual(self.run_agent("start", config=self.config, notes="/proc/nowhere"), FAILED)
        self.assertIn("/proc/nowhere", self.said)
        self.assertEqual(self.daemon.asked("guest-start"), [])

    def test_stop_of_what_was_started_here_needs_no_config(self):
        self.serve(lambda request: here("running", process={"pid": 1, "start_time": 1}))
        self.assertEqual(self.run_agent("start", config=self.config), SUCCESS)
        self.config.unlink()
        self.assertEqual(self.run_agent("stop", config=self.config), SUCCESS, self.said)
        self.assertEqual(self.daemon.asked("guest-stop")[0]["guest"], UUID)

    def test_stop_of_what_was_started_here_whatever_its_parameters_say_now(self):
        self.serve(lambda request: here("running"))
        self.assertEqual(self.run_agent("start", config=self.config), SUCCESS)
        self.assertEqual(self.run_agent("stop", hypervisor="xen:///"), SUCCESS, self.said)
        self.assertEqual(self.daemon.asked("guest-stop")[0]["guest"], UUID)

    def test_stop_without_parameters(self):
        """As Pacemaker stops what was deleted, where it has forgotten them."""
        self.serve(lambda request: here("running"))
        for named in ({"guest": "g1"}, {"config": self.config}):
            self.assertEqual(self.run_agent("start", **named), SUCCESS)
            self.assertEqual(self.run_agent("stop"), SUCCESS, self.said)
        self.daemon.answer = lambda request: no(1, "nothing is known of it")
        self.assertEqual(self.run_agent("start", guest="g1", timeout_ms=2000), FAILED)
        self.assertEqual(self.run_agent("stop", timeout_ms=2000), FAILED, self.said)
        self.assertEqual([asked["guest"] for asked in self.daemon.asked("guest-stop")][:3],
                         [UUID, UUID, "g1"])

    def test_stop_by_nonsense_of_what_runs_here(self):
        """Nobody has asked for it, and yet it is here: to call it stopped would be a lie."""
        self.serve(lambda request: here("running"))
        for wrong in ({"force_stop": "maybe"}, {"hypervisor": "xen:///"}):
            self.assertEqual(self.run_agent("stop", guest="g1", **wrong), CONFIGURED, self.said)
        self.daemon.answer = lambda request: here("stopped", recorded=True)
        self.assertEqual(self.run_agent("stop", guest="g1", hypervisor="xen:///"), SUCCESS)
        self.daemon.answer = lambda request: None
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "-uuid", UUID,
                               "-x"]) as qemu:
            try:
                time.sleep(0.2)
                self.assertEqual(self.run_agent("stop", config=self.config, hypervisor="xen:///"),
                                 CONFIGURED)
            finally:
                qemu.kill()
        self.assertEqual(self.run_agent("stop", config=self.config, hypervisor="xen:///"), SUCCESS)
        self.assertEqual(self.daemon.asked("guest-stop"), [])

    def test_stop_of_what_may_have_arrived_here(self):
        self.config.write_text("<domain>cut off")
        self.assertEqual(self.run_agent("migrate_from", timeout_ms=2000, config=self.config),
                         INSTALLED)
        self.assertEqual(self.run_agent("stop", config=self.config), INSTALLED)

    def test_a_note_is_of_its_guest_and_goes_with_it(self):
        self.serve(lambda request: here("running", process={"pid": 1, "start_time": 1}))
        self.assertEqual(self.run_agent("start", guest="g1"), SUCCESS)
        # Another guest of the same resource is not stopped by what is known of the first.
        self.daemon.answer = lambda request: no(1, "nothing is known of it")
        self.assertEqual(self.run_agent("stop", timeout_ms=2000, guest="g2"), FAILED)
        self.assertEqual(self.daemon.asked("guest-stop")[-1]["guest"], "g2")
        self.daemon.answer = lambda request: here("running")
        self.assertEqual(self.run_agent("stop", guest="g1"), SUCCESS)
        self.assertEqual(self.daemon.asked("guest-stop")[-1]["guest"], UUID)
        self.assertEqual(list(self.path.glob("wardom-guest-*")), [])

    # --- migration ----------------------------------------------------------------------------

    def migrate_to(self, **more):
        return self.run_agent("migrate_to", config=self.config, CRM_meta_migrate_target="n2",
                              **more)

    def test_migrate_to_leaves_time_to_call_the_guest_back(self):
        self.serve(lambda request: {"ok": True, "result": {"done": True}})
        self.assertEqual(self.migrate_to(timeout_ms=120000), SUCCESS, self.said)
        request = self.daemon.asked("guest-migrate")[0]
        self.assertEqual((request["guest"], request["to"]), (UUID, "n2"))
        self.assertTrue(100000 < request["patience_ms"] <= 110000, request)
        self.assertEqual(self.migrate_to(timeout_ms=8000), SUCCESS, self.said)
        self.assertTrue(3000 < self.daemon.asked("guest-migrate")[1]["patience_ms"] <= 4000)

    def test_migrate_to_that_is_refused_says_why(self):
        said = {}
        self.serve(lambda request: no(said["code"], "n2 is storage-lost, so g1 stays here"))
        for said["code"] in (1, 2, 3):
            self.assertEqual(self.migrate_to(), FAILED)
            self.assertIn("ocf-exit-reason:not migrated to n2: n2 is storage-lost", self.said)
            self.assertLess(self.took, 1)
        self.assertEqual(len(self.daemon.requests), 3)

    def test_migrate_to_whose_answer_is_late_ends_in_time(self):
        self.serve(lambda request: None)
        self.assertEqual(self.migrate_to(timeout_ms=4000), FAILED)
        self.assertLess(self.took, 4)

    def test_migrate_to_without_a_daemon(self):
        self.assertEqual(self.migrate_to(timeout_ms=4000), FAILED)
        self.assertLess(self.took, 4)

    def test_migrate_to_whose_answer_is_lost_looks_where_the_guest_is(self):
        """It is not asked for again: what was under way may have arrived, or is called back."""
        looks = []

        def answer(request):
            if request["do"] == "guest-migrate":
                return b""
            looks.append(request)
            return here("stopped", host="n1", **(
                {} if len(looks) < 3 else {"owner": "n2", "state": "running"}))

        self.serve(answer)
        self.assertEqual(self.migrate_to(), SUCCESS, self.said)
        self.assertEqual(len(self.daemon.asked("guest-migrate")), 1)
        self.assertEqual(len(looks), 3)

    def test_migrate_to_nowhere(self):
        self.serve(lambda request: here("running"))
        self.assertEqual(self.run_agent("migrate_to", config=self.config), FAILED)
        self.assertEqual(self.daemon.requests, [])

    def test_migrate_from_waits_until_it_runs_and_is_held_here(self):
        told = [here("stopped", host="n2"), here("paused", host="n2"),
                here("running", host="n2"),
                here("running", host="n2", owner="n2", state="running",
                     process={"pid": 1, "start_time": 1})]
        self.serve(lambda request: told.pop(0) if len(told) > 1 else told[0])
        self.assertEqual(self.run_agent("migrate_from", config=self.config,
                                        CRM_meta_migrate_source="n1"), SUCCESS, self.said)
        self.assertEqual(len(told), 1)

    def test_migrate_from_gives_up_before_its_deadline(self):
        self.serve(lambda request: here("paused", host="n2"))
        self.assertEqual(self.run_agent("migrate_from", timeout_ms=4000, config=self.config),
                         FAILED)
        self.assertTrue(2 < self.took < 4, self.took)
        self.assertIn("it is paused here, and belongs to n1", self.said)

    # --- parameters ---------------------------------------------------------------------------

    def test_nonsense_is_refused(self):
        for parameters, code in (({}, CONFIGURED),
                                 ({"config": "/nowhere.xml"}, INSTALLED),
                                 ({"config": "/dev/zero"}, INSTALLED),
                                 ({"config": self.folder.name}, INSTALLED),
                                 ({"guest": "g1", "hypervisor": "xen:///"}, CONFIGURED),
                                 ({"guest": "g1", "force_stop": "perhaps"}, CONFIGURED),
                                 ({"guest": "other", "config": self.config}, CONFIGURED)):
            for action in ("validate-all", "start"):
                self.assertEqual(self.run_agent(action, timeout_ms=2000, **parameters), code,
                                 (action, parameters, self.said))
                self.assertIn("ocf-exit-reason:", self.said)
        self.config.write_text(XML.replace(f"<uuid>{UUID}</uuid>", ""))
        self.assertEqual(self.run_agent("validate-all", config=self.config), CONFIGURED)
        self.assertEqual(self.run_agent("explode", config=self.config), UNIMPLEMENTED)

    def test_validation_that_succeeds_is_silent(self):
        self.assertEqual(self.run_agent("validate-all", config=self.config), SUCCESS)
        self.assertEqual((self.said, self.printed), ("", ""))


if __name__ == "__main__":
    unittest.main()
