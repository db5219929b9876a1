"""wardom-alert as Pacemaker runs it: as hacluster, with the event in its environment.

    wardom_alert.py PROGRAM
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from fake_daemon import FakeDaemon  # noqa: E402

PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 else "wardom-alert"
DONE = {"ok": True, "result": {"done": True}}
# As Pacemaker 2.1.5 sets them.
FENCING = {"kind": "fencing", "node": "n3", "nodeid": "", "task": "st_notify_fence", "rc": "0",
           "desc": "Operation reboot of n3 by n1 for pacemaker-controld.9@n2: OK",
           "timestamp_epoch": "1700000000", "timestamp_usec": "123456", "version": "2.1.5"}


class Alert(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.socket = pathlib.Path(self.folder.name) / "sock"
        self.daemon = None

    def serve(self, answer=lambda request: DONE):
        self.daemon = FakeDaemon(self.socket, answer)
        self.addCleanup(self.daemon.close)

    def alert(self, **fields):
        env = {b"CRM_alert_recipient": str(self.socket).encode()}
        for name, value in fields.items():
            env[b"CRM_alert_" + name.encode()] = value if isinstance(value, bytes) else value.encode()
        began = time.monotonic()
        done = subprocess.run([PROGRAM], env=env, capture_output=True, timeout=30, check=False)
        self.took = time.monotonic() - began
        self.said = done.stderr.decode()
        return done.returncode

    def test_fencing_is_handed_on(self):
        self.serve()
        self.assertEqual(self.alert(**FENCING), 0)
        request, = self.daemon.requests
        self.assertEqual(request, {"do": "pacemaker-alert", "version": 1, "kind": "fencing",
                                   "node": "n3", "task": "st_notify_fence", "rc": 0,
                                   "desc": FENCING["desc"], "at_ms": 1700000000123})
        self.assertEqual(self.said, "")

    def test_node_and_resource_are_handed_on(self):
        self.serve()
        self.assertEqual(self.alert(kind="node", node="n3", nodeid="3", desc="lost"), 0)
        self.assertEqual(self.alert(kind="resource", node="n2", rsc="vm-g1", task="start", rc="1",
                                    target_rc="0", interval="0", desc="error"), 0)
        node, resource = self.daemon.requests
        self.assertEqual((node["nodeid"], node["desc"]), (3, "lost"))
        self.assertEqual((resource["rsc"], resource["rc"], resource["target_rc"]),
                         ("vm-g1", 1, 0))

    def test_attributes_are_none_of_its_business(self):
        self.serve()
        self.assertEqual(self.alert(kind="attribute", node="n3"), 0)
        self.assertEqual(self.daemon.requests, [])

    def test_what_is_huge_or_no_text_is_cut_to_size(self):
        self.serve()
        self.assertEqual(self.alert(kind="node", node="n3", desc=b"\xff\xfe\n\x1b[2J" + b"x" * 100000,
                                    nodeid="9" * 60, rc="nonsense"), 0)
        request, = self.daemon.requests
        self.assertTrue(request["desc"].startswith("????[2Jxxx"), request["desc"][:20])
        self.assertEqual(len(request["desc"]), 256)
        self.assertNotIn("nodeid", request)
        self.assertNotIn("rc", request)

    def test_without_a_daemon_it_fails_softly(self):
        self.assertEqual(self.alert(**FENCING), 0)
        self.assertIn("wardomd does not answer", self.said)
        self.assertLess(self.took, 1)

    def test_a_silent_daemon_holds_nobody_up(self):
        self.serve(lambda request: None)
        self.assertEqual(self.alert(**FENCING), 0)
        self.assertLess(self.took, 4)

    def test_a_refusal_is_told(self):
        self.serve(lambda request: {"ok": False, "exit": 2, "error": "no such host"})
        self.assertEqual(self.alert(**FENCING), 0)
        self.assertIn("no such host", self.said)

    def test_without_an_event_it_says_what_it_is(self):
        self.assertEqual(self.alert(), 2)
        self.assertIn("usage", self.said)
        done = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
        self.assertRegex(done.stdout, r"^wardom-alert \d")

    def test_costs_little(self):
        self.serve()
        before = os.times()
        for _ in range(20):
            self.assertEqual(self.alert(**FENCING), 0)
        after = os.times()
        used = after.children_user + after.children_system
        used -= before.children_user + before.children_system
        self.assertLess(used / 20, 0.03)


if __name__ == "__main__":
    unittest.main()
