#!/usr/bin/env python3
"""The Debian package on a machine: what it installs, starts and leaves alone, over an upgrade, a
removal and a purge.

    test/package/package.py BUILD [CASE…]
"""

from __future__ import annotations

import fnmatch
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

import scratch

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "build/release"
OUT = BUILD / "package"
OLDER = "0.0.9"
PROGRAMS = ("wardomd", "wardom-keeper", "wardomctl", "fence_wardom", "wardom-qemu-hook")
UNITS = ("wardom-keeper.service", "wardomd.service")
CANNOT = 77   # as ctest is told

INSTALLED = {
    **{f"usr/sbin/{name}": 0o755 for name in PROGRAMS},
    "usr/lib/ocf/resource.d/wardom/Guest": 0o755,
    "usr/lib/ocf/resource.d/wardom/HostGuard": 0o755,
    "usr/libexec/wardom/wardom-alert": 0o755,
    "etc/libvirt/hooks/qemu.d/wardom": 0o755,
    "etc/needrestart/conf.d/wardom.conf": 0o644,
    "etc/wardom": 0o700,
    "var/lib/wardom": 0o700,
    **{f"usr/lib/systemd/system/{name}": 0o644 for name in UNITS},
    **{f"usr/share/man/man8/{name}.8.gz": 0o644 for name in (*PROGRAMS, "wardom-alert")},
    "usr/share/man/man7/ocf_wardom_Guest.7.gz": 0o644,
    "usr/share/man/man7/ocf_wardom_HostGuard.7.gz": 0o644,
    "usr/share/man/man5/wardom.toml.5.gz": 0o644,
    "usr/share/bash-completion/completions/wardomctl": 0o644,
    "usr/share/doc/wardom/wardom.toml.example": 0o644,
    "usr/share/doc/wardom/copyright": 0o644,
}


def made(pattern: str) -> pathlib.Path:
    found = sorted(OUT.glob(pattern))
    if len(found) != 1:
        raise AssertionError(f"{OUT} holds {len(found)} files {pattern}")
    return found[0]


def renamed(package: pathlib.Path, version: str, directory: pathlib.Path) -> pathlib.Path:
    """The same package under another version."""
    tree = directory / version
    subprocess.run(["dpkg-deb", "-R", str(package), str(tree)], check=True)
    control = tree / "DEBIAN/control"
    lines = [f"Version: {version}" if line.startswith("Version:") else line
             for line in control.read_text().splitlines()]
    control.write_text("\n".join(lines) + "\n")
    target = directory / f"wardom_{version}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-z0", "-b", str(tree), str(target)],
                   check=True, stdout=subprocess.DEVNULL)
    return target


