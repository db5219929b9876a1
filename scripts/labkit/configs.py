"""Every configuration file of a host, written before its first boot.

OWN_DIRECTORIES replace the machine's own of the same path inside the host; anything else is written
through the overlay.
"""

from __future__ import annotations

import os
import pwd
import shutil
import uuid
from pathlib import Path

from . import guest
from .layout import (BMC_CIPHER_SUITE, BMC_PASSWORD, BMC_PORT, BMC_USER, HOST_BIN_DIR,
                     HOST_LAB_DIR, LINKS, VOLUME_PATH, WATCHDOG_SOCKET, Host, Lab)

GUEST_XML_DIR = "/etc/wardom-lab/guests"
NAMESPACE = uuid.UUID("0b6f7f0e-54b8-4b8a-9f5b-1f0f6b8e2f00")

# Directories that are a host's own and start empty.
OWN_DIRECTORIES = (
    "etc/corosync", "etc/libvirt", "etc/wardom", "etc/wardom-lab", "var/lib/corosync",
    "var/lib/libvirt", "var/lib/wardom", "var/lib/pacemaker", "var/log/libvirt",
    "var/log/corosync", "var/log/pacemaker", "var/cache/libvirt",
)

TOTEM_TOKEN_MS = 1000
KNET_PING_INTERVAL_MS = 100
KNET_PING_TIMEOUT_MS = 300

# As `wardomctl quorum setup` adds it.
QUORUM_DEVICE = """\
    device {
        model: wardom
        timeout: 8000
        sync_timeout: 4000
    }
"""

# The keeper counts on a second more (kLabLateness): that makes the profiles' W.
WATCHDOG_TIMEOUT_S = {"fast": 4, "default": 9}

LIBVIRTD_CONF = """\
# Only inside the lab: migration between hosts without keys.
listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
auth_unix_rw = "none"
log_outputs = "2:stderr"
"""

# Hosts share this machine's cgroups, so libvirt must leave them alone. Without virtlogd, QEMU
# writes its own log. keepalive: a peer that died during a migration is noticed after 4 s.
QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
keepalive_interval = 1
keepalive_count = 3
"""

NSSWITCH = """\
passwd: files
group: files
shadow: files
hosts: files
networks: files
protocols: files
services: files
"""


def write_host(lab: Lab, host: Host) -> None:
    directory = lab.host_dir(host)
    disk, upper = directory / "disk", directory / "upper"
    for name in OWN_DIRECTORIES:
        (disk / name).mkdir(parents=True)
    (disk / "etc/libvirt/qemu").mkdir()  # as packages do; libvirtd makes it at the first define
    etc = upper / "etc"
    etc.mkdir()
    put(etc / "hostname", f"{host.name}\n")
    put(etc / "hosts", hosts_file(lab, host))
    put(etc / "machine-id", uuid.uuid5(NAMESPACE, f"{lab.name}/{host.name}").hex + "\n")
    put(etc / "nsswitch.conf", NSSWITCH)
    put(disk / "etc/corosync/corosync.conf", corosync_conf(lab, host.domain))
    put(disk / "etc/libvirt/libvirtd.conf", LIBVIRTD_CONF)
    put(disk / "etc/libvirt/qemu.conf", QEMU_CONF)
    for name in lab.guests:
        put(disk / GUEST_XML_DIR[1:] / f"{name}.xml", guest.xml(lab, name))
    put(disk / VOLUME_PATH[1:], "")
    write_pacemaker_directories(disk / "var/lib/pacemaker")
    if lab.stack == "wardom":
        write_wardom(lab, disk, upper)


def put(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def hosts_file(lab: Lab, host: Host) -> str:
    lines = ["127.0.0.1 localhost"]
    for other in lab.machines:
        lines.append(f"{other.address('mgmt')} {other.name} {other.name}-mgmt")
        lines.append(f"{other.address('storage')} {other.name}-storage")
        if lab.bmc:
            lines.append(f"{other.bmc} {other.name}-bmc")
    return "\n".join(lines) + "\n"


def corosync_conf(lab: Lab, domain: str) -> str:
    """One corosync cluster per detection domain; the same file for every stack, but that two nodes
    need no device where Wardom is the quorum device."""
    members = lab.domains()[domain]
    more = ""
    if lab.pacemaker:
        more = QUORUM_DEVICE
    elif len(members) == 2:
        more = "    two_node: 1\n    wait_for_all: 0\n"
    text = f"""\
