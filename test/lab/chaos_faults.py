"""How each kind of fault of a chaos run begins and ends in the lab.

A fault that cannot be done just now, such as a signal to a daemon of a host without power, says why
and is left out: the schedule knows nothing of what earlier faults have led to.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from chaos_schedule import LINKS, Fault
from scenario_support import GUEST_XML, Cluster, bmc, errors, fabric, lab_hosts, storage, views

VIRSH_LIMIT_S = 20
# What makes a daemon ask for memory.
POKES = {"wardomd": ("wardomctl", "status"), "corosync": ("corosync-cmapctl",),
         "libvirtd": ("virsh", "list", "--all")}
MEMORY_CONTROLLERS = (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
                      ("/sys/fs/cgroup", "memory.max"))


class Hands:
    """What faults are done with: the lab, and what of it is under a fault now."""

    def __init__(self, cluster: Cluster, acted: Callable[[str, str], None]) -> None:
        self.cluster = cluster
        self.record = cluster.record
        self.acted = acted  # tells of a guest that the run itself started or ended
        self.fabric_lock = threading.Lock()  # the record of the fabric's faults is one file

    def host(self, fault: Fault):
        return self.record.host(fault.host)

    def set_link(self, fault: Fault, link: str, up: bool, one_way: str | None = None) -> None:
        with self.fabric_lock:
            fabric.set_link(self.record, self.host(fault), link, up, one_way)

    def set_split(self, groups: list[list[str]]) -> None:
        with self.fabric_lock:
            fabric.set_split(self.record, groups)

    def ask(self, fault: Fault, verb: str) -> None:
        self.cluster.ask_manager(fault.host, verb, fault.args["service"])

    def pid_of(self, fault: Fault) -> int:
        """The outer PID of the fault's service."""
        state = self.cluster.services(fault.host)[fault.args["service"]]
        _, namespace = lab_hosts.identity(self.record, self.host(fault))
        pid = views.outer_pids(namespace).get(state["inner_pid"])
        if not pid:
            raise errors.LabError(f"service {fault.args['service']} does not run",
                                  f"host {fault.host}")
        return pid

    def runners(self, guest: str) -> list[tuple[str, int, bool]]:
        return views.qemu_processes(self.record)[guest]


# --- power ---------------------------------------------------------------------------------------


def cut(hands: Hands, fault: Fault) -> str:
    lab_hosts.cut(hands.record, hands.host(fault))
    return ""


def power_on(hands: Hands, fault: Fault) -> str:
    """Also of a host that Wardom has switched off meanwhile."""
    if not hands.cluster.is_powered(fault.host):
        lab_hosts.power_on(hands.record, hands.host(fault))
    return ""


def pull(hands: Hands, fault: Fault) -> str:
    bmc.stop(hands.record, hands.host(fault))
    return cut(hands, fault)


def plug_in(hands: Hands, fault: Fault) -> str:
    bmc.set_mode(hands.record, hands.host(fault), "up")
    return power_on(hands, fault)


def quick_reboot(hands: Hands, fault: Fault) -> str:
    cut(hands, fault)
    return power_on(hands, fault)


def hang(hands: Hands, fault: Fault) -> str:
    lab_hosts.hang(hands.record, hands.host(fault))
    return ""


def resume(hands: Hands, fault: Fault) -> str:
    if lab_hosts.is_hung(hands.record, hands.host(fault)):
        with contextlib.suppress(errors.LabError):  # it may lose its power at this very moment
            lab_hosts.resume(hands.record, hands.host(fault))
    return power_on(hands, fault)


# --- BMC -----------------------------------------------------------------------------------------


def bmc_mode(mode: str) -> Callable[[Hands, Fault], str]:
    def set_it(hands: Hands, fault: Fault) -> str:
        bmc.set_mode(hands.record, hands.host(fault), mode)
        return ""
    return set_it


# --- networks ------------------------------------------------------------------------------------


def link_down(hands: Hands, fault: Fault) -> str:
    hands.set_link(fault, fault.args["link"], False, fault.args.get("blocked"))
    return ""


def link_up(hands: Hands, fault: Fault) -> str:
    hands.set_link(fault, fault.args["link"], True)
    return ""


def isolate(hands: Hands, fault: Fault) -> str:
    for link in LINKS:
        hands.set_link(fault, link, False)
    return ""


def join(hands: Hands, fault: Fault) -> str:
    for link in LINKS:
        hands.set_link(fault, link, True)
    return ""


def split(hands: Hands, fault: Fault) -> str:
    hands.set_split([group.split(",") for group in fault.args["groups"].split("|")])
    return ""


def unite(hands: Hands, fault: Fault) -> str:
    hands.set_split([])
    return ""


# --- storage -------------------------------------------------------------------------------------


def storage_does(action: str) -> Callable[[Hands, Fault], str]:
    def do_it(hands: Hands, fault: Fault) -> str:
        storage.control(hands.record, action)
        return ""
    return do_it


