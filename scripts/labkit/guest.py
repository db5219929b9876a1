"""A guest's disk, its libvirt definition, and what can be told about it from outside."""

from __future__ import annotations

import os
import struct
import uuid
from pathlib import Path
from typing import NamedTuple

from . import boot_sector
from .layout import GUEST_PORT, STORAGE_SERVER, Lab

MEMORY_MIB = 16
NAMESPACE = uuid.UUID("6f1d0a52-6f0e-4b8e-9d6c-3b7f7a5b1c00")

# No ACPI, USB, video, balloon or network card: nothing for the BIOS or libvirt to wait for.
XML = """\
<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>restart</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='network' device='disk'>
      <driver name='qemu' type='raw' cache='none'/>
      <source protocol='nbd' name='{name}'><host name='{server}' port='{port}'/></source>
      <target dev='hda' bus='ide'/>
    </disk>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
"""


class Sample(NamedTuple):
    """What a guest's disk says; boot 0 means that it has never written."""

    counter: int
    boot: int


def xml(lab: Lab, name: str) -> str:
    """The same text on every host of the lab, and in every lab of that name."""
    return XML.format(name=name, uuid=uuid.uuid5(NAMESPACE, f"{lab.name}/{name}"),
                      memory=MEMORY_MIB, server=STORAGE_SERVER, port=GUEST_PORT)


def write_disk(path: Path, size: int, slow: bool) -> None:
    with open(path, "wb") as disk:
        disk.write(boot_sector.assemble(slow))
        disk.truncate(size)


def sample(descriptor: int) -> Sample:
    """Read a guest's state from its open backing file on the storage server's side."""
    data = os.pread(descriptor, boot_sector.STATE_BYTES, boot_sector.STATE_OFFSET)
    magic, counter, boot = struct.unpack(boot_sector.STATE_FORMAT, data)
    return Sample(counter, boot) if magic == boot_sector.MAGIC else Sample(0, 0)
