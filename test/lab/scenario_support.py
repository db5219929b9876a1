"""What the scenario tests share: a lab with Wardom on it, its truth, Wardom's word, and healing.

The truth comes from the lab alone (disks, processes, flight recorder), Wardom's word from wardomctl
on a named host. A test class has one lab; after every test the faults end, dead hosts boot, all
hosts must become alive and all guests must run at home again, else the next test gets a new lab.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "scripts"))

from labkit import (bmc, errors, fabric, flight, host as lab_hosts, layout, run,  # noqa: E402
                    services, storage, views)

LAB = str(REPOSITORY / "scripts" / "lab")
GUEST_XML = "/etc/wardom-lab/guests/{}.xml"
KEPT_LOGS = Path(os.environ.get("WARDOM_SCENARIO_LOGS", "/tmp/wardom-scenario-logs"))

POLL_S = 0.03
# Deadlines of conditions. They are generous: several builds may share the machine.
LIMIT_S = 30.0
COMMAND_LIMIT_S = 120.0
# What the reset between two tests should take at most, on a machine that does nothing else: a host
# that was dead is L_late (2 s) away from its volume after it has booted.
RESET_S = 5.0

T = TypeVar("T")
ROOT = os.geteuid() == 0


def eventually(what: str, probe: Callable[[], T], limit_s: float = LIMIT_S,
               explain: Callable[[], object] | None = None) -> T:
    """The first true answer of the probe; the deadline is a failure."""
    deadline = time.monotonic() + limit_s
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            told = f"\n{explain()}" if explain else ""
            raise AssertionError(f"not within {limit_s:g} s: {what}{told}")
        time.sleep(POLL_S)


def each(action: Callable[[T], object], items: Iterable[T]) -> None:
    """At once for all of them; the first error is the answer."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(action, items))


