#!/usr/bin/python3
"""Hosts that are silent but not proved dead: proof is made where it can be, else nothing starts.

Run as root: /usr/bin/python3 test/lab/test_scenarios_silence.py
"""

from __future__ import annotations

import os
import signal
import unittest

from scenario_support import ScenarioCase, bmc, eventually, lab_hosts, views

WATCH_S = 10.0
# Where a false word would be believed, a guest would run elsewhere within two seconds.
LIE_WATCH_S = 3.0
# As above, where a host is powered off first.
SILENT_WATCH_S = 5.0


def waiting_bytes(responder: int, address: str) -> int:
    """Requests that the BMC's socket holds and its stopped process has not read."""
    local = bytes(int(part) for part in reversed(address.split("."))).hex().upper() + ":026F"
    with open(f"/proc/{responder}/net/udp", encoding="ascii") as table:
        rows = [line.split() for line in table]
    return sum(int(row[4].split(":")[1], 16) for row in rows if row[1] == local)


class SilenceCase(ScenarioCase):
    def assert_powered_off_and_recovered(self, victim: str) -> None:
        where = self.await_recovery(victim)
        self.assertFalse(self.cluster.is_powered(victim), "its guests start only when it is off")
        asked = self.cluster.others(victim)[0]
        line = self.assert_timeline(asked, victim, where)
        self.assertIn("power-off", [step["what"] for step in line["steps"]])
        off = next(e["t_ms"] for e in self.cluster.events(self.began_ms, "host dead")
                   if e["host"] == victim)
        for event in self.cluster.starts(self.began_ms):
            self.assertGreater(event["t_ms"], off)

    def assert_suspect_for_long(self, victim: str) -> None:
        """Nothing starts, the state stays, the problem is named."""
        asked = self.cluster.others(victim)
        self.await_state(victim, "suspect", *asked)
        self.await_problem(asked[0], victim, "not proved dead")

        def still_suspect() -> None:
            for host in asked:
                self.assertEqual(self.cluster.state(host, victim), "suspect")

        self.quiet_watch(WATCH_S, also=still_suspect)
        self.assert_untouched(set(self.before) - set(self.guests_of(victim)))


class Silence(SilenceCase):
    def test_hang(self) -> None:
        self.cluster.lab("hang", "n3")
        self.assert_powered_off_and_recovered("n3")

    def test_hang_of_the_decider(self) -> None:
        decider = self.await_decider()
        self.cluster.lab("hang", decider)
        self.assert_powered_off_and_recovered(decider)

    def test_both_cables_out(self) -> None:
        """Without the storage link there is no disk heartbeat either: as silent as a hang."""
        self.cluster.lab("link", "n3", "storage", "down")
        self.cluster.lab("link", "n3", "mgmt", "down")
        self.assert_powered_off_and_recovered("n3")

    def one_way(self, blocked: str) -> None:
        for link in ("storage", "mgmt"):
            self.cluster.lab("link", "n3", link, "down", "--one-way", blocked)

    def test_both_links_send_nothing(self) -> None:
        self.one_way("out")
        self.assert_powered_off_and_recovered("n3")

    def test_both_links_receive_nothing(self) -> None:
        """All hear it, and yet it can neither read nor write: it ends its guests when three
        quarters of T_F have passed, and falls silent only when its watchdog has reset it."""
        self.one_way("in")
        self.await_state("n3", "storage-cut", "n1", "n2")
        self.assert_powered_off_and_recovered("n3")
        self.assertIn("n3", [e["host"] for e in self.cluster.events(
            self.began_ms, "watchdog resets")])

    def test_power_reading_under_way_at_the_cut(self) -> None:
        """A BMC that is slow to answer: asked while its host lived, it answers off after the cut.
        That reading proves nothing, but the later ones do."""
        record = self.cluster.record
        victim = record.host("n3")
        eventually("its BMC is being read on by both", lambda: all(
            self.cluster.host_view(host, "n3").get("power") == "on" for host in ("n1", "n2")),
                   explain=self.cluster.picture)
        responder = bmc.recorded_pid(record, victim)
        os.kill(responder, signal.SIGSTOP)
        try:
            sizes = {waiting_bytes(responder, victim.bmc)}

            def both_have_asked() -> bool:  # the decider and the next in line
                sizes.add(waiting_bytes(responder, victim.bmc))
                return len(sizes) > 2

            eventually("the BMC has been asked twice", both_have_asked, 1.5)
            lab_hosts.cut(record, victim)
        finally:
            os.kill(responder, signal.SIGCONT)
        self.await_recovery("n3", 15.0)

    def test_a_silent_bmc_is_named(self) -> None:
        """What keeps the proof away must be on record: the BMC gives no power state."""
        self.cluster.lab("bmc", "n3", "down")
        self.cluster.lab("hang", "n3")
        self.await_state("n3", "suspect", "n1", "n2")
        eventually("`why` tells of the BMC's silence", lambda: any(
            "BMC reads unknown" in fact["what"]
            for fact in self.cluster.ctl("n1", "why", "n3")["chain"]), 15.0,
                   explain=lambda: self.cluster.ctl("n1", "why", "n3"))


