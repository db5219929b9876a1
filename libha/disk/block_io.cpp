#include "libha/disk/block_io.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "libha/core/check.hpp"
#include "libha/proc/descriptor.hpp"

namespace wardom::disk {
namespace {

class DirectFile final : public BlockIo {
 public:
  DirectFile(std::string path, proc::Descriptor file, Offset size)
      : path_(std::move(path)), file_(std::move(file)), size_(size) {}

  Result<void> read(Offset at, std::span<std::uint8_t> into) override {
    while (!into.empty()) {
      const auto got = ::pread(file_.get(), into.data(), into.size(), static_cast<off_t>(at));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fault("read", at, std::strerror(errno));
      if (got == 0) return fault("read", at, "the volume ends here");
      at += static_cast<Offset>(got);
      into = into.subspan(static_cast<std::size_t>(got));
    }
    return success();
  }

  Result<void> write(Offset at, std::span<const std::uint8_t> from) override {
    while (!from.empty()) {
      const auto put = ::pwrite(file_.get(), from.data(), from.size(), static_cast<off_t>(at));
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) return fault("write", at, put < 0 ? std::strerror(errno) : "nothing written");
      at += static_cast<Offset>(put);
      from = from.subspan(static_cast<std::size_t>(put));
    }
    return success();
  }

  Offset size() const override { return size_; }

 private:
  Result<void> fault(const char* what, Offset at, const char* why) const {
    return failure(path_ + ": " + what + " at offset " + std::to_string(at) + ": " + why);
  }
  std::string path_;
  proc::Descriptor file_;
  Offset size_;
};

Result<Offset> size_of(const std::string& path, int fd) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return failure(path + ": " + std::strerror(errno));
  if (S_ISREG(st.st_mode)) return static_cast<Offset>(st.st_size);
  if (!S_ISBLK(st.st_mode))
    return failure(path + ": neither a block device nor a regular file");
  std::uint64_t bytes = 0;
  int sector = 0;
  if (::ioctl(fd, BLKGETSIZE64, &bytes) != 0 || ::ioctl(fd, BLKSSZGET, &sector) != 0)
    return failure(path + ": cannot ask the device for its size: " + std::strerror(errno));
  if (sector > static_cast<int>(wire::kBlockBytes))
    return failure(path + ": sectors of " + std::to_string(sector) + " bytes; at most 4096 work");
  return bytes;
}

// A loop device without direct I/O of its own puts this host's page cache before the file behind
// it, whatever its openers ask for. Other devices have no LOOP_GET_STATUS64 (loop(4)).
Result<void> refuse_cached_loop(const std::string& path, int fd) {
  loop_info64 info{};
  if (::ioctl(fd, LOOP_GET_STATUS64, &info) != 0) return success();
  if ((info.lo_flags & LO_FLAGS_DIRECT_IO) != 0) return success();
  return failure(path + ": a loop device that caches, so that a host would see its own past; "
                        "attach it with `losetup --direct-io=on`");
}

}  // namespace

Buffer::Buffer(std::size_t bytes) : size_(bytes) {
  WARDOM_CHECK(bytes > 0 && bytes % wire::kBlockBytes == 0);
  memory_.reset(static_cast<std::uint8_t*>(std::aligned_alloc(wire::kBlockBytes, bytes)));
  WARDOM_CHECK(memory_ != nullptr);
  std::memset(memory_.get(), 0, bytes);
}

Result<void> write_image(BlockIo& io, Offset at, std::span<const std::uint8_t> image) {
  Buffer buffer(image.size());
  std::copy(image.begin(), image.end(), buffer.bytes().begin());
  return io.write(at, buffer.bytes());
}

Result<std::unique_ptr<BlockIo>> open_direct(const std::string& path, Access access) {
  const int mode = access == Access::read_only ? O_RDONLY : O_RDWR;
  proc::Descriptor file(::open(path.c_str(), mode | O_DIRECT | O_DSYNC | O_CLOEXEC));
  if (file.get() < 0 && errno == EINVAL)
    return failure(path + ": its file system cannot do direct I/O (O_DIRECT), and through a cache "
                          "a host would see its own past; use a block device, NFS, or a file on "
                          "ext4, XFS or the like");
  if (file.get() < 0) return failure(path + ": cannot open: " + std::strerror(errno));
  const auto size = size_of(path, file.get());
  if (!size) return failure(size.error().message);
  if (auto direct = refuse_cached_loop(path, file.get()); !direct) return direct.error();
  return std::unique_ptr<BlockIo>(
      std::make_unique<DirectFile>(path, std::move(file), size.value()));
}

Instant raw_now() {
  timespec now{};
  WARDOM_CHECK(::clock_gettime(CLOCK_MONOTONIC_RAW, &now) == 0);
  return Instant{std::chrono::seconds{now.tv_sec} + std::chrono::nanoseconds{now.tv_nsec}};
}

}  // namespace wardom::disk
