"""scripts/chaos without a lab: what it draws, and what it takes for a good cause.

    tree_chaos.py ROOT    ROOT: this repository
"""

import collections
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
sys.path.insert(0, str(ROOT / "test" / "lab"))

import chaos_faults  # noqa: E402  (the path must be set first)
import chaos_judge  # noqa: E402
import chaos_schedule  # noqa: E402
from chaos_judge import Act, Done, History, Stop, Word  # noqa: E402
from chaos_schedule import Fault, LabPlan, draw_schedule  # noqa: E402

SEEDS = range(300)
LAB = LabPlan(hosts=3, guests=3, profile="fast", outage="fence", stay_up=False, watchdog=True)
UUID = "00000000-0000-4000-8000-000000000001"


def program(*words, code=0):
    done = subprocess.run([str(ROOT / "scripts" / "chaos"), *words], capture_output=True, text=True,
                          env={**os.environ, "PYTHONHASHSEED": "random",
                               "PYTHONDONTWRITEBYTECODE": "1"})
    if done.returncode != code:
        raise AssertionError(f"exit code {done.returncode} instead of {code}: {done.stderr}")
    return done.stdout if code == 0 else done.stderr


class Drawing(unittest.TestCase):
    def test_the_same_seed_draws_the_same_schedule(self):
        for mode in ([], ["--own-faults"]):
            words = ("--seed", "7", "--minutes", "5", "--print", *mode)
            self.assertEqual(program(*words), program(*words))
        self.assertEqual(draw_schedule(7, 5.0), draw_schedule(7, 5.0))

    def test_other_seeds_draw_other_schedules(self):
        drawn = {json.dumps(draw_schedule(seed, 3.0).to_json()["faults"]) for seed in SEEDS}
        self.assertEqual(len(drawn), len(SEEDS))

    def test_a_schedule_survives_json(self):
        for seed in SEEDS:
            schedule = draw_schedule(seed, 3.0)
            text = json.dumps(schedule.to_json())
            self.assertEqual(chaos_schedule.from_json(json.loads(text)), schedule)

    def test_faults_left_out_move_no_other(self):
        schedule = draw_schedule(1, 5.0)
        kept = [schedule.faults[1], schedule.faults[3]]
        self.assertEqual(list(schedule.only([fault.id for fault in kept]).faults), kept)
        with self.assertRaises(ValueError):
            schedule.only([max(fault.id for fault in schedule.faults) + 1])

    def test_every_kind_is_drawn_and_can_be_done(self):
        drawn = collections.Counter(fault.kind for seed in SEEDS
                                    for fault in draw_schedule(seed, 3.0).faults)
        self.assertEqual(set(drawn), set(chaos_schedule.KINDS))
        self.assertEqual(set(chaos_faults.TABLE), set(chaos_schedule.KINDS))

    def test_ids_and_times(self):
        for seed in SEEDS:
            faults = draw_schedule(seed, 3.0).faults
            self.assertEqual(len({fault.id for fault in faults}), len(faults))
            self.assertEqual(list(faults), sorted(faults, key=lambda fault: fault.at_s))
            for fault in faults:
                self.assertGreaterEqual(fault.for_s, 0.0)
                self.assertLessEqual(fault.end_s, 180.0)

    def test_faults_overlap_but_never_on_one_thing(self):
        together = 0
        for seed in SEEDS:
            faults = draw_schedule(seed, 3.0).faults
            for index, one in enumerate(faults):
                for other in faults[index + 1:]:
                    if one.at_s <= other.end_s and other.at_s <= one.end_s:
                        together += 1
                        self.assertFalse(chaos_schedule.holds(one) & chaos_schedule.holds(other))
        self.assertGreater(together, len(SEEDS))

    def test_a_bmc_begins_to_lie_while_all_is_well(self):
        lies = 0
        for seed in SEEDS:
            faults = draw_schedule(seed, 3.0).faults
            for lie in (fault for fault in faults if fault.kind == "bmc-lie"):
                lies += 1
                for other in faults:
                    self.assertTrue(other is lie
                                    or other.at_s >= lie.at_s + chaos_schedule.LIE_KNOWN_S
                                    or other.end_s <= lie.at_s - chaos_schedule.LIE_AFTER_S)
        self.assertGreater(lies, 0)

    def test_own_faults_hurt_each_daemon_in_every_way_on_every_host_and_cost_nothing(self):
        for seed in range(20):
            schedule = draw_schedule(seed, 12.0, "own")
            hurt = {(fault.host, fault.args["service"], fault.args["way"])
                    for fault in schedule.faults}
            self.assertEqual(len(hurt), schedule.lab.hosts * len(chaos_schedule.OWN_SERVICES)
                             * len(chaos_schedule.WAYS))
            for fault in schedule.faults:
                self.assertEqual(chaos_schedule.whose_guests(fault, schedule.lab), ())
                self.assertEqual(fault.may_cost, ())

    def test_what_may_cost_guests_is_marked(self):
        def marked(kind, for_s, lab=LAB, hosts=("n1",), **args):
            return chaos_schedule.whose_guests(Fault(0, kind, hosts, 0.0, for_s, args), lab)

        keeper = {"service": "keeper", "way": "freeze"}
        unfed = dataclasses.replace(LAB, watchdog=False)
        self.assertEqual(marked("power-cut", 1.0), ("n1",))
        self.assertEqual(marked("hang", 0.5), ())
        self.assertEqual(marked("hang", 2.0), ("n1",))
        self.assertEqual(marked("link", 30.0, link="mgmt"), ())
        self.assertEqual(marked("link", 3.0, link="storage"), ())
        self.assertEqual(marked("link", 5.0, link="storage"), ("n1",))
        self.assertEqual(marked("link", 5.0, unfed, link="storage"), ())
        self.assertEqual(marked("service", 5.0, **keeper), ("n1",))
        self.assertEqual(marked("service", 5.0, unfed, **keeper), ())
        self.assertEqual(marked("service", 0.3, service="volume", way="kill"), ())
        self.assertEqual(marked("service", 5.0, service="volume", way="kill"), ("n1",))
        self.assertEqual(marked("service", 3.0, service="volume", way="freeze"), ())
        slow = dataclasses.replace(LAB, profile="default")
        self.assertEqual(marked("service", 0.3, slow, service="volume", way="kill"), ())
        self.assertEqual(marked("service", 30.0, service="wardomd", way="freeze"), ())
        self.assertEqual(marked("storage-pause", 3.0, hosts=()), ())
        self.assertEqual(marked("storage-pause", 5.0, hosts=()), ("n1", "n2", "n3"))
        ride_out = dataclasses.replace(LAB, outage="ride-out")
        self.assertEqual(marked("storage-pause", 5.0, ride_out, hosts=()), ())

    def test_bad_words_are_refused(self):
        self.assertIn("minutes", program("--minutes", "0", code=2))
        self.assertIn("no such fault", program("--seed", "1", "--only", "9999", code=2))
        self.assertIn("No such file", program("--schedule", "/nowhere.json", code=2))


