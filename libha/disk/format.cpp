#include "libha/disk/format.hpp"

#include <blkid/blkid.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

#include "libha/disk/cell_reader.hpp"
#include "libha/proc/descriptor.hpp"
#include "libha/wire/slot.hpp"

namespace wardom::disk {
namespace {

using proc::Descriptor;

constexpr Offset kLook = 1024 * 1024;
constexpr std::size_t kZeroStep = 1024 * 1024;

// What libblkid recognises: partition tables, file systems, RAID and volume manager members.
std::string signature(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return {};
  blkid_probe probe = blkid_new_probe();
  if (probe == nullptr) return {};
  std::string found;
  if (blkid_probe_set_device(probe, file.get(), 0, 0) == 0) {
    blkid_probe_enable_partitions(probe, 1);
    blkid_probe_enable_superblocks(probe, 1);
    blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL);
    blkid_do_safeprobe(probe);
    const char* value = nullptr;
    if (blkid_probe_lookup_value(probe, "PTTYPE", &value, nullptr) == 0)
      found = std::string("a partition table (") + value + ")";
    else if (blkid_probe_lookup_value(probe, "TYPE", &value, nullptr) == 0)
      found = std::string("a signature of ") + value;
    if (!found.empty() && blkid_probe_lookup_value(probe, "LABEL", &value, nullptr) == 0)
      found += std::string(", label \"") + value + "\"";
  }
  blkid_free_probe(probe);
  return found;
}

Result<bool> zero_within(BlockIo& io, Offset from, Offset to) {
  if (to <= from) return true;
  Buffer buffer(to - from);
  if (auto done = io.read(from, buffer.bytes()); !done) return failure(done.error().message);
  const auto bytes = buffer.bytes();
  return std::all_of(bytes.begin(), bytes.end(), [](auto b) { return b == 0; });
}

using Sequences = std::map<Cell, Sequence>;

std::vector<wire::CellView> read_slots(const VolumeFile& volume) {
  std::vector<Cell> cells;
  for (std::uint32_t host = 1; host <= volume.geometry().hosts; ++host)
    cells.push_back({Region::slot, host});
  return read_cells(*volume.io(), volume.geometry().volume_uuid, volume.layout(), cells);
}

const char* to_text(SlotState state) {
  switch (state) {
    case SlotState::joining: return "joining";
    case SlotState::up: return "up";
    case SlotState::left: return "left";
    case SlotState::released: return "released";
  }
  return "?";
}

// Lists the used slots and whether any might still be written.
bool list_slots(const std::vector<wire::CellView>& slots, Contents& contents) {
  bool may_live = false;
  for (const auto& view : slots) {
    if (view.state == wire::ExtentState::empty) continue;
    std::string text = std::to_string(view.cell.index) + " (";
    if (view.state == wire::ExtentState::valid) {
      const auto slot = wire::decode_slot(view.payload, view.level);
      if (slot) text += slot.value().host_name + ", ";
      text += "incarnation " + to_text(view.incarnation) + ", ";
      text += slot ? to_text(slot.value().state) : "malformed";
      may_live = may_live || !slot || slot.value().state != SlotState::left;
    } else {
      text += wire::to_text(view.state);
      may_live = true;
    }
    contents.used_slots.push_back(text + ")");
  }
  return may_live;
}

bool watch_slots(const VolumeFile& volume, const std::vector<wire::CellView>& first) {
  const auto until = raw_now() + kObserveSlots;
  while (raw_now() < until) {
    timespec pause{0, static_cast<long>(kObserveEvery.count())};
    ::nanosleep(&pause, nullptr);
    const auto now = read_slots(volume);
    for (std::size_t i = 0; i < now.size(); ++i)
      if (now[i].sequence != first[i].sequence || now[i].incarnation != first[i].incarnation)
        return true;
  }
  return false;
}

void describe_wardom(const VolumeFile& volume, Contents& contents) {
  const Geometry& g = volume.geometry();
  contents.wardom = g;
  contents.what = "a Wardom state volume of cluster \"" + g.cluster + "\", uuid " +
                  to_uuid(g.volume_uuid);
  const auto slots = read_slots(volume);
  const bool may_live = list_slots(slots, contents);
  contents.what += ", " + std::to_string(contents.used_slots.size()) + " of " +
                   std::to_string(g.hosts) + " slots in use";
  if (may_live) contents.moving = watch_slots(volume, slots);
}

// By the kernel where it can, else by hand.
Result<void> zero_all(const std::string& path, BlockIo& io, Offset size, Space space) {
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (file.get() < 0) return failure(path + ": cannot open: " + std::strerror(errno));
  struct stat st {};
  if (::fstat(file.get(), &st) != 0) return failure(path + ": " + std::strerror(errno));
  if (S_ISBLK(st.st_mode)) {
    std::uint64_t range[2] = {0, size};
    if (::ioctl(file.get(), BLKZEROOUT, range) == 0 && ::fsync(file.get()) == 0) return success();
  } else {
    const int mode = space == Space::sparse ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
                                            : FALLOC_FL_ZERO_RANGE;
    if (::fallocate(file.get(), mode, 0, static_cast<off_t>(size)) == 0 && ::fsync(file.get()) == 0)
      return success();
  }
  const Buffer zeros(kZeroStep);
  for (Offset at = 0; at < size; at += kZeroStep) {
    const auto step = std::min<Offset>(kZeroStep, size - at);
    if (auto done = io.write(at, zeros.bytes().first(step)); !done) return done;
  }
  return success();
}

// Creates a regular file, or grows it, so that the layout fits.
Result<void> make_room(const std::string& path, Offset size) {
  const Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (file.get() < 0) return failure(path + ": cannot open: " + std::strerror(errno));
  struct stat st {};
  if (::fstat(file.get(), &st) != 0) return failure(path + ": " + std::strerror(errno));
  if (!S_ISREG(st.st_mode) || static_cast<Offset>(st.st_size) >= size) return success();
  if (::ftruncate(file.get(), static_cast<off_t>(size)) != 0)
    return failure(path + ": cannot make it " + std::to_string(size) +
                   " bytes long: " + std::strerror(errno));
  return success();
}

}  // namespace

