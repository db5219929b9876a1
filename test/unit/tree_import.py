"""`wardomctl import-virtualdomain` on whole CIBs, which Pacemaker's own tools then check.

    tree_import.py PROGRAM
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "wardomctl"
VIRTUALDOMAIN = 'class="ocf" provider="heartbeat" type="VirtualDomain"'
GUEST = 'class="ocf" provider="wardom" type="Guest"'


def cib(resources, constraints="", config="", defaults=""):
    return f"""\
<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="7" num_updates="0" admin_epoch="0">
  <configuration>
    <crm_config>
      <cluster_property_set id="options">
        <nvpair id="options-stonith" name="stonith-enabled" value="false"/>{config}
      </cluster_property_set>
    </crm_config>
    <nodes>
      <node id="1" uname="n1"/>
    </nodes>
    <resources>
{resources}
    </resources>
    {f"<constraints>{constraints}</constraints>" if constraints else "<constraints/>"}{defaults}
  </configuration>
  <status/>
</cib>
"""


def pairs(owner, **parameters):
    return "".join(f'\n          <nvpair id="{owner}-{name}" name="{name}" value="{value}"/>'
                   for name, value in parameters.items())


def guest(name, more="", **parameters):
    parameters = {"config": f"/etc/guests/{name}.xml", **parameters}
    return f"""\
      <primitive id="{name}" {VIRTUALDOMAIN}>
        <instance_attributes id="{name}-params">{pairs(name, **parameters)}
        </instance_attributes>{more}
      </primitive>"""


LIVED_IN = """
        <meta_attributes id="web-meta">
          <nvpair id="web-migrate" name="allow-migrate" value="true"/>
        </meta_attributes>
        <utilization id="web-use"><nvpair id="web-cpu" name="cpu" value="2"/></utilization>
        <operations>
          <!-- the backup needs long -->
          <op id="web-stop" name="stop" interval="0s" timeout="600s"/>
          <op id="web-monitor" name="monitor" interval="10s" timeout="30s"/>
        </operations>"""
CONSTRAINTS = """
      <rsc_location id="loc" rsc="web" node="n1" score="INFINITY"/>
      <rsc_colocation id="col" rsc="web" with-rsc="db" score="-INFINITY"/>
    """
MAINTENANCE = '\n        <nvpair id="options-maintenance" name="maintenance-mode" value="true"/>'


class Import(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = pathlib.Path(folder.name) / "cib.xml"

    def run_it(self, *words, code=0, text=None, **environment):
        done = subprocess.run([PROGRAM, "import-virtualdomain", *words], input=text,
                              capture_output=True, text=True, env={**os.environ, **environment})
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def verify(self, text):
        """Pacemaker finds no fault in it."""
        if not shutil.which("crm_verify"):
            return
        self.file.write_text(text)
        done = subprocess.run(["crm_verify", "--verbose", "--xml-file", str(self.file)],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def converted(self, text, *words, code=0):
        """The CIB after the command, which Pacemaker took before and takes now."""
        self.verify(text)
        after = self.run_it("--print", "-", *words, text=text, code=code).stdout
        self.verify(after)
        return after

    def refuses(self, text, *reasons):
        """Changes nothing, and says why."""
        self.assertEqual(self.run_it("--print", "-", text=text, code=3).stdout, text)
        said = self.run_it("-", text=text, code=3).stdout
        for reason in reasons:
            self.assertIn(reason, said)
        self.assertNotIn("@@", said)

    def test_changes_the_agent_and_nothing_else(self):
        text = cib("\n".join([guest("web", LIVED_IN, hypervisor="qemu:///system", force_stop="yes"),
                              guest("db"),
                              '      <primitive id="ip" class="ocf" provider="heartbeat" type="Dummy"/>']),
                   CONSTRAINTS)
        self.assertEqual(self.converted(text), text.replace(VIRTUALDOMAIN, GUEST))
        said = self.run_it("-", text=text).stdout
        self.assertIn("web: becomes ocf:wardom:Guest\ndb: becomes ocf:wardom:Guest\n", said)
        self.assertIn(f'-      <primitive id="web" {VIRTUALDOMAIN}>\n'
                      f'+      <primitive id="web" {GUEST}>\n', said)
        self.assertEqual(len(re.findall("^[-+] ", said, re.MULTILINE)), 4, said)
        self.assertIn("nothing was changed", said)

    def test_what_stands_in_the_file_stays_as_it_stands(self):
        text = cib(guest("web")).replace("web.xml", "a &lt;b&gt; &amp;&#10;'c'.xml").replace(
            "<status/>", "<!-- \"a\" & <b> -->\n  <status a='say \"x\" &amp; &apos;y'/>")
        after = text.replace(VIRTUALDOMAIN, GUEST).replace(
            "a='say \"x\" &amp; &apos;y'", 'a="say &quot;x&quot; &amp; &apos;y"')
        self.assertEqual(self.run_it("--print", "-", text=text).stdout, after)

    def test_in_a_group_it_stays_in_the_group(self):
        group = "      <group id=\"rack\">\n" + guest("web") + "\n" + guest("db") + "\n      </group>"
        text = cib(group)
        self.assertEqual(self.converted(text), text.replace(VIRTUALDOMAIN, GUEST))

    def test_leaves_out_what_guest_never_does_and_says_so(self):
        text = cib(guest("web", autoset_utilization_cpu="false", save_config_on_stop="no"))
        after = self.converted(text)
        self.assertEqual(after, cib(guest("web")).replace(VIRTUALDOMAIN, GUEST))
        self.assertIn("  left out: autoset_utilization_cpu=false\n  left out: save_config_on_stop=no\n",
                      self.run_it("-", text=text).stdout)

    def test_refuses_what_guest_cannot_do(self):
        for name, value, reason in (
                ("migration_transport", "ssh", "[migration] in wardom.toml, for all of them; once "
                                               "it is there, say --drop migration_transport"),
                ("migrateport", "49200", "no such parameter"),
                ("snapshot", "/var/snap", "snapshot=/var/snap: Guest has no such parameter"),
                ("autoset_utilization_cpu", "true", "autoset_utilization_cpu=true: Guest has no"),
                ("monitor_scripts", "/usr/bin/look", "--drop monitor_scripts"),
                ("hypervisor", "lxc:///", "Wardom's guests are those of qemu:///system"),
                ("hypervisor", "qemu+ssh://n2/system", "those of qemu:///system"),
                ("force_stop", "maybe", "is neither yes nor no"),
                ("config", "web.xml", "is not an absolute path"),
                ("config", "", "has no config")):
            with self.subTest(f"{name}={value}"):
                self.refuses(cib(guest("web", **{name: value})), "web: stays ocf:heartbeat:Virtual",
                             reason)

    def test_drops_what_it_is_told_to_drop(self):
        text = cib(guest("web", migration_transport="ssh", migrateport="49200"))
        after = self.converted(text, "--drop", "migration_transport", "--drop", "migrateport")
        self.assertEqual(after, cib(guest("web")).replace(VIRTUALDOMAIN, GUEST))
        self.run_it("--drop", "migrateport", "-", text=text, code=3)

    def test_one_that_stays_does_not_hold_up_others(self):
        good, bad = guest("web"), guest("db", snapshot="/x")
        after = self.converted(cib(f"{good}\n{bad}"), code=3)
        self.assertEqual(after, cib(f"{good.replace(VIRTUALDOMAIN, GUEST)}\n{bad}"))

    def test_refuses_a_guest_that_could_run_twice(self):
        for name in ("clone", "master"):
            self.refuses(cib(f'      <{name} id="twice">\n{guest("web")}\n      </{name}>'),
                         f"is in {name} twice: a guest runs once")
        one = guest("web", config="/etc/guests/same.xml")
        two = guest("db", config="/etc/guests/same.xml")
        self.refuses(cib(f"{one}\n{two}"), "config=/etc/guests/same.xml is another resource's too")

    def template(self, **parameters):
        users = "\n".join(f"""\
      <primitive id="{name}" template="vm">
        <instance_attributes id="{name}-params">{pairs(name, config=f"/etc/guests/{name}.xml",
                                                       **parameters.get(name, {}))}
        </instance_attributes>
      </primitive>""" for name in ("web", "db"))
        return cib(f"""\
      <template id="vm" {VIRTUALDOMAIN}>
        <instance_attributes id="vm-params">{pairs("vm", hypervisor="qemu:///system",
                                                   **parameters.get("vm", {}))}
        </instance_attributes>
      </template>
{users}""")

    def test_a_template_changes_with_all_that_are_made_from_it(self):
        text = self.template()
        self.assertEqual(self.converted(text), text.replace(VIRTUALDOMAIN, GUEST))
        self.refuses(self.template(db={"snapshot": "/x"}), "snapshot=/x: Guest has no",
                     "web: stays", "vm: stays", "shares a template with a resource that stays")
        self.refuses(self.template(vm={"remoteuri": "x"}), "remoteuri=x", "web: stays", "db: stays")

    def test_what_others_refer_to_is_not_taken_from_them(self):
        shared = guest("web", autoset_utilization_cpu="false")
        other = guest("db").replace('<instance_attributes id="db-params">', '''\
<instance_attributes id-ref="web-params"/>
        <instance_attributes id="db-params">''')
        self.refuses(cib(f"{shared}\n{other}"), "other resources refer to it by id-ref")
        kept = cib(f'{guest("web", force_stop="no")}\n{other}')
        self.assertEqual(self.converted(kept), kept.replace(VIRTUALDOMAIN, GUEST))

    def test_refuses_where_a_rule_means_resources_by_their_agent(self):
        def defaults(words):
            return f"""
    <op_defaults>
      <meta_attributes id="ops">
        <rule id="rule" score="INFINITY"><rsc_expression id="which" {words}/></rule>
        <nvpair id="ops-timeout" name="timeout" value="90s"/>
      </meta_attributes>
    </op_defaults>"""
        self.refuses(cib(guest("web"), defaults=defaults('type="VirtualDomain"')), "the rule which")
        text = cib(guest("web"), defaults=defaults('provider="heartbeat" type="Dummy"'))
        self.assertEqual(self.converted(text), text.replace(VIRTUALDOMAIN, GUEST))

    def test_says_what_is_wrong_with_a_damaged_file(self):
        whole = cib(guest("web"))
        deep = whole.replace("<status/>", "<a>" * 5000 + "</a>" * 5000)
        for text, words in (("", "well-formed"), ("<cib>", "well-formed"), ("\0" * 9, "well-formed"),
                            (whole[:len(whole) // 2], "standard input: line 10: not"), ("<domain/>", "not a whole CIB"),
                            (whole.replace("</primitive>", "</x>"), "well-formed"),
                            (deep, "nested more than 200 deep")):
            with self.subTest(text[:20]):
                done = self.run_it("-", text=text, code=1)
                self.assertIn(words, done.stderr)
                self.assertEqual(done.stdout, "")
        self.assertIn("No such file", self.run_it("/none/such.xml", code=1).stderr)

    def test_nothing_to_do_is_done(self):
        text = cib('      <primitive id="ip" class="ocf" provider="heartbeat" type="Dummy"/>')
        self.assertEqual(self.run_it("-", text=text).stdout,
                         "no resource is of ocf:heartbeat:VirtualDomain\n")
        once = self.run_it("--print", "-", text=cib(guest("web"))).stdout
        self.assertEqual(self.run_it("--print", "-", text=once).stdout, once)

    def test_json_names_each_resource(self):
        text = cib(guest("web", stateless="no") + "\n" + guest("db", snapshot="/x"))
        said = json.loads(self.run_it("--json", "-", text=text, code=3).stdout)
        self.assertEqual([(r["id"], r["becomes_guest"], r["left_out"], len(r["reasons"]))
                          for r in said["resources"]],
                         [("web", True, ["stateless=no"], 0), ("db", False, [], 1)])
        self.assertFalse(said["applied"])

    def test_usage(self):
        self.run_it("--apply", "cib.xml", code=2)
        self.run_it("--apply", "--dry-run", code=2)
        self.run_it("--apply", "--print", code=2)

    @unittest.skipUnless(shutil.which("cibadmin") and shutil.which("crm_diff"), "needs Pacemaker")
    def test_apply_changes_the_cluster_in_maintenance_only(self):
        where = {"CIB_file": str(self.file)}
        text = cib(guest("web", LIVED_IN) + "\n" + guest("db", snapshot="/x"), CONSTRAINTS)
        self.file.write_text(text)
        self.file.chmod(0o600)
        before = self.run_it(code=3, **where).stdout
        self.assertIn("nothing was changed", before)
        self.assertIn("maintenance-mode", self.run_it("--apply", code=3, **where).stderr)
        self.assertIn(VIRTUALDOMAIN, self.file.read_text().split('id="db"')[0])
        self.file.write_text(cib(guest("web", LIVED_IN) + "\n" + guest("db", snapshot="/x"),
                                 CONSTRAINTS, MAINTENANCE))
        self.assertIn("applied; now: crm_resource --refresh",
                      self.run_it("--apply", code=3, **where).stdout)
        after = self.file.read_text()
        self.assertIn(f'<primitive id="web" {GUEST}>', after)
        self.assertIn(f'<primitive id="db" {VIRTUALDOMAIN}>', after)
        for kept in ('id="web-stop"', 'id="web-migrate"', 'id="loc"', 'id="col"', 'id="web-cpu"'):
            self.assertIn(kept, after)
        self.verify(after)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
