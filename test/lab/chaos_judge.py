"""Why each guest stopped and started: every stop and every start in a chaos run has a cause that is
on record, and the cause is one that the faults allow. Pure: it sees records and decides."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

from chaos_schedule import Fault, LabPlan

# A log line is noticed up to this much after it was written, a process's end likewise.
NOTICED_MS = 2500
SEEN_MS = 300  # where nothing holds up the watcher
# libvirt waits ten seconds for a QEMU to end by itself before it kills it.
ENDING_MS = 14_000
# From the order to switch off to the end of the host; from the first word to the ladder's kill.
SWITCHED_MS = 12_000
KILLING_MS = 8_000
# From the claim's start, or from the end of an operator's command, to the guest's first write.
STARTING_MS = 40_000
# What a fault leaves behind: the watchdog, the proof, the restart.
AFTERMATH_S = 4.0

RECOVERY = re.compile(r" recovery=([0-9a-f]+)")
STEP = re.compile(r" step=(\S+)")
GUEST = re.compile(r" guest=(\S+)")
VERDICT = re.compile(r"(\w+): dead, by ([a-z-]+):")


@dataclasses.dataclass(frozen=True)
class Word:
    """A line of a daemon's log, and when it was seen there."""

    t_ms: int
    host: str
    service: str
    text: str


@dataclasses.dataclass(frozen=True)
class Stop:
    t_ms: int
    guest: str
    host: str
    pid: int


@dataclasses.dataclass(frozen=True)
class Done:
    """A fault as it happened, or a person's act in its course."""

    fault: Fault
    began_ms: int
    ended_ms: int | None = None


@dataclasses.dataclass(frozen=True)
class Act:
    """A guest that the run itself started or ended, as an operator or a crash would."""

    t_ms: int
    what: str  # "start" or "crash"
    guest: str


@dataclasses.dataclass
class History:
    lab: LabPlan
    uuids: dict[str, str]  # guest -> uuid
    words: list[Word]
    events: list[dict]  # the flight recorder's, and its times
    done: list[Done]
    acts: list[Act]

    def said(self, from_ms: int, to_ms: int, *parts: str, host: str | None = None,
             service: str | None = None) -> Word | None:
        """The last word in that time that has all the parts."""
        for word in reversed(self.words):
            if from_ms <= word.t_ms <= to_ms and host in (None, word.host) and \
                    service in (None, word.service) and all(part in word.text for part in parts):
                return word
        return None

    def happened(self, event: str, host: str, from_ms: int, to_ms: int) -> dict | None:
        return next((e for e in self.events if e["event"] == event and e.get("host") == host
                     and from_ms <= e["t_ms"] <= to_ms), None)

    def act(self, what: str, guest: str, from_ms: int, to_ms: int) -> Act | None:
        return next((a for a in self.acts if (a.what, a.guest) == (what, guest)
                     and from_ms <= a.t_ms <= to_ms), None)


@dataclasses.dataclass(frozen=True)
class Cause:
    """Good: on record, and allowed by the faults."""

    good: bool
    text: str


def tail_s(lab: LabPlan) -> float:
    return lab.t_f_s + lab.w_s + AFTERMATH_S


def allowed(history: History, host: str, t_ms: int) -> bool:
    """May a guest of this host stop now? One fault that may cost guests by itself is enough. Two at
    once are too, since what they do together is more than each: with the store at a stand any
    other fault counts."""
    after_ms = tail_s(history.lab) * 1000
    active = [done.fault for done in history.done if done.began_ms - NOTICED_MS <= t_ms
              and (done.ended_ms is None or t_ms <= done.ended_ms + after_ms)]
    here = [fault for fault in active if fault.touches(host)]
    if any(host in fault.may_cost for fault in here):
        return True
    if any(fault.kind.startswith("storage-") for fault in active):
        return len(active) > 1
    return len(here) > 1


def why_power_lost(history: History, host: str, t_ms: int) -> str | None:
    for done in history.done:
        if done.fault.kind in ("power-cut", "pull", "quick-reboot") and done.fault.touches(host) \
                and abs(done.began_ms - t_ms) <= NOTICED_MS + 2000:
            return f"{done.fault.kind} of {host}"
    if history.happened("watchdog resets", host, t_ms - NOTICED_MS, t_ms + NOTICED_MS):
        return f"the watchdog reset {host}"
    if history.said(t_ms - SWITCHED_MS, t_ms + NOTICED_MS, f" {host}: ", "step=power-off"):
        return f"Wardom switched {host} off"
    return None


