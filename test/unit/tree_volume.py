"""`wardomctl volume` on real files: format, show, check, dump, repair.

    tree_volume.py PROGRAM
"""

import concurrent.futures
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "wardomctl"
BLOCK = 4096
SIDE_BY_SIDE = 8
MIB = 1024 * 1024
SLOT, BALLOT, DECISION, TABLE = 2, 3, 4, 5

CONFIG = """[cluster]
name = "lab"
[volume]
path = "/v"
[[domain]]
name = "d1"
id = 1
""" + "".join(f"""[[host]]
name = "n{n}"
id = {n}
domain = "d1"
mgmt = "10.0.0.{n}"
storage = "10.1.0.{n}"
""" for n in (1, 2, 3))


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def extent(uuid, region, index, twin, writer, number, sequence, payload):
    """One extent, from libha/doc/volume-format.md and from nothing else."""
    head = struct.pack("<8sHBBI16sHHIQ16sQQ", b"WRDMBLK\0", 1, region, twin, index,
                       uuid, writer, 0, len(payload), number, bytes([number]) * 16, sequence, 0)
    rest = payload[428:]
    head = (head + payload[:428]).ljust(508, b"\0")
    covered = struct.pack("<QI", sequence, len(rest)) + rest
    body = struct.pack("<QII", sequence, len(rest), crc32c(covered)) + rest
    image = head + struct.pack("<I", crc32c(head)) + body
    return image.ljust((len(image) + BLOCK - 1) // BLOCK * BLOCK, b"\0")


def slot_payload(name, state=1):
    return (struct.pack("<B3xIIIQQQQQ", state, 6000, 5000, 2, 7, 123456789, 42, 9, 0) + b"\x11" * 16 +
            b"\x22" * 16 + bytes(16) + b"\x07" + bytes(15) + b"\x05" + bytes(15) + bytes(16) +
            struct.pack("<IIQQ16x", 500, 8, 4096, 1024) + bytes([len(name)]) + name.encode())


def ballot_payload(version, host, released=False):
    """`version` of the lock is decided: `host` owns it, and nobody else ballots."""
    owner = struct.pack("<HQ", host, 3) + bytes([3]) * 16 + struct.pack("<I", 7)
    directory = struct.pack("<BH", 1, host | 1 << 12)
    return struct.pack("<BQ", released, version) + owner + bytes(24 + 30) + directory


def proposal_payload(version, mbal, bal, host, directory=None):
    """`version` is decided; `host` is proposed for the next, with a directory of its own if given."""
    owner = struct.pack("<HQ", 1, 3) + bytes([3]) * 16 + struct.pack("<I", 7)
    proposed = struct.pack("<HQ", host, 3) + bytes([3]) * 16 + struct.pack("<I", 8)
    decided = struct.pack("<B", 120) + b"".join(
        struct.pack("<H", n | 2 << 12) for n in range(1, 121))
    own = b"" if directory is None else struct.pack("<B", len(directory)) + b"".join(
        struct.pack("<H", n | 1 << 12) for n in directory)
    return (struct.pack("<BQ", 2 if own else 0, version) + owner +
            struct.pack("<QQQ", version + 1, mbal, bal) + proposed + decided + own)


def decision_payload(version, dead=()):
    """dead: (host, incarnation's number), each proved by power-off."""
    out = struct.pack("<QHHH", version, 1, len(dead), 0)
    for host, number in dead:
        out += struct.pack("<HQ", host, number) + bytes([number]) * 16
        out += struct.pack("<BQ", 1, version) + b"\x09" * 16 + struct.pack("<qqB", 1000, 2000, 3) + b"off"
    return out + b"\x00\x00\x00"  # armed, not split, no BMC has lied


class Volume(unittest.TestCase):
    hosts, domains = 3, 2
    table_blocks, decision_blocks = 16, 128

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="volume-test-", dir=os.getcwd())
        self.addCleanup(self.folder.cleanup)
        self.path = self.folder.name + "/volume"
        self.config = pathlib.Path(self.folder.name, "wardom.toml")
        self.config.write_text(CONFIG)
        self.audit = pathlib.Path(self.folder.name, "audit.jsonl")

    def volume(self, *arguments, code=0, typed=""):
        result = subprocess.run(
            [PROGRAM, "--socket", self.folder.name + "/none", "volume", *map(str, arguments)],
            input=typed, capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return result

    def json(self, *arguments, code=0):
        return json.loads(self.volume(*arguments, "--json", code=code).stdout)

    def lines(self, *arguments):
        return [json.loads(line)
                for line in self.volume("dump", self.path, "--json", *arguments).stdout.splitlines()]

    def format(self, *more):
        made = self.json("format", self.path, "--hosts", self.hosts, "--domains", self.domains,
                         "--cluster", "lab", "--profile", "fast", "--table-size", "64KiB",
                         "--l-late", 2, *more)
        self.uuid = bytes.fromhex(made["uuid"].replace("-", ""))
        return made

    def offset(self, region, index, twin):
        """The document's table of regions."""
        regions = ((2, 1, self.hosts, 1), (1, 1, self.domains, 1),
                   (3, self.hosts + 1, self.domains * self.hosts, 1),
                   (4, 1, self.hosts, self.decision_blocks), (5, 1, self.hosts, self.table_blocks))
        start = MIB
        for number, first, cells, blocks in regions:
            if number == region:
                return start + ((index - first) * 2 + twin) * blocks * BLOCK
            start += cells * 2 * blocks * BLOCK
        raise KeyError(region)

    def write(self, at, data):
        with open(self.path, "r+b") as file:
            file.seek(at)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def put(self, region, index, twin, number, sequence, payload, writer=None):
        image = extent(self.uuid, region, index, twin, index if writer is None else writer, number,
                       sequence, payload)
        self.write(self.offset(region, index, twin), image)
        return image


class Format(Volume):
    def test_sizes_are_printed_first_and_agree(self):
        text = self.volume("format", self.path, "--hosts", 3, "--domains", 2, "--cluster", "lab",
                           "--dry-run").stdout
        self.assertIn("ballot", text)
        self.assertLess(text.index("ballot"), text.index("volume "))
        self.assertFalse(os.path.exists(self.path))
        made = self.format()
        self.assertEqual(made["size_bytes"], self.offset(TABLE, 4, 0))
        self.assertEqual(os.path.getsize(self.path), made["size_bytes"])
        self.assertEqual(made["profile"]["d_s"], self.json("show", self.path)["profile"]["d_s"])

    def test_what_an_outage_and_each_proof_cost_is_said_beforehand(self):
        for profile, kills, resets, stops, d, late, off in (
                ("fast", "4.50 s", "11.00 s", "3.00 s", "12.43 s", "10.00 s", "at once"),
                ("default", "15.00 s", "30.00 s", "10.00 s", "32.02 s", "30.00 s", "at once"),
                ("tolerant", "45.00 s", "75.00 s", "30.00 s", "78.13 s", "2.00 s", "1.50 s later")):
            with self.subTest(profile):
                text = self.volume(
                    "format", self.path, "--hosts", 3, "--domains", 2, "--cluster", "lab",
                    "--profile", profile, "--l-late", late.split()[0], "--l-late-after-off",
                    1.5 if off != "at once" else 0, "--dry-run").stdout
                self.assertIn(f"for longer than {kills}\n(3/4 T_F) KILLS ITS PROTECTED GUESTS", text)
                self.assertIn('[volume] outage = "ride-out"', text)
                self.assertIn(f"by {resets} (T_F + W)", text)
                self.assertIn(f"From {stops}", text)
                proofs = {line.split()[0]: line for line in text.splitlines() if line}
                self.assertIn(f"{d} (D)", proofs["lease-expired"])
                for proof in ("lease-expired", "rebooted", "operator"):
                    self.assertTrue(proofs[proof].endswith(f"{late} later"), proofs[proof])
                self.assertTrue(proofs["power-off"].endswith(off), proofs["power-off"])
                said = float(kills.split()[0]) + float(late.split()[0])
                self.assertIn(f"after {said:.2f} s", proofs["released"])
        made = self.format()["profile"]
        self.assertEqual((made["outage_kills_s"], made["outage_resets_s"]), (4.5, 11))

    def test_tables_by_guests(self):
        arguments = ("format", self.path, "--hosts", 64, "--domains", 4, "--cluster", "lab",
                     "--dry-run")
        self.assertEqual(self.json(*arguments, "--guests-per-host", 320)["table_bytes"], 640 * 1024)
        self.assertEqual(self.json(*arguments)["table_bytes"], 256 * 1024)
        self.volume(*arguments, "--guests-per-host", 320, "--table-size", "1MiB", code=2)
        self.volume(*arguments, "--guests-per-host", 1025, code=2)
        self.volume(*arguments, "--table-size", "10000", code=2)

    def test_limits_are_named(self):
        for arguments in (("--hosts", 2001, "--domains", 2), ("--hosts", 1, "--domains", 2),
                          ("--hosts", 3, "--domains", 251), ("--hosts", 3, "--domains", 0)):
            result = self.volume("format", self.path, *arguments, "--cluster", "lab", code=2)
            self.assertIn("range", result.stderr)

    def test_another_version_is_never_formatted_by_force_alone(self):
        self.format()
        with open(self.path, "rb") as file:
            block = bytearray(file.read(512))
        block[8] = 2
        for copy, at in enumerate((0, 512 * 1024, MIB - BLOCK)):
            block[11] = copy
            self.write(at, bytes(block[:508]) + struct.pack("<I", crc32c(block[:508])))
        arguments = ("format", self.path, "--hosts", 3, "--domains", 2, "--cluster", "lab")
        self.assertIn("another version", self.volume("show", self.path, code=1).stderr)
        self.volume(*arguments, code=3)
        self.assertIn("cannot be seen", self.volume(*arguments, "--force", code=3).stderr)
        self.volume(*arguments, "--force", "--destroy-living-cluster")

    def test_the_largest_cluster_on_a_sparse_file(self):
        made = self.json("format", self.path, "--hosts", 2000, "--domains", 250, "--cluster", "lab",
                         "--guests-per-host", 10, "--sparse")
        self.hosts, self.domains, self.table_blocks = 2000, 250, 5
        self.uuid = bytes.fromhex(made["uuid"].replace("-", ""))
        self.assertEqual(made["size_bytes"], self.offset(TABLE, 2001, 0))
        self.assertLess(os.stat(self.path).st_blocks * 512, MIB)
        self.put(SLOT, 2000, 1, 3, 9, slot_payload("n2000"))
        self.put(BALLOT, 250 * 2000 + 1999, 0, 3, 9, ballot_payload(12, 1999), writer=1999)
        report = self.json("check", self.path)
        self.assertEqual(report["damages"], [])
        self.assertEqual(report["extents"], 3 + 2 * (2000 + 250 + 250 * 2000 + 2000 + 2000))
        self.assertEqual(report["in_use"], 5)
        self.assertEqual(self.lines("--region", "slot")[0]["host"], 2000)
        (ballot,) = self.lines("--region", "ballot", "--domain", 250)
        self.assertEqual((ballot["host"], ballot["domain"]), (1999, 250))
        (lock,) = self.json("show", self.path)["locks"]
        self.assertEqual((lock["domain"], lock["owner"], lock["lock_version"], lock["daemon_epoch"]),
                         (250, 1999, 12, 7))
        self.assertFalse(lock["released"] or lock["doubtful"])


class Dump(Volume):
    def test_prints_what_the_document_says(self):
        self.format()
        self.put(SLOT, 3, 0, 7, 41, slot_payload("n3"))
        image = self.put(SLOT, 3, 1, 7, 42, slot_payload("n3", state=2))
        self.put(DECISION, 1, 0, 4, 5, decision_payload(9, [(3, 7)]))
        lines = self.lines()
        self.assertEqual([line["region"] for line in lines],
                         ["superblock"] * 3 + ["slot"] * 2 + ["decision"])
        slot = lines[4]
        self.assertEqual((slot["host"], slot["domain"], slot["extent"], slot["state"]),
                         (3, None, 1, "valid"))
        self.assertEqual(slot["offset"], self.offset(SLOT, 3, 1))
        self.assertEqual((slot["sequence"], slot["writer"]), (42, 3))
        self.assertEqual(slot["incarnation_id"], "07" * 16)
        record = slot["record"]
        self.assertEqual((record["name"], record["state"], record["t_f_s"], record["w_s"]),
                         ("n3", "left", 6, 5))
        self.assertEqual((record["sees_mgmt"], record["sees_storage"]), ([0, 1, 2], [0, 2]))
        self.assertEqual(record["load"]["memory_free_mib"], 1024)
        verdict = lines[5]["record"]["verdicts"][0]
        self.assertEqual((verdict["host"], verdict["proof"], verdict["detail"]),
                         (3, "power-off", "off"))
        (raw,) = [line for line in self.lines("--region", "slot", "--host", 3, "--raw")
                  if line["extent"] == 1]
        self.assertEqual(bytes.fromhex(raw["raw_hex"]), image)
        self.assertIn("|WRDMBLK.", self.volume("dump", self.path, "--region", "slot", "--host", 3,
                                               "--raw").stdout)

    def test_a_named_cell_is_printed_also_where_it_is_empty(self):
        self.format()
        self.assertEqual([line["state"] for line in self.lines("--region", "table", "--host", 2)],
                         ["empty", "empty"])
        self.assertEqual(len(self.lines("--region", "ballot", "--host", 2, "--domain", 2)), 2)
        self.assertEqual(self.lines("--region", "table"), [])
        result = self.volume("dump", self.path, "--region", "slot", "--host", 4, code=2)
        self.assertIn("3 hosts", result.stderr)

    def test_every_offset_is_the_documents(self):
        self.format()
        for region, name in ((SLOT, "slot"), (DECISION, "decision"), (TABLE, "table")):
            for host in (1, 2, 3):
                for twin, line in enumerate(self.lines("--region", name, "--host", host)):
                    self.assertEqual(line["offset"], self.offset(region, host, twin))
        for domain in (1, 2):
            (a, _) = self.lines("--region", "directory", "--domain", domain)
            self.assertEqual(a["offset"], self.offset(1, domain, 0))
            for host in (1, 2, 3):
                (a, b) = self.lines("--region", "ballot", "--host", host, "--domain", domain)
                index = domain * self.hosts + host
                self.assertEqual(a["offset"], self.offset(BALLOT, index, 0))
                self.assertEqual(b["offset"], self.offset(BALLOT, index, 1))


class Check(Volume):
    def tear(self, region, index, twin, older, newer, landed):
        """A write of which only the first `landed` sectors are on the disk."""
        image = extent(self.uuid, region, index, twin, index, 7, newer[0], newer[1])
        at = self.offset(region, index, twin)
        if older:
            self.put(region, index, twin, 7, older[0], older[1])
        self.write(at, image[:512 * landed])

    def test_a_torn_newer_twin_is_a_remark(self):
        self.format()
        long = [decision_payload(v, [(3, n) for n in range(1, 30)]) for v in (1, 2, 3)]
        self.put(DECISION, 1, 1, 7, 2, long[1])
        self.tear(DECISION, 1, 0, (1, long[0]), (3, long[2]), landed=1)
        report = self.json("check", self.path)
        self.assertEqual(report["damages"], [])
        (remark,) = report["remarks"]
        self.assertEqual((remark["region"], remark["index"], remark["extent"], remark["what"]),
                         ("decision", 1, 0, "torn"))
        self.assertIn("remark", self.volume("check", self.path).stdout)

    def test_a_body_that_landed_before_its_head_is_a_remark(self):
        self.format()
        long = [decision_payload(v, [(3, n) for n in range(1, 30)]) for v in (1, 2, 3)]
        self.put(DECISION, 1, 1, 7, 2, long[1])
        self.put(DECISION, 1, 0, 7, 1, long[0])
        newer = extent(self.uuid, DECISION, 1, 0, 1, 7, 3, long[2])
        self.write(self.offset(DECISION, 1, 0) + 512, newer[512:])
        report = self.json("check", self.path)
        self.assertEqual((report["damages"], len(report["remarks"])), ([], 1))

    def test_what_fits_its_head_cannot_tear(self):
        self.format()
        newer = extent(self.uuid, SLOT, 1, 0, 1, 7, 3, slot_payload("n1"))
        self.write(self.offset(SLOT, 1, 0), newer[:512])  # over the formatter's zeros
        report = self.json("check", self.path)
        self.assertEqual((report["damages"], report["remarks"]), ([], []))

    def test_rot_is_damage(self):
        self.format()
        long = [decision_payload(v, [(3, n) for n in range(1, 30)]) for v in (1, 2)]
        self.put(DECISION, 1, 0, 7, 1, long[0])
        self.put(DECISION, 1, 1, 7, 2, long[1])
        self.write(self.offset(DECISION, 1, 0) + 600, b"rot")  # the older one: no write was there
        report = self.json("check", self.path, code=1)
        self.assertEqual((len(report["damages"]), report["remarks"]), (1, []))
        self.write(self.offset(DECISION, 1, 1) + 600, b"rot")  # none is whole
        self.assertEqual(len(self.json("check", self.path, code=1)["damages"]), 2)

    def test_a_head_that_fails_its_check_is_damage(self):
        self.format()
        self.put(SLOT, 2, 0, 7, 1, slot_payload("n2"))
        self.put(SLOT, 2, 1, 7, 2, slot_payload("n2"))
        self.write(self.offset(SLOT, 2, 1) + 100, b"rot")
        (damage,) = self.json("check", self.path, code=1)["damages"]
        self.assertEqual(damage["what"], "damaged")


class Repair(Volume):
    def repair(self, region, host, *more, code=0, typed=None):
        words = f"repair {region} of host {host}" if typed is None else typed
        return self.volume("repair", self.path, "--region", region, "--host", host, "--config",
                           self.config, "--audit-file", self.audit, *more, code=code,
                           typed=words + "\n")

    def dead_host_with_a_damaged_table(self):
        """Host 3 is proved dead; both extents of its decision are lost, one of its slot."""
        self.format()
        self.put(SLOT, 3, 0, 7, 41, slot_payload("n3"))
        self.put(SLOT, 3, 1, 7, 42, slot_payload("n3"))
        self.put(DECISION, 1, 0, 4, 5, decision_payload(9, [(3, 7)]))
        self.put(DECISION, 3, 0, 7, 5, decision_payload(8))
        self.put(DECISION, 3, 1, 7, 6, decision_payload(8))

    def test_both_extents_of_a_dead_host(self):
        self.dead_host_with_a_damaged_table()
        for twin in (0, 1):
            self.write(self.offset(DECISION, 3, twin) + 100, b"rot")
        result = self.repair("decision", 3)
        self.assertIn("proved dead, by power-off", result.stderr)
        self.assertIn("lost", result.stdout)
        self.assertEqual(self.json("check", self.path)["damages"], [])
        for line in self.lines("--region", "decision", "--host", 3):
            self.assertEqual(line["record"]["lock_version"], 0)
            self.assertGreaterEqual(line["sequence"], 2**32)
        entries = [json.loads(line) for line in self.audit.read_text().splitlines()]
        self.assertEqual([entry["done"] for entry in entries], [None, True])
        self.assertEqual(entries[0]["cell"], "decision of host 3")

    def test_one_extent_is_copied_from_the_other(self):
        self.dead_host_with_a_damaged_table()
        self.write(self.offset(SLOT, 3, 1) + 100, b"rot")
        self.repair("slot", 3)
        lines = self.lines("--region", "slot", "--host", 3)
        # A slot must not seem to move: the sequence is the old one.
        self.assertEqual([line["sequence"] for line in lines], [41, 41])

    def test_a_slot_without_a_whole_extent_becomes_left(self):
        self.dead_host_with_a_damaged_table()
        for twin in (0, 1):
            self.write(self.offset(SLOT, 3, twin) + 100, b"rot")
        self.repair("slot", 3)
        for line in self.lines("--region", "slot", "--host", 3):
            self.assertEqual((line["record"]["state"], line["record"]["w_s"]), ("left", None))
            self.assertEqual(line["incarnation_id"], "07" * 16)  # the next join counts on

    def damaged_ballot(self, number, sequence, payload):
        """The pair of host 3 in domain 2, which is not configured: one extent is lost."""
        self.format()
        self.config.write_text(CONFIG[:CONFIG.rindex("[[host]]")])
        index = 2 * self.hosts + 3
        self.put(BALLOT, index, 1, number, sequence, payload, writer=3)
        self.write(self.offset(BALLOT, index, 0), b"rot" * 100)
        return index

    def repair_ballot(self, code=0):
        return self.repair("ballot", 3, "--domain", 2, code=code,
                           typed="repair ballot of host 3 in domain 2")

    def ballots(self):
        return [line["record"] for line in self.lines("--region", "ballot", "--host", 3,
                                                      "--domain", 2)]

    def test_ballot_of_a_host_that_is_no_longer_configured(self):
        self.damaged_ballot(7, 41, proposal_payload(4, mbal=9, bal=5, host=3))
        result = self.repair_ballot()
        self.assertIn("if the other extent held a newer one, that is lost", result.stderr)
        self.assertEqual(self.json("check", self.path)["damages"], [])
        a, b = self.ballots()
        self.assertEqual(a, b)
        self.assertEqual((a["lock_version"], a["mbal"], a["bal"]), (4, 9, 5))
        self.assertEqual(a["proposed"]["host"], 3)
        sequences = [line["sequence"] for line in self.lines("--region", "ballot", "--host", 3,
                                                             "--domain", 2)]
        self.assertEqual(sequences[1], 41)
        self.assertGreater(sequences[0], 2**32)
        entry = json.loads(self.audit.read_text().splitlines()[-1])
        self.assertTrue(entry["done"])
        self.assertIn("sequence 41", entry["writes"])

    def test_a_ballot_that_is_lost_is_not_made_up(self):
        index = self.damaged_ballot(7, 41, proposal_payload(4, mbal=9, bal=5, host=3))
        self.write(self.offset(BALLOT, index, 1) + 100, b"rot")
        before = self.image(index)
        for _ in range(2):  # and then beside an extent that was never written
            error = self.repair_ballot(code=3).stderr
            self.assertIn("decided twice", error)
            self.assertIn("confirm-dead", error)
            self.assertIn("format the volume", error)
            self.assertEqual(self.image(index), before)
            self.write(self.offset(BALLOT, index, 0), bytes(BLOCK))
            before = self.image(index)
        self.assertFalse(self.audit.exists())

    def image(self, index):
        with open(self.path, "rb") as file:
            file.seek(self.offset(BALLOT, index, 0))
            return file.read(2 * BLOCK)

    def torn_ballot(self, body):
        """Extent 1 holds sequence 41; of 42, with a directory of its own, the head alone landed."""
        self.format()
        self.config.write_text(CONFIG[:CONFIG.rindex("[[host]]")])
        index = 2 * self.hosts + 3
        self.put(BALLOT, index, 1, 7, 41, proposal_payload(4, mbal=9, bal=5, host=3), writer=3)
        newer = extent(self.uuid, BALLOT, index, 0, 3, 7, 42,
                       proposal_payload(4, mbal=12, bal=12, host=1, directory=range(1, 121)))
        self.write(self.offset(BALLOT, index, 0), newer[:512] + body(newer))
        return index

    def test_of_a_ballot_that_was_cut_short_the_promise_is_kept(self):
        self.torn_ballot(lambda newer: bytes(BLOCK - 512))
        self.repair_ballot()
        self.assertEqual(self.json("check", self.path)["damages"], [])
        a, _ = self.ballots()
        # Nobody can have counted on the newer proposal, and nobody may forget the older one.
        self.assertEqual((a["lock_version"], a["mbal"], a["bal"]), (4, 12, 5))
        self.assertEqual(a["proposed"]["host"], 3)

    def test_a_proposal_that_has_rotted_is_not_taken_back(self):
        self.torn_ballot(lambda newer: newer[512:540] + b"rot" + newer[543:])
        self.assertIn("decided twice", self.repair_ballot(code=3).stderr)

    def test_refusals(self):
        self.dead_host_with_a_damaged_table()
        self.repair("slot", 3, code=1)  # whole
        self.write(self.offset(SLOT, 3, 1) + 100, b"rot")
        self.assertIn("not confirmed", self.repair("slot", 3, code=3, typed="yes").stderr)
        self.put(SLOT, 3, 0, 8, 1, slot_payload("n3"))  # it has booted since the verdict
        self.assertIn("no verdict", self.repair("slot", 3, code=3).stderr)
        self.put(SLOT, 2, 0, 1, 1, slot_payload("n2"))
        self.write(self.offset(SLOT, 2, 1), b"rot" * 100)
        self.assertIn("no verdict", self.repair("slot", 2, code=3).stderr)
        self.assertFalse(self.audit.exists())
        self.assertIn("--domain", self.repair("ballot", 3, code=2).stderr)

    def test_beside_what_this_release_cannot_read_nothing_is_repaired(self):
        """Host 3 may live under a later incarnation, as a decision or a cell of its own would say."""
        for region, host in ((DECISION, 2), (TABLE, 3)):
            with self.subTest(region=region):
                self.dead_host_with_a_damaged_table()
                self.write(self.offset(SLOT, 3, 1) + 100, b"rot")
                self.put(region, host, 0, 8, 9, decision_payload(9))
                with open(self.path, "rb") as file:
                    file.seek(self.offset(region, host, 0))
                    head = bytearray(file.read(508))
                head[8] = 99
                self.write(self.offset(region, host, 0), bytes(head) + struct.pack("<I", crc32c(head)))
                error = self.repair("slot", 3, code=3).stderr
                self.assertIn("was written by another version", error)
                os.remove(self.path)

    def test_without_a_record_nothing_is_written(self):
        self.dead_host_with_a_damaged_table()
        self.write(self.offset(SLOT, 3, 1) + 100, b"rot")
        self.audit = pathlib.Path(self.folder.name, "none", "audit.jsonl")
        self.assertIn("on record", self.repair("slot", 3, code=1).stderr)
        self.json("check", self.path, code=1)

    def test_a_slot_that_moves_is_life(self):
        self.dead_host_with_a_damaged_table()
        self.write(self.offset(DECISION, 3, 1) + 100, b"rot")
        process = subprocess.Popen(
            [PROGRAM, "--socket", self.folder.name + "/none", "volume", "repair", self.path,
             "--region", "decision", "--host", "3", "--config", str(self.config), "--audit-file",
             str(self.audit)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        with process:
            line = process.stderr.readline()
            self.assertIn("watching slot 3", line)
            for sequence in range(43, 10_000):
                self.put(SLOT, 3, sequence % 2, 7, sequence, slot_payload("n3"))
                if process.poll() is not None:
                    break
            self.assertIn("its slot moves", process.stderr.read())
        self.assertEqual(process.returncode, 3)

    def test_a_superblock_from_the_others(self):
        self.format()
        self.write(512 * 1024 + 100, b"rot")
        self.volume("repair", self.path, "--region", "superblock", "--audit-file", self.audit,
                    typed="repair superblock\n")
        self.assertEqual(self.json("check", self.path)["damages"], [])


SUPERBLOCKS = (0, 512 * 1024, MIB - BLOCK)
IN_USE, HELD, MOVED = 0, 1, 3


class Contradiction(Volume):
    """No two superblocks say the same: a change or a format was cut short, and a third has rotted."""

    def copy(self, number):
        with open(self.path, "rb") as file:
            file.seek(SUPERBLOCKS[number])
            return file.read(BLOCK)

    def superblock(self, number, sequence, use, path=b"", t_f=None):
        """As it stands, but for what is named here."""
        image = bytearray(self.copy(number))
        (size,) = struct.unpack_from("<I", image, 36)
        payload = image[80:80 + size]
        state = 16 + 8 * 4 + 8
        state += 1 + payload[state]  # the cluster's name
        change = 0 if use == IN_USE else 77
        by = b"" if use == IN_USE else b"n1"
        payload[state:] = (struct.pack("<BQB", use, change, len(path)) + path +
                           bytes([len(by)]) + by + bytes(16))
        if t_f:
            struct.pack_into("<I", payload, 32, t_f)
        made = bytearray(extent(self.uuid, 0, 0, number, 0, 0, sequence, bytes(payload)))
        made[40:64] = image[40:64]
        made[508:512] = struct.pack("<I", crc32c(made[:508]))
        self.write(SUPERBLOCKS[number], made)

    def rot(self, number):
        self.write(SUPERBLOCKS[number] + 100, b"rot")

    def repair(self, typed, code=0):
        return self.volume("repair", self.path, "--region", "superblock", "--audit-file",
                           self.audit, code=code, typed=typed + "\n")

    def hosts_live_there(self):
        self.put(SLOT, 3, 0, 7, 41, slot_payload("n3"))
        self.put(BALLOT, self.hosts + 3, 0, 7, 1, ballot_payload(4, 3), writer=3)

    def test_every_command_says_what_to_do(self):
        self.format()
        self.superblock(0, 2, HELD)
        self.rot(1)
        for command in ("show", "check", "dump"):
            error = self.volume(command, self.path, code=1).stderr
            self.assertIn(f"volume repair {self.path} --region superblock", error)
            self.assertNotIn("anew", error)

    def test_the_one_that_was_written_last_holds(self):
        self.format()
        self.hosts_live_there()
        before = self.lines("--region", "slot", "--host", 3)
        self.superblock(0, 2, HELD)
        self.rot(1)
        said = self.repair("copy 2", code=3).stderr
        for words in ("copy 0 at offset 0", "held for a change; written as number 2",
                      "copy 1 at offset 524288: damaged", "in use; written as number 1",
                      "leads to 2 cells of its own, of n3; nobody writes to it",
                      "copy 0 of the same volume was written later"):
            self.assertIn(words, said)
        self.repair("copy 1", code=3)
        self.repair("", code=3)
        self.repair("copy 0")
        self.assertEqual(self.json("check", self.path)["damages"], [])
        self.assertEqual(self.json("show", self.path)["use"]["state"], "held")
        self.assertEqual(self.lines("--region", "slot", "--host", 3), before)
        (begun, done) = map(json.loads, self.audit.read_text().splitlines())
        self.assertEqual([begun["done"], done["done"]], [None, True])
        self.assertEqual([one.get("use", {}).get("state") for one in begun["were"]],
                         ["held", None, "in-use"])
        self.assertIn("is being moved or changed", self.repair("copy 0", code=3).stderr)

    def test_a_move_that_was_decided_is_not_taken_back(self):
        self.format()
        self.superblock(1, 3, MOVED, b"/new")
        self.superblock(2, 2, HELD, b"/new")
        self.rot(0)
        said = self.repair("copy 2", code=3).stderr
        self.assertIn("moved to /new; written as number 3", said)
        self.assertIn("copy 1 of the same volume was written later", said)
        self.repair("copy 1")
        self.assertEqual(self.json("show", self.path)["use"]["state"], "moved")

    def test_three_that_differ(self):
        self.format()
        self.superblock(0, 2, HELD)
        self.superblock(1, 3, IN_USE, t_f=20000)
        self.assertIn("contradict", self.volume("show", self.path, code=1).stderr)
        self.repair("copy 0", code=3)
        self.repair("copy 1")
        self.assertEqual(self.json("show", self.path)["profile"]["t_f_s"], 20.0)

    def two_volumes(self):
        """One was formatted over the other; of each, one superblock is left."""
        self.format()
        self.hosts_live_there()
        cells = [self.offset(SLOT, 3, 0), self.offset(BALLOT, self.hosts + 3, 0)]
        kept = []
        for at in cells:
            with open(self.path, "rb") as file:
                file.seek(at)
                kept.append(file.read(BLOCK))
        old, old_uuid = self.copy(2), self.uuid
        self.format("--force")
        self.write(SUPERBLOCKS[2], old)
        for at, image in zip(cells, kept):
            self.write(at, image)
        self.rot(1)
        return old_uuid

    def test_of_two_volumes_a_person_says_which(self):
        old = self.two_volumes()
        new = self.uuid
        said = self.repair("none", code=3).stderr
        self.assertIn("leads to 0 cells of its own; nobody", said)
        self.assertIn("leads to 2 cells of its own, of n3; nobody", said)
        self.repair("copy 2")
        self.assertEqual(self.json("show", self.path)["uuid"].replace("-", ""), old.hex())
        self.assertEqual(self.json("check", self.path)["damages"], [])
        self.assertIn(new.hex(), self.audit.read_text().replace("-", ""))

    def test_of_two_volumes_the_one_that_hosts_live_on_holds(self):
        self.uuid, new = self.two_volumes(), self.uuid
        self.assertNotEqual(self.uuid, new)
        process = subprocess.Popen(
            [PROGRAM, "volume", "repair", self.path, "--region", "superblock", "--audit-file",
             str(self.audit)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with process:
            self.assertIn("watching the slots", process.stderr.readline())
            process.stdin.write("copy 0\n")
            process.stdin.close()
            for sequence in range(42, 10_000):
                self.put(SLOT, 3, sequence % 2, 7, sequence, slot_payload("n3"))
                if process.poll() is not None:
                    break
            said = process.stderr.read()
        self.assertIn("of n3; hosts live on it", said)
        self.assertIn("choose a copy of that one", said)
        self.assertEqual(process.returncode, 3)


def run_all():
    """Side by side: most of a repair's time is spent watching a slot."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__])
    tests = [test for group in suite for test in group]
    with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        results = list(pool.map(lambda test: test.run(), tests))
    faults = [fault for result in results for fault in result.errors + result.failures]
    for test, text in faults:
        print(f"{test.id()}\n{text}")
    print(f"{len(tests)} tests, {len(faults)} failed")
    return 1 if faults or not tests else 0


if __name__ == "__main__":
    sys.exit(run_all())
