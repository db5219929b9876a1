#include <catch2/catch.hpp>

#include <algorithm>

#include "guestxml_samples.hpp"
#include "libha/guestxml/guest_xml.hpp"

using namespace wardom::guestxml;
using samples::guest;

namespace {

// "!name" blocks, "name" informs.
std::vector<std::string> names(const std::string& xml, std::vector<std::string> shared = {}) {
  const auto things = host_local_things(xml, shared);
  REQUIRE(things.has_value());
  std::vector<std::string> out;
  for (const auto& t : things.value()) {
    CHECK_FALSE(t.why.empty());
    CHECK(t.where.starts_with("domain"));
    out.push_back((t.severity == Severity::blocking ? "!" : "") + t.name);
  }
  return out;
}
using Names = std::vector<std::string>;

std::string file_disk(const std::string& path) {
  return "<disk type='file'><source file='" + path + "'/><target dev='vda'/></disk>";
}

}  // namespace

TEST_CASE("local_things_of_a_windows_guest") {
  auto found = names(samples::kWindows);
  std::sort(found.begin(), found.end());
  Names expected = {"!chardev:/dev/ttyS1",
                    "!file:/srv/iso/virtio-win.iso",
                    "!nvram:/var/lib/libvirt/qemu/nvram/win11_VARS.fd",
                    "!pci:0000:05:10.2",
                    "!pci:0000:0a:00.0",
                    "!secret:a1b2c3d4-0000-4000-8000-000000000001",
                    "!secret:a1b2c3d4-0000-4000-8000-000000000002",
                    "!vtpm:emulator",
                    "bridge:br0",
                    "cpu:host-passthrough",
                    "listen:10.0.0.5",
                    "loader:/usr/share/OVMF/OVMF_CODE_4M.ms.fd",
                    "memory:hugepages"};
  CHECK(found == expected);
}

TEST_CASE("local_things_below_shared_paths_are_accepted") {
  const auto found = names(samples::kWindows, {"/srv/iso", "/var/lib/libvirt/"});
  for (const char* gone : {"!file:/srv/iso/virtio-win.iso", "!vtpm:emulator",
                           "!nvram:/var/lib/libvirt/qemu/nvram/win11_VARS.fd"})
    CHECK(std::count(found.begin(), found.end(), gone) == 0);
}

TEST_CASE("local_things_compare_paths_by_component") {
  CHECK(names(guest(file_disk("/srv/vm/a.img")), {"/srv/vm"}).empty());
  CHECK(names(guest(file_disk("/srv/vm/a.img")), {"/srv/vm//"}).empty());
  CHECK(names(guest(file_disk("/srv//vm/a.img")), {"/srv/vm"}).empty());
  CHECK(names(guest(file_disk("/srv/vm/a.img")), {"/srv/vm/a.img"}).empty());
  CHECK(names(guest(file_disk("/srv/vm2/a.img")), {"/srv/vm"}) == Names{"!file:/srv/vm2/a.img"});
  CHECK(names(guest(file_disk("/srv/vm/../x.img")), {"/srv/vm"}) ==
        Names{"!file:/srv/vm/../x.img"});
  CHECK(names(guest(file_disk("a.img")), {"/"}) == Names{"!file:a.img"});
  CHECK(names(guest(file_disk("/a.img")), {"srv", "", "/srv/../"}) == Names{"!file:/a.img"});
}

TEST_CASE("local_things_of_disks") {
  const auto disk = [](const std::string& type, const std::string& inside) {
    return names(guest("<disk type='" + type + "'>" + inside + "<target dev='vda'/></disk>"));
  };
  CHECK(disk("file", "") .empty());
  CHECK(disk("file", "<source file='/a' startupPolicy='optional'/>") == Names{"file:/a"});
  CHECK(disk("file", "<source file='/a' startupPolicy='requisite'/>") == Names{"!file:/a"});
  CHECK(disk("dir", "<source dir='/d'/>") == Names{"!directory:/d"});
  CHECK(disk("block", "<source dev='/dev/vg/g1'/>") == Names{"!block:/dev/vg/g1"});
  CHECK(disk("volume", "<source pool='p' volume='/v'/>") == Names{"!volume:p//v"});
  CHECK(disk("nvme", "<source type='pci' managed='yes' namespace='1'><address domain='0x0000' "
                     "bus='0x01' slot='0x00' function='0x0'/></source>") ==
        Names{"!nvme:0000:01:00.0"});
  CHECK(disk("vhostuser", "<source type='unix' path='/run/v.sock'/>") ==
        Names{"!chardev:/run/v.sock"});
  CHECK(disk("vhostvdpa", "<source dev='/dev/vhost-vdpa-0'/>") ==
        Names{"!device:/dev/vhost-vdpa-0"});
  CHECK(disk("holographic", "<source x='1'/>") == Names{"!storage:holographic"});
}

