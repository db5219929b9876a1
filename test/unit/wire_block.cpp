#include <catch2/catch.hpp>

#include "libha/wire/block.hpp"
#include "libha/wire/crc32c.hpp"
#include "wire_samples.hpp"

using namespace wardom;
using namespace wardom::wire;

namespace {

Head head_of(std::uint64_t sequence, Twin twin = kTwinA) {
  Head h;
  h.volume = samples::bits(77);
  h.cell = {Region::table, 5};
  h.twin = twin;
  h.writer = HostId{5};
  h.incarnation = samples::incarnation(3);
  h.sequence = Sequence{sequence};
  h.level = kFirstLevel;
  h.speaks = {Level{1}, Level{4}};
  h.domain = DomainId{9};
  return h;
}

const Expected kHere{samples::bits(77), {Region::table, 5}, kTwinA};

Bytes content(std::size_t size, std::uint8_t seed) {
  Bytes b(size);
  for (std::size_t i = 0; i < size; ++i) b[i] = static_cast<std::uint8_t>(seed + i * 13 + i / 251);
  return b;
}

ExtentState state_of(const Bytes& image, const Expected& expected = kHere) {
  return decode_extent(image, expected).state;
}

}  // namespace

TEST_CASE("extent_round_trip_at_every_size_that_matters") {
  for (std::size_t size :
       {std::size_t{0}, std::size_t{1}, kHeadPayload - 1, kHeadPayload, kHeadPayload + 1,
        extent_payload(1) - 1, extent_payload(1), extent_payload(1) + 1, extent_payload(3)}) {
    const auto payload = content(size, 3);
    const auto image = encode_extent(head_of(8), payload);
    REQUIRE(image.size() == blocks_needed(size) * kBlockBytes);
    const auto back = decode_extent(image, kHere);
    REQUIRE(back.state == ExtentState::valid);
    REQUIRE(back.payload == payload);
    auto head = head_of(8);
    head.payload_bytes = static_cast<std::uint32_t>(size);
    REQUIRE(back.head == head);
    REQUIRE(decode_head(View(image).first(kBlockBytes), kHere).state == ExtentState::valid);
  }
  CHECK(blocks_needed(extent_payload(1)) == 1);
  CHECK(blocks_needed(extent_payload(1) + 1) == 2);
}

TEST_CASE("extent_of_another_place_is_foreign") {
  const auto image = encode_extent(head_of(8), content(100, 1));
  auto other = kHere;
  other.volume = samples::bits(78);
  CHECK(state_of(image, other) == ExtentState::foreign);
  other = kHere;
  other.cell.index = 6;
  CHECK(state_of(image, other) == ExtentState::foreign);
  other = kHere;
  other.cell.region = Region::decision;
  CHECK(state_of(image, other) == ExtentState::foreign);
  other = kHere;
  other.twin = kTwinB;
  CHECK(state_of(image, other) == ExtentState::foreign);
  other = kHere;
  other.volume.reset();
  CHECK(state_of(image, other) == ExtentState::valid);
}

TEST_CASE("extent_as_formatted_is_empty_and_rubbish_is_damaged") {
  CHECK(state_of(Bytes(kBlockBytes)) == ExtentState::empty);
  Bytes rubbish(kBlockBytes);
  rubbish[300] = 1;
  CHECK(state_of(rubbish) == ExtentState::damaged);
  Bytes late_body(kBlockBytes);  // a first write whose body landed and whose head did not
  late_body[kHeadBytes + 1] = 1;
  CHECK(state_of(late_body) == ExtentState::torn);
  CHECK(state_of({}) == ExtentState::unreadable);
}

