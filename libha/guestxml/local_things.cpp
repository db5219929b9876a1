// Two passes. First, rules for every element of which the meaning is known; each path that a rule
// has judged is remembered. Then every attribute and text of the document is looked at: an absolute
// path that no rule has judged is reported too, since a thing that Wardom does not understand is
// not thereby shared.
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "libha/guestxml/document.hpp"

namespace wardom::guestxml {
namespace {

using pugi::xml_node;
using std::string;
using std::string_view;

string_view attribute(xml_node node, const char* name) { return node.attribute(name).value(); }

bool is(xml_node node, const char* name) { return std::strcmp(node.name(), name) == 0; }

// Lexical only: "." and ".." make a path unfit for the comparison, so it counts as not shared.
bool has_dots(string_view path) {
  std::size_t from = 0;
  while (from <= path.size()) {
    auto to = path.find('/', from);
    if (to == string_view::npos) to = path.size();
    const auto part = path.substr(from, to - from);
    if (part == "." || part == "..") return true;
    from = to + 1;
  }
  return false;
}

string squeezed(string_view path) {  // "//" to "/", no "/" at the end
  string out;
  for (char c : path)
    if (c != '/' || out.empty() || out.back() != '/') out.push_back(c);
  while (out.size() > 1 && out.back() == '/') out.pop_back();
  return out;
}

class Finder {
 public:
  explicit Finder(std::span<const string> shared_paths) {
    for (const auto& path : shared_paths)
      if (path.starts_with('/') && !has_dots(path)) shared_.push_back(squeezed(path));
  }

  std::vector<LocalThing> find(xml_node domain) {
    os(domain.child("os"));
    whole_guest(domain);
    for (auto device : domain.child("devices").children()) this->device(device);
    secrets(domain);
    unjudged(domain);
    return std::move(found_);
  }

 private:
  // ---- results

  void add(LocalKind kind, Severity severity, string name, xml_node where, string why) {
    if (!names_.insert(name).second) return;
    found_.push_back({kind, severity, std::move(name), place(where), std::move(why)});
  }
  void blocking(LocalKind kind, string name, xml_node where, string why) {
    add(kind, Severity::blocking, std::move(name), where, std::move(why));
  }
  void remark(LocalKind kind, string name, xml_node where, string why) {
    add(kind, Severity::informational, std::move(name), where, std::move(why));
  }

  static string place(xml_node node) {
    string out;
    for (auto at = node; at && at.type() == pugi::node_element; at = at.parent()) {
      string step = at.name();
      const auto target = attribute(at.child("target"), "dev");
      if (!target.empty() && is(at, "disk")) step += "[" + string(target) + "]";
      out = out.empty() ? step : step + "/" + out;
    }
    return out;
  }

  bool is_shared(string_view path) const {
    if (!path.starts_with('/') || has_dots(path)) return false;
    const string clean = squeezed(path);
    for (const auto& root : shared_)
      if (root == "/" || clean == root ||
          (clean.size() > root.size() && clean.starts_with(root) && clean[root.size()] == '/'))
        return true;
    return false;
  }

  void judged(string_view path) { judged_.insert(string(path)); }

  // A path whose content matters.
  void path(LocalKind kind, string_view path, xml_node where, const string& why,
            Severity severity = Severity::blocking) {
    if (path.empty()) return;
    judged(path);
    if (!is_shared(path))
      add(kind, severity, string(to_text(kind)) + ":" + string(path), where, why);
  }

  // ---- <os>

  void os(xml_node os) {
    path(LocalKind::kernel, trimmed(os.child_value("kernel")), os.child("kernel"),
         "direct boot: the kernel file must be the same on every host");
    path(LocalKind::kernel, trimmed(os.child_value("initrd")), os.child("initrd"),
         "direct boot: the initial RAM disk must be the same on every host");
    path(LocalKind::kernel, trimmed(os.child_value("dtb")), os.child("dtb"),
         "direct boot: the device tree must be the same on every host");
    for (auto table : os.child("acpi").children("table"))
      path(LocalKind::file, trimmed(table.child_value()), table, "ACPI table read from a file");
    firmware(os);
  }

