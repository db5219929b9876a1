"""wardomctl against a fake wardomd: what it asks, what it prints, how it ends.

    tree_wardomctl.py PROGRAM            runs the tests
    tree_wardomctl.py PROGRAM --rewrite  writes the golden files anew; read the diff before a commit

Each NAME.reply.json in tree_wardomctl/ is one reply; NAME.txt is what people then see.
"""

import json
import os
import pathlib
import pty
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

GOLDEN = pathlib.Path(__file__).with_suffix("")
PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "wardomctl"
REWRITE = "--rewrite" in sys.argv

# Golden file -> the command that leads to it and the request that it must send.
VIEWS = {
    "status_healthy": (["status"], {"do": "status"}),
    "status_trouble": (["status"], {"do": "status"}),
    "status_unknown": (["status"], {"do": "status"}),
    "why_host": (["why", "n2"], {"do": "why", "about": "n2"}),
    "why_guest": (["why", "g1"], {"do": "why", "about": "g1"}),
    "timeline_finished": (["timeline"], {"do": "timeline", "id": None}),
    "timeline_running": (["timeline", "1f0c"], {"do": "timeline", "id": "1f0c"}),
    "timeline_none": (["timeline"], {"do": "timeline", "id": None}),
    "host_list": (["host", "list"], {"do": "host-list"}),
    "host_show": (["host", "show", "n3"], {"do": "host-show", "host": "n3"}),
    "guest_list": (["guest", "list"], {"do": "guest-list"}),
    "guest_list_none": (["guest", "list"], {"do": "guest-list"}),
    "guest_show": (["guest", "show", "g1"], {"do": "guest-show", "guest": "g1"}),
    "guest_protect": (
        ["guest", "protect", "g1", "--waive", "cdrom:/a.iso", "--waive", "nvram", "--priority", "5",
         "--isolation", "shutdown"],
        {"do": "guest-protect", "guest": "g1", "waive": ["cdrom:/a.iso", "nvram"], "priority": 5,
         "isolation": "shutdown"}),
    "quorum_status": (["quorum", "status"], {"do": "quorum-look"}),
    "guest_unprotect": (["guest", "unprotect", "g1"], {"do": "guest-unprotect", "guest": "g1"}),
    "guest_migrate": (["guest", "migrate", "g1", "n2", "--timeout", "90s"],
                      {"do": "guest-migrate", "guest": "g1", "to": "n2", "patience_ms": 90000}),
    "guest_migrate_again": (["guest", "migrate", "g1", "n2"],
                            {"do": "guest-migrate", "guest": "g1", "to": "n2",
                             "patience_ms": 300000}),
}


class FakeDaemon:
    """Answers one connection with fixed bytes and keeps the request."""

    def __init__(self, reply, *, answer=True):
        self.folder = tempfile.TemporaryDirectory(prefix="wardomctl-test-")
        self.path = os.path.join(self.folder.name, "sock")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(1)
        self.reply = reply
        self.answer = answer
        self.request = b""
        self.thread = threading.Thread(target=self.serve)

    def serve(self):
        connection, _ = self.listener.accept()
        with connection:
            while not self.request.endswith(b"\n"):
                part = connection.recv(65536)
                if not part:
                    return
                self.request += part
            try:
                # Without an answer: wait until the client gives up.
                connection.sendall(self.reply) if self.answer else connection.recv(1)
            except BrokenPipeError:
                pass  # the client had read enough

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join()
        self.listener.close()
        self.folder.cleanup()


def run(arguments, path, **more):
    environment = {"TZ": "UTC", "PATH": "/nonexistent", "TERM": "xterm"} | more.pop("env", {})
    return subprocess.run([PROGRAM, "--socket", path, *arguments], env=environment,
                          stdin=subprocess.DEVNULL, timeout=60, text=True,
                          **({"capture_output": True} | more))


def converse(arguments, reply, **more):
    with FakeDaemon(reply) as daemon:
        return run(arguments, daemon.path, **more), daemon.request


