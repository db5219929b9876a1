// Changing a state volume as a whole while its hosts live: moving it, or other lease times.
//
// The superblocks say that it is held, and every host then says in its slot that it holds: nothing
// of it is in flight or will be written but that slot, and it publishes no lease, so its guests run
// on and nobody concludes anything from its silence. Once no host is left that does not hold, the
// volume is nobody's but the tool's. What the superblocks say next is the change, done or not done,
// and the hosts go on from there. See libha/doc/decisions/0015.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "libha/disk/volume_file.hpp"

namespace wardom::disk {

// One slot that is in use, as a change has to know it.
struct Holder {
  HostId host;
  std::string name;
  Incarnation incarnation;
  Sequence sequence;
  bool left{false};     // in order, or a verdict says that this incarnation is dead
  std::string left_how;  // for people
  bool holds{false};    // for this change
  bool reaches{false};
  bool votes{false};    // for Wardom as corosync's quorum device
  std::string trouble;  // the slot cannot be read or understood: nobody knows whether it holds
};
// By host id. Blocks.
std::vector<Holder> holders(const VolumeFile& volume, std::uint64_t change);

// Copies every cell in use from one volume to another, which was formatted anew for the same
// cluster, and compares what stands there then with what was read. The places may differ, not the
// writers and the words. `progress`: so many cells of so many are there. Error: a cell of the old
// volume is damaged, of another version of Wardom, or does not fit the new one; or `progress` has
// said false. Blocks.
Result<void> copy_cells(const VolumeFile& from, const VolumeFile& to,
                        const std::function<bool(std::size_t, std::size_t)>& progress);
// Whether that could be done with a volume of this geometry.
Result<void> can_copy(const VolumeFile& from, const Geometry& to);

}  // namespace wardom::disk
