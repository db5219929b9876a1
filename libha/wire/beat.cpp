#include "libha/wire/beat.hpp"

#include <algorithm>

#include "libha/core/check.hpp"

namespace wardom::wire {
namespace {

constexpr std::uint8_t kVolumeOk = 1;
constexpr std::uint8_t kHypervisorOk = 2;
constexpr std::uint8_t kLeaving = 4;
constexpr std::uint8_t kReleased = 8;
constexpr std::uint8_t kRestarting = 16;
constexpr std::uint8_t kAllFlags =
    kVolumeOk | kHypervisorOk | kLeaving | kReleased | kRestarting;
constexpr std::ptrdiff_t kBeatAddressAt = 7;  // after magic and levels
constexpr std::size_t kBeatLevelAt = 4;
constexpr std::size_t kBeatHeadBytes = 12;  // what is the same in every level
constexpr std::size_t kWordBytes = 8 + 24 + 8 + 16;

void write(Writer& out, const DirectoryWord& word) {
  out.u64(word.version.value);
  out.u64(word.digest);
}

DirectoryWord read_directory(Reader& in) {
  const LockVersion version{in.u64()};
  return {version, in.u64()};
}

void write_word(Writer& out, const BeatWord& word) {
  out.u64(word.knows);
  out.incarnation(word.granted_to);
  out.u64(word.granted);
  write(out, word.granted_under);
}

BeatWord read_word(Reader& in) {
  BeatWord word;
  word.knows = in.u64();
  word.granted_to = in.incarnation();
  word.granted = in.u64();
  word.granted_under = read_directory(in);
  return word;
}

Beat read_body(Reader& in, Link link, std::uint8_t flags) {
  Beat beat;
  beat.link = link;
  beat.volume_ok = (flags & kVolumeOk) != 0;
  beat.hypervisor_ok = (flags & kHypervisorOk) != 0;
  beat.leaving = (flags & kLeaving) != 0;
  beat.released = (flags & kReleased) != 0;
  beat.restarting = (flags & kRestarting) != 0;
  beat.incarnation = in.incarnation();
  beat.epoch = DaemonEpoch{in.u32()};
  beat.sequence = Sequence{in.u64()};
  beat.run = in.u64();
  beat.config_digest = in.u64();
  beat.sees_mgmt = in.members();
  beat.sees_storage = in.members();
  beat.sees_disk = in.members();
  beat.slot_sequence = Sequence{in.u64()};
  beat.decision_sequence = Sequence{in.u64()};
  beat.ballot_sequence = Sequence{in.u64()};
  beat.table_sequence = Sequence{in.u64()};
  beat.given_up = LockVersion{in.u64()};
  beat.load = in.load();
  beat.request = in.u64();
  beat.request_under = read_directory(in);
  beat.ring.node = in.u32();
  beat.ring.sequence = in.u64();
  beat.cleared = LockVersion{in.u64()};
  beat.device_digest = in.u64();
  beat.lying_bmc.host = HostId{in.u16()};
  beat.lying_bmc.boot = in.u64();
  beat.lying_bmc.turn = in.u16();
  beat.word = read_word(in);
  return beat;
}

}  // namespace

const char* to_text(BeatError error) {
  switch (error) {
    case BeatError::wrong_size: return "wrong size";
    case BeatError::bad_magic: return "not a beat";
    case BeatError::unknown_version: return "unknown version";
    case BeatError::bad_hash: return "bad hash";
    case BeatError::wrong_addressee: return "wrong addressee";
    case BeatError::wrong_link: return "wrong link";
    case BeatError::malformed: return "malformed";
  }
  return "?";
}

Bytes encode_beat(const Key& key, const Beat& beat) {
  Writer out(kBeatBytes);
  out.u32(kBeatMagic);
  WARDOM_CHECK(spoken_levels().has(beat.level));
  out.u8(beat.level.value);
  out.u8(beat.speaks.oldest.value);
  out.u8(beat.speaks.newest.value);
  out.u16(beat.word.to.value);
  out.u8(static_cast<std::uint8_t>(beat.link));
  out.u16(beat.from.value);
  out.u8(static_cast<std::uint8_t>((beat.volume_ok ? kVolumeOk : 0) |
                                   (beat.hypervisor_ok ? kHypervisorOk : 0) |
                                   (beat.leaving ? kLeaving : 0) |
                                   (beat.released ? kReleased : 0) |
                                   (beat.restarting ? kRestarting : 0)));
  out.incarnation(beat.incarnation);
  out.u32(beat.epoch.value);
  out.u64(beat.sequence.value);
  out.u64(beat.run);
  out.u64(beat.config_digest);
  out.members(beat.sees_mgmt);
  out.members(beat.sees_storage);
  out.members(beat.sees_disk);
  out.u64(beat.slot_sequence.value);
  out.u64(beat.decision_sequence.value);
  out.u64(beat.ballot_sequence.value);
  out.u64(beat.table_sequence.value);
  out.u64(beat.given_up.value);
  out.load(beat.load);
  out.u64(beat.request);
  write(out, beat.request_under);
  out.u32(beat.ring.node);
  out.u64(beat.ring.sequence);
  out.u64(beat.cleared.value);
  out.u64(beat.device_digest);
  out.u16(beat.lying_bmc.host.value);
  out.u64(beat.lying_bmc.boot);
  out.u16(beat.lying_bmc.turn);
  write_word(out, beat.word);
  out.bytes(key.beat_hash(out.view()));
  WARDOM_CHECK(out.size() == kBeatBytes);
  return out.take();
}

void readdress_beat(const Key& key, Bytes& beat, const BeatWord& word) {
  WARDOM_CHECK(beat.size() == kBeatBytes);
  Writer address(2);
  address.u16(word.to.value);
  std::copy(address.view().begin(), address.view().end(), beat.begin() + kBeatAddressAt);
  Writer words(kWordBytes);
  write_word(words, word);
  WARDOM_CHECK(words.size() == kWordBytes);
  std::copy(words.view().begin(), words.view().end(),
            beat.end() - static_cast<std::ptrdiff_t>(kBeatHashBytes + kWordBytes));
  const auto hash = key.beat_hash(View(beat).first(kBeatBytes - kBeatHashBytes));
  std::copy(hash.begin(), hash.end(), beat.end() - kBeatHashBytes);
}

namespace {

// Magic, levels, addressee, link and sender stand at the same places in every level, and the hash
// of all that is before it at the end.
BeatResult<BeatHead> read_head(const Key& key, View datagram, Reader& in, HostId self, Link link) {
  const View signed_part = datagram.first(datagram.size() - kBeatHashBytes);
  if (!equal_hash(key.beat_hash(signed_part), datagram.last(kBeatHashBytes)))
    return BeatError::bad_hash;
  BeatHead head;
  in.take(4);
  head.level = Level{in.u8()};
  head.speaks.oldest = Level{in.u8()};
  head.speaks.newest = Level{in.u8()};
  if (HostId{in.u16()} != self) return BeatError::wrong_addressee;
  if (head.speaks.oldest > head.speaks.newest) return BeatError::malformed;
  const auto sent_on = in.u8();
  if (sent_on >= kLinks) return BeatError::malformed;
  if (static_cast<Link>(sent_on) != link) return BeatError::wrong_link;
  head.from = HostId{in.u16()};
  return head;
}

}  // namespace

BeatResult<BeatHead> decode_beat_head(const Key& key, View datagram, HostId self, Link link) {
  if (datagram.size() < kBeatHeadBytes + kBeatHashBytes) return BeatError::wrong_size;
  Reader in(datagram);
  if (Reader(datagram).u32() != kBeatMagic) return BeatError::bad_magic;
  return read_head(key, datagram, in, self, link);
}

BeatResult<Beat> decode_beat(const Key& key, View datagram, HostId self, Link link) {
  if (datagram.size() < kBeatHeadBytes) return BeatError::wrong_size;
  if (Reader(datagram).u32() != kBeatMagic) return BeatError::bad_magic;
  if (!spoken_levels().has(Level{datagram[kBeatLevelAt]})) return BeatError::unknown_version;
  if (datagram.size() != kBeatBytes) return BeatError::wrong_size;
  Reader in(datagram);
  const auto head = read_head(key, datagram, in, self, link);
  if (!head) return head.error();
  const auto flags = in.u8();
  Beat beat = read_body(in, link, flags);
  beat.level = head.value().level;
  beat.speaks = head.value().speaks;
  beat.from = head.value().from;
  beat.word.to = self;
  const bool in_range = (flags & ~kAllFlags) == 0 && beat.from != kNoHost &&
                        !(beat.released && beat.incarnation.is_none()) &&
                        (beat.lying_bmc.host == kNoHost) == (beat.lying_bmc.boot == 0) &&
                        beat.lying_bmc.turn != 0;
  if (in.failed() || in.left() != kBeatHashBytes || !in_range) return BeatError::malformed;
  return beat;
}

}  // namespace wardom::wire
