"""Starting a lab: everything that can happen at the same time does."""

from __future__ import annotations

import concurrent.futures
import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from . import (bmc, down, errors, fabric, flight, host as hosts, layout, pacemaker, recorder, run,
               services, stack_stock, stack_wardom, storage, watchdog)
from .configs import GUEST_XML_DIR
from .layout import Host, Lab

BASE_LIMIT_S = 40.0
GUEST_LIMIT_S = 30.0

# Lab hosts boot in two seconds, real ones in minutes. The stock stack powers a dead host on again
# while it fences; if that host came back in the middle of the recovery, it would slow the peer
# down in a way that no real host does.
DEFAULT_POST_S = {"none": 0.0, "wardom": 0.0, "stock": 30.0}
MAX_POST_S = 600.0

PROGRAMS = ("ip", "nft", "nsenter", "unshare", "setsid", "flock", "tini", "nbdkit", "nbdfuse",
            "corosync", "libvirtd", "virsh", "qemu-system-x86_64")
PROGRAMS_OF_BMC = ("ipmi_sim", "ipmitool")
PROGRAMS_OF_STACK = {"none": (), "wardom": (), "stock": ("pacemakerd", "cibadmin", "crm_resource")}

Progress = Callable[[str], None]


def each(hosts_: Iterable[Host], action: Callable[[Host], None]) -> None:
    """Do it on all hosts at once; the first error is the answer."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=16) as pool:
        for future in [pool.submit(action, host) for host in hosts_]:
            future.result()


def check_machine(lab: Lab) -> None:
    needed = [*PROGRAMS, *PROGRAMS_OF_STACK[lab.stack], *(PROGRAMS_OF_BMC if lab.bmc else ()),
              *(("pacemakerd", "crm_mon") if lab.pacemaker else ())]
    missing = [name for name in needed if not shutil.which(name, path=run.CLEAN_ENV["PATH"])]
    if missing:
        raise errors.LabError(f"programs are missing: {', '.join(missing)}", "this machine",
                              "apt-get install what scripts/packages-lab lists")
    if not os.path.exists("/dev/fuse"):
        raise errors.LabError("/dev/fuse is missing", "this machine", "modprobe fuse")
    if lab.stack == "wardom":
        stack_wardom.check_programs(lab)
    found = down.remains(lab.name)
    if found:
        raise errors.refused(f"remains of an earlier lab of that name: {'; '.join(found)}",
                             f"lab '{lab.name}'", f"run `lab --name {lab.name} down` first")


def up(lab: Lab, progress: Progress) -> None:
    """The caller holds the lab's lock and has checked the machine; after an error all stays."""
    progress("fabric, storage and hosts")
    lab.dir.mkdir(mode=0o755)
    run.command(["mount", "-t", "tmpfs", "-o", "mode=755", "wardom-lab", str(lab.dir)])
    run.command(["mount", "--make-private", str(lab.dir)])
    lab.started_ms = run.now_ms()
    lab.save()
    (lab.dir / "wardom.key").write_text(secrets.token_hex(32) + "\n")
    hosts.copy_code(lab)
    if lab.package:
        shutil.copytree(lab.package, lab.installed, symlinks=True)
    storage.create_disks(lab)
    fabric.create(lab)
    storage.start(lab)
    flight.note(lab, "up", stack=lab.stack, hosts=[host.name for host in lab.hosts])
    for host in lab.machines:
        hosts.create(lab, host)
        services.write(lab, host)
        if lab.bmc:
            bmc.configure(lab, host)
            bmc.start(lab, host)
    if lab.stack == "stock":
        stack_stock.write_configuration(lab)
    if lab.pacemaker:
        pacemaker.write_configuration(lab, pacemaker.cib_beside_wardom(lab))
    recorder.start(lab)
    if lab.watchdog:
        watchdog.start(lab)
    each(lab.hosts, lambda host: hosts.power_on(lab, host))
    progress("corosync, libvirtd and the state volume on every host")
    each(lab.hosts, lambda host: base_ready(lab, host))
    STACKS[lab.stack](lab, progress)
    progress("guests count")
    wait_guests(lab)
    lab.complete = True
    lab.save()
    flight.note(lab, "up complete", took_ms=run.now_ms() - lab.started_ms)


