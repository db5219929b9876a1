#!/usr/bin/python3
"""The state volume changes while guests run: moved to another one, other lease times; each
interrupted, too.

Run as root: /usr/bin/python3 test/lab/test_scenarios_move.py
"""

from __future__ import annotations

import json
import subprocess
import time
import unittest

from scenario_support import REPOSITORY, LAB, ScenarioCase, each, eventually, layout

NEW = "/var/lib/wardom/volume-new"
# Held for longer than this on a storage that is well, a domain of the profile `fast` is without
# protection for longer than it need be.
HELD_S = 15.0


class HeldVolume(ScenarioCase):
    path = layout.VOLUME_PATH  # where the volume is now

    def attach(self, *hosts: str) -> None:
        """Both volumes can be reached there, as their paths say."""
        store = f"nbd://{layout.STORAGE_SERVER}:{layout.VOLUME_PORT}/volume-new"
        for host in hosts:
            if self.attached(host):
                continue
            self.cluster.must(host, "touch", NEW)
            self.cluster.must(host, "sh", "-c",
                              f"setsid nbdfuse {NEW} {store} </dev/null >/dev/null 2>&1 &")
            eventually(f"{host} has {NEW}", lambda: self.attached(host))

    def attached(self, host: str) -> bool:
        return self.cluster.run(host, "grep", "-q", f" {NEW} ", "/proc/mounts").returncode == 0

    def detach(self, host: str) -> None:
        self.cluster.must(host, "umount", NEW)

    def make_new(self) -> None:
        """A second volume, empty, on the volume's server."""
        disk = self.cluster.record.disks / "volume" / "volume-new"
        disk.unlink(missing_ok=True)
        with open(disk, "wb") as volume:
            volume.truncate(layout.VOLUME_BYTES)

    def use_of(self, path: str) -> str:
        shown = self.cluster.run("n1", "wardomctl", "volume", "show", path, "--json")
        return json.loads(shown.stdout)["use"]["state"] if shown.returncode == 0 else "none"

    def start_tool(self, *words: str) -> subprocess.Popen:
        return subprocess.Popen(
            [LAB, "--name", self.cluster.name, "exec", "n1", "--", "wardomctl", "volume", *words],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=REPOSITORY)

    def await_protection(self) -> None:
        """Everybody is alive in all eyes, and every host publishes its lease where it should."""
        def protected() -> bool:
            shown = json.loads(self.cluster.must("n1", "wardomctl", "volume", "show", self.path,
                                                 "--json"))
            return all(slot["w_s"] for slot in shown["slots"] if slot["state"] == "up")

        eventually("all hosts alive", self.cluster.all_alive, explain=self.cluster.picture)
        eventually("all leases published", protected, explain=self.cluster.picture)

    def set_path(self, path: str) -> None:
        for host in self.cluster.host_names:
            self.cluster.must(host, "sed", "-i", f's|^path = .*|path = "{path}"|',
                              "/etc/wardom/wardom.toml")


class Moved(HeldVolume):
    def test_moved_and_a_host_dies_afterwards(self) -> None:
        self.make_new()
        self.attach(*self.cluster.host_names)
        began = time.monotonic()
        said = self.cluster.must("n1", "wardomctl", "volume", "move", NEW)
        print(f"moved after {time.monotonic() - began:.1f} s", flush=True)
        self.assertLess(time.monotonic() - began, HELD_S)
        self.assertIn("has taken the place", said)
        self.path = NEW
        self.await_protection()
        self.assert_all_untouched()
        self.assertEqual((self.use_of(layout.VOLUME_PATH), self.use_of(NEW)), ("moved", "in-use"))
        for host in self.cluster.host_names:
            self.await_problem(host, "volume.path", NEW)
        # A keeper that starts anew is led on by what the old volume says.
        self.cluster.kill_service("n2", "keeper")
        self.await_protection()
        self.assert_all_untouched()
        self.set_path(NEW)
        for host in self.cluster.host_names:
            self.cluster.kill_service(host, "keeper")
            self.await_protection()
        self.assert_all_untouched()
        self.assertFalse([p for p in self.cluster.problems("n1") if "volume.path" in p])
        self.cluster.lab("cut", "n3")
        self.await_recovery("n3")
        # Whoever boots with the old path finds the new volume, once that can be reached again.
        eventually("n3 answers", self.cluster.managers_answer, explain=self.cluster.picture)
        self.attach("n3")
        self.await_protection()