  void firmware(xml_node os) {
    const auto loader = os.child("loader");
    const string rom = trimmed(loader.child_value());
    if (rom.starts_with("/usr/")) {
      judged(rom);
      remark(LocalKind::loader, "loader:" + rom, loader,
             "firmware image: install the same package on every host");
    } else {
      path(LocalKind::loader, rom, loader, "firmware image outside /usr");
    }
    const auto nvram = os.child("nvram");
    if (nvram) {
      judged(attribute(nvram, "template"));  // is read only when the variables do not exist yet
      if (const auto file = trimmed(nvram.child_value()); !file.empty())
        path(LocalKind::nvram, file, nvram, "UEFI variables: boot entries, Secure Boot keys");
      else
        storage(nvram, "UEFI variables", LocalKind::nvram, Severity::blocking);
    }
    const bool uefi = attribute(os, "firmware") == "efi" || attribute(loader, "type") == "pflash";
    const bool named = !trimmed(nvram.child_value()).empty() || nvram.child("source");
    if (uefi && !named && attribute(loader, "stateless") != "yes")
      blocking(LocalKind::nvram, "nvram:auto", os,
               "UEFI variables: libvirt keeps them below /var/lib/libvirt/qemu/nvram of this host");
  }

  // ---- the guest as a whole

  void whole_guest(xml_node domain) {
    if (const auto mode = attribute(domain.child("cpu"), "mode");
        mode == "host-passthrough" || mode == "maximum")
      remark(LocalKind::cpu, "cpu:" + string(mode), domain.child("cpu"),
             "the guest sees this host's own CPU: another model may lack features it uses");
    if (const auto security = domain.child("launchSecurity"))
      remark(LocalKind::cpu, "cpu:" + string(attribute(security, "type")), security,
             "needs a host with this memory encryption");
    if (const auto pages = domain.child("memoryBacking").child("hugepages"))
      remark(LocalKind::memory, "memory:hugepages", pages,
             "needs enough free huge pages on the host that takes it over");
    if (domain.child("cputune").child("vcpupin") || domain.child("numatune"))
      remark(LocalKind::cpu, "cpu:pinning", domain,
             "is pinned to CPUs or NUMA nodes by number: another host may lack them");
    for (auto sysinfo : domain.children("sysinfo"))
      for (auto entry : sysinfo.children("entry"))
        path(LocalKind::file, attribute(entry, "file"), entry, "firmware setting read from a file");
    command_line(domain);
  }

  void command_line(xml_node domain) {
    for (auto child : domain.children()) {
      const string_view name = child.name();
      if (!name.ends_with(":commandline")) continue;
      for (auto argument : child.children()) {
        const auto value = attribute(argument, "value");
        if (value.empty()) continue;
        judged(value);
        if (value.find('/') != string_view::npos)
          blocking(LocalKind::command_line, "argument:" + string(value), argument,
                   "an argument handed straight to QEMU may name something of this host");
      }
    }
  }

  // Every <secret>, wherever it stands: only its owner's libvirtd knows the value.
  void secrets(xml_node node) {
    for (auto child : node.children()) {
      if (child.type() != pugi::node_element || is(child, "metadata")) continue;
      string id;
      if (is(child, "secret"))
        id = string(attribute(child, "uuid").empty() ? attribute(child, "usage")
                                                     : attribute(child, "uuid"));
      else if (is(child, "encryption"))
        id = string(attribute(child, "secret"));
      if (!id.empty()) {
        judged(id);
        blocking(LocalKind::secret, "secret:" + id, child,
                 "a libvirt secret: its value must be set in the libvirtd of every host");
      }
      secrets(child);
    }
  }

  // ---- storage

  // Anything built like a disk: a type, a <source>, and perhaps a backing chain below it.
  void storage(xml_node node, const string& what, LocalKind kind, Severity severity) {
    const auto type = attribute(node, "type");
    const auto source = node.child("source");
    if (source) this->source(type, source, what, kind, severity);
    for (const char* deeper : {"backingStore", "mirror"})
      if (const auto below = node.child(deeper))
        storage(below, what + ", image below it", LocalKind::file, severity);
    for (auto holder : {node, source})
      if (const auto data = holder.child("dataStore"))
        storage(data, what + ", data file", LocalKind::file, severity);
  }