def why_stopped(stop: Stop, history: History) -> Cause:
    crash = history.act("crash", stop.guest, stop.t_ms - NOTICED_MS, stop.t_ms + NOTICED_MS)
    if crash:
        return Cause(True, "its QEMU was killed by the run")
    permitted = allowed(history, stop.host, stop.t_ms)
    cut = history.happened("power cut", stop.host, stop.t_ms - NOTICED_MS, stop.t_ms + NOTICED_MS)
    if cut:
        text = why_power_lost(history, stop.host, cut["t_ms"])
        return Cause(permitted and text is not None,
                     text or f"{stop.host} lost its power, and nobody is on record for it")
    window = (stop.t_ms - KILLING_MS, stop.t_ms + NOTICED_MS)
    if history.said(*window, "kills the protected guests", host=stop.host, service="keeper") or \
            history.said(*window, "killed, ", "protected guests: ", host=stop.host,
                         service="keeper"):
        return Cause(permitted, f"the lease of {stop.host} ended")
    for words in (" is ended here: ", " is given up here, after a kill: "):
        word = history.said(stop.t_ms - ENDING_MS, stop.t_ms + NOTICED_MS,
                            f" {stop.guest}{words}", host=stop.host)
        if word:
            return Cause(permitted, word.text.split(f" {stop.guest}", 1)[1].split(" guest=")[0])
    return Cause(False, "nothing on record says why")


def why_started(guest: str, t_ms: int, history: History) -> Cause:
    earlier = [e["t_ms"] for e in starts(history.events, 0)
               if e["guest"] == guest and e["t_ms"] < t_ms]
    # One start answers one command.
    since_ms = max([t_ms - STARTING_MS, *(ms + NOTICED_MS for ms in earlier)])
    if history.act("start", guest, since_ms, t_ms + NOTICED_MS):
        return Cause(True, "started by the run's operator")
    uuid = history.uuids[guest]
    # The order to start comes before the first write, and the next guest's life may begin soon.
    word = history.said(t_ms - STARTING_MS, t_ms + SEEN_MS, f"guest={uuid}", "step=starting") or \
        history.said(t_ms - STARTING_MS, t_ms + NOTICED_MS, f"guest={uuid}", "step=running")
    if word is None:
        return Cause(False, "no host says that it started it")
    found = RECOVERY.search(word.text)
    if found is None:
        return Cause(False, f"{word.host} started it without a recovery")
    recovery = found[1]
    proof = history.said(0, t_ms + NOTICED_MS, f"recovery={recovery}", "step=verdict")
    if proof:
        told = VERDICT.search(proof.text)
        return Cause(told is not None, f"recovery {recovery} on {word.host}: " + (
            f"{told[1]} dead by {told[2]}" if told else proof.text))
    given = history.said(0, t_ms + NOTICED_MS, f"recovery={recovery}", f"guest={uuid}",
                         "step=yielded")
    if given:
        return Cause(True, f"recovery {recovery} on {word.host}: yielded by its host")
    return Cause(False, f"recovery {recovery} on {word.host} has no verdict on record")


def starts(events: Iterable[dict], since_ms: int) -> list[dict]:
    return [e for e in events if e["event"] == "boot changed" and e["t_ms"] >= since_ms]


def told(history: History, stops: Sequence[Stop], since_ms: int) -> list[dict]:
    """Every stop and start in the order of time, with its cause."""
    found = []
    for stop in stops:
        cause = why_stopped(stop, history)
        found.append({"t_ms": stop.t_ms, "guest": stop.guest, "what": f"stopped on {stop.host}",
                      "good": cause.good, "cause": cause.text})
    for event in starts(history.events, since_ms):
        cause = why_started(event["guest"], event["t_ms"], history)
        found.append({"t_ms": event["t_ms"], "guest": event["guest"], "what": "started",
                      "good": cause.good, "cause": cause.text})
    return sorted(found, key=lambda entry: entry["t_ms"])