TEST_CASE("local_things_network_disks_are_not_local") {
  for (const char* protocol : {"nbd", "rbd", "iscsi", "gluster", "https"})
    CHECK(names(guest("<disk type='network'><source protocol='" + std::string(protocol) +
                      "' name='/path/on/server'><host name='s' port='1'/></source>"
                      "<target dev='vda'/></disk>")).empty());
}

TEST_CASE("local_things_network_disk_behind_a_local_socket_or_key") {
  CHECK(names(guest("<disk type='network'><source protocol='nbd'><host transport='unix' "
                    "socket='/run/nbd.sock'/></source></disk>")) ==
        Names{"!chardev:/run/nbd.sock"});
  CHECK(names(guest("<disk type='network'><source protocol='ssh' name='/x'><host name='h'/>"
                    "<knownHosts path='/root/kh'/><identity keyfile='/root/id'/></source>"
                    "</disk>")) == Names{"!file:/root/id", "!file:/root/kh"});
  CHECK(names(guest("<disk type='network'><source protocol='rbd' name='p/i'>"
                    "<config file='/etc/ceph/other.conf'/></source></disk>")) ==
        Names{"!file:/etc/ceph/other.conf"});
}

TEST_CASE("local_things_follow_the_backing_chain") {
  CHECK(names(guest("<disk type='file'><source file='/s/top.qcow2'/>"
                    "<backingStore type='file'><format type='qcow2'/><source file='/b/mid'/>"
                    "<backingStore type='block'><source dev='/dev/sdx'/><backingStore/>"
                    "</backingStore></backingStore><target dev='vda'/></disk>"),
              {"/s"}) == Names{"!file:/b/mid", "!block:/dev/sdx"});
}

TEST_CASE("local_things_of_the_boot") {
  const auto os = [](const std::string& inside, std::vector<std::string> shared = {}) {
    return names(guest("", "", inside), std::move(shared));
  };
  CHECK(os("<kernel>/b/vmlinuz</kernel><initrd>/b/initrd</initrd><dtb>/b/dtb</dtb>") ==
        Names{"!kernel:/b/vmlinuz", "!kernel:/b/initrd", "!kernel:/b/dtb"});
  CHECK(os("<kernel>/b/vmlinuz</kernel><initrd>/b/initrd</initrd>", {"/b"}).empty());
  CHECK(os("<acpi><table type='slic'>/t</table></acpi>") == Names{"!file:/t"});
  CHECK(os("<loader type='pflash' stateless='yes'>/usr/share/x.fd</loader>") ==
        Names{"loader:/usr/share/x.fd"});
  CHECK(os("<loader type='rom'>/opt/x.fd</loader>") == Names{"!loader:/opt/x.fd"});
  CHECK(os("<loader type='pflash'>/usr/x.fd</loader>") == Names{"loader:/usr/x.fd", "!nvram:auto"});
  CHECK(os("<nvram type='file'><source file='/n'/></nvram>") == Names{"!nvram:/n"});
  CHECK(os("<nvram type='network'><source protocol='iscsi' name='i'/></nvram>").empty());
  CHECK(os("<nvram template='/usr/t'>/n/v</nvram>", {"/n"}).empty());
  CHECK(names("<domain><name>g</name><memory>1</memory><os firmware='efi'/></domain>") ==
        Names{"!nvram:auto"});
}

TEST_CASE("local_things_of_host_devices") {
  const auto hostdev = [](const std::string& type, const std::string& source) {
    return names(guest("<hostdev mode='subsystem' type='" + type + "'><source" + source +
                       "</source></hostdev>"));
  };
  CHECK(hostdev("usb", "><vendor id='0x1234'/><product id='0xbeef'/>") ==
        Names{"!usb:0x1234:0xbeef"});
  CHECK(hostdev("usb", "><address bus='1' device='2'/>") == Names{"!usb:1.2"});
  CHECK(hostdev("mdev", "><address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/>") ==
        Names{"!mdev:c2177883-f1bb-47f0-914d-32a22e3a8804"});
  CHECK(hostdev("scsi", "><adapter name='scsi_host0'/><address bus='0' target='1' unit='2'/>") ==
        Names{"!scsi:scsi_host0:0:1:2"});
  CHECK(hostdev("scsi", " protocol='iscsi' name='iqn.x/1'><host name='h'/>").empty());
  CHECK(hostdev("storage", "><block>/dev/sdb</block>") == Names{"!storage:/dev/sdb"});
  CHECK(names(guest("<tpm><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>"))
        == Names{"!device:/dev/tpm0"});
  CHECK(names(guest("<tpm><backend type='external'><source type='unix' path='/run/t'/></backend>"
                    "</tpm>")) == Names{"!chardev:/run/t"});
  CHECK(names(guest("<input type='evdev'><source dev='/dev/input/event0'/></input>")) ==
        Names{"!device:/dev/input/event0"});
  CHECK(names(guest("<input type='passthrough'><source evdev='/dev/input/event1'/></input>")) ==
        Names{"!device:/dev/input/event1"});
  CHECK(names(guest("<interface type='vdpa'><source dev='/dev/vhost-vdpa-1'/></interface>")) ==
        Names{"!device:/dev/vhost-vdpa-1"});
  CHECK(names(guest("<interface type='network'><source network='default'/><rom file='/r'/>"
                    "</interface>")) == Names{"!file:/r", "network:default"});
}

