"""BMCs: one OpenIPMI `ipmi_sim` per host, in the fabric, so that it outlives its host."""

from __future__ import annotations

from . import errors, flight, procs, run
from .layout import (BMC_CIPHER_SUITE, BMC_PASSWORD, BMC_PORT, BMC_USER, Host, Lab)

START_LIMIT_S = 10.0
IPMI_LIMIT_S = 15.0

LAN_CONF = """\
name "{name}"
set_working_mc 0x20
  startlan 1
    addr {address} {port}
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa1234567{id:08x}
  endlan
  chassis_control "{chassis} {lab_dir} {lab} {name}"
  user 1 true "" "" user 10 none md2 md5 straight
  user 2 true "{user}" "{password}" admin 10 none md2 md5 straight
"""

EMULATION = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
"""


def configure(lab: Lab, host: Host) -> None:
    directory = lab.bmc_dir(host)
    (directory / "state" / "ipmi_sim" / host.name).mkdir(parents=True)
    (directory / "lan.conf").write_text(LAN_CONF.format(
        name=host.name, address=host.bmc, port=BMC_PORT, id=host.id, lab_dir=lab.dir,
        chassis=lab.code / "labkit" / "chassis.sh", lab=lab.name, user=BMC_USER,
        password=BMC_PASSWORD))
    (directory / "sim.emu").write_text(EMULATION)


def start(lab: Lab, host: Host) -> None:
    """Start the BMC; `wait_ready` tells when it answers."""
    if is_running(lab, host):
        return
    directory = lab.bmc_dir(host)
    pid = run.spawn(run.in_netns(lab.fabric, [
        "ipmi_sim", "-n", "-c", str(directory / "lan.conf"), "-f", str(directory / "sim.emu"),
        "-s", str(directory / "state")]), str(directory / "log"))
    run.put_ahead(pid)
    (directory / "pid").write_text(f"{pid}\n")


def stop(lab: Lab, host: Host) -> None:
    if is_running(lab, host):
        procs.kill_and_wait(recorded_pid(lab, host))
    (lab.bmc_dir(host) / "pid").unlink(missing_ok=True)


def set_mode(lab: Lab, host: Host, mode: str) -> None:
    """`up`: answers the truth; `down`: the BMC is dead; `lie`: it says off and does nothing."""
    need_bmc(lab)
    path = lab.host_dir(host) / "bmc-mode"
    path.write_text("lie\n" if mode == "lie" else "up\n")
    if mode == "down":
        stop(lab, host)
    else:
        start(lab, host)
        wait_ready(lab, host)
    flight.note(lab, f"bmc {mode}", host=host.name)


def mode_of(lab: Lab, host: Host) -> str | None:
    if not lab.bmc:
        return None
    if not is_running(lab, host):
        return "down"
    path = lab.host_dir(host) / "bmc-mode"
    return path.read_text().strip() if path.exists() else "up"


def recorded_pid(lab: Lab, host: Host) -> int:
    try:
        return int((lab.bmc_dir(host) / "pid").read_text())
    except (FileNotFoundError, ValueError):
        return 0


def is_running(lab: Lab, host: Host) -> bool:
    """The recorded process, if it still lives in this lab's fabric (a PID may be used again)."""
    pid = recorded_pid(lab, host)
    return pid > 0 and procs.namespace_of(pid, "net") == procs.netns_identity(lab.fabric)


def need_bmc(lab: Lab) -> None:
    if not lab.bmc:
        raise errors.refused("this lab has no BMCs", f"lab '{lab.name}'",
                             "start it without --no-bmc")


def ipmitool(lab: Lab, host: Host, *words: str, check: bool = True):
    """One IPMI request over the management network, as any administrator would send it."""
    return run.command(run.in_netns(lab.fabric, [
        "ipmitool", "-I", "lanplus", "-C", str(BMC_CIPHER_SUITE), "-H", host.bmc, "-p",
        str(BMC_PORT), "-U", BMC_USER, "-P", BMC_PASSWORD, "-N", "1", "-R", "3", *words]),
        limit_s=IPMI_LIMIT_S, check=check)


def wait_ready(lab: Lab, host: Host) -> None:
    log = lab.bmc_dir(host) / "log"

    def answers() -> bool:
        if not procs.lives(recorded_pid(lab, host)):
            raise errors.LabError(f"ipmi_sim ended: {log.read_text().strip()}",
                                  f"BMC of {host.name}")
        return is_listening(lab, host)

    run.wait_for("listening BMC", answers, START_LIMIT_S, where=f"BMC of {host.name}",
                 todo=f"see {log}")


def is_listening(lab: Lab, host: Host) -> bool:
    """True when something holds the BMC's UDP port: cheaper than asking it over IPMI."""
    octets = [int(part) for part in host.bmc.split(".")]
    address = "".join(f"{octet:02X}" for octet in reversed(octets)) + f":{BMC_PORT:04X}"
    with open(f"/proc/{recorded_pid(lab, host)}/net/udp", encoding="ascii") as table:
        return address in table.read()


def power(lab: Lab, host: Host, action: str) -> str:
    """on, off or status through IPMI; returns what the BMC says ("on" or "off")."""
    need_bmc(lab)
    if not is_running(lab, host):
        raise errors.LabError("the BMC does not run", f"BMC of {host.name}",
                              f"`lab bmc {host.name} up` brings it back")
    if action != "status":
        ipmitool(lab, host, "chassis", "power", action)
    said = ipmitool(lab, host, "chassis", "power", "status").stdout
    if not said.startswith("Chassis Power is "):
        raise errors.LabError(f"the BMC's answer makes no sense: {said.strip()}",
                              f"BMC of {host.name}")
    return "on" if said.split()[-1] == "on" else "off"
