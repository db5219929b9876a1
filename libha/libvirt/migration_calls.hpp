// What a migration's orders do, as blocking calls on one connection, answered as guest_calls.hpp
// says.
#pragma once

#include <functional>
#include <string>

#include "libha/libvirt/handles.hpp"
#include "libha/port/hypervisor.hpp"

namespace wardom::libvirt {

struct MigrationWay {
  std::string uri;       // of the target's libvirtd, as this host's libvirtd reaches it
  std::string data_uri;  // where QEMU sends the guest's memory: tcp://ADDRESS
  std::uint64_t bandwidth_mib{0};  // per second; 0: no limit
  bool auto_converge{false};
};

// Returns when libvirt does: after minutes, maybe.
port::ActDone migrate_guest(virConnectPtr conn, GuestId guest, const MigrationWay& way);

// Has the guest's outgoing migration aborted again and again until there is none. `wait` is called
// in between; false ends the attempt. `expected`: one may begin at any moment, also where libvirt
// knows of none.
port::ActDone abort_migration(virConnectPtr conn, GuestId guest,
                              const std::function<bool()>& expected,
                              const std::function<bool()>& wait);

port::ActDone resume_guest(virConnectPtr conn, GuestId guest);

}  // namespace wardom::libvirt