class Interrupted(HeldVolume):
    def test_tool_killed_at_any_moment(self) -> None:
        """Whatever it had done: the old state or the new one, and `volume show` says which."""
        self.attach_new()
        ends = {}
        for after in (0.5, 1.5, 2.5, 3.5, 4.5, 6.0):
            tool = self.start_tool("move", NEW)
            time.sleep(after)
            pid = self.cluster.run("n1", "pgrep", "-f", "wardomctl volume move").stdout.split()
            for one in pid:
                self.cluster.run("n1", "kill", "-9", one)
            tool.communicate(timeout=30)
            state = self.use_of(layout.VOLUME_PATH)
            ends[after] = state
            if state == "moved":
                break
            if state == "held":
                self.await_problem("n1", "is held while an operator moves it")
                if after < 3:
                    self.cluster.must("n1", "wardomctl", "volume", "move", "--abandon")
                    self.assertEqual(self.use_of(layout.VOLUME_PATH), "in-use")
            else:
                self.assertEqual(state, "in-use")
            if state != "held" or after < 3:
                self.await_protection()
            self.assert_all_untouched()
        print(f"killed after: {ends}", flush=True)
        self.assertTrue({"held", "moved"} & set(ends.values()), ends)
        self.cluster.must("n1", "wardomctl", "volume", "move", NEW)
        self.path = NEW
        self.await_protection()
        self.assert_all_untouched()

    def attach_new(self) -> None:
        self.make_new()
        self.attach(*self.cluster.host_names)


class NotMoved(HeldVolume):
    def test_a_host_that_cannot_reach_the_new_one(self) -> None:
        self.make_new()
        self.attach("n1", "n2")
        done = self.cluster.run("n1", "wardomctl", "volume", "move", NEW)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("n3", done.stderr)
        self.assertIn("abandoned", done.stderr)
        self.assertEqual(self.use_of(layout.VOLUME_PATH), "in-use")
        self.await_protection()
        self.assert_all_untouched()
        self.attach("n3")
        # The decider is cut as soon as the volume is held.
        decider = self.await_decider()
        victim = decider if decider != "n1" else "n2"
        self.cluster.make_decider(victim)
        tool = self.start_tool("move", NEW)
        eventually("the volume is held", lambda: self.use_of(layout.VOLUME_PATH) == "held")
        self.cluster.lab("cut", victim)
        out, _ = tool.communicate(timeout=90)
        print(f"decider cut: exit {tool.returncode}: {out.splitlines()[-1]}", flush=True)
        state = self.use_of(layout.VOLUME_PATH)
        self.assertEqual((state, tool.returncode), ("moved", 0) if tool.returncode == 0
                         else ("in-use", 1), out)
        self.path = NEW if state == "moved" else layout.VOLUME_PATH
        where = self.await_recovery(victim, 60.0)
        self.assertNotIn(victim, where.values())
        eventually("it answers", self.cluster.managers_answer, explain=self.cluster.picture)
        self.attach(victim)
        self.await_protection()

    def test_words_that_cannot_be_meant(self) -> None:
        same = self.cluster.run("n1", "wardomctl", "volume", "move", layout.VOLUME_PATH)
        self.assertEqual(same.returncode, 3, same.stderr)
        self.assertIn("this very volume", same.stderr)
        for words, code in (((), 2), (("relative",), 2), (("--abandon", NEW), 2),
                            (("/var/lib/none/volume",), 1)):
            done = self.cluster.run("n1", "wardomctl", "volume", "move", *words)
            self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(self.use_of(layout.VOLUME_PATH), "in-use")
        self.assert_all_untouched()


class Profile(HeldVolume):
    def set_profile(self, name: str) -> None:
        for host in self.cluster.host_names:
            self.cluster.must(host, "sed", "-i", f's|^profile = .*|profile = "{name}"|',
                              "/etc/wardom/wardom.toml")
            for service in ("keeper", "wardomd"):
                self.cluster.ask_manager(host, "stop", service)
                self.cluster.ask_manager(host, "start", service)

    def test_other_lease_times_and_back(self) -> None:
        for name, t_f in (("default", 20.0), ("fast", 6.0)):
            self.cluster.must("n2", "wardomctl", "volume", "profile", name)
            self.await_protection()
            eventually(f"T_F is {t_f:g} s", lambda: (self.cluster.status("n1") or {}).get(
                "profile", {}).get("t_f_s") == t_f, explain=self.cluster.picture)
            self.assert_all_untouched()
            if name == "default":
                for host in self.cluster.host_names:
                    self.await_problem(host, "timing.profile", "20s")
        self.assertFalse([p for p in self.cluster.problems("n1") if "timing.profile" in p])
        # And a host that dies is proved dead by the new times.
        guests = self.guests_of("n3")
        self.cluster.lab("bmc", "n3", "down")
        self.cluster.lab("pull", "n3")
        where = self.await_started_once(guests, ["n1", "n2"], 60.0)
        self.assertNotIn("n3", where.values())
        self.await_proof("n3", "lease-expired")


if __name__ == "__main__":
    unittest.main(verbosity=2)
