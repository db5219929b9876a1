"""ocf:wardom:HostGuard as Pacemaker's executor runs it, against a fake wardomd and stand-in programs.

    ocf_hostguard.py PROGRAM

The cases of the supervisor run in a PID namespace of their own, and need root for that.
"""

import os
import pathlib
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from ocf_agent import (CONFIGURED, DEGRADED, FAILED, INSTALLED, NOT_RUNNING,  # noqa: E402
                       SELF, SUCCESS, UNIMPLEMENTED, WELL, AgentTest, MetadataTests)

PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 else "wardom-ocf-hostguard"
BMC = """
[host.bmc]
address = "127.0.0.1"
user = "u"
password_file = "/nowhere"
"""


def until(what, probe, limit_s=15):
    deadline = time.monotonic() + limit_s
    while not probe():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit_s} s: {what}")
        time.sleep(0.02)


class Base(AgentTest):
    AGENT, PROGRAM, INSTANCE = "HostGuard", PROGRAM, "guard"

    def setUp(self):
        super().setUp()
        self.bin = self.path / "bin"
        self.bin.mkdir()
        for name in ("wardom-keeper", "wardomd"):
            self.program(name, "#!/bin/sh\nexit 1\n")
        self.program("fence_wardom", f"#!/bin/sh\necho \"$@\" >>{self.path}/fence\nexit "
                                     f"$(cat {self.path}/power)\n")
        self.program("attrd_updater", f"#!/bin/sh\necho \"$@\" >>{self.path}/attrd\n")
        self.write_config()
        self.well = dict(WELL)

    def program(self, name, text):
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def serve(self, answer=None):
        def well(request):
            return {"ok": True, "result": self.well if request["do"] == "host-here" else {}}
        super().serve(answer or well)

    def environment(self, level=None, **how):
        env = super().environment(**{"config": self.config, "bindir": self.bin,
                                     "logfile": self.path / "log", "supervise": "no", **how})
        env["PATH"] = f"{self.bin}:{env['PATH']}"
        if level is not None:
            env["OCF_CHECK_LEVEL"] = str(level)
        return env

    def run_agent(self, action, **how):
        code = super().run_agent(action, **how)
        expected = code not in (SUCCESS, NOT_RUNNING)
        self.assertEqual(len(self.reasons), int(expected), (code, self.said))
        return code

    def started(self):
        self.serve()
        self.assertEqual(self.run_agent("start"), SUCCESS, self.said)
        (self.path / "attrd").write_text("")
        self.daemon.requests.clear()

    def published(self):
        try:
            return (self.path / "attrd").read_text().splitlines()
        except FileNotFoundError:
            return []


