"""Shows a recovery on this machine: a lab of 3 hosts and 4 guests, one power cut, every step live.

Run by scripts/demo, which installs what is missing first. Builds, starts the lab, cuts the power of
a host, shows the guests coming back on the other hosts, prints the timeline and the measured seconds
per guest, and cleans up.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LAB_NAME = f"demo{os.getpid()}"
VICTIM = "n1"
SURVIVOR = "n2"
RECOVERY_LIMIT_S = 60.0
TIMELINE_LIMIT_S = 15.0
LOOK_S = 0.05
ON_TERMINAL = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(code: str, text: str) -> str:
    return f"\033[{code}m{text}\033[0m" if ON_TERMINAL else text


def say(text: str = "") -> None:
    print(text, flush=True)


def step(number: int, text: str) -> None:
    say(paint("1", f"[{number}/5] {text}"))


def stop(text: str) -> None:
    print(f"demo: {text}", file=sys.stderr)
    sys.exit(1)


def lab(*arguments: str, check: bool = True, show: bool = False) -> str:
    argv = [str(ROOT / "scripts/lab"), "--name", LAB_NAME, *arguments]
    done = subprocess.run(argv, text=True, check=False, stdin=subprocess.DEVNULL,
                          stdout=None if show else subprocess.PIPE,
                          stderr=None if show else subprocess.PIPE)
    if check and done.returncode != 0:
        stop(f"`lab {' '.join(arguments)}` ended with {done.returncode}: "
             f"{(done.stderr or '').strip()}")
    return done.stdout or ""


def guests() -> list[dict]:
    return json.loads(lab("guests", "--json"))


def build() -> None:
    for argv in (["cmake", "--preset", "release"],
                 ["cmake", "--build", "--preset", "release", "--target", "installed"]):
        # On a terminal the builder shows its progress; elsewhere only what goes wrong.
        done = subprocess.run(argv, cwd=ROOT, check=False, text=True,
                              stdout=None if ON_TERMINAL else subprocess.PIPE,
                              stderr=None if ON_TERMINAL else subprocess.STDOUT)
        if done.returncode != 0:
            print(done.stdout or "", file=sys.stderr)
            stop(f"`{' '.join(argv)}` failed")


def place(guest: dict) -> str:
    where = ",".join(guest["running_on"]) or "nowhere"
    if not guest["counting"]:
        return paint("31", f"{where} (disk stands still)")
    return paint("32", where)


def host_state() -> str:
    text = lab("exec", SURVIVOR, "wardomctl", "status", "--json", check=False)
    try:
        hosts = json.loads(text)["hosts"]
    except (ValueError, KeyError):
        return "?"
    return next(host["state"] for host in hosts if host["name"] == VICTIM)


def recovered(now: list[dict], before: dict[str, dict]) -> bool:
    return all(guest["counting"] and guest["running_on"] != [VICTIM] and guest["running_on"]
               and (VICTIM not in before[guest["guest"]]["running_on"]
                    or guest["boot"] != before[guest["guest"]]["boot"])
               for guest in now)


def watch(before: dict[str, dict]) -> None:
    """Prints a line whenever something changed, until every guest counts elsewhere."""
    start = time.monotonic()
    last = ""
    while True:
        now = guests()
        line = f"{VICTIM} {host_state():8}  " + "  ".join(
            f"{guest['guest']}@{place(guest)}" for guest in now)
        if line != last:
            say(f"  {time.monotonic() - start:6.2f} s  {line}")
            last = line
        if any(guest["two_writers"] for guest in now):
            stop("two hosts write to one guest's disk: this must never happen, please report it")
        if recovered(now, before):
            return
        if time.monotonic() - start > RECOVERY_LIMIT_S:
            stop(f"not every guest came back within {RECOVERY_LIMIT_S:g} s; look with "
                 f"`scripts/lab --name {LAB_NAME} exec {SURVIVOR} wardomctl status`")
        time.sleep(LOOK_S)


def show_timeline() -> None:
    """The timeline is complete once totem has re-formed and peers' reports have arrived."""
    deadline = time.monotonic() + TIMELINE_LIMIT_S
    while time.monotonic() < deadline:
        text = lab("exec", SURVIVOR, "wardomctl", "timeline", "--json", check=False)
        try:
            timeline = json.loads(text)
        except ValueError:
            timeline = {}
        if timeline.get("finished") and all(g["result"] == "running" for g in timeline["guests"]):
            break
        time.sleep(LOOK_S)
    say(lab("exec", SURVIVOR, "wardomctl", "timeline").rstrip())


def measured() -> None:
    """What the guests' own disks say: from the cut to the first count on another host."""
    events = json.loads(lab("recorder", "--json"))
    cut = max(event["t_ms"] for event in events
              if event["event"] == "power cut" and event["host"] == VICTIM)
    say("from the power cut to a guest's first write on another host, read from its disk:")
    for event in events:
        if event["event"] == "boot changed" and event["t_ms"] >= cut:
            say(f"  {event['guest']}  {(event['t_ms'] - cut) / 1000:5.2f} s")


def main() -> None:
    os.chdir(ROOT)
    step(1, "build")
    build()
    step(2, "a lab of 3 hosts and 4 protected guests")
    try:
        lab("up", "--stack", "wardom", "--hosts", "3", "--guests", "4", show=True)
        step(3, "before")
        say(lab("exec", SURVIVOR, "wardomctl", "status").rstrip())
        before = {guest["guest"]: guest for guest in guests()}
        step(4, f"the power of {VICTIM} is cut")
        lab("cut", VICTIM)
        watch(before)
        step(5, "what happened")
        show_timeline()
        say()
        measured()
    finally:
        lab("down", check=False)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
