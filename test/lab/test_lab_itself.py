#!/usr/bin/python3
"""The lab tested as an instrument: does it really cut, block, stop, notice and clean up?

Run as root: /usr/bin/python3 test/lab/test_lab_itself.py
No HA software is involved (stack none), so every change of a guest is the lab's doing.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
import unittest
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "scripts"))

from labkit import (boot_sector, flight, guest, host as lab_hosts, layout,  # noqa: E402
                    procs, recorder, run, storage, up)

LAB = str(REPOSITORY / "scripts" / "lab")
NAME = f"test{os.getpid()}"
UP = ("up", "--stack", "none")
# On a loaded machine a flood may pause for so long.
BUSY_MS = 500

# Listens to every frame in the fabric and prints one line per frame: time, port, source address,
# and whether it ends a TCP connection. A frame is seen first on the port where it entered.
SNIFFER = """
import socket, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
print("ready", flush=True)
while True:
    frame, address = s.recvfrom(2048)
    if address[2] != 4:
        is_tcp = frame[12:14] == b"\\x08\\0" and frame[23] == 6
        tcp = frame[14 + (frame[14] & 15) * 4:] if is_tcp else b""
        ends = "end" if len(tcp) > 13 and tcp[13] & 5 else "-"  # FIN or RST
        print(time.time_ns() // 1000000, address[0], frame[6:12].hex(), ends, flush=True)
"""

UDP_LISTENER = r"""
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 7777)); s.settimeout(1.0)
print("ready", flush=True)
try:
    s.recvfrom(100); print("got it")
except TimeoutError:
    print("nothing")
"""


# Keeps the store as busy as one host can: big writes to a disk of its own by the network, many at
# once, and to the state volume by the path that heartbeats take.
FLOOD = """
head -c 16M /dev/urandom > /tmp/random
while :; do
  nbdcopy --requests=64 /tmp/random nbd://{server}:{port}/late-{host}
done &
while :; do
  dd if=/tmp/random of={volume} bs=1M seek=4 oflag=direct conv=notrunc 2> /dev/null
done &
wait
"""


def lab(*words: str, name: str = NAME, code: int = 0) -> str:
    done = subprocess.run([LAB, "--name", name, *words], capture_output=True, text=True,
                          timeout=120)
    if done.returncode != code:
        raise AssertionError(f"lab {' '.join(words)}: exit code {done.returncode} instead of "
                             f"{code}: {done.stdout}{done.stderr}")
    return done.stdout if code == 0 else done.stderr


def lab_json(*words: str, name: str = NAME):
    return json.loads(lab(*words, "--json", name=name))


def guests(name: str = NAME) -> dict[str, dict]:
    return {entry["guest"]: entry for entry in lab_json("guests", name=name)}


def counting(name: str = NAME) -> set[str]:
    return {g for g, entry in guests(name).items() if entry["counting"]}


def eventually(what: str, probe: Callable[[], object], limit_s: float = 10.0) -> None:
    deadline = time.monotonic() + limit_s
    while not probe():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit_s} s: {what}")
        time.sleep(0.05)


def pings(host: str, address: str) -> bool:
    done = subprocess.run([LAB, "--name", NAME, "exec", host, "ping", "-c", "1", "-W", "1",
                           address], capture_output=True, timeout=20)
    return done.returncode == 0


def assert_reachable(host: str, address: str) -> None:
    """After a fault ends, the first ping may still wait for the neighbour's address."""
    eventually(f"{host} reaches {address}", lambda: pings(host, address), 5)


def machine() -> dict[str, set[str]]:
    """What this test's labs could leave behind; other labs may come and go meanwhile."""
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True)
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return {
        "links": {line.split(": ")[1] for line in links.stdout.splitlines()},
        "mounts": {line.split()[4] for line in mounts if NAME in line},
        "files": {str(path) for top in ("/run/netns", "/run/wardom-lab")
                  for path in Path(top).glob(f"*{NAME}*")},
    }


def lab_namespaces(name: str) -> set[str]:
    return {procs.netns_identity(netns) for netns in layout.netns_of_lab(name)}


