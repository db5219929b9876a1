// `wardomctl volume repair --region superblock` where the superblocks contradict each other: says
// what each of them says and what it leads to, and asks which one holds. No cell is written.
//
// The superblocks of one volume are written one after the other, with growing sequences, so that
// the newest one says what was done last, or was being done: hosts may have followed it, and an
// older one would undo that under them. Of two volumes, one was formatted over the other: the one
// that hosts live on holds; where none live on either, a person has to say.
#include <algorithm>
#include <iostream>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "agents/wardomctl/table.hpp"
#include "agents/wardomctl/volume_common.hpp"
#include "agents/wardomctl/volume_json.hpp"
#include "libha/disk/survey.hpp"
#include "libha/wire/superblock.hpp"

namespace wardom::ctl {
namespace {

namespace json = boost::json;
using disk::SuperblockCopies;
using disk::SuperblockCopy;
using wire::ExtentState;

// The cells that are that volume's own.
struct Found {
  std::size_t cells{0};
  std::set<std::string> hosts;
  bool moves{false};  // a slot
};

using Marks = std::vector<std::pair<ExtentState, std::uint64_t>>;

Marks marks_of(const disk::VolumeFile& volume) {
  Marks marks;
  for (const auto& cell : disk::cells_in_use(volume, Region::slot))
    for (const auto twin : {wire::kTwinA, wire::kTwinB})
      if (const auto look = disk::look_at(volume, cell, twin))
        marks.emplace_back(look->extent.state, look->last_write.value);
  return marks;
}

Found look_at(const disk::VolumeFile& volume) {
  Found found;
  const auto survey = disk::survey(volume);
  const auto count = [&](const auto& list) {
    found.cells += static_cast<std::size_t>(std::count_if(
        list.begin(), list.end(), [](const auto& one) { return one.record.has_value(); }));
  };
  count(survey.slots);
  count(survey.ballots);
  count(survey.decisions);
  count(survey.tables);
  for (const auto& [view, slot] : survey.slots)
    if (slot) found.hosts.insert(printable(slot->host_name));
  return found;
}

class Contradiction {
 public:
  Contradiction(const VolumeOptions& options, std::shared_ptr<disk::BlockIo> io,
                SuperblockCopies copies)
      : options_(options), io_(std::move(io)), copies_(std::move(copies)) {}

  int settle() {
    for (const auto& copy : copies_)
      if (copy.state == ExtentState::unknown_version)
        return refuse_repair("a superblock was written by another version of Wardom; use that "
                             "version's programs");
      else if (copy.state == ExtentState::unreadable)
        return refuse_repair("a superblock cannot be read: " + copy.trouble);
    look();
    tell();
    const auto chosen = asked();
    if (!chosen) return refuse_repair("not confirmed");
    if (const auto why = objection(*chosen); !why.empty()) return refuse_repair(why);
    return write(*chosen);
  }

 private:
  static Bits128 uuid_of(const SuperblockCopy& copy) { return copy.said->geometry.volume_uuid; }

  // By uuid: the same volume may have been given other lease times, its cells stay where they are.
  void look() {
    std::vector<std::pair<disk::VolumeFile, Marks>> watched;
    std::uint32_t longest = 0;
    for (const auto& copy : copies_) {
      if (!copy.said) continue;
      if (wire::Layout(copy.said->geometry).size() > io_->size()) continue;
      auto volume = disk::VolumeFile::supposed(io_, *copy.said);
      longest = std::max(longest, copy.said->geometry.t_f_ms);
      if (!found_.contains(uuid_of(copy))) found_[uuid_of(copy)] = look_at(volume);
      auto marks = marks_of(volume);
      watched.emplace_back(std::move(volume), std::move(marks));
    }
    std::cerr << "wardomctl: watching the slots for life\n";
    watch_for(std::chrono::milliseconds{longest}, [&] {
      for (const auto& [volume, marks] : watched)
        if (marks_of(volume) != marks) found_[volume.geometry().volume_uuid].moves = true;
      return false;  // all of them are looked at to the end
    });
  }

