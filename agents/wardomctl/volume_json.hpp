// The state volume's geometry and records as JSON. Unknown values are null. Pure.
#pragma once

#include <boost/json.hpp>
#include <string>

#include "libha/core/records.hpp"
#include "libha/wire/layout.hpp"

namespace wardom::ctl {

// The sums of the lease rule for a volume's profile.
struct Sums {
  std::int64_t d_ms;       // D: silence that proves a lease expired
  std::int64_t starts_ms;  // D + L_late: when guests of a host without power proof may start
  std::int64_t kills_ms;   // 3/4 T_F: an outage of the volume kills guests
  std::int64_t resets_ms;  // T_F + W: and by then resets their host
};
Sums sums_of(const Geometry& geometry);

boost::json::object geometry_json(const std::string& path, const Geometry& geometry);
boost::json::object use_json(const VolumeState& state);
// Whose a guest is and where it stands, as one entry of a host's table says.
boost::json::object standing_json(const GuestEntry& guest);
// Every field of a cell's payload; null where it is malformed.
boost::json::value record_json(Region region, wire::View payload, Level level);
// Which host, domain or copy a cell belongs to, as keys "host" and "domain".
void add_owner(boost::json::object& to, const Geometry& geometry, const Cell& cell);
std::string to_hex_text(wire::View bytes);

const char* text_of(SlotState state);
const char* text_of(Proof proof);
const char* text_of(GuestPhase phase);

}  // namespace wardom::ctl