  void source(string_view type, xml_node source, const string& what, LocalKind kind,
              Severity severity) {
    if (type == "file") {
      path(kind, attribute(source, "file"), source, what + " in a file", severity);
    } else if (type == "dir") {
      path(LocalKind::directory, attribute(source, "dir"), source, what + " from a directory",
           severity);
    } else if (type == "block") {
      path(LocalKind::block, attribute(source, "dev"), source,
           what + " on a block device: check that it is shared, then declare its path as shared",
           severity);
    } else if (type == "network") {
      network_source(source, what);
    } else if (type == "volume") {
      const string name =
          string(attribute(source, "pool")) + "/" + string(attribute(source, "volume"));
      judged(attribute(source, "volume"));
      add(LocalKind::pool_volume, severity, "volume:" + name, source,
          what + " in a storage pool, which each host defines for itself");
    } else if (type == "nvme") {
      blocking(LocalKind::host_device, "nvme:" + pci(source.child("address")), source,
               what + " on an NVMe device of this host");
    } else if (type == "vhostuser") {
      path(LocalKind::char_device, attribute(source, "path"), source,
           what + " served through a socket of this host");
    } else if (type == "vhostvdpa") {
      path(LocalKind::host_device, attribute(source, "dev"), source,
           what + " on a vDPA device of this host");
    } else {
      blocking(LocalKind::other, "storage:" + string(type), source,
               what + " of a type that Wardom does not know");
    }
  }

  // On the network, unless the server is behind a socket of this host, or a key lies in a file.
  void network_source(xml_node source, const string& what) {
    for (auto host : source.children("host"))
      if (attribute(host, "transport") == "unix")
        path(LocalKind::char_device, attribute(host, "socket"), host,
             what + " is served through a socket of this host");
    path(LocalKind::file, attribute(source.child("identity"), "keyfile"), source.child("identity"),
         "key for " + what + " in a file");
    path(LocalKind::file, attribute(source.child("knownHosts"), "path"), source.child("knownHosts"),
         "known hosts for " + what + " in a file");
    path(LocalKind::file, attribute(source.child("config"), "file"), source.child("config"),
         "Ceph configuration for " + what + " in a file");
    judged(attribute(source, "name"));   // an export's or image's name on the server
    judged(attribute(source, "query"));
  }

  static string pci(xml_node address) {
    const auto part = [&](const char* name) {
      string value(attribute(address, name));
      return value.starts_with("0x") ? value.substr(2) : value;
    };
    string domain = part("domain");
    return (domain.empty() ? "0000" : domain) + ":" + part("bus") + ":" + part("slot") + "." +
           part("function");
  }

  // ---- devices

  void device(xml_node device) {
    if (is(device, "disk")) return disk(device);
    if (is(device, "hostdev")) return host_device(device);
    if (is(device, "interface")) return interface(device);
    if (is(device, "tpm")) return tpm(device);
    if (is(device, "filesystem")) return filesystem(device);
    if (is(device, "memory") || is(device, "shmem")) return memory(device);
    if (is(device, "graphics")) return graphics(device);
    if (is(device, "emulator")) return emulator(device);
    if (is(device, "input"))
      return path(LocalKind::host_device,
                  attribute(device.child("source"),
                            attribute(device.child("source"), "dev").empty() ? "evdev" : "dev"),
                  device, "an input device of this host");
    if (is(device, "rng")) return rng(device);
    for (const char* name : {"serial", "parallel", "console", "channel", "redirdev", "smartcard"})
      if (is(device, name)) return character(device, attribute(device, "type"));
  }

  void disk(xml_node disk) {
    const string device(attribute(disk, "device"));
    const string what = (device.empty() ? "disk" : device) + " " +
                        string(attribute(disk.child("target"), "dev"));
    // libvirt itself drops such a medium at start when it is missing.
    const bool optional = attribute(disk.child("source"), "startupPolicy") == "optional";
    storage(disk, what, LocalKind::file,
            optional ? Severity::informational : Severity::blocking);
    rom(disk);
  }

  void rom(xml_node device) {
    path(LocalKind::file, attribute(device.child("rom"), "file"), device.child("rom"),
         "option ROM read from a file");
  }

