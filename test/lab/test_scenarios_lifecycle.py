#!/usr/bin/python3
"""A live domain gets another wardom.toml, host by host, with guests running: a host is added, one is
removed, an address or a name is changed. In the middle of it hosts die, and files are taken back.

Run as root: /usr/bin/python3 test/lab/test_scenarios_lifecycle.py
"""

from __future__ import annotations

import unittest

from scenario_support import ScenarioCase, eventually, lab_hosts, layout, services
from labkit import configs

TOML = "/etc/wardom/wardom.toml"
COROSYNC = "/etc/corosync/corosync.conf"
OTHER_FILE = "names other hosts or addresses"
NOT_YET = "may not own the domain lock yet"


class Lifecycle(ScenarioCase):
    """What an administrator does: files, restarts, and a look at `status`."""

    def begin_anew(self) -> None:
        """What came before counts no more."""
        ScenarioCase.setUp(self)

    def setUp(self) -> None:
        super().setUp()
        self.toml = self.cluster.must("n1", "cat", TOML)
        self.corosync = self.cluster.must("n1", "cat", COROSYNC)

    def write(self, host: str, path: str, text: str) -> None:
        self.cluster.must(host, "sh", "-c", f"cat > {path}", stdin=text)

    def give(self, host: str, toml: str) -> None:
        """The file and nothing else: the daemon takes it at its next start."""
        self.write(host, TOML, toml)
        self.cluster.must(host, "wardomctl", "config", "check")

    def restart(self, host: str, *names: str) -> None:
        for service in names or ("wardomd",):
            self.cluster.ask_manager(host, "stop", service)
            self.cluster.ask_manager(host, "start", service)
        eventually(f"wardomd of {host} answers", lambda: self.cluster.status(host))

    def roll_out(self, host: str, toml: str) -> None:
        self.give(host, toml)
        self.restart(host)

    def reload_corosync(self, text: str, *hosts: str) -> None:
        for host in hosts:
            self.write(host, COROSYNC, text)
        self.cluster.must(hosts[0], "corosync-cfgtool", "-R")

    def await_silence(self, *hosts: str) -> None:
        """No host that is asked has anything to say."""
        for host in hosts or self.cluster.host_names:
            eventually(f"{host} sees no problem", lambda: self.cluster.problems(host) == [],
                       explain=lambda: self.cluster.problems(host))

    def tells(self, asked: str, about: str, *words: str) -> bool:
        return any(problem.startswith(f"{about}: ") and all(word in problem for word in words)
                   for problem in self.cluster.problems(asked))

    def await_told(self, asked: str, about: str, *words: str) -> None:
        eventually(f"{asked} says of {about}: {words}", lambda: self.tells(asked, about, *words),
                   explain=lambda: self.cluster.problems(asked))

    def host_table(self, name: str) -> str:
        record = self.cluster.record
        return configs.host_table(record, record.host(name))


class AddHost(Lifecycle):
    up_words = ("--hosts", "3", "--spares", "1", "--guests", "4")

    def boot_spare(self, toml: str, corosync: str) -> None:
        """n4 with all its files, its programs running."""
        record = self.cluster.record
        disk = record.host_dir(record.host("n4")) / "disk"
        (disk / TOML[1:]).write_text(toml)
        (disk / COROSYNC[1:]).write_text(corosync)
        lab_hosts.power_on(record, record.host("n4"))
        services.wait_ready(record, record.host("n4"), services.BASE, 40.0)
        for name in services.OF_STACK["wardom"]:
            self.cluster.ask_manager("n4", "enable", name)

    def test_added_while_a_host_dies(self) -> None:
        toml = self.toml + self.host_table("n4")
        record = self.cluster.record
        corosync = self.corosync.replace(
            "}\nquorum {", configs.corosync_node(record.host("n4")) + "}\nquorum {")
        self.roll_out("n1", toml)
        self.await_told("n1", "n2", OTHER_FILE, "restart wardomd")
        self.await_told("n1", "n3", OTHER_FILE)
        self.await_told("n1", "n4", NOT_YET, "not heard", "same wardom.toml and key")
        self.await_told("n2", "n1", OTHER_FILE)
        self.quiet_watch(2.0, also=self.assert_nobody_dead)
        self.boot_spare(toml, corosync)
        self.reload_corosync(corosync, "n1", "n2", "n3")
        self.await_told("n1", "n4", NOT_YET, "n2", "n3")
        self.await_state("n4", "alive", "n1")
        refused = self.cluster.run("n4", "wardomctl", "guest", "protect", "g1")
        self.assertNotEqual(refused.returncode, 0)
        self.assert_all_untouched()

        # n3 has the old file, and dies: its guests go to those who may have them.
        self.cluster.make_decider("n1")
        guests = self.guests_of("n3")
        self.cluster.lab("cut", "n3")
        where = self.await_started_once(guests, ["n1", "n2"], 30.0)
        self.assertEqual(set(where.values()) - {"n1", "n2"}, set())
        self.write_dead("n3", toml)
        self.cluster.managers_answer()
        self.roll_out("n2", toml)
        record = self.cluster.record
        record.adopt("n4")
        eventually("all hosts alive in all eyes", lambda: self.cluster.managers_answer()
                   and self.cluster.all_alive(), 60.0, explain=self.cluster.picture)
        self.await_silence()

        # n4 takes part: it gets a guest, and owns the lock when it has to.
        self.begin_anew()
        for host in ("n2", "n3"):
            self.cluster.ask_manager(host, "stop", "wardomd")
        victims = [g for g, entry in self.before.items() if entry["running_on"] == ["n1"]]
        self.cluster.lab("cut", "n1")
        where = self.await_started_once(victims, ["n4"], 60.0)
        self.assertEqual(set(where.values()), {"n4"})
        self.assertEqual(self.cluster.decider(), "n4")

    def write_dead(self, host: str, toml: str) -> None:
        record = self.cluster.record
        (record.host_dir(record.host(host)) / "disk" / TOML[1:]).write_text(toml)


if __name__ == "__main__":
    unittest.main(verbosity=2)
