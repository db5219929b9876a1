"""The services of a host, as its supervisor starts them, and requests to that supervisor."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence

from . import errors, host as hosts, run
from .layout import STORAGE_SERVER, VOLUME_PATH, VOLUME_PORT, Host, Lab

REQUEST_LIMIT_S = 25.0
VERBS = ("start", "stop", "kill", "hang", "resume", "status")

BASE = ("volume", "corosync", "libvirtd")
OF_STACK = {"none": (), "wardom": ("keeper", "wardomd"), "stock": ("pacemaker",)}


def of_stack(lab: Lab) -> tuple[str, ...]:
    """Those above the base, in the order in which they start."""
    return (*OF_STACK[lab.stack], *(("pacemaker",) if lab.pacemaker else ()))


def specification(lab: Lab) -> dict[str, dict]:
    """argv, what it starts after, whether it is restarted when it dies, and how nice it is."""
    def service(argv: Sequence[str], after: Sequence[str] = (), restart: bool = False,
                env: dict[str, str] | None = None, nice: int = 0) -> dict:
        return {"argv": list(argv), "after": list(after), "restart": restart, "env": env or {},
                "nice": nice}

    known = {
        "volume": service(["nbdfuse", VOLUME_PATH,
                           f"nbd://{STORAGE_SERVER}:{VOLUME_PORT}/volume"], restart=True,
                          nice=run.AHEAD),
        "corosync": service(["corosync", "-f"]),
        "libvirtd": service(["libvirtd", "--listen"]),
        "keeper": service(unit_command(lab, "wardom-keeper"), ["volume"], restart=True,
                          nice=unit_nice(lab, "wardom-keeper")),
        "wardomd": service(unit_command(lab, "wardomd"), ["corosync", "libvirtd"], restart=True,
                           nice=unit_nice(lab, "wardomd")),
        "pacemaker": service(["pacemakerd"], [
            "corosync", "libvirtd", *(("wardomd",) if lab.pacemaker else ())], env={
            "PCMK_logfile": "/var/log/lab/pacemaker-detail.log", "PCMK_logpriority": "notice"}),
    }
    return {name: known[name] for name in (*BASE, *of_stack(lab))}


def unit_command(lab: Lab, program: str) -> list[str]:
    """What the package's unit starts; without a package the program by its name."""
    if not lab.package:
        return [program]
    return unit_says(lab, program, "ExecStart").split()


def unit_nice(lab: Lab, program: str) -> int:
    return int(unit_says(lab, program, "Nice")) if lab.package else 0


def unit_says(lab: Lab, program: str, key: str) -> str:
    unit = lab.installed / "usr/lib/systemd/system" / f"{program}.service"
    for line in unit.read_text().splitlines():
        if line.startswith(f"{key}="):
            return line.removeprefix(f"{key}=")
    raise errors.LabError(f"it has no {key}=", str(unit))


def write(lab: Lab, host: Host) -> None:
    """At its first boot a host starts only the base; `up` enables the stack when all is ready."""
    directory = lab.host_dir(host)
    (directory / "services.json").write_text(json.dumps(specification(lab)))
    (directory / "enabled.json").write_text(json.dumps(BASE))


def request(lab: Lab, host: Host, verb: str, service: str | None = None) -> dict:
    """Ask the host's supervisor; raises with its words when it cannot."""
    hosts.identity(lab, host)
    if hosts.is_hung(lab, host):
        raise errors.refused("it is hung, its service manager too", f"host {host.name}",
                             f"`lab resume {host.name}` first")
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(REQUEST_LIMIT_S)
            connection.connect(str(lab.host_dir(host) / "control"))
            connection.sendall(json.dumps({"verb": verb, "service": service}).encode() + b"\n")
            answer = json.loads(connection.makefile().readline() or "{}")
    except OSError as error:
        raise errors.LabError(f"its service manager does not answer: {error}",
                              f"host {host.name}", f"see {lab.host_dir(host)}/log/boot.log")
    if "error" in answer:
        raise errors.LabError(answer["error"], f"host {host.name}")
    return answer


def ready(lab: Lab, host: Host, names: Sequence[str]) -> bool:
    """True when all of these run and are ready; a host that is still booting is not."""
    if not (lab.host_dir(host) / "control").exists():
        if not hosts.living(lab, host):
            log = (lab.host_dir(host) / "log" / "boot.log").read_text().strip()
            raise errors.LabError(f"it died while booting: {log}", f"host {host.name}")
        return False
    try:
        state = request(lab, host, "status")
    except errors.LabError:
        return False
    for name in names:
        if state[name]["starts"] and not state[name]["wanted"]:
            raise errors.LabError(f"service {name} ended (exit {state[name]['last_exit']}): "
                                  + log_tail(lab, host, name), f"host {host.name}")
    return all(state[name]["ready"] for name in names)


def wait_ready(lab: Lab, host: Host, names: Sequence[str], limit_s: float) -> None:
    try:
        run.wait_for(f"readiness of {', '.join(names)}", lambda: ready(lab, host, names), limit_s,
                     where=f"host {host.name}", poll_s=0.05)
    except errors.LabError as error:
        if error.what.startswith("no readiness"):
            error.what += "".join(f"\n  {name}: {log_tail(lab, host, name)}" for name in names)
        raise


def log_tail(lab: Lab, host: Host, name: str, lines: int = 8) -> str:
    path = lab.host_dir(host) / "log" / f"{name}.log"
    try:
        text = path.read_text(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return "(no log)"
    return "\n    ".join(text) or "(it said nothing)"
