#include <catch2/catch.hpp>

#include "libha/port/beats.hpp"
#include "libha/wire/beat.hpp"
#include "libha/wire/envelope.hpp"
#include "wire_samples.hpp"

using namespace wardom;
using namespace wardom::wire;

namespace {

Key key(std::uint8_t first) {
  std::array<std::uint8_t, kKeyBytes> secret{};
  secret[0] = first;
  return Key(secret);
}

constexpr HostId kTo{9};

// A beat whose bytes were changed before it was signed: what a buggy or newer peer would send.
Bytes resigned(Bytes beat, std::size_t at, std::uint8_t value) {
  beat[at] = value;
  const View part = View(beat).first(kBeatBytes - kBeatHashBytes);
  const auto hash = key(1).beat_hash(part);
  std::copy(hash.begin(), hash.end(), beat.end() - kBeatHashBytes);
  return beat;
}

BeatError error_of(const BeatResult<Beat>& result) {
  REQUIRE_FALSE(result.has_value());
  return result.error();
}

}  // namespace

TEST_CASE("beat_round_trip_keeps_every_field") {
  const auto bytes = encode_beat(key(1), samples::beat());
  CHECK(bytes.size() == kBeatBytes);
  static_assert(kBeatBytes <= port::kMaxDatagramBytes);
  const auto back = decode_beat(key(1), bytes, kTo, Link::storage);
  REQUIRE(back.has_value());
  CHECK(back.value() == samples::beat());
}

TEST_CASE("beat_releases_no_incarnation_that_it_does_not_name") {
  auto beat = samples::beat();
  beat.incarnation = {};
  const auto bytes = encode_beat(key(1), beat);
  CHECK(error_of(decode_beat(key(1), bytes, kTo, Link::storage)) == BeatError::malformed);
  beat.released = false;
  CHECK(decode_beat(key(1), encode_beat(key(1), beat), kTo, Link::storage).has_value());
}

TEST_CASE("beat_names_a_lying_bmc_with_its_boot_or_none") {
  const auto taken = [](const LyingBmc& liar) {
    auto beat = samples::beat();
    beat.lying_bmc = liar;
    return decode_beat(key(1), encode_beat(key(1), beat), kTo, Link::storage).has_value();
  };
  CHECK(taken({}));
  CHECK(taken({HostId{2000}, 1}));
  CHECK_FALSE(taken({HostId{3}, 0}));
  CHECK(taken({HostId{3}, 1, 65535}));
  CHECK_FALSE(taken({kNoHost, 3}));
  CHECK_FALSE(taken({HostId{3}, 1, 0}));
}

TEST_CASE("readdress_beat_gives_what_encoding_for_that_host_gives") {
  auto bytes = encode_beat(key(1), samples::beat());
  auto other = samples::beat();
  other.word = {HostId{2000}, 3, samples::incarnation(3), 77, {LockVersion{5}, 6}};
  readdress_beat(key(1), bytes, other.word);
  CHECK(bytes == encode_beat(key(1), other));
}

TEST_CASE("beat_is_refused_with_its_reason") {
  const auto good = encode_beat(key(1), samples::beat());
  const auto decode = [](const Bytes& b) {
    return error_of(decode_beat(key(1), b, kTo, Link::storage));
  };
  CHECK(error_of(decode_beat(key(2), good, kTo, Link::storage)) == BeatError::bad_hash);
  CHECK(error_of(decode_beat(key(1), good, HostId{8}, Link::storage)) ==
        BeatError::wrong_addressee);
  CHECK(error_of(decode_beat(key(1), good, kTo, Link::mgmt)) == BeatError::wrong_link);
  CHECK(decode(resigned(good, 0, 0)) == BeatError::bad_magic);
  CHECK(decode(resigned(good, 4, 99)) == BeatError::unknown_version);
  CHECK(decode(resigned(good, 9, 2)) == BeatError::malformed);    // link 2
  CHECK(decode(resigned(good, 12, 32)) == BeatError::malformed);   // an unknown flag
  CHECK(decode(resigned(good, 10, 0)) == BeatError::malformed);   // from host 0
  CHECK(decode(resigned(good, 154, 255)) == BeatError::malformed);  // load above 1000 permille
}

