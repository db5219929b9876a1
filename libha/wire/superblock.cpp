#include "libha/wire/superblock.hpp"

#include "libha/core/check.hpp"
#include "libha/wire/block.hpp"
#include "libha/wire/layout.hpp"
#include "libha/wire/slot.hpp"

namespace wardom::wire {

Bytes encode_superblock(const Superblock& superblock) {
  const auto& [g, state] = superblock;
  WARDOM_CHECK(state.path.size() <= kMaxVolumePathBytes);
  Writer out;
  out.bits(g.volume_uuid);
  out.u32(g.hosts);
  out.u32(g.domains);
  out.u32(g.decision_blocks);
  out.u32(g.table_blocks);
  out.u32(g.t_f_ms);
  out.u32(g.w_ms);
  out.u32(g.l_late_ms);
  out.u32(g.l_late_after_off_ms);
  out.i64(g.formatted.ms);
  out.text8(g.cluster);
  out.u8(static_cast<std::uint8_t>(state.use));
  out.u64(state.change);
  out.text8(state.path);
  out.text8(std::string_view(state.by).substr(0, kMaxHostNameBytes));
  out.bits(state.boot_id);
  WARDOM_CHECK(out.size() <= kHeadPayload);
  return out.take();
}

Result<Superblock> decode_superblock(View payload) {
  Reader in(payload);
  Superblock superblock;
  auto& [g, state] = superblock;
  g.volume_uuid = in.bits();
  g.hosts = in.u32();
  g.domains = in.u32();
  g.decision_blocks = in.u32();
  g.table_blocks = in.u32();
  g.t_f_ms = in.u32();
  g.w_ms = in.u32();
  g.l_late_ms = in.u32();
  g.l_late_after_off_ms = in.u32();
  g.formatted = WallTime{in.i64()};
  g.cluster = in.text8(kMaxClusterNameBytes);
  state.use = in.enumeration(VolumeUse::moved);
  state.change = in.u64();
  state.path = in.text8(kMaxVolumePathBytes);
  state.by = in.text8(kMaxHostNameBytes);
  state.boot_id = in.bits();
  const bool two = state.use == VolumeUse::incoming || state.use == VolumeUse::moved;
  const bool known = state.use == VolumeUse::in_use
                         ? state == VolumeState{}
                         : state.change != 0 && (!two || !state.path.empty());
  if (!known) in.fail();
  if (!in.complete()) return failure("superblock: malformed");
  if (auto ok = check_geometry(g); !ok) return failure("superblock: " + ok.error().message);
  for (auto ms : {g.t_f_ms, g.w_ms, g.l_late_ms, g.l_late_after_off_ms})
    if (ms > kMaxTimeMs) return failure("superblock: a time is longer than an hour");
  return superblock;
}

}  // namespace wardom::wire
