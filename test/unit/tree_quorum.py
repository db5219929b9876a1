"""`wardomctl quorum` on real files.

    tree_quorum.py PROGRAM
"""

import fcntl
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "wardomctl"

PLAIN = """# the cluster
totem {
    version: 2
    interface {
        # of the management network
        linknumber: 0
    }
}

quorum {
    # as it was installed
    provider: corosync_votequorum
    wait_for_all: 0
}
nodelist {
    node {
        ring0_addr: 10.0.0.1
        nodeid: 1
    }
}
"""
WITH = PLAIN.replace("    wait_for_all: 0\n", """    wait_for_all: 0
    device {
        model: wardom
        timeout: 8000
        sync_timeout: 4000
    }
""")
ROUNDS = 10


class Quorum(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = pathlib.Path(folder.name) / "corosync.conf"
        self.before = pathlib.Path(folder.name) / "corosync.conf.wardom-before"

    def run_it(self, *words, code=0):
        done = subprocess.run([PROGRAM, "quorum", words[0], "--file", self.file, *words[1:]],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def refuses(self, text, words, command="setup"):
        self.file.write_text(text)
        self.assertIn(words, self.run_it(command, code=1).stderr)
        self.assertEqual(self.file.read_text(), text)
        self.assertFalse(self.before.exists())

    def test_setup_adds_the_device_and_nothing_else(self):
        self.file.write_text(PLAIN)
        os.chmod(self.file, 0o640)
        self.assertIn("corosync-cfgtool -R", self.run_it("setup").stdout)
        self.assertEqual(self.file.read_text(), WITH)
        self.assertEqual(self.before.read_text(), PLAIN)
        self.assertEqual(os.stat(self.file).st_mode & 0o7777, 0o640)
        self.assertEqual(sorted(path.name for path in self.file.parent.iterdir()),
                         ["corosync.conf", "corosync.conf.wardom-before"])
        self.assertIn("nothing to change", self.run_it("setup").stdout)
        self.assertEqual(self.before.read_text(), PLAIN)

    def test_remove_gives_the_file_back(self):
        self.file.write_text(WITH)
        self.run_it("remove")
        self.assertEqual(self.file.read_text(), PLAIN)
        self.assertIn("nothing to change", self.run_it("remove").stdout)

    def test_print_changes_nothing(self):
        self.file.write_text(PLAIN)
        self.assertEqual(self.run_it("setup", "--print").stdout, WITH)
        self.assertEqual(self.file.read_text(), PLAIN)
        self.assertFalse(self.before.exists())

    def test_setup_corrects_a_device_that_is_there(self):
        self.file.write_text(WITH.replace("timeout: 8000\n        sync", "timeout: 9\n        # why\n"
                                          "        votes: 1\n        sync"))
        self.run_it("setup", "--sync-timeout", "8000")
        self.assertEqual(self.file.read_text(),
                         WITH.replace("sync_timeout: 4000", "sync_timeout: 8000")
                         .replace("timeout: 8000\n        sync",
                                  "timeout: 8000\n        # why\n        sync"))

    def test_many_at_once_take_turns(self):
        """Each file that is there at any time is whole, and none has more than one device."""
        times = range(3000, 3012)
        wanted = {WITH.replace(" timeout: 8000", f" timeout: {ms}") for ms in times}
        for _ in range(ROUNDS):
            self.before.unlink(missing_ok=True)
            self.file.write_text(PLAIN)
            at_once = [subprocess.Popen([PROGRAM, "quorum", "setup", "--file", self.file,
                                         "--timeout", str(ms)], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True) for ms in times]
            while any(one.poll() is None for one in at_once):
                self.assertIn(self.file.read_text(), wanted | {PLAIN})
            for one in at_once:
                said = one.communicate()[1]
                self.assertEqual(one.returncode, 0, said)
            self.assertIn(self.file.read_text(), wanted)
            self.assertEqual(self.before.read_text(), PLAIN)
            self.assertEqual(sorted(path.name for path in self.file.parent.iterdir()),
                             ["corosync.conf", "corosync.conf.wardom-before"])

    def test_whoever_never_gets_a_turn_is_told(self):
        self.file.write_text(PLAIN)
        folder = os.open(self.file.parent, os.O_RDONLY)
        self.addCleanup(os.close, folder)
        fcntl.flock(folder, fcntl.LOCK_EX)
        self.assertIn("another wardomctl", self.run_it("setup", code=1).stderr)
        self.run_it("setup", "--print")
        self.assertEqual(self.file.read_text(), PLAIN)

    def test_status(self):
        self.file.write_text(PLAIN)
        self.assertIn("no quorum device", self.run_it("status").stdout)
        self.assertIsNone(json.loads(self.run_it("status", "--json").stdout))
        self.file.write_text(WITH)
        self.assertIn("timeout 8000 ms", self.run_it("status").stdout)
        self.assertEqual(json.loads(self.run_it("status", "--json").stdout),
                         {"model": "wardom", "timeout_ms": 8000, "sync_timeout_ms": 4000,
                          "votes": None})
        self.file.write_text(WITH.replace("model: wardom", "model: net"))
        self.assertIn("another quorum device, model net", self.run_it("status").stdout)

    def test_what_excludes_it_is_refused(self):
        net = WITH.replace("model: wardom", "model: net")
        self.refuses(net, "another quorum device")
        self.refuses(net, "another one", "remove")
        for key in ("two_node", "last_man_standing", "auto_tie_breaker", "allow_downscale"):
            self.refuses(PLAIN.replace("wait_for_all: 0", f"{key}: 1"), key)
            self.file.write_text(PLAIN.replace("wait_for_all: 0", f"{key}: 0"))
            self.run_it("setup", "--print")
        # Taken by a running corosync, which then does not start again, or waits for all.
        self.refuses(PLAIN.replace("wait_for_all: 0", "expected_votes: 3"), "line 13: expected_votes")
        self.refuses(PLAIN.replace("wait_for_all: 0", "wait_for_all: 1"), "until every host is back")
        self.refuses(PLAIN.replace("nodeid: 1", "nodeid: 1\n        quorum_votes: 2"), "quorum_votes")
        self.refuses(PLAIN[:PLAIN.index("nodelist")], "no nodelist")
        self.refuses(PLAIN.replace("wait_for_all: 0", "two_node: 0\n    two_node: 1"), "already")
        self.refuses(PLAIN.replace("corosync_votequorum", "other"), "provider")
        self.refuses(PLAIN.replace("quorum {", "quorate {"), "one quorum section")
        self.refuses(PLAIN + PLAIN, "one quorum section")

    def test_what_cannot_be_followed_is_refused(self):
        self.refuses(PLAIN.rstrip().removesuffix("}"), "does not end")
        self.refuses(PLAIN + "}\n", "line 21: ends a section")
        self.refuses(PLAIN + "words\n", "line 21: is neither")
        self.refuses(PLAIN + "{\n", "line 21: is no section's")

    def test_usage(self):
        self.file.write_text(PLAIN)
        self.run_it("setup", "--timeout", "100", code=2)
        self.file.unlink()
        self.assertIn("No such file", self.run_it("setup", code=1).stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
