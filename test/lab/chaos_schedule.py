"""What a chaos run will do: every fault, drawn from the seed before anything runs.

A schedule is data: it is printed, kept with a failure, replayed, and reduced by leaving faults out.
Each fault is drawn from a stream of its own, so one that is left out moves no other. Half of the
episodes are bursts on one host: that is where independent faults find least.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

VERSION = 1
MODES = ("mixed", "own")
MAX_MINUTES = 600.0

LINKS = ("mgmt", "storage")
OWN_SERVICES = ("wardomd", "keeper", "corosync", "libvirtd")
SERVICES = (*OWN_SERVICES, "volume")
WAYS = ("kill", "freeze", "stop", "oom", "reload")

# Of each profile: the feed window T_F, the watchdog's worst time W, and the lab watchdog's timeout.
PROFILES = {"fast": (6.0, 5.0, 4.0), "default": (20.0, 10.0, 9.0)}
# The lease counts from the last heartbeat before a fault, and a loaded machine takes its time.
EARLY_S = 1.0
# wardom-keeper opens a volume anew that has failed for a quarter of T_F: what served the file and was
# started again is of no use to it before. With a margin for a machine under load.
REOPEN_S = 2.5
# Silence that nobody takes for a death: corosync's token alone is longer.
SHORT_SILENCE_S = 0.8
# A lie of a BMC is known for one when it has been read a few times beside a life sign.
LIE_KNOWN_S = 6.0
# After the end of a fault the cluster gives way for this long before a BMC begins to lie.
LIE_AFTER_S = 25.0
# Own faults come one at a time: how long each may last, and the time between two.
OWN_LONGEST_S = 9.0
OWN_PAUSE_S = 2.0


@dataclasses.dataclass(frozen=True)
class LabPlan:
    """What the lab is asked to be."""

    hosts: int
    guests: int
    profile: str
    outage: str
    stay_up: bool
    watchdog: bool

    @property
    def host_names(self) -> list[str]:
        return [f"n{i + 1}" for i in range(self.hosts)]

    @property
    def guest_names(self) -> list[str]:
        return [f"g{i + 1}" for i in range(self.guests)]

    @property
    def t_f_s(self) -> float:
        return PROFILES[self.profile][0]

    @property
    def w_s(self) -> float:
        return PROFILES[self.profile][1]

    @property
    def d_s(self) -> float:
        """How long an observer must see silence (leases.md, without its derivation)."""
        return 1.01 * (self.t_f_s / 0.99 + self.w_s * 1.05 + 1.0)

    @property
    def kills_s(self) -> float:
        """So long without the volume costs no guest."""
        return 0.75 * self.t_f_s - EARLY_S

    @property
    def bites_s(self) -> float:
        """So long without its keeper costs a host no guest."""
        return min(self.kills_s, PROFILES[self.profile][2] - EARLY_S)

    def up_words(self) -> list[str]:
        return ["--hosts", str(self.hosts), "--guests", str(self.guests), "--profile", self.profile,
                "--outage", self.outage, *(["--stay-up"] if self.stay_up else []),
                *([] if self.watchdog else ["--no-watchdog"])]


@dataclasses.dataclass(frozen=True)
class Fault:
    """One fault: what, where, when it begins, for how long it lasts, and whose guests it may stop
    all by itself."""

    id: int
    kind: str
    hosts: tuple[str, ...]  # empty: all of them
    at_s: float
    for_s: float
    args: dict[str, str] = dataclasses.field(default_factory=dict)
    may_cost: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        return self.hosts[0]

    @property
    def end_s(self) -> float:
        return self.at_s + self.for_s

    def touches(self, host: str) -> bool:
        return not self.hosts or host in self.hosts

    def title(self) -> str:
        words = [self.kind, ",".join(self.hosts) or "all", *self.args.values()]
        return " ".join(words)


@dataclasses.dataclass(frozen=True)
class Schedule:
    seed: int
    mode: str
    minutes: float
    lab: LabPlan
    faults: tuple[Fault, ...]

    def only(self, ids: Collection[int]) -> Schedule:
        unknown = set(ids) - {fault.id for fault in self.faults}
        if unknown:
            raise ValueError(f"no such fault: {', '.join(map(str, sorted(unknown)))}")
        return dataclasses.replace(
            self, faults=tuple(fault for fault in self.faults if fault.id in ids))

    def to_json(self) -> dict[str, Any]:
        return {"version": VERSION, **dataclasses.asdict(self)}


def from_json(value: dict[str, Any]) -> Schedule:
    if value.get("version") != VERSION:
        raise ValueError(f"schedule version {value.get('version')}, only {VERSION} is known")
    faults = []
    for entry in value["faults"]:
        fault = Fault(**{**entry, "hosts": tuple(entry["hosts"]),
                         "may_cost": tuple(entry["may_cost"])})
        if fault.kind not in KINDS:
            raise ValueError(f"unknown fault '{fault.kind}'")
        faults.append(fault)
    return Schedule(value["seed"], value["mode"], value["minutes"], LabPlan(**value["lab"]),
                    tuple(faults))


def load(path: Path) -> Schedule:
    return from_json(json.loads(path.read_text()))


# --- the kinds of faults -------------------------------------------------------------------------

Resource = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Kind:
    """How often it is drawn beside the others, what it holds while it lasts (two faults never hold
    the same at once), what is drawn for it, and whether it alone may stop a host's guests."""

    weight: int
    holds: Callable[[Fault], list[Resource]]
    draw: Callable[[random.Random, LabPlan], dict[str, str]]
    costs: Callable[[Fault, LabPlan], bool]
    everywhere: bool = False  # it has no host of its own