def run_on_terminal(arguments, reply, env):
    """What a terminal would get."""
    master, slave = pty.openpty()
    text = bytearray()

    def drain():
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:  # EIO: the last writer closed its side
                return
            text.extend(part)

    reader = threading.Thread(target=drain)
    reader.start()
    with FakeDaemon(reply) as daemon:
        run(arguments, daemon.path, env=env, capture_output=False, stdout=slave)
    os.close(slave)
    reader.join()
    os.close(master)
    return text.decode()


class Views(unittest.TestCase):
    def test_print_matches_golden(self):
        for name, (arguments, request) in VIEWS.items():
            with self.subTest(name):
                reply = (GOLDEN / f"{name}.reply.json").read_bytes()
                result, sent = converse(arguments, reply)
                self.assertEqual(result.stderr, "")
                self.assertEqual(result.returncode, 0)
                self.assertEqual(json.loads(sent), request | {"version": 1})
                self.assertEqual(sent.count(b"\n"), 1)
                golden = GOLDEN / f"{name}.txt"
                if REWRITE:
                    golden.write_text(result.stdout)
                self.assertEqual(result.stdout, golden.read_text())

    def test_every_golden_file_has_a_test(self):
        found = {path.name.split(".")[0] for path in GOLDEN.iterdir()}
        self.assertEqual(found, set(VIEWS))

    def test_json_prints_the_result_alone(self):
        for name, (arguments, _) in VIEWS.items():
            with self.subTest(name):
                reply = (GOLDEN / f"{name}.reply.json").read_bytes()
                result, _ = converse([*arguments, "--json"], reply)
                self.assertEqual(json.loads(result.stdout), json.loads(reply)["result"])
                self.assertEqual(result.returncode, 0)

    def test_control_characters_do_not_reach_the_terminal(self):
        reply = json.dumps({"ok": True, "result": [{"name": "g\x1b[2J", "reason": "a\nb\x07"}]})
        result, _ = converse(["guest", "list"], reply.encode())
        self.assertIn("g?[2J", result.stdout)
        self.assertIn("a b?", result.stdout)
        self.assertNotIn("\x1b", result.stdout)

    def test_missing_problems_are_not_called_none(self):
        result, _ = converse(["status"], b'{"ok":true,"result":{"domain":"d1"}}')
        self.assertIn("problems: unknown", result.stdout)
        self.assertNotIn("no problems", result.stdout)

    def test_results_of_another_shape_do_not_crash(self):
        for value in (None, 1, "x", [], {}, [1], {"hosts": 1, "guests": [None], "chain": {}}):
            for arguments in ("status", "why x", "timeline", "guest list", "guest show x"):
                with self.subTest(value=value, arguments=arguments):
                    reply = json.dumps({"ok": True, "result": value}).encode()
                    result, _ = converse(arguments.split(), reply)
                    self.assertEqual(result.returncode, 0)


class Colours(unittest.TestCase):
    reply = (GOLDEN / "status_trouble.reply.json").read_bytes()

    def test_a_terminal_gets_colours(self):
        self.assertIn("\x1b[1;31m", run_on_terminal(["status"], self.reply, {}))

    def test_no_color_is_honoured(self):
        self.assertNotIn("\x1b", run_on_terminal(["status"], self.reply, {"NO_COLOR": "1"}))


