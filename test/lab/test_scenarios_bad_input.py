#!/usr/bin/python3
"""Wrong keys, wrong files, foreign and damaged blocks: named, counted, and nothing done about it.

Run as root: /usr/bin/python3 test/lab/test_scenarios_bad_input.py
"""

from __future__ import annotations

import json
import os
import unittest
from pathlib import Path

from scenario_support import ScenarioCase, eventually, layout

VOLUME_PATH = layout.VOLUME_PATH
BLOCK = 4096
GARBAGE = b"not a block at all. " * 205  # a little more than a block
BEAT_PORT = 5415
# Runs a daemon that must refuse to start; its socket is not the one of the running daemon.
WARDOMD = ("timeout", "10", "wardomd", "--socket", "/run/wardom/test.sock", "--config")


class Refusals(ScenarioCase):
    def edit_config(self, host: str, *changes: tuple[str, str]) -> str:
        """A changed copy of the host's configuration; its path."""
        changed = self.cluster.must(host, "cat", "/etc/wardom/wardom.toml")
        for before, after in changes:
            self.assertIn(before, changed)
            changed = changed.replace(before, after, 1)
        self.cluster.must(host, "sh", "-c", "cat > /tmp/wardom.toml", stdin=changed)
        return "/tmp/wardom.toml"

    def assert_refuses(self, host: str, argv: tuple[str, ...], *words: str) -> None:
        done = self.cluster.run(host, *argv)
        self.assertIn(done.returncode, (1, 2, 3), done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)