TEST_CASE("beat_of_another_level_tells_who_sent_it_and_what_that_speaks") {
  auto beat = samples::beat();
  beat.speaks = {Level{1}, Level{3}};
  const auto good = encode_beat(key(1), beat);
  CHECK(decode_beat(key(1), good, kTo, Link::storage).value().speaks == beat.speaks);
  auto later = resigned(good, 4, 99);
  later.resize(200);  // of another length too
  const auto hash = key(1).beat_hash(View(later).first(200 - kBeatHashBytes));
  std::copy(hash.begin(), hash.end(), later.end() - kBeatHashBytes);
  CHECK(error_of(decode_beat(key(1), later, kTo, Link::storage)) == BeatError::unknown_version);
  const auto head = decode_beat_head(key(1), later, kTo, Link::storage);
  REQUIRE(head.has_value());
  CHECK(head.value().level == Level{99});
  CHECK(head.value().speaks == beat.speaks);
  CHECK(head.value().from == beat.from);
  const auto error = [&](const Key& k, View bytes, HostId to, Link link) {
    return decode_beat_head(k, bytes, to, link).error();
  };
  CHECK(error(key(2), later, kTo, Link::storage) == BeatError::bad_hash);
  CHECK(error(key(1), later, HostId{8}, Link::storage) == BeatError::wrong_addressee);
  CHECK(error(key(1), later, kTo, Link::mgmt) == BeatError::wrong_link);
  CHECK(error(key(1), View(later).first(20), kTo, Link::storage) == BeatError::wrong_size);
}

TEST_CASE("beat_of_any_other_length_is_refused") {
  auto bytes = encode_beat(key(1), samples::beat());
  for (std::size_t length = 0; length < bytes.size(); ++length)
    REQUIRE(error_of(decode_beat(key(1), View(bytes).first(length), kTo, Link::storage)) ==
            BeatError::wrong_size);
  bytes.push_back(0);
  CHECK(error_of(decode_beat(key(1), bytes, kTo, Link::storage)) == BeatError::wrong_size);
}

TEST_CASE("beat_with_any_bit_flipped_is_refused") {
  const auto good = encode_beat(key(1), samples::beat());
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    auto bad = good;
    bad[bit / 8] = static_cast<std::uint8_t>(bad[bit / 8] ^ (1u << (bit % 8)));
    REQUIRE_FALSE(decode_beat(key(1), bad, kTo, Link::storage).has_value());
  }
}

TEST_CASE("envelope_opens_to_what_was_sealed") {
  const Bytes content{1, 2, 3, 4, 5};
  const auto sealed = seal(key(1), kFirstLevel, MessageKind{17}, content);
  CHECK(sealed.size() == content.size() + kEnvelopeOverhead);
  const auto opened = open(key(1), sealed);
  REQUIRE(opened.has_value());
  CHECK(opened.value().kind == MessageKind{17});
  CHECK(Bytes(opened.value().bytes.begin(), opened.value().bytes.end()) == content);
  CHECK(open(key(1), seal(key(1), kFirstLevel, MessageKind{1}, {})).has_value());
  CHECK(opened.value().level == kFirstLevel);
}

TEST_CASE("envelope_is_refused_with_its_reason") {
  const auto good = seal(key(1), kFirstLevel, MessageKind{17}, Bytes(100, 3));
  CHECK(open(key(2), good).error() == EnvelopeError::bad_hash);
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    auto bad = good;
    bad[bit / 8] = static_cast<std::uint8_t>(bad[bit / 8] ^ (1u << (bit % 8)));
    REQUIRE_FALSE(open(key(1), bad).has_value());
  }
  auto other = good;
  other[4] = 9;
  CHECK(open(key(1), other).error() == EnvelopeError::unknown_version);
  CHECK(open(key(1), View(good).first(20)).error() == EnvelopeError::too_short);
  CHECK(open(key(1), View(good).first(100)).error() == EnvelopeError::bad_length);
  CHECK(open(key(1), Bytes(kMaxSealedBytes + 1)).error() == EnvelopeError::too_long);
  CHECK(open(key(1), Bytes(kEnvelopeOverhead)).error() == EnvelopeError::bad_magic);
}

TEST_CASE("beat_and_message_hashes_use_keys_of_their_own") {
  const Bytes text(40, 9);
  const auto beat = key(1).beat_hash(text);
  const auto message = key(1).message_hash(text);
  CHECK_FALSE(std::equal(beat.begin(), beat.end(), message.begin()));
}