totem {{
    version: 2
    cluster_name: {lab.name}-{domain}
    transport: knet
    crypto_cipher: none
    crypto_hash: none
    token: {TOTEM_TOKEN_MS}
"""
    for number in range(len(LINKS)):
        text += f"""\
    interface {{
        linknumber: {number}
        knet_ping_interval: {KNET_PING_INTERVAL_MS}
        knet_ping_timeout: {KNET_PING_TIMEOUT_MS}
    }}
"""
    text += "}\nnodelist {\n"
    for member in members:
        text += corosync_node(member)
    return text + f"""\
}}
quorum {{
    provider: corosync_votequorum
{more}}}
logging {{
    to_stderr: yes
    to_syslog: no
    to_logfile: no
    timestamp: hires
}}
"""


def corosync_node(host: Host) -> str:
    return f"""\
    node {{
        name: {host.name}
        nodeid: {host.id}
        ring0_addr: {host.address('mgmt')}
        ring1_addr: {host.address('storage')}
    }}
"""


# --- wardom --------------------------------------------------------------------------------------


def write_wardom(lab: Lab, disk: Path, upper: Path) -> None:
    """Wardom's own files. The package lies under the host's root (boot.py), but for what lies in
    directories of the host's own; without one the programs stand where it would put them."""
    put(disk / "etc/wardom/wardom.toml", wardom_toml(lab))
    put(disk / "etc/wardom/key", (lab.dir / "wardom.key").read_text(), 0o600)
    put(disk / "etc/wardom/bmc-password", f"{BMC_PASSWORD}\n", 0o600)
    if lab.package:
        for name in ("etc/wardom", "var/lib/wardom"):
            shutil.copystat(lab.installed / name, disk / name)
        shutil.copytree(lab.installed / "etc/libvirt", disk / "etc/libvirt", dirs_exist_ok=True)
        return
    sbin = upper / "usr/sbin"
    sbin.mkdir(parents=True)
    for program in ("wardomd", "wardom-keeper", "wardomctl", "fence_wardom"):
        (sbin / program).symlink_to(HOST_BIN_DIR / program)
    agents = upper / "usr/lib/ocf/resource.d/wardom"
    agents.mkdir(parents=True)
    (agents / "Guest").symlink_to(HOST_BIN_DIR / "wardom-ocf-guest")
    (agents / "HostGuard").symlink_to(HOST_BIN_DIR / "wardom-ocf-hostguard")
    alerts = upper / "usr/libexec/wardom"
    alerts.mkdir(parents=True)
    (alerts / "wardom-alert").symlink_to(HOST_BIN_DIR / "wardom-alert")
    hooks = disk / "etc/libvirt/hooks/qemu.d"
    hooks.mkdir(parents=True)
    (hooks / "wardom").symlink_to(HOST_BIN_DIR / "wardom-qemu-hook")


def wardom_toml(lab: Lab) -> str:
    """The cluster's one configuration file, identical on all hosts."""
    text = f"""\
[cluster]
name = "{lab.name}"

[volume]
path = "{VOLUME_PATH}"
"""
    if lab.outage:
        text += f'outage = "{lab.outage}"\n'
    text += f"""
[timing]
profile = "{lab.profile}"
"""
    if lab.disk_interval_ms:
        # wardom.toml wants disk_interval <= 2 x suspect_after.
        text += (f'disk_interval = "{lab.disk_interval_ms}ms"\n'
                 f'suspect_after = "{max(400, lab.disk_interval_ms // 2)}ms"\n')
    text += """
[migration]
uri = "qemu+tcp://{address}/system"
"""
    if lab.watchdog:
        text += f"""
[watchdog]
device = "{HOST_LAB_DIR / WATCHDOG_SOCKET}"
timeout = "{WATCHDOG_TIMEOUT_S[lab.profile]}s"
lab = true
"""
        if lab.stay_up:
            text += "stay_up = true\n"
    if lab.bmc:
        text += f"""
[bmc]
user = "{BMC_USER}"
password_file = "/etc/wardom/bmc-password"
cipher_suite = {BMC_CIPHER_SUITE}
workarounds = ["opensesspriv"]
"""
    for domain, members in lab.domains().items():
        text += f'\n[[domain]]\nname = "{domain}"\nid = {members[0].domain_id}\n'
    return text + "".join(host_table(lab, host) for host in lab.hosts)


def host_table(lab: Lab, host: Host) -> str:
    """What wardom.toml says of one host."""
    text = f"""
[[host]]
name = "{host.name}"
id = {host.id}
domain = "{host.domain}"
mgmt = "{host.address('mgmt')}"
storage = "{host.address('storage')}"
"""
    return text + (f'bmc = "{host.bmc}:{BMC_PORT}"\n' if lab.bmc else "")


# --- pacemaker -----------------------------------------------------------------------------------


def write_pacemaker_directories(base: Path) -> None:
    """Pacemaker's daemons drop their rights and then want their directories to be theirs."""
    try:
        owner = pwd.getpwnam("hacluster")
    except KeyError:
        return  # pacemaker is not installed; a lab that needs it checks
    for name in ("blackbox", "cib", "cores", "pengine"):
        path = base / name
        path.mkdir()
        os.chown(path, owner.pw_uid, owner.pw_gid)
        path.chmod(0o750)
