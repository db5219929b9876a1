"""fence_wardom under Pacemaker's own programs: stonith_admin, crm, and a fencer that runs alone.

    fence_wardom_fencer.py PROGRAM

The fencer runs in namespaces of its own (root), over an overlay of /usr/sbin that holds the agent.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import unittest

PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 else "fence_wardom"
sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.argv.insert(1, PROGRAM)
import fence_wardom as contract  # noqa: E402  (takes the program off the arguments again)

FENCER = pathlib.Path("/usr/lib/pacemaker/pacemaker-fenced")
LIMIT_S = 60
# In namespaces: what the fencer writes goes to a tmpfs, and ends with it.
INSIDE = r"""
set -e
mount --make-rprivate /
mount -t tmpfs none "$SCRATCH"
mkdir "$SCRATCH/up" "$SCRATCH/work"
mount -t overlay none -o lowerdir=/usr/sbin,upperdir="$SCRATCH/up",workdir="$SCRATCH/work" /usr/sbin
cp "$PROGRAM" /usr/sbin/fence_wardom
for place in /run /dev/shm /var/lib/pacemaker /var/log; do mount -t tmpfs none "$place"; done
mkdir -p /run/crm /var/lib/pacemaker/cores /var/lib/pacemaker/pengine /var/log/pacemaker /var/log/crmsh
chown hacluster:haclient /run/crm /var/lib/pacemaker
ip link set lo up
/usr/lib/pacemaker/pacemaker-fenced --stand-alone -l "$LOG" >/dev/null 2>&1 &
for try in $(seq 100); do stonith_admin --list-registered >/dev/null 2>&1 && break; sleep 0.1; done
"$@"
"""


@unittest.skipUnless(shutil.which("stonith_admin") and FENCER.exists(), "SKIPPED: no pacemaker here")
@unittest.skipUnless(os.geteuid() == 0, "SKIPPED: needs root")
class Fencer(contract.Base):
    def alone(self, script):
        """The script beside a fencer that has the device `w`."""
        (self.folder / "scratch").mkdir()
        register = ('stonith_admin --register w --agent fence_wardom --option "config=$CONFIG" '
                    '--option "socket=$SOCKET" --option power_timeout=10\n')
        environment = dict(os.environ, SCRATCH=str(self.folder / "scratch"), PROGRAM=PROGRAM,
                           LOG=str(self.folder / "fencer.log"), CONFIG=str(self.config),
                           SOCKET=str(self.socket))
        return subprocess.run(
            ["unshare", "--mount", "--ipc", "--net", "--pid", "--fork", "--kill-child",
             "--mount-proc", "bash", "-c", INSIDE, "inside", "bash", "-c", register + script],
            env=environment, capture_output=True, text=True, timeout=LIMIT_S,
            stdin=subprocess.DEVNULL)

    def log(self):
        try:
            return (self.folder / "fencer.log").read_text()
        except FileNotFoundError:
            return "no log"

    def test_it_is_found_and_validated(self):
        result = self.alone('stonith_admin --list-installed\n'
                            'stonith_admin --metadata --agent fence_wardom\n'
                            'stonith_admin --validate --agent fence_wardom --option "config=$CONFIG"')
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr + self.log())
        self.assertIn("fence_wardom", result.stdout.split("<")[0])
        self.assertIn('<parameter name="split"', result.stdout)

    def test_what_is_wrong_is_not_valid(self):
        result = self.alone('stonith_admin --validate --agent fence_wardom --option config=/none')
        self.assertNotEqual(result.returncode, 0)

    @unittest.skipUnless(shutil.which("crm"), "SKIPPED: no crmsh here")
    def test_crm_describes_it(self):
        result = self.alone("crm ra info stonith:fence_wardom")
        self.assertEqual(result.returncode, 0, result.stderr)
        for name in ("split", "power_timeout", "config"):
            self.assertIn(name, result.stdout)
        self.assertNotIn("ERROR", result.stdout + result.stderr)

    def test_its_hosts_are_listed(self):
        result = self.alone("stonith_admin --list-targets w")
        self.assertEqual(result.returncode, 0, result.stderr + self.log())
        self.assertIn("victim", result.stdout)
        self.assertIn(contract.SELF, result.stdout)

    def test_a_proof_ends_the_fencing(self):
        with self.daemon(contract.WithDaemon.PROVED) as daemon:
            for word in ("--fence", "--reboot"):
                with self.subTest(word):
                    result = self.alone(f"stonith_admin {word} victim --timeout 30")
                    self.assertEqual(result.returncode, 0, result.stderr + self.log())
                    (self.folder / "scratch").rmdir()
        asked = [r for r in daemon.requests if r["do"] == "host-fence"]
        self.assertEqual([r["host"] for r in asked], ["victim", "victim"])

    def test_a_refusal_fails_it(self):
        with self.daemon({"ok": False, "exit": 3, "error": "the domain is disarmed"}):
            result = self.alone("stonith_admin --fence victim --timeout 30")
        self.assertNotEqual(result.returncode, 0)

    def test_the_fencer_ends_a_call_that_lasts_and_the_agent_was_quicker(self):
        with self.daemon(None):
            result = self.alone("stonith_admin --fence victim --timeout 40")
        self.assertNotEqual(result.returncode, 0)
        self.assertNotIn("timed out", self.log().lower())


if __name__ == "__main__":
    unittest.main()