def nothing(_: random.Random, __: LabPlan) -> dict[str, str]:
    return {}


def never(_: Fault, __: LabPlan) -> bool:
    return False


def always(_: Fault, __: LabPlan) -> bool:
    return True


def if_silent(fault: Fault, _: LabPlan) -> bool:
    return fault.for_s > SHORT_SILENCE_S


def if_link_to_volume(fault: Fault, lab: LabPlan) -> bool:
    return lab.watchdog and fault.args["link"] == "storage" and fault.for_s > lab.kills_s


def if_volume_gone(fault: Fault, lab: LabPlan) -> bool:
    return lab.watchdog and lab.outage == "fence" and fault.for_s > lab.kills_s


def if_keeper_gone(fault: Fault, lab: LabPlan) -> bool:
    """The keeper's process is away, or what serves the volume to it: for good, but where that only
    stood still."""
    service, way = fault.args["service"], fault.args["way"]
    if service == "volume":
        away_s = fault.for_s if way == "freeze" else max(fault.for_s, REOPEN_S)
        return lab.watchdog and away_s > lab.kills_s
    return lab.watchdog and service == "keeper" and way in ("freeze", "stop") \
        and fault.for_s > lab.bites_s


def one_link(draw: random.Random, _: LabPlan) -> dict[str, str]:
    return {"link": draw.choice(LINKS)}


def one_way(draw: random.Random, _: LabPlan) -> dict[str, str]:
    return {"link": draw.choice(LINKS), "blocked": draw.choice(("in", "out"))}


def one_guest(draw: random.Random, lab: LabPlan) -> dict[str, str]:
    return {"guest": draw.choice(lab.guest_names)}


def one_service(draw: random.Random, _: LabPlan) -> dict[str, str]:
    """A guest that libvirtd starts would share its memory limit, as on no real host."""
    service, way = draw.choice(SERVICES), draw.choice(WAYS)
    return {"service": service, "way": "kill" if (service, way) == ("libvirtd", "oom") else way}


def groups(draw: random.Random, lab: LabPlan) -> dict[str, str]:
    """Two groups, or two hosts that do not see each other while the others see both."""
    names = lab.host_names
    draw.shuffle(names)
    if draw.random() < 0.3:
        return {"groups": f"{names[0]}|{names[1]}"}
    if draw.random() < 0.2:
        return {"groups": "|".join(sorted(names))}
    cut = draw.randrange(1, len(names))
    return {"groups": f"{','.join(sorted(names[:cut]))}|{','.join(sorted(names[cut:]))}"}


