#include "agents/keeper/join.hpp"

#include <time.h>

#include <algorithm>

#include "agents/keeper/lease.hpp"
#include "agents/keeper/log.hpp"
#include "libha/core/timing.hpp"
#include "libha/proc/process.hpp"
#include "libha/wire/slot.hpp"

namespace wardom::keeper {
namespace {

using wire::ExtentState;

constexpr Duration kWatchEvery = std::chrono::milliseconds{250};
constexpr int kMaxMoves = 8;

using std::chrono::milliseconds;

// D by the found slot's own T_F and W, and no shorter than the profile's. nullopt: whoever wrote
// it held no lease, or may outlive it by the grants of hosts of which this is none, so its silence
// proves nothing.
std::optional<Duration> silence_of(const Slot& slot, const Geometry& g) {
  if (slot.t_f_ms == 0 || slot.w_ms == 0 || slot.rides_out) return std::nullopt;
  return std::max(lease_silence(milliseconds{slot.t_f_ms}, milliseconds{slot.w_ms}),
                  lease_silence(milliseconds{g.t_f_ms}, milliseconds{g.w_ms}));
}

JoinResult cannot_open(const disk::VolumeError& error) {
  switch (error.trouble) {
    // A superblock may be read while a formatter writes it, so damage can pass as well.
    case disk::Trouble::unreachable:
    case disk::Trouble::damaged: return JoinLater{error.message};
    case disk::Trouble::not_formatted:
    case disk::Trouble::unknown_version:
    case disk::Trouble::wrong_cluster:
    case disk::Trouble::wrong_uuid:
    case disk::Trouble::too_small: break;
  }
  return JoinRefused{error.message};
}

// The newest valid content of the own slot, if any.
struct SlotFound {
  ExtentState state{ExtentState::unreadable};
  Incarnation incarnation;
  Sequence sequence;
  Slot slot;
  Levels speaks;
  bool twin_lost{false};  // what stood there may have been newer
};

SlotFound newest(const disk::CellExtents& found) {
  const auto choice = wire::choose(found.twins[0], found.twins[1]);
  SlotFound out;
  out.state = choice.state;
  if (!choice.twin) return out;
  const auto& extent = found.twins[choice.twin->value];
  for (const auto& one : found.twins)
    out.twin_lost = out.twin_lost || (one.state != ExtentState::valid &&
                                      one.state != ExtentState::empty);
  out.incarnation = extent.head.incarnation;
  out.sequence = extent.head.sequence;
  out.speaks = extent.head.speaks;
  if (auto slot = wire::decode_slot(extent.payload, extent.head.level))
    out.slot = slot.value();
  else
    out.state = ExtentState::damaged;
  return out;
}

// The same machine's earlier boot. Without a DMI UUID (containers, some boards) both are zero, and
// the machine id alone decides.
bool same_machine(const Slot& slot, const Identity& identity) {
  return !identity.machine_id.is_zero() && slot.machine_id == identity.machine_id &&
         slot.dmi_uuid == identity.dmi_uuid;
}

std::string duplicate(const Options& options, const SlotFound& found) {
  return "slot " + std::to_string(options.self.value) + " is being written by another machine (\"" +
         found.slot.host_name + "\", machine id " + to_hex(found.slot.machine_id) +
         ", incarnation " + to_text(found.incarnation) +
         "); two hosts have the same id: give each its own in wardom.toml";
}

class Joiner {
 public:
  Joiner(const Options& options, const Identity& identity, const std::atomic<bool>& stop)
      : options_(options), identity_(identity), stop_(stop) {}

