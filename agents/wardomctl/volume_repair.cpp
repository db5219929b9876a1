// `wardomctl volume repair`: rewrites the damaged extents of a cell whose owner is proved dead or
// is not in the configuration. Every block has one writer for ever; the owner of this one is gone,
// and that is made sure of before a byte is written.
#include <algorithm>
#include <chrono>
#include <iostream>

#include "agents/wardomctl/table.hpp"
#include "agents/wardomctl/volume_common.hpp"
#include "agents/wardomctl/volume_json.hpp"
#include "libha/disk/survey.hpp"
#include "libha/disk/twin_writer.hpp"
#include "libha/wire/ballot.hpp"
#include "libha/wire/ballot_head.hpp"
#include "libha/wire/decision.hpp"
#include "libha/wire/slot.hpp"
#include "libha/wire/superblock.hpp"
#include "libha/wire/table.hpp"

namespace wardom::ctl {
namespace {

namespace json = boost::json;
using disk::Look;
using wire::ExtentState;
using wire::Twin;

// The extents of one cell, as they stand.
using Extents = std::vector<Look>;

Extents look_at_all(const disk::VolumeFile& volume, const Cell& cell) {
  Extents out;
  for (std::uint8_t i = 0; const auto look = disk::look_at(volume, cell, Twin{i}); ++i)
    out.push_back(*look);
  return out;
}

bool whole(const Look& look) {
  return look.fault.empty() && look.extent.state == ExtentState::valid;
}

const Look* newest_whole(const Extents& extents) {
  const Look* best = nullptr;
  for (const auto& look : extents)
    if (whole(look) && (best == nullptr || look.last_write > best->last_write)) best = &look;
  return best;
}

std::string cell_text(const Geometry& g, const Cell& cell) {
  if (cell.region == Region::superblock) return "superblock";
  if (cell.region != Region::ballot)
    return std::string(wire::to_text(cell.region)) + " of host " + std::to_string(cell.index);
  const auto owner = wire::ballot_owner(g, cell);
  return "ballot of host " + std::to_string(owner.host.value) + " in domain " +
         std::to_string(owner.domain.value);
}

// --- is the owner gone?

// What a repair may rest on; or why it may not.
struct Leave {
  bool granted{false};
  std::string because;
};

// The highest incarnation that any cell of the host shows.
Incarnation newest_incarnation(const disk::VolumeFile& volume, HostId host) {
  Incarnation newest;
  for (const auto& cell :
       {wire::slot_cell(host), wire::decision_cell(host), wire::table_cell(host)})
    for (const auto& look : look_at_all(volume, cell))
      if (whole(look)) newest = std::max(newest, look.extent.head.incarnation);
  return newest;
}

// As any cell of the host shows it.
DomainId known_domain(const disk::VolumeFile& volume, HostId host) {
  for (const auto& cell :
       {wire::slot_cell(host), wire::decision_cell(host), wire::table_cell(host)})
    for (const auto& look : look_at_all(volume, cell))
      if (whole(look)) return look.extent.head.domain;
  return {};
}

// That, or a later one that only a verdict still names.
Incarnation known_incarnation(const disk::VolumeFile& volume, const disk::Survey& survey,
                              HostId host) {
  auto newest = newest_incarnation(volume, host);
  for (const auto& [view, decision] : survey.decisions) {
    if (!decision) continue;
    for (const auto& verdict : decision->verdicts)
      if (verdict.host == host && verdict.incarnation.number > newest.number)
        newest = verdict.incarnation;
  }
  return newest;
}

// The highest level that any decision is of: every host can read it.
Level domain_level(const disk::Survey& survey) {
  Level highest = wire::spoken_levels().oldest;
  for (const auto& [view, decision] : survey.decisions)
    if (decision) highest = std::max(highest, view.level);
  return highest;
}

const Verdict* verdict_on(const disk::Survey& survey, HostId host, const Incarnation& incarnation) {
  for (const auto& [view, decision] : survey.decisions) {
    if (!decision) continue;
    for (const auto& verdict : decision->verdicts)
      if (verdict.host == host &&
          (verdict.incarnation == incarnation || verdict.incarnation.number > incarnation.number))
        return &verdict;
  }
  return nullptr;
}

Leave owner_is_gone(const VolumeOptions& options, const disk::VolumeFile& volume, HostId host) {
  const auto config = load_config(options.config);
  if (!config) return {false, config.error().message};
  if (config.value().find_host(host) == nullptr)
    return {true, "host " + std::to_string(host.value) + " is not in " + options.config};
  const auto incarnation = newest_incarnation(volume, host);
  const auto survey = disk::survey(volume);
  const auto* verdict = verdict_on(survey, host, incarnation);
  if (verdict == nullptr)
    return {false, "host " + std::to_string(host.value) + " (incarnation " + to_text(incarnation) +
                       ") is in the configuration and no verdict says that it is dead; a living "
                       "host rewrites its cells by itself, for a dead one see `wardomctl status`"};
  return {true, "incarnation " + to_text(verdict->incarnation) + " is proved dead, by " +
                    text_of(verdict->proof)};
}

// What the local wardomd hears of the host: life on either link or on disk.
std::string heard_state(const VolumeOptions& options, HostId host) {
  const auto answer = ask(options.socket, {{"do", "status"}}, kAskPatience);
  if (answer.exit_code != kDone || !answer.result.is_object()) return {};
  const auto* hosts = answer.result.get_object().if_contains("hosts");
  if (hosts == nullptr || !hosts->is_array()) return {};
  for (const auto& one : hosts->get_array()) {
    if (!one.is_object()) continue;
    const auto* id = one.get_object().if_contains("id");
    const auto* state = one.get_object().if_contains("state");
    if (id == nullptr || state == nullptr || !id->is_number() || !state->is_string()) continue;
    if (id->to_number<std::uint64_t>() == host.value) return std::string(state->get_string());
  }
  return {};
}

bool slot_moves(const disk::VolumeFile& volume, HostId host) {
  const auto cell = wire::slot_cell(host);
  const auto marks = [&] {
    std::vector<std::pair<ExtentState, std::uint64_t>> out;
    for (const auto& look : look_at_all(volume, cell))
      out.emplace_back(look.extent.state, look.last_write.value);
    return out;
  };
  const auto first = marks();
  return watch_for(std::chrono::milliseconds{volume.geometry().t_f_ms},
                   [&] { return marks() != first; });
}

Leave no_life(const VolumeOptions& options, const disk::VolumeFile& volume, HostId host) {
  const auto state = heard_state(options, host);
  for (const char* life :
       {"alive", "daemon-down", "mgmt-lost", "storage-lost", "isolated", "split", "storage-cut"})
    if (state == life)
      return {false, "host " + std::to_string(host.value) +
                         " gives life signs: wardomd here says " + state};
  std::cerr << "wardomctl: watching slot " << host.value << " for life\n";
  if (slot_moves(volume, host))
    return {false, "host " + std::to_string(host.value) + " gives life signs: its slot moves"};
  return {true, state.empty() ? "its slot stands still; no wardomd here knows more"
                              : "its slot stands still and wardomd here says " + state};
}

// What this release cannot read may say that the host lives, under a later incarnation.
std::string not_understood(const disk::VolumeFile& volume, HostId host) {
  constexpr const char* kAdvice = " was written by another version of Wardom; use that version's "
                                  "programs";
  for (const auto& [view, decision] : disk::survey(volume).decisions)
    if (view.state == ExtentState::unknown_version) return wire::to_text(view.cell) + kAdvice;
  const auto& g = volume.geometry();
  std::vector<Cell> cells{wire::slot_cell(host), wire::decision_cell(host), wire::table_cell(host)};
  for (std::uint16_t id = 1; id <= g.domains; ++id)
    cells.push_back(wire::ballot_cell(g, DomainId{id}, host));
  for (const auto& cell : cells)
    for (const auto& look : look_at_all(volume, cell))
      if (look.extent.state == ExtentState::unknown_version) return cell_text(g, cell) + kAdvice;
  return {};
}

// --- what to write

struct Repair {
  Cell cell;
  std::vector<std::uint8_t> twins;  // to be written
  wire::Head head;
  wire::Bytes payload;
  std::string what;  // for people
};

Sequence highest(const Extents& extents) {
  Sequence most;
  for (const auto& look : extents) most = std::max(most, look.last_write);
  return most;
}

// A torn ballot: its body, which holds no more than the directory of the value that is proposed, is
// of another write or fails its check. The rest stands in the head.
struct TornBallot {
  Ballot ballot;     // without that value
  bool interrupted;  // the body is another write's: this one never ended, nobody counted on it
};

std::optional<TornBallot> torn_ballot(const disk::VolumeFile& volume, const Look& look) {
  if (look.extent.state != ExtentState::torn || look.extent.head.sequence == Sequence{})
    return std::nullopt;
  disk::Buffer block(wire::kBlockBytes);
  if (!volume.io()->read(look.offset, block.bytes())) return std::nullopt;
  const wire::View bytes = block.bytes();
  wire::Reader body(bytes.subspan(wire::kHeadBytes));
  const bool interrupted = Sequence{body.u64()} != look.extent.head.sequence;
  auto ballot =
      wire::decode_ballot_head(bytes.subspan(wire::kHeadFieldBytes, wire::kHeadPayload),
                               look.extent.head.level);
  if (!ballot) return std::nullopt;
  return TornBallot{ballot.value(), interrupted};
}

struct Content {
  wire::Head head;
  wire::Bytes payload;
  std::string what;
};

// What a host has promised or proposed for the lock is never taken back: not to zeros, and to no
// older number where a newer one can be read. nullopt: it cannot be told what that was.
std::optional<Content> ballot_content(const disk::VolumeFile& volume, const Extents& extents) {
  const Look* const good = newest_whole(extents);
  for (const auto& look : extents) {
    if (good != nullptr && look.extent.head.sequence <= good->extent.head.sequence) continue;
    const auto torn = torn_ballot(volume, look);
    if (!torn) continue;
    if (!torn->interrupted || good == nullptr) return std::nullopt;
    auto ballot = torn->ballot;
    const auto before = wire::decode_ballot(good->extent.payload, good->extent.head.level).value();
    if (before.version == ballot.version) {
      ballot.bal = before.bal;
      ballot.input = before.input;
    }
    const auto payload = wire::encode_ballot(ballot, look.extent.head.level);
    if (!payload) return std::nullopt;
    return Content{look.extent.head, payload.value(),
                   "the head of the newest write, sequence " +
                       std::to_string(look.extent.head.sequence.value) +
                       ", with the value that the write before it proposes"};
  }
  if (good == nullptr) return std::nullopt;
  const bool unseen = std::any_of(extents.begin(), extents.end(), [](const Look& look) {
    return look.extent.state != ExtentState::valid && look.extent.state != ExtentState::torn;
  });
  return Content{good->extent.head, good->extent.payload,
                 "a copy of the newest write that is whole, sequence " +
                     std::to_string(good->last_write.value) +
                     (unseen ? "; if the other extent held a newer one, that is lost" : "")};
}

std::string lost_ballot(const std::string& name, HostId host) {
  const auto id = std::to_string(host.value);
  return "neither extent of the " + name +
         " tells what that host has promised and proposed; anything else in its place could let "
         "one version of the domain lock be decided twice. As long as the lock's owner lives "
         "nothing is missing, but nobody can take the lock from it. Keep host " + id +
         " out: switch it off and confirm that (`wardomctl host confirm-dead`), so that its guests "
         "are recovered while the owner lives. Then stop the cluster and format the volume anew";
}

// The newest whole extent once more, or else a record that says nothing. The sequence goes far
// above everything that may have been read of the lost write; a slot's does not, since a slot that
// grows is a sign of life. nullopt: a ballot that is lost.
std::optional<Repair> plan(const disk::VolumeFile& volume, const Cell& cell,
                           const Extents& extents) {
  Repair repair{cell, {}, {}, {}, {}};
  for (std::uint8_t i = 0; i < extents.size(); ++i) {
    const bool damaged = !extents[i].fault.empty();
    const bool missing = cell.region == Region::superblock && !whole(extents[i]);
    if (damaged || missing) repair.twins.push_back(i);
  }
  if (cell.region == Region::ballot) {
    auto content = ballot_content(volume, extents);
    if (!content) return std::nullopt;
    repair.head = content->head;
    repair.head.sequence.value = highest(extents).value + disk::kUnknownSequenceGap;
    repair.payload = std::move(content->payload);
    repair.what = std::move(content->what);
    return repair;
  }
  if (const Look* good = newest_whole(extents)) {
    repair.head = good->extent.head;
    repair.payload = good->extent.payload;
    repair.what = "a copy of the newest write that is whole, sequence " +
                  std::to_string(good->last_write.value);
    if (cell.region == Region::decision || cell.region == Region::table)
      repair.head.sequence.value = highest(extents).value + disk::kUnknownSequenceGap;
    return repair;
  }
  const HostId host{static_cast<std::uint16_t>(cell.index)};
  wire::Head head;
  head.volume = volume.geometry().volume_uuid;
  head.cell = cell;
  head.writer = host;
  head.sequence = Sequence{highest(extents).value + disk::kUnknownSequenceGap};
  const auto survey = disk::survey(volume);
  head.incarnation = known_incarnation(volume, survey, host);
  head.level = domain_level(survey);
  head.speaks = {head.level, head.level};
  head.domain = known_domain(volume, host);
  const auto capacity = wire::extent_payload(volume.layout().blocks(cell.region));
  switch (cell.region) {
    case Region::slot: {
      Slot left;
      left.state = SlotState::left;
      repair.payload = wire::encode_slot(left, head.level);
      repair.what = "\"left\"; the host may join again";
      break;
    }
    case Region::decision: {
      Decision nothing;
      nothing.level = head.level;
      repair.payload = wire::encode_decision(nothing, capacity).value();
      repair.what = "an empty decision; verdicts and assignments that stood only here are lost";
      break;
    }
    case Region::table:
      repair.payload = wire::encode_table({}, capacity, head.level).value();
      repair.what = "an empty table; guests that stood only here are no longer known";
      break;
    case Region::superblock:  // one that is whole was found, or the volume would not be open
    case Region::directory:
    case Region::ballot:
      return std::nullopt;
  }
  repair.head = head;
  return repair;
}

Result<void> write_one(const disk::VolumeFile& volume, const Repair& repair, Twin twin) {
  const auto at = *volume.layout().offset(repair.cell, twin);
  auto head = repair.head;
  head.twin = twin;
  const auto image = wire::encode_extent(head, repair.payload);
  if (auto done = disk::write_image(*volume.io(), at, image); !done) return done;
  const auto look = disk::look_at(volume, repair.cell, twin);
  if (!look->fault.empty())
    return failure("offset " + std::to_string(at) + " was written and is still " + look->fault +
                   "; the storage does not keep what it acknowledges");
  return success();
}

bool typed(const std::string& words) {
  std::cerr << "type \"" << words << "\" to go on: " << std::flush;
  std::string line;
  std::getline(std::cin, line);
  return line == words;
}

// kDone: the cell is damaged, and may be rewritten as far as its blocks tell.
int may_rewrite(const std::string& name, const Cell& cell, const Extents& extents) {
  for (const auto& look : extents)
    if (look.extent.state == ExtentState::unknown_version)
      return refuse_repair(
          name + " was written by another version of Wardom; use that version's programs");
  const bool damaged = std::any_of(extents.begin(), extents.end(), [&](const Look& look) {
    return !look.fault.empty() || (cell.region == Region::superblock && !whole(look));
  });
  if (damaged) return kDone;
  return fail(kFailed, name + " is whole: nothing to repair");
}

int carry_out(const VolumeOptions& options, const disk::VolumeFile& volume, const Repair& repair,
              const std::string& name, const std::string& because) {
  json::array offsets;
  for (const auto twin : repair.twins)
    offsets.push_back(*volume.layout().offset(repair.cell, Twin{twin}));
  json::object entry{{"do", "volume-repair"},
                     {"path", options.path},
                     {"uuid", to_uuid(volume.geometry().volume_uuid)},
                     {"cell", name},
                     {"offsets", std::move(offsets)},
                     {"because", because},
                     {"writes", repair.what}};
  const auto write_all = [&]() -> Result<void> {
    for (const auto twin : repair.twins)
      if (auto done = write_one(volume, repair, Twin{twin}); !done) return done;
    return success();
  };
  return repair_on_record(options, std::move(entry), name, write_all,
                          name + " is rewritten: " + repair.what);
}

}  // namespace

int volume_repair(const VolumeOptions& options) {
  if (wire::region_named(options.region) == Region::superblock)
    if (const auto code = settle_contradiction(options)) return *code;
  const auto opened = open_volume(options, disk::Access::read_write);
  if (!opened) return fail(kFailed, opened.error().message);
  const auto& volume = *opened.value().volume;
  if (volume.state().use != VolumeUse::in_use)
    return refuse_repair(options.path +
                         " is being moved or changed, or was; see `wardomctl volume show`");
  const auto region = *wire::region_named(options.region);
  if (region == Region::directory)
    return refuse_repair(
        "directory cells are hints, which the holder of the domain's lock writes anew");
  const auto cell = named_cell(options, region, volume.geometry());
  if (!cell || !volume.layout().offset(*cell, wire::kTwinA))
    return fail(kUsage, "name one cell of the volume: --host, and for a ballot --domain too");
  const auto name = cell_text(volume.geometry(), *cell);
  const auto extents = look_at_all(volume, *cell);
  if (const int code = may_rewrite(name, *cell, extents); code != kDone) return code;
  const auto repair = plan(volume, *cell, extents);
  if (!repair) return refuse_repair(lost_ballot(name, HostId{options.host}));
  std::string because = "the other copies are whole";
  if (region != Region::superblock) {
    const HostId host{options.host};
    if (const auto why = not_understood(volume, host); !why.empty()) return refuse_repair(why);
    const auto gone = owner_is_gone(options, volume, host);
    if (!gone.granted) return refuse_repair(gone.because);
    const auto silent = no_life(options, volume, host);
    if (!silent.granted) return refuse_repair(silent.because);
    because = gone.because + "; " + silent.because;
  }
  std::cerr << name << ":\n";
  for (std::size_t i = 0; i < extents.size(); ++i)
    std::cerr << "  extent " << i << " at offset " << extents[i].offset << ": "
              << (extents[i].fault.empty() ? wire::to_text(extents[i].extent.state)
                                           : printable(extents[i].fault))
              << "\n";
  std::cerr << because << "\nwill be written: " << repair->what << "\n";
  if (!typed("repair " + name)) return refuse_repair("not confirmed");
  if (const auto now = disk::read_superblocks(*volume.io(), options.path);
      now && now.value().state.use != VolumeUse::in_use)
    return refuse_repair(options.path + " is being moved or changed now");
  const auto again = look_at_all(volume, *cell);
  for (std::size_t i = 0; i < extents.size(); ++i)
    if (again[i].last_write != extents[i].last_write)
      return refuse_repair("somebody has written " + name + " meanwhile");
  return carry_out(options, volume, *repair, name, because);
}

}  // namespace wardom::ctl