def configure(machine: scratch.Machine) -> None:
    example = (ROOT / "packaging/wardom.toml.example").read_text()
    machine.put("etc/wardom/wardom.toml", example)
    machine.put("etc/wardom/key", "5a" * 32 + "\n", 0o600)
    machine.put("etc/wardom/bmc-password", "secret\n", 0o600)
    machine.run("wardomctl", "config", "check")


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.package = made("wardom_*.deb")
        cls.directory = tempfile.TemporaryDirectory()
        cls.older = renamed(cls.package, OLDER, pathlib.Path(cls.directory.name))

    @classmethod
    def tearDownClass(cls) -> None:
        cls.directory.cleanup()

    def test_lintian_finds_no_error(self) -> None:
        if not shutil.which("lintian"):
            self.skipTest("lintian is not installed")
        done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error",
                               str(made("wardom_*.deb"))], text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_rpm_spec_names_the_same_files_and_version(self) -> None:
        if not shutil.which("rpmspec"):
            self.skipTest("rpm is not installed")
        # As Fedora's rpm has them.
        spec = subprocess.run(["rpmspec", "--parse", "--define", "_unitdir /usr/lib/systemd/system",
                               "--define", "_sharedstatedir /var/lib",
                               str(ROOT / "packaging/rpm/wardom.spec")], text=True, check=True,
                              stdout=subprocess.PIPE).stdout
        release = re.search(r"project\(wardom VERSION ([0-9.]+)",
                            (ROOT / "CMakeLists.txt").read_text())[1]
        self.assertIn(f"Version:        {release}\n", spec)
        files = spec[spec.index("\n%files"):spec.index("\n%changelog")]
        for path in INSTALLED:
            if "needrestart" in path or path.endswith("copyright"):
                continue   # Debian's own
            self.assertTrue(any(fnmatch.fnmatch("/" + path.removesuffix(".gz"), line.split()[-1])
                                for line in files.splitlines() if "/" in line), path)

    def test_installs_files_and_starts_nothing(self) -> None:
        with scratch.Machine() as machine:
            machine.install(self.package)
            for path, mode in INSTALLED.items():
                found = (machine.root / path).lstat()
                self.assertEqual((stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid),
                                 (mode, 0, 0), path)
            self.assertEqual(machine.told(), [])
            self.assertEqual([p for p in machine.left() if "multi-user.target" in p], [])
            for program in PROGRAMS[:3]:
                self.assertIn(program, machine.run(program, "--version"))
            self.assertIn('<resource-agent name="Guest"',
                          machine.run("/usr/lib/ocf/resource.d/wardom/Guest", "meta-data"))
            self.assertIn("<resource-agent name=\"fence_wardom\"",
                          machine.run("fence_wardom", "-o", "metadata"))

    def test_units_are_sound(self) -> None:
        with scratch.Machine(systemd=False) as machine:
            machine.install(self.package)
            paths = [f"/usr/lib/systemd/system/{name}" for name in UNITS]
            said = machine.run("systemd-analyze", "verify", "--recursive-errors=no", "--man=no",
                               *paths, code=None)
            # Of systemd 254; what older ones do without it stands in the unit.
            self.assertEqual([line for line in said.splitlines() if "wardom" in line
                              and "FileDescriptorStorePreserve" not in line], [])
            # A tenth of a point each; 0 is a service that can do nothing, 100 one that can do all.
            machine.run("systemd-analyze", "security", "--no-pager", "--offline=true",
                        "--threshold=30", *paths)

    def test_libvirt_is_shown_the_hook_by_a_first_installation(self) -> None:
        with scratch.Machine() as machine:
            machine.start("libvirtd")
            said = machine.install(self.package)
            self.assertEqual(machine.told(), ["try-restart libvirtd"])
            self.assertIn("guests run on", said)
            machine.configured(before=OLDER)
            self.assertEqual(machine.told(), [])
            machine.stop_all()
            machine.configured()
            self.assertEqual(machine.told(), [])
            machine.start("virtqemud")
            machine.configured()
            self.assertEqual(machine.told(), ["try-restart virtqemud"])
            # Where guests would end with it, that is a person's to do.
            machine.put("run/fake/virtqemud.KillMode", "control-group\n")
            self.assertIn("restart it", machine.configured())
            self.assertEqual(machine.told(), [])

    def test_upgrade_restarts_what_runs_once_and_stops_nothing(self) -> None:
        with scratch.Machine() as machine:
            machine.install(self.older)
            configure(machine)
            for unit in ("libvirtd", "wardomd", "wardom-keeper"):
                machine.start(unit)
            hook = "#!/bin/sh\n# changed here\n"
            machine.put("etc/libvirt/hooks/qemu.d/wardom", hook, 0o755)
            machine.install(self.package)
            self.assertEqual(machine.told(), ["restart wardom-keeper", "restart wardomd"])
            self.assertEqual((machine.root / "etc/libvirt/hooks/qemu.d/wardom").read_text(), hook)
            self.assertEqual(stat.S_IMODE((machine.root / "etc/wardom").stat().st_mode), 0o700)
            # What is stopped stays so, and what has not changed runs on.
            machine.stop_all()
            machine.start("wardomd")
            machine.configured(before=OLDER)
            self.assertEqual(machine.told(), ["restart wardomd"])
            machine.start("wardom-keeper", "/usr/sbin/wardom-keeper")
            machine.configured(before=OLDER)
            self.assertEqual(machine.told(), ["restart wardomd"])

    def test_upgrade_that_the_configuration_would_not_survive_restarts_nothing(self) -> None:
        with scratch.Machine() as machine:
            machine.install(self.package)
            machine.put("etc/wardom/wardom.toml", "[cluster]\nname = 7\n")
            for unit in ("wardom-keeper", "wardomd"):
                machine.start(unit)
            said = machine.configured(before=OLDER)
            self.assertEqual(machine.told(), [])
            self.assertIn("the old one runs on", said)
            self.assertIn("systemctl restart wardom-keeper wardomd", said)

    def test_policy_that_starts_nothing_is_obeyed(self) -> None:
        with scratch.Machine(policy=101) as machine:
            machine.start("libvirtd")
            machine.install(self.package)
            configure(machine)
            for unit in ("wardom-keeper", "wardomd"):
                machine.start(unit)
            machine.configured(before=OLDER)
            self.assertEqual(machine.told(), [])

    def test_removal_is_refused_with_protected_guests_and_leaves_in_order_without(self) -> None:
        with scratch.Machine() as machine:
            machine.install(self.package)
            configure(machine)
            for unit in ("wardom-keeper", "wardomd"):
                machine.start(unit)
            for listed in ("wardom guests 2\n11111111-2222-3333-4444-555555555555 - 7 8 -\nend 1\n",
                           "wardom guests 2\n", "", "of a later release\n"):
                machine.put("run/wardom/guests", listed)
                said = machine.dpkg("--remove", "wardom", code=1)
                self.assertIn("wardomctl guest unprotect GUEST", said)
                self.assertEqual(machine.told(), [])
                self.assertTrue((machine.root / "usr/sbin/wardomd").exists())
            machine.put("run/wardom/guests", "wardom guests 2\nend 0\n")
            machine.dpkg("--remove", "wardom")
            self.assertEqual(machine.told(), ["stop wardomd", "stop wardom-keeper"])
            self.assertTrue((machine.root / "etc/wardom/key").exists())
            # libvirt goes on calling the hook, which then allows everything.
            hook = "/etc/libvirt/hooks/qemu.d/wardom"
            self.assertEqual(machine.run(hook, "g1", "start", "begin", "-", stdin="<domain/>"), "")

    def test_purge_leaves_only_what_it_tells(self) -> None:
        with scratch.Machine() as machine:
            machine.install(self.package)
            configure(machine)
            machine.put("var/lib/wardom/protected", "wardom protected 1\n")
            machine.put("var/lib/wardom/volume", "of all hosts")
            said = machine.dpkg("--purge", "wardom")
            self.assertIn("left in /etc/wardom, since it is not Wardom's own: bmc-password", said)
            self.assertIn("left in /var/lib/wardom, since it is not Wardom's own: volume", said)
            self.assertEqual(machine.left(), ["etc/wardom", "var/lib/wardom"])


def cannot() -> str:
    if os.geteuid() != 0:
        return "it needs root"
    for tool in ("dpkg-buildpackage", "dh"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    return ""


if __name__ == "__main__":
    reason = cannot()
    if reason:
        print(f"skipped: {reason}")
        sys.exit(CANNOT)
    subprocess.run([str(ROOT / "scripts/package"), "--build", str(BUILD), "--as-built"],
                   check=True, stdout=subprocess.DEVNULL)
    scratch.leave_the_machines_mounts()
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