  JoinResult run() {
    Joined joined;
    joined.path = options_.volume_path;
    if (auto ended = open(joined)) return *ended;
    volume_ = joined.volume;
    for (const auto& warning : volume_->warnings()) log(Severity::warning, warning);
    if (options_.self.value > volume_->geometry().hosts)
      return JoinRefused{joined.path + ": has slots for host ids up to " +
                         std::to_string(volume_->geometry().hosts) + "; this host's id is " +
                         std::to_string(options_.self.value) +
                         " (volume format --hosts, or another id in wardom.toml)"};
    if (options_.domain.value > volume_->geometry().domains)
      return JoinRefused{joined.path + ": has ballots for domain ids up to " +
                         std::to_string(volume_->geometry().domains) + "; this host's domain is " +
                         std::to_string(options_.domain.value) +
                         " (volume format --domains, or another id in wardom.toml)"};
    if (const auto released = load_released(options_.run_dir, identity_.boot_id); !released)
      return JoinRefused{released.error().message};
    if (auto later = learn_in_flight(joined)) return *later;
    joined.slot = read(Region::slot);
    joined.ballot = disk::read_extents(
        *volume_->io(), volume_->geometry().volume_uuid, volume_->layout(),
        wire::ballot_cell(volume_->geometry(), options_.domain, options_.self));
    joined.decision = read(Region::decision);
    joined.table = read(Region::table);
    if (auto refused = refuse_other_versions(joined)) return *refused;
    if (auto refused = learn_level(joined)) return *refused;
    const auto found = newest(joined.slot);
    // Without the slot's number the next incarnation cannot be numbered.
    if (found.state != ExtentState::valid && found.state != ExtentState::empty)
      return JoinLater{joined.path + ": slot " + std::to_string(options_.self.value) +
                       " at offset " + std::to_string(slot_offset()) + " is " +
                       wire::to_text(found.state) +
                       "; this host cannot join until it can be read (see `wardomctl volume "
                       "check`)"};
    auto result = settle(std::move(joined), found);
    // All that took its time: what was read of the volume's use at first may be long past.
    if (std::holds_alternative<Joined>(result))
      if (const auto now = disk::read_superblocks(*volume_->io(), options_.volume_path);
          !now || now.value().state != volume_->state() ||
          now.value().geometry != volume_->geometry())
        return JoinLater{options_.volume_path + ": was changed meanwhile"};
    return result;
  }

 private:
  // A volume that was moved leads to the one that has taken its place, and that may not be in use
  // yet.
  std::optional<JoinResult> open(Joined& joined) const {
    auto uuid = options_.volume_uuid;
    std::uint64_t change = 0;
    for (int moves = 0;; ++moves) {
      auto opened = disk::VolumeFile::open(joined.path, disk::Access::read_write,
                                           {options_.cluster, uuid});
      const auto led = moves == 0 ? std::string()
                                  : options_.volume_path + ": was moved to " + joined.path + ": ";
      if (!opened && moves == 0)
        return options_.held_for || last_lease().rests
                   ? open_new(joined, opened.error().message)
                   : cannot_open(opened.error());
      if (!opened) return JoinLater{led + opened.error().message};
      const auto& state = opened.value().state();
      if (state.use == VolumeUse::moved) {
        if (moves == kMaxMoves)
          return JoinRefused{led + "was moved too, and so on; name the present one in volume.path"};
        uuid = opened.value().geometry().volume_uuid;
        change = state.change;
        joined.path = state.path;
        continue;
      }
      if (auto later = not_yet(state, change); !later.empty())
        return JoinLater{led + joined.path + ": " + later};
      joined.volume = std::make_shared<disk::VolumeFile>(std::move(opened).value());
      return std::nullopt;
    }
  }
  // This host holds, so its window rests, and the volume for which it holds is not there any more.
  // The one to which it was being moved, with the same uuid, is in use only once the move was
  // decided: then that is where the others are. Else nobody can tell, and the window rests on.
  std::optional<JoinResult> open_new(Joined& joined, const std::string& why) const {
    const auto later = [&](const std::string& more) {
      return JoinLater{
          why + "; this host holds for a change of that volume" + more +
          ": its guests run on, unprotected. If the volume was moved (`wardomctl volume show` on "
          "another host), set volume.path here to where it is now, and restart wardom-keeper; if "
          "not, mend the way to it"};
    };
    if (!options_.held_for) return later("");
    const auto& [path, uuid] = *options_.held_for;
    auto opened =
        disk::VolumeFile::open(path, disk::Access::read_write, {options_.cluster, uuid});
    if (!opened) return later(", and cannot use the new one, " + opened.error().message);
    if (opened.value().state().use != VolumeUse::in_use)
      return later(", and the new one, " + path + ", is not in use yet");
    log(Severity::notice, why + "; " + path + ", to which it was being moved, is in use");
    joined.path = path;
    joined.volume = std::make_shared<disk::VolumeFile>(std::move(opened).value());
    return std::nullopt;
  }
  // Who has no part in the volume yet waits; whoever has one says that it holds. A new volume is
  // for those whom the old one has led there. A lease that does not rest stands on the old one, and
  // nobody knows why: it ends in time.
  std::string not_yet(const VolumeState& state, std::uint64_t led_by) const {
    const bool incoming = state.use == VolumeUse::incoming;
    if (incoming && state.change != led_by)
      return "is being filled with what " + state.path + " holds, and that is in its place until "
             "then; name that one in volume.path";
    const bool has_part = load_incarnation(options_.run_dir, identity_.boot_id).has_value();
    const auto last = last_lease();
    const bool stands = last.lease && !last.rests;
    const bool may = state.use == VolumeUse::in_use || (has_part && !(incoming && stands));
    return may ? std::string() : held_text(state);
  }
  disk::CellExtents read(Region region) const {
    return disk::read_extents(*volume_->io(), volume_->geometry().volume_uuid, volume_->layout(),
                              {region, options_.self.value});
  }
  disk::Offset slot_offset() const {
    return *volume_->layout().offset(wire::slot_cell(options_.self), wire::kTwinA);
  }

