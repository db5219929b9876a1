"""A machine to install packages on: this one's files under an overlay, so that nothing of it is
changed, with a systemd that only writes down what it is told.
"""

from __future__ import annotations

import ctypes
import os
import pathlib
import subprocess
import tempfile

MS_NOSUID, MS_BIND, MS_REC, MS_PRIVATE = 2, 4096, 16384, 1 << 18
MNT_DETACH = 2
CLONE_NEWNS = 0x20000
PTRACE_TRACEME = 0

SYSTEMCTL = """\
#!/bin/sh
# $1 may be an option; what changes something is written down, questions are answered from /run/fake.
for word in "$@"; do
  case $word in -*) ;; *) verb=$word; break ;; esac
done
for unit in "$@"; do :; done
unit=${unit%.service}
case $verb in
  is-active) [ -e "/run/fake/$unit" ] ;;
  is-enabled) echo disabled; exit 1 ;;
  show)
    case "$*" in
      *MainPID*) cat "/run/fake/$unit" ;;
      *KillMode*) cat "/run/fake/$unit.KillMode" 2>/dev/null || echo process ;;
    esac ;;
  daemon-reload) ;;
  *) echo "$verb $unit" >>/run/fake.log ;;
esac
"""

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: object, kind: str, flags: int = 0, data: str = "") -> None:
    check(libc.mount(source.encode(), str(target).encode(), kind.encode() or None, flags,
                     data.encode() or None), f"mount on {target}")


def leave_the_machines_mounts() -> None:
    """What is mounted from here on is this process's own, and ends with it."""
    check(libc.unshare(CLONE_NEWNS), "unshare")
    mount("none", "/", "", MS_REC | MS_PRIVATE)


class Machine:
    """Use as a context. `systemd=False`: one on which systemd does not run, as in a chroot."""

    def __init__(self, systemd: bool = True, policy: int = 0) -> None:
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="wardom-package-"))
        mount("tmpfs", self.directory, "tmpfs", MS_NOSUID)
        self.upper, self.root = self.directory / "upper", self.directory / "root"
        for path in (self.upper, self.root, self.directory / "work"):
            path.mkdir()
        mount("overlay", self.root, "overlay", 0,
              f"lowerdir=/,upperdir={self.upper},workdir={self.directory / 'work'}")
        for where in ("run", "tmp"):
            mount("tmpfs", self.root / where, "tmpfs", MS_NOSUID)
        mount("/dev", self.root / "dev", "", MS_BIND | MS_REC)
        mount("/proc", self.root / "proc", "", MS_BIND | MS_REC)
        (self.root / "run/fake").mkdir()
        if systemd:
            (self.root / "run/systemd/system").mkdir(parents=True)
        self.put("usr/bin/systemctl", SYSTEMCTL, 0o755)
        self.put("usr/sbin/policy-rc.d", f"#!/bin/sh\nexit {policy}\n", 0o755)
        self.children: list[subprocess.Popen] = []

    def __enter__(self) -> "Machine":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_all()
        for path in (self.root, self.directory):
            libc.umount2(str(path).encode(), MNT_DETACH)
        self.directory.rmdir()

    def stop_all(self) -> None:
        for child in self.children:
            child.kill()
            child.wait()
        self.children.clear()
        for path in (self.root / "run/fake").iterdir():
            path.unlink()

    def put(self, path: str, text: str, mode: int = 0o644) -> None:
        where = self.root / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.unlink(missing_ok=True)
        where.write_text(text)
        where.chmod(mode)

    def start(self, unit: str, program: str = "/usr/bin/sleep") -> None:
        """A process that counts as the unit's: the program, held before its first instruction."""
        def enter() -> None:
            os.chroot(self.root)
            os.chdir("/")
            check(libc.ptrace(PTRACE_TRACEME, 0, None, None), "ptrace")

        child = subprocess.Popen([program], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, preexec_fn=enter)
        self.children.append(child)
        self.put(f"run/fake/{unit}", f"{child.pid}\n")

    def told(self) -> list[str]:
        """What systemd was told to do since the last call."""
        log = self.root / "run/fake.log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    def run(self, *argv: str, stdin: str = "", code: int | None = 0) -> str:
        done = subprocess.run(["chroot", str(self.root), *argv], input=stdin, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              timeout=120,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"})
        if code is not None and done.returncode != code:
            raise AssertionError(f"{' '.join(argv)}: exit code {done.returncode}: {done.stdout}")
        return done.stdout

    def dpkg(self, *arguments: str, code: int | None = 0) -> str:
        return self.run("dpkg", "--force-unsafe-io", "--force-confold", "--no-triggers",
                        *arguments, code=code)

    def configured(self, before: str = "") -> str:
        """What an installation does in its last step, after the version `before`."""
        return self.run("/var/lib/dpkg/info/wardom.postinst", "configure", before)

    def install(self, package: pathlib.Path) -> str:
        (self.root / "tmp" / package.name).write_bytes(package.read_bytes())
        return self.dpkg("--install", f"/tmp/{package.name}")

    def left(self) -> list[str]:
        """Files and directories that are new on this machine and have to do with Wardom."""
        return sorted(str(path.relative_to(self.upper)) for path in self.upper.rglob("*wardom*")
                      if not path.is_char_device())