TEST_CASE("extent_of_another_version_is_refused_by_name") {
  auto image = encode_extent(head_of(8), content(100, 1));
  image[8] = 99;
  CHECK(state_of(image) == ExtentState::damaged);  // the CRC still is that of version 1
  Writer crc;
  crc.u32(crc32c(View(image).first(kHeadBytes - 4)));
  std::copy(crc.view().begin(), crc.view().end(), image.begin() + kHeadBytes - 4);
  const auto extent = decode_extent(image, kHere);
  CHECK(extent.state == ExtentState::unknown_version);
  // Where every version has them.
  CHECK(extent.head.volume == head_of(8).volume);
  CHECK(extent.head.writer == head_of(8).writer);
  CHECK(extent.head.sequence == Sequence{8});
  CHECK(extent.head.level == Level{99});
  CHECK(extent.head.speaks == head_of(8).speaks);
  CHECK(extent.head.domain == head_of(8).domain);
  CHECK(extent.payload.empty());
  // Of another place it is foreign, as one of a known version is.
  CHECK(state_of(image, {samples::bits(77), {Region::table, 6}, kTwinA}) == ExtentState::foreign);
  CHECK(state_of(image, {samples::bits(78), {Region::table, 5}, kTwinA}) == ExtentState::foreign);
}

TEST_CASE("extent_of_no_level_is_refused_and_bars_writing") {
  auto head = head_of(8);
  for (const Level level : {Level{0}, spoken_levels().newest.next()}) {
    head.level = level;
    const auto other = decode_extent(encode_extent(head, content(100, 1)), kHere);
    CHECK(other.state == ExtentState::unknown_version);
    const auto valid = [](std::uint64_t sequence) {
      return decode_extent(encode_extent(head_of(sequence), content(100, 1)), kHere);
    };
    CHECK(bars_writing(other, valid(7)));
    CHECK(bars_writing(valid(7), other));
    // A level of long ago, which a valid write has overtaken, says nothing any more.
    CHECK(bars_writing(other, valid(9)) == (level > spoken_levels().newest));
    CHECK_FALSE(bars_writing(valid(8), valid(9)));
  }
}

TEST_CASE("extent_whose_writer_speaks_no_range_is_damaged") {
  auto head = head_of(8);
  head.speaks = {Level{2}, Level{1}};
  CHECK(state_of(encode_extent(head, content(100, 1))) == ExtentState::damaged);
}

TEST_CASE("extent_with_any_bit_flipped_is_not_valid") {
  const auto good = encode_extent(head_of(8), content(1000, 1));
  const std::size_t used = kHeadBytes + kBodyFieldBytes + 1000 - kHeadPayload;
  for (std::size_t bit = 0; bit < used * 8; bit += 3) {
    auto bad = good;
    bad[bit / 8] = static_cast<std::uint8_t>(bad[bit / 8] ^ (1u << (bit % 8)));
    const auto state = state_of(bad);
    REQUIRE(state == (bit / 8 < kHeadBytes ? ExtentState::damaged : ExtentState::torn));
  }
}

// A write may stop at any sector, and its sectors may land in any order: every single boundary,
// from the front and from the back, over an older image of another size.
TEST_CASE("extent_torn_at_any_sector_is_never_valid") {
  for (std::size_t old_size : {std::size_t{0}, std::size_t{500}, extent_payload(3)}) {
    const std::size_t size = extent_payload(2) + 100;
    auto old_image = encode_extent(head_of(7), content(old_size, 9));
    old_image.resize(3 * kBlockBytes);
    const auto new_image = encode_extent(head_of(8), content(size, 1));
    const std::size_t used = kHeadBytes + kBodyFieldBytes + size - kHeadPayload;
    REQUIRE(new_image.size() == old_image.size());
    for (std::size_t cut = kHeadBytes; cut < new_image.size(); cut += 512) {
      auto front = new_image;
      std::copy(old_image.begin() + cut, old_image.end(), front.begin() + cut);
      const auto begun = decode_extent(front, kHere);
      // The padding behind the payload may be anybody's; a part of the payload may not.
      const bool whole = cut >= used || front == new_image;
      REQUIRE(begun.state == (whole ? ExtentState::valid : ExtentState::torn));
      REQUIRE(begun.head.sequence == Sequence{8});
      auto back = new_image;
      std::copy(old_image.begin(), old_image.begin() + cut, back.begin());
      const auto extent = decode_extent(back, kHere);
      // What landed may lie wholly behind the old payload: then the old write still stands.
      if (extent.state == ExtentState::valid)
        REQUIRE(extent.payload == content(old_size, 9));
      else
        REQUIRE(extent.state == ExtentState::torn);
    }
  }
}