def storage_errors(on: bool) -> Callable[[Hands, Fault], str]:
    def do_it(hands: Hands, fault: Fault) -> str:
        storage.set_errors(hands.record, on)
        return ""
    return do_it


# --- services ------------------------------------------------------------------------------------


def out_of_memory(hands: Hands, fault: Fault) -> str:
    """The kernel's OOM killer ends the service when it next wants a page. One that lives on what
    it has until the fault's end is killed outright then."""
    pid = hands.pid_of(fault)
    group = next((Path(root) / f"{hands.cluster.name}-{fault.id}", limit)
                 for root, limit in MEMORY_CONTROLLERS if Path(root, "cgroup.procs").exists())
    directory, limit = group
    directory.mkdir()
    try:
        (directory / "cgroup.procs").write_text(f"{pid}\n")
        (directory / limit).write_text("0\n")
        deadline = time.monotonic() + fault.for_s
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            if fault.args["service"] in POKES:
                hands.cluster.run(fault.host, "timeout", "1", *POKES[fault.args["service"]])
            time.sleep(0.02)
        by_kernel = not Path(f"/proc/{pid}").exists()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    finally:
        remove_group(directory)
    return "by the kernel" if by_kernel else "it wanted no page: killed"


def remove_group(directory: Path) -> None:
    """It can be removed when its last process is gone."""
    deadline = time.monotonic() + 5.0
    while True:
        try:
            directory.rmdir()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def reload(hands: Hands, fault: Fault) -> str:
    """As `systemctl reload` does. SIGHUP ends a daemon that knows no reload, which is what an
    administrator gets who tries; its manager starts it again."""
    if fault.args["service"] == "corosync":
        done = hands.cluster.run(fault.host, "timeout", str(VIRSH_LIMIT_S), "corosync-cfgtool",
                                 "-R")
        return f"exit code {done.returncode}" if done.returncode else ""
    os.kill(hands.pid_of(fault), signal.SIGHUP)
    return ""


def hurt_service(hands: Hands, fault: Fault) -> str:
    way = fault.args["way"]
    if way == "oom":
        return out_of_memory(hands, fault)
    if way == "reload":
        return reload(hands, fault)
    hands.ask(fault, {"kill": "kill", "freeze": "hang", "stop": "stop"}[way])
    return ""


def mend_service(hands: Hands, fault: Fault) -> str:
    if fault.args["way"] == "freeze":
        with contextlib.suppress(errors.LabError):  # whoever watches it has killed it
            hands.ask(fault, "resume")
    hands.ask(fault, "start")
    return ""


# --- guests --------------------------------------------------------------------------------------


def crash_guest(hands: Hands, fault: Fault) -> str:
    running = hands.runners(fault.args["guest"])
    if not running:
        return "it does not run"
    hands.acted("crash", fault.args["guest"])
    for _, pid, _ in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return f"on {running[0][0]}"


def start_crashed(hands: Hands, fault: Fault) -> str:
    """An operator starts it where Wardom says that it belongs, unless it runs by now."""
    guest = fault.args["guest"]
    if hands.runners(guest):
        return "it runs already"
    for asked in hands.cluster.answering():
        owner = hands.cluster.guest_view(asked, guest).get("owner")
        if owner == asked:
            return start(hands, owner, guest, "start", guest)
    return "nobody says that it owns it"


def stray_start(hands: Hands, fault: Fault) -> str:
    """Somebody starts a guest on a host, wherever it belongs."""
    guest = fault.args["guest"]
    return start(hands, fault.host, guest, "create", GUEST_XML.format(guest))


def start(hands: Hands, host: str, guest: str, *virsh: str) -> str:
    done = hands.cluster.run(host, "timeout", str(VIRSH_LIMIT_S), "virsh", "--quiet", *virsh)
    if done.returncode == 0:
        hands.acted("start", guest)
        return f"started on {host}"
    return f"refused on {host}: " + " ".join(done.stderr.split())[-120:]


def no_end(hands: Hands, fault: Fault) -> str:
    return ""


Step = Callable[[Hands, Fault], str]

# Kind -> how it begins, how it ends. Each tells what is worth telling.
TABLE: dict[str, tuple[Step, Step]] = {
    "power-cut": (cut, power_on),
    "pull": (pull, plug_in),
    "quick-reboot": (quick_reboot, no_end),
    "hang": (hang, resume),
    "link": (link_down, link_up),
    "one-way": (link_down, link_up),
    "isolate": (isolate, join),
    "service": (hurt_service, mend_service),
    "guest-crash": (crash_guest, start_crashed),
    "stray-start": (stray_start, no_end),
    "bmc-down": (bmc_mode("down"), bmc_mode("up")),
    "bmc-lie": (bmc_mode("lie"), bmc_mode("up")),
    "split": (split, unite),
    "storage-pause": (storage_does("pause"), storage_does("resume")),
    "storage-error": (storage_errors(True), storage_errors(False)),
}