class Sniffer:
    """Frames that enter the fabric while the `with` block runs."""

    def __enter__(self) -> "Sniffer":
        self.process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/wardom-lab.{NAME}.fabric", "/usr/bin/python3", "-c",
             SNIFFER], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout and self.process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        time.sleep(1.5)  # what a dead host's kernel would retransmit comes within this time
        self.process.kill()
        lines = self.process.communicate()[0].splitlines()
        self.frames = [(int(t), port, source, ends) for t, port, source, ends in
                       (line.split() for line in lines if line.count(" ") == 3)]

    def entered(self, host: str, after_ms: int) -> list[tuple[int, str, str, str]]:
        number = int(host[1:])
        sources = {f"02770000{link:02x}{number:02x}" for link in (0, 1)}
        return [f for f in self.frames if f[0] > after_ms
                and (f[1].startswith(f"{host}-") or f[2] in sources)]


def event_time(event: str, host: str, since_ms: int) -> int:
    found = [e for e in lab_json("recorder", "--since", str(since_ms))
             if e["event"] == event and e.get("host") == host]
    assert len(found) == 1, f"{event} of {host}: {found}"
    return found[0]["t_ms"]


class Pure(unittest.TestCase):
    """Needs neither root nor a lab."""

    def test_boot_sector_is_one_bootable_sector(self) -> None:
        for slow in (False, True):
            code = boot_sector.assemble(slow)
            self.assertEqual(len(code), 512)
            self.assertEqual(code[510:], b"\x55\xaa")

    def test_recorder_calls_two_boots_taking_turns_two_writers(self) -> None:
        watch = recorder.Watch("g1")
        told = [watch.look(guest.Sample(counter, boot), t_ms) for t_ms, counter, boot in
                ((1000, 1, 7), (1050, 2, 7), (1100, 3, 8), (1150, 3, 7), (1200, 4, 8))]
        self.assertEqual([e["event"] if e else None for e in told],
                         ["boot changed", None, "boot changed", "two writers", "two writers"])

    def test_recorder_measures_a_restart_and_a_stall(self) -> None:
        watch = recorder.Watch("g1")
        watch.look(guest.Sample(1, 7), 1000)
        stalled = watch.look(guest.Sample(1, 7), 1000 + recorder.STALL_MS)
        self.assertEqual((stalled or {}).get("since_ms"), 1000)
        self.assertIsNone(watch.look(guest.Sample(1, 7), 2000))
        resumed = watch.look(guest.Sample(2, 7), 2500)
        self.assertEqual(((resumed or {})["event"], resumed["gap_ms"]), ("resumed", 1500))
        restarted = watch.look(guest.Sample(3, 9), 4000)
        self.assertEqual(((restarted or {})["event"], restarted["gap_ms"]),
                         ("boot changed", 1500))

    def test_usage_errors_exit_with_2(self) -> None:
        for words in (("frobnicate",), ("up", "--hosts", "0"), ("power", "n1", "sideways"),
                      ("up", "--pacemaker", "--stack", "none"),
                      ("up", "--pacemaker", "--domains", "2")):
            self.assertIn("to do:", lab(*words, code=2))

    def test_hosts_are_spread_over_domains_evenly(self) -> None:
        self.assertEqual([h.domain for h in layout.plan_hosts(5, 2)],
                         ["d1", "d1", "d1", "d2", "d2"])


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class LifeCycle(unittest.TestCase):
    def setUp(self) -> None:
        self.name = f"{NAME}c"
        self.addCleanup(lab, "down", name=self.name)

    def assert_nothing_left(self, before: dict[str, set[str]], namespaces: set[str]) -> None:
        self.assertEqual(machine(), before)
        self.assertEqual(procs.in_namespaces("net", namespaces), [])

    def test_down_leaves_nothing_and_may_be_repeated(self) -> None:
        before = machine()
        lab(*UP, "--hosts", "2", "--guests", "2", name=self.name)
        self.assertIn("remains", lab(*UP, name=self.name, code=3))
        self.assertEqual(counting(self.name), {"g1", "g2"})
        namespaces = lab_namespaces(self.name)
        self.assertEqual(len(namespaces), 3)
        lab("down", name=self.name)
        self.assert_nothing_left(before, namespaces)
        lab("down", name=self.name)

    def test_down_cleans_up_after_a_killed_up(self) -> None:
        before = machine()
        for stage in ("lab.json", "storage-volume.pid", "hosts/n1/pid",
                      "hosts/n2/log/corosync.log"):
            with self.subTest(killed_when_there_is=stage):
                process = subprocess.Popen([LAB, "--name", self.name, *UP, "--hosts", "2"],
                                           stderr=subprocess.DEVNULL)
                marker = layout.RUN_DIR / self.name / stage
                eventually(stage, marker.exists)
                process.send_signal(signal.SIGKILL)
                process.wait()
                namespaces = lab_namespaces(self.name)
                self.assertIn("lab down", lab(*UP, name=self.name, code=3)
                              .replace(f"--name {self.name} ", ""))
                lab("down", name=self.name)
                self.assert_nothing_left(before, namespaces)

    def test_power_off_during_post_voids_the_boot(self) -> None:
        lab(*UP, "--hosts", "1", "--guests", "0", "--post-s", "1", name=self.name)
        lab("cut", "n1", name=self.name)
        self.assertEqual(lab("power", "n1", "on", name=self.name).strip(), "on")
        lab("power", "n1", "off", name=self.name)
        time.sleep(1.5)
        host = lab_json("status", name=self.name)["hosts"][0]
        self.assertEqual((host["power"], host["pid"]), ("off", None))
        lab("power", "n1", "on", name=self.name)
        eventually("boot", lambda: lab_json("status", name=self.name)["hosts"][0]["pid"])

    def test_two_labs_do_not_disturb_each_other(self) -> None:
        other = f"{NAME}d"
        self.addCleanup(lab, "down", name=other)
        for name in (self.name, other):
            lab(*UP, "--hosts", "1", "--guests", "1", "--no-bmc", name=name)
        lab("storage", "pause", name=other)
        lab("cut", "n1", name=other)
        self.assertEqual(counting(self.name), {"g1"})
        lab("down", name=other)
        self.assertEqual(counting(self.name), {"g1"})
        self.assertTrue(all(entry["power"] == "on"
                            for entry in lab_json("status", name=self.name)["hosts"]))


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class Faults(unittest.TestCase):
    """All in one lab of three hosts; every test leaves it whole."""

    @classmethod
    def setUpClass(cls) -> None:
        lab("down")
        cls.addClassCleanup(lab, "down")
        lab(*UP, "--hosts", "3", "--guests", "3")

    def setUp(self) -> None:
        self.began_ms = time.time_ns() // 1_000_000

    def tearDown(self) -> None:
        """Faults end, dead hosts boot, guests run at home again."""
        lab("heal")
        record = layout.load(NAME)
        for host in lab_json("status")["hosts"]:
            if host["hung"]:
                lab("resume", host["name"])
            if host["bmc"]["state"] != "up":
                lab("bmc", host["name"], "up")
            if host["power"] == "off":
                lab_hosts.power_on(record, record.host(host["name"]))
        eventually("all hosts ready", self.hosts_ready, 20)
        silent = {"g1", "g2", "g3"} - counting()
        up.each([host for host in record.hosts if f"g{host.id}" in silent],
                lambda host: lab_hosts.execute(record, host, ["virsh", "start", f"g{host.id}"],
                                               check=False))
        eventually("all guests count", lambda: len(counting()) == 3, 20)

    @staticmethod
    def hosts_ready() -> bool:
        return all(host["services"] and all(s["ready"] for s in host["services"].values())
                   for host in lab_json("status")["hosts"])

    # --- power -------------------------------------------------------------------------------

    def assert_silent_death(self, host: str, action: Callable[[], object]) -> None:
        with Sniffer() as sniffer:
            time.sleep(0.3)
            action()
        cables_ms = event_time("cables down", host, self.began_ms)
        self.assertTrue(sniffer.entered(host, self.began_ms), "the sniffer saw it before")
        self.assertEqual(sniffer.entered(host, cables_ms), [])
        self.assertEqual([f for f in sniffer.entered(host, self.began_ms) if f[3] == "end"], [])
        self.assertTrue(sniffer.entered("n3", event_time("host dead", host, self.began_ms)),
                        "the sniffer saw others afterwards")

    def test_no_frame_leaves_after_a_cut(self) -> None:
        self.assert_silent_death("n1", lambda: lab("cut", "n1"))
        self.assertEqual(guests()["g1"]["running_on"], [])
        self.assertEqual(lab("power", "n1", "status").strip(), "off")

    def test_no_frame_leaves_after_ipmi_power_off(self) -> None:
        def power_off() -> None:
            pid = lab_json("status")["hosts"][1]["pid"]
            self.assertEqual(lab("power", "n2", "off").strip(), "off")
            self.assertFalse(procs.lives(pid), "the BMC answers only when the host is dead")

        self.assert_silent_death("n2", power_off)
        self.assertEqual(guests()["g2"]["running_on"], [])

    def test_the_sniffer_would_see_a_death_with_cables_in(self) -> None:
        """The control of the two tests above: without the cut cables there are frames."""
        pid = lab_json("status")["hosts"][0]["pid"]
        with Sniffer() as sniffer:
            os.kill(pid, signal.SIGKILL)
            eventually("death", lambda: not procs.lives(pid))
        ends = [f for f in sniffer.entered("n1", self.began_ms) if f[3] == "end"]
        self.assertTrue(ends, "its kernel closes its connections")
        lab("cut", "n1")

    def test_pull_takes_the_bmc_too(self) -> None:
        lab("pull", "n3")
        self.assertIn("bmc n3 up", lab("power", "n3", "status", code=1))
        self.assertEqual(guests()["g3"]["running_on"], [])

    def test_disk_survives_a_power_cut_and_the_rest_does_not(self) -> None:
        lab("exec", "n1", "sh", "-c", "echo kept > /root/kept; echo gone > /run/gone; "
            "echo gone > /tmp/gone; echo gone > /dev/shm/gone")
        boot_id = lab("exec", "n1", "cat", "/proc/sys/kernel/random/boot_id")
        lab("cut", "n1")
        lab("power", "n1", "on")
        eventually("boot", self.hosts_ready, 20)
        self.assertEqual(lab("exec", "n1", "cat", "/root/kept"), "kept\n")
        for path in ("/run/gone", "/tmp/gone", "/dev/shm/gone"):
            lab("exec", "n1", "test", "!", "-e", path)
        self.assertNotEqual(lab("exec", "n1", "cat", "/proc/sys/kernel/random/boot_id"), boot_id)
        self.assertIn("g1", lab("exec", "n1", "virsh", "list", "--all", "--name"))

    def test_a_lying_bmc_says_off_and_does_nothing(self) -> None:
        lab("bmc", "n2", "lie")
        self.assertEqual(lab("power", "n2", "status").strip(), "off")
        self.assertEqual(lab("power", "n2", "off").strip(), "off")
        self.assertIn("g2", counting())
        lab("bmc", "n2", "up")
        self.assertEqual(lab("power", "n2", "status").strip(), "on")

    # --- hang --------------------------------------------------------------------------------

    def test_a_hung_host_stands_still_and_goes_on(self) -> None:
        lab("hang", "n1")
        counter = guests()["g1"]["counter"]
        time.sleep(0.5)
        entry = guests()["g1"]
        self.assertEqual((entry["counter"], entry["counting"]), (counter, False))
        self.assertEqual(entry["running_on"], ["n1"], "a frozen QEMU still counts as running")
        self.assertIn("resume", lab("exec", "n1", "true", code=3))
        lab("resume", "n1")
        eventually("g1 counts", lambda: "g1" in counting())

    def test_a_service_is_spared_of_a_hang(self) -> None:
        pid = lab_json("service", "n1", "volume", "status")["pid"]
        lab("hang", "n1", "--but", "volume")
        self.assertNotEqual(procs.state_of(pid), "T")
        counter = guests()["g1"]["counter"]
        time.sleep(0.5)
        self.assertEqual(guests()["g1"]["counter"], counter)
        lab("resume", "n1")
        eventually("g1 counts", lambda: "g1" in counting())
        self.assertIn("no service", lab("hang", "n1", "--but", "keeper", code=2))

    # --- network -----------------------------------------------------------------------------

    def test_link_down_blocks_that_link_only(self) -> None:
        lab("link", "n1", "mgmt", "down")
        self.assertFalse(pings("n1", "10.77.0.2"))
        self.assertFalse(pings("n2", "10.77.0.1"))
        assert_reachable("n1", "10.78.0.2")
        lab("link", "n1", "mgmt", "up")
        assert_reachable("n1", "10.77.0.2")

    def test_a_cable_stays_out_over_a_reboot(self) -> None:
        lab("link", "n1", "mgmt", "down")
        lab("cut", "n1")
        lab("power", "n1", "on")
        eventually("boot", self.hosts_ready, 20)
        self.assertFalse(pings("n1", "10.77.0.2"))

    def datagram_arrives(self, sender: str, receiver: str) -> bool:
        address = f"10.77.0.{receiver[1:]}"
        listener = subprocess.Popen([LAB, "--name", NAME, "exec", receiver, "/usr/bin/python3",
                                     "-c", UDP_LISTENER, address], stdout=subprocess.PIPE,
                                    text=True)
        assert listener.stdout and listener.stdout.readline() == "ready\n"
        lab("exec", sender, "/usr/bin/python3", "-c", "import socket; socket.socket("
            f"socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('{address}', 7777))")
        return listener.communicate()[0] == "got it\n"

    def test_one_way_faults_block_one_way(self) -> None:
        assert_reachable("n1", "10.77.0.2")  # so that both know the other's address
        for blocked, out_arrives, in_arrives in (("out", False, True), ("in", True, False)):
            with self.subTest(blocked=blocked):
                lab("link", "n1", "mgmt", "down", "--one-way", blocked)
                self.assertEqual(self.datagram_arrives("n1", "n2"), out_arrives)
                self.assertEqual(self.datagram_arrives("n2", "n1"), in_arrives)
                lab("link", "n1", "mgmt", "up")

    def test_split_blocks_both_links_between_groups_only(self) -> None:
        lab("split", "n1|n2,n3")
        for address in ("10.77.0.2", "10.78.0.2", "10.77.0.3", "10.78.0.3"):
            self.assertFalse(pings("n1", address), address)
        for address in ("10.78.0.200", "10.77.0.101", "10.77.0.102"):
            assert_reachable("n1", address)
        assert_reachable("n2", "10.77.0.3")
        lab("heal")
        assert_reachable("n1", "10.77.0.2")
        lab("split", "n1,n2", code=2)

    # --- storage -----------------------------------------------------------------------------

    def test_paused_storage_holds_guests_and_volume(self) -> None:
        lab("storage", "pause")
        time.sleep(0.2)
        self.assertEqual(counting(), set())
        reading = subprocess.Popen([LAB, "--name", NAME, "exec", "n1", "dd", "bs=4k", "count=1",
                                    f"if={layout.VOLUME_PATH}", "iflag=direct", "of=/dev/null"],
                                   stderr=subprocess.DEVNULL)
        with self.assertRaises(subprocess.TimeoutExpired):
            reading.wait(0.7)
        lab("storage", "resume")
        self.assertEqual(reading.wait(5), 0)
        eventually("guests count", lambda: len(counting()) == 3)

    def test_storage_errors_are_errors_and_end(self) -> None:
        write = ("exec", "n1", "dd", "bs=4k", "count=1", "if=/dev/zero", "oflag=direct",
                 "conv=notrunc", f"of={layout.VOLUME_PATH}")
        lab("storage", "error", "on")
        self.assertIn("Input/output error", lab(*write, code=1))
        self.assertEqual(counting(), set())
        lab("storage", "error", "off")
        lab(*write)
        eventually("guests count", lambda: len(counting()) == 3)

    def test_the_volume_is_one_disk_for_all_hosts(self) -> None:
        for writer, reader in (("n1", "n2"), ("n3", "n1")):
            lab("exec", writer, "sh", "-c", f"printf %-4096s {writer} | dd bs=4k seek=3 "
                f"of={layout.VOLUME_PATH} oflag=direct conv=notrunc")
            self.assertTrue(lab("exec", reader, "dd", f"if={layout.VOLUME_PATH}", "bs=4k", "skip=3",
                                "count=1", "iflag=direct").startswith(f"{writer} "))

    # --- late writes -------------------------------------------------------------------------

    def flood(self, host: layout.Host) -> None:
        """Until the host dies; returns when its writes land."""
        image = self.record.disks / "guests" / f"late-{host.name}"
        image.write_bytes(bytes(16 << 20))
        made = image.stat().st_mtime_ns
        flood = subprocess.Popen(
            lab_hosts.enter_command(self.record, host, ["sh", "-c", FLOOD.format(
                server=layout.STORAGE_SERVER, port=layout.GUEST_PORT, host=host.name,
                volume=layout.VOLUME_PATH)]), stderr=subprocess.DEVNULL)
        self.addCleanup(flood.wait, 20)
        self.addCleanup(image.unlink, missing_ok=True)
        eventually(f"{host.name} writes", lambda: image.stat().st_mtime_ns > made)

    def written_ms(self, *files: str) -> float:
        """When the newest write to any of the store's files landed, by the kernel's clock tick."""
        return max((self.record.disks / file).stat().st_mtime_ns for file in files) / 1e6

    def when(self, event: str, host: str) -> int:
        return next(e["t_ms"] for e in reversed(flight.read(self.record, self.began_ms))
                    if e["event"] == event and e.get("host") == host)

    def lateness_s(self, files: dict[str, list[str]], since_ms: int = 0) -> dict[str, float]:
        """Of each host's writes: how long after its death (or after `since_ms`, if that is later)
        the last one landed. Looks for as long as L_late allows, and a little longer."""
        dead = {host: max(since_ms, self.when("host dead", host)) for host in files}
        eventually("a write would be too late",
                   lambda: run.now_ms() > max(dead.values()) + (storage.L_LATE_S + 0.2) * 1000)
        return {host: (self.written_ms(*files[host]) - dead[host]) / 1000 for host in files}

    def test_writes_of_the_dead_land_within_l_late(self) -> None:
        """Hosts die in the middle of all the writing they can do: as it comes, with the storage
        link cut a moment before and mended right after, and while the server holds all I/O."""
        self.record = layout.load(NAME)
        own = {f"n{i}": [f"guests/late-n{i}", f"guests/g{i}"] for i in (1, 2, 3)}
        on_all = functools.partial(up.each, self.record.hosts)
        on_all(self.flood)
        lab("link", "n3", "storage", "down")
        on_all(lambda host: lab_hosts.cut(self.record, host))
        for host in ("n1", "n2"):
            self.assertGreater(self.written_ms(*own[host]), self.when("power cut", host) - BUSY_MS,
                               f"{host} wrote until it died")
        lab("link", "n3", "storage", "up")
        late = self.lateness_s(own)
        self.assertLess(max(late.values()), storage.L_LATE_S, late)
        self.assertLess(late["n3"], 0, "what its cable held back died with it")
        died = max(self.when("host dead", host) for host in own)
        self.assertLess(self.written_ms("volume/volume") - died, storage.L_LATE_S * 1000)

        on_all(lambda host: lab_hosts.power_on(self.record, host))
        eventually("all hosts ready", self.hosts_ready, 20)
        on_all(self.flood)
        storage.control(self.record, "pause")
        on_all(lambda host: lab_hosts.cut(self.record, host))
        everything = [*sum(own.values(), []), "volume/volume"]
        held_ms, resumed_ms = self.written_ms(*everything), run.now_ms()
        storage.control(self.record, "resume")
        late = self.lateness_s({host: everything for host in own}, resumed_ms)
        self.assertLess(max(late.values()), storage.L_LATE_S, late)
        self.assertGreater(self.written_ms(*everything), held_ms, "it held writes of the dead")

    # --- guests and services -----------------------------------------------------------------

    def test_two_running_copies_are_noticed(self) -> None:
        self.assertFalse(guests()["g1"]["two_writers"])
        self.addCleanup(lab, "exec", "n2", "virsh", "undefine", "g1")
        self.addCleanup(lab, "exec", "n2", "virsh", "destroy", "g1")
        lab("exec", "n2", "virsh", "define /etc/wardom-lab/guests/g1.xml; start g1")

        def noticed() -> bool:
            entry = guests()["g1"]
            return (entry["two_writers"] and entry["running_on"] == ["n1", "n2"]
                    and entry["two_writers_count"] > 2)

        eventually("two writers", noticed)
        self.assertIn("two writers", {e["event"] for e in lab_json(
            "recorder", "--since", str(self.began_ms))})

    def test_a_killed_service_stays_dead_and_the_volume_comes_back(self) -> None:
        lab("service", "n3", "corosync", "kill")
        status = ("service", "n3", "volume", "status")
        starts = lab_json(*status)["starts"]
        lab("service", "n3", "volume", "kill")
        eventually("the volume again", lambda: lab_json(*status)["ready"])
        self.assertEqual(lab_json(*status)["starts"], starts + 1)
        self.assertFalse(lab_json("service", "n3", "corosync", "status")["running"])
        lab("service", "n3", "corosync", "start")

    def test_a_libvirtd_restart_leaves_guests_running(self) -> None:
        boot = guests()["g3"]["boot"]
        lab("service", "n3", "libvirtd", "stop")
        self.assertIn("g3", counting())
        lab("service", "n3", "libvirtd", "start")
        eventually("libvirtd", self.hosts_ready)
        self.assertIn("running", lab("exec", "n3", "virsh", "domstate", "g3"))
        self.assertEqual(guests()["g3"]["boot"], boot)

    def test_errors_say_what_where_and_what_to_do(self) -> None:
        self.assertIn("hosts are n1, n2, n3", lab("cut", "n9", code=2))
        self.assertIn("this host has no service", lab("service", "n1", "wardomd", "kill", code=1))


if __name__ == "__main__":
    unittest.main(verbosity=2)