class Cluster:
    """One lab, and how to ask on its hosts."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.up_words: tuple[str, ...] = ()
        self.whole = False

    # --- the lab -----------------------------------------------------------------------------

    def lab(self, *words: str, code: int = 0) -> str:
        done = subprocess.run([LAB, "--name", self.name, *words], capture_output=True, text=True,
                              timeout=COMMAND_LIMIT_S)
        if done.returncode != code:
            raise AssertionError(f"lab {' '.join(words)}: exit code {done.returncode} instead of "
                                 f"{code}: {done.stdout}{done.stderr}")
        return done.stdout if code == 0 else done.stderr

    def up(self, *words: str) -> None:
        self.up_words = words
        self.lab("up", "--stack", "wardom", *words)
        self.whole = True

    def down(self) -> None:
        self.lab("down")
        self.whole = False

    def renew(self) -> None:
        self.down()
        self.up(*self.up_words)

    @property
    def record(self) -> layout.Lab:
        return layout.load(self.name)

    @property
    def host_names(self) -> list[str]:
        return [host.name for host in self.record.hosts]

    def others(self, *but: str) -> list[str]:
        return [name for name in self.host_names if name not in but]

    def is_powered(self, host: str) -> bool:
        return (self.record.host_dir(self.record.host(host)) / "power").read_text().strip() == "1"

    def service_pid(self, host: str, service: str) -> int:
        answer = json.loads(self.lab("service", host, service, "status", "--json"))
        assert answer["pid"], f"{service} of {host} does not run"
        return answer["pid"]

    def kill_service(self, host: str, service: str) -> None:
        os.kill(self.service_pid(host, service), signal.SIGKILL)

    def log_path(self, host: str, service: str) -> Path:
        return self.record.host_dir(self.record.host(host)) / "log" / f"{service}.log"

    # --- the truth ---------------------------------------------------------------------------

    def truth(self) -> dict[str, dict]:
        return {entry["guest"]: entry for entry in views.guests(self.record)}

    def events(self, since_ms: int, event: str | None = None) -> list[dict]:
        return [e for e in flight.read(self.record, since_ms)
                if event is None or e["event"] == event]

    def starts(self, since_ms: int) -> list[dict]:
        """Every guest that came to life since then."""
        return self.events(since_ms, "boot changed")

    # --- Wardom's word -----------------------------------------------------------------------

    def run(self, host: str, *argv: str, stdin: str | None = None) -> subprocess.CompletedProcess:
        """A command on the host, to its end, whatever its exit code."""
        record = self.record
        command = lab_hosts.enter_command(record, record.host(host), list(argv))
        return subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_LIMIT_S,
                              input=stdin, env=run.CLEAN_ENV)

    def must(self, host: str, *argv: str, stdin: str | None = None) -> str:
        done = self.run(host, *argv, stdin=stdin)
        assert done.returncode == 0, (f"{host}: {' '.join(argv)}: exit code {done.returncode}: "
                                      f"{done.stdout}{done.stderr}")
        return done.stdout

    def ctl(self, host: str, *words: str) -> Any:
        return json.loads(self.must(host, "wardomctl", *words, "--json"))

    def status(self, host: str) -> dict | None:
        """None while its daemon does not answer, or while it boots."""
        try:
            done = self.run(host, "wardomctl", "status", "--json")
        except errors.LabError:
            return None
        return json.loads(done.stdout) if done.returncode == 0 else None

    def state(self, asked: str, about: str) -> str | None:
        return self.host_view(asked, about).get("state")

    def host_view(self, asked: str, about: str) -> dict:
        status = self.status(asked)
        return next((h for h in status["hosts"] if h["name"] == about), {}) if status else {}

    def guest_view(self, asked: str, guest: str) -> dict:
        status = self.status(asked)
        return next((g for g in status["guests"] if g["name"] == guest), {}) if status else {}

    def problems(self, asked: str) -> list[str]:
        status = self.status(asked)
        return [f"{p['where']}: {p['what']} ({p['do']})" for p in status["problems"]] \
            if status else ["wardomd does not answer"]

    def decider(self) -> str | None:
        """On whom all agree that answer. Which host it is says nothing: it stays where it is."""
        named = {status["decider"] for status in map(self.status, self.answering()) if status}
        return named.pop() if len(named) == 1 else None

    def timeline(self, asked: str) -> dict | None:
        done = self.run(asked, "wardomctl", "timeline", "--json")
        return json.loads(done.stdout) if done.returncode == 0 else None

    def incarnation(self, asked: str, about: str) -> int:
        return int(self.host_view(asked, about)["incarnation"].split("/")[0])

    def answering(self) -> list[str]:
        """Hosts on which a command can be run."""
        record = self.record
        return [h.name for h in record.hosts
                if lab_hosts.living(record, h) and not lab_hosts.is_hung(record, h)]

    def all_alive(self) -> bool:
        for host in self.host_names:
            status = self.status(host)
            if status is None or any(h["state"] != "alive" for h in status["hosts"]):
                return False
        return True

    def picture(self) -> str:
        """For a failure's message: what every host says, and the truth."""
        lines = [json.dumps(entry) for entry in self.truth().values()]
        for host in self.answering():
            status = self.status(host)
            if status is None:
                lines.append(f"{host}: wardomd does not answer")
                continue
            states = ", ".join(f"{h['name']} {h['state']}" for h in status["hosts"])
            guests = ", ".join(f"{g['name']} {g['state']} on {g['owner']} generation "
                               f"{g['generation']}" for g in status["guests"])
            lines.append(f"{host}: decider {status['decider']}; {states}; {guests}; "
                         f"{self.problems(host)}")
        return "\n".join(lines)

    # --- healing -----------------------------------------------------------------------------

    def heal(self) -> None:
        """Ends every fault and waits until every host calls every host alive."""
        record = self.record
        stored = storage.describe(record)
        if stored["state"] == "paused":
            self.lab("storage", "resume")
        if stored["errors"]:
            self.lab("storage", "error", "off")
        faults = fabric.load_faults(record)
        if any(faults["links"].values()) or faults["split"]:
            self.lab("heal")
        for host in record.hosts:
            if lab_hosts.is_hung(record, host):
                self.lab("resume", host.name)
            if bmc.mode_of(record, host) != "up":
                self.lab("bmc", host.name, "up")
        eventually("all service managers answer", self.managers_answer, explain=self.picture)
        for host in self.host_names:
            for service, state in self.services(host).items():
                if state["running"]:
                    self.ask_manager(host, "resume", service)
                elif not state["wanted"]:
                    self.ask_manager(host, "start", service)
        eventually("all hosts alive in all eyes",
                   lambda: self.managers_answer() and self.all_alive(), explain=self.picture)

    def managers_answer(self) -> bool:
        """Powers hosts on again: a decider that holds a booting host for a hung one shoots it."""
        record = self.record
        for host in record.hosts:
            if not self.is_powered(host.name):
                lab_hosts.power_on(record, host)
        try:
            return all(self.services(host) for host in self.host_names)
        except errors.LabError:
            return False

    def make_decider(self, wanted: str) -> None:
        """An owner keeps the domain lock for as long as it lives; an orderly stop of its wardomd
        hands it to the next in line, young daemons last."""
        def decides() -> bool:
            decider = self.status(wanted)["decider"]
            if decider is not None and decider != wanted:
                self.ask_manager(decider, "stop", "wardomd")
                eventually("another decides",
                           lambda: self.status(wanted)["decider"] not in (None, decider),
                           explain=self.picture)
                self.ask_manager(decider, "start", "wardomd")
            return self.status(wanted)["decider"] == wanted
        eventually(f"{wanted} decides", decides, 60.0, self.picture)

    def ask_manager(self, host: str, verb: str, service: str | None = None) -> dict:
        return services.request(self.record, self.record.host(host), verb, service)

    def services(self, host: str) -> dict[str, dict]:
        return self.ask_manager(host, "status")

    def at_home(self, guest: str, truth: dict[str, dict]) -> bool:
        home = self.record.home_of(guest).name
        view = self.guest_view(home, guest)
        return (truth[guest]["running_on"] == [home] and truth[guest]["counting"]
                and view.get("owner") == home and view.get("state") == "running"
                and view.get("wanted") == "running")

    def bring_home(self) -> None:
        """Ends the guests that are elsewhere and starts them at home, protected."""
        truth = self.truth()
        each(lambda guest: self.bring_one_home(guest, truth[guest]["running_on"]),
             [g for g in self.record.guests if not self.at_home(g, truth)])
        eventually("all guests count at home", self.all_at_home, explain=self.picture)

    def bring_one_home(self, guest: str, running_on: list[str]) -> None:
        home = self.record.home_of(guest).name
        if running_on not in ([], [home]):
            eventually(f"{home} has cleaned its stale definition of {guest}",
                       lambda: guest not in self.defined(home), explain=self.picture)
        each(lambda host: self.run(host, "sh", "-c", f"wardomctl guest unprotect {guest}; "
                                   f"virsh destroy {guest}; virsh undefine {guest}"),
             self.host_names)
        eventually(f"everybody knows that {guest} is not protected", lambda: not any(
            self.guest_view(host, guest) for host in self.host_names), explain=self.picture)
        self.must(home, "virsh", "define", GUEST_XML.format(guest))
        self.must(home, "virsh", "start", guest)
        # A request that is sent while corosync's ring still takes the host in may be lost.
        eventually(f"{guest} is protected", lambda: self.run(
            home, "wardomctl", "guest", "protect", guest).returncode == 0, explain=self.picture)

    def defined(self, host: str) -> list[str]:
        return self.must(host, "virsh", "list", "--all", "--name").split()

    def all_at_home(self) -> bool:
        truth = self.truth()
        return all(self.at_home(guest, truth) for guest in truth)

    def keep_logs(self, title: str) -> Path:
        """The logs of a failed test, which `down` would remove."""
        kept = KEPT_LOGS / title
        shutil.rmtree(kept, ignore_errors=True)
        for host in self.record.hosts:
            shutil.copytree(self.record.host_dir(host) / "log", kept / host.name,
                            ignore=lambda where, names: [
                                name for name in names if (Path(where) / name).is_fifo()])
        shutil.copy(self.record.flight_log, kept / "flight.jsonl")
        return kept


