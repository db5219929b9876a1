// What a guest's libvirt XML says, as far as Wardom must know it. Pure functions on text; any
// thread; no file, network or external entity is ever touched. Format: libvirt's formatdomain.
//
// Every function refuses, with a sentence, text that is larger than its limit, has a document type
// or a NUL byte, nests deeper than kMaxXmlDepth, is not well-formed or is not one <domain>.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libha/core/ids.hpp"
#include "libha/core/records.hpp"
#include "libha/core/result.hpp"

namespace wardom::guestxml {

inline constexpr std::size_t kMaxXmlDepth = 64;
inline constexpr std::size_t kMaxNameBytes = 255;

// The element by which a definition itself says that Wardom protects its guest:
//   <wardom:guest xmlns:wardom="urn:wardom:guest:1" protected="yes" generation="7"/>
// inside <metadata>.
inline constexpr std::string_view kMarkUri = "urn:wardom:guest:1";
inline constexpr std::string_view kMarkPrefix = "wardom";

struct Summary {
  std::string name;
  GuestId uuid;                     // zero: the XML names none (libvirt would draw one)
  std::uint64_t memory_kib{0};      // <memory>, rounded up to KiB
  std::uint32_t vcpus{0};           // <vcpu>; 1 where the element is absent, as libvirt has it
  std::optional<Generation> marked;  // the guest is marked protected, since this generation
};

// `max_bytes` is for the hook, which reads live XML that may be larger than what is recorded.
Result<Summary> summarize(std::string_view xml, std::size_t max_bytes = kMaxGuestXmlBytes);

enum class LocalKind : std::uint8_t {
  nvram,        // UEFI variables
  vtpm,         // state of an emulated TPM
  file,         // image, ISO, ACPI table, ROM …
  directory,
  block,        // a path that may or may not be shared: the operator has to declare it
  pool_volume,  // volume of a storage pool, which each host defines for itself
  host_device,  // PCI, USB, SCSI, mediated, SR-IOV, NVMe, TPM passthrough, input
  kernel,       // direct kernel boot: kernel, initrd, device tree
  secret,       // a libvirt secret, stored by each host's libvirtd
  char_device,  // device, pipe, socket or file behind a character device
  filesystem,   // shared folder
  command_line, // <qemu:commandline>
  network,      // bridge, virtual network, interface, listen address
  cpu,
  memory,
  loader,       // firmware image
  other,        // a path in a place that Wardom does not know
};
std::string_view to_text(LocalKind kind);

// blocking: the guest cannot run elsewhere, or would run with other data, unless the thing is
// shared, copied along or waived. informational: worth a look, exists on every sane host.
enum class Severity : std::uint8_t { blocking, informational };

struct LocalThing {
  LocalKind kind{LocalKind::other};
  Severity severity{Severity::blocking};
  std::string name;   // stable, for --waive: "nvram:/var/…/g1_VARS.fd", "pci:0000:03:00.0"
  std::string where;  // path of the element: "domain/devices/disk[vda]/source"
  std::string why;    // a sentence for people
  friend bool operator==(const LocalThing&, const LocalThing&) = default;
};

// Everything host-local that the XML names, in document order, each name once. Network disks are
// not local. A file, directory or block path at or below one of `shared_paths` (absolute
// directories or device paths that the cluster declares as shared) is not listed.
// The backing chain inside an image is not seen: only what the XML names is.
Result<std::vector<LocalThing>> host_local_things(std::string_view xml,
                                                  std::span<const std::string> shared_paths);

// 64 bits that stay the same while the definition means the same: attribute order, white space
// between elements, comments, quoting and Wardom's own mark do not count. XXH3: it may be stored.
Result<std::uint64_t> definition_hash(std::string_view xml);

// The XML with the mark inserted or replaced, or removed; everything else is kept.
Result<std::string> mark_protected(std::string_view xml, Generation generation);
Result<std::string> unmark_protected(std::string_view xml);
// False also for what is not a guest's XML: ask summarize where the difference matters.
bool is_marked_protected(std::string_view xml);

// The bare element for virDomainSetMetadata, which adds prefix and namespace by itself.
std::string mark_element(Generation generation);

}  // namespace wardom::guestxml