TEST_CASE("extent_read_too_short_is_torn") {
  const auto image = encode_extent(head_of(8), content(extent_payload(2), 1));
  CHECK(state_of(Bytes(image.begin(), image.begin() + kBlockBytes)) == ExtentState::torn);
}

namespace {

Extent extent(ExtentState state, std::uint64_t sequence = 0) {
  Extent e;
  e.state = state;
  e.head.sequence = Sequence{sequence};
  return e;
}

constexpr ExtentState kAll[] = {ExtentState::valid,   ExtentState::empty,
                                ExtentState::torn,    ExtentState::damaged,
                                ExtentState::foreign, ExtentState::unknown_version,
                                ExtentState::unreadable};

}  // namespace

TEST_CASE("twins_give_the_valid_one_with_the_higher_sequence") {
  auto choice = choose(extent(ExtentState::valid, 4), extent(ExtentState::valid, 5));
  CHECK(choice.twin == kTwinB);
  CHECK_FALSE(choice.twin_damaged);
  choice = choose(extent(ExtentState::valid, 6), extent(ExtentState::valid, 5));
  CHECK(choice.twin == kTwinA);
  choice = choose(extent(ExtentState::empty), extent(ExtentState::valid, 1));
  CHECK(choice.twin == kTwinB);
  CHECK_FALSE(choice.twin_damaged);
}

TEST_CASE("a_first_write_is_torn_beside_an_extent_that_is_empty") {
  for (auto a : kAll)
    for (auto b : kAll) {
      const bool expected = (a == ExtentState::torn && b == ExtentState::empty) ||
                            (a == ExtentState::empty && b == ExtentState::torn);
      CHECK(first_write_torn(extent(a), extent(b)) == expected);
    }
}

// What was valid before another version wrote its twin is as old as what a damaged one hides, and
// nothing will ever make it newer.
TEST_CASE("twins_give_nothing_older_than_what_another_version_wrote") {
  const auto unknown = [](std::uint64_t at) { return extent(ExtentState::unknown_version, at); };
  const auto valid = [](std::uint64_t at) { return extent(ExtentState::valid, at); };
  for (const auto& choice : {choose(valid(4), unknown(5)), choose(unknown(5), valid(4))}) {
    CHECK_FALSE(choice.twin);
    CHECK(choice.state == ExtentState::unknown_version);
  }
  CHECK(choose(valid(6), unknown(5)).twin == kTwinA);
  CHECK(choose(unknown(5), valid(6)).twin == kTwinB);
  CHECK_FALSE(choose(unknown(5), valid(6)).twin_damaged);
}

TEST_CASE("twins_never_hide_a_bad_one") {
  for (auto a : kAll) {
    for (auto b : kAll) {
      if (a == ExtentState::unknown_version || b == ExtentState::unknown_version) continue;
      const auto choice = choose(extent(a, 1), extent(b, 2));
      const bool any_valid = a == ExtentState::valid || b == ExtentState::valid;
      const auto bad = [](ExtentState s) {
        return s != ExtentState::valid && s != ExtentState::empty;
      };
      INFO(to_text(a) << " and " << to_text(b));
      REQUIRE(choice.twin.has_value() == any_valid);
      REQUIRE((choice.state == ExtentState::valid) == any_valid);
      REQUIRE(choice.twin_damaged == (bad(a) || bad(b)));
      // Empty is only what both twins say.
      REQUIRE((choice.state == ExtentState::empty) ==
              (a == ExtentState::empty && b == ExtentState::empty));
    }
  }
}
