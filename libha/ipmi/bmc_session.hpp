// One IPMI 2.0 session with one BMC, by FreeIPMI's libfreeipmi.
//
// Every call blocks. FreeIPMI measures its time-outs with the wall clock and counts a session's
// time-out from the last packet *received*, idle time included (ipmi-lan-session-common.c,
// _session_timed_out): a session that is kept open therefore needs a time-out longer than its idle
// time, which is far longer than a caller wants to wait for one answer. So calls are cut short from
// outside: a signal to the calling thread ends the poll(2) inside FreeIPMI with EINTR, the call
// fails, and the session is to be dropped. One thread per session.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "libha/ipmi/bmc_access.hpp"
#include "libha/port/power.hpp"

namespace wardom {

struct BmcFailure {
  enum class Kind : std::uint8_t {
    session,      // no answer, or the session is of no use any more
    credentials,  // the BMC answered and refuses this user: trying often locks accounts
    refused,      // the BMC answered and refuses this command; the session stays good
  };
  Kind kind{Kind::session};
  std::string message;
};

struct SessionTimes {
  std::chrono::milliseconds idle_timeout{0};    // see above: longer than the longest idle time
  std::chrono::milliseconds retransmission{0};  // an unanswered packet is sent again after this
};

class BmcSession {
 public:
  // Once per process, before any thread opens a session: libgcrypt's initialisation inside FreeIPMI
  // is only partly guarded by a mutex. Opening a session calls srand(), so that nothing in the
  // process may draw anything of importance from rand().
  static Result<void> initialise();

  // Fails with nullptr and *failure.
  static std::unique_ptr<BmcSession> open(const BmcAccess& access, SessionTimes times,
                                          BmcFailure* failure);
  // Tells the BMC that the session ends; waits for its answer for one retransmission time at most.
  ~BmcSession();
  BmcSession(const BmcSession&) = delete;
  BmcSession& operator=(const BmcSession&) = delete;

  // Get Chassis Status. unknown: *failure says why.
  port::PowerState read(BmcFailure* failure);
  // Chassis Control, power down: never cycle or reset, which end with a running host. false:
  // *failure says why. true proves nothing about the power state.
  bool power_down(BmcFailure* failure);
  // The same, power up.
  bool power_up(BmcFailure* failure);

 private:
  struct Context;
  explicit BmcSession(std::unique_ptr<Context> context);
  bool control(unsigned what, BmcFailure* failure);
  std::unique_ptr<Context> context_;
};

}  // namespace wardom
