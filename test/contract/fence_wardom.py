"""fence_wardom as Pacemaker's fencer runs it, against a fake wardomd and real IPMI BMCs on loopback.

    fence_wardom.py PROGRAM

Without ipmi_sim, xmllint, crmsh or the fence-agents' schema the cases that need them are skipped.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from fake_daemon import FakeDaemon  # noqa: E402

PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 else "fence_wardom"
RNG = pathlib.Path("/usr/share/cluster/relaxng/metadata.rng")
SELF = socket.gethostname()

CHASSIS = """#!/bin/sh
f=$(dirname "$0")/power
echo "$@" >> "$f.calls"
case "$2 $3" in
'get power') echo "power:$(cat $f)" ;;
'set power') [ -e $f.deaf ] || echo $4 > $f ;;
'get boot') echo boot:default ;;
esac
"""
LAN = """name "bmc"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {port}
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcd01
  endlan
  chassis_control "{script} x"
  user 1 true "" "" user 10 none md2 md5 straight
  user 2 true "admin" "secret" admin 10 none md2 md5 straight
"""
EMU = """mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
mc_enable 0x20
"""
CONFIG = """[cluster]
name = "test"
[volume]
path = "/nonexistent/volume"
[bmc]
user = "admin"
password_file = "{folder}/password"
workarounds = ["opensesspriv"]
privilege = "admin"
session_timeout = "1s"
[[domain]]
name = "d"
id = 1
[[host]]
name = "{self}"
id = 1
domain = "d"
mgmt = "127.0.0.1"
storage = "127.0.1.1"
[[host]]
name = "victim"
id = 2
domain = "d"
mgmt = "127.0.0.2"
storage = "127.0.1.2"
bmc = "127.0.0.1:{port}"
"""


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Bmc:
    """ipmi_sim, whose chassis is a file that holds 0 or 1."""

    def __init__(self, folder, port):
        self.folder = folder
        (folder / "state/ipmi_sim/bmc").mkdir(parents=True)
        (folder / "state/ipmi_sim/bmc/sdr.20.main").write_text("")
        script = folder / "chassis"
        script.write_text(CHASSIS)
        script.chmod(0o700)
        (folder / "power").write_text("1\n")
        (folder / "lan.conf").write_text(LAN.format(port=port, script=script))
        (folder / "bmc.emu").write_text(EMU)
        self.process = subprocess.Popen(
            ["ipmi_sim", "-n", "-c", folder / "lan.conf", "-f", folder / "bmc.emu",
             "-s", folder / "state"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)

    @property
    def power(self):
        return (self.folder / "power").read_text().strip()

    def set_power(self, on):
        (self.folder / "power").write_text("1\n" if on else "0\n")

    def deaf(self):
        (self.folder / "power.deaf").write_text("")

    def calls(self):
        try:
            return (self.folder / "power.calls").read_text().splitlines()
        except FileNotFoundError:
            return []

    def end(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Base(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="fence-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.port = free_port()
        self.config = self.folder / "wardom.toml"
        self.config.write_text(CONFIG.format(folder=self.folder, self=SELF, port=self.port))
        password = self.folder / "password"
        password.write_text("secret\n")
        password.chmod(0o600)
        self.socket = self.folder / "wardomd.sock"

    def run_it(self, lines, timeout=60):
        return subprocess.run([PROGRAM], input=lines, capture_output=True, timeout=timeout,
                              text=isinstance(lines, str))

    def fence(self, action="off", plug="victim", more="", seconds=10):
        return self.run_it(f"action={action}\nnodename={plug}\nplug={plug}\nconfig={self.config}\n"
                           f"socket={self.socket}\npower_timeout={seconds}\n{more}")

    def daemon(self, answer):
        return FakeDaemon(self.socket, answer if callable(answer) else lambda _: answer)

    def bmc(self):
        if shutil.which("ipmi_sim") is None:
            self.skipTest("SKIPPED: no ipmi_sim here")
        bmc = Bmc(self.folder, self.port)
        self.addCleanup(bmc.end)
        return bmc


class WithDaemon(Base):
    PROVED = {"ok": True, "result": {"done": True, "how": "power-off: incarnation 5/3 of victim; "
                                                          "BMC read off 2 times"}}

    def test_succeeds_by_a_proof_and_tells_which(self):
        with self.daemon(self.PROVED) as daemon:
            result = self.fence()
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("power-off: incarnation 5/3", result.stdout)
        self.assertEqual(len(daemon.requests), 1)
        request = daemon.requests[0]
        self.assertGreater(request.pop("patience_ms"), 5000)
        self.assertEqual(request, {"do": "host-fence", "host": "victim", "split": "off",
                                   "by": "fence_wardom", "version": 1})

    def test_split_is_passed_on(self):
        with self.daemon(self.PROVED) as daemon:
            self.assertEqual(self.fence(more="split=wait\n").returncode, 0)
        self.assertEqual(daemon.requests[0]["split"], "wait")

    def test_refusal_is_final_and_no_bmc_is_asked(self):
        bmc = self.bmc()
        for code in (2, 3):
            refusal = {"ok": False, "exit": code, "error": "the domain is disarmed"}
            with self.daemon(refusal) as daemon:
                began = time.monotonic()
                result = self.fence()
                self.assertEqual(result.returncode, 1)
                self.assertIn("disarmed", result.stderr)
                self.assertLess(time.monotonic() - began, 5)
                self.assertEqual(len(daemon.requests), 1)
            self.socket.unlink()
        self.assertEqual(bmc.power, "1")

    def test_what_is_not_proved_is_asked_again_until_the_time_is_over(self):
        def answer(request):
            time.sleep(1)
            return {"ok": False, "exit": 1, "error": "no decider has acted on it"}
        bmc = self.bmc()
        with self.daemon(answer) as daemon:
            began = time.monotonic()
            result = self.fence(seconds=8)
            self.assertLess(time.monotonic() - began, 8)
        self.assertEqual(result.returncode, 1)
        self.assertIn("no decider has acted", result.stderr)
        self.assertGreater(len(daemon.requests), 1)
        self.assertEqual(bmc.power, "1")

    def test_silence_ends_before_the_own_deadline(self):
        bmc = self.bmc()
        with self.daemon(None):
            began = time.monotonic()
            result = self.fence(seconds=6)
            self.assertLess(time.monotonic() - began, 6)
        self.assertEqual(result.returncode, 1)
        self.assertIn("no reply in time", result.stderr)
        self.assertEqual(bmc.power, "1")

    def test_nonsense_is_no_proof(self):
        bmc = self.bmc()
        replies = [b"", b"ok\n", b"[]\n", b"\xff\xfe\n", b'{"ok":1}\n', b'{"ok":"true"}\n',
                   b'{"ok":false}\n', b'{"ok":false,"exit":0,"error":"done"}\n']
        lines = (f"action=off\nplug=victim\nconfig={self.config}\npower_timeout=6\nsocket=%s\n")
        with contextlib.ExitStack() as stack:
            calls = []
            for number, reply in enumerate(replies):
                path = self.folder / f"{number}.sock"
                stack.enter_context(FakeDaemon(path, lambda _, reply=reply: reply))
                call = stack.enter_context(subprocess.Popen([PROGRAM], stdin=subprocess.PIPE,
                                                            stderr=subprocess.DEVNULL, text=True))
                call.stdin.write(lines % path)
                call.stdin.close()
                calls.append(call)
            for reply, call in zip(replies, calls):
                self.assertEqual(call.wait(timeout=60), 1, reply)
        self.assertEqual(bmc.power, "1")

    def test_a_daemon_that_is_restarted_is_waited_for(self):
        def start():
            time.sleep(1.5)
            holder.append(self.daemon(self.PROVED))
        holder = []
        bmc = self.bmc()
        thread = threading.Thread(target=start)
        thread.start()
        result = self.fence()
        thread.join()
        holder[0].__exit__()
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("power-off", result.stdout)
        self.assertEqual(bmc.power, "1")

    def test_a_daemon_that_could_not_prove_it_is_not_passed_by(self):
        bmc = self.bmc()
        bmc.set_power(False)
        daemon = self.daemon({"ok": False, "exit": 1, "error": "its BMC is distrusted"})
        threading.Timer(1.0, lambda: (self.socket.unlink(), daemon.__exit__())).start()
        result = self.fence(seconds=8)
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertNotIn("x get power", bmc.calls())

    def test_reboot_is_the_off_part(self):
        bmc = self.bmc()
        bmc.set_power(False)
        with self.daemon(self.PROVED):
            result = self.fence("reboot")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        deadline = time.monotonic() + 20
        while bmc.power != "1" and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(bmc.power, "1", "it is powered on by itself")

    def test_reboot_does_not_wait_for_the_power_on(self):
        with self.daemon(self.PROVED):
            began = time.monotonic()
            result = self.fence("reboot")  # its BMC does not answer
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertLess(time.monotonic() - began, 3)

    def test_reboot_without_proof_powers_nothing_on(self):
        bmc = self.bmc()
        bmc.set_power(False)
        with self.daemon({"ok": False, "exit": 3, "error": "no"}):
            self.assertEqual(self.fence("reboot").returncode, 1)
        self.assertEqual(bmc.power, "0")

    def test_monitor_asks_the_daemon(self):
        with self.daemon({"ok": True, "result": []}) as daemon:
            result = self.fence("monitor")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(daemon.requests[0]["do"], "host-list")


class WithoutDaemon(Base):
    def test_powers_off_by_the_bmc_and_reads_twice(self):
        bmc = self.bmc()
        result = self.fence()
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(bmc.power, "0")
        self.assertIn("reads off, 2 times", result.stdout)
        calls = bmc.calls()
        self.assertEqual([c for c in calls if "set" in c], ["x set power 0"])
        after = calls[calls.index("x set power 0"):]
        self.assertGreaterEqual(after.count("x get power"), 2)

    def test_what_is_off_is_read_twice_too(self):
        bmc = self.bmc()
        bmc.set_power(False)
        self.assertEqual(self.fence().returncode, 0)
        self.assertGreaterEqual(bmc.calls().count("x get power"), 2)

    def test_an_order_that_is_taken_proves_nothing(self):
        bmc = self.bmc()
        bmc.deaf()
        began = time.monotonic()
        result = self.fence(seconds=6)
        self.assertLess(time.monotonic() - began, 6)
        self.assertEqual(result.returncode, 1)
        self.assertIn("reads on", result.stderr)

    def test_a_bmc_that_does_not_answer_is_not_off(self):
        began = time.monotonic()
        result = self.fence(seconds=6)
        self.assertLess(time.monotonic() - began, 6)
        self.assertEqual(result.returncode, 1)
        self.assertIn("not fenced", result.stderr)

    def test_split_wait_needs_the_daemon(self):
        bmc = self.bmc()
        result = self.fence(more="split=wait\n")
        self.assertEqual(result.returncode, 1)
        self.assertIn("split=off", result.stderr)
        self.assertEqual(bmc.power, "1")

    def test_a_host_does_not_fence_itself(self):
        result = self.fence(plug=SELF)
        self.assertEqual(result.returncode, 1)
        self.assertIn("does not fence itself", result.stderr)

    def test_on_and_status(self):
        bmc = self.bmc()
        self.assertEqual(self.fence("status").returncode, 0)
        bmc.set_power(False)
        self.assertEqual(self.fence("status").returncode, 2)
        self.assertEqual(self.fence("on").returncode, 0)
        self.assertEqual(bmc.power, "1")
        self.assertEqual(self.fence("status", plug=SELF).returncode, 1)  # it has no BMC

    def test_list_needs_nobody(self):
        result = self.fence("list")
        self.assertEqual((result.returncode, result.stdout, result.stderr),
                         (0, f"{SELF},\nvictim,\n", ""))

    def test_list_status(self):
        self.bmc().set_power(False)
        result = self.fence("list-status")
        self.assertEqual((result.returncode, result.stdout),
                         (0, f"{SELF},,unknown\nvictim,,off\n"))

    def test_monitor_tells_that_bmcs_are_left(self):
        result = self.fence("monitor")
        self.assertEqual(result.returncode, 0)
        self.assertIn("does not answer", result.stderr)
        text = self.config.read_text()
        self.config.write_text("\n".join(l for l in text.splitlines() if not l.startswith("bmc =")))
        self.assertEqual(self.fence("monitor").returncode, 1)

    def test_validate_all_takes_any_host(self):
        result = self.fence("validate-all", plug="node1")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
        (self.folder / "password").unlink()
        result = self.fence("validate-all")
        self.assertEqual(result.returncode, 1)
        self.assertIn("password", result.stderr)


class Nonsense(Base):
    def test_input_is_refused_with_a_reason(self):
        for lines, word in (("action=explode\n", "action"), ("split=maybe\n", "split"),
                            ("power_timeout=soon\n", "power_timeout"),
                            ("power_timeout=-1\n", "power_timeout"),
                            ("power_timeout=99999999999999999999\n", "power_timeout"),
                            ("plug=" + "x" * 5000 + "\n", "too long"),
                            ("unknown=1\n" * 10000, "longer than"),
                            ("config=/nonexistent\naction=list\n", "/nonexistent")):
            with self.subTest(lines[:30]):
                result = self.run_it(lines)
                self.assertEqual(result.returncode, 1)
                self.assertIn(word, result.stderr)
                self.assertEqual(len(result.stderr.splitlines()), 1)

    def test_bytes_of_any_kind_end_with_a_reason(self):
        for data in (b"\x00" * 1000, bytes(range(256)) * 4, b"=\n==\n\n=a\naction\n",
                     b"action=\xff\xfe\n"):
            with self.subTest(data[:10]):
                result = self.run_it(data)
                self.assertEqual(result.returncode, 1)
                self.assertTrue(result.stderr.startswith(b"fence_wardom: "))

    def test_unknown_keys_are_ignored(self):
        more = "pcmk_host_list=a b\nwhatever==x=\n# remark\n no sense\nnodeid=7\n"
        self.assertEqual(self.fence("validate-all", more=more).returncode, 0)

    def test_a_host_that_no_file_names(self):
        for plug in ("stranger", "victim;reboot", "../x", "a" * 300):
            result = self.fence(plug=plug)
            self.assertEqual(result.returncode, 1)
            self.assertIn("names no host", result.stderr)
        result = self.run_it(f"action=off\nconfig={self.config}\n")
        self.assertIn("no host is named", result.stderr)

    def test_this_host_is_in_no_file(self):
        self.config.write_text(self.config.read_text().replace(f'"{SELF}"', '"other"')
                               .replace("127.0.1.1", "192.0.2.1"))
        result = self.fence("monitor")
        self.assertEqual(result.returncode, 1)
        self.assertIn(SELF, result.stderr)

    def test_input_that_never_ends(self):
        began = time.monotonic()
        process = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(b"action=off\n")
        process.stdin.flush()
        self.assertEqual(process.wait(timeout=30), 1)
        self.assertLess(time.monotonic() - began, 15)
        process.stdin.close()
        process.stderr.close()

    def test_options_say_the_same(self):
        common = ["--config", str(self.config), f"--socket={self.socket}"]
        for words, code in ((["-o", "validate-all"], 0), (["-ovalidate-all"], 0),
                            (["--action=validate-all", "-v"], 0), (["-o", "list"], 0),
                            (["-o"], 1), (["--explode"], 1), (["-o", "off", "-n", "stranger"], 1)):
            with self.subTest(words):
                result = subprocess.run([PROGRAM, *common, *words], capture_output=True)
                self.assertEqual(result.returncode, code, result.stderr)
        for words in (["--help"], ["-h"], ["-V"], ["-o", "manpage"]):
            result = subprocess.run([PROGRAM, *words], capture_output=True, text=True)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn("fence_wardom", result.stdout)


class Metadata(Base):
    def setUp(self):
        super().setUp()
        self.text = subprocess.run([PROGRAM, "-o", "metadata"], capture_output=True, text=True,
                                   check=True, env={"PATH": "/nonexistent"}).stdout

    def test_by_standard_input_too(self):
        self.assertEqual(self.run_it("action=metadata\n").stdout, self.text)

    def test_every_action_is_there_and_no_version(self):
        for action in ("off", "on", "reboot", "status", "monitor", "list", "list-status",
                       "metadata", "manpage", "validate-all"):
            self.assertIn(f'<action name="{action}"', self.text)
        self.assertNotIn("<version>", self.text)

    def test_the_fence_agents_schema(self):
        if shutil.which("xmllint") is None or not RNG.exists():
            self.skipTest("SKIPPED: no xmllint, or no schema of the fence-agents here")
        result = subprocess.run(["xmllint", "--noout", "--relaxng", RNG, "-"], input=self.text,
                                capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)


if __name__ == "__main__":
    unittest.main()
