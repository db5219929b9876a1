"""The resource agents under Pacemaker's and the agents' own tools: ocf-tester, crm_resource, crm, pcs.

    ocf_tools.py GUEST HOSTGUARD

Against a fake wardomd, in namespaces of their own over a copy of where agents stand (root).
"""

import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from ocf_agent import UUID, WELL, XML, OcfTest  # noqa: E402

GUEST, HOSTGUARD = sys.argv[1:3]
del sys.argv[1:3]
SCHEMAS = pathlib.Path("/usr/share/pacemaker")
INSIDE = r"""
set -e
mount --make-rprivate /
mount -t tmpfs none "$SCRATCH"
mkdir "$SCRATCH/wardom"
cp "$GUEST" "$SCRATCH/wardom/Guest"
cp "$HOSTGUARD" "$SCRATCH/wardom/HostGuard"
mkdir "$SCRATCH/up" "$SCRATCH/work"
mount -t overlay none -o lowerdir=/usr/lib/ocf/resource.d,upperdir="$SCRATCH/up",workdir="$SCRATCH/work" \
  /usr/lib/ocf/resource.d
mkdir /usr/lib/ocf/resource.d/wardom
cp "$SCRATCH/wardom/"* /usr/lib/ocf/resource.d/wardom/
mount -t tmpfs none /run
mkdir -p /run/resource-agents /run/crm
exec "$@"
"""


@unittest.skipUnless(os.geteuid() == 0, "SKIPPED: needs root")
class Tools(OcfTest):
    PLACE = "/var/tmp"

    def setUp(self):
        super().setUp()
        (self.path / "scratch").mkdir()
        self.write_config()
        (self.path / "g1.xml").write_text(XML)
        for name in ("wardom-keeper", "wardomd"):
            (self.path / name).write_text("#!/bin/sh\n")
            (self.path / name).chmod(0o755)
        self.runs = False
        self.serve(self.answer)

    def answer(self, request):
        what = request["do"]
        if what in ("guest-start", "guest-stop"):
            self.runs = what == "guest-start"
        result = {"done": True}
        if what == "guest-here":
            result = {"here": "running" if self.runs else "stopped", "owner": None, "state": None,
                      "recorded": True, "uuid": UUID, "name": "g1"}
        if what == "host-here":
            result = WELL
        return {"ok": True, "result": result}

    def inside(self, *argv):
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root",
               "SCRATCH": str(self.path / "scratch"), "GUEST": GUEST, "HOSTGUARD": HOSTGUARD}
        done = subprocess.run(["unshare", "--mount", "--ipc", "--net", "--pid", "--fork",
                               "--kill-child", "--mount-proc", "bash", "-c", INSIDE, "inside", *argv],
                              env=env, capture_output=True, text=True, timeout=120, check=False,
                              stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout + done.stderr

    PARAMETERS = {"Guest": ("config={}/g1.xml", "socket={}/sock"),
                  "HostGuard": ("config={}/wardom.toml", "socket={}/sock", "bindir={}",
                                "supervise=no", "attributes=no")}

    def words(self, agent, lead):
        return [word for one in self.PARAMETERS[agent]
                for word in (lead, one.format(self.folder.name))]

    @unittest.skipUnless(shutil.which("ocf-tester") and shutil.which("xmllint"),
                         "SKIPPED: no ocf-tester here")
    def test_ocf_tester(self):
        for agent in self.PARAMETERS:
            with self.subTest(agent):
                code, said = self.inside("ocf-tester", "-v", "-n", "tested", *self.words(agent, "-o"),
                                         f"/usr/lib/ocf/resource.d/wardom/{agent}")
                self.assertEqual(code, 0, said)
                self.assertIn("passed all tests", said)

    @unittest.skipUnless(shutil.which("crm_resource"), "SKIPPED: no pacemaker here")
    def test_crm_resource(self):
        code, said = self.inside("crm_resource", "--list-agents", "ocf:wardom")
        self.assertEqual((code, sorted(said.split())), (0, ["Guest", "HostGuard"]), said)
        for agent in self.PARAMETERS:
            with self.subTest(agent):
                code, said = self.inside("crm_resource", "--show-metadata", f"ocf:wardom:{agent}")
                self.assertEqual(code, 0, said)
                self.assertIn(f'<resource-agent name="{agent}"', said)
                code, said = self.inside("crm_resource", "--validate", "--class", "ocf",
                                         "--provider", "wardom", "--agent", agent,
                                         *self.words(agent, "--option"))
                self.assertEqual(code, 0, said)
                self.assertNotIn("ocf-exit-reason", said)

    @unittest.skipUnless(shutil.which("crm"), "SKIPPED: no crmsh here")
    def test_crm_describes_them(self):
        for agent, parameter in (("Guest", "force_stop"), ("HostGuard", "supervise")):
            with self.subTest(agent):
                code, said = self.inside("crm", "ra", "info", f"ocf:wardom:{agent}")
                self.assertEqual(code, 0, said)
                self.assertIn(parameter, said)
                self.assertNotIn("ERROR", said)

    @unittest.skipUnless(shutil.which("pcs"), "SKIPPED: no pcs here")
    def test_pcs_describes_them(self):
        for agent, parameter in (("Guest", "force_stop"), ("HostGuard", "supervise")):
            with self.subTest(agent):
                code, said = self.inside("pcs", "resource", "describe", f"ocf:wardom:{agent}")
                self.assertEqual(code, 0, said)
                self.assertIn(parameter, said)

    CREATE = """cibadmin --empty >$SCRATCH/cib.xml
pcs -f $SCRATCH/cib.xml resource create guard ocf:wardom:HostGuard \\
    meta allow-unhealthy-nodes=true clone interleave=true
pcs -f $SCRATCH/cib.xml resource create db ocf:wardom:Guest guest=db
cat $SCRATCH/cib.xml
"""

    @unittest.skipUnless(shutil.which("pcs"), "SKIPPED: no pcs here")
    def test_pcs_makes_resources_of_them(self):
        """As the manual says."""
        code, said = self.inside("bash", "-ec", self.CREATE)
        self.assertEqual(code, 0, said)
        self.assertIn('type="HostGuard"', said)
        self.assertIn('name="interleave" value="true"', said)
        self.assertIn('name="allow-unhealthy-nodes" value="true"', said)
        # A monitor for each level, and no two of them with one interval.
        for interval, level in (("10s", None), ("60s", "10"), ("300s", "20")):
            self.assertIn(f'name="monitor" interval="{interval}"', said, said)
            if level:
                self.assertIn(f'name="OCF_CHECK_LEVEL" value="{level}"', said)


if __name__ == "__main__":
    unittest.main()
