// port::Power by IPMI 2.0: one thread and one standing session per BMC.
//
// Promises, beyond the port's:
//  * an answer comes within session_timeout + kPowerAnswerSlack, whatever the BMC, the network, the
//    wall clock or FreeIPMI do;
//  * a session that the BMC has forgotten (it was restarted) costs half of session_timeout: then
//    the request is made once more over a new session, within the same limit;
//  * a request whose limit has passed is never carried out later;
//  * after a refusal of user or password the BMC is left alone for a while (kPowerHoldMin doubling
//    to kPowerHoldMax) and requests are answered `unknown` at once, since BMCs lock accounts.
//
// Events come from several threads, one at a time per BMC, never from within ask() or power_off().
// They must not block and must not destroy the adapter.
//
// Takes the real-time signal SIGRTMIN + 3 for itself (bmc_session.hpp says why); its threads block
// all other signals.
//
// A BMC has few sessions, often four. Each IpmiPower holds one per BMC in it.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "libha/core/result.hpp"
#include "libha/ipmi/bmc_access.hpp"
#include "libha/port/power.hpp"

namespace wardom {

inline constexpr std::size_t kMaxPowerQueue = 8;  // requests that wait for one BMC
inline constexpr std::chrono::milliseconds kPowerAnswerSlack{200};
// How a lost session is opened again while nobody asks.
inline constexpr std::chrono::milliseconds kPowerReopenMin{1000};
inline constexpr std::chrono::milliseconds kPowerReopenMax{30'000};
inline constexpr std::chrono::milliseconds kPowerHoldMin{2000};
inline constexpr std::chrono::milliseconds kPowerHoldMax{60'000};
// BMCs end a session after 60 s without a packet (IPMI 2.0, section 6.12.15).
inline constexpr std::chrono::milliseconds kPowerKeepAliveMax{50'000};

struct IpmiOptions {
  std::vector<BmcAccess> bmcs;
  std::chrono::milliseconds session_timeout{2000};  // 200 ms .. 30 s: the limit of one request
  std::chrono::milliseconds retransmission{400};    // less than half of session_timeout
  std::chrono::milliseconds keep_alive{20'000};     // an idle session is asked for its state
};

class IpmiPower final : public port::Power {
 public:
  // Starts the threads; opens the sessions in the background. Error: what is wrong with an option.
  static Result<std::unique_ptr<IpmiPower>> create(IpmiOptions options, port::PowerEvents events);
  // Answers what is still open with `unknown`, ends the sessions. No event follows.
  ~IpmiPower();
  IpmiPower(const IpmiPower&) = delete;
  IpmiPower& operator=(const IpmiPower&) = delete;

  void ask(Ticket ticket, HostId host) override;
  void power_off(Ticket ticket, HostId host) override;
  // Not the daemon's to order, so no part of the port. Answered by the event that answers
  // power_off(), and proves as little.
  void power_on(Ticket ticket, HostId host);
  // Sessions opened with this host's BMC so far. One that grows while nothing is wrong tells of a
  // BMC that restarts or forgets its sessions. 0: no BMC. From any thread.
  std::uint64_t sessions_opened(HostId host) const;

 private:
  class Impl;
  explicit IpmiPower(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace wardom