class HostGuard(Base, MetadataTests):
    # --- start --------------------------------------------------------------------------------

    def test_start_checks_and_tells(self):
        self.serve()
        self.assertEqual(self.run_agent("monitor"), NOT_RUNNING)
        self.assertEqual(self.run_agent("start"), SUCCESS, self.said)
        self.assertEqual([r["runs"] for r in self.daemon.asked("guard")], [True])
        self.assertTrue(all(r["version"] == 1 for r in self.daemon.requests))
        self.assertEqual(self.published(), ["--name wardom-state --update alive",
                                            "--name #health-wardom --update green"])
        self.assertEqual(self.run_agent("start"), SUCCESS)
        self.assertEqual(self.run_agent("monitor"), SUCCESS)

    def test_start_without_a_daemon_fails_before_its_deadline(self):
        self.assertEqual(self.run_agent("start", timeout_ms=2000), FAILED)
        self.assertTrue(1 < self.took < 2, self.took)
        self.assertEqual(self.run_agent("monitor"), NOT_RUNNING)

    def test_start_with_a_silent_daemon_is_bounded(self):
        self.serve(lambda request: None)
        self.assertEqual(self.run_agent("start", timeout_ms=2000), FAILED)
        self.assertLess(self.took, 2)

    def test_start_waits_for_the_keeper(self):
        self.well = {**WELL, "keeper": False, "problems": ["no use of the state volume: EIO"]}
        self.serve()
        self.assertEqual(self.run_agent("start", timeout_ms=2000), FAILED)
        self.assertIn("ocf-exit-reason:no use of the state volume: EIO", self.said)
        back = threading.Timer(1.0, lambda: self.well.update(WELL))
        back.start()
        self.addCleanup(back.join)
        self.assertEqual(self.run_agent("start"), SUCCESS, self.said)

    def test_start_of_a_host_that_is_declared_dead(self):
        self.well = {**WELL, "state": "dead"}
        self.serve()
        self.assertEqual(self.run_agent("start", timeout_ms=2000), FAILED)
        self.assertIn("declared dead", self.said)

    # --- monitor ------------------------------------------------------------------------------

    def test_monitor_fails_only_where_guests_are_lost(self):
        self.started()
        for change, shallow, deep in (
                ({}, SUCCESS, SUCCESS),
                ({"libvirt": False}, SUCCESS, DEGRADED),
                ({"ring": False}, SUCCESS, DEGRADED),
                ({"reads_volume": False}, SUCCESS, DEGRADED),
                ({"lease": "none"}, SUCCESS, DEGRADED),
                ({"lease": "none", "wants_lease": False}, SUCCESS, SUCCESS),
                ({"troubles": ["a list is malformed"]}, SUCCESS, DEGRADED),
                ({"state": "isolated"}, SUCCESS, DEGRADED),
                ({"state": "maintenance"}, SUCCESS, SUCCESS),
                ({"decider": None}, SUCCESS, SUCCESS),
                ({"lease": "ending"}, FAILED, FAILED),
                ({"lease": "ended"}, FAILED, FAILED),
                ({"lease": "released"}, FAILED, FAILED),
                ({"state": "dead"}, FAILED, FAILED),
                ({"keeper": False}, DEGRADED, DEGRADED)):
            self.well = {**WELL, **change}
            self.assertEqual(self.run_agent("monitor"), shallow, change)
            self.assertEqual(self.run_agent("monitor", level=10), deep, change)

    def test_monitor_without_a_daemon(self):
        """No process of that name here: as root the keeper may be another test's."""
        self.started()
        self.daemon.close()
        (self.path / "sock").unlink()
        self.assertEqual(self.run_agent("monitor"), DEGRADED)
        self.assertLess(self.took, 1)

    def test_keeper_away_fails_after_half_of_the_window(self):
        self.well = {**WELL, "t_f_ms": 1600}
        self.started()
        self.assertEqual(self.run_agent("monitor"), SUCCESS)
        self.well["keeper"] = False
        self.assertEqual(self.run_agent("monitor"), DEGRADED)
        time.sleep(0.9)
        self.assertEqual(self.run_agent("monitor"), FAILED)
        self.assertIn("lease ends", self.said)
        self.well["keeper"] = True
        self.assertEqual(self.run_agent("monitor"), SUCCESS)
        # A host without a lease kills nobody.
        self.well["lease"] = "none"
        self.assertEqual(self.run_agent("monitor"), SUCCESS)
        self.well["keeper"] = False
        self.assertEqual(self.run_agent("monitor"), DEGRADED)
        time.sleep(0.9)
        self.assertEqual(self.run_agent("monitor"), DEGRADED)

    def test_monitor_with_a_silent_daemon_is_bounded(self):
        self.started()
        self.daemon.answer = lambda request: None
        self.assertEqual(self.run_agent("monitor", timeout_ms=20000), DEGRADED)
        self.assertLess(self.took, 4)
        self.daemon.answer = lambda request: b"nonsense\n"
        self.assertEqual(self.run_agent("monitor"), DEGRADED)
        self.daemon.answer = lambda request: {"ok": False, "exit": 2, "error": "unknown request"}
        self.assertEqual(self.run_agent("monitor"), DEGRADED)
        self.assertIn("unknown request", self.said)

    def test_bmc_is_asked_by_the_deepest_monitor_alone(self):
        self.started()
        (self.path / "power").write_text("1")
        self.assertEqual(self.run_agent("monitor", level=20), SUCCESS)  # it has none
        self.assertFalse((self.path / "fence").exists())
        self.write_config(bmc=BMC)
        self.assertEqual(self.run_agent("monitor", level=10), SUCCESS)
        self.assertFalse((self.path / "fence").exists())
        self.assertEqual(self.run_agent("monitor", level=20, bmc="no"), SUCCESS)
        self.assertEqual(self.run_agent("monitor", level=20), DEGRADED, self.said)
        self.assertIn("BMC does not answer", self.said)
        self.assertIn(f"--action status --plug {SELF}", (self.path / "fence").read_text())
        self.assertEqual(self.run_agent("monitor"), SUCCESS)
        self.assertEqual(self.published()[-1], "--name #health-wardom --update yellow")
        (self.path / "power").write_text("2")
        self.assertEqual(self.run_agent("monitor", level=20), DEGRADED)
        self.assertIn("reads off", self.said)
        (self.path / "power").write_text("0")
        self.assertEqual(self.run_agent("monitor", level=20), SUCCESS)
        self.assertEqual(self.published()[-1], "--name #health-wardom --update green")

    def test_hanging_bmc_is_bounded(self):
        self.started()
        self.write_config(bmc=BMC)
        self.program("fence_wardom", "#!/bin/sh\nsleep 50\n")
        self.assertEqual(self.run_agent("monitor", timeout_ms=3000, level=20), DEGRADED)
        self.assertLess(self.took, 3)

    def test_monitor_tells_a_daemon_that_does_not_know(self):
        self.started()
        self.assertEqual(self.run_agent("monitor"), SUCCESS)
        self.assertEqual(self.daemon.asked("guard"), [])
        self.well["guard"] = False
        self.assertEqual(self.run_agent("monitor"), SUCCESS)
        self.assertEqual([r["runs"] for r in self.daemon.asked("guard")], [True])

    def test_monitor_forks_nothing_and_costs_little(self):
        self.started()
        before = os.times()
        for _ in range(20):
            self.assertEqual(self.run_agent("monitor"), SUCCESS)
        after = os.times()
        used = after.children_user + after.children_system
        used -= before.children_user + before.children_system
        self.assertLess(used / 20, 0.03)
        self.assertEqual(self.published(), [])

    # --- node attributes ----------------------------------------------------------------------

    def test_attributes_follow_what_is_seen(self):
        self.started()
        self.assertEqual(self.run_agent("monitor"), SUCCESS)
        self.assertEqual(self.published(), [])
        self.well.update({"libvirt": False, "state": "alive"})
        self.assertEqual(self.run_agent("monitor"), SUCCESS)
        self.assertEqual(self.published(), ["--name wardom-state --update alive",
                                            "--name #health-wardom --update yellow"])
        self.well.update({"lease": "ending", "state": "storage-cut"})
        self.assertEqual(self.run_agent("monitor"), FAILED)
        self.assertEqual(self.published()[2:], ["--name wardom-state --update storage-cut",
                                                "--name #health-wardom --update red"])
        # Pacemaker that was started anew has forgotten them, and probes.
        self.well = dict(WELL)
        self.assertEqual(self.run_agent("monitor"), SUCCESS)
        self.assertEqual(len(self.published()), 6)
        self.assertEqual(self.run_agent("monitor", interval_ms=None), SUCCESS)
        self.assertEqual(len(self.published()), 8)
        self.assertEqual(self.run_agent("monitor", attributes="no", level=10), SUCCESS)
        self.assertEqual(len(self.published()), 8)

    def test_attributes_that_cannot_be_set_harm_nothing(self):
        self.started()
        self.well["libvirt"] = False
        self.program("attrd_updater", "#!/bin/sh\nsleep 50\n")
        self.assertEqual(self.run_agent("monitor", timeout_ms=3000), SUCCESS)
        self.assertLess(self.took, 3)
        self.program("attrd_updater", "#!/bin/sh\nexit 1\n")
        self.assertEqual(self.run_agent("monitor"), SUCCESS)
        self.program("attrd_updater", f"#!/bin/sh\necho \"$@\" >>{self.path}/attrd\n")
        self.assertEqual(self.run_agent("monitor"), SUCCESS)  # told by the next one
        self.assertEqual(len(self.published()), 2)

    # --- stop ---------------------------------------------------------------------------------

    def test_stop_tells_and_clears(self):
        self.started()
        self.assertEqual(self.run_agent("stop"), SUCCESS)
        self.assertEqual([r["runs"] for r in self.daemon.asked("guard")], [False])
        self.assertEqual(self.published(), ["--name wardom-state --delete",
                                            "--name #health-wardom --delete"])
        self.assertEqual(self.run_agent("monitor"), NOT_RUNNING)
        self.assertEqual(self.run_agent("stop"), SUCCESS)
        self.assertEqual(len(self.published()), 2)

    def test_stop_never_fails(self):
        self.started()
        self.daemon.answer = lambda request: None
        self.config.unlink()
        self.assertEqual(self.run_agent("stop", timeout_ms=6000), SUCCESS)
        self.assertLess(self.took, 6)
        self.daemon.close()
        (self.path / "sock").unlink()
        self.write_config()
        self.started()
        done = subprocess.run([PROGRAM, "stop"], env=self.environment(supervise="perhaps"),
                              capture_output=True, timeout=30, check=False)
        self.assertEqual(done.returncode, SUCCESS)
        self.assertEqual(self.run_agent("monitor"), NOT_RUNNING)

    # --- parameters ---------------------------------------------------------------------------

    def test_nonsense_is_refused(self):
        huge = "/" + "x" * 100000
        for parameters, code in (({"config": "/nowhere.toml"}, INSTALLED),
                                 ({"config": "/dev/zero"}, INSTALLED),
                                 ({"config": self.folder.name}, INSTALLED),
                                 ({"config": "wardom.toml"}, CONFIGURED),
                                 ({"config": huge}, CONFIGURED),
                                 ({"socket": huge}, CONFIGURED),
                                 ({"supervise": "perhaps"}, CONFIGURED),
                                 ({"supervise": "x" * 100000}, CONFIGURED),
                                 ({"attributes": "perhaps"}, CONFIGURED),
                                 ({"bmc": "2"}, CONFIGURED),
                                 ({"bindir": "/nowhere"}, INSTALLED)):
            for action in ("validate-all", "start"):
                self.assertEqual(self.run_agent(action, timeout_ms=2000, **parameters), code,
                                 (action, list(parameters), self.said[:300]))
                self.assertLess(len(self.said), 2000)
        self.assertEqual(self.run_agent("explode"), UNIMPLEMENTED)

    def test_a_host_that_is_not_ready_is_not_valid(self):
        (self.path / "key").chmod(0o644)
        self.assertEqual(self.run_agent("validate-all"), INSTALLED)
        self.assertIn("chmod 0600", self.said)
        (self.path / "key").unlink()
        self.assertEqual(self.run_agent("validate-all"), INSTALLED)
        self.setUp()
        self.write_config(name="another")
        self.assertEqual(self.run_agent("validate-all"), INSTALLED)
        self.assertIn(f'no host "{SELF}"', self.said)
        self.config.write_text("[cluster\n")
        self.assertEqual(self.run_agent("validate-all"), INSTALLED)

    def test_validation_that_succeeds_is_silent(self):
        self.assertEqual(self.run_agent("validate-all"), SUCCESS, self.said)
        self.assertEqual((self.said, self.printed), ("", ""))
        self.assertEqual(self.run_agent("reload-agent"), SUCCESS)


