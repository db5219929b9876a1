// The payload of a host table: a zstd frame around everything that a host owns or has claimed.
#pragma once

#include <memory>

#include "libha/core/records.hpp"
#include "libha/core/result.hpp"
#include "libha/wire/bytes.hpp"
#include "libha/wire/level.hpp"

namespace wardom::wire {

// Unpacked. Some 5 KiB of XML per guest are usual, so this is far above 1024 usual guests; it
// bounds what a damaged or hostile table can make a reader allocate.
inline constexpr std::size_t kMaxTableBytes = 32 * 1024 * 1024;
inline constexpr std::size_t kMaxGuestNameBytes = 255;
inline constexpr std::size_t kMaxReasonBytes = 500;
inline constexpr std::size_t kMaxWaived = 64;
inline constexpr std::size_t kMaxWaivedBytes = 1024;  // one of them
inline constexpr std::int32_t kMaxPriority = 1000;

// Error: a limit or the room of the extent (`capacity`, see extent_payload()) is exceeded; the
// message names the guest or says how large a --table-size it takes. Reasons are cut to size.
// `level`: that of the head, one that is spoken.
Result<Bytes> encode_table(const HostTable& table, std::size_t capacity,
                           Level level = spoken_levels().newest);
Result<HostTable> decode_table(View payload, Level level = spoken_levels().newest);

// The same for who handles many tables: it keeps zstd's working memory, some hundred KiB, between
// them. To make that anew costs several times the packing of a small table. One thread.
class TablePacker {
 public:
  TablePacker();
  ~TablePacker();
  TablePacker(const TablePacker&) = delete;
  TablePacker& operator=(const TablePacker&) = delete;

  Result<Bytes> encode(const HostTable& table, std::size_t capacity, Level level);
  Result<HostTable> decode(View payload, Level level);

 private:
  struct Contexts;
  std::unique_ptr<Contexts> contexts_;
};

}  // namespace wardom::wire
