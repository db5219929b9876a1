#!/usr/bin/python3
"""A live domain gets another wardom.toml, host by host, with guests running: a host is added, one is
removed, an address or a name is changed. In the middle of it hosts die, and files are taken back.

Run as root: /usr/bin/python3 test/lab/test_scenarios_lifecycle.py
"""

from __future__ import annotations

import json
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
        self.await_told("n2", "n2", "heartbeats come from 10.77.0.4 (mgmt)")
        self.await_state("n4", "alive", "n1")
        refused = self.cluster.run("n4", "wardomctl", "guest", "protect", "g1")
        self.assertNotEqual(refused.returncode, 0)
        self.assert_all_untouched()

        # n3 has the old file, decides, and dies: its guests go to those who may have them.
        self.cluster.make_decider("n3")
        guests = self.guests_of("n3")
        self.cluster.lab("cut", "n3")
        where = self.await_started_once(guests, ["n1", "n2"], 30.0)
        self.assertEqual(set(where.values()) - {"n1", "n2"}, set())
        (record.host_dir(record.host("n3")) / "disk" / TOML[1:]).write_text(toml)
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


class ChangeAddress(Lifecycle):
    MOVED = {"mgmt": "10.77.0.53", "storage": "10.78.0.53"}

    def second_address(self, verb: str, link: str) -> None:
        """Beside the old one, over which n3's connections to the storage go on."""
        self.cluster.must("n3", "ip", "address", verb, f"{self.MOVED[link]}/24", "dev", link)

    def rejoin_corosync(self, text: str) -> None:
        """corosync changes no address of a node: n3's is taken out, and put in anew."""
        at = text.index("    node {\n        name: n3\n")
        without = text[:at] + text[text.index("    }\n", at) + len("    }\n"):]
        self.cluster.ask_manager("n3", "stop", "corosync")
        for conf in (without, text):
            self.reload_corosync(conf, "n1", "n2")
        self.write("n3", COROSYNC, text)
        self.cluster.ask_manager("n3", "start", "corosync")

    def one_link(self, link: str, toml: str, corosync: str) -> tuple[str, str]:
        old, new = self.cluster.record.host("n3").address(link), self.MOVED[link]
        toml, corosync = toml.replace(f'"{old}"', f'"{new}"'), corosync.replace(f" {old}\n",
                                                                               f" {new}\n")
        self.second_address("add", link)
        self.roll_out("n3", toml)
        for asked in ("n1", "n2"):
            self.await_told(asked, "n3", OTHER_FILE)
            self.await_state("n3", f"{link}-lost", asked)
        self.assert_nobody_dead()
        for asked in ("n1", "n2"):
            self.roll_out(asked, toml)
        self.rejoin_corosync(corosync)
        self.await_silence()
        self.assert_all_untouched()
        return toml, corosync

    def test_both_links_one_after_the_other_and_back(self) -> None:
        toml, corosync = self.one_link("mgmt", self.toml, self.corosync)
        toml, corosync = self.one_link("storage", toml, corosync)
        self.cluster.lab("cut", "n1")
        self.await_recovery("n1")
        # Back to what the lab plugs in at a boot.
        eventually("n1 answers", self.cluster.managers_answer)
        for host in self.cluster.host_names:
            self.roll_out(host, self.toml)
        self.rejoin_corosync(self.corosync)
        for link in self.MOVED:
            self.second_address("del", link)
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        self.await_silence()

    def test_both_links_at_once(self) -> None:
        """Nobody hears n3, and it hears nobody, until all have the file; no guest is touched."""
        toml = self.toml
        for link, new in self.MOVED.items():
            old = self.cluster.record.host("n3").address(link)
            toml = toml.replace(f'"{old}"', f'"{new}"')
            self.second_address("add", link)
        self.roll_out("n3", toml)
        self.await_state("n3", "isolated", "n1", "n2")
        for link, new in self.MOVED.items():
            self.await_told("n1", "n1", f"heartbeats come from {new} ({link})")
        self.quiet_watch(5.0, also=self.assert_nobody_dead)
        for host in ("n1", "n2"):
            self.roll_out(host, toml)
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        self.assert_all_untouched()
        for host in self.cluster.host_names:
            self.roll_out(host, self.toml)
        for link in self.MOVED:
            self.second_address("del", link)


