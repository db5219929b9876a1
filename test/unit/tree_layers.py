"""scripts/check-layers on small trees: good ones pass, and each rule can fail.

    tree_layers.py ROOT    ROOT: this repository
"""

import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAM = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".") / "scripts" / "check-layers"

GOOD = {
    "libha/core/CMakeLists.txt": "wardom_layer(core SOURCES a.cpp)\n",
    "libha/wire/CMakeLists.txt": "wardom_layer(wire\n  SOURCES w.cpp\n  DEPENDS core\n"
                                 "  LIBRARIES PkgConfig::SODIUM)\n",
    "libha/port/CMakeLists.txt": "wardom_layer(port DEPENDS core)\n",
    "libha/disk/CMakeLists.txt": "wardom_layer(disk SOURCES d.cpp DEPENDS wire LIBRARIES port)\n",
    "libha/core/a.hpp": "#include <chrono>\n#include <map>\nstruct A { A() = default; };\n",
    "libha/core/a.cpp": '#include "libha/core/a.hpp"\n'
                        "// No std::thread here, no printf(), no default: either.\n"
                        'const char* kText = "steady_clock";\n'
                        "int f(int state) {\n  switch (state) {\n    case 1: return 1'000;\n  }\n"
                        "  return runtime(0) + read(2);\n}\n",
    "libha/wire/w.cpp": '#include <sodium.h>\n#include "libha/core/a.hpp"\n',
    "libha/port/p.hpp": '#include <functional>\n#include "libha/core/a.hpp"\n',
    "libha/disk/d.cpp": '#include <fcntl.h>\n#include <thread>\n#include "libha/wire/w.hpp"\n'
                        '#include "libha/core/a.hpp"\nvoid g(int n) { switch (n) { default: ; } }\n',
    "agents/x/main.cpp": '#include "libha/disk/d.hpp"\n#include <iostream>\n',
    "test/unit/t.cpp": '#include "test/unit/t.hpp"\n#include "libha/core/a.hpp"\n',
}

# Rule -> (file, bad text, what the finding says). The text replaces the file's.
BAD = {
    "clock": ("libha/core/a.cpp", "auto t = std::chrono::steady_clock::now();\n", "is a clock"),
    "clock call": ("libha/wire/w.cpp", "clock_gettime(CLOCK_MONOTONIC, &t);\n", "is a clock"),
    "time(nullptr)": ("libha/core/a.cpp", "auto t = time(nullptr);\n", "is a clock"),
    "clock header": ("libha/core/a.cpp", "#include <ctime>\n", "<ctime> is a clock"),
    "thread": ("libha/core/a.cpp", "std::thread t;\n", "is a thread"),
    "mutex header": ("libha/wire/w.cpp", "#include <mutex>\n", "<mutex> is a thread"),
    "thread_local": ("libha/core/a.cpp", "thread_local int x;\n", "is a thread"),
    "I/O": ("libha/core/a.cpp", "void f() { printf(\"x\"); }\n", "`printf(` is I/O"),
    "I/O header": ("libha/wire/w.cpp", "#include <unistd.h>\n", "<unistd.h> is I/O"),
    "socket header": ("libha/core/a.hpp", "#include <sys/socket.h>\n", "is I/O"),
    "asio": ("libha/core/a.hpp", "#include <boost/asio/io_context.hpp>\n", "is I/O"),
    "environment": ("libha/core/a.cpp", "auto v = getenv(name);\n", "is I/O"),
    "logging": ("libha/core/a.cpp", "#include <spdlog/spdlog.h>\n", "is logging"),
    "syslog": ("libha/core/a.cpp", "void f() { syslog(1, x); }\n", "is logging"),
    "chance": ("libha/core/a.cpp", "std::random_device d;\n", "is chance"),
    "libsodium's chance": ("libha/wire/w.cpp", "randombytes_buf(p, 8);\n", "is chance"),
    "unordered": ("libha/core/a.hpp", "std::unordered_map<int, int> m;\n", "unordered container"),
    "unordered header": ("libha/wire/w.cpp", "#include <unordered_set>\n", "unordered container"),
    "default": ("libha/core/a.cpp", "switch (v) {\n  default :\n    dead();\n}\n",
                "a.cpp:2: `default:` hides cases"),
    "code after a string": ("libha/core/a.cpp", 'f("a // b"); std::thread t;\n', "is a thread"),
    "code after a comment": ("libha/core/a.cpp", "/* x */ std::thread t;\n", "is a thread"),
    "upwards": ("libha/core/a.cpp", '#include "libha/port/p.hpp"\n',
                "layer core includes libha/port/p.hpp, but does not depend on port"),
    "sideways": ("libha/port/p.hpp", '#include "libha/wire/w.hpp"\n', "does not depend on wire"),
    "a library is no layer": ("libha/disk/d.cpp", '#include "libha/port/p.hpp"\n',
                              "does not depend on port"),
    "by angles": ("libha/core/a.cpp", "#include <libha/port/p.hpp>\n", "does not depend on port"),
    "by dots": ("libha/core/a.cpp", '#include "../port/p.hpp"\n', "from the root of the tree"),
    "layer without CMake": ("libha/new/n.cpp", '#include "libha/core/a.hpp"\n',
                            "layer new has no wardom_layer()"),
    "layers in a circle": ("libha/core/CMakeLists.txt", "wardom_layer(core DEPENDS wire)\n",
                           "core and wire depend on each other"),
    "libha knows no program": ("libha/disk/d.cpp", '#include "agents/x/x.hpp"\n', "no program"),
    "nothing includes test": ("agents/x/main.cpp", '#include "test/unit/t.hpp"\n',
                              "nothing includes test"),
    "third party in a port": ("libha/port/p.hpp", "#include <libvirt/libvirt.h>\n",
                              "a port shows no header of a third party"),
    "long line": ("agents/x/main.cpp", "x" * 101 + "\n", "main.cpp:1: has 101 columns"),
    "long file": ("test/unit/t.cpp", "\n" * 901, "has 901 lines"),
    "tab": ("libha/disk/d.cpp", "int x;\n\tint y;\n", "d.cpp:2: has a tab"),
    "work left behind": ("libha/disk/d.cpp", "// TO" "DO: later\n", "leaves work behind"),
}


def check(files):
    with tempfile.TemporaryDirectory(prefix="wardom-layers-") as folder:
        for name, text in files.items():
            path = pathlib.Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return subprocess.run([sys.executable, PROGRAM, folder], capture_output=True, text=True,
                              timeout=60)


class CheckLayers(unittest.TestCase):
    def test_good_tree_passes(self):
        result = check(GOOD)
        self.assertEqual(result.stdout, "check-layers: the rules hold\n")
        self.assertEqual(result.returncode, 0)

    def test_limits_themselves_pass(self):
        result = check(GOOD | {"test/unit/t.cpp": "é" * 100 + "\n" * 900})
        self.assertEqual(result.returncode, 0, result.stdout)

    def test_each_rule_can_fail(self):
        for rule, (name, text, expected) in BAD.items():
            with self.subTest(rule):
                result = check(GOOD | {name: text})
                self.assertEqual(result.returncode, 1)
                self.assertIn(expected, result.stdout)
                # The bad piece alone is found: the rest of the tree is the good one's.
                self.assertEqual(result.stdout.count("\n"), 2, result.stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
