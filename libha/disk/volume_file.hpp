// A formatted state volume, opened: its superblock has been found, checked and agreed upon.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libha/disk/block_io.hpp"
#include "libha/wire/block.hpp"
#include "libha/wire/layout.hpp"
#include "libha/wire/superblock.hpp"

namespace wardom::disk {

// Why a volume cannot be used. Only `unreachable` may pass by itself; the others need a person.
enum class Trouble : std::uint8_t {
  unreachable,      // cannot be opened or read just now
  not_formatted,    // no superblock of ours in any of the three places
  unknown_version,  // formatted by another version of Wardom
  damaged,          // no superblock passes its checks, or they contradict each other
  wrong_cluster,    // another cluster's volume
  wrong_uuid,       // not the volume that wardom.toml names
  too_small,        // shorter than its geometry says
};

struct VolumeError {
  Trouble trouble{Trouble::unreachable};
  std::string message;  // names the path and says what to do
};
template <class T>
using VolumeResult =
    boost::outcome_v2::basic_result<T, VolumeError, boost::outcome_v2::policy::terminate>;

struct Superblocks {
  Geometry geometry;
  VolumeState state;
  std::vector<std::string> warnings;  // a copy that is damaged or differs from the two others
};
// Two copies that agree carry the day against a third; one that stands alone is believed when the
// other two are no whole superblocks at all. A whole one of another version of Wardom is never
// outvoted: the volume is refused. `name` stands for the volume in messages.
VolumeResult<Superblocks> read_superblocks(BlockIo& io, const std::string& name);

// What one of the three says, whatever the others do. Blocks.
struct SuperblockCopy {
  Offset offset{0};
  wire::ExtentState state{wire::ExtentState::unreadable};
  std::optional<wire::Superblock> said;  // where it is a whole one of this version
  Sequence sequence;
  std::string trouble;  // otherwise
  bool magic{false};    // begins like one of ours, whatever its checks say
};
using SuperblockCopies = std::array<SuperblockCopy, wire::kSuperblockCopies>;
SuperblockCopies superblock_copies(BlockIo& io);
// More than one of them is whole, and no two say the same.
bool contradict(const SuperblockCopies& copies);
// Makes all of them say what copy `chosen` says, itself last. Error: a copy cannot be written.
Result<void> settle_superblocks(BlockIo& io, const SuperblockCopies& copies, std::size_t chosen);

// Changes what the superblocks say, one copy after the other, so that at any moment two of them
// agree; an earlier change that was cut short is completed or undone first. Error: a copy cannot be
// read or written, or is damaged, or the volume says neither `from` nor `to`.
Result<void> change_superblocks(BlockIo& io, const std::string& name, const wire::Superblock& from,
                                const wire::Superblock& to);
// The same for a volume that has none yet.
Result<void> write_superblocks(BlockIo& io, const wire::Superblock& superblock);

// What the first superblock states now.
struct VolumeNow {
  // nullopt: it cannot be read, or is not a whole one of this version
  std::optional<wire::Superblock> said;
  bool unknown_version{false};  // it is a whole one of another version
  bool answered{false};         // it could be read, whatever stands there
};
VolumeNow read_volume_now(BlockIo& io);

// What the opener insists on.
struct Wanted {
  std::string cluster;          // empty: any
  std::optional<Bits128> uuid;  // nullopt: any
};

class VolumeFile {
 public:
  static VolumeResult<VolumeFile> open(const std::string& path, Access access,
                                       const Wanted& wanted);
  // The same over any BlockIo.
  static VolumeResult<VolumeFile> over(std::shared_ptr<BlockIo> io, const std::string& name,
                                       const Wanted& wanted);

  // As it would be if all superblocks said this.
  static VolumeFile supposed(std::shared_ptr<BlockIo> io, const wire::Superblock& superblock);

  const std::shared_ptr<BlockIo>& io() const { return io_; }
  const Geometry& geometry() const { return geometry_; }
  const VolumeState& state() const { return state_; }  // when it was opened
  const wire::Layout& layout() const { return layout_; }
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  VolumeFile(std::shared_ptr<BlockIo> io, Superblocks found);
  std::shared_ptr<BlockIo> io_;
  Geometry geometry_;
  VolumeState state_;
  wire::Layout layout_;
  std::vector<std::string> warnings_;
};

}  // namespace wardom::disk