class RemoveHost(Lifecycle):
    up_words = ("--hosts", "4", "--guests", "4")

    def without(self, name: str) -> tuple[str, str]:
        record = self.cluster.record
        host = record.host(name)
        return (self.toml.replace(configs.host_table(record, host), ""),
                self.corosync.replace(configs.corosync_node(host), ""))

    def directory(self) -> set[int]:
        """The hosts that may own the lock, by their ids."""
        lines = [json.loads(line) for line in self.cluster.must(
            "n1", "wardomctl", "volume", "dump", layout.VOLUME_PATH, "--region", "ballot",
            "--json").splitlines()]
        said = [line["record"] for line in lines if line["state"] == "valid"]
        newest = max(said, key=lambda ballot: ballot["lock_version"])
        return {one["host"] for one in newest["owner"]["directory"]}

    def test_removed_in_order_and_without_and_named_again(self) -> None:
        toml, corosync = self.without("n4")
        # Too early: n4 runs a guest, and decides.
        self.cluster.make_decider("n4")
        for host in ("n1", "n2", "n3"):
            self.roll_out(host, toml)
        self.await_told("n1", "host 4", "names it no more", "g4", "name it in wardom.toml")
        self.await_told("n1", "n1", "heartbeats come from 10.78.0.4 (storage)")
        self.quiet_watch(5.0, also=self.assert_nobody_dead)
        # Taken back.
        for host in ("n1", "n2", "n3"):
            self.roll_out(host, self.toml)
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        self.await_silence()
        self.assert_all_untouched()

        # In order: its guest goes elsewhere, then it stops, then the files.
        self.cluster.must("n4", "wardomctl", "guest", "unprotect", "g4")
        self.cluster.must("n4", "virsh", "migrate", "--live", "--persistent", "--undefinesource",
                          "g4", "qemu+tcp://n1/system")
        self.cluster.must("n1", "wardomctl", "guest", "protect", "g4")
        for service in ("wardomd", "keeper"):
            self.cluster.ask_manager("n4", "stop", service)
        self.await_state("n4", "left", "n1", "n2", "n3")
        self.reload_corosync(corosync, "n1", "n2", "n3")
        for host in ("n1", "n2", "n3"):
            self.roll_out(host, toml)
        self.cluster.lab("power", "n4", "off")
        record = self.cluster.record
        record.dismiss("n4")
        for host in ("n1", "n2", "n3"):
            eventually(f"{host} sees no problem", lambda: self.cluster.problems(host) == [],
                       explain=lambda: self.cluster.problems(host))
        self.assertEqual(self.directory(), {1, 2, 3})
        self.begin_anew()
        self.cluster.lab("cut", "n2")
        self.await_recovery("n2")


class ChangeName(Lifecycle):
    def names(self, asked: str) -> list[str]:
        status = self.cluster.status(asked)
        return [view["name"] for view in status["hosts"]] if status else []

    def test_with_daemons_killed_in_between(self) -> None:
        toml = self.toml.replace('name = "n3"', 'name = "web3"')
        # The file has come, the name has not: a crash of both daemons costs nothing.
        self.give("n3", toml)
        for service in ("keeper", "wardomd"):
            self.cluster.kill_service("n3", service)
        eventually("n3 knows its new name", lambda: self.names("n3") == ["n1", "n2", "web3"])
        self.await_told("n1", "n3", "not the same file", "restart wardomd")
        for host in ("n1", "n2"):
            self.roll_out(host, toml)
        self.cluster.must("n3", "hostname", "web3")
        self.restart("n3", "keeper", "wardomd")
        for host in self.cluster.host_names:
            eventually(f"{host} knows the new name",
                       lambda: self.names(host) == ["n1", "n2", "web3"])
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        self.await_silence()
        self.assert_all_untouched()
        self.assertEqual(self.cluster.guest_view("n1", "g3")["owner"], "web3")

        self.cluster.must("n3", "hostname", "n3")
        for host in self.cluster.host_names:
            self.roll_out(host, self.toml)
        self.await_silence()
        self.assert_all_untouched()


if __name__ == "__main__":
    unittest.main(verbosity=2)
