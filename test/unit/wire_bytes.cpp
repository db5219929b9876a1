#include <catch2/catch.hpp>

#include "libha/wire/bytes.hpp"
#include "libha/wire/crc32c.hpp"
#include "wire_samples.hpp"

using namespace wardom;
using namespace wardom::wire;

TEST_CASE("writer_puts_numbers_little_endian") {
  Writer out;
  out.u16(0x0102);
  out.u64(0x1122334455667788);
  const Bytes expected{0x02, 0x01, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};
  CHECK(Bytes(out.view().begin(), out.view().end()) == expected);
}

TEST_CASE("reader_returns_what_was_written") {
  Writer out;
  out.i32(-7);
  out.i64(-1'000'000'000'000);
  out.flag(true);
  out.text8("abc");
  out.members(samples::members({0, 9, 127}));
  out.load(samples::load());
  out.incarnation(samples::incarnation(3));
  Reader in(out.view());
  CHECK(in.i32() == -7);
  CHECK(in.i64() == -1'000'000'000'000);
  CHECK(in.flag());
  CHECK(in.text8(3) == "abc");
  CHECK(in.members() == samples::members({0, 9, 127}));
  CHECK(in.load() == samples::load());
  CHECK(in.incarnation() == samples::incarnation(3));
  CHECK(in.complete());
}

TEST_CASE("reader_fails_once_and_for_good") {
  const Bytes three{1, 2, 3};
  Reader in(three);
  CHECK(in.u32() == 0);
  CHECK(in.failed());
  CHECK(in.u8() == 0);
  CHECK_FALSE(in.complete());
}

TEST_CASE("reader_refuses_what_is_out_of_range") {
  const Bytes bytes{2, 'a', 'b'};
  SECTION("a bool of 2") {
    Reader in(bytes);
    CHECK_FALSE(in.flag());
    CHECK(in.failed());
  }
  SECTION("a text above its limit") {
    Reader in(bytes);
    CHECK(in.text8(1).empty());
    CHECK(in.failed());
  }
  SECTION("an enumerator above the highest") {
    Reader in(bytes);
    CHECK(in.enumeration(Link::storage) == Link::mgmt);
    CHECK(in.failed());
  }
  SECTION("a count that the input cannot hold") {
    const Bytes many{0xff, 0xff, 0, 0};
    Reader in(many);
    CHECK(in.count16(65535, 1) == 0);
    CHECK(in.failed());
  }
  SECTION("reserved bytes that are set") {
    Reader in(bytes);
    in.zeros(2);
    CHECK(in.failed());
  }
  SECTION("bytes left over") {
    Reader in(bytes);
    in.u8();
    CHECK_FALSE(in.failed());
    CHECK_FALSE(in.complete());
  }
}

TEST_CASE("crc32c_gives_known_vectors") {
  const std::string digits = "123456789";
  const auto* raw = reinterpret_cast<const std::uint8_t*>(digits.data());
  CHECK(crc32c({raw, digits.size()}) == 0xe3069283);
  // RFC 3720, appendix B.4.
  CHECK(crc32c(Bytes(32, 0x00)) == 0x8a9136aa);
  CHECK(crc32c(Bytes(32, 0xff)) == 0x62a8ab43);
  Bytes up(32);
  for (std::size_t i = 0; i < up.size(); ++i) up[i] = static_cast<std::uint8_t>(i);
  CHECK(crc32c(up) == 0x46dd794e);
  CHECK(crc32c({}) == 0);
}

TEST_CASE("crc32c_by_instruction_equals_crc32c_by_table") {
  if (!detail::have_crc32c_instruction()) return;
  Bytes bytes;
  for (int length = 0; length < 200; ++length) {
    for (std::size_t from = 0; from < 9 && from <= bytes.size(); ++from) {
      const auto part = View(bytes).subspan(from);
      REQUIRE(detail::crc32c_instruction(part) == detail::crc32c_table(part));
    }
    bytes.push_back(static_cast<std::uint8_t>(length * 31 + 5));
  }
}