class BadInput(Refusals):
    def refused_beats(self, host: str) -> dict[str, int]:
        status = self.cluster.status(host)
        assert status is not None
        return status["refused"]["beats"]

    # --- key ---------------------------------------------------------------------------------

    def test_a_wrong_key_on_one_host(self) -> None:
        """Its beats count for nothing; its slot lives, so it is isolated, and not dead."""
        key = "/etc/wardom/key"
        good = self.cluster.must("n3", "cat", key)
        self.cluster.must("n3", "sh", "-c", f"cat > {key}", stdin="5a" * 32 + "\n")
        before = self.refused_beats("n1")["bad hash"]
        self.cluster.ask_manager("n3", "stop", "wardomd")
        self.cluster.ask_manager("n3", "start", "wardomd")
        try:
            self.await_state("n3", "isolated", "n1", "n2")
            eventually("its beats are counted", lambda:
                       self.refused_beats("n1")["bad hash"] > before + 5)
            self.quiet_watch(5.0, also=self.assert_nobody_dead)
            self.assert_all_untouched()
        finally:
            self.cluster.must("n3", "sh", "-c", f"cat > {key}", stdin=good)
            self.cluster.ask_manager("n3", "stop", "wardomd")
            self.cluster.ask_manager("n3", "start", "wardomd")

    def test_a_key_file_that_others_may_read(self) -> None:
        self.addCleanup(self.cluster.run, "n3", "chmod", "0600", "/etc/wardom/key")
        self.cluster.must("n3", "chmod", "0644", "/etc/wardom/key")
        self.assert_refuses("n3", (*WARDOMD, "/etc/wardom/wardom.toml"), "/etc/wardom/key",
                            "0644", "chmod 0600")
        self.cluster.must("n3", "chmod", "0600", "/etc/wardom/key")

    def test_garbage_on_the_beat_port(self) -> None:
        before = self.refused_beats("n3")
        self.cluster.must("n2", "/usr/bin/python3", "-c", f"""
import os, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for size in (0, 1, 50, 96, 100, 128, 150, 200, 256, 512, 1400):
    for address in ("10.77.0.3", "10.78.0.3"):
        s.sendto(os.urandom(size), (address, {BEAT_PORT}))
""")
        eventually("garbage is counted", lambda: sum(self.refused_beats("n3").values())
                   >= sum(before.values()) + 10, explain=lambda: self.refused_beats("n3"))
        self.assertTrue(self.cluster.all_alive(), self.cluster.picture())
        self.assert_all_untouched()

    # --- configuration -----------------------------------------------------------------------

    def test_configuration_errors_have_a_place_and_a_name(self) -> None:
        path = self.edit_config("n3", ('profile = "fast"',
                                       'profile = "hasty"\nbeat_intervall = 1'))
        for argv in (("wardomctl", "config", "check", path), (*WARDOMD, path),
                     ("timeout", "10", "wardom-keeper", "--config", path)):
            self.assert_refuses("n3", argv, f"{path}:8:", f"{path}:9:", "profile",
                                "beat_intervall")

    def test_a_host_that_the_configuration_does_not_name(self) -> None:
        """Neither by its name nor by its addresses, which it goes by as well."""
        path = self.edit_config("n3", ('name = "n3"', 'name = "other"'),
                                ('"10.77.0.3"', '"10.77.0.93"'), ('"10.78.0.3"', '"10.78.0.93"'))
        self.assert_refuses("n3", (*WARDOMD, path), 'names no host "n3"')

    # --- volume ------------------------------------------------------------------------------

    def test_format_of_a_used_volume_is_refused(self) -> None:
        format_it = ("wardomctl", "volume", "format", VOLUME_PATH, "--hosts", "8", "--domains", "2")
        done = self.cluster.run("n2", *format_it)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("--force", done.stderr)
        self.assertIn("n1", done.stderr)
        done = self.cluster.run("n2", *format_it, "--force")
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("a slot moves", done.stderr)
        self.assertTrue(self.cluster.all_alive())
        self.assert_all_untouched()

    def cell_offsets(self, region: str, host: int) -> tuple[int, int]:
        """Where the two extents of a host's cell lie (libha/doc/volume-format.md)."""
        shown = self.cluster.ctl("n1", "volume", "show")
        hosts, domains = shown["hosts"], shown["domains"]
        at = 1024 * 1024
        for name, count, size in (("slot", hosts, BLOCK), ("directory", domains, BLOCK),
                                  ("ballot", hosts * domains, BLOCK),
                                  ("decision", hosts, shown["decision_bytes"]),
                                  ("table", hosts, shown["table_bytes"])):
            if name == region:
                first = at + (host - 1) * 2 * size
                return first, first + size
            at += count * 2 * size
        raise AssertionError(region)

    def backing_file(self) -> Path:
        return self.cluster.record.disks / "volume" / "volume"

    def read_at(self, offset: int) -> bytes:
        with self.backing_file().open("rb") as volume:
            volume.seek(offset)
            return volume.read(len(GARBAGE))

    def write_at(self, offset: int, data: bytes) -> None:
        descriptor = os.open(self.backing_file(), os.O_WRONLY)
        try:
            os.pwrite(descriptor, data, offset)
        finally:
            os.close(descriptor)

    def damages(self) -> set[tuple[str, int, int]]:
        done = self.cluster.run("n1", "wardomctl", "volume", "check", "--json")
        report = json.loads(done.stdout)
        self.assertEqual(done.returncode, 1 if report["damages"] else 0)
        return {(d["region"], d["index"], d["offset"]) for d in report["damages"]}

    def test_a_damaged_table_stops_every_assignment(self) -> None:
        """It may hold the only record of a claim, so nothing is started until it is whole again.
        It is not written over either: its owner is dead and nobody else may."""
        offsets = self.cell_offsets("table", 3)
        whole = [self.read_at(offset) for offset in offsets]
        self.assertEqual(self.damages(), set())
        for offset in offsets:
            self.write_at(offset, GARBAGE)
        self.assertEqual(self.damages(), {("table", 3, offset) for offset in offsets})
        named = self.cluster.run("n1", "wardomctl", "volume", "check").stdout
        self.assertIn("table 3", named)
        self.cluster.lab("cut", "n3")
        self.await_problem("n1", "cannot be relied upon", "table 3")
        self.quiet_watch(5.0)
        for offset in offsets:
            self.assertEqual(self.read_at(offset), GARBAGE)
        for offset, data in zip(offsets, whole):
            self.write_at(offset, data)
        self.await_recovery("n3")

    def test_a_damaged_slot_is_not_a_death(self) -> None:
        """Of a living host it is whole again with the next heartbeat."""
        offsets = self.cell_offsets("slot", 3)
        for offset in offsets:
            self.write_at(offset, GARBAGE[:BLOCK])
        self.quiet_watch(2.0, also=self.assert_nobody_dead)
        self.assert_all_untouched()
        eventually("the slot is whole again", lambda: self.damages() == set(),
                   explain=self.damages)
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)

    def test_a_damaged_decision_block_is_named(self) -> None:
        """With nobody dead: `check` names it, guests run on, no host falls."""
        offsets = self.cell_offsets("decision", 1)
        whole = [self.read_at(offset) for offset in offsets]
        for offset in offsets:
            self.write_at(offset, GARBAGE)
        try:
            self.assertIn(("decision", 1, offsets[0]), self.damages())
            self.await_problem("n2", "cannot be relied upon", "decision 1")
            self.quiet_watch(3.0, also=self.assert_nobody_dead)
            self.assert_all_untouched()
        finally:
            for offset, data in zip(offsets, whole):
                self.write_at(offset, data)


class OtherVolume(Refusals):
    """Without a watchdog, which would bite while a host's keeper is away for a while."""

    up_words = ("--hosts", "3", "--guests", "4", "--no-watchdog")

    def test_a_volume_with_another_uuid_is_refused(self) -> None:
        wrong = "11111111-2222-4333-8444-555555555555"
        path = self.edit_config("n3", ("[volume]\n", f'[volume]\nuuid = "{wrong}"\n'))
        self.cluster.ask_manager("n3", "stop", "keeper")
        self.assert_refuses("n3", ("timeout", "10", "wardom-keeper", "--config", path,
                                   "--run-dir", "/run/wardom"), wrong, VOLUME_PATH)
        self.cluster.ask_manager("n3", "start", "keeper")
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        self.assert_all_untouched()


if __name__ == "__main__":
    unittest.main(verbosity=2)
