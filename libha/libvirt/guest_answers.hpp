// What an order is answered with: a guest's state, and why it is off, as read through the
// connection of the order.
#pragma once

#include <string>

#include "libha/libvirt/handles.hpp"
#include "libha/libvirt/states.hpp"
#include "libha/port/hypervisor.hpp"

namespace wardom::libvirt {

struct Found {
  Domain guest;
  bool answered{false};  // libvirt said that it is there, or that it is not
  Fault fault;
};
Found find(virConnectPtr conn, const GuestId& id);

struct Condition {
  StateAndCause now;  // unknown: libvirt did not answer
  int reason{0};      // of virDomainGetState
};
Condition condition_of(virConnectPtr conn, const GuestId& id);
inline port::RunState state_of(virConnectPtr conn, const GuestId& id) {
  return condition_of(conn, id).now.state;
}

// `act` is set by who carries the order out.
port::ActDone done(virConnectPtr conn, const GuestId& guest);
// Settled where the state can be read: then libvirt has answered the call itself.
port::ActDone failed(virConnectPtr conn, const GuestId& guest, std::string error);
// Whatever was said, a guest that is off now is what was asked for.
port::ActDone off_or_failed(virConnectPtr conn, const GuestId& guest, std::string error);

}  // namespace wardom::libvirt
