#!/usr/bin/python3
"""What a host's own surroundings do to it: logs, disks, its run directory; and BMCs lost for all.

Run as root: /usr/bin/python3 test/lab/test_scenarios_surroundings.py
"""

from __future__ import annotations

import time
import unittest

from scenario_support import ScenarioCase, eventually

ARCHIVE = "/var/lib/wardom/recoveries.jsonl"
# Opens a FIFO in the place of the service's log and never reads it; the pipe is filled up first.
STUCK_READER = """
import os, sys, time
path = sys.argv[1]
os.rename(path, path + ".kept")
os.mkfifo(path, 0o600)
reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
try:
    while True:
        os.write(writer, b"." * 4096)
except BlockingIOError:
    pass
print("full", flush=True)
os.close(1)
os.close(2)
if os.fork() == 0:
    os.setsid()
    time.sleep(120)
    os._exit(0)
"""


class Surroundings(ScenarioCase):
    @property
    def lease_s(self) -> float:
        """T_F + W: by then a host that loses its lease has been reset."""
        profile = self.cluster.status("n1")["profile"]
        return profile["t_f_s"] + profile["w_s"]

    def boots(self, host: str) -> int:
        return len([e for e in self.cluster.events(self.began_ms, "power on")
                    if e["host"] == host])

    # --- logs --------------------------------------------------------------------------------

    def test_logs_that_nobody_reads(self) -> None:
        """As of a journald that hangs: heartbeats go on, and n3 takes guests of n1 over."""
        for service in ("keeper", "wardomd"):
            log = f"/var/log/lab/{service}.log"
            self.assertIn("full", self.cluster.must("n3", "/usr/bin/python3", "-c", STUCK_READER,
                                                    log))
            self.addCleanup(self.cluster.run, "n3", "mv", f"{log}.kept", log)
            self.cluster.kill_service("n3", service)
        eventually("all hosts alive in all eyes", self.cluster.all_alive,
                   explain=self.cluster.picture)
        self.quiet_watch(self.lease_s, also=self.assert_nobody_dead)
        self.assert_all_untouched()
        self.cluster.lab("cut", "n1")
        self.await_recovery("n1")

    # --- disks -------------------------------------------------------------------------------

    def test_a_full_disk(self) -> None:
        """The archive of recoveries cannot be written on any host; guests are recovered."""
        for host in self.cluster.host_names:
            self.cluster.must(host, "sh", "-c",
                              f"touch {ARCHIVE}; mount --bind /dev/full {ARCHIVE}")
            self.addCleanup(self.cluster.run, host, "umount", ARCHIVE)
        self.cluster.lab("cut", "n1")
        where = self.await_recovery("n1")
        self.assert_timeline("n2", "n1", where)
        self.await_problem("n2", ARCHIVE)

    def test_a_full_run_directory(self) -> None:
        """Nothing new fits into /run: heartbeats go on, and the host is not reset."""
        size = int(self.cluster.must("n3", "sh", "-c",
                                     "df -k --output=used /run | tail -1").strip())
        self.cluster.must("n3", "mount", "-o", f"remount,size={size}k", "/run")
        self.addCleanup(self.cluster.run, "n3", "mount", "-o", "remount,size=64m", "/run")
        self.assertNotEqual(self.cluster.run("n3", "sh", "-c",
                                             "head -c 65536 /dev/zero > /run/more").returncode, 0)
        self.quiet_watch(self.lease_s + 2, also=self.assert_nobody_dead)
        self.assert_all_untouched()

    def test_an_emptied_run_directory(self) -> None:
        """Under the running keeper nothing is lost. A keeper that starts then goes on as nobody:
        the host is reset, and each of its guests runs again once."""
        self.cluster.must("n3", "sh", "-c", "rm -rf /run/wardom/*")
        self.quiet_watch(self.lease_s + 2, also=self.assert_nobody_dead)
        self.assert_all_untouched()
        self.assertIn("was emptied under the running wardom-keeper",
                      self.cluster.log_path("n3", "keeper").read_text())
        self.cluster.kill_service("n3", "keeper")
        # Elsewhere, or on itself when it has booted by then.
        self.await_started_once(self.guests_of("n3"), self.cluster.others("n3"),
                                self.lease_s + 30)

    # --- BMCs --------------------------------------------------------------------------------

    def test_the_bmc_network_is_lost_for_all(self) -> None:
        """It is told of every host, and harms nobody; a host that dies then is recovered by its
        lease."""
        for host in self.cluster.host_names:
            self.cluster.lab("bmc", host, "down")
        decider = self.await_decider()
        for host in self.cluster.others(decider):
            self.await_problem(decider, host, "BMC")
        self.quiet_watch(3.0, also=self.assert_nobody_dead)
        self.assert_all_untouched()
        victim = self.cluster.others(decider)[0]
        self.cluster.lab("cut", victim)
        self.await_recovery(victim, 60)
        self.await_proof(victim, "lease-expired")


if __name__ == "__main__":
    unittest.main(verbosity=2)
