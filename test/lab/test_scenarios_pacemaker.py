#!/usr/bin/python3
"""Pacemaker on Wardom's quorum device: its partition has quorum where the domain lock's owner is, down
to a single host, and nowhere else; it has it again after a start that one host misses.

Run as root: /usr/bin/python3 test/lab/test_scenarios_pacemaker.py
"""

from __future__ import annotations

import datetime
import re
import sys
import unittest

from scenario_support import ScenarioCase, each, errors, eventually, lab_hosts
from labkit import pacemaker

# A lease that has to expire, votes that corosync has to forget, and Pacemaker's own time.
LIMIT_S = 90.0
# A new ring has its vote after 1 s at the latest; the rest is what a loaded machine may add.
SYNC_S = 1.0
SLACK_S = 1.5
# As the lab's corosync.conf has it: so long a vote is kept, and waited for.
TIMEOUT_S = 8.0
SYNC_TIMEOUT_S = 4.0

FORMED = "A new membership ("
SYNCED = "Completed service synchronization"
NO_QUORUM = "within the non-primary component"
TIME = re.compile(r"^\w{3} +\d+ (\d\d:\d\d:\d\d\.\d+) ")


class OnTheDevice(ScenarioCase):
    """One class for each number of hosts."""

    held_s: list[float]

    @classmethod
    def setUpClass(cls) -> None:
        cls.held_s = []
        super().setUpClass()

    @classmethod
    def tearDownClass(cls) -> None:
        super().tearDownClass()
        if cls.held_s:
            held = sorted(cls.held_s)
            print(f"{cls.__name__}: {len(held)} syncs, half within {held[len(held) // 2]:.2f} s, "
                  f"the longest {held[-1]:.2f} s", file=sys.stderr, flush=True)

    def setUp(self) -> None:
        super().setUp()
        self.await_acts(*self.cluster.host_names)
        self.said_before = {host: self.log_size(host) for host in self.cluster.host_names}

    def reset(self) -> None:
        super().reset()
        self.await_acts(*self.cluster.host_names)

    # --- Pacemaker's word --------------------------------------------------------------------

    def view(self, host: str) -> pacemaker.View | None:
        record = self.cluster.record
        try:
            return pacemaker.view(record, record.host(host))
        except errors.LabError:  # it boots
            return None

    def acts(self, group: tuple[str, ...]) -> bool:
        for host in group:
            said = self.view(host)
            if said is None or not said.quorum or set(said.online) != set(group) \
                    or len(said.acts_on) != 1 or said.acts_on[0] not in group:
                return False
        return True

    def await_acts(self, *group: str) -> None:
        """On each of them Pacemaker has quorum with them alone, and runs its resource once."""
        eventually(f"Pacemaker acts on {group}", lambda: self.acts(group), LIMIT_S, self.explain)

    def await_stands_still(self, *group: str) -> None:
        """On each of them it has no quorum, and has stopped what ran there."""
        def stands_still() -> bool:
            said = [self.view(host) for host in group]
            return all(v is not None and not v.quorum and v.acts_on == () for v in said)
        eventually(f"Pacemaker stands still on {group}", stands_still, LIMIT_S, self.explain)

    def explain(self) -> str:
        lines = [self.cluster.picture()]
        for host in self.cluster.answering():
            device = (self.cluster.status(host) or {}).get("quorum_device")
            lines.append(f"{host}: {self.view(host)}; {device}")
        return "\n".join(lines)

    # --- corosync's word ---------------------------------------------------------------------

    def log_size(self, host: str) -> int:
        return self.cluster.log_path(host, "corosync").stat().st_size

    def said(self, host: str, since: int | None = None) -> list[str]:
        """What corosync has said there since then, or since the test began."""
        with self.cluster.log_path(host, "corosync").open(errors="replace") as log:
            log.seek(self.said_before[host] if since is None else since)
            return log.read().splitlines()

    def syncs(self, host: str, since: int | None = None) -> list[float]:
        """How long each sync took, of those that came to their end."""
        took, formed = [], None
        for line in self.said(host, since):
            stamp = TIME.match(line)
            if stamp is None:
                continue
            at = datetime.datetime.strptime(stamp.group(1), "%H:%M:%S.%f")
            if FORMED in line:
                formed = at
            elif SYNCED in line and formed is not None:
                took.append((at - formed).total_seconds() % 86400)
                formed = None
        return took

    def assert_syncs_short(self, *hosts: str) -> None:
        for host in hosts:
            took = self.syncs(host)
            self.assertTrue(took, f"{host} was in no new ring")
            self.held_s.extend(took)
            self.assertLess(max(took), SYNC_S + SLACK_S, f"{host}: {took}")

    # --- guests and power --------------------------------------------------------------------

    def await_guests(self, *group: str) -> None:
        """Each runs once, on one of these."""
        def run_there() -> bool:
            return all(entry["counting"] and len(entry["running_on"]) == 1
                       and entry["running_on"][0] in group
                       for entry in self.cluster.truth().values())
        eventually(f"all guests count on {group}", run_there, LIMIT_S, self.cluster.picture)

    def cut(self, *victims: str) -> None:
        record = self.cluster.record
        each(lambda name: lab_hosts.cut(record, record.host(name)), victims)

    def cold_start(self, *back: str) -> None:
        """All power is lost, and comes back for these."""
        self.cut(*[host for host in self.cluster.host_names if self.cluster.is_powered(host)])
        each(lambda host: self.cluster.lab("power", host, "on"), back)
        self.await_acts(*back)
        self.await_guests(*back)


