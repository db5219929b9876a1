// Little-endian writing and bounded reading. Everything that Wardom puts on a wire or a volume goes
// through these two, so that bounds and byte order are settled in one place. Pure; any thread.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libha/core/ids.hpp"
#include "libha/core/records.hpp"

namespace wardom::wire {

using Bytes = std::vector<std::uint8_t>;
using View = std::span<const std::uint8_t>;

class Writer {
 public:
  Writer() = default;
  // expected: how many bytes will be written, so that they are allocated once.
  explicit Writer(std::size_t expected) : out_(expected) {}
  template <std::unsigned_integral T>
  void number(T value) {
    std::uint8_t* const raw = extend(sizeof(T));
    for (std::size_t i = 0; i < sizeof(T); ++i)
      raw[i] = static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> (8 * i));
  }
  void u8(std::uint8_t v) { number(v); }
  void u16(std::uint16_t v) { number(v); }
  void u32(std::uint32_t v) { number(v); }
  void u64(std::uint64_t v) { number(v); }
  void i32(std::int32_t v) { number(static_cast<std::uint32_t>(v)); }
  void i64(std::int64_t v) { number(static_cast<std::uint64_t>(v)); }
  void flag(bool v) { u8(v ? 1 : 0); }
  void zeros(std::size_t count) { std::fill_n(extend(count), count, std::uint8_t{0}); }
  void bytes(View v) { std::copy(v.begin(), v.end(), extend(v.size())); }
  void bits(const Bits128& v) { bytes(v.bytes); }
  void incarnation(const Incarnation& v) {
    u64(v.number);
    bits(v.id);
  }
  // Bit i of the set is bit i % 8 of byte i / 8: two little-endian words.
  void members(const MemberSet& v) {
    static_assert(kMaxDomainHosts == 128);
    constexpr MemberSet kLow{~std::uint64_t{0}};
    u64((v & kLow).to_ullong());
    u64((v >> 64).to_ullong());
  }
  void load(const Load& v) {
    u32(v.cpu_permille);
    u32(v.cpus);
    u64(v.memory_total_mib);
    u64(v.memory_free_mib);
  }
  // A text with its length in front. The caller keeps to the field's limit: see fits().
  void text8(std::string_view v) {
    u8(static_cast<std::uint8_t>(v.size()));
    chars(v);
  }
  void text16(std::string_view v) {
    u16(static_cast<std::uint16_t>(v.size()));
    chars(v);
  }
  void text32(std::string_view v) {
    u32(static_cast<std::uint32_t>(v.size()));
    chars(v);
  }
  std::size_t size() const { return size_; }
  View view() const { return View(out_).first(size_); }
  Bytes take() {
    out_.resize(std::exchange(size_, 0));
    return std::move(out_);
  }

 private:
  void chars(std::string_view v) { std::copy(v.begin(), v.end(), extend(v.size())); }
  // Where so many bytes more are to be written.
  std::uint8_t* extend(std::size_t count) {
    const std::size_t at = size_;
    size_ += count;
    if (size_ > out_.size()) out_.resize(std::max(size_, 2 * out_.size()));
    return out_.data() + at;
  }
  Bytes out_;  // of which only the first `size_` bytes are written
  std::size_t size_{0};
};

// Reads what Writer wrote. A read past the end, a text above its limit, an enumerator above its
// highest or a bool other than 0 and 1 makes the reader fail; it then stays failed and hands out
// zeros. So a decoder reads everything, asks complete() once, and only then believes a field.
class Reader {
 public:
  explicit Reader(View in) : in_(in) {}

  template <std::unsigned_integral T>
  T number() {
    if (failed_ || left() < sizeof(T)) {
      fail();
      return 0;
    }
    const std::uint8_t* const raw = in_.data() + at_;
    at_ += sizeof(T);
    std::uint64_t value = 0;
    // So many steps that the compiler knows: it makes one load of them.
    for (std::size_t i = 0; i < sizeof(T); ++i) value |= std::uint64_t{raw[i]} << (8 * i);
    return static_cast<T>(value);
  }
  std::uint8_t u8() { return number<std::uint8_t>(); }
  std::uint16_t u16() { return number<std::uint16_t>(); }
  std::uint32_t u32() { return number<std::uint32_t>(); }
  std::uint64_t u64() { return number<std::uint64_t>(); }
  std::int32_t i32() { return static_cast<std::int32_t>(u32()); }
  std::int64_t i64() { return static_cast<std::int64_t>(u64()); }
  bool flag() { return enumeration<std::uint8_t>(1) != 0; }
  template <class E>
  E enumeration(E highest) {
    const auto value = u8();
    if (value > static_cast<std::uint8_t>(highest)) fail();
    return failed_ ? E{} : static_cast<E>(value);
  }
  // Reserved bytes are zero in this version; anything else is not ours to interpret.
  void zeros(std::size_t count) {
    for (auto b : take(count))
      if (b != 0) fail();
  }
  Bits128 bits() {
    Bits128 out;
    const View raw = take(out.bytes.size());
    for (std::size_t i = 0; i < raw.size(); ++i) out.bytes[i] = raw[i];
    return out;
  }
  Incarnation incarnation() {
    Incarnation out;
    out.number = u64();
    out.id = bits();
    return out;
  }
  MemberSet members() {
    const MemberSet low{u64()};
    return low | MemberSet{u64()} << 64;
  }
  Load load() {
    Load out;
    out.cpu_permille = u32();
    out.cpus = u32();
    out.memory_total_mib = u64();
    out.memory_free_mib = u64();
    if (out.cpu_permille > 1000) fail();
    return out;
  }
  std::string text8(std::size_t limit) { return text(u8(), limit); }
  std::string text16(std::size_t limit) { return text(u16(), limit); }
  std::string text32(std::size_t limit) { return text(u32(), limit); }
  // A count of items, each of which takes at least `least` bytes: so no allocation can be larger
  // than the input warrants.
  std::size_t count16(std::size_t limit, std::size_t least) {
    const std::size_t n = u16();
    if (n > limit || n * least > left()) fail();
    return failed_ ? 0 : n;
  }
  View take(std::size_t count) {
    if (failed_ || count > left()) {
      fail();
      return {};
    }
    const View out = in_.subspan(at_, count);
    at_ += count;
    return out;
  }
  View rest() { return take(left()); }
  std::size_t left() const { return in_.size() - at_; }
  void fail() { failed_ = true; }
  bool failed() const { return failed_; }
  // Nothing failed and nothing is left over.
  bool complete() const { return !failed_ && left() == 0; }

 private:
  std::string text(std::size_t size, std::size_t limit) {
    if (size > limit) fail();
    const View raw = take(size);
    return failed_ ? std::string() : std::string(raw.begin(), raw.end());
  }
  View in_;
  std::size_t at_{0};
  bool failed_{false};
};

}  // namespace wardom::wire
