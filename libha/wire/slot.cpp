#include "libha/wire/slot.hpp"

#include <algorithm>

#include "libha/core/check.hpp"
#include "libha/wire/superblock.hpp"

namespace wardom::wire {

Bytes encode_slot(const Slot& s, Level level) {
  WARDOM_CHECK(spoken_levels().has(level));
  Writer out;
  out.u8(static_cast<std::uint8_t>(s.state));
  out.flag(s.start_listed);
  out.flag(s.rides_out);
  out.flag(s.reaches);
  out.u32(s.t_f_ms);
  out.u32(s.w_ms);
  out.u32(s.daemon_epoch.value);
  out.u64(s.w_fingerprint);
  out.u64(s.raw_ns);
  out.u64(s.daemon_progress);
  out.u64(s.votes_under.value);
  out.u64(s.held);
  out.bits(s.boot_id);
  out.bits(s.machine_id);
  out.bits(s.dmi_uuid);
  out.members(s.sees_mgmt);
  out.members(s.sees_storage);
  out.members(s.sees_disk);
  out.load(s.load);
  for (std::size_t i = 0; i < kMaxUnasked; ++i)
    out.u16(i < s.unasked.size() ? s.unasked[i].value : kNoHost.value);
  out.text8(std::string_view(s.host_name).substr(0, kMaxHostNameBytes));
  WARDOM_CHECK(out.size() <= kHeadPayload);
  return out.take();
}

Result<Slot> decode_slot(View payload, Level level) {
  if (!spoken_levels().has(level)) return failure("slot: of a level that is not spoken here");
  Reader in(payload);
  Slot s;
  s.state = in.enumeration(SlotState::released);
  s.start_listed = in.flag();
  s.rides_out = in.flag();
  s.reaches = in.flag();
  s.t_f_ms = in.u32();
  s.w_ms = in.u32();
  s.daemon_epoch = DaemonEpoch{in.u32()};
  s.w_fingerprint = in.u64();
  s.raw_ns = in.u64();
  s.daemon_progress = in.u64();
  s.votes_under = LockVersion{in.u64()};
  s.held = in.u64();
  s.boot_id = in.bits();
  s.machine_id = in.bits();
  s.dmi_uuid = in.bits();
  s.sees_mgmt = in.members();
  s.sees_storage = in.members();
  s.sees_disk = in.members();
  s.load = in.load();
  bool ended = false;
  for (std::size_t i = 0; i < kMaxUnasked; ++i) {
    const HostId host{in.u16()};
    if (host != kNoHost && ended) in.fail();
    ended = host == kNoHost;
    if (!ended) s.unasked.push_back(host);
  }
  s.host_name = in.text8(kMaxHostNameBytes);
  if (!in.complete()) return failure("slot: malformed");
  if (s.held != 0 && s.w_ms != 0) return failure("slot: holds for a change, and holds a lease");
  if (s.reaches && s.held == 0) return failure("slot: reaches a new volume, and holds for none");
  if (s.t_f_ms > kMaxTimeMs || s.w_ms > kMaxTimeMs)
    return failure("slot: a time is longer than an hour");
  return s;
}

}  // namespace wardom::wire