# A program that says that it was started, with what it was given, and lives until it is killed.
LIVES = """#!/usr/bin/python3
import os, socket, sys, time
with open("{folder}/started", "a") as log:
    log.write(f"{{os.path.basename(sys.argv[0])}} {{os.getpid()}} {{os.environ.get('LISTEN_FDNAMES')}}\\n")
{more}
time.sleep(600)
"""
# As wardom-keeper does: hands a descriptor over, and takes it back after a crash.
KEEPS = """
if os.environ.get("LISTEN_FDS"):
    assert os.environ["LISTEN_PID"] == str(os.getpid())
    with open("{folder}/kept", "a") as kept:
        kept.write(os.readlink("/proc/self/fd/3") + "\\n")
else:
    with open("{folder}/watchdog", "w") as watchdog, socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.connect(os.environ["NOTIFY_SOCKET"])
        socket.send_fds(notify, [b"FDSTORE=1\\nFDNAME=watchdog"], [watchdog.fileno()])
"""


# The first process of a namespace, which leaves no zombies.
REAPS = """
import signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(300)
"""


@unittest.skipUnless(os.geteuid() == 0, "SKIPPED: needs root")
class Supervised(Base):
    """Each case in a PID namespace of its own, so that no other keeper of this machine is seen."""

    def setUp(self):
        super().setUp()
        folder = self.folder.name
        self.program("wardom-keeper", LIVES.format(folder=folder, more=KEEPS.format(folder=folder)))
        self.program("wardomd", LIVES.format(folder=folder, more=""))
        self.space = subprocess.Popen(
            ["unshare", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc", sys.executable, "-c", REAPS],
            stdout=subprocess.PIPE)
        self.addCleanup(self.space.wait)
        self.addCleanup(self.space.kill)
        self.addCleanup(self.space.stdout.close)
        self.assertEqual(self.space.stdout.readline(), b"ready\n")
        self.inner = self.children(self.space.pid)[0]

    @staticmethod
    def children(pid):
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(one) for one in text.split()]

    def agent(self, action, **how):
        done = subprocess.run(["nsenter", "--target", str(self.inner), "--pid", "--mount", PROGRAM,
                               action], env=self.environment(supervise="yes", **how),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=30, check=False)
        self.said = done.stderr
        return done.returncode

    def inside(self, *argv):
        return subprocess.run(["nsenter", "--target", str(self.inner), "--pid", "--mount", *argv],
                              capture_output=True, text=True, timeout=20, check=False).stdout

    def running(self, name):
        return self.inside("pgrep", "-x", name).split()

    def starts(self, name):
        try:
            lines = (self.path / "started").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [line.split()[1] for line in lines if line.split()[0] == name]

    def up(self):
        """Both run, and have said so."""
        until("both run", lambda: all(self.starts(name) and self.running(name) ==
                                      self.starts(name)[-1:]
                                      for name in ("wardom-keeper", "wardomd")))

    def kill(self, name):
        """And until it has been started again."""
        self.up()
        count = len(self.starts(name))
        self.inside("kill", "-9", self.starts(name)[-1])
        until(f"{name} runs again", lambda: len(self.starts(name)) > count)

    def test_both_are_started_and_started_again(self):
        self.serve()
        self.assertEqual(self.agent("start"), SUCCESS, self.said)
        for name in ("wardomd", "wardom-keeper"):
            self.kill(name)
        self.up()
        for name in ("wardomd", "wardom-keeper"):
            nice = self.inside("ps", "-o", "ni=", "-p", self.starts(name)[-1])
            self.assertEqual(nice.strip(), "-10", name)
        self.assertEqual((self.path / "kept").read_text().strip(), str(self.path / "watchdog"))
        # One supervisor, however often it is asked for; it goes on after a stop.
        self.assertEqual(self.agent("monitor"), SUCCESS, self.said)
        self.assertEqual(self.agent("stop"), SUCCESS)
        self.assertEqual(len(self.running("wardom-ocf-host")), 1)
        self.kill("wardomd")

    def test_what_runs_already_is_left_alone(self):
        self.serve()
        self.inside("sh", "-c", f"{self.bin}/wardomd >/dev/null 2>&1 &")
        until("wardomd runs", lambda: self.starts("wardomd"))
        self.assertEqual(self.agent("start"), SUCCESS, self.said)
        self.up()
        self.assertEqual(len(self.starts("wardomd")), 1)
        self.kill("wardomd")

    def test_a_supervisor_that_dies_is_replaced_by_a_monitor(self):
        self.serve()
        self.assertEqual(self.agent("start"), SUCCESS, self.said)
        self.up()
        pid, = self.running("wardom-ocf-host")
        self.inside("kill", "-9", pid)
        until("it is gone", lambda: not self.running("wardom-ocf-host"))
        self.assertEqual(self.agent("monitor"), SUCCESS, self.said)
        until("another one runs", lambda: self.running("wardom-ocf-host"))
        self.assertEqual((len(self.starts("wardomd")), len(self.starts("wardom-keeper"))), (1, 1))
        self.kill("wardom-keeper")

    def test_a_directory_whose_name_is_long(self):
        """No socket can be made there: both run, and nobody keeps descriptors."""
        long = self.path / ("x" * 120)
        long.mkdir()
        self.program("wardom-keeper", LIVES.format(folder=self.folder.name, more=""))
        self.serve()
        done = subprocess.run(["nsenter", "--target", str(self.inner), "--pid", "--mount", PROGRAM,
                               "start"], capture_output=True, timeout=30, check=False,
                              env=self.environment(supervise="yes") | {"HA_RSCTMP": str(long)})
        self.assertEqual(done.returncode, SUCCESS, done.stderr)
        self.kill("wardomd")
        self.up()

    def test_a_program_that_fails_is_not_started_without_end(self):
        self.program("wardomd", f"#!/bin/sh\necho wardomd $$ x >>{self.path}/started\nexit 1\n")
        self.serve()
        self.assertEqual(self.agent("start"), SUCCESS, self.said)
        until("it was tried", lambda: len(self.starts("wardomd")) >= 3)
        time.sleep(1)
        self.assertLess(len(self.starts("wardomd")), 7)
        pid, = self.running("wardom-ocf-host")
        self.inside("kill", "-TERM", pid)
        until("it has ended", lambda: not self.running("wardom-ocf-host"))
        self.assertTrue(self.running("wardom-keeper"))
        self.assertIn("started again in", (self.path / "log").read_text())


if __name__ == "__main__":
    unittest.main()
