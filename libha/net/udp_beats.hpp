// port::Beats by UDP, IPv4 or IPv6: one socket per link, bound to this host's address on it.
//
// Promises, beyond the port's:
//  * It starts while an address or interface is missing (IP_FREEBIND) and goes on by itself when
//    the interface goes down and comes back, or its address is removed and added: the sockets are
//    never connected, so that nothing of the path is kept in them.
//  * A datagram is passed on only when its source address is a configured peer's on that link and
//    it has at most kMaxDatagramBytes. That is a filter against noise, not authentication.
//  * Beats leave before storage traffic: DSCP CS6 on the wire, priority 6 in this host's queues.
//  * Everything that is not sent or not passed on is counted.
//
// `datagram` events come from the adapter's thread, at most kBeatBatch per link between two looks
// at the other link. They must not block for long (the kernel then drops beats, uncounted here) and
// must not destroy the adapter. send() may be called from any thread.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "libha/core/result.hpp"
#include "libha/port/beats.hpp"

namespace wardom {

inline constexpr unsigned kBeatBatch = 16;  // datagrams taken by one system call

struct BeatPeer {
  HostId host;
  // Numeric IPv4 or IPv6 address per Link; a link-local one with its "%interface".
  std::array<std::string, kLinks> addresses;
};

struct BeatOptions {
  std::array<std::string, kLinks> own;  // this host's numeric address per Link
  std::uint16_t port{0};                // 1..65535, the same on all hosts and links
  std::vector<BeatPeer> peers;          // at most kMaxDomainHosts, without this host
};

struct BeatCounters {
  std::uint64_t sent{0};
  std::uint64_t send_failed{0};      // no route, link down, queue full …
  int last_send_error{0};            // errno of the latest failure, 0: none yet
  std::uint64_t received{0};         // passed on
  std::uint64_t dropped_source{0};   // not from a peer on this link
  std::uint64_t dropped_size{0};     // empty or longer than kMaxDatagramBytes
  std::uint64_t receive_failed{0};
};

// Where datagrams came from that were dropped, since that is no peer's address on the link.
struct BeatStranger {
  Link link{Link::mgmt};
  std::string address;
};
inline constexpr std::size_t kBeatStrangers = 8;  // remembered of both links; more are only counted

class UdpBeats final : public port::Beats {
 public:
  // Opens the sockets and starts the thread. Error: what is wrong with an address, or who else
  // holds the port.
  static Result<std::unique_ptr<UdpBeats>> create(const BeatOptions& options,
                                                  port::BeatEvents events);
  ~UdpBeats();  // no event follows
  UdpBeats(const UdpBeats&) = delete;
  UdpBeats& operator=(const UdpBeats&) = delete;

  void send(HostId to, Link link, std::span<const std::uint8_t> bytes) override;
  BeatCounters counters(Link link) const;
  // Of whom something came within this time, by link and address.
  std::vector<BeatStranger> strangers(std::chrono::milliseconds within) const;

 private:
  class Impl;
  explicit UdpBeats(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace wardom
