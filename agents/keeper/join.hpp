// Taking one's slot: what has to be true before the first heartbeat is written.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <variant>

#include "agents/keeper/identity.hpp"
#include "agents/keeper/options.hpp"
#include "libha/disk/cell_reader.hpp"
#include "libha/disk/in_flight_list.hpp"
#include "libha/disk/volume_file.hpp"

namespace wardom::keeper {

// May pass by itself: try again later.
struct JoinLater {
  std::string why;
};
// A person has to do something first.
struct JoinRefused {
  std::string why;
};
struct Joined {
  std::shared_ptr<disk::VolumeFile> volume;
  std::string path;            // where it is: not as configured where it was moved since
  bool goes_on{false};         // under the kept incarnation of this boot
  Incarnation incarnation;
  bool stays_up{false};  // watchdog.stay_up counts for this incarnation
  disk::CellExtents slot;      // as found
  disk::CellExtents ballot;    // in the own domain
  disk::CellExtents decision;
  disk::CellExtents table;
  std::vector<disk::InFlight> in_flight;  // of an earlier keeper of this boot; may still land
  Level level{kFirstLevel};    // to write in: of the own cells the highest one, else the domain's
  std::string how;             // for the log
};
using JoinResult = std::variant<Joined, JoinLater, JoinRefused>;

// Opens and checks the volume, or the one that has taken its place, reads the own cells, and
// settles the incarnation: the kept one of this boot, or a new one with the next number. Where
// nobody can say what an earlier keeper had in flight, it waits first until nothing can land
// any more. A slot that another machine used last is watched first for D of silence; one that
// moves belongs to another machine and is refused. Blocks; gives up soon after `stop` is set.
JoinResult join(const Options& options, const Identity& identity, const std::atomic<bool>& stop);

// Why a volume that is held is not used, for people.
std::string held_text(const VolumeState& state);

// What the slot, as found, says that this host speaks; nullopt: it was never written, or by another
// machine.
std::optional<Levels> speaks_found(const disk::CellExtents& slot, const Bits128& machine_id);

// What the slot, as found, states of the quorum device's vote: corosync may have kept that of this
// boot. After another boot there is none.
LockVersion votes_found(const disk::CellExtents& slot, const Bits128& boot_id);

}  // namespace wardom::keeper
