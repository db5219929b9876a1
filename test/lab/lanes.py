#!/usr/bin/python3
"""Runs the lab's tests in lanes: each test class in a process and a lab of its own, so many at a time.

    test/lab/lanes.py [--lanes N] [MODULE.CLASS[.TEST]...]      default: 2 lanes, every test

A class's output is printed whole when it has ended. The last lines are unittest's, over all classes:
"Ran N tests in S s" and "OK" or "FAILED (failures=N, ...)". Exit code: 0 only if everything passed.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import re
import subprocess
import sys
import threading
import time
import unittest
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
LANES = 2
BAD = ("failures", "errors", "unexpected successes")
KINDS = (*BAD, "skipped", "expected failures")
RAN = re.compile(r"^Ran (\d+) tests? in ", re.MULTILINE)
ENDED = re.compile(r"^(OK|FAILED)(?: \((.*)\))?$", re.MULTILINE)

printing = threading.Lock()


def classes() -> list[tuple[str, int]]:
    """Every test class and how many tests it has, the largest first."""
    found: Counter[str] = Counter()

    def take(suite: unittest.TestSuite) -> None:
        for test in suite:
            if isinstance(test, unittest.TestSuite):
                take(test)
            else:
                kind = type(test)
                # A module that cannot be imported stands for its tests, under its own name.
                broken = kind.__module__ == "unittest.loader"
                found[test._testMethodName if broken
                      else f"{kind.__module__}.{kind.__qualname__}"] += 1

    take(unittest.defaultTestLoader.discover(str(HERE), "*.py"))
    return sorted(found.items(), key=lambda one: (-one[1], one[0]))


def run(name: str) -> Counter[str]:
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "unittest", "-v", name], cwd=HERE, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    totals: Counter[str] = Counter()
    ran, ended = RAN.findall(done.stdout), ENDED.findall(done.stdout)
    totals["ran"] = int(ran[-1]) if ran else 0
    for word in (ended[-1][1] if ended else "").split(", "):
        if "=" in word:
            kind, count = word.split("=")
            totals[kind] += int(count)
    if done.returncode != 0 and not any(totals[kind] for kind in BAD):
        totals["errors"] += 1  # it ended without saying how
    with printing:
        print(f"---- {name}: {time.monotonic() - began:.0f} s", flush=True)
        print(done.stdout, flush=True)
    return totals


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lanes", type=int, default=LANES)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    names = arguments.names or [name for name, _ in classes()]
    began = time.monotonic()
    totals: Counter[str] = Counter()
    with concurrent.futures.ThreadPoolExecutor(max(1, arguments.lanes)) as pool:
        for one in pool.map(run, names):
            totals.update(one)
    print(f"Ran {totals['ran']} tests in {time.monotonic() - began:.3f}s\n")
    bad = any(totals[kind] for kind in BAD)
    told = ", ".join(f"{kind}={totals[kind]}" for kind in KINDS if totals[kind])
    print(("FAILED" if bad else "OK") + (f" ({told})" if told else ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