class Judging(unittest.TestCase):
    """A cause counts only beside its record, near in time, and where a fault allows it."""

    def setUp(self):
        self.history = History(LAB, {"g1": UUID}, [], [], [], [])
        self.stop = Stop(100_000, "g1", "n1", 77)

    def fault(self, kind, began_ms, ended_ms, hosts=("n1",), **args):
        fault = Fault(len(self.history.done), kind, hosts, 0.0, (ended_ms - began_ms) / 1000, args)
        fault = dataclasses.replace(fault, may_cost=chaos_schedule.whose_guests(fault, LAB))
        self.history.done.append(Done(fault, began_ms, ended_ms))

    def word(self, t_ms, text, host="n1", service="wardomd"):
        self.history.words.append(Word(t_ms, host, service, text))

    def event(self, t_ms, event, host="n1"):
        self.history.events.append({"t_ms": t_ms, "event": event, "host": host})

    def assert_stopped(self, good, *parts):
        cause = chaos_judge.why_stopped(self.stop, self.history)
        self.assertEqual(cause.good, good, cause)
        for part in parts:
            self.assertIn(part, cause.text)

    def assert_started(self, good, *parts):
        cause = chaos_judge.why_started("g1", 120_000, self.history)
        self.assertEqual(cause.good, good, cause)
        for part in parts:
            self.assertIn(part, cause.text)

    def test_a_stop_out_of_nothing(self):
        self.assert_stopped(False, "nothing on record")

    def test_a_power_cut_of_the_run(self):
        self.event(99_900, "power cut")
        self.assert_stopped(False, "nobody is on record")
        self.fault("power-cut", 99_800, 110_000)
        self.assert_stopped(True, "power-cut of n1")

    def test_a_power_cut_of_another_host(self):
        self.fault("power-cut", 99_800, 110_000, hosts=("n2",))
        self.event(99_900, "power cut", host="n2")
        self.assert_stopped(False, "nothing on record")

    def test_the_watchdog_after_a_fault_that_allows_it(self):
        self.event(99_900, "power cut")
        self.event(99_880, "watchdog resets")
        self.assert_stopped(False, "the watchdog reset n1")
        self.fault("link", 90_000, 99_000, link="storage")
        self.assert_stopped(True, "the watchdog reset n1")

    def test_the_watchdog_after_a_harmless_fault(self):
        self.event(99_900, "power cut")
        self.event(99_880, "watchdog resets")
        self.fault("link", 90_000, 99_000, link="mgmt")
        self.assert_stopped(False, "the watchdog reset n1")

    def test_two_harmless_faults_together(self):
        self.event(99_900, "power cut")
        self.event(99_880, "watchdog resets")
        self.fault("link", 90_000, 99_000, link="mgmt")
        self.fault("service", 91_000, 93_000, service="keeper", way="kill")
        self.assert_stopped(True)

    def test_a_fault_long_ago_allows_nothing(self):
        self.event(99_900, "power cut")
        self.event(99_880, "watchdog resets")
        self.fault("link", 10_000, 20_000, link="storage")
        self.assert_stopped(False)

    def test_switched_off_by_wardom(self):
        self.event(99_900, "power cut")
        self.fault("hang", 95_000, 105_000)
        self.word(99_000, "warning decider: n1: silent, powering it off step=power-off",
                  host="n2")
        self.assert_stopped(True, "Wardom switched n1 off")

    def test_the_lease_ended(self):
        self.word(99_500, "<3>no heartbeat for 3/4 T_F: kills the protected guests",
                  service="keeper")
        self.assert_stopped(False, "the lease of n1 ended")
        self.fault("storage-pause", 94_000, 104_000, hosts=())
        self.assert_stopped(True, "the lease of n1 ended")

    def test_ended_by_a_verdict(self):
        self.fault("isolate", 80_000, 98_000)
        self.word(99_000, "error target: n1: g1 is ended here: its incarnation is dead")
        self.assert_stopped(True, "is ended here")

    def test_a_crash_made_by_the_run(self):
        self.history.acts.append(Act(99_000, "crash", "g1"))
        self.assert_stopped(True, "killed by the run")

    def test_a_start_that_nobody_admits(self):
        self.assert_started(False, "no host says")

    def test_a_start_by_a_recovery(self):
        self.word(119_000, f"target: n2: g1: libvirt starts it guest={UUID} recovery=ab12 "
                           "step=starting", host="n2")
        self.assert_started(False, "no verdict on record")
        self.word(118_000, "decider: n1: dead, by lease-expired: old recovery=ab12 step=verdict",
                  host="n3")
        self.assert_started(True, "n1 dead by lease-expired")

    def test_a_start_that_is_followed_by_another(self):
        for t_ms, recovery, dead in ((119_000, "ab12", "n1"), (121_000, "cd34", "n2")):
            self.word(t_ms, f"target: n2: g1: libvirt starts it guest={UUID} recovery={recovery} "
                            "step=starting", host="n2")
            self.word(t_ms - 500, f"decider: {dead}: dead, by power-off: off recovery={recovery} "
                                  "step=verdict", host="n3")
        self.assert_started(True, "n1 dead by power-off")

    def test_a_start_without_a_recovery(self):
        self.word(119_000, f"target: n2: g1: libvirt starts it guest={UUID} step=starting",
                  host="n2")
        self.assert_started(False, "without a recovery")

    def test_a_start_of_another_guest_is_no_cause(self):
        self.word(119_000, "target: n2: g2: libvirt starts it guest=other recovery=ab12 "
                           "step=starting", host="n2")
        self.assert_started(False, "no host says")

    def test_a_start_by_the_operator(self):
        self.history.acts.append(Act(119_000, "start", "g1"))
        self.assert_started(True, "operator")

    def test_a_second_start_after_one_by_the_operator(self):
        self.history.acts.append(Act(99_000, "start", "g1"))
        self.history.events.append({"t_ms": 99_500, "event": "boot changed", "guest": "g1"})
        self.assert_started(False, "no host says")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