TEST_CASE("local_things_of_a_vtpm_are_shared_by_its_own_directory") {
  const auto xml = guest("<tpm><backend type='emulator'/></tpm>");
  CHECK(names(xml) == Names{"!vtpm:emulator"});
  CHECK(names(xml, {"/var/lib/libvirt/swtpm"}).empty());
  CHECK(names(xml, {"/var/lib/libvirt/swtpm/" + std::string(samples::kUuid)}).empty());
  CHECK(names(xml, {"/var/lib/libvirt/swtp"}) == Names{"!vtpm:emulator"});
}

TEST_CASE("local_things_of_secrets_by_uuid_and_by_usage") {
  CHECK(names(guest("<disk type='network'><source protocol='iscsi' name='i'><auth username='u'>"
                    "<secret type='iscsi' usage='libvirtiscsi'/></auth></source></disk>"
                    "<disk type='network'><source protocol='rbd' name='p/i'><encryption "
                    "format='luks'><secret type='passphrase' uuid='u-1'/></encryption></source>"
                    "</disk>")) == Names{"!secret:libvirtiscsi", "!secret:u-1"});
}

TEST_CASE("local_things_of_character_devices") {
  const auto serial = [](const std::string& type, const std::string& source) {
    return names(guest("<serial type='" + type + "'><source " + source + "/></serial>"));
  };
  CHECK(serial("dev", "path='/dev/ttyS0'") == Names{"!chardev:/dev/ttyS0"});
  CHECK(serial("pipe", "path='/p'") == Names{"!chardev:/p"});
  CHECK(serial("file", "path='/var/log/g1'") == Names{"chardev:/var/log/g1"});
  CHECK(serial("unix", "mode='connect' path='/s'") == Names{"!chardev:/s"});
  CHECK(serial("unix", "mode='bind' path='/s'").empty());
  CHECK(serial("pty", "path='/dev/pts/3'").empty());
  CHECK(serial("tcp", "mode='connect' host='h' service='1'").empty());
  CHECK(names(guest("<rng><backend model='random'>/dev/strange</backend></rng>")) ==
        Names{"!chardev:/dev/strange"});
}

TEST_CASE("local_things_of_filesystems_and_memory") {
  CHECK(names(guest("<filesystem type='mount'><driver type='virtiofs'/><source dir='/home'/>"
                    "<target dir='/tag'/></filesystem>")) == Names{"!filesystem:/home"});
  CHECK(names(guest("<filesystem type='mount'><source dir='/home'/></filesystem>"), {"/home"})
            .empty());
  CHECK(names(guest("<filesystem type='ram'><source usage='1'/></filesystem>")).empty());
  CHECK(names(guest("<filesystem type='mystery'/>")) == Names{"!filesystem:mystery"});
  CHECK(names(guest("<memory model='nvdimm'><source><path>/nv</path></source></memory>")) ==
        Names{"!file:/nv"});
  CHECK(names(guest("<shmem name='s'><server path='/run/ivshmem'/></shmem>")) ==
        Names{"!chardev:/run/ivshmem"});
}

TEST_CASE("local_things_of_the_qemu_command_line") {
  const std::string xml =
      "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>g</name>"
      "<memory>1</memory><qemu:commandline><qemu:arg value='-drive'/>"
      "<qemu:arg value='file=/tmp/x'/></qemu:commandline></domain>";
  CHECK(names(xml) == Names{"!argument:file=/tmp/x"});
}

TEST_CASE("local_things_report_a_path_in_an_unknown_place") {
  CHECK(names(guest("<widget store='/var/w'/><gadget><at>/g</at></gadget>")) ==
        Names{"!path:/var/w", "!path:/g"});
  CHECK(names(guest("<widget store='/var/w'/>"), {"/var"}).empty());
  CHECK(names(guest("", "<metadata><x at='/m'/></metadata><description>/d</description>"
                        "<resource><partition>/machine</partition></resource>")).empty());
}

TEST_CASE("local_things_names_each_thing_once_and_says_where") {
  const auto things = host_local_things(guest(file_disk("/a") + file_disk("/a")), {});
  REQUIRE(things.has_value());
  REQUIRE(things.value().size() == 1);
  CHECK(things.value()[0].where == "domain/devices/disk[vda]/source");
  CHECK(things.value()[0].kind == LocalKind::file);
}

TEST_CASE("local_things_of_plain_guests_with_pinning") {
  CHECK(names(guest("<emulator>/usr/bin/qemu-system-x86_64</emulator>")).empty());
  CHECK(names(guest("<emulator>/opt/qemu</emulator>")) == Names{"!emulator:/opt/qemu"});
  CHECK(names(guest("", "<cputune><vcpupin vcpu='0' cpuset='1'/></cputune>")) ==
        Names{"cpu:pinning"});
  CHECK(host_local_things("junk", {}).has_error());
}
