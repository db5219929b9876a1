#include "libha/libvirt/guest_answers.hpp"

namespace wardom::libvirt {

using port::ActDone;
using port::RunState;

Found find(virConnectPtr conn, const GuestId& id) {
  Found found;
  found.guest.reset(virDomainLookupByUUID(conn, id.bytes.data()));
  if (!found.guest) found.fault = last_fault();
  found.answered = found.guest || found.fault.code == VIR_ERR_NO_DOMAIN;
  return found;
}

Condition condition_of(virConnectPtr conn, const GuestId& id) {
  const Found found = find(conn, id);
  if (!found.answered) return {};
  if (!found.guest) return {{RunState::absent, {}}, 0};
  int state = 0;
  int reason = 0;
  if (virDomainGetState(found.guest.get(), &state, &reason, 0) == 0)
    return {from_state(state, reason), reason};
  if (last_fault().code == VIR_ERR_NO_DOMAIN) return {{RunState::absent, {}}, 0};
  return {};
}

ActDone done(virConnectPtr conn, const GuestId& guest) {
  ActDone answer;
  answer.guest = guest;
  answer.ok = true;
  const auto now = condition_of(conn, guest).now;
  answer.state = now.state;
  answer.cause = now.cause;
  return answer;
}

ActDone failed(virConnectPtr conn, const GuestId& guest, std::string error) {
  ActDone answer = done(conn, guest);
  answer.ok = false;
  answer.error = std::move(error);
  answer.settled = answer.state != RunState::unknown;
  return answer;
}

ActDone off_or_failed(virConnectPtr conn, const GuestId& guest, std::string error) {
  ActDone answer = failed(conn, guest, std::move(error));
  answer.ok = answer.state == RunState::shut_off || answer.state == RunState::absent;
  if (answer.ok) answer.error.clear();
  return answer;
}

}  // namespace wardom::libvirt