class Operators(unittest.TestCase):
    """What an operator says to the whole domain. `by` is whoever runs the test."""

    def say(self, arguments, reply=b'{"ok":true,"result":{"done":true}}'):
        result, sent = converse(arguments, reply)
        request = json.loads(sent)
        self.assertTrue(request.pop("by"))
        self.assertEqual(request.pop("version"), 1)
        return result, request

    def test_confirm_dead_by_a_script(self):
        result, request = self.say(["host", "confirm-dead", "n3",
                                    "--yes-i-saw-it-off", "5/1f0c52aa"])
        self.assertEqual(request, {"do": "host-confirm-dead", "host": "n3",
                                   "incarnation": "5/1f0c52aa"})
        self.assertIn("recorded as dead", result.stdout)

    def test_confirm_dead_without_terminal_or_flag_is_refused_before_anything_is_asked(self):
        result = run(["host", "confirm-dead", "n3"], "/nonexistent")
        self.assertEqual(result.returncode, 3)
        self.assertIn("--yes-i-saw-it-off", result.stderr)

    def test_confirm_dead_wants_name_and_incarnation_typed(self):
        shown = {"ok": True, "result": {"name": "n3", "incarnation": "5/1f0c52aa",
                                        "state": "suspect", "power": None}}
        for typed in (b"yes\n", b"n3\n", b"n3 4/1f0c52aa\n", b"\n"):
            master, slave = pty.openpty()
            os.write(master, typed)
            with FakeDaemon(json.dumps(shown).encode()) as daemon:
                result = subprocess.run(
                    [PROGRAM, "--socket", daemon.path, "host", "confirm-dead", "n3"],
                    stdin=slave, capture_output=True, text=True, timeout=60)
            self.assertEqual(json.loads(daemon.request),
                             {"do": "host-show", "host": "n3", "version": 1})
            self.assertEqual(result.returncode, 3)
            self.assertIn("5/1f0c52aa", result.stderr)
            self.assertIn("nothing was done", result.stderr)
            os.close(slave)
            os.close(master)

    def test_a_refusal_for_safety_ends_with_3(self):
        reply = b'{"ok":false,"exit":3,"error":"n3 may be alive: its heartbeats arrive here"}'
        result, _ = self.say(["host", "confirm-dead", "n3", "--yes-i-saw-it-off", "5/1f"], reply)
        self.assertEqual(result.returncode, 3)
        self.assertIn("may be alive", result.stderr)

    def test_trust_bmc(self):
        result, request = self.say(["host", "trust-bmc", "n3"])
        self.assertEqual(request, {"do": "host-trust-bmc", "host": "n3"})
        self.assertIn("trusted again", result.stdout)

    def test_arm_and_disarm(self):
        self.assertEqual(self.say(["arm"])[1], {"do": "arm"})
        self.assertEqual(self.say(["disarm"])[1], {"do": "disarm"})
        for text, ms in (("90s", 90_000), ("30m", 1_800_000), ("2h", 7_200_000),
                         ("24h", 86_400_000)):
            result, request = self.say(["disarm", "--for", text])
            self.assertEqual(request, {"do": "disarm", "for_ms": ms})
            self.assertIn(text, result.stdout)

    def test_disarm_for_no_time_is_wrong_usage(self):
        for text in ("0s", "25h", "1500m", "2", "h", "-1h", "soon"):
            result = run(["disarm", f"--for={text}"], "/nonexistent")
            self.assertEqual(result.returncode, 2, text)
            self.assertIn("at most a day", result.stderr)

    def test_migrate_in_no_time_is_wrong_usage(self):
        for text in ("0s", "61m", "2", "soon"):
            result = run(["guest", "migrate", "g1", "n2", f"--timeout={text}"], "/nonexistent")
            self.assertEqual(result.returncode, 2, text)
            self.assertIn("at most an hour", result.stderr)


