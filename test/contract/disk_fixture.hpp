// A formatted volume in a temporary file, and a BlockIo that can be made slow or broken.
#pragma once

#include <poll.h>
#include <stdlib.h>

#include <catch2/catch.hpp>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "libha/disk/cell_store.hpp"
#include "libha/disk/format.hpp"
#include "libha/wire/crc32c.hpp"

namespace wardom::fixture {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    // Not in /tmp by force: a tmpfs there may lack direct I/O.
    std::string pattern = (std::filesystem::current_path() / "disk-test-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  std::string file(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

inline Geometry geometry() {
  Geometry g;
  for (std::size_t i = 0; i < 16; ++i) g.volume_uuid.bytes[i] = static_cast<std::uint8_t>(i + 1);
  g.cluster = "test";
  g.hosts = 8;
  g.domains = 2;
  g.decision_blocks = 4;
  g.table_blocks = 8;
  g.t_f_ms = 6000;
  g.w_ms = 5000;
  g.l_late_ms = 2000;
  return g;
}

// Passes everything on to the real thing, but for the faults that a test asks for.
class FaultyIo final : public disk::BlockIo {
 public:
  explicit FaultyIo(std::shared_ptr<disk::BlockIo> real) : real_(std::move(real)) {}

  Result<void> read(disk::Offset at, std::span<std::uint8_t> into) override {
    {
      const std::lock_guard lock(mutex_);
      ++reads;
      const bool bad = bad_block && *bad_block >= at && *bad_block < at + into.size();
      if (fail_reads || bad) return failure("injected read fault");
    }
    if (const auto hook = before_read) hook(at);
    return real_->read(at, into);
  }
  Result<void> write(disk::Offset at, std::span<const std::uint8_t> from) override {
    {
      std::unique_lock lock(mutex_);
      ++writing_;
      changed_.notify_all();
      changed_.wait(lock, [&] { return !stuck_.contains(at); });
      --writing_;
      if (fail_writes) return failure("injected write fault");
    }
    auto done = real_->write(at, from);
    if (fail_after_writing) return failure("injected lost acknowledgement");
    return done;
  }
  disk::Offset size() const override { return real_->size(); }

  // Writes at this offset do not end until released.
  void stick(disk::Offset at) {
    const std::lock_guard lock(mutex_);
    stuck_[at] = true;
  }
  void release(disk::Offset at) {
    const std::lock_guard lock(mutex_);
    stuck_.erase(at);
    changed_.notify_all();
  }
  void wait_until_writing(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return writing_ >= count; });
  }

  // Set before the I/O that they concern.
  bool fail_reads{false};
  std::optional<disk::Offset> bad_block;  // cannot be read, nor what is read along with it
  bool fail_writes{false};
  bool fail_after_writing{false};
  int reads{0};
  std::function<void(disk::Offset)> before_read;

 private:
  std::shared_ptr<disk::BlockIo> real_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<disk::Offset, bool> stuck_;
  int writing_{0};
};

// The block as another version of Wardom would have written it.
inline void turn_to_another_version(disk::BlockIo& io, disk::Offset at) {
  disk::Buffer block(wire::kBlockBytes);
  REQUIRE(io.read(at, block.bytes()));
  block.bytes()[8] = wire::kFormatVersion + 1;
  const auto crc = wire::crc32c(block.bytes().first(wire::kHeadBytes - 4));
  for (std::size_t i = 0; i < 4; ++i)
    block.bytes()[wire::kHeadBytes - 4 + i] = static_cast<std::uint8_t>(crc >> (8 * i));
  REQUIRE(io.write(at, std::as_const(block).bytes()));
}

// Runs completions until `done`, or fails after a generous limit.
inline void run_until(disk::Completions& completions, const std::function<bool()>& done) {
  while (!done()) {
    pollfd fd{completions.fd(), POLLIN, 0};
    REQUIRE(::poll(&fd, 1, 10'000) == 1);
    completions.run();
  }
}

}  // namespace wardom::fixture