class TwoHosts(OnTheDevice):
    up_words = ("--hosts", "2", "--guests", "2", "--pacemaker")

    def test_each_of_them_alone(self) -> None:
        """The lock's owner dies. Then the other one does too, and the first starts alone: nobody
        tells it what became of lock, guests and Pacemaker's resource while it was dead."""
        first = self.await_decider()
        last, = self.cluster.others(first)
        self.cut(first)
        self.await_acts(last)
        self.await_guests(last)
        self.assert_syncs_short(last)
        self.cold_start(first)

    def test_parted(self) -> None:
        """Neither group is the larger one: the lock stays where it is, and so does quorum."""
        owner = self.await_decider()
        other, = self.cluster.others(owner)
        self.cluster.lab("split", f"{owner}|{other}")
        self.await_stands_still(other)
        self.await_acts(owner)
        self.assert_syncs_short(owner, other)
        self.cluster.lab("heal")
        self.await_acts(owner, other)
        self.assertEqual([line for line in self.said(owner) if NO_QUORUM in line], [])
        self.assert_all_untouched()


class ThreeHosts(OnTheDevice):
    up_words = ("--hosts", "3", "--guests", "2", "--pacemaker")

    def test_the_group_without_the_lock_loses_it(self) -> None:
        """The lock's owner is cut off from the two others, to whom it leaves the lock."""
        owner = self.await_decider()
        others = self.cluster.others(owner)
        self.cluster.lab("split", f"{owner}|{','.join(others)}")
        self.await_stands_still(owner)
        self.await_acts(*others)
        self.assert_syncs_short(owner, *others)
        self.cluster.lab("heal")
        self.await_acts(*self.cluster.host_names)

    def test_daemons_that_start_anew(self) -> None:
        """One in the middle of a sync that its absence holds up. Then that of the sole survivor, by
        all ways: its quorum does not flap. Then that host boots anew, still alone; and then all but
        it."""
        owner = self.await_decider()
        other, third = self.cluster.others(owner)
        self.cluster.lab("service", other, "wardomd", "stop")
        self.cut(third)
        eventually(f"{other} is in a new ring", lambda: any(
            FORMED in line for line in self.said(other)), explain=self.explain)
        self.assertEqual(self.syncs(other), [], "the sync was not held")
        self.cluster.lab("service", other, "wardomd", "start")
        self.await_acts(owner, other)
        for host in (owner, other):
            # It ends with the daemon's first vote, not by its time.
            self.assertLess(max(self.syncs(host)), SYNC_TIMEOUT_S - 0.1)

        self.cut(owner)
        self.await_acts(other)
        self.await_guests(other)
        alone = self.log_size(other)
        for service, verb in (("wardomd", "kill"), ("keeper", "kill"), ("wardomd", "stop")):
            starts = self.cluster.services(other)[service]["starts"]
            self.cluster.lab("service", other, service, verb)
            if verb == "stop":
                self.cluster.lab("service", other, service, "start")
            eventually(f"{service} runs again", lambda: self.cluster.services(
                other)[service]["starts"] > starts)
            eventually(f"{other} casts", lambda: self.casts(other), LIMIT_S, self.explain)
        self.before = self.cluster.truth()
        self.quiet_watch(TIMEOUT_S)
        self.assertEqual([line for line in self.said(other, alone) if NO_QUORUM in line], [])
        self.assertTrue(self.acts((other,)), self.explain())
        self.cold_start(other)
        self.cold_start(owner, third)

    def casts(self, host: str) -> bool:
        device = (self.cluster.status(host) or {}).get("quorum_device")
        return bool(device and device["casts"])


class FiveHosts(OnTheDevice):
    # Five hosts that start at once leave little of a small machine: a longer window bears that.
    up_words = ("--hosts", "5", "--guests", "2", "--profile", "default", "--pacemaker")

    def test_down_to_one_host(self) -> None:
        """Three at once, the lock's owner among them; then one of the two that are left. Then all
        power is lost, and one host stays away."""
        owner = self.await_decider()
        one, two, *more = self.cluster.others(owner)
        self.cut(owner, *more)
        self.await_acts(one, two)
        self.assert_syncs_short(one, two)
        next_owner = eventually("one of them decides", self.cluster.decider, LIMIT_S, self.explain)
        last = two if next_owner == one else one
        self.cut(next_owner)
        self.await_acts(last)
        self.await_guests(last)
        self.assert_syncs_short(last)
        self.cold_start(last, owner, *more)

    def test_the_lock_goes_to_the_larger_group(self) -> None:
        owner = self.await_decider()
        one, *larger = self.cluster.others(owner)
        self.cluster.lab("split", f"{owner},{one}|{','.join(larger)}")
        self.await_stands_still(owner, one)
        self.await_acts(*larger)
        self.assert_syncs_short(*self.cluster.host_names)
        self.cluster.lab("heal")
        self.await_acts(*self.cluster.host_names)


if __name__ == "__main__":
    unittest.main(verbosity=2)