class Failures(unittest.TestCase):
    def check(self, result, code, *parts):
        self.assertEqual(result.returncode, code)
        self.assertEqual(result.stdout, "")
        for part in parts:
            self.assertIn(part, result.stderr)

    def test_daemon_not_running(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "sock")
            self.check(run(["status"], path), 1,
                       f"wardomd does not answer on {path}: No such file or directory; "
                       "start it with `systemctl start wardomd`")
            with socket.socket(socket.AF_UNIX) as dead:  # bound, but nobody listens
                dead.bind(path)
                self.check(run(["status"], path), 1, "Connection refused", "systemctl start")

    def test_daemon_refuses(self):
        for code in (1, 2, 3):
            reply = json.dumps({"ok": False, "exit": code, "error": "g1: uses /dev/sdb; copy it"})
            result, _ = converse(["guest", "protect", "g1", "--json"], reply.encode())
            self.check(result, code, "wardomctl: g1: uses /dev/sdb; copy it")

    def test_daemon_talks_nonsense(self):
        for reply in (b"{", b"[]\n", b'{"ok":1}', b"\xff\xfe", b'{"ok":true}{}'):
            self.check(converse(["status"], reply)[0], 1, "its reply makes no sense")
        self.check(converse(["status"], b"")[0], 1, "it closed the connection")

    def test_refusal_with_a_strange_exit_code_still_fails(self):
        for code in (0, 4, -1, "x", None):
            reply = json.dumps({"ok": False, "exit": code, "error": "no"}).encode()
            self.check(converse(["status"], reply)[0], 1, "no")

    def test_endless_reply_is_cut(self):
        self.check(converse(["status"], b" " * (17 * 1024 * 1024))[0], 1, "longer than 16 MiB")

    def test_silent_daemon_meets_the_deadline(self):
        with FakeDaemon(b"", answer=False) as daemon:
            self.check(run(["status"], daemon.path), 1, "no reply in time", "journalctl")

    def test_socket_path_too_long(self):
        self.check(run(["status"], "/" + "x" * 200), 2, "too long")

    def test_full_disk_is_reported(self):
        reply = (GOLDEN / "status_healthy.reply.json").read_bytes()
        with open("/dev/full", "w") as full:
            result, _ = converse(["status"], reply, capture_output=False, stdout=full,
                                 stderr=subprocess.PIPE)
        self.assertEqual(result.returncode, 1)
        self.assertIn("takes no more", result.stderr)


class Usage(unittest.TestCase):
    def test_wrong_command_lines_end_with_2(self):
        for line in ("", "statis", "why", "guest", "guest protect", "guest show", "config",
                     "status extra", "guest protect g1 --priority 1001", "status --frob"):
            with self.subTest(line):
                result = run(line.split(), "/nonexistent")
                self.assertEqual(result.returncode, 2)
                self.assertEqual(result.stdout, "")
                self.assertNotEqual(result.stderr, "")

    def test_help_and_version(self):
        self.assertIn("status", run(["--help"], "/nonexistent").stdout)
        self.assertRegex(run(["--version"], "/nonexistent").stdout, r"^wardomctl \d+\.\d+\.\d+\n$")


class ConfigCheck(unittest.TestCase):
    good = """[cluster]
name = "lab"
[volume]
path = "/v"
[[domain]]
name = "d1"
id = 1
""" + "".join(f"""[[host]]
name = "n{n}"
id = {n}
domain = "d1"
mgmt = "10.0.0.{n}"
storage = "10.1.0.{n}"
""" for n in (1, 2))

    def check_text(self, text, *more):
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(text)
            file.flush()
            return file.name, run(["config", "check", file.name, *more], "/nonexistent")

    def test_good_file(self):
        name, result = self.check_text(self.good)
        self.assertEqual(result.returncode, 0)
        self.assertEqual(result.stdout.splitlines()[0],
                         f"{name}: good; cluster lab, 1 domain, 2 hosts")
        self.assertIn("note: host n2 has no BMC", result.stdout)

    def test_bad_file(self):
        name, result = self.check_text(self.good.replace('"/v"', '"v"') + "x = 1\n")
        self.assertEqual(result.returncode, 2)
        self.assertEqual(result.stdout, "")
        self.assertIn(f'{name}:4:8: key `volume.path`: is "v"; give an absolute path\n',
                      result.stderr)
        self.assertIn(f"{name}: 2 problems\n", result.stderr)

    def test_json(self):
        name, result = self.check_text(self.good, "--json")
        value = json.loads(result.stdout)
        self.assertEqual((value["file"], value["good"], value["hosts"]), (name, True, 2))
        _, result = self.check_text("[cluster]\n", "--json")
        value = json.loads(result.stdout)
        self.assertEqual(result.returncode, 2)
        self.assertFalse(value["good"])
        self.assertIsNone(value["hosts"])
        self.assertEqual(value["problems"][0].keys(), {"line", "column", "key", "what"})

    def test_missing_file(self):
        result = run(["config", "check", "/nonexistent/w.toml"], "/nonexistent")
        self.assertEqual(result.returncode, 2)
        self.assertIn("No such file", result.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
