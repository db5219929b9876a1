// Evidence made by hand: a domain of three as host 1 sees it.
#pragma once

#include "libha/core/evidence.hpp"

namespace wardom::core::sample {

using std::chrono::milliseconds;
using std::chrono::seconds;

inline constexpr HostId kSelf{1};
inline constexpr HostId kPeer{2};
inline constexpr HostId kThird{3};

inline Instant at(std::int64_t ms) { return Instant{seconds{100} + milliseconds{ms}}; }

inline Incarnation boot(std::uint64_t number) {
  Incarnation incarnation{number, {}};
  incarnation.id.bytes[0] = static_cast<std::uint8_t>(number);
  return incarnation;
}

inline Beat beat(HostId from, Link link, std::uint64_t sequence, std::uint64_t number = 5,
                 std::uint64_t run = 9) {
  Beat beat;
  beat.from = from;
  beat.incarnation = boot(number);
  beat.link = link;
  beat.sequence = Sequence{sequence};
  beat.run = run;
  return beat;
}

inline CellSeen slot(HostId host, std::uint64_t sequence, std::uint64_t number = 5,
                     std::uint64_t progress = 1, Duration up = seconds{1000}) {
  Slot content;
  content.state = SlotState::up;
  content.machine_id.bytes[0] = static_cast<std::uint8_t>(host.value);
  content.boot_id.bytes[0] = static_cast<std::uint8_t>(number);
  content.raw_ns = static_cast<std::uint64_t>(up.count());
  content.daemon_progress = progress;
  CellSeen seen;
  seen.cell = {Region::slot, host.value};
  seen.health = CellHealth::valid;
  seen.writer = host;
  seen.incarnation = boot(number);
  seen.sequence = Sequence{sequence};
  seen.content = content;
  return seen;
}

inline Evidence domain() { return Evidence({kSelf, kPeer, kThird}, kSelf, Timing{}); }

}  // namespace wardom::core::sample