class WithoutWatchdog(SilenceCase):
    """Hosts that no watchdog ends: their silence proves nothing, however long it lasts."""

    up_words = ("--hosts", "3", "--guests", "4", "--no-watchdog")

    def test_hang_without_bmc(self) -> None:
        self.cluster.lab("bmc", "n3", "down")
        self.cluster.lab("hang", "n3")
        self.assert_suspect_for_long("n3")
        self.cluster.lab("resume", "n3")
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        self.assert_all_untouched()

    def test_resumed_after_a_wrong_word_of_an_operator(self) -> None:
        """Someone said that it was off, and it was not. Its guests run elsewhere when it goes on:
        it finds the verdict and ends its own. (They stay frozen until then. Nothing else could keep
        them from writing, so the manual tells the operator to go and look.)"""
        guests = self.guests_of("n3")
        boot = self.cluster.host_view("n1", "n3")["incarnation"]
        self.cluster.lab("bmc", "n3", "down")
        self.cluster.lab("hang", "n3")
        self.await_state("n3", "suspect", "n1", "n2")
        eventually("n2 takes the word", lambda: self.cluster.run(
            "n2", "wardomctl", "host", "confirm-dead", "n3", "--yes-i-saw-it-off", boot
        ).returncode == 0, explain=self.cluster.picture)
        for guest in guests:
            eventually(f"{guest} counts elsewhere", lambda: self.cluster.truth()[guest]["counting"],
                       explain=self.cluster.picture)
        self.await_proof("n3", "operator")
        record = self.cluster.record
        frozen = {pid for guest in guests for host, pid, _ in views.qemu_processes(record)[guest]
                  if host == "n3"}
        self.assertEqual(len(frozen), len(guests))
        lab_hosts.resume(record, record.host("n3"), but=frozen)
        self.await_problem("n3", "this host's incarnation was declared dead", "reboot it")
        # libvirt waits ten seconds for a QEMU to end by itself, and then kills it.
        eventually("n3 has ended its guests", lambda: not any(
            "n3" in self.cluster.truth()[guest]["running_on"] for guest in guests),
                   explain=self.cluster.picture)
        for guest in guests:
            self.starts_of(guest, 1)
        self.await_state("n3", "dead", "n1", "n2")
        self.cluster.lab("cut", "n3")

    def test_pulled_power_cord(self) -> None:
        """The BMC dies with the host. As soon as it answers again there is proof."""
        self.cluster.lab("pull", "n1")
        self.assert_suspect_for_long("n1")
        self.cluster.lab("bmc", "n1", "up")
        where = self.await_recovery("n1")
        self.assert_timeline("n2", "n1", where)

    def test_two_hosts_silent_at_once(self) -> None:
        """The one that is left has no majority: nobody decides, nothing starts, nothing is shot."""
        self.cluster.lab("hang", "n2")
        self.cluster.lab("hang", "n3")
        self.await_state("n2", "suspect", "n1")
        self.await_state("n3", "suspect", "n1")
        self.quiet_watch(5.0)
        self.assertIsNone(self.cluster.status("n1")["decider"])
        for host in ("n2", "n3"):
            self.assertTrue(self.cluster.is_powered(host))
            self.cluster.lab("resume", host)
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        self.assert_all_untouched()


