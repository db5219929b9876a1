// What each order does, as plain blocking calls on one connection. Called from the call pool.
//
// Every answer carries the state as read afterwards through the same connection. A failed call is
// settled exactly when that reading works: then libvirt has answered the call itself, and not a
// broken connection. (virNetClient delivers a reply or dies; it loses none.)
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "libha/libvirt/handles.hpp"
#include "libha/port/hypervisor.hpp"

namespace wardom::libvirt {

port::ActDone define_guest(virConnectPtr conn, GuestId guest, const std::string& xml);
// `refusal` is asked right before the guest is created; a sentence from it ends the start.
port::ActDone start_guest(virConnectPtr conn, GuestId guest, const std::string& xml,
                          const std::function<std::optional<std::string>()>& refusal);
port::ActDone shut_down_guest(virConnectPtr conn, GuestId guest);
port::ActDone kill_guest(virConnectPtr conn, GuestId guest);
port::ActDone undefine_guest(virConnectPtr conn, GuestId guest);
port::ActDone describe_guest(virConnectPtr conn, const std::string& name_or_uuid);
port::ActDone mark_guest(virConnectPtr conn, GuestId guest, Generation generation);
port::ActDone unmark_guest(virConnectPtr conn, GuestId guest);

struct Definition {
  bool known{false};  // false: libvirt could not be asked
  port::GuestDefined now;
  bool autostart{false};
};
// The persistent definition as it stands; empty XML when there is none.
Definition read_definition(virConnectPtr conn, GuestId guest);

// Name, state, persistence and autostart; nullopt: the guest vanished, or libvirt did not answer.
std::optional<port::GuestState> read_guest(virDomainPtr guest);

}  // namespace wardom::libvirt