  void tell() const {
    std::cerr << options_.path << ": its superblocks contradict each other\n";
    for (std::size_t i = 0; i < copies_.size(); ++i) {
      const auto& copy = copies_[i];
      std::cerr << "  copy " << i << " at offset " << copy.offset << ": ";
      if (!copy.said) {
        std::cerr << printable(copy.trouble) << "\n";
        continue;
      }
      const auto& g = copy.said->geometry;
      std::cerr << "volume " << to_uuid(g.volume_uuid) << " of cluster " << printable(g.cluster)
                << ", " << g.hosts << " hosts, " << g.domains << " domains, T_F " << g.t_f_ms
                << " ms, W " << g.w_ms << " ms; " << use_text(copy.said->state)
                << "; written as number " << copy.sequence.value << "\n";
      const auto found = found_.find(uuid_of(copy));
      if (found == found_.end()) {
        std::cerr << "    larger than what it stands on\n";
        continue;
      }
      std::cerr << "    leads to " << found->second.cells << " cells of its own";
      for (bool first = true; const auto& host : found->second.hosts)
        std::cerr << (std::exchange(first, false) ? ", of " : ", ") << host;
      std::cerr << (found->second.moves ? "; hosts live on it" : "; nobody writes to it") << "\n";
    }
  }

  static std::string use_text(const VolumeState& state) {
    switch (state.use) {
      case VolumeUse::in_use: return "in use";
      case VolumeUse::held: return "held for a change";
      case VolumeUse::incoming: return "being filled from " + printable(state.path);
      case VolumeUse::moved: return "moved to " + printable(state.path);
    }
    return "?";
  }

  static std::optional<std::size_t> asked() {
    std::cerr << "type \"copy N\" for the one that holds; the others will say the same: "
              << std::flush;
    std::string line;
    std::getline(std::cin, line);
    for (std::size_t i = 0; i < wire::kSuperblockCopies; ++i)
      if (line == "copy " + std::to_string(i)) return i;
    return std::nullopt;
  }

  std::string objection(std::size_t chosen) const {
    const auto& copy = copies_[chosen];
    const auto name = "copy " + std::to_string(chosen);
    if (!copy.said) return name + " is " + printable(copy.trouble);
    const auto own = found_.find(uuid_of(copy));
    if (own == found_.end()) return name + " is of a volume larger than what it stands on";
    for (const auto& [uuid, found] : found_)
      if (uuid != own->first && found.moves)
        return "hosts live on volume " + to_uuid(uuid) + ": choose a copy of that one";
    for (std::size_t i = 0; i < copies_.size(); ++i) {
      const auto& other = copies_[i];
      if (!other.said || i == chosen || uuid_of(other) != own->first) continue;
      if (other.sequence > copy.sequence)
        return "copy " + std::to_string(i) + " of the same volume was written later, and hosts may "
               "have followed it: choose that one";
      if (other.sequence == copy.sequence && own->second.moves)
        return "it cannot be told which of two copies was written later, and hosts live on the "
               "volume: stop wardom-keeper on all hosts first";
    }
    return {};
  }

  json::value copy_json(std::size_t number) const {
    const auto& copy = copies_[number];
    json::object out{{"copy", number}, {"offset", copy.offset}, {"sequence", copy.sequence.value}};
    if (!copy.said) {
      out["trouble"] = copy.trouble;
      return out;
    }
    out["geometry"] = geometry_json(options_.path, copy.said->geometry);
    out["use"] = use_json(copy.said->state);
    return out;
  }

  int write(std::size_t chosen) const {
    const auto now = disk::superblock_copies(*io_);
    for (std::size_t i = 0; i < now.size(); ++i)
      if (now[i].said != copies_[i].said || now[i].sequence != copies_[i].sequence)
        return refuse_repair("somebody has written a superblock meanwhile");
    json::array were;
    for (std::size_t i = 0; i < copies_.size(); ++i) were.push_back(copy_json(i));
    json::object entry{{"do", "volume-repair"},
                       {"path", options_.path},
                       {"uuid", to_uuid(uuid_of(copies_[chosen]))},
                       {"cell", "superblock"},
                       {"because", "a person chose copy " + std::to_string(chosen)},
                       {"were", std::move(were)}};
    return repair_on_record(
        options_, std::move(entry), options_.path,
        [&] { return disk::settle_superblocks(*io_, copies_, chosen); },
        "all superblocks say what copy " + std::to_string(chosen) + " said");
  }

  const VolumeOptions& options_;
  std::shared_ptr<disk::BlockIo> io_;
  SuperblockCopies copies_;
  std::map<Bits128, Found> found_;
};

}  // namespace

std::optional<int> settle_contradiction(const VolumeOptions& options) {
  auto io = disk::open_direct(options.path, disk::Access::read_write);
  if (!io) return fail(kFailed, io.error().message);
  const std::shared_ptr<disk::BlockIo> shared = std::move(io).value();
  auto copies = disk::superblock_copies(*shared);
  if (!disk::contradict(copies)) return std::nullopt;
  return Contradiction(options, shared, std::move(copies)).settle();
}

}  // namespace wardom::ctl