Result<Contents> inspect(const std::string& path) {
  Contents contents;
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0 && errno == ENOENT) {
    contents.empty = true;
    return contents;
  }
  auto opened = open_direct(path, Access::read_only);
  if (!opened) return failure(opened.error().message);
  const std::shared_ptr<BlockIo> io = std::move(opened).value();
  if (const auto volume = VolumeFile::over(io, path, {}); volume) {
    describe_wardom(volume.value(), contents);
    return contents;
  } else if (volume.error().trouble != Trouble::not_formatted) {
    if (volume.error().trouble == Trouble::unreachable) return failure(volume.error().message);
    contents.unknown_version = volume.error().trouble == Trouble::unknown_version;
    contents.what = "a Wardom state volume that cannot be used (" + volume.error().message + ")";
    return contents;
  }
  contents.what = signature(path);
  if (!contents.what.empty()) return contents;
  const Offset whole = io->size() / wire::kBlockBytes * wire::kBlockBytes;
  const Offset head = std::min(kLook, whole);
  const std::pair<Offset, Offset> ends[] = {{0, head}, {std::max(head, whole - head), whole}};
  for (const auto& [from, to] : ends) {
    const auto zero = zero_within(*io, from, to);
    if (!zero) return failure(zero.error().message);
    if (!zero.value()) contents.what = "unknown data (not zeros)";
  }
  contents.empty = contents.what.empty();
  return contents;
}

Result<void> check_room(const std::string& path, Offset size) {
  struct stat st {};
  const bool exists = ::stat(path.c_str(), &st) == 0;
  const auto needs = " bytes; this geometry needs " + std::to_string(size) +
                     " (give fewer --hosts or --domains, or smaller tables)";
  if (exists && !S_ISREG(st.st_mode)) {
    auto opened = open_direct(path, Access::read_only);
    if (!opened) return failure(opened.error().message);
    if (opened.value()->size() >= size) return success();
    return failure(path + ": has " + std::to_string(opened.value()->size()) + needs);
  }
  // A file that is long enough is left as long as it is; zeroing tells when its store is full.
  if (exists && static_cast<Offset>(st.st_size) >= size) return success();
  const auto slash = path.find_last_of('/');
  const auto directory = slash == std::string::npos ? std::string(".") : path.substr(0, slash + 1);
  struct statvfs fs {};
  if (::statvfs(directory.c_str(), &fs) != 0)
    return failure(directory + ": " + std::strerror(errno));
  const Offset has = exists ? static_cast<Offset>(st.st_blocks) * 512 : 0;
  const Offset free = Offset{fs.f_bavail} * fs.f_frsize;
  if (has + free >= size) return success();
  return failure(path + ": its file system has room for " + std::to_string(has + free) + needs);
}

Result<void> format_volume(const std::string& path, const Geometry& geometry, Space space,
                           const VolumeState& state) {
  if (auto ok = wire::check_geometry(geometry); !ok) return ok;
  const wire::Layout layout(geometry);
  if (auto ok = make_room(path, layout.size()); !ok) return ok;
  auto opened = open_direct(path, Access::read_write);
  if (!opened) return failure(opened.error().message);
  BlockIo& io = *opened.value();
  if (io.size() < layout.size())
    return failure(path + ": " + std::to_string(io.size()) + " bytes; this geometry needs " +
                   std::to_string(layout.size()) +
                   " (give fewer --hosts or --domains, or a smaller --table-size)");
  if (auto ok = zero_all(path, io, layout.size(), space); !ok) return ok;
  return write_superblocks(io, {geometry, state});
}

}  // namespace wardom::disk
