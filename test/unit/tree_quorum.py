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

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from fake_daemon import FakeDaemon  # noqa: E402

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
        self.assertIn("another program", self.run_it("setup", code=1).stderr)
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


def row(name, **more):
    return {"name": name, "heard": "answer", "ok": True, "device": None, "changes": True,
            "in_force": False, "digest": "5", "pass": f"7{name[1:]}", "text": ""} | more


DEVICE = {"model": "wardom", "timeout_ms": 8000, "sync_timeout_ms": 4000}


class OnAllHosts(unittest.TestCase):
    """Against a wardomd that answers for three hosts, and a corosync-cfgtool that keeps count."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.reloads = self.folder / "reloads"
        tool = self.folder / "corosync-cfgtool"
        tool.write_text(f'#!/bin/sh\necho "$@" >> {self.reloads}\n'
                        f'[ ! -e {self.folder}/fails ] || {{ echo no ring; exit 1; }}\n')
        tool.chmod(0o755)
        self.tried = [row("n1"), row("n2"), row("n3")]
        self.written = [row(name, device=DEVICE) for name in ("n1", "n2", "n3")]
        self.now = [row(name, device=DEVICE, in_force=True, changes=False)
                    for name in ("n1", "n2", "n3")]
        self.on_write = lambda: None
        daemon = FakeDaemon(self.folder / "sock", self.answer)
        self.addCleanup(daemon.close)
        self.daemon = daemon

    def answer(self, request):
        hosts = {"quorum-try": self.tried, "quorum-write": self.written,
                 "quorum-look": self.now}[request["do"]]
        if isinstance(hosts, dict):
            return hosts
        answer = {"ok": True, "result": {"hosts": list(hosts)}}
        if request["do"] == "quorum-write":
            self.on_write()
        return answer

    def say(self, *words, code=0):
        done = subprocess.run([PROGRAM, "--socket", self.folder / "sock", "quorum", *words],
                              capture_output=True, text=True, timeout=60,
                              env=os.environ | {"PATH": f"{self.folder}:{os.environ['PATH']}"})
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def reloaded(self):
        return self.reloads.read_text().split() if self.reloads.exists() else []

    def test_all_look_then_all_write_then_one_reload(self):
        said = self.say("setup", "--timeout", "9000")
        self.assertEqual([one["do"] for one in self.daemon.requests],
                         ["quorum-try", "quorum-write", "quorum-look"])
        write = self.daemon.requests[1]
        self.assertEqual((write["change"], write["timeout_ms"], write["sync_timeout_ms"],
                          write["passes"]),
                         ("setup", 9000, 4000, {"n1": "71", "n2": "72", "n3": "73"}))
        self.assertEqual(self.reloaded(), ["-R"])
        self.assertIn("changed on n1, n2, n3", said.stdout)
        self.assertIn("in force", said.stdout)

    def test_remove(self):
        self.now = [row(name) for name in ("n1", "n2", "n3")]
        self.assertIn("no quorum device any more", self.say("remove").stdout)
        self.assertEqual(self.daemon.asked("quorum-write")[0]["change"], "remove")
        self.assertEqual(self.reloaded(), ["-R"])

    def test_files_that_say_so_already_are_put_in_force(self):
        """The run before ended before its reload."""
        for one in (*self.tried, *self.written):
            one["changes"] = False
        self.assertIn("say so already", self.say("setup").stdout)
        self.assertEqual(self.reloaded(), ["-R"])

    def refuses(self, *words, also=()):
        said = self.say("setup", *also, code=3).stderr
        for word in ("nothing was changed", *words):
            self.assertIn(word, said)
        self.assertEqual(self.daemon.asked("quorum-write"), [])
        self.assertEqual(self.reloaded(), [])

    def test_one_host_that_cannot_keeps_all_from_it(self):
        self.tried[1] |= {"ok": False, "pass": None, "text": "corosync-qdevice runs: stop it"}
        self.refuses("n2: corosync-qdevice runs: stop it")
        self.refuses("n2: corosync-qdevice runs", also=("--without", "n2"))

    def test_a_host_that_does_not_answer_is_named(self):
        self.tried[2] = {"name": "n3", "heard": "away"}
        self.refuses("n3: its wardomd is not in the ring: start it", "--without HOST")
        self.refuses("n3: its wardomd is not in the ring", also=("--without", "n2"))
        self.tried[2]["heard"] = "silence"
        self.refuses("n3: its wardomd does not answer this", "older release")
        self.assertIn("--without n9", self.say("setup", "--without", "n9", code=2).stderr)

    def test_a_host_may_stay_as_it_is(self):
        for rows in (self.tried, self.written, self.now):
            rows[2] = {"name": "n3", "heard": "away"}
        said = self.say("setup", "--without", "n3")
        self.assertEqual(self.daemon.asked("quorum-write")[0]["passes"], {"n1": "71", "n2": "72"})
        self.assertIn("left as it was: n3", said.stdout)
        self.assertEqual(self.reloaded(), ["-R"])
        self.assertIn("--without", self.say("remove", "--without", "n3", code=2).stderr)

    def test_too_many_of_them_are_refused_by_wardomd(self):
        self.written = {"ok": False, "exit": 3, "error": "most of the hosts must have it"}
        self.assertIn("most of the hosts", self.say("setup", code=3).stderr)
        self.assertEqual(self.reloaded(), [])

    def test_a_wardomd_that_is_restarted_between_the_rounds_is_asked_anew(self):
        lost = row("n2", ok=False, text="this host was not tried for that last")
        self.written[1] = lost

        def back():
            self.written = [row(name, device=DEVICE, changes=name == "n2")
                            for name in ("n1", "n2", "n3")]
        self.on_write = back
        self.say("setup")
        self.assertEqual(len(self.daemon.asked("quorum-try")), 2)
        self.assertEqual(self.reloaded(), ["-R"])

    def test_one_that_does_not_come_back_leaves_it_out_of_force(self):
        self.written[1] = {"name": "n2", "heard": "away"}
        said = self.say("setup", "--wait", "1", code=1).stderr
        for word in ("n2: its wardomd is not in the ring", "not in force", "Run this again"):
            self.assertIn(word, said)
        self.assertEqual(self.reloaded(), [])

    def test_a_reload_that_fails_is_told(self):
        (self.folder / "fails").touch()
        self.assertIn("no ring", self.say("setup", code=1).stderr)

    def test_what_does_not_come_into_force_is_told(self):
        self.now[1]["in_force"] = False
        self.assertIn("not in force on n2", self.say("setup", "--wait", "1", code=1).stderr)

    def test_status(self):
        self.now[1] = row("n2", in_force=True, digest="6")
        self.now[2] = {"name": "n3", "heard": "away"}
        said = self.say("status").stdout
        self.assertRegex(said, r"n1 +Wardom +8000 ms +4000 ms +yes")
        self.assertRegex(said, r"n2 +none +yes +still in force")
        self.assertRegex(said, r"n3 +\? +\? +its wardomd is not in the ring")
        self.assertIn("Not alike: with the device n1, without it n2", said)
        self.assertEqual(json.loads(self.say("status", "--json").stdout)["hosts"], self.now)

    def test_without_wardomd(self):
        for command in ("setup", "remove", "status"):
            done = subprocess.run([PROGRAM, "--socket", self.folder / "none", "quorum", command],
                                  capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn("--this-host", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