def power_of(fault: Fault) -> list[Resource]:
    return [("power", fault.host)]


def bmc_of(fault: Fault) -> list[Resource]:
    return [("bmc", fault.host)]


def link_of(fault: Fault) -> list[Resource]:
    return [("link", fault.host, fault.args["link"])]


def links_of(fault: Fault) -> list[Resource]:
    return [("link", fault.host, link) for link in LINKS]


def service_of(fault: Fault) -> list[Resource]:
    return [("service", fault.host, fault.args["service"])]


def guest_of(fault: Fault) -> list[Resource]:
    return [("guest", fault.args["guest"])]


def split_of(_: Fault) -> list[Resource]:
    return [("split",)]


def storage_of(_: Fault) -> list[Resource]:
    return [("storage",)]


KINDS: dict[str, Kind] = {
    "power-cut": Kind(3, power_of, nothing, always),
    "pull": Kind(2, lambda fault: power_of(fault) + bmc_of(fault), nothing, always),
    "quick-reboot": Kind(2, power_of, nothing, always),
    "hang": Kind(3, power_of, nothing, if_silent),
    "link": Kind(3, link_of, one_link, if_link_to_volume),
    "one-way": Kind(3, link_of, one_way, if_link_to_volume),
    "isolate": Kind(2, links_of, nothing, if_silent),
    "service": Kind(10, service_of, one_service, if_keeper_gone),
    "guest-crash": Kind(2, guest_of, one_guest, never, everywhere=True),
    "stray-start": Kind(2, guest_of, one_guest, never),
    "bmc-down": Kind(2, bmc_of, nothing, never),
    "bmc-lie": Kind(1, bmc_of, nothing, never),
    "split": Kind(3, split_of, groups, never, everywhere=True),
    "storage-pause": Kind(2, storage_of, nothing, if_volume_gone, everywhere=True),
    "storage-error": Kind(1, storage_of, nothing, if_volume_gone, everywhere=True),
}


def whose_guests(fault: Fault, lab: LabPlan) -> tuple[str, ...]:
    if not KINDS[fault.kind].costs(fault, lab):
        return ()
    return fault.hosts or tuple(lab.host_names)


# --- drawing -------------------------------------------------------------------------------------


def stream(seed: int, *name: object) -> random.Random:
    return random.Random("/".join(map(str, ("chaos", seed, *name))))


def draw_lab(seed: int, mode: str) -> LabPlan:
    draw = stream(seed, mode, "lab")
    hosts = draw.choice((3, 3, 3, 4))
    return LabPlan(hosts=hosts, guests=hosts + draw.randrange(0, 3),
                   profile=draw.choice(("fast", "fast", "fast", "default")),
                   outage=draw.choice(("fence", "ride-out")), stay_up=draw.random() < 0.3,
                   watchdog=draw.random() < (0.9 if mode == "mixed" else 0.75))


def duration(draw: random.Random, lab: LabPlan) -> float:
    """Half of them stand exactly at what timeouts there are."""
    marks = (lab.t_f_s / 4, lab.t_f_s / 2, 0.75 * lab.t_f_s, lab.t_f_s, lab.t_f_s + lab.w_s,
             lab.d_s)
    if draw.random() < 0.5:
        return round(max(0.2, draw.choice(marks) + draw.uniform(-0.3, 0.3)), 2)
    return round(draw.uniform(0.2, 1.3 * lab.d_s), 2)


def draw_fault(draw: random.Random, number: int, lab: LabPlan, host: str | None, at_s: float,
               kind: str | None = None) -> Fault:
    kind = kind or draw.choices(list(KINDS), [k.weight for k in KINDS.values()])[0]
    args = KINDS[kind].draw(draw, lab)
    named = draw.choice(lab.host_names)
    lasts = 0.0 if kind in ("quick-reboot", "stray-start") else duration(draw, lab)
    hosts = () if KINDS[kind].everywhere else (host or named,)
    if kind == "guest-crash":
        lasts = min(lasts, lab.t_f_s)
    fault = Fault(number, kind, hosts, round(at_s, 2), lasts, args)
    return dataclasses.replace(fault, may_cost=whose_guests(fault, lab))