class ScenarioCase(unittest.TestCase):
    """Base of all scenarios: three hosts, four guests, one lab for the class."""

    up_words: tuple[str, ...] = ("--hosts", "3", "--guests", "4")
    cluster: Cluster
    resets_s: list[float]

    @classmethod
    def setUpClass(cls) -> None:
        if not ROOT:
            raise unittest.SkipTest("needs root")
        cls.cluster = Cluster(f"s{os.getpid()}-{cls.__name__.lower()[:18]}")
        cls.resets_s = []
        cls.addClassCleanup(cls.cluster.down)
        cls.cluster.up(*cls.up_words)

    @classmethod
    def tearDownClass(cls) -> None:
        if cls.resets_s:
            longest = max(cls.resets_s)
            over = f", MORE THAN {RESET_S:g} s" if longest > RESET_S else ""
            print(f"{cls.__name__}: {len(cls.resets_s)} resets, the longest {longest:.1f} s{over}",
                  file=sys.stderr, flush=True)

    def setUp(self) -> None:
        if not self.cluster.whole:
            self.cluster.renew()
        self.began_ms = run.now_ms()
        self.before = self.cluster.truth()
        status = self.cluster.status("n1")
        assert status is not None
        self.generations = {g["name"]: g["generation"] for g in status["guests"]}

    def tearDown(self) -> None:
        """Also a judgement: every fault's end must lead back to a whole cluster."""
        began = time.monotonic()
        self.cluster.whole = False
        self.assert_no_two_writers()
        self.reset()
        self.assert_no_two_writers()
        self.cluster.whole = True
        self.resets_s.append(time.monotonic() - began)

    def reset(self) -> None:
        """The cluster as the next test expects it."""
        self.cluster.heal()
        self.cluster.bring_home()

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        if result is None:
            return super().run(result)
        bad = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > bad and hasattr(self, "cluster"):
            print(f"\nlogs: {self.cluster.keep_logs(self.id().split('.', 1)[-1])}",
                  file=sys.stderr)
        return result

    # --- judgements by the lab's truth -------------------------------------------------------

    def guests_of(self, host: str) -> list[str]:
        """The guests that ran on the host when the test began."""
        found = [g for g, entry in self.before.items() if entry["running_on"] == [host]]
        self.assertTrue(found, f"{host} runs no guest: the test would show nothing")
        return found

    def assert_no_two_writers(self) -> None:
        for guest, entry in self.cluster.truth().items():
            self.assertFalse(entry["two_writers"], f"{guest}: {entry}")
        self.assertEqual(self.cluster.events(self.began_ms, "two writers"), [])

    def assert_untouched(self, guests: Iterable[str]) -> None:
        """They count, where they were, and never booted since the test began."""
        def untouched() -> bool:
            truth = self.cluster.truth()
            return all(truth[g]["counting"] for g in guests)

        guests = list(guests)
        eventually(f"{guests} count", untouched, explain=self.cluster.picture)
        truth = self.cluster.truth()
        for guest in guests:
            now, before = truth[guest], self.before[guest]
            self.assertEqual((now["boot"], now["running_on"]),
                             (before["boot"], before["running_on"]), guest)

    def assert_all_untouched(self) -> None:
        self.assert_untouched(self.before)
        self.assertEqual(self.cluster.starts(self.began_ms), [])

    def assert_nobody_dead(self) -> None:
        for asked in self.cluster.answering():
            status = self.cluster.status(asked)
            for view in status["hosts"] if status else []:
                self.assertNotEqual(view["state"], "dead", f"{view} says {asked}")

    def quiet_watch(self, seconds: float, also: Callable[[], None] | None = None) -> None:
        """Nothing is started for this long: the guests' disks and processes are watched all the
        while. This is the only place that waits for time to pass."""
        since_ms = run.now_ms()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for guest, entry in self.cluster.truth().items():
                self.assertFalse(entry["two_writers"], f"{guest}: {entry}")
                beyond = set(entry["running_on"]) - set(self.before[guest]["running_on"])
                self.assertEqual(beyond, set(), f"{guest} was started: {entry}")
            if also:
                also()
        self.assertEqual(self.cluster.starts(since_ms), [], "a guest came to life")

    # --- judgements by Wardom's word ---------------------------------------------------------

    def await_state(self, about: str, state: str | Sequence[str], *asked: str) -> None:
        """Until each of the asked hosts gives `about` (one of) the state(s)."""
        wanted = [state] if isinstance(state, str) else list(state)
        for host in asked:
            eventually(f"{host} calls {about} {' or '.join(wanted)}",
                       lambda: self.cluster.state(host, about) in wanted,
                       explain=self.cluster.picture)

    def await_decider(self) -> str:
        return eventually("all agree on who decides", self.cluster.decider,
                          explain=self.cluster.picture)

    def await_problem(self, asked: str, *words: str) -> str:
        """Until `status` on the host names a problem that contains all the words."""
        return eventually(f"{asked} names a problem with {words}",
                          lambda: next((p for p in self.cluster.problems(asked)
                                        if all(word in p for word in words)), None),
                          explain=self.cluster.picture)

    def await_started_once(self, guests: Iterable[str], asked: Sequence[str],
                           limit_s: float = LIMIT_S) -> dict[str, str]:
        """Until each guest counts again on one host, by the only start since the test began, and
        all of the asked hosts agree; where each is."""
        guests = list(guests)

        def started() -> bool:
            truth = self.cluster.truth()
            return all(truth[g]["counting"] and truth[g]["boot"] != self.before[g]["boot"]
                       and len(truth[g]["running_on"]) == 1 for g in guests)

        eventually(f"{guests} count again, each on one host", started, limit_s,
                   self.cluster.picture)
        truth = self.cluster.truth()
        where = {guest: truth[guest]["running_on"][0] for guest in guests}
        for guest in guests:
            self.starts_of(guest, 1)
        for host in asked:
            for guest in guests:
                eventually(f"{host} says that {guest} runs on {where[guest]}", lambda: (
                    lambda view: view.get("owner") == where[guest]
                    and view.get("state") == "running"
                    and view.get("generation", 0) == self.generations[guest] + 1)(
                        self.cluster.guest_view(host, guest)), explain=self.cluster.picture)
        return where

    def starts_of(self, guest: str, count: int) -> list[int]:
        """When its disk saw it start since the test began; that many times, no more, no less."""
        found = [e["t_ms"] for e in self.cluster.starts(self.began_ms) if e["guest"] == guest]
        self.assertEqual(len(found), count, f"starts of {guest}: {found}")
        return found

    def await_recovery(self, victim: str, limit_s: float = LIMIT_S) -> dict[str, str]:
        """Until every guest of the victim counts elsewhere and everybody agrees; where each is."""
        guests = self.guests_of(victim)
        where = self.await_started_once(guests, self.cluster.others(victim), limit_s)
        self.assertNotIn(victim, where.values())
        self.assert_untouched(set(self.before) - set(guests))
        return where

    def await_proof(self, victim: str, proof: str) -> None:
        """The decider tells by what the victim was proved dead. (A timeline tells it too, of the
        last recovery.)"""
        def told() -> bool:
            decider = self.cluster.decider()
            return decider is not None and any(
                f"dead, by {proof}:" in fact["what"]
                for fact in self.cluster.ctl(decider, "why", victim)["chain"])

        eventually(f"the decider says that {victim} was dead by {proof}", told,
                   explain=lambda: [self.cluster.ctl(host, "why", victim)
                                    for host in self.cluster.answering()])

    def assert_timeline(self, asked: str, victim: str, where: dict[str, str],
                        proof: str = "power-off") -> dict:
        """The recovery is on record there: finished, its proof, a line per guest. What other
        hosts tell comes over corosync's ring, which first has to form anew without the victim."""
        def finished() -> dict | None:
            found = self.cluster.timeline(asked)
            whole = found and found["host"] == victim and found["finished"] and all(
                guest["result"] == "running" for guest in found["guests"])
            return found if whole else None

        line = eventually(f"{asked} has the finished recovery of {victim}", finished,
                          explain=lambda: self.cluster.timeline(asked))
        self.assertEqual(line["proof"], proof)
        self.assertEqual(sorted(g["name"] for g in line["guests"]), sorted(where))
        for guest in line["guests"]:
            self.assertEqual((guest["from"], guest["to"], guest["result"]),
                             (victim, where[guest["name"]], "running"))
            self.assertGreater(guest["down_ms"], 0)
        times = [step["t_ms"] for step in line["steps"]]
        self.assertEqual(times, sorted(times), "steps in the order of their times")
        self.assertGreaterEqual(times[0], 0)
        return line
