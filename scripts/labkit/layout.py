"""Names, addresses and paths of a lab: the only place that knows them.

Everything a lab owns carries the lab's name: its network namespaces (`wardom-lab.NAME.…`) and its
state directory (`/run/wardom-lab/NAME`, one tmpfs, so that unmounting it removes every file).
Addresses repeat in every lab, because namespaces keep labs apart.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path

from . import errors

RUN_DIR = Path("/run/wardom-lab")
NETNS_DIR = Path("/run/netns")
NAME_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,32}")

LINKS = ("mgmt", "storage")
MAX_HOSTS = 64
MAX_GUESTS = 400
MAX_DOMAINS = 8

STORAGE_SERVER = "10.78.0.200"
GUEST_PORT = 10809
VOLUME_PORT = 10810
VOLUME_BYTES = 64 << 20
GUEST_DISK_BYTES = 1 << 20

BMC_PORT = 623
BMC_USER = "admin"
BMC_PASSWORD = "lab-secret"
BMC_CIPHER_SUITE = 3

# Where a host finds the lab's own code and directories after it has changed its root.
HOST_CODE_DIR = Path("/opt/wardom-lab/code")
HOST_LAB_DIR = Path("/opt/wardom-lab/host")
HOST_BIN_DIR = Path("/opt/wardom-lab/bin")
WATCHDOG_SOCKET = "watchdog"  # in the host's lab directory
VOLUME_PATH = "/var/lib/wardom/volume"


@dataclasses.dataclass(frozen=True)
class Host:
    """One lab host; `id` is also its corosync node id and the last byte of its addresses."""

    id: int
    domain: str
    domain_id: int

    @property
    def name(self) -> str:
        return f"n{self.id}"

    def address(self, link: str) -> str:
        return f"10.{77 if link == 'mgmt' else 78}.0.{self.id}"

    @property
    def bmc(self) -> str:
        return f"10.77.0.{100 + self.id}"

    def port(self, link: str) -> str:
        """The fabric's end of the host's cable."""
        return f"{self.name}-{link}"


@dataclasses.dataclass
class Lab:
    """What a lab was asked to be. Written once by `up`, read by every other command."""

    name: str
    stack: str
    profile: str
    bmc: bool
    hosts: list[Host]
    guests: list[str]
    wardom_bin: str
    # The unpacked package that the hosts get; empty: they get wardom_bin's programs, as developers
    # wish who set WARDOM_BIN. wardom_bin also holds what tests need and no package has.
    package: str = ""
    # Machines that are there, without power, and in no file of the cluster's: `adopt` makes them hosts.
    spares: list[Host] = dataclasses.field(default_factory=list)
    watchdog: bool = False  # hosts have the lab's watchdog, and so hold leases
    post_s: float = 0.0  # from power on to the first process: the firmware's time
    disk_interval_ms: int = 0  # 0: Wardom's default
    outage: str = ""           # volume.outage; empty: Wardom's default
    stay_up: bool = False      # watchdog.stay_up
    log_volume: bool = False   # the volume's server writes down every request
    pacemaker: bool = False    # beside Wardom, which is corosync's quorum device then
    slow_guests: bool = False  # they count every few seconds: many go on little processor time
    started_ms: int = 0
    complete: bool = False

    # --- paths -------------------------------------------------------------------------------

    @property
    def dir(self) -> Path:
        return RUN_DIR / self.name

    @property
    def disks(self) -> Path:
        return self.dir / "disks"

    @property
    def volume_log(self) -> Path:
        return self.dir / "storage-volume.requests"

    @property
    def installed(self) -> Path:
        """A copy of the package: another build must not change it under a running lab."""
        return self.dir / "package"

    @property
    def code(self) -> Path:
        """A copy of the lab's code: hosts and BMC hooks must not change under a running lab."""
        return self.dir / "code"

    @property
    def flight_log(self) -> Path:
        return self.dir / "flight.jsonl"

    @property
    def flight_state(self) -> Path:
        return self.dir / "flight.state"

    def host_dir(self, host: Host) -> Path:
        return self.dir / "hosts" / host.name

    def bmc_dir(self, host: Host) -> Path:
        return self.dir / "bmc" / host.name

    # --- namespaces --------------------------------------------------------------------------

    @property
    def fabric(self) -> str:
        return netns_name(self.name, "fabric")

    def netns(self, host: Host) -> str:
        return netns_name(self.name, host.name)

    # --- look-ups ----------------------------------------------------------------------------

    @property
    def machines(self) -> list[Host]:
        return [*self.hosts, *self.spares]

    def host(self, name: str) -> Host:
        for host in self.machines:
            if host.name == name:
                return host
        known = ", ".join(h.name for h in self.machines)
        raise errors.usage(f"no such host '{name}'", f"lab '{self.name}'", f"hosts are {known}")

    def home_of(self, guest: str) -> Host:
        """The host on which `up` starts a guest: round robin."""
        return self.hosts[self.guests.index(guest) % len(self.hosts)]

    def domains(self) -> dict[str, list[Host]]:
        found: dict[str, list[Host]] = {}
        for host in self.hosts:
            found.setdefault(host.domain, []).append(host)
        return found

    # --- changes -----------------------------------------------------------------------------

    def adopt(self, name: str) -> None:
        """A spare machine counts as one of the hosts from now on."""
        host = self.host(name)
        self.spares.remove(host)
        self.hosts.append(host)
        self.save()

    def dismiss(self, name: str) -> None:
        """A host counts as a spare machine from now on."""
        host = self.host(name)
        self.hosts.remove(host)
        self.spares.append(host)
        self.save()

    # --- record ------------------------------------------------------------------------------

    def save(self) -> None:
        record = dataclasses.asdict(self)
        temporary = self.dir / "lab.json.new"
        temporary.write_text(json.dumps(record, indent=1))
        os.replace(temporary, self.dir / "lab.json")


def netns_name(lab: str, part: str) -> str:
    return f"wardom-lab.{lab}.{part}"


def netns_path(name: str) -> Path:
    return NETNS_DIR / name


def netns_of_lab(lab: str) -> list[str]:
    """The network namespaces that exist for a lab, whoever left them."""
    prefix = netns_name(lab, "")
    try:
        return sorted(n for n in os.listdir(NETNS_DIR) if n.startswith(prefix))
    except FileNotFoundError:
        return []


def check_name(name: str) -> str:
    if not NAME_PATTERN.fullmatch(name):
        raise errors.usage(f"'{name}' is not a lab name", "--name",
                           "use up to 32 letters, digits, '-' or '_'")
    return name


def plan_hosts(hosts: int, domains: int) -> list[Host]:
    """Spread hosts evenly and in order: with 4 hosts in 2 domains, n1 and n2 are in d1."""
    return [Host(i + 1, f"d{i * domains // hosts + 1}", i * domains // hosts + 1)
            for i in range(hosts)]


def load(name: str) -> Lab:
    """The record of a lab that is up."""
    path = RUN_DIR / name / "lab.json"
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        raise errors.LabError(f"there is no lab '{name}'", str(path), "start one with `lab up`")
    except ValueError as error:
        raise errors.LabError(f"the lab's record is damaged ({error})", str(path), "run `lab down`")
    for kind in ("hosts", "spares"):
        record[kind] = [Host(**h) for h in record[kind]]
    return Lab(**record)