def holds(fault: Fault) -> set[Resource]:
    return set(KINDS[fault.kind].holds(fault))


def fits(new: Fault, others: Iterable[Fault]) -> bool:
    """No two hold the same thing at once. And a BMC begins to lie while all is well: a lie that
    begins as its host falls silent cannot be told from a power cut, as README says."""
    for other in others:
        if new.at_s < other.end_s + 0.5 and other.at_s < new.end_s + 0.5 and \
                holds(new) & holds(other):
            return False
        for lie, beside in ((new, other), (other, new)):
            if lie.kind == "bmc-lie" and beside.at_s < lie.at_s + LIE_KNOWN_S and \
                    beside.end_s > lie.at_s - LIE_AFTER_S:
                return False
    return True


def draw_mixed(seed: int, minutes: float, lab: LabPlan) -> list[Fault]:
    """Episodes of up to five faults, and a calm after each that is sometimes long enough for all
    to be well again."""
    faults: list[Fault] = []
    end_s, at_s, episode = minutes * 60, 1.0, 0
    while at_s < end_s:
        draw = stream(seed, "episode", episode)
        episode += 1
        style = draw.choices(("single", "burst", "scatter", "lie"), (22, 50, 24, 4))[0]
        count = 1 if style == "single" else draw.randrange(2, 6)
        host = draw.choice(lab.host_names)
        drawn: list[Fault] = []
        for index in range(count):
            one = stream(seed, "episode", episode, index)
            begins = at_s if index == 0 else at_s + one.uniform(0.0, 0.75 * lab.d_s)
            kind = None
            if style == "lie":
                begins += LIE_AFTER_S if index == 0 else LIE_AFTER_S + LIE_KNOWN_S
                kind = "bmc-lie" if index == 0 else None
            fault = draw_fault(one, len(faults) + len(drawn), lab,
                               host if style in ("burst", "lie") else None, begins, kind)
            if fault.end_s <= end_s and fits(fault, [*faults, *drawn]):
                drawn.append(fault)
        faults += drawn
        over_s = max([fault.end_s for fault in drawn], default=at_s)
        at_s = over_s + draw.choice((0.5, 4.0, lab.d_s, lab.d_s + 8.0)) * draw.uniform(0.7, 1.3)
    return sorted(faults, key=lambda fault: (fault.at_s, fault.id))


def draw_own(seed: int, minutes: float, lab: LabPlan) -> list[Fault]:
    """Every way to hurt each daemon on each host, in an order of the seed's own."""
    draw = stream(seed, "own")
    every = [(host, service, way) for host in lab.host_names for service in OWN_SERVICES
             for way in WAYS]
    draw.shuffle(every)
    faults: list[Fault] = []
    at_s = 1.0
    while at_s < minutes * 60:
        host, service, way = every[len(faults) % len(every)]
        fed = service == "keeper" and lab.watchdog
        lasts = stream(seed, "own", len(faults)).uniform(
            0.3, lab.bites_s - EARLY_S if fed else OWN_LONGEST_S)
        faults.append(Fault(len(faults), "service", (host,), round(at_s, 2), round(lasts, 2),
                            {"service": service, "way": way}))
        at_s = faults[-1].end_s + OWN_PAUSE_S
    return faults


def draw_schedule(seed: int, minutes: float, mode: str = "mixed") -> Schedule:
    """The same for the same arguments, on every machine."""
    if mode not in MODES:
        raise ValueError(f"mode {mode} is none of {', '.join(MODES)}")
    if not 0 < minutes <= MAX_MINUTES:
        raise ValueError(f"{minutes:g} minutes: give more than 0 and at most {MAX_MINUTES:g}")
    lab = draw_lab(seed, mode)
    drawn = draw_mixed if mode == "mixed" else draw_own
    return Schedule(seed, mode, minutes, lab, tuple(drawn(seed, minutes, lab)))
