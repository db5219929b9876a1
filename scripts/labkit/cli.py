"""The command line: parse, take the lock where something changes, call, print.

Tests call the lab hundreds of times: what only few commands need is imported where it is needed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable

from . import (bmc, errors, fabric, flight, host as hosts, layout, recorder, run, services, state,
               storage, views, watchdog)
from .layout import Lab

SERVICES = ("corosync", "libvirtd", "keeper", "wardomd", "pacemaker", "volume")


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise errors.usage(message, self.prog, f"see `{self.prog} --help`")


def parser() -> Parser:
    top = Parser(prog="lab", description="A real cluster of namespaced hosts on one machine.")
    top.add_argument("--name", default="lab", help="which lab (default: lab)")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND",
                                  parser_class=Parser)

    def add(name: str, help_: str, *words: str) -> Parser:
        sub = commands.add_parser(name, help=help_, description=help_)
        for word in words:
            sub.add_argument(word)
        # Also before the command; here so that scripts may put it anywhere.
        sub.add_argument("--json", action="store_true", help="print one JSON value and no more")
        return sub

    start = add("up", "start a lab")
    start.add_argument("--hosts", type=int, default=3)
    start.add_argument("--spares", type=int, default=0,
                       help="machines without power that no file of the cluster names")
    start.add_argument("--domains", type=int, default=1, help="hosts are split evenly")
    start.add_argument("--guests", type=int, default=4)
    start.add_argument("--stack", choices=("wardom", "stock", "none"), default="wardom")
    start.add_argument("--profile", choices=("fast", "default"), default="fast")
    start.add_argument("--no-bmc", action="store_true")
    start.add_argument("--outage", choices=("ride-out", "fence"), default="",
                       help="volume.outage; default: Wardom's")
    start.add_argument("--stay-up", action="store_true",
                       help="watchdog.stay_up: hosts whose guests are gone are not reset")
    start.add_argument("--no-watchdog", action="store_true",
                       help="hosts have no watchdog, and so hold no lease")
    start.add_argument("--post-s", type=float, metavar="S",
                       help="seconds from power on to booting (default: 0, stock: 30)")
    start.add_argument("--disk-interval-ms", type=int, default=0, metavar="MS",
                       help="timing.disk_interval, and suspect_after to go with it")
    start.add_argument("--log-volume", action="store_true",
                       help="write down every request to the state volume's server")
    start.add_argument("--pacemaker", action="store_true",
                       help="with wardom: it is corosync's quorum device, and Pacemaker runs too")
    start.add_argument("--slow-guests", action="store_true",
                       help="they count every 3.5 s instead of every 55 ms")
    execute = commands.add_parser("exec", help="run a command on a host, as on its console",
                                  description="run a command on a host, as on its console")
    execute.add_argument("host")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="CMD")
    add("cut", "power cut: cables first, then every process; the BMC stays", "host")
    add("pull", "power cord: as cut, and the BMC dies too", "host")
    add("power", "through the host's BMC", "host").add_argument(
        "action", choices=("on", "off", "status"))
    add("hang", "stop every process of a host", "host").add_argument(
        "--but", choices=SERVICES, metavar="SERVICE", help="this service's process goes on")
    add("resume", "let a hung host go on", "host")
    add("bmc", "the BMC answers, is dead, or says `off` of a running host", "host").add_argument(
        "action", choices=("up", "down", "lie"))
    link = add("link", "one cable of a host", "host")
    link.add_argument("link", choices=layout.LINKS)
    link.add_argument("action", choices=("up", "down"))
    link.add_argument("--one-way", choices=("in", "out"), help="block only what it gets or sends")
    add("split", "block both links between groups of hosts, for example n1,n2|n3", "groups")
    store = add("storage", "all shared storage at once: pause, resume, error on, error off")
    store.add_argument("action", choices=("pause", "resume", "error"))
    store.add_argument("switch", nargs="?", choices=("on", "off"))
    add("heal", "all cables up, no split, storage running without errors")
    service = add("service", "one service of a host", "host")
    service.add_argument("service", choices=SERVICES)
    service.add_argument("action", choices=services.VERBS)
    log = add("log", "what a service of a host has said", "host", "service")
    log.add_argument("--lines", type=int, default=0, help="only the last ones")
    add("guests", "every guest, judged by its disk and the hosts' processes")
    add("recorder", "the flight recorder's events").add_argument(
        "--since", type=int, default=0, metavar="EPOCH_MS")
    add("status", "hosts, cables, services, storage, guests")
    add("down", "end the lab; leaves nothing; also after a crash")
    for name in ("_init", "_boot"):
        commands.add_parser(name).add_argument("host")
    for name in ("_record", "_supervise", "_watchdogs"):
        commands.add_parser(name)
    return top


# --- commands ------------------------------------------------------------------------------------


def say(arguments: argparse.Namespace, value: object, text: str) -> int:
    """The result: JSON alone, or words."""
    if arguments.json:
        print(json.dumps(value))
    elif text:
        print(text)
    return errors.DONE


def do_up(arguments: argparse.Namespace) -> int:
    from . import up
    lab = up.plan(arguments.name, arguments.stack, arguments.profile, not arguments.no_bmc,
                  arguments.hosts, arguments.domains, arguments.guests, arguments.post_s,
                  arguments.spares)
    lab.disk_interval_ms, lab.log_volume = arguments.disk_interval_ms, arguments.log_volume
    lab.outage = arguments.outage
    lab.stay_up = arguments.stay_up
    if arguments.pacemaker and lab.stack != "wardom":
        raise errors.usage(f"stack {lab.stack} has no quorum device", "--pacemaker",
                           "it goes with --stack wardom")
    if arguments.pacemaker and arguments.domains != 1:
        raise errors.usage("it is one cluster", "--pacemaker", "it goes with one domain")
    lab.pacemaker = arguments.pacemaker
    lab.slow_guests = arguments.slow_guests
    lab.watchdog = lab.stack == "wardom" and not arguments.no_watchdog
    began = time.monotonic()

    def progress(text: str) -> None:
        print(f"[{time.monotonic() - began:5.1f} s] {text}", file=sys.stderr, flush=True)

    with state.locked(arguments.name):
        up.check_machine(lab)
        try:
            up.up(lab, progress)
        except errors.LabError as error:
            end = f"`lab --name {lab.name} down` ends what was started and is left to look at"
            error.todo = f"{error.todo}; {end}" if error.todo else end
            raise
    took_s = round(time.monotonic() - began, 2)
    return say(arguments, {"name": lab.name, "took_s": took_s},
               f"lab {lab.name} is up: {len(lab.hosts)} hosts, {len(lab.guests)} guests, "
               f"{took_s} s")


def do_down(arguments: argparse.Namespace) -> int:
    from . import down
    with state.locked(arguments.name):
        ended = down.down(arguments.name)
    return say(arguments, ended, f"lab {arguments.name} is down"
               if ended["namespaces"] else f"lab {arguments.name} was down already")


def do_exec(lab: Lab, arguments: argparse.Namespace) -> int:
    if not arguments.argv:
        raise errors.usage("no command to run", "exec", "lab exec HOST CMD…")
    argv = arguments.argv[1:] if arguments.argv[0] == "--" else arguments.argv
    command = hosts.enter_command(lab, lab.host(arguments.host), argv)
    environment = {**run.CLEAN_ENV, "TERM": os.environ.get("TERM", "dumb")}
    sys.stdout.flush()
    os.execvpe(command[0], command, environment)


def do_cut(lab: Lab, arguments: argparse.Namespace) -> int:
    host = lab.host(arguments.host)
    began = time.monotonic()
    hosts.cut(lab, host)
    if arguments.command == "pull" and lab.bmc:
        bmc.stop(lab, host)
        flight.note(lab, "bmc down", host=host.name)
    took_ms = round((time.monotonic() - began) * 1000)
    return say(arguments, {"host": host.name, "took_ms": took_ms}, f"{host.name} is dead")


def do_power(lab: Lab, arguments: argparse.Namespace) -> int:
    said = bmc.power(lab, lab.host(arguments.host), arguments.action)
    return say(arguments, {"host": arguments.host, "power": said}, said)


def do_hang(lab: Lab, arguments: argparse.Namespace) -> int:
    host = lab.host(arguments.host)
    if arguments.but:
        spared = service_status(lab, host, arguments.but)["pid"]
        if not spared:
            raise errors.LabError(f"service {arguments.but} does not run", f"host {host.name}")
        count = hosts.hang(lab, host, but=[spared])
    else:
        count = hosts.hang(lab, host)
    return say(arguments, {"host": host.name, "processes": count}, f"{count} processes stopped")


def do_resume(lab: Lab, arguments: argparse.Namespace) -> int:
    count = hosts.resume(lab, lab.host(arguments.host))
    return say(arguments, {"host": arguments.host, "processes": count},
               f"{count} processes resumed")


def do_bmc(lab: Lab, arguments: argparse.Namespace) -> int:
    bmc.set_mode(lab, lab.host(arguments.host), arguments.action)
    return say(arguments, {"host": arguments.host, "bmc": arguments.action}, "")


def do_link(lab: Lab, arguments: argparse.Namespace) -> int:
    fabric.set_link(lab, lab.host(arguments.host), arguments.link, arguments.action == "up",
                    arguments.one_way)
    return say(arguments, fabric.load_faults(lab), "")


def do_split(lab: Lab, arguments: argparse.Namespace) -> int:
    groups = [[name for name in group.split(",") if name] for group in arguments.groups.split("|")]
    if len(groups) < 2 or not all(groups):
        raise errors.usage(f"'{arguments.groups}' is not two groups", "split",
                           "for example: lab split 'n1,n2|n3'")
    fabric.set_split(lab, groups)
    return say(arguments, fabric.load_faults(lab), "")


def do_storage(lab: Lab, arguments: argparse.Namespace) -> int:
    if (arguments.action == "error") != (arguments.switch is not None):
        raise errors.usage("on and off go with `error`, and only with it", "storage",
                           "lab storage pause|resume|error on|error off")
    if arguments.action == "error":
        storage.set_errors(lab, arguments.switch == "on")
    else:
        storage.control(lab, arguments.action)
    return say(arguments, storage.describe(lab), "")


def do_heal(lab: Lab, arguments: argparse.Namespace) -> int:
    storage.set_errors(lab, False)
    storage.control(lab, "resume")
    fabric.heal(lab)
    return say(arguments, fabric.load_faults(lab), "")


def service_status(lab: Lab, host: layout.Host, name: str) -> dict:
    known = services.request(lab, host, "status")
    if name not in known:
        raise errors.usage(f"stack {lab.stack} has no service {name}", f"host {host.name}",
                           f"it has {', '.join(known)}")
    return with_outer_pid(lab, host, {"service": name, "note": None, **known[name]})


def with_outer_pid(lab: Lab, host: layout.Host, service: dict) -> dict:
    inner = service.pop("inner_pid")
    found = hosts.living(lab, host)
    service["pid"] = views.outer_pids(found[1]).get(inner) if found and inner else None
    return service


def do_service(lab: Lab, arguments: argparse.Namespace) -> int:
    host = lab.host(arguments.host)
    if arguments.action == "status":
        answer = service_status(lab, host, arguments.service)
    else:
        answer = with_outer_pid(lab, host, services.request(lab, host, arguments.action,
                                                            arguments.service))
        flight.note(lab, f"service {arguments.service} {arguments.action}", host=host.name)
    text = f"{arguments.service}: " + ("running" if answer["running"] else "not running")
    return say(arguments, answer, f"{text}, {answer['note']}" if answer["note"] else text)


def do_log(lab: Lab, arguments: argparse.Namespace) -> int:
    host = lab.host(arguments.host)
    path = lab.host_dir(host) / "log" / f"{arguments.service}.log"
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        logs = sorted(p.stem for p in path.parent.iterdir())
        raise errors.LabError(f"there is no log of '{arguments.service}'", f"host {host.name}",
                              f"there are {', '.join(logs)}")
    lines = text.splitlines()[-arguments.lines:]
    return say(arguments, lines, "\n".join(lines))


def do_guests(lab: Lab, arguments: argparse.Namespace) -> int:
    report = views.guests(lab)
    return say(arguments, report, views.guests_text(report))


def do_recorder(lab: Lab, arguments: argparse.Namespace) -> int:
    events = flight.read(lab, arguments.since)
    return say(arguments, events, "\n".join(json.dumps(event) for event in events))


def do_status(lab: Lab, arguments: argparse.Namespace) -> int:
    report = views.status(lab)
    return say(arguments, report, views.status_text(report))


Command = Callable[[Lab, argparse.Namespace], int]
READING: dict[str, Command] = {
    "exec": do_exec, "log": do_log, "guests": do_guests, "recorder": do_recorder,
    "status": do_status}
# Faults of one host are its own affair: benchmarks press several at the same moment. What is
# shared, the fabric's record of faults, needs the lab's lock.
CHANGING_ONE_HOST: dict[str, Command] = {
    "cut": do_cut, "pull": do_cut, "power": do_power, "hang": do_hang, "resume": do_resume,
    "bmc": do_bmc, "service": do_service, "storage": do_storage}
CHANGING_FABRIC: dict[str, Command] = {"link": do_link, "split": do_split, "heal": do_heal}


def internal(lab: Lab, arguments: argparse.Namespace) -> int:
    """What hosts, BMC hooks and the recorder run; not for people."""
    if arguments.command == "_init":
        from . import boot
        boot.main(lab, lab.host(arguments.host))
    elif arguments.command == "_boot":
        hosts.boot_after_post(lab, lab.host(arguments.host))
    elif arguments.command == "_record":
        recorder.record(lab)
    elif arguments.command == "_watchdogs":
        watchdog.watch(lab)
    return errors.DONE


def dispatch(arguments: argparse.Namespace) -> int:
    layout.check_name(arguments.name)
    if arguments.command == "_supervise":
        from . import supervisor
        supervisor.main()
    if os.geteuid() != 0:
        raise errors.refused("the lab makes namespaces and mounts", "this user", "run it as root")
    if arguments.command == "up":
        return do_up(arguments)
    if arguments.command == "down":
        return do_down(arguments)
    lab = layout.load(arguments.name)
    if arguments.command in READING:
        return READING[arguments.command](lab, arguments)
    if arguments.command in CHANGING_ONE_HOST:
        return CHANGING_ONE_HOST[arguments.command](lab, arguments)
    if arguments.command in CHANGING_FABRIC:
        with state.locked(arguments.name):
            return CHANGING_FABRIC[arguments.command](lab, arguments)
    return internal(lab, arguments)


def main(argv: list[str]) -> int:
    try:
        return dispatch(parser().parse_args(argv))
    except errors.LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        print("lab: interrupted; `lab down` cleans up what was started", file=sys.stderr)
        return errors.FAILED
    except BrokenPipeError:
        return errors.FAILED