def base_ready(lab: Lab, host: Host) -> None:
    services.wait_ready(lab, host, services.BASE, BASE_LIMIT_S)
    if lab.bmc:
        bmc.wait_ready(lab, host)


def start_guests(lab: Lab, host: Host) -> None:
    """Define and start a host's own guests, all in one virsh.

    A host without guests asks for QEMU's capabilities instead: libvirt examines QEMU at its first
    use and keeps the result, and that second must not count as part of a recovery.
    """
    names = [name for name in lab.guests if lab.home_of(name) == host]
    words = [f"define {GUEST_XML_DIR}/{name}.xml; start {name}" for name in names]
    hosts.execute(lab, host, ["virsh", "--quiet", "; ".join(words or ["domcapabilities"])],
                  limit_s=GUEST_LIMIT_S + 3 * len(names))


def start_none(lab: Lab, progress: Progress) -> None:
    progress("guests")
    each(lab.hosts, lambda host: start_guests(lab, host))


def wait_guests(lab: Lab) -> None:
    recorder.wait_ready(lab)
    silent: list[str] = []

    def all_count() -> bool:
        silent[:] = [name for name, (moved_ms, _, _)
                     in zip(lab.guests, recorder.last_changes(lab)) if moved_ms == 0]
        return not silent

    try:
        run.wait_for("sign of life", all_count, GUEST_LIMIT_S + 0.2 * len(lab.guests))
    except errors.LabError as error:
        homes = ", ".join(f"{name} (on {lab.home_of(name).name})" for name in silent)
        raise errors.LabError(error.what, f"guests {homes}", "`lab exec HOST virsh list --all`")


STACKS: dict[str, Callable[[Lab, Progress], None]] = {
    "none": start_none,
    "wardom": stack_wardom.start,
    "stock": stack_stock.start,
}


def wardom_of(stack: str) -> dict[str, str]:
    """Where the hosts' Wardom comes from: the package of the release build, or WARDOM_BIN."""
    if stack != "wardom":
        return {"wardom_bin": ""}
    if os.environ.get("WARDOM_BIN"):
        return {"wardom_bin": os.environ["WARDOM_BIN"]}
    build = stack_wardom.REPOSITORY / "build" / "release"
    return {"wardom_bin": str(build / "bin"), "package": str(build / "package" / "root")}


def plan(name: str, stack: str, profile: str, with_bmc: bool, host_count: int, domains: int,
         guest_count: int, post_s: float | None, spares: int = 0) -> Lab:
    """Check what was asked for and make it a lab."""
    if post_s is None:
        post_s = DEFAULT_POST_S[stack]
    if not 0 <= post_s <= MAX_POST_S:
        raise errors.usage(f"{post_s} is out of range", "--post-s", f"use 0 to {MAX_POST_S:g}")
    for what, value, low, high in (("--hosts", host_count, 1, layout.MAX_HOSTS),
                                   ("--spares", spares, 0, layout.MAX_HOSTS - host_count),
                                   ("--domains", domains, 1, min(layout.MAX_DOMAINS, host_count)),
                                   ("--guests", guest_count, 0, layout.MAX_GUESTS)):
        if not low <= value <= high:
            raise errors.usage(f"{value} is out of range", what, f"use {low} to {high}")
    return Lab(name=name, stack=stack, profile=profile, bmc=with_bmc,
               hosts=layout.plan_hosts(host_count, domains),
               spares=[Host(host_count + i + 1, "d1", 1) for i in range(spares)],
               guests=[f"g{i + 1}" for i in range(guest_count)],
               post_s=post_s, **wardom_of(stack))
