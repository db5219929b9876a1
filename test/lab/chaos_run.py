"""Chaos: a lab under the faults of a schedule, then healed, then judged. See scripts/chaos."""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import heapq
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chaos_schedule
from chaos_faults import TABLE, Hands, start_crashed
from chaos_judge import Act, Done, History, told
from chaos_schedule import Fault, Schedule
from chaos_watch import LATE_S, Watch
from scenario_support import ROOT, Cluster, errors, eventually, lab_hosts, run

# A host that Wardom has switched off is switched on by somebody after this.
DARK_S = 5.0
# For hosts to boot, to see each other and to start a guest, on a loaded machine.
HEAL_TRIES = 3
RETURN_S = 40.0
AGREE_S = 20.0
AFTERWATCH_S = 2.0
TICK_S = 0.1
MAX_ACTIONS_AT_ONCE = 16

GOOD, BAD, USAGE = 0, 1, 2
DESCRIPTION = """\
A lab with Wardom on every host under mixed faults, drawn from a seed before it begins; then
everything is healed. All the while nothing may run or write a guest twice; in the end every guest
runs exactly once, and each of its stops and starts has a cause on record that the faults allow.
With --own-faults only daemons are hurt, one at a time, and no guest may stop at all."""


class Run:
    """One schedule in one lab."""

    def __init__(self, schedule: Schedule, say: Callable[[str], None]) -> None:
        self.schedule = schedule
        self.tell = say
        self.cluster = Cluster(f"chaos{os.getpid()}-{schedule.seed}")
        self.lock = threading.Lock()
        self.done: dict[int, Done] = {}
        self.notes: dict[int, list[str]] = {}
        self.left_out: set[int] = set()
        self.absent: dict[str, str] = {}
        self.acts: list[Act] = []
        self.failures: list[str] = []
        self.dark_since: dict[str, float] = {}
        self.began = time.monotonic()

    def say(self, text: str) -> None:
        self.tell(f"{time.monotonic() - self.began:7.2f} s  {text}")

    # --- the course of a run ---------------------------------------------------------------------

    def go(self) -> dict[str, Any]:
        try:
            self.cluster.up(*self.schedule.lab.up_words())
            status = self.cluster.status("n1")
            assert status is not None
            self.uuids = {guest["name"]: guest["uuid"] for guest in status["guests"]}
            self.hands = Hands(self.cluster, self.acted)
            self.watch = Watch(self.cluster, self.schedule.mode == "own")
            self.watch.start()
            self.began = time.monotonic()
            try:
                self.make_faults()
                self.heal_and_look()
            finally:
                self.watch.end()
            return self.judge()
        finally:
            self.cluster.down()

    def acted(self, what: str, guest: str) -> None:
        self.acts.append(Act(run.now_ms(), what, guest))

    def fail(self, text: str) -> None:
        self.failures.append(text)
        self.say(f"FAILED  {text}")

    # --- faults ----------------------------------------------------------------------------------

    def make_faults(self) -> None:
        if self.schedule.mode == "own":
            self.one_at_a_time()
        else:
            self.by_the_clock()

    def by_the_clock(self) -> None:
        """Each begins and ends at its time, however long the others take."""
        due = [(fault.at_s, fault.id, fault) for fault in self.schedule.faults]
        heapq.heapify(due)
        with concurrent.futures.ThreadPoolExecutor(MAX_ACTIONS_AT_ONCE) as pool:
            under_way = []
            while (due or any(not one.done() for one in under_way)) and not self.over():
                while due and due[0][0] <= time.monotonic() - self.began:
                    under_way.append(pool.submit(self.whole, heapq.heappop(due)[2]))
                self.switch_on_the_dark()
                time.sleep(TICK_S)

    def one_at_a_time(self) -> None:
        """The next begins when its time has come and all is as before the last."""
        for fault in self.schedule.faults:
            while time.monotonic() - self.began < fault.at_s and not self.over():
                time.sleep(TICK_S)
            if self.over():
                return
            self.whole(fault)
            if not self.over() and not self.becomes_well(f"after fault {fault.id}"):
                return

    def over(self) -> bool:
        return self.watch.violated.is_set()

    def whole(self, fault: Fault) -> None:
        begin, end = TABLE[fault.kind]
        self.done[fault.id] = Done(fault, run.now_ms())
        self.notes[fault.id] = []
        self.step(fault, begin, "begins")
        ends = time.monotonic() + fault.for_s
        if fault.args.get("way") != "oom":  # lasts until the process is gone
            while time.monotonic() < ends and not self.over():
                time.sleep(min(TICK_S, max(0.0, ends - time.monotonic())))
        self.step(fault, end, "ends" if fault.for_s else "")
        self.done[fault.id] = dataclasses.replace(self.done[fault.id], ended_ms=run.now_ms())

    def step(self, fault: Fault, action: Callable[[Hands, Fault], str], verb: str) -> None:
        try:
            note = action(self.hands, fault)
        except errors.LabError as error:
            note = "left out: " + " ".join(str(error).split("\n")[0].split())
            if verb == "begins":
                self.left_out.add(fault.id)
        except Exception as error:  # a fault of the run itself must not pass for a quiet end
            note = f"{error!r}"
            self.fail(f"fault {fault.id} ({fault.title()}): {error!r}")
        if note:
            self.notes[fault.id].append(note)
        if verb:
            self.say(f"[{fault.id}] {fault.title()} {verb}" + (f": {note}" if note else ""))

    def switch_on_the_dark(self) -> None:
        """Somebody sees that a host is off, although no fault keeps it so."""
        active = [done.fault for done in list(self.done.values()) if done.ended_ms is None]
        for host in self.hands.record.hosts:
            kept = any(("power", host.name) in chaos_schedule.holds(fault) for fault in active)
            if kept or self.cluster.is_powered(host.name):
                self.dark_since.pop(host.name, None)
            elif time.monotonic() - self.dark_since.setdefault(
                    host.name, time.monotonic()) > DARK_S:
                self.dark_since.pop(host.name)
                self.say(f"{host.name} is off: switched on again")
                lab_hosts.power_on(self.hands.record, host)

    # --- the end ---------------------------------------------------------------------------------

    def heal_and_look(self) -> None:
        if self.over() or self.failures:
            return
        self.say("heal")
        if not self.becomes_well("in the end") or self.over():
            return
        for done in list(self.done.values()):
            if done.fault.kind == "guest-crash":
                self.step(done.fault, start_crashed, "")
        try:
            eventually("every guest runs once", lambda: self.over() or self.all_run(),
                       self.schedule.lab.d_s + RETURN_S)
        except AssertionError:
            self.explain_absence()
        try:
            eventually("all hosts say of each guest where it runs",
                       lambda: self.over() or self.all_agree(), AGREE_S)
        except AssertionError as error:
            self.fail(str(error))
        self.watch.ending.wait(AFTERWATCH_S)

    def explain_absence(self) -> None:
        """A guest that does not run must be named by a problem that some host tells."""
        problems = {(host, problem) for host in self.cluster.answering()
                    for problem in self.cluster.problems(host)}
        for guest, entry in self.cluster.truth().items():
            if len(entry["running_on"]) == 1 and entry["counting"]:
                continue
            named = [f"{host} says: {problem}" for host, problem in sorted(problems)
                     if guest in problem.split() or self.uuids[guest] in problem
                     or f"guest {guest}:" in problem]
            if named and not entry["running_on"]:
                self.absent[guest] = named[0]
                self.say(f"{guest} does not run: {named[0]}")
            else:
                self.fail(f"{guest} is lost: it runs on {entry['running_on'] or 'no host'}"
                          f"{'' if entry['counting'] else ' and does not count'}, and no problem "
                          "names it")

    def becomes_well(self, when: str) -> bool:
        """Cluster.heal() with more patience: leases and boots take their time."""
        for remaining in reversed(range(HEAL_TRIES)):
            try:
                self.cluster.heal()
                return True
            except (AssertionError, errors.LabError) as error:
                if remaining == 0:
                    self.fail(f"not whole again {when}: {str(error).splitlines()[0]}")
        return False

    def all_run(self) -> bool:
        truth = self.cluster.truth()
        return all(len(entry["running_on"]) == 1 and entry["counting"]
                   for entry in truth.values())

    def all_agree(self) -> bool:
        truth = self.cluster.truth()
        for host in self.cluster.host_names:
            status = self.cluster.status(host)
            views = {view["name"]: view for view in status["guests"]} if status else {}
            for guest, entry in truth.items():
                if guest in self.absent:
                    continue
                view = views.get(guest, {})
                if [view.get("owner")] != entry["running_on"] or view.get("state") != "running":
                    return False
        return True

    # --- judgement -------------------------------------------------------------------------------

    def judge(self) -> dict[str, Any]:
        if self.watch.violation:
            self.fail(self.watch.violation)
        history = History(self.schedule.lab, self.uuids, self.watch.words, self.watch.events,
                          [done for done in self.done.values()
                           if done.fault.id not in self.left_out], self.acts)
        guests = told(history, self.watch.stops, self.watch.began_ms)
        for entry in guests:
            if not entry["good"]:
                self.fail(f"{entry['guest']} {entry['what']}: {entry['cause']}")
        report = {
            "seed": self.schedule.seed, "mode": self.schedule.mode, "passed": not self.failures,
            "failures": self.failures, "took_s": round(time.monotonic() - self.began, 1),
            "lab": dataclasses.asdict(self.schedule.lab), "faults": len(self.done),
            "left_out": sorted(self.left_out), "absent": self.absent,
            "stops": len(self.watch.stops),
            "starts": sum(entry["what"] == "started" for entry in guests),
            "samples": self.watch.samples, "longest_gap_s": round(self.watch.latest_s, 2),
            "guests": [{**entry, "at_s": (entry.pop("t_ms") - self.watch.began_ms) / 1000}
                       for entry in guests], "evidence": None,
        }
        if self.failures:
            report["evidence"] = str(self.keep(report))
        return report

    def keep(self, report: dict[str, Any]) -> Path:
        """All that is known of a failure, before the lab goes down."""
        kept = self.cluster.keep_logs(f"chaos-{self.schedule.mode}-{self.schedule.seed}")
        (kept / "schedule.json").write_text(json.dumps(self.schedule.to_json(), indent=1))
        (kept / "report.json").write_text(json.dumps(report, indent=1))
        (kept / "picture.txt").write_text(self.cluster.picture() + "\n")
        (kept / "words.txt").write_text("".join(
            f"{(word.t_ms - self.watch.began_ms) / 1000:8.2f} {word.host} {word.service}: "
            f"{word.text}\n" for word in self.watch.words))
        (kept / "faults.txt").write_text("".join(
            f"{(done.began_ms - self.watch.began_ms) / 1000:8.2f} "
            f"{((done.ended_ms or 0) - self.watch.began_ms) / 1000:8.2f} [{done.fault.id}] "
            f"{done.fault.title()}: {'; '.join(self.notes[done.fault.id])}\n"
            for done in self.done.values()))
        return kept