  void host_device(xml_node device) {
    const auto source = device.child("source");
    const string type(attribute(device, "type"));
    rom(device);
    if (type == "scsi" && attribute(source, "protocol") == "iscsi")
      return network_source(source, "disk");
    string id;
    if (type == "pci") {
      id = pci(source.child("address"));
    } else if (type == "mdev") {
      id = attribute(source.child("address"), "uuid");
    } else if (type == "usb" && source.child("vendor")) {
      id = string(attribute(source.child("vendor"), "id")) + ":" +
           string(attribute(source.child("product"), "id"));
    } else if (type == "usb") {
      id = string(attribute(source.child("address"), "bus")) + "." +
           string(attribute(source.child("address"), "device"));
    } else if (type == "scsi") {
      const auto address = source.child("address");
      id = string(attribute(source.child("adapter"), "name"));
      for (const char* part : {"bus", "target", "unit"})
        id += ":" + string(attribute(address, part));
    } else if (type == "scsi_host") {
      id = attribute(source, "wwpn");
    } else {
      for (auto child : source.children()) {
        const string value = trimmed(child.child_value());
        judged(value);
        id += (id.empty() ? "" : ":") + value;
      }
    }
    blocking(LocalKind::host_device, type + ":" + id, device,
             "a device of this host, handed to the guest");
  }

  void interface(xml_node device) {
    const string type(attribute(device, "type"));
    const auto source = device.child("source");
    rom(device);
    path(LocalKind::file, attribute(device.child("script"), "path"), device.child("script"),
         "script that sets the interface up");
    if (type == "hostdev")
      return blocking(LocalKind::host_device, "pci:" + pci(source.child("address")), device,
                      "a network card (SR-IOV function) of this host");
    if (type == "vdpa")
      return path(LocalKind::host_device, attribute(source, "dev"), device,
                  "a vDPA network device of this host");
    for (const char* name : {"network", "bridge", "dev", "path"}) {
      const auto value = attribute(source, name);
      if (value.empty()) continue;
      judged(value);
      remark(LocalKind::network, type + ":" + string(value), device,
             "must exist under this name on every host");
    }
  }

  void tpm(xml_node tpm) {
    const auto backend = tpm.child("backend");
    const auto type = attribute(backend, "type");
    if (type == "emulator") {
      if (const auto source = backend.child("source"))
        for (const char* name : {"path", "file", "dir"})
          path(LocalKind::vtpm, attribute(source, name), source, "state of the guest's TPM");
      else
        vtpm_state(tpm);
    } else if (type == "passthrough") {
      path(LocalKind::host_device, attribute(backend.child("device"), "path"), tpm,
           "this host's own TPM");
    } else if (type == "external") {
      path(LocalKind::char_device, attribute(backend.child("source"), "path"), tpm,
           "a TPM served through a socket of this host");
    } else {
      blocking(LocalKind::other, "tpm:" + string(type), tpm, "a TPM that Wardom does not know");
    }
  }

  // libvirt keeps the state of its own swtpm in a fixed place (qemu_tpm.c).
  void vtpm_state(xml_node tpm) {
    const string uuid = trimmed(tpm.parent().parent().child_value("uuid"));
    const string place = "/var/lib/libvirt/swtpm/" + uuid;
    if (!uuid.empty() && is_shared(place)) return;
    blocking(LocalKind::vtpm, "vtpm:emulator", tpm,
             "state of the guest's TPM below /var/lib/libvirt/swtpm of this host: without it "
             "sealed disk keys are lost");
  }

  void filesystem(xml_node fs) {
    const auto source = fs.child("source");
    const auto type = attribute(fs, "type");
    judged(attribute(fs.child("target"), "dir"));  // a tag that the guest sees
    judged(attribute(fs.child("binary"), "path"));
    if (type == "ram") return;
    if (type == "volume") return this->source(type, source, "shared folder", LocalKind::filesystem,
                                              Severity::blocking);
    bool named = false;
    for (const char* name : {"dir", "dev", "file", "socket", "name"}) {
      named = named || !attribute(source, name).empty();
      path(LocalKind::filesystem, attribute(source, name), fs,
           "a folder of this host, shared with the guest");
    }
    if (!named)
      blocking(LocalKind::filesystem, "filesystem:" + string(type), fs,
               "a shared folder that Wardom does not know");
  }

  void memory(xml_node device) {
    path(LocalKind::file, trimmed(device.child("source").child_value("path")), device,
         "persistent memory kept in a file of this host");
    path(LocalKind::char_device, attribute(device.child("server"), "path"), device,
         "shared memory served through a socket of this host");
  }

