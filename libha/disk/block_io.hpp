// The thin seam to the state volume: whole blocks at an offset, past every cache.
//
// Calls block for as long as the storage does, minutes when it hangs: never call from an event
// loop (see lane.hpp). Tests put their own BlockIo here, to be slow, to fail, or to lie.
#pragma once

#include <cstdlib>
#include <memory>
#include <new>
#include <span>
#include <string>

#include "libha/core/result.hpp"
#include "libha/core/time.hpp"
#include "libha/wire/layout.hpp"

namespace wardom::disk {

using wire::Offset;

// Memory that direct I/O accepts: aligned to a block, zeroed.
class Buffer {
 public:
  explicit Buffer(std::size_t bytes);
  std::span<std::uint8_t> bytes() { return {memory_.get(), size_}; }
  std::span<const std::uint8_t> bytes() const { return {memory_.get(), size_}; }

 private:
  struct Free {
    void operator()(std::uint8_t* p) const { std::free(p); }
  };
  std::size_t size_;
  std::unique_ptr<std::uint8_t, Free> memory_;
};

class BlockIo {
 public:
  virtual ~BlockIo() = default;
  // Offset and size are multiples of wire::kBlockBytes, the memory is a Buffer's. Any thread,
  // several at once. On success all bytes were read.
  virtual Result<void> read(Offset at, std::span<std::uint8_t> into) = 0;
  // On success the bytes are durable. On failure any part may have landed.
  virtual Result<void> write(Offset at, std::span<const std::uint8_t> from) = 0;
  virtual Offset size() const = 0;
};

// Writes what wire::encode_extent() made, wherever that lies in memory.
Result<void> write_image(BlockIo& io, Offset at, std::span<const std::uint8_t> image);

enum class Access : std::uint8_t { read_only, read_write };

// A block device or regular file by O_DIRECT|O_DSYNC (open(2)). Refuses what is neither, a file
// system that cannot do direct I/O (a cache would show this host its own past), a loop device that
// caches, and a device whose sectors are larger than a block. `what` of the message names the path.
Result<std::unique_ptr<BlockIo>> open_direct(const std::string& path, Access access);

// CLOCK_MONOTONIC_RAW (clock_gettime(2)): not slewed, stops in suspend.
Instant raw_now();

}  // namespace wardom::disk