def table(report: dict[str, Any]) -> str:
    lab = report["lab"]
    lines = [f"seed {report['seed']}, {report['mode']} faults: {lab['hosts']} hosts, "
             f"{lab['guests']} guests, profile {lab['profile']}, outage {lab['outage']}"
             + (", stay_up" if lab["stay_up"] else "")
             + ("" if lab["watchdog"] else ", no watchdog")]
    lines += [f"  {entry['at_s']:7.2f} s  {entry['guest']:4} {entry['what']:14} {entry['cause']}"
              + ("" if entry["good"] else "  NOT EXPLAINED") for entry in report["guests"]]
    lines += [f"  {guest} does not run, explained: {why}"
              for guest, why in report["absent"].items()]
    lines += [f"  FAILED  {text}" for text in report["failures"]]
    lines.append(f"  {'passed' if report['passed'] else 'FAILED'} in {report['took_s']} s: "
                 f"{report['faults']} faults, {len(report['left_out'])} of them left out, "
                 f"{report['stops']} stops and {report['starts']} starts of guests, "
                 f"{report['samples']} looks"
                 + (f", the longest gap {report['longest_gap_s']} s"
                    if report["longest_gap_s"] > LATE_S else ""))
    if report["evidence"]:
        lines.append(f"  evidence: {report['evidence']}; replay: scripts/chaos --schedule "
                     f"{report['evidence']}/schedule.json")
    return "\n".join(lines)


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=DESCRIPTION)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--seed", type=int, help="one run (default: 1)")
    what.add_argument("--seeds", metavar="A..B", help="one run after the other, each in a new lab")
    what.add_argument("--schedule", type=Path, metavar="FILE", help="replay a schedule")
    parser.add_argument("--minutes", type=float, default=3.0, help="of faults in each run")
    parser.add_argument("--own-faults", action="store_true",
                        help="hurt only daemons, one at a time: no guest may stop")
    parser.add_argument("--only", metavar="ID,ID…", help="of the schedule's faults only these")
    parser.add_argument("--print", action="store_true", help="print the schedule and do nothing")
    parser.add_argument("--json", action="store_true", help="the reports as JSON on stdout")
    return parser.parse_args(argv)


