#include "libha/wire/table.hpp"

#include <zstd.h>

#include <memory>
#include <new>
#include <string_view>

namespace wardom::wire {
namespace {

// Level 1 packs a table of 50 guests in a millisecond and comes within a tenth of level 3's size:
// every claim on the way to a started guest writes the table.
constexpr int kLevel = 1;

constexpr std::size_t kGuestLeast =
    16 + 2 + 8 + 1 + 24 + 4 + 4 + 11 + 4 + 8 + 4 + 8 + 16 + 8 + 2 + 2 + 4;

void write(Writer& out, const GuestEntry& g) {
  out.bits(g.guest);
  out.text16(g.name);
  out.u64(g.generation.value);
  out.u8(static_cast<std::uint8_t>(g.phase));
  out.incarnation(g.holder);
  out.u32(g.epoch.value);
  out.u8(static_cast<std::uint8_t>(g.wanted));
  out.u8(static_cast<std::uint8_t>(g.manager));
  out.u8(g.isolation ? static_cast<std::uint8_t>(1 + static_cast<std::uint8_t>(*g.isolation)) : 0);
  out.u8(g.parting ? 1 : 0);
  const auto hand_over = g.hand_over.value_or(HandOver{});
  out.u16(hand_over.other.value);
  out.u64(hand_over.generation.value);
  out.u8(hand_over.done ? 1 : 0);
  out.i32(g.priority);
  out.u64(g.memory_kib);
  out.u32(g.vcpus);
  out.u64(g.under.value);
  out.bits(g.recovery);
  out.i64(g.since.ms);
  out.text16(std::string_view(g.reason).substr(0, kMaxReasonBytes));
  out.u16(static_cast<std::uint16_t>(g.waived.size()));
  for (const auto& w : g.waived) out.text16(w);
  out.text32(g.xml);
}

GuestEntry read_guest(Reader& in) {
  GuestEntry g;
  g.guest = GuestId{in.bits()};
  g.name = in.text16(kMaxGuestNameBytes);
  g.generation = Generation{in.u64()};
  g.phase = in.enumeration(GuestPhase::claimed_incoming);
  g.holder = in.incarnation();
  g.epoch = DaemonEpoch{in.u32()};
  g.wanted = in.enumeration(Wanted::stopped);
  g.manager = in.enumeration(Manager::pacemaker);
  constexpr auto kHighest = static_cast<std::uint8_t>(IsolationResponse::kill);
  if (const auto said = in.enumeration<std::uint8_t>(kHighest + 1); said != 0)
    g.isolation = static_cast<IsolationResponse>(said - 1);
  g.parting = in.flag();
  HandOver hand_over;
  hand_over.other = HostId{in.u16()};
  hand_over.generation = Generation{in.u64()};
  hand_over.done = in.flag();
  if (hand_over.other != kNoHost) g.hand_over = hand_over;
  g.priority = in.i32();
  g.memory_kib = in.u64();
  g.vcpus = in.u32();
  g.under = LockVersion{in.u64()};
  g.recovery = RecoveryId{in.bits()};
  g.since = WallTime{in.i64()};
  g.reason = in.text16(kMaxReasonBytes);
  g.waived.resize(in.count16(kMaxWaived, 2));
  for (auto& w : g.waived) w = in.text16(kMaxWaivedBytes);
  g.xml = in.text32(kMaxGuestXmlBytes);
  if (g.guest.is_zero() || g.priority < -kMaxPriority || g.priority > kMaxPriority) in.fail();
  return g;
}

// Empty: the guest may be recorded.
std::string fault_of(const GuestEntry& g) {
  if (g.guest.is_zero()) return "has no UUID";
  if (g.name.size() > kMaxGuestNameBytes) return "has a name of more than 255 bytes";
  if (g.xml.size() > kMaxGuestXmlBytes) return "has an XML of more than 256 KiB";
  if (g.waived.size() > kMaxWaived) return "has more than 64 waived things";
  for (const auto& w : g.waived)
    if (w.size() > kMaxWaivedBytes) return "waives a thing whose name exceeds 1024 bytes";
  if (g.priority < -kMaxPriority || g.priority > kMaxPriority)
    return "has a priority outside -1000..1000";
  return {};
}

std::string text_of(std::size_t bytes) { return std::to_string((bytes + 1023) / 1024) + " KiB"; }

}  // namespace

struct TablePacker::Contexts {
  ~Contexts() {
    ZSTD_freeCCtx(pack);  // takes nullptr
    ZSTD_freeDCtx(unpack);
  }
  ZSTD_CCtx* packer() {
    if (pack == nullptr) pack = ZSTD_createCCtx();
    if (pack == nullptr) throw std::bad_alloc();
    return pack;
  }
  ZSTD_DCtx* unpacker() {
    if (unpack == nullptr) unpack = ZSTD_createDCtx();
    if (unpack == nullptr) throw std::bad_alloc();
    return unpack;
  }
  ZSTD_CCtx* pack{nullptr};
  ZSTD_DCtx* unpack{nullptr};
};

TablePacker::TablePacker() : contexts_(std::make_unique<Contexts>()) {}
TablePacker::~TablePacker() = default;

Result<Bytes> TablePacker::encode(const HostTable& table, std::size_t capacity, Level level) {
  if (!spoken_levels().has(level)) return failure("host table: of a level that is not spoken here");
  if (table.guests.size() > kMaxGuestsPerHost)
    return failure("host table: " + std::to_string(table.guests.size()) + " guests; the limit is " +
                   std::to_string(kMaxGuestsPerHost));
  Writer plain;
  plain.u16(static_cast<std::uint16_t>(table.guests.size()));
  for (const auto& g : table.guests) {
    if (auto fault = fault_of(g); !fault.empty())
      return failure("host table: guest " + g.name + " " + fault);
    write(plain, g);
  }
  if (plain.size() > kMaxTableBytes)
    return failure("host table: " + text_of(plain.size()) + " unpacked; the limit is " +
                   text_of(kMaxTableBytes));
  Bytes packed(ZSTD_compressBound(plain.size()));
  const auto size = ZSTD_compressCCtx(contexts_->packer(), packed.data(), packed.size(),
                                      plain.view().data(), plain.size(), kLevel);
  if (ZSTD_isError(size) != 0)
    return failure(std::string("host table: zstd: ") + ZSTD_getErrorName(size));
  if (size > capacity)
    return failure("host table: " + text_of(size) + " packed; the volume has room for " +
                   text_of(capacity) + " (volume format --table-size)");
  packed.resize(size);
  return packed;
}

Result<HostTable> TablePacker::decode(View payload, Level level) {
  if (!spoken_levels().has(level)) return failure("host table: of a level that is not spoken here");
  const auto size = ZSTD_getFrameContentSize(payload.data(), payload.size());
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > kMaxTableBytes)
    return failure("host table: no zstd frame of a known, bounded size");
  Bytes plain(size);
  const auto got = ZSTD_decompressDCtx(contexts_->unpacker(), plain.data(), plain.size(),
                                       payload.data(), payload.size());
  if (ZSTD_isError(got) != 0 || got != size)
    return failure(std::string("host table: zstd: ") +
                   (ZSTD_isError(got) != 0 ? ZSTD_getErrorName(got) : "short"));
  Reader in(plain);
  HostTable table;
  const auto guests = in.count16(kMaxGuestsPerHost, kGuestLeast);
  for (std::size_t i = 0; i < guests && !in.failed(); ++i) table.guests.push_back(read_guest(in));
  if (!in.complete()) return failure("host table: malformed");
  return table;
}

Result<Bytes> encode_table(const HostTable& table, std::size_t capacity, Level level) {
  return TablePacker().encode(table, capacity, level);
}
Result<HostTable> decode_table(View payload, Level level) {
  return TablePacker().decode(payload, level);
}

}  // namespace wardom::wire
