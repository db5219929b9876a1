#!/usr/bin/python3
"""The cluster's key is changed while guests run: done, waited for, given up, prepared by hand.

Run as root: /usr/bin/python3 test/lab/test_scenarios_keys.py
"""

from __future__ import annotations

import json
import threading
import unittest

from scenario_support import ScenarioCase, eventually

KEY = "/etc/wardom/key"


class Keys(ScenarioCase):
    def reset(self) -> None:
        """A change that a failed test left behind does not meet the next one."""
        super().reset()
        for host in self.cluster.host_names:
            self.cluster.run(host, "wardomctl", "key", "rotate", "--give-up", "--wait", "0")

    def files(self, name: str = KEY) -> dict[str, str]:
        """Of each host that can be asked: mode and content; nothing where there is none."""
        return {host: self.cluster.run(
            host, "sh", "-c", f"test ! -e {name} || (stat -c %a {name}; cat {name})").stdout
            for host in self.cluster.answering()}

    def the_key(self) -> str:
        """The one that all hosts have in their files, and use."""
        stored = set(self.files().values())
        self.assertEqual(len(stored), 1, self.files())
        used = {self.cluster.ctl(host, "key", "status")["present"]
                for host in self.cluster.answering()}
        self.assertEqual(len(used), 1, used)
        mode, _, key = stored.pop().partition("\n")
        self.assertEqual(mode, "600")
        return key.strip()

    def stages(self) -> set[str]:
        return {self.cluster.ctl(host, "key", "status")["stage"]
                for host in self.cluster.answering()}

    def await_one_key(self) -> str:
        eventually("no host changes its key any more",
                   lambda: self.stages() <= {"none", "held"},
                   explain=lambda: [self.cluster.ctl(host, "key", "status")
                                    for host in self.cluster.answering()])
        return self.the_key()

    def rotate(self, host: str, *words: str, code: int = 0) -> str:
        done = self.cluster.run(host, "wardomctl", "key", "rotate", *words)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def hang_daemon(self, host: str) -> None:
        self.cluster.ask_manager(host, "hang", "wardomd")

    def test_changed_while_all_is_well(self) -> None:
        before = self.the_key()
        answers: list[str] = []
        tool = threading.Thread(target=lambda: answers.append(self.rotate("n2", "--json")))
        tool.start()
        flaps: list[str] = []
        while tool.is_alive():
            for asked in self.cluster.host_names:
                status = self.cluster.status(asked)
                flaps += [f"{asked}: {h['name']} {h['state']}"
                          for h in (status["hosts"] if status else []) if h["state"] != "alive"]
        tool.join()
        self.assertEqual(flaps, [])
        after = self.await_one_key()
        self.assertNotEqual(after, before)
        self.assertEqual(set(self.files(KEY + ".next").values()), {""})
        self.assertEqual(json.loads(answers[0].splitlines()[0])["present"],
                         self.cluster.ctl("n1", "key", "status")["present"])
        self.assertTrue(self.cluster.all_alive(), self.cluster.picture())
        self.assert_all_untouched()
        self.cluster.lab("cut", "n1")
        self.await_recovery("n1")

    def test_waits_for_a_daemon_that_hangs_and_outlives_a_cut(self) -> None:
        """Also without the tool that asked for it; a host that is cut meanwhile is not left out."""
        before = self.the_key()
        self.hang_daemon("n3")
        said = self.rotate("n2", "--wait", "2", code=1)
        self.assertIn("n3", said)
        self.assertIn("goes on by itself", said)
        self.await_problem("n1", "key", "n3")
        self.assertEqual(set(self.files().values()), {f"600\n{before}\n"})
        self.cluster.lab("cut", "n1")
        self.await_recovery("n1")
        self.cluster.ask_manager("n3", "resume", "wardomd")
        after = self.await_one_key()
        self.assertNotEqual(after, before)
        self.reset()
        self.assertEqual(self.await_one_key(), after)

    def test_given_up_and_prepared_by_hand(self) -> None:
        before = self.the_key()
        self.hang_daemon("n3")
        self.rotate("n1", "--wait", "0")
        eventually("n2 holds the next key", lambda: self.files(KEY + ".next")["n2"])
        self.assertIn("given up", self.rotate("n2", "--give-up"))
        self.cluster.ask_manager("n3", "resume", "wardomd")
        self.assertEqual(self.await_one_key(), before)
        self.assertIn("no change", self.rotate("n1", "--give-up", code=1))
        for name, mode in ((KEY, "600"), (KEY + ".next", "600")):
            self.assertEqual(self.files(name)["n1"].split()[0], mode)

        # The key that was given up is still stored on two hosts; one put there by hand replaces it.
        own = "c3" * 32
        for host in ("n1", "n2"):
            self.cluster.must(host, "sh", "-c", f"umask 077; cat > {KEY}.next", stdin=own + "\n")
        self.assertIn("n3", self.rotate("n1", "--prepared", "--wait", "2", code=1))
        self.await_problem("n3", "key")
        self.assertEqual(self.the_key_of("n3"), before)
        self.cluster.must("n3", "sh", "-c", f"umask 077; cat > {KEY}.next", stdin=own + "\n")
        self.assertEqual(self.await_one_key(), own)
        self.assertTrue(self.cluster.all_alive(), self.cluster.picture())
        self.assert_all_untouched()

    def the_key_of(self, host: str) -> str:
        return self.files()[host].partition("\n")[2].strip()


if __name__ == "__main__":
    unittest.main(verbosity=2)