  static std::string levels_text(Level level) {
    const auto& spoken = wire::spoken_levels();
    return " (format level " + std::to_string(level.value) + "; this wardom-keeper speaks " +
           std::to_string(spoken.oldest.value) + " to " + std::to_string(spoken.newest.value) + ")";
  }
  static std::string advice(Level level) {
    return level < wire::spoken_levels().oldest
               ? "install the release in between first, until `wardomctl status` shows that no "
                 "cell is of that level any more"
               : "install the release that the other hosts run";
  }

  // The highest one of the own cells, as far as they are of this domain. Of a host that has written
  // none yet the decisions tell it: its first heartbeat must be of a level that the others read.
  std::optional<JoinResult> learn_level(Joined& joined) const {
    const auto& spoken = wire::spoken_levels();
    joined.level = spoken.oldest;
    bool own = false;
    for (const auto* extents : {&joined.slot, &joined.ballot, &joined.decision, &joined.table})
      for (const auto& extent : extents->twins) {
        if (extent.state != ExtentState::valid || extent.head.domain != options_.domain) continue;
        own = true;
        joined.level = std::max(joined.level, extent.head.level);
      }
    if (own) return std::nullopt;
    const auto& g = volume_->geometry();
    std::vector<Cell> cells;
    for (std::uint16_t id = 1; id <= g.hosts; ++id)
      cells.push_back(wire::decision_cell(HostId{id}));
    std::optional<Level> domains;
    for (const auto& view :
         disk::read_cells(*volume_->io(), g.volume_uuid, volume_->layout(), cells)) {
      const bool says =
          view.state == ExtentState::valid || view.state == ExtentState::unknown_version;
      if (says && view.domain == options_.domain)
        domains = std::max(domains.value_or(view.level), view.level);
    }
    if (!domains) return std::nullopt;
    if (!spoken.has(*domains))
      return JoinRefused{options_.volume_path + ": the domain was written by another version of "
                                                "Wardom" + levels_text(*domains) + "; " +
                         advice(*domains)};
    joined.level = *domains;
    return std::nullopt;
  }

  // What is not understood is not written over.
  std::optional<JoinResult> refuse_other_versions(const Joined& joined) const {
    const auto& g = volume_->geometry();
    const std::pair<Cell, const disk::CellExtents&> cells[] = {
        {wire::slot_cell(options_.self), joined.slot},
        {wire::ballot_cell(g, options_.domain, options_.self), joined.ballot},
        {wire::decision_cell(options_.self), joined.decision},
        {wire::table_cell(options_.self), joined.table}};
    for (const auto& [cell, extents] : cells) {
      if (!wire::bars_writing(extents.twins[0], extents.twins[1])) continue;
      Level highest;
      for (const auto& extent : extents.twins)
        if (extent.state == ExtentState::unknown_version)
          highest = std::max(highest, extent.head.level);
      return JoinRefused{joined.path + ": " + wire::to_text(cell) +
                         " was written by another version of Wardom" + levels_text(highest) +
                         ", and this one writes over nothing that it does not understand; " +
                         advice(highest)};
    }
    return std::nullopt;
  }

