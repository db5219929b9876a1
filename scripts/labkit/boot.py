"""The first process of a host: builds the host's root and becomes tini.

It runs as PID 1 of fresh mount, PID, UTS and IPC namespaces, inside the host's network namespace.
The host's disk is an overlay of this machine's root; its upper directory outlives a power cut, as
a disk does, while /run, /tmp, /dev/shm and the boot id are new at every boot.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
import uuid
from pathlib import Path

from .configs import OWN_DIRECTORIES
from .layout import HOST_BIN_DIR, HOST_CODE_DIR, HOST_LAB_DIR, Host, Lab
from .run import CLEAN_ENV

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

# No kvm: guests are always emulated, and libvirt need not ask for what must not be used.
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9),
           "tty": (5, 0), "fuse": (10, 229), "net/tun": (10, 200)}

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: Path | str, kind: str = "", flags: int = 0, data: str = "") -> None:
    check(libc.mount(source.encode(), str(target).encode(), kind.encode() or None, flags,
                     data.encode() or None), f"mount {source} on {target}")


def bind(source: Path, target: Path, *, read_only: bool = False,
         flags: int = MS_BIND | MS_REC) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount(str(source), target, flags=flags)
    if read_only:
        mount("none", target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY)


def become_host(lab: Lab, host: Host) -> None:
    """Never returns: ends as tini with the host's supervisor."""
    directory = lab.host_dir(host)
    # /proc is still the machine's own, in which this process has its outer PID.
    outer_pid = os.readlink("/proc/self")
    record = directory / "pid.new"
    record.write_text(f"{outer_pid} {os.readlink('/proc/self/ns/pid')}\n")
    os.replace(record, directory / "pid")
    root = build_root(lab, host)
    enter(root)
    check(libc.sethostname(host.name.encode(), len(host.name)), "sethostname")
    os.chdir("/")
    os.umask(0o022)
    os.execve("/usr/bin/tini", [
        "tini", "--", "/usr/bin/python3", "-I", str(HOST_CODE_DIR / "lab"), "--name", lab.name,
        "_supervise"], CLEAN_ENV)


def build_root(lab: Lab, host: Host) -> Path:
    directory = lab.host_dir(host)
    root = directory / "root"
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    mount("overlay", root, "overlay", 0,
          f"lowerdir={f'{lab.installed}:' if lab.package else ''}/,"
          f"upperdir={directory / 'upper'},workdir={directory / 'work'}")
    for where, options in (("run", "mode=755"), ("tmp", "mode=1777"), ("dev", "mode=755")):
        mount("tmpfs", root / where, "tmpfs", MS_NOSUID, options)
    for where in ("lock", "resource-agents", "lab"):
        (root / "run" / where).mkdir()
    make_devices(root / "dev")
    mount("proc", root / "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("sysfs", root / "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY)
    # The kernel has one boot id for all of the lab; every boot of a host needs its own.
    boot_id = root / "run" / "lab" / "boot_id"
    boot_id.write_text(f"{uuid.uuid4()}\n")
    bind(boot_id, root / "proc/sys/kernel/random/boot_id")
    disk = directory / "disk"
    for name in OWN_DIRECTORIES:
        bind(disk / name, root / name)
    bind(directory / "log", root / "var/log/lab")
    # Not with MS_REC: the host's own root is mounted in there.
    bind(directory, root / HOST_LAB_DIR.relative_to("/"), flags=MS_BIND)
    bind(lab.code, root / HOST_CODE_DIR.relative_to("/"), read_only=True)
    if lab.wardom_bin and Path(lab.wardom_bin).is_dir():
        bind(Path(lab.wardom_bin), root / HOST_BIN_DIR.relative_to("/"), read_only=True)
    return root


def make_devices(dev: Path) -> None:
    for name, (major, minor) in DEVICES.items():
        path = dev / name
        path.parent.mkdir(exist_ok=True)
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(major, minor))
        path.chmod(0o666)
    for name in ("shm", "pts"):
        (dev / name).mkdir()
    mount("tmpfs", dev / "shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    mount("devpts", dev / "pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=666")
    for name, target in (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "fd/0"),
                         ("stdout", "fd/1"), ("stderr", "fd/2")):
        (dev / name).symlink_to(target)


def enter(root: Path) -> None:
    """pivot_root with the old root stacked under the new one, then gone."""
    os.chdir(root)
    number = SYS_PIVOT_ROOT[os.uname().machine]
    check(libc.syscall(number, b".", b"."), "pivot_root")
    check(libc.umount2(b".", MNT_DETACH), "umount of the old root")


def main(lab: Lab, host: Host) -> None:
    try:
        become_host(lab, host)
    except OSError as error:
        print(f"{host.name} does not boot: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
