// What the machines of the core share within one turn: the time, the orders so far, fresh tickets
// and the seeded generator. Never kept beyond the turn.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "libha/core/inputs.hpp"

namespace wardom::core {

// SplitMix64. Ids are drawn from it, so that the same seed gives the same run.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  Bits128 bits() {
    Bits128 drawn;
    for (std::size_t half = 0; half < 2; ++half) {
      auto value = next();
      for (std::size_t i = 0; i < 8; ++i, value >>= 8)
        drawn.bytes[half * 8 + i] = static_cast<std::uint8_t>(value);
    }
    return drawn;
  }

 private:
  std::uint64_t state_;
};

struct Turn {
  Now now;
  Orders& orders;
  Ticket& last_ticket;
  Random& random;

  Ticket ticket() { return last_ticket = last_ticket.next(); }
  void note(Note note) { orders.notes.push_back(std::move(note)); }
};

// Keeps one own cell of the volume equal to what its machine wants, one write at a time. The
// machine learns by `settled()` that everything it wanted stands on the volume.
template <class Record>
class OwnCell {
 public:
  const Record& wanted() const { return wanted_; }
  // Every change goes through here, so that none is forgotten.
  Record& change() {
    ++revision_;
    return wanted_;
  }
  // Takes over what stands on the volume, without a write.
  void adopt(Record record) {
    wanted_ = std::move(record);
    acknowledged_ = revision_;
  }
  bool settled() const { return acknowledged_ == revision_; }
  bool in_flight() const { return in_flight_.has_value(); }
  std::uint64_t revision() const { return revision_; }
  std::uint64_t acknowledged() const { return acknowledged_; }
  std::optional<Instant> acknowledged_at() const { return acknowledged_at_; }
  // Since when every write has failed; none: the last one was acknowledged.
  std::optional<Instant> failing_since() const { return failing_since_; }
  std::optional<Instant> failed_at() const { return failed_at_; }
  Sequence sequence() const { return sequence_; }
  void saw(Sequence sequence) { sequence_ = std::max(sequence_, sequence); }

  // The ticket to write under now, if a write is due.
  std::optional<Ticket> due(Turn& turn) {
    if (settled() || in_flight_ || turn.now.at < retry_at_) return std::nullopt;
    in_flight_ = turn.ticket();
    in_flight_revision_ = revision_;
    return in_flight_;
  }
  // true: the answer was this cell's.
  bool on_written(const CellWritten& written, Instant now, Duration retry_after) {
    if (!in_flight_ || *in_flight_ != written.ticket) return false;
    in_flight_.reset();
    if (written.acknowledged) {
      acknowledged_ = in_flight_revision_;
      acknowledged_at_ = now;
      sequence_ = written.sequence;
      failing_since_.reset();
      failed_at_.reset();
    } else {
      if (!failing_since_) failing_since_ = now;
      failed_at_ = now;
      retry_at_ = now + retry_after;
    }
    return true;
  }
  std::optional<Instant> retry_deadline() const {
    if (settled() || in_flight_) return std::nullopt;
    return retry_at_;
  }

 private:
  Record wanted_;
  std::uint64_t revision_{0};
  std::uint64_t acknowledged_{0};
  std::uint64_t in_flight_revision_{0};
  std::optional<Ticket> in_flight_;
  std::optional<Instant> acknowledged_at_;
  std::optional<Instant> failing_since_;
  std::optional<Instant> failed_at_;
  Instant retry_at_{};
  Sequence sequence_;
};

}  // namespace wardom::core
