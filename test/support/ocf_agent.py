"""What the tests of the resource agents share: what an agent is called with, and what it says."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

from fake_daemon import FakeDaemon

SUCCESS, FAILED, ARGUMENTS, UNIMPLEMENTED, INSTALLED, CONFIGURED, NOT_RUNNING = 0, 1, 2, 3, 5, 6, 7
DEGRADED = 190

DTD = pathlib.Path("/usr/share/resource-agents/ra-api-1.dtd")
SELF = os.uname().nodename

UUID = "6f7c1f9e-0d5b-4a77-9a53-0b6d3a2c1e01"
XML = f"<domain type='qemu'><name>g1</name><uuid>{UUID}</uuid><memory>65536</memory></domain>"
CONFIG = """
[cluster]
name = "test"
key_file = "{folder}/key"
[volume]
path = "/dev/null"
{watchdog}
[[domain]]
name = "d1"
id = 1
[[host]]
name = "{name}"
id = 1
domain = "d1"
mgmt = "10.77.1.1"
storage = "10.77.2.1"
{bmc}
"""
# What wardomd says of a host that is well, as HostGuard asks.
WELL = {"self": SELF, "state": "alive", "keeper": True, "reads_volume": True, "lease": "held",
        "wants_lease": True, "on_grants_ms": None, "t_f_ms": 20000, "libvirt": True, "ring": True,
        "decider": SELF, "guard": True, "troubles": [], "problems": []}


class OcfTest(unittest.TestCase):
    """A folder for each test, and a wardomd that is none beside it."""
    PLACE = None  # where the folder is made; None: as usual

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(dir=self.PLACE)
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)
        self.daemon = None

    def serve(self, answer):
        self.daemon = FakeDaemon(self.path / "sock", answer)
        self.addCleanup(self.daemon.close)

    def write_config(self, name=SELF, bmc="", watchdog=""):
        """wardom.toml of one host, and its key."""
        (self.path / "key").write_text("ab" * 32)
        (self.path / "key").chmod(0o600)
        self.config = self.path / "wardom.toml"
        self.config.write_text(CONFIG.format(folder=self.folder.name, name=name, bmc=bmc,
                                             watchdog=watchdog))


class AgentTest(OcfTest):
    """Of one agent, run as Pacemaker's executor runs it. Of a subclass: AGENT, PROGRAM, INSTANCE."""

    def environment(self, timeout_ms=8000, interval_ms=10000, notes=None, **parameters):
        env = {"PATH": os.environ["PATH"], "OCF_RESOURCE_INSTANCE": self.INSTANCE,
               "HA_RSCTMP": notes or self.folder.name, "OCF_RESKEY_CRM_meta_timeout": str(timeout_ms)}
        if interval_ms is not None:
            env["OCF_RESKEY_CRM_meta_interval"] = str(interval_ms)
        for name, value in {"socket": self.path / "sock", **parameters}.items():
            env[f"OCF_RESKEY_{name}"] = str(value)
        return env

    def run_agent(self, action, **how):
        """Its exit code; what it said, printed and took besides is kept."""
        began = time.monotonic()
        done = subprocess.run([self.PROGRAM, action], env=self.environment(**how),
                              capture_output=True, text=True, timeout=60, check=False)
        self.took = time.monotonic() - began
        self.said = done.stderr
        self.printed = done.stdout
        self.reasons = [line for line in self.said.splitlines()
                        if line.startswith("ocf-exit-reason:")]
        self.assertLessEqual(len(self.reasons), 1, self.said)
        return done.returncode

    def metadata(self):
        done = subprocess.run([self.PROGRAM, "meta-data"], env={}, capture_output=True, text=True,
                              timeout=5, check=True)
        self.assertEqual(done.stderr, "")
        return done.stdout


class MetadataTests:
    """Beside AgentTest."""

    def test_metadata_needs_nothing(self):
        self.assertIn(f'<resource-agent name="{self.AGENT}"', self.metadata())

    @unittest.skipUnless(shutil.which("xmllint") and DTD.exists(), "no xmllint, or no OCF schema")
    def test_metadata_is_valid(self):
        checked = subprocess.run(["xmllint", "--valid", "--noout", "-"],
                                 input=self.metadata().replace("ra-api-1.dtd", str(DTD)),
                                 capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual(checked.returncode, 0, checked.stderr)
