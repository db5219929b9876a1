// Realistic definitions, as libvirt 9 prints them, and a frame for small ones.
#pragma once

#include <string>

namespace samples {

inline constexpr const char* kUuid = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0";

// A minimal guest with `devices` in it, and `extra` beside them.
inline std::string guest(const std::string& devices, const std::string& extra = "",
                         const std::string& os = "<type arch='x86_64'>hvm</type>") {
  return "<domain type='kvm'><name>g1</name><uuid>" + std::string(kUuid) +
         "</uuid><memory unit='KiB'>16384</memory><vcpu>2</vcpu><os>" + os + "</os>" + extra +
         "<devices>" + devices + "</devices></domain>";
}

inline const std::string kWindows = R"(<domain type='kvm'>
  <name>win11</name>
  <uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>
  <metadata>
    <libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
      <libosinfo:os id="http://microsoft.com/win/11"/>
    </libosinfo:libosinfo>
  </metadata>
  <memory unit='KiB'>8388608</memory>
  <currentMemory unit='KiB'>8388608</currentMemory>
  <memoryBacking><hugepages/></memoryBacking>
  <vcpu placement='static'>4</vcpu>
  <os>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <loader readonly='yes' secure='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.ms.fd</loader>
    <nvram template='/usr/share/OVMF/OVMF_VARS.fd'>/var/lib/libvirt/qemu/nvram/win11_VARS.fd</nvram>
    <boot dev='hd'/>
  </os>
  <features><acpi/><smm state='on'/></features>
  <cpu mode='host-passthrough' check='none' migratable='on'/>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='network' device='disk'>
      <driver name='qemu' type='raw' cache='none'/>
      <auth username='libvirt'>
        <secret type='ceph' uuid='a1b2c3d4-0000-4000-8000-000000000001'/>
      </auth>
      <source protocol='rbd' name='vms/win11'>
        <host name='mon1.example' port='6789'/>
      </source>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/>
      <source file='/srv/iso/virtio-win.iso'/>
      <target dev='sda' bus='sata'/>
      <readonly/>
    </disk>
    <disk type='file' device='cdrom'><target dev='sdb' bus='sata'/><readonly/></disk>
    <interface type='bridge'>
      <mac address='52:54:00:6b:3c:58'/><source bridge='br0'/><model type='virtio'/>
    </interface>
    <interface type='hostdev' managed='yes'>
      <source><address type='pci' domain='0x0000' bus='0x05' slot='0x10' function='0x2'/></source>
    </interface>
    <hostdev mode='subsystem' type='pci' managed='yes'>
      <source><address domain='0x0000' bus='0x0a' slot='0x00' function='0x0'/></source>
    </hostdev>
    <channel type='unix'>
      <source mode='bind' path='/var/lib/libvirt/qemu/f16x86_64.agent'/>
      <target type='virtio' name='org.qemu.guest_agent.0'/>
    </channel>
    <serial type='dev'><source path='/dev/ttyS1'/><target port='0'/></serial>
    <console type='pty'/>
    <graphics type='vnc' port='-1' autoport='yes' listen='10.0.0.5'>
      <listen type='address' address='10.0.0.5'/>
    </graphics>
    <tpm model='tpm-crb'>
      <backend type='emulator' version='2.0'>
        <encryption secret='a1b2c3d4-0000-4000-8000-000000000002'/>
      </backend>
    </tpm>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
  <seclabel type='dynamic' model='apparmor' relabel='yes'/>
</domain>
)";

}  // namespace samples
