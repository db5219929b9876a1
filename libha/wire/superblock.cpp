#include "libha/wire/superblock.hpp"

#include "libha/wire/layout.hpp"

namespace wardom::wire {

Bytes encode_superblock(const Geometry& g) {
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
  return out.take();
}

Result<Geometry> decode_superblock(View payload) {
  Reader in(payload);
  Geometry g;
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
  if (!in.complete()) return failure("superblock: malformed");
  if (auto ok = check_geometry(g); !ok) return failure("superblock: " + ok.error().message);
  for (auto ms : {g.t_f_ms, g.w_ms, g.l_late_ms, g.l_late_after_off_ms})
    if (ms > kMaxTimeMs) return failure("superblock: a time is longer than an hour");
  return g;
}

}  // namespace wardom::wire