def schedules(arguments: argparse.Namespace) -> list[Schedule]:
    if arguments.schedule:
        found = [chaos_schedule.load(arguments.schedule)]
    else:
        first = last = 1 if arguments.seed is None else arguments.seed
        if arguments.seeds:
            first, last = map(int, arguments.seeds.split(".."))
        found = [chaos_schedule.draw_schedule(seed, arguments.minutes,
                                              "own" if arguments.own_faults else "mixed")
                 for seed in range(first, last + 1)]
    if arguments.only:
        found = [one.only({int(word) for word in arguments.only.split(",")}) for one in found]
    return found


def main(argv: list[str]) -> int:
    arguments = parse(argv)
    try:
        wanted = schedules(arguments)
    except (ValueError, KeyError, TypeError, OSError) as error:
        print(f"chaos: {error}", file=sys.stderr)
        return USAGE
    if arguments.print:
        print(json.dumps([one.to_json() for one in wanted], indent=1) if len(wanted) != 1
              else json.dumps(wanted[0].to_json(), indent=1))
        return GOOD
    if not ROOT:
        print("chaos: the lab makes namespaces and mounts: run it as root", file=sys.stderr)
        return USAGE

    def say(text: str) -> None:
        print(text, file=sys.stderr if arguments.json else sys.stdout, flush=True)

    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(BAD))  # the lab goes down first
    reports = []
    for one in wanted:
        say(f"== seed {one.seed}: {len(one.faults)} {one.mode} faults in {one.minutes:g} min; "
            + " ".join(one.lab.up_words()))
        try:
            reports.append(Run(one, say).go())
            say(table(reports[-1]))
        except (AssertionError, errors.LabError) as error:  # the lab did not come up, or not down
            reports.append({"seed": one.seed, "passed": False, "failures": [str(error)]})
            say(f"  FAILED  {error}")
    bad = [report["seed"] for report in reports if not report["passed"]]
    say(f"{len(reports) - len(bad)} passed, {len(bad)} failed"
        + (f": seeds {', '.join(map(str, bad))}" if bad else ""))
    if arguments.json:
        print(json.dumps(reports))
    return BAD if bad else GOOD
