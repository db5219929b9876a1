// Port: beat datagrams on both links. Bytes in, bytes out; decoding and authentication are wire's.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "libha/core/ids.hpp"
#include "libha/core/records.hpp"

namespace wardom::port {

inline constexpr std::size_t kMaxDatagramBytes = 1200;

struct Datagram {
  Link link{Link::mgmt};
  std::vector<std::uint8_t> bytes;
};

struct BeatEvents {
  std::function<void(Datagram)> datagram;
};

class Beats {
 public:
  // Sends now, never blocks. A failure (link down, no route) is counted, not reported: silence is
  // what the other side judges.
  virtual void send(HostId to, Link link, std::span<const std::uint8_t> bytes) = 0;

 protected:
  ~Beats() = default;
};

}  // namespace wardom::port