  void graphics(xml_node graphics) {
    judged(attribute(graphics, "socket"));
    judged(attribute(graphics.child("gl"), "rendernode"));
    if (const auto node = attribute(graphics.child("gl"), "rendernode"); !node.empty())
      remark(LocalKind::host_device, "gpu:" + string(node), graphics, "needs a GPU of the host");
    for (auto listen : graphics.children("listen")) {
      judged(attribute(listen, "socket"));
      const auto address = attribute(listen, "address");
      if (address.empty() || address == "127.0.0.1" || address == "0.0.0.0" || address == "::" ||
          address == "::1")
        continue;
      remark(LocalKind::network, "listen:" + string(address), listen,
             "a console listens on an address that another host may not have");
    }
  }

  void emulator(xml_node emulator) {
    const string program = trimmed(emulator.child_value());
    judged(program);
    if (!program.starts_with("/usr/"))
      blocking(LocalKind::file, "emulator:" + program, emulator, "an emulator outside /usr");
  }

  void rng(xml_node rng) {
    const auto backend = rng.child("backend");
    if (attribute(backend, "model") == "egd") return character(backend, attribute(backend, "type"));
    const string source = trimmed(backend.child_value());
    judged(source);
    if (!source.empty() && source != "/dev/urandom" && source != "/dev/random" &&
        source != "/dev/hwrng")
      path(LocalKind::char_device, source, rng, "a source of random numbers of this host");
  }

  void character(xml_node device, string_view type) {
    const auto source = device.child("source");
    const auto where = attribute(source, "path");
    judged(attribute(device, "tty"));
    judged(attribute(device.child("log"), "file"));
    if (type == "dev")
      return path(LocalKind::char_device, where, device, "a character device of this host");
    if (type == "pipe")
      return path(LocalKind::char_device, where, device, "a named pipe of this host");
    if (type == "unix" && attribute(source, "mode") == "connect")
      return path(LocalKind::char_device, where, device,
                  "something on this host must listen on this socket");
    if (type == "file")
      return path(LocalKind::char_device, where, device,
                  "output goes to a file of this host; another host starts a new one",
                  Severity::informational);
    judged(where);  // a pty, or a socket that QEMU itself makes
    if (type == "host-certificates")
      return blocking(LocalKind::file, "smartcard:certificates", device,
                      "a smart card made of certificates of this host");
    if (type == "host")
      return blocking(LocalKind::host_device, "smartcard:host", device, "this host's smart card");
  }

  // ---- what no rule has judged

  void unjudged(xml_node node) {
    for (const char* harmless : {"metadata", "title", "description", "resource", "seclabel",
                                 "alias", "name"})
      if (is(node, harmless)) return;
    for (auto a : node.attributes())
      if (std::strncmp(a.name(), "xmlns", 5) != 0) unjudged(a.value(), node);
    for (auto child : node.children()) {
      if (child.type() == pugi::node_element) unjudged(child);
      if (child.type() == pugi::node_pcdata || child.type() == pugi::node_cdata)
        unjudged(trimmed(child.value()), node);
    }
  }

  void unjudged(string_view value, xml_node where) {
    if (!value.starts_with('/') || judged_.contains(value) || is_shared(value)) return;
    blocking(LocalKind::other, "path:" + string(value), where,
             "a path in a place that Wardom does not know");
  }

  std::vector<string> shared_;
  std::vector<LocalThing> found_;
  std::set<string> names_;
  std::set<string, std::less<>> judged_;
};

}  // namespace

string_view to_text(LocalKind kind) {
  switch (kind) {
    case LocalKind::nvram: return "nvram";
    case LocalKind::vtpm: return "vtpm";
    case LocalKind::file: return "file";
    case LocalKind::directory: return "directory";
    case LocalKind::block: return "block";
    case LocalKind::pool_volume: return "volume";
    case LocalKind::host_device: return "device";
    case LocalKind::kernel: return "kernel";
    case LocalKind::secret: return "secret";
    case LocalKind::char_device: return "chardev";
    case LocalKind::filesystem: return "filesystem";
    case LocalKind::command_line: return "argument";
    case LocalKind::network: return "network";
    case LocalKind::cpu: return "cpu";
    case LocalKind::memory: return "memory";
    case LocalKind::loader: return "loader";
    case LocalKind::other: return "other";
  }
  return "other";
}

Result<std::vector<LocalThing>> host_local_things(string_view xml,
                                                  std::span<const string> shared_paths) {
  pugi::xml_document doc;
  BOOST_OUTCOME_TRY(auto domain, load(doc, xml, Keep::meaning));
  return Finder(shared_paths).find(domain);
}

}  // namespace wardom::guestxml
