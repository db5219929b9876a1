#include "agents/wardomctl/volume_json.hpp"

#include <chrono>

#include "libha/core/guest_life.hpp"
#include "libha/core/timing.hpp"
#include "libha/wire/ballot.hpp"
#include "libha/wire/decision.hpp"
#include "libha/wire/slot.hpp"
#include "libha/wire/superblock.hpp"
#include "libha/wire/table.hpp"

namespace wardom::ctl {
namespace {

namespace json = boost::json;

double to_s(std::int64_t ms) { return static_cast<double>(ms) / 1000; }

json::value host_json(HostId host) {
  return host == kNoHost ? json::value() : json::value(host.value);
}

json::value recovery_json(const RecoveryId& recovery) {
  return recovery.is_zero() ? json::value() : json::value(to_hex(recovery));
}

// Positions of members within their domain, sorted by id, from 0.
json::array members_json(const MemberSet& set) {
  json::array out;
  for (std::size_t i = 0; i < set.size(); ++i)
    if (set.test(i)) out.push_back(i);
  return out;
}

const char* cause_text(Cause cause) {
  switch (cause) {
    case Cause::protect:
      return "protect";
    case Cause::verdict:
      return "verdict";
    case Cause::retry:
      return "retry";
    case Cause::operator_word:
      return "operator";
    case Cause::yielded:
      return "yielded";
    case Cause::start:
      return "start";
    case Cause::migrate:
      return "migrate";
  }
  return "?";
}

json::object superblock_json(const wire::Superblock& superblock) {
  auto out = geometry_json("", superblock.geometry);
  out.erase("path");
  out["use"] = use_json(superblock.state);
  return out;
}

json::object slot_json(const Slot& s) {
  return {{"name", s.host_name},
          {"state", text_of(s.state)},
          {"boot_id", to_uuid(s.boot_id)},
          {"machine_id", to_hex(s.machine_id)},
          {"dmi_uuid", s.dmi_uuid.is_zero() ? json::value() : json::value(to_uuid(s.dmi_uuid))},
          {"raw_ns", s.raw_ns},
          {"t_f_s", to_s(s.t_f_ms)},
          // No watchdog is fed: the host publishes no lease.
          {"w_s", s.w_ms == 0 ? json::value() : json::value(to_s(s.w_ms))},
          {"w_fingerprint", s.w_fingerprint},
          {"daemon_epoch", s.daemon_epoch.value},
          {"daemon_progress", s.daemon_progress},
          {"votes_under", s.votes_under.value},
          {"held", s.held == 0 ? json::value() : json::value(s.held)},
          {"reaches", s.reaches},
          {"sees_mgmt", members_json(s.sees_mgmt)},
          {"sees_storage", members_json(s.sees_storage)},
          {"sees_disk", members_json(s.sees_disk)},
          {"load",
           {{"cpu_permille", s.load.cpu_permille},
            {"cpus", s.load.cpus},
            {"memory_total_mib", s.load.memory_total_mib},
            {"memory_free_mib", s.load.memory_free_mib}}}};
}

json::object verdict_json(const Verdict& v) {
  return {{"host", v.host.value},
          {"incarnation", to_text(v.incarnation)},
          {"proof", text_of(v.proof)},
          {"lock_version", v.version.value},
          {"recovery", recovery_json(v.recovery)},
          {"first_sign_ms", v.first_sign.ms},
          {"judged_ms", v.judged.ms},
          {"detail", v.detail}};
}

json::object assignment_json(const Assignment& a) {
  json::array ended;
  for (const auto& e : a.ended)
    ended.push_back({{"host", e.host.value},
                     {"incarnation", to_text(e.incarnation)},
                     {"generation", e.generation.value}});
  return {{"guest", to_uuid(a.guest)},
          {"generation", a.generation.value},
          {"to", a.target.value},
          {"incarnation", to_text(a.target_incarnation)},
          {"daemon_epoch", a.target_epoch.value},
          {"lock_version", a.version.value},
          {"cause", cause_text(a.cause)},
          {"from", host_json(a.from)},
          {"from_incarnation",
           a.from == kNoHost ? json::value() : json::value(to_text(a.from_incarnation))},
          {"recovery", recovery_json(a.recovery)},
          {"priority", a.priority},
          {"ended", std::move(ended)}};
}

json::value value_json(const LockValue& value, bool present) {
  if (!present) return nullptr;
  json::array directory;
  for (const auto& one : value.directory)
    directory.push_back(
        {{"host", one.host.value}, {"guardian", one.guardian}, {"weight", one.weight}});
  return json::object{{"host", value.owner.host.value},
                      {"incarnation", to_text(value.owner.incarnation)},
                      {"daemon_epoch", value.owner.epoch.value},
                      {"directory", std::move(directory)}};
}

json::object ballot_json(const Ballot& b) {
  return {{"lock_version", b.decided.value},
          {"owner", value_json(b.value, b.decided != LockVersion{})},
          {"released", b.released},
          {"ballot_version", b.version.value},
          {"mbal", b.mbal.value},
          {"bal", b.bal.value},
          {"proposed", value_json(b.input, b.bal != BallotNumber{})}};
}

json::object decision_json(const Decision& d) {
  json::array verdicts, assignments;
  for (const auto& v : d.verdicts) verdicts.push_back(verdict_json(v));
  for (const auto& a : d.assignments) assignments.push_back(assignment_json(a));
  json::value disarmed = nullptr;
  if (d.disarmed)
    disarmed = json::object{{"by", d.disarmed->by},
                            {"since_ms", d.disarmed->since.ms},
                            {"left_ms", d.disarmed->left.count()}};
  json::array groups;
  for (const auto& group : d.groups) {
    json::array hosts;
    for (HostId host : group) hosts.push_back(host.value);
    groups.push_back(std::move(hosts));
  }
  json::array liars;
  for (const auto& liar : d.lying_bmcs)
    liars.push_back({{"host", liar.host.value}, {"incarnation_number", liar.boot},
                     {"lies", liar.lies()}});
  return {{"lock_version", d.version.value},
          {"domain", d.domain.value},
          {"lying_bmcs", std::move(liars)},
          {"split_groups", std::move(groups)},
          {"disarmed", std::move(disarmed)},
          {"verdicts", std::move(verdicts)},
          {"assignments", std::move(assignments)}};
}

json::object table_json(const HostTable& table) {
  json::array guests;
  for (const auto& g : table.guests) {
    auto guest = standing_json(g);
    guest["memory_kib"] = g.memory_kib;
    guest["vcpus"] = g.vcpus;
    guest["lock_version"] = g.under.value;
    guest["recovery"] = recovery_json(g.recovery);
    guest["since_ms"] = g.since.ms;
    guest["reason"] = g.reason;
    guest["waived"] = json::value_from(g.waived);
    guest["xml"] = g.xml;
    guests.push_back(std::move(guest));
  }
  return {{"guests", std::move(guests)}};
}

// null: malformed.
template <class Record, class ToJson>
json::value decoded(const Result<Record>& record, ToJson to_json) {
  return record ? json::value(to_json(record.value())) : json::value();
}

json::value hand_over_json(const std::optional<HandOver>& way) {
  if (!way) return nullptr;
  return json::object{{"other", way->other.value},
                      {"generation", way->generation.value},
                      {"done", way->done}};
}

}  // namespace

json::object standing_json(const GuestEntry& guest) {
  return {{"name", guest.name},
          {"uuid", to_uuid(guest.guest)},
          {"generation", guest.generation.value},
          {"phase", text_of(guest.phase)},
          {"holder", to_text(guest.holder)},
          {"wanted", guest.wanted == Wanted::running ? "running" : "stopped"},
          {"manager", guest.manager == Manager::pacemaker ? "pacemaker" : "wardom"},
          {"isolation", guest.isolation ? json::value(core::to_text(*guest.isolation))
                                        : json::value()},
          {"parting", guest.parting},
          {"hand_over", hand_over_json(guest.hand_over)},
          {"priority", guest.priority}};
}

const char* text_of(SlotState state) {
  switch (state) {
    case SlotState::joining:
      return "joining";
    case SlotState::up:
      return "up";
    case SlotState::left:
      return "left";
    case SlotState::released:
      return "released";
  }
  return "?";
}

const char* text_of(Proof proof) {
  switch (proof) {
    case Proof::none:
      return "none";
    case Proof::power_off:
      return "power-off";
    case Proof::lease_expired:
      return "lease-expired";
    case Proof::rebooted:
      return "rebooted";
    case Proof::released:
      return "released";
    case Proof::operator_word:
      return "operator";
  }
  return "?";
}

const char* text_of(GuestPhase phase) {
  switch (phase) {
    case GuestPhase::assigned:
      return "assigned";
    case GuestPhase::claimed:
      return "claimed";
    case GuestPhase::starting:
      return "starting";
    case GuestPhase::holding:
      return "holding";
    case GuestPhase::yielded:
      return "yielded";
    case GuestPhase::refused:
      return "refused";
    case GuestPhase::claimed_incoming:
      return "claimed-incoming";
  }
  return "?";
}

Sums sums_of(const Geometry& g) {
  Timing timing;
  timing.feed_window = std::chrono::milliseconds{g.t_f_ms};
  timing.watchdog = std::chrono::milliseconds{g.w_ms};
  const auto d = std::chrono::ceil<std::chrono::milliseconds>(lease_silence(timing)).count();
  return {d, d + g.l_late_ms, g.t_f_ms * 3 / 4, std::int64_t{g.t_f_ms} + g.w_ms};
}

json::object use_json(const VolumeState& state) {
  const char* const words[] = {"in-use", "held", "incoming", "moved"};
  return {{"state", words[static_cast<std::size_t>(state.use)]},
          {"change", state.change == 0 ? json::value() : json::value(state.change)},
          {"path", state.path.empty() ? json::value() : json::value(state.path)},
          {"by", state.by.empty() ? json::value() : json::value(state.by)}};
}

json::object geometry_json(const std::string& path, const Geometry& g) {
  const auto sums = sums_of(g);
  return {{"path", path},
          {"uuid", to_uuid(g.volume_uuid)},
          {"cluster", g.cluster},
          {"format_version", wire::kFormatVersion},
          {"formatted_ms", g.formatted.ms},
          {"hosts", g.hosts},
          {"domains", g.domains},
          {"size_bytes", wire::Layout(g).size()},
          {"table_bytes", g.table_blocks * wire::kBlockBytes},
          {"decision_bytes", g.decision_blocks * wire::kBlockBytes},
          {"profile",
           {{"t_f_s", to_s(g.t_f_ms)},
            {"w_s", to_s(g.w_ms)},
            {"d_s", to_s(sums.d_ms)},
            {"l_late_s", to_s(g.l_late_ms)},
            {"l_late_after_off_s", to_s(g.l_late_after_off_ms)},
            {"d_and_l_late_s", to_s(sums.starts_ms)},
            {"outage_kills_s", to_s(sums.kills_ms)},
            {"outage_resets_s", to_s(sums.resets_ms)}}}};
}

json::value record_json(Region region, wire::View payload, Level level) {
  switch (region) {
    case Region::superblock:
      return decoded(wire::decode_superblock(payload), superblock_json);
    case Region::slot:
      return decoded(wire::decode_slot(payload, level), slot_json);
    case Region::decision:
      return decoded(wire::decode_decision(payload, level), decision_json);
    case Region::table:
      return decoded(wire::decode_table(payload, level), table_json);
    case Region::ballot:
      return decoded(wire::decode_ballot(payload, level), ballot_json);
    case Region::directory:
      break;
  }
  return json::object{{"payload_hex", to_hex_text(payload)}};
}

void add_owner(json::object& to, const Geometry& geometry, const Cell& cell) {
  json::value host, domain;
  switch (cell.region) {
    case Region::superblock:
      break;
    case Region::directory:
      domain = cell.index;
      break;
    case Region::slot:
    case Region::decision:
    case Region::table:
      host = cell.index;
      break;
    case Region::ballot: {
      const auto owner = wire::ballot_owner(geometry, cell);
      domain = owner.domain.value;
      host = owner.host.value;
      break;
    }
  }
  to["host"] = std::move(host);
  to["domain"] = std::move(domain);
}

std::string to_hex_text(wire::View bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const auto b : bytes) {
    text += kDigits[b >> 4];
    text += kDigits[b & 15];
  }
  return text;
}

}  // namespace wardom::ctl
