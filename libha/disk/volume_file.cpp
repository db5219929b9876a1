#include "libha/disk/volume_file.hpp"

#include <algorithm>

namespace wardom::disk {
namespace {

SuperblockCopy read_copy(BlockIo& io, std::uint8_t number) {
  SuperblockCopy copy;
  copy.offset = wire::kSuperblockOffsets[number];
  copy.state = wire::ExtentState::empty;
  if (copy.offset + wire::kBlockBytes > io.size()) {
    copy.trouble = "beyond the volume's end";
    return copy;
  }
  Buffer buffer(wire::kBlockBytes);
  if (auto done = io.read(copy.offset, buffer.bytes()); !done) {
    copy.state = wire::ExtentState::unreadable;
    copy.trouble = done.error().message;
    return copy;
  }
  copy.magic = wire::Reader(buffer.bytes()).u64() == wire::kBlockMagic;
  const auto extent = wire::decode_extent(
      buffer.bytes(), {std::nullopt, wire::superblock_cell(), wire::Twin{number}});
  copy.state = extent.state;
  if (extent.state != wire::ExtentState::valid) {
    copy.trouble = wire::to_text(extent.state);
    return copy;
  }
  auto said = wire::decode_superblock(extent.payload);
  if (!said || said.value().geometry.volume_uuid != extent.head.volume) {
    copy.state = wire::ExtentState::damaged;
    copy.trouble = said ? "its two uuids differ" : said.error().message;
    return copy;
  }
  copy.said = std::move(said).value();
  copy.sequence = extent.head.sequence;
  return copy;
}

VolumeError unknown_version(const std::string& name) {
  return {Trouble::unknown_version,
          name + ": formatted by another version of Wardom (this one knows format " +
              std::to_string(wire::kFormatVersion) + "); use that version's programs"};
}

VolumeError no_copy(const SuperblockCopies& copies, const std::string& name) {
  const auto any = [&](wire::ExtentState state) {
    return std::find_if(copies.begin(), copies.end(),
                        [&](const SuperblockCopy& c) { return c.state == state; });
  };
  using wire::ExtentState;
  if (auto c = any(ExtentState::unreadable); c != copies.end())
    return {Trouble::unreachable, c->trouble};
  if (std::any_of(copies.begin(), copies.end(), [](const auto& c) { return c.magic; }))
    return {Trouble::damaged, name + ": no superblock passes its checks; restore the volume, or "
                                     "stop the cluster and format it anew"};
  return {Trouble::not_formatted,
          name + ": not a Wardom state volume; format it with `wardomctl volume format`"};
}

Result<void> write_copy(BlockIo& io, std::uint8_t number, const wire::Superblock& superblock,
                        Sequence sequence) {
  wire::Head head;
  head.volume = superblock.geometry.volume_uuid;
  head.cell = wire::superblock_cell();
  head.twin = wire::Twin{number};
  head.sequence = sequence;
  head.level = Level{wire::kFormatVersion};
  head.speaks = wire::spoken_levels();
  return write_image(io, wire::kSuperblockOffsets[number],
                     wire::encode_extent(head, wire::encode_superblock(superblock)));
}

}  // namespace

VolumeResult<Superblocks> read_superblocks(BlockIo& io, const std::string& name) {
  const auto copies = superblock_copies(io);
  for (const auto& c : copies)
    if (c.state == wire::ExtentState::unknown_version) return unknown_version(name);
  const SuperblockCopy* best = nullptr;
  std::ptrdiff_t best_votes = 0;
  for (const auto& c : copies) {
    if (!c.said) continue;
    const auto votes = std::count_if(copies.begin(), copies.end(),
                                     [&](const auto& other) { return other.said == c.said; });
    if (votes > best_votes) {
      best = &c;
      best_votes = votes;
    }
  }
  if (best == nullptr) return no_copy(copies, name);
  if (contradict(copies))
    return VolumeError{Trouble::damaged,
                       name + ": its superblocks contradict each other; what they lead to is still "
                              "there: `wardomctl volume repair " + name +
                           " --region superblock` shows what each says, and asks which one holds"};
  Superblocks found{best->said->geometry, best->said->state, {}};
  for (std::size_t i = 0; i < copies.size(); ++i) {
    const auto& copy = copies[i];
    if (copy.said == best->said) continue;
    found.warnings.push_back(name + ": superblock copy " + std::to_string(i) + " at offset " +
                             std::to_string(copy.offset) + ": " +
                             (copy.said ? "differs from the others" : copy.trouble));
  }
  return found;
}

Result<void> write_superblocks(BlockIo& io, const wire::Superblock& superblock) {
  for (std::uint8_t i = 0; i < wire::kSuperblockCopies; ++i)
    if (auto ok = write_copy(io, i, superblock, Sequence{1}); !ok) return ok;
  return success();
}

Result<void> change_superblocks(BlockIo& io, const std::string& name, const wire::Superblock& from,
                                const wire::Superblock& to) {
  const auto found = read_superblocks(io, name);
  if (!found) return failure(found.error().message);
  const wire::Superblock now{found.value().geometry, found.value().state};
  if (now != from && now != to)
    return failure(name + ": its superblocks have been changed meanwhile, by somebody else");
  auto copies = superblock_copies(io);
  Sequence last;
  for (std::uint8_t i = 0; i < copies.size(); ++i) {
    if (!copies[i].said)
      return failure(name + ": superblock copy " + std::to_string(i) + " is " + copies[i].trouble +
                     "; see `wardomctl volume repair --region superblock`");
    last = std::max(last, copies[i].sequence);
  }
  // First all but `to` are made one again, so that no third value stands beside the two.
  for (const bool change : {false, true})
    for (std::uint8_t i = 0; i < copies.size(); ++i) {
      if (copies[i].said == to || (!change && copies[i].said == now)) continue;
      copies[i].said = change ? to : now;
      last = Sequence{last.value + 1};
      if (auto ok = write_copy(io, i, *copies[i].said, last); !ok) return ok;
    }
  return success();
}

SuperblockCopies superblock_copies(BlockIo& io) {
  SuperblockCopies copies;
  for (std::uint8_t i = 0; i < copies.size(); ++i) copies[i] = read_copy(io, i);
  return copies;
}

bool contradict(const SuperblockCopies& copies) {
  std::size_t whole = 0;
  for (std::size_t i = 0; i < copies.size(); ++i) {
    if (!copies[i].said) continue;
    ++whole;
    for (std::size_t j = i + 1; j < copies.size(); ++j)
      if (copies[j].said == copies[i].said) return false;
  }
  return whole > 1;
}

// From the first write on two of them agree.
Result<void> settle_superblocks(BlockIo& io, const SuperblockCopies& copies, std::size_t chosen) {
  Sequence last;
  for (const auto& copy : copies) last = std::max(last, copy.sequence);
  const auto& said = *copies[chosen].said;
  for (const bool others : {true, false})
    for (std::uint8_t i = 0; i < copies.size(); ++i) {
      if ((i != chosen) != others) continue;
      last = last.next();
      if (auto done = write_copy(io, i, said, last); !done) return done;
    }
  return success();
}

VolumeNow read_volume_now(BlockIo& io) {
  auto copy = read_copy(io, 0);
  VolumeNow now;
  now.said = std::move(copy.said);
  now.unknown_version = copy.state == wire::ExtentState::unknown_version;
  now.answered = copy.state != wire::ExtentState::unreadable;
  return now;
}

VolumeFile::VolumeFile(std::shared_ptr<BlockIo> io, Superblocks found)
    : io_(std::move(io)),
      geometry_(std::move(found.geometry)),
      state_(std::move(found.state)),
      layout_(geometry_),
      warnings_(std::move(found.warnings)) {}

VolumeFile VolumeFile::supposed(std::shared_ptr<BlockIo> io, const wire::Superblock& superblock) {
  return {std::move(io), {superblock.geometry, superblock.state, {}}};
}

VolumeResult<VolumeFile> VolumeFile::open(const std::string& path, Access access,
                                          const Wanted& wanted) {
  auto io = open_direct(path, access);
  if (!io) return VolumeError{Trouble::unreachable, io.error().message};
  return over(std::shared_ptr<BlockIo>(std::move(io).value()), path, wanted);
}

VolumeResult<VolumeFile> VolumeFile::over(std::shared_ptr<BlockIo> io, const std::string& name,
                                          const Wanted& wanted) {
  auto found = read_superblocks(*io, name);
  if (!found) return std::move(found).error();
  const Geometry& g = found.value().geometry;
  if (wanted.uuid && g.volume_uuid != *wanted.uuid)
    return VolumeError{Trouble::wrong_uuid, name + ": holds volume " + to_uuid(g.volume_uuid) +
                                                "; wardom.toml wants " + to_uuid(*wanted.uuid) +
                                                " (volume.uuid)"};
  if (!wanted.cluster.empty() && g.cluster != wanted.cluster)
    return VolumeError{Trouble::wrong_cluster, name + ": belongs to cluster \"" + g.cluster +
                                                   "\"; wardom.toml says \"" + wanted.cluster +
                                                   "\" (cluster.name)"};
  VolumeFile volume(std::move(io), std::move(found).value());
  if (volume.layout_.size() > volume.io_->size())
    return VolumeError{Trouble::too_small,
                       name + ": is " + std::to_string(volume.io_->size()) +
                           " bytes long, its geometry needs " +
                           std::to_string(volume.layout_.size()) + "; was it cut off?"};
  return volume;
}

}  // namespace wardom::disk