  // A missing list means that everything may be in flight: nothing is read before it is settled.
  // What an earlier boot had submitted was submitted before this boot began.
  std::optional<JoinResult> learn_in_flight(Joined& joined) const {
    const auto& uuid = volume_->geometry().volume_uuid;
    const auto text = proc::read_file(options_.run_dir + "/" + disk::kInFlightName);
    auto list = disk::decode_in_flight(text.value_or(""), identity_.boot_id, uuid);
    if (list) {
      joined.in_flight = std::move(list).value();
      return std::nullopt;
    }
    const auto slot = read(Region::slot);
    const bool fresh = !load_incarnation(options_.run_dir, identity_.boot_id);
    const auto empty = [](const wire::Extent& e) { return e.state == ExtentState::empty; };
    if (fresh && empty(slot.twins[0]) && empty(slot.twins[1])) return std::nullopt;  // never used
    const auto late =
        counted_by_clock(std::chrono::milliseconds{volume_->geometry().l_late_ms});
    const auto until = fresh ? Instant{late} : disk::raw_now() + late;
    if (disk::raw_now() >= until) return std::nullopt;
    log(Severity::notice, "waits for " + std::to_string(whole_ms(until - disk::raw_now())) +
                              " ms, until no write of an earlier keeper can land any more");
    while (disk::raw_now() < until) {
      if (stop_) return JoinLater{"stopped"};
      pause(std::min<Duration>(kWatchEvery, until - disk::raw_now()));
    }
    return std::nullopt;
  }

  static void pause(Duration time) {
    const timespec nap{static_cast<time_t>(time / std::chrono::seconds{1}),
                       static_cast<long>((time % std::chrono::seconds{1}).count())};
    ::nanosleep(&nap, nullptr);
  }

  JoinResult settle(Joined joined, const SlotFound& found) {
    const auto kept = load_incarnation(options_.run_dir, identity_.boot_id);
    const auto& uuid = volume_->geometry().volume_uuid;
    if (kept && kept->volume == uuid && kept->self == options_.self) {
      // Nobody but this boot has used the number that it drew, so anything else at or above it
      // was written by another machine.
      if (found.state == ExtentState::valid && found.incarnation != kept->incarnation &&
          found.incarnation.number >= kept->incarnation.number)
        return JoinRefused{duplicate(options_, found)};
      joined.incarnation = kept->incarnation;
      joined.stays_up = kept->stays_up && options_.stay_up;
      joined.goes_on = true;
      joined.how = "goes on as incarnation " + to_text(joined.incarnation);
      return joined;
    }
    const auto last = last_lease();
    if (kept && (last.lease || last.rests))
      return JoinRefused{"this boot holds a lease as host " + std::to_string(kept->self.value) +
                         " on volume " + to_uuid(kept->volume) +
                         ": it cannot become another host, or use another volume, before it has "
                         "left (stop its guests, then wardomd and wardom-keeper) or rebooted"};
    const bool in_use = found.state == ExtentState::valid && found.slot.state != SlotState::left;
    // Under the next number that incarnation would count as over, and its guests may run here.
    if (in_use && !kept && same_machine(found.slot, identity_) &&
        found.slot.boot_id == identity_.boot_id)
      return JoinRefused{options_.run_dir + " knows nothing of incarnation " +
                         to_text(found.incarnation) +
                         ", as which this very boot uses the volume: it was emptied while the "
                         "host ran. Guests may run here, and nothing tells for how long they "
                         "still may; reboot this host"};
    if (in_use && !same_machine(found.slot, identity_)) {
      if (auto ended = watch(found)) return *ended;
      joined.slot = read(Region::slot);
    }
    joined.incarnation = {found.incarnation.number + 1, kept ? kept->incarnation.id
                                                             : random_bits()};
    joined.stays_up = options_.stay_up && !kept;
    joined.how = "joins as incarnation " + to_text(joined.incarnation);
    const auto saved =
        save_incarnation(options_.run_dir, {identity_.boot_id, uuid, options_.self,
                                            joined.incarnation, joined.stays_up});
    if (!saved) return JoinRefused{saved.error().message};
    return joined;
  }

