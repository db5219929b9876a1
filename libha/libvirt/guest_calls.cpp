#include "libha/libvirt/guest_calls.hpp"

#include "libha/guestxml/guest_xml.hpp"
#include "libha/libvirt/guest_answers.hpp"

namespace wardom::libvirt {

using port::ActDone;
using port::RunState;

namespace {

constexpr unsigned kRecordedXml =
    VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_MIGRATABLE;

// The XML must be about this guest: libvirt goes by the XML alone, and would define another.
std::optional<std::string> wrong_xml(const GuestId& guest, const std::string& xml) {
  const auto summary = guestxml::summarize(xml);
  if (summary.has_error()) return summary.error().message;
  if (summary.value().uuid == guest) return std::nullopt;
  return "the XML names guest " + to_uuid(summary.value().uuid) + ", not " + to_uuid(guest);
}

std::optional<std::string> managed_save(virDomainPtr guest) {
  const int has = virDomainHasManagedSaveImage(guest, 0);
  if (has == 0) return std::nullopt;
  if (has > 0)
    return "a managed save image of this guest exists here; look at it, then remove it with "
           "'virsh managedsave-remove' or let it resume with 'virsh start'";
  const Fault fault = last_fault();
  if (fault.code == VIR_ERR_NO_SUPPORT) return std::nullopt;
  return "cannot tell whether a managed save image exists: " + fault.text;
}

// Defined and without autostart, or the reason why not.
std::optional<std::string> define_quietly(virConnectPtr conn, const std::string& xml,
                                          Domain& out) {
  out.reset(virDomainDefineXMLFlags(conn, xml.c_str(), VIR_DOMAIN_DEFINE_VALIDATE));
  if (!out) return "define: " + last_fault().text;
  // libvirt's autostart on a host that returns is a way to run a guest twice.
  if (virDomainSetAutostart(out.get(), 0) != 0) return "autostart off: " + last_fault().text;
  return std::nullopt;
}

}  // namespace

ActDone define_guest(virConnectPtr conn, GuestId guest, const std::string& xml) {
  if (auto wrong = wrong_xml(guest, xml)) return failed(conn, guest, *wrong);
  Domain defined;
  if (auto error = define_quietly(conn, xml, defined)) return failed(conn, guest, *error);
  return done(conn, guest);
}

ActDone start_guest(virConnectPtr conn, GuestId guest, const std::string& xml,
                    const std::function<std::optional<std::string>()>& refusal) {
  if (auto wrong = wrong_xml(guest, xml)) return failed(conn, guest, *wrong);
  const Found before = find(conn, guest);
  if (!before.answered) return failed(conn, guest, "look-up: " + before.fault.text);
  if (before.guest) {
    const RunState state = state_of(conn, guest);
    if (is_active(state)) return failed(conn, guest, "the guest is active here already");
    if (state == RunState::unknown) return failed(conn, guest, "the guest's state is unknown");
    if (auto saved = managed_save(before.guest.get())) return failed(conn, guest, *saved);
  }
  Domain defined;
  if (auto error = define_quietly(conn, xml, defined)) return failed(conn, guest, *error);
  // Asked again: an image can outlast the definition that it belonged to.
  if (auto saved = managed_save(defined.get())) return failed(conn, guest, *saved);
  if (auto no = refusal()) return failed(conn, guest, *no);
  if (virDomainCreateWithFlags(defined.get(), 0) != 0)
    return failed(conn, guest, "start: " + last_fault().text);
  return done(conn, guest);
}

ActDone shut_down_guest(virConnectPtr conn, GuestId guest) {
  const Found found = find(conn, guest);
  if (!found.answered) return failed(conn, guest, "look-up: " + found.fault.text);
  if (!found.guest) return done(conn, guest);
  // Not by the guest's agent: libvirt waits up to a minute for its answer, and with it a kill.
  if (virDomainShutdownFlags(found.guest.get(), VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN) == 0)
    return done(conn, guest);
  Fault fault = last_fault();
  // A driver without power buttons knows its own way.
  if (fault.code == VIR_ERR_INVALID_ARG || fault.code == VIR_ERR_NO_SUPPORT) {
    if (virDomainShutdown(found.guest.get()) == 0) return done(conn, guest);
    fault = last_fault();
  }
  return off_or_failed(conn, guest, "shutdown: " + fault.text);
}

ActDone kill_guest(virConnectPtr conn, GuestId guest) {
  const Found found = find(conn, guest);
  if (!found.answered) return failed(conn, guest, "look-up: " + found.fault.text);
  if (!found.guest) return done(conn, guest);
  if (virDomainDestroyFlags(found.guest.get(), 0) == 0) return done(conn, guest);
  return off_or_failed(conn, guest, "destroy: " + last_fault().text);
}

ActDone undefine_guest(virConnectPtr conn, GuestId guest) {
  const Found found = find(conn, guest);
  if (!found.answered) return failed(conn, guest, "look-up: " + found.fault.text);
  if (!found.guest) return done(conn, guest);
  if (auto saved = managed_save(found.guest.get())) return failed(conn, guest, *saved);
  constexpr unsigned kKeep = VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | VIR_DOMAIN_UNDEFINE_KEEP_TPM;
  if (virDomainUndefineFlags(found.guest.get(), kKeep) == 0) return done(conn, guest);
  const Fault fault = last_fault();
  // A driver without these flags (libvirt before 8.9 knows no KEEP_TPM) may be asked without them
  // only when there is nothing to keep.
  const bool unsupported = fault.code == VIR_ERR_INVALID_ARG || fault.code == VIR_ERR_NO_SUPPORT;
  if (unsupported) {
    const CText xml(virDomainGetXMLDesc(found.guest.get(), kRecordedXml));
    const auto things = xml ? guestxml::host_local_things(xml.get(), {})
                            : Result<std::vector<guestxml::LocalThing>>(failure("no XML"));
    bool keeps_nothing = things.has_value();
    if (things.has_value())
      for (const auto& t : things.value())
        if (t.kind == guestxml::LocalKind::nvram || t.kind == guestxml::LocalKind::vtpm)
          keeps_nothing = false;
    if (keeps_nothing && virDomainUndefineFlags(found.guest.get(), 0) == 0)
      return done(conn, guest);
  }
  return failed(conn, guest, "undefine: " + fault.text);
}

ActDone describe_guest(virConnectPtr conn, const std::string& name_or_uuid) {
  Domain found;
  if (const auto bits = parse_bits(name_or_uuid))
    found.reset(virDomainLookupByUUID(conn, bits->bytes.data()));
  if (!found) found.reset(virDomainLookupByName(conn, name_or_uuid.c_str()));
  if (!found) {
    const Fault fault = last_fault();
    ActDone answer;
    answer.guest = GuestId{parse_bits(name_or_uuid).value_or(Bits128{})};
    answer.error = "describe: " + fault.text;
    answer.state = fault.code == VIR_ERR_NO_DOMAIN ? RunState::absent : RunState::unknown;
    return answer;
  }
  const GuestId guest = id_of(found.get());
  const CText xml(virDomainGetXMLDesc(found.get(), kRecordedXml));
  if (!xml) return failed(conn, guest, "describe: " + last_fault().text);
  const auto summary = guestxml::summarize(xml.get());
  if (summary.has_error()) return failed(conn, guest, summary.error().message);
  ActDone answer = done(conn, guest);
  answer.xml = xml.get();
  answer.name = summary.value().name;
  answer.memory_kib = summary.value().memory_kib;
  answer.vcpus = summary.value().vcpus;
  return answer;
}

namespace {

// Where metadata has to be written: in the definition, and in the running guest, if there are such.
unsigned metadata_flags(virDomainPtr guest) {
  unsigned flags = 0;
  if (virDomainIsPersistent(guest) == 1) flags |= VIR_DOMAIN_AFFECT_CONFIG;
  if (virDomainIsActive(guest) == 1) flags |= VIR_DOMAIN_AFFECT_LIVE;
  return flags;
}

int set_mark(virDomainPtr guest, const char* element) {
  return virDomainSetMetadata(guest, VIR_DOMAIN_METADATA_ELEMENT, element,
                              guestxml::kMarkPrefix.data(), guestxml::kMarkUri.data(),
                              metadata_flags(guest));
}

}  // namespace

ActDone mark_guest(virConnectPtr conn, GuestId guest, Generation generation) {
  const Found found = find(conn, guest);
  if (!found.guest) return failed(conn, guest, "look-up: " + found.fault.text);
  if (set_mark(found.guest.get(), guestxml::mark_element(generation).c_str()) != 0)
    return failed(conn, guest, "mark: " + last_fault().text);
  return done(conn, guest);
}

ActDone unmark_guest(virConnectPtr conn, GuestId guest) {
  const Found found = find(conn, guest);
  if (!found.answered) return failed(conn, guest, "look-up: " + found.fault.text);
  if (!found.guest) return done(conn, guest);
  if (set_mark(found.guest.get(), nullptr) != 0) {
    const Fault fault = last_fault();
    if (fault.code != VIR_ERR_NO_DOMAIN_METADATA)
      return failed(conn, guest, "unmark: " + fault.text);
  }
  return done(conn, guest);
}

Definition read_definition(virConnectPtr conn, GuestId guest) {
  Definition out;
  out.now.guest = guest;
  const Found found = find(conn, guest);
  out.known = found.answered;
  if (!found.guest) return out;
  const int persistent = virDomainIsPersistent(found.guest.get());
  if (persistent != 1) {
    out.known = persistent == 0 || last_fault().code == VIR_ERR_NO_DOMAIN;
    return out;
  }
  int autostart = 0;
  virDomainGetAutostart(found.guest.get(), &autostart);
  out.autostart = autostart != 0;
  const CText xml(virDomainGetXMLDesc(found.guest.get(), kRecordedXml));
  if (!xml) {
    out.known = last_fault().code == VIR_ERR_NO_DOMAIN;
    return out;
  }
  // Too large to record: the name goes out with the XML all the same, and its reader refuses it.
  out.now.xml = xml.get();
  out.now.name = virDomainGetName(found.guest.get());
  if (const auto summary = guestxml::summarize(out.now.xml); summary.has_value()) {
    out.now.memory_kib = summary.value().memory_kib;
    out.now.vcpus = summary.value().vcpus;
  }
  return out;
}

std::optional<port::GuestState> read_guest(virDomainPtr guest) {
  int state = 0;
  int reason = 0;
  if (virDomainGetState(guest, &state, &reason, 0) != 0) return std::nullopt;
  const auto meaning = from_state(state, reason);
  int autostart = 0;
  virDomainGetAutostart(guest, &autostart);  // a transient guest has none
  return port::GuestState{id_of(guest),  virDomainGetName(guest),
                          meaning.state, meaning.cause,
                          virDomainIsPersistent(guest) == 1, autostart != 0, {}};
}

}  // namespace wardom::libvirt