class LyingBmc(ScenarioCase):
    """The BMC reads off although its host runs. No watchdog ends the host meanwhile."""

    up_words = ("--hosts", "3", "--guests", "4", "--no-watchdog")

    def setUp(self) -> None:
        """The liar is the last host that does not decide: who reads BMCs reads not its own."""
        super().setUp()
        self.decider = self.await_decider()
        self.victim = self.cluster.others(self.decider)[-1]
        self.others = self.cluster.others(self.victim)

    def reset(self) -> None:
        """A BMC is distrusted until its host boots anew; the next lie is to be a fresh one."""
        self.cluster.heal()
        if self.distrusting():
            self.cluster.lab("cut", self.victim)
        super().reset()
        eventually("nobody distrusts a BMC", lambda: (
            self.cluster.all_alive() and self.cluster.decider() and not self.distrusting()),
                   explain=self.cluster.picture)

    def distrusting(self) -> list[str]:
        return [host for host in self.cluster.host_names
                if any("distrusted" in problem for problem in self.cluster.problems(host))]

    def await_reading(self, power: str) -> None:
        """Until the decider's newest reading of the BMC is this one."""
        eventually(f"{self.decider} reads {power}", lambda: self.cluster.host_view(
            self.decider, self.victim).get("power") == power, explain=self.cluster.picture)

    def lie(self) -> None:
        """Begun long ago: it is known for a liar."""
        self.await_reading("on")
        self.cluster.lab("bmc", self.victim, "lie")
        self.await_reading("off")
        eventually(f"{self.decider} distrusts the BMC of {self.victim}",
                   lambda: self.decider in self.distrusting(), 10.0, self.cluster.picture)

    def assert_harmless(self, state: str, seconds: float, *waiting: str) -> None:
        """However its host looks to the others: it is not dead, and its guests stay where they
        are. Some may wait for their disks meanwhile."""
        self.await_state(self.victim, state, *self.others)
        self.quiet_watch(seconds, also=self.assert_nobody_dead)
        self.assert_untouched(set(self.before) - set(waiting))
        self.cluster.lab("heal")
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        self.assert_all_untouched()

    def await_all_distrust(self) -> None:
        eventually(f"all distrust the BMC of {self.victim}",
                   lambda: self.distrusting() == list(self.cluster.host_names),
                   explain=self.cluster.picture)

    def test_it_is_distrusted(self) -> None:
        self.lie()
        self.assert_harmless("alive", LIE_WATCH_S)

    def test_it_is_distrusted_by_who_did_not_see_it(self) -> None:
        """By its own host too, which reads it never, and by daemons that were not there."""
        self.lie()
        self.await_all_distrust()
        self.cluster.lab("bmc", self.victim, "up")
        for host in self.cluster.host_names:
            self.cluster.kill_service(host, "wardomd")
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        self.await_all_distrust()
        self.assert_harmless("alive", LIE_WATCH_S)

    def trust(self, asked: str, host: str, code: int = 0) -> str:
        done = self.cluster.run(asked, "wardomctl", "host", "trust-bmc", host)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_it_is_called_mended(self) -> None:
        """By an operator, on a host that does not decide; a lie after that counts again, and a true
        reading proves again."""
        asked = next(host for host in self.others if host != self.decider)
        self.assertIn("not distrusted", self.trust(asked, self.victim, code=3))
        self.lie()
        self.await_all_distrust()
        self.assertIn("not distrusted", self.trust(asked, asked, code=3))
        # It still lies.
        self.assertIn("trusted again", self.trust(asked, self.victim))
        self.await_all_distrust()
        self.cluster.lab("bmc", self.victim, "up")
        self.await_reading("on")
        self.trust(asked, self.victim)
        self.await_none_distrusts()
        for host in self.cluster.host_names:
            self.cluster.kill_service(host, "wardomd")
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        self.await_none_distrusts()
        self.assert_all_untouched()
        self.decider = self.await_decider()
        if self.decider != self.victim:
            self.await_reading("on")
        self.cluster.lab("cut", self.victim)
        self.await_recovery(self.victim)
        self.await_proof(self.victim, "power-off")

    def await_none_distrusts(self) -> None:
        eventually(f"nobody distrusts the BMC of {self.victim}", lambda: not self.distrusting(),
                   explain=self.cluster.picture)

    def test_its_host_isolated(self) -> None:
        self.lie()
        self.cluster.lab("split", f"{self.victim}|{','.join(self.others)}")
        self.assert_harmless("isolated", LIE_WATCH_S)

    def begun_just_before(self, *fault: str) -> None:
        """It was read on a moment ago, so nothing speaks against it but what is heard of its host
        itself."""
        self.await_reading("on")
        self.cluster.lab("bmc", self.victim, "lie")
        self.await_reading("off")
        self.cluster.lab(*fault)

    def test_begun_one_poll_before_its_host_is_isolated(self) -> None:
        self.begun_just_before("split", f"{self.victim}|{','.join(self.others)}")
        self.assert_harmless("isolated", LIE_WATCH_S)

    def test_begun_with_the_isolation_of_its_host(self) -> None:
        self.await_reading("on")
        self.cluster.lab("split", f"{self.victim}|{','.join(self.others)}")
        self.cluster.lab("bmc", self.victim, "lie")
        self.assert_harmless("isolated", LIE_WATCH_S)

    def test_begun_one_poll_before_its_host_loses_the_management_link(self) -> None:
        self.begun_just_before("link", self.victim, "mgmt", "down")
        self.assert_harmless("mgmt-lost", LIE_WATCH_S)

    def test_begun_one_poll_before_its_host_loses_the_storage_link(self) -> None:
        self.begun_just_before("link", self.victim, "storage", "down")
        self.assert_harmless("storage-lost", LIE_WATCH_S, *self.guests_of(self.victim))

    def test_its_host_silent_everywhere(self) -> None:
        """Links and disk heartbeat gone, BMC off, and yet the host runs its guests."""
        self.lie()
        self.cluster.lab("link", self.victim, "storage", "down")
        self.cluster.lab("link", self.victim, "mgmt", "down")
        self.await_state(self.victim, "suspect", *self.others)
        self.quiet_watch(SILENT_WATCH_S, also=self.assert_nobody_dead)
        self.await_problem(self.decider, self.victim, "not proved dead")
        self.cluster.lab("heal")
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        self.assert_all_untouched()

    def test_a_power_off_that_it_only_acknowledges(self) -> None:
        """A hung host whose BMC takes the power-off and does nothing, then reads off."""
        self.lie()
        self.cluster.lab("hang", self.victim)
        self.await_state(self.victim, "suspect", *self.others)
        self.quiet_watch(SILENT_WATCH_S, also=self.assert_nobody_dead)
        self.assertTrue(self.cluster.is_powered(self.victim))
        self.cluster.lab("resume", self.victim)
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        self.assert_all_untouched()


if __name__ == "__main__":
    unittest.main(verbosity=2)