  // As an earlier keeper of this boot left it; none where there was no such keeper.
  Ladder::Kept last_lease() const {
    const auto text = proc::read_file(options_.run_dir + "/window");
    const auto window = text ? decode_window(*text, identity_.boot_id) : std::nullopt;
    return window ? window->ladder : Ladder::Kept{};
  }

  // nullopt: the slot may be taken. D of silence has passed; or an operator says that its machine
  // is gone, and it has stood for T_F at least: a machine that lives moves it, unless it has lost
  // the volume, so a mistaken word is found out here.
  std::optional<JoinResult> watch(const SlotFound& found) const {
    const auto& geometry = volume_->geometry();
    const bool by_word = options_.replaces && *options_.replaces == found.slot.machine_id;
    const Duration window = std::chrono::milliseconds{geometry.t_f_ms};
    const auto d = found.twin_lost ? std::nullopt : silence_of(found.slot, geometry);
    const Duration silence = by_word ? window : d.value_or(window / 4);
    const auto last_user = "slot " + std::to_string(options_.self.value) +
                           " was last used by another machine (\"" + found.slot.host_name +
                           "\", machine id " + to_hex(found.slot.machine_id) + ")";
    const bool waits = d && !by_word;
    log(Severity::notice, last_user + (waits ? "; waits for D = " : "; looks for ") +
                              std::to_string(whole_ms(silence)) +
                              (waits ? " ms of silence before taking it"
                                     : " ms whether that still writes it"));
    // From the completion of the read that showed it to the issue of the last one: what the other
    // machine writes in between is seen by that.
    const auto since = disk::raw_now();
    for (auto issued = since; issued - since < silence;) {
      if (stop_) return JoinLater{"stopped"};
      pause(kWatchEvery);
      issued = disk::raw_now();
      const auto now = newest(read(Region::slot));
      if (now.state != ExtentState::valid)
        return JoinLater{"slot " + std::to_string(options_.self.value) + ": cannot be read (" +
                         wire::to_text(now.state) + ") while waiting for silence"};
      if (now.sequence != found.sequence || now.incarnation != found.incarnation)
        return JoinRefused{duplicate(options_, now)};
    }
    if (by_word || d) return std::nullopt;
    return JoinRefused{
        last_user + " whose silence proves nothing: it held no lease, or may live through an "
                    "outage of the volume ([volume] outage), or one extent cannot be read. If that "
                    "machine is gone for good, start the keeper once with --replaces " +
        to_hex(found.slot.machine_id) + "; else give each host its own id in wardom.toml"};
  }

  const Options& options_;
  const Identity& identity_;
  const std::atomic<bool>& stop_;
  std::shared_ptr<disk::VolumeFile> volume_;
};

}  // namespace

std::string held_text(const VolumeState& state) {
  return std::string("is held while an operator ") +
         (state.path.empty() ? "changes its lease times (`wardomctl volume profile` on "
                             : "moves it (`wardomctl volume move` on ") +
         state.by + (state.path.empty() ? "" : "; the other volume is " + state.path) +
         "): guests run on, nothing is decided; if that command is gone, run it again there, or "
         "with --abandon";
}

JoinResult join(const Options& options, const Identity& identity, const std::atomic<bool>& stop) {
  return Joiner(options, identity, stop).run();
}

std::optional<Levels> speaks_found(const disk::CellExtents& slot, const Bits128& machine_id) {
  const auto found = newest(slot);
  const bool same = found.state == ExtentState::valid && found.slot.machine_id == machine_id;
  return same ? std::optional(found.speaks) : std::nullopt;
}

LockVersion votes_found(const disk::CellExtents& slot, const Bits128& boot_id) {
  const auto found = newest(slot);
  const bool same = found.state == ExtentState::valid && found.slot.boot_id == boot_id;
  return same ? found.slot.votes_under : LockVersion{};
}

}  // namespace wardom::keeper
