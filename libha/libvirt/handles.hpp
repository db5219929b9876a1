// Owners of libvirt's counted objects, and its last error as a value.
#pragma once

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <memory>
#include <string>

#include "libha/core/ids.hpp"

namespace wardom::libvirt {

struct DomainFree {
  void operator()(virDomainPtr d) const { virDomainFree(d); }
};
using Domain = std::unique_ptr<virDomain, DomainFree>;

struct ConnectClose {
  void operator()(virConnectPtr c) const { virConnectClose(c); }
};
using Connect = std::unique_ptr<virConnect, ConnectClose>;

struct CFree {
  void operator()(char* text) const { free(text); }
};
using CText = std::unique_ptr<char, CFree>;

// The calling thread's last libvirt error. Read it before the next libvirt call.
struct Fault {
  int code{VIR_ERR_OK};
  int domain{VIR_FROM_NONE};
  std::string text;
};
inline Fault last_fault() {
  const virErrorPtr error = virGetLastError();
  if (error == nullptr) return {VIR_ERR_INTERNAL_ERROR, VIR_FROM_NONE, "libvirt gave no reason"};
  return {error->code, error->domain, error->message ? error->message : "libvirt gave no reason"};
}

inline GuestId id_of(virDomainPtr domain) {
  GuestId id;
  virDomainGetUUID(domain, id.bytes.data());
  return id;
}

}  // namespace wardom::libvirt
