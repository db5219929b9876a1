#include "libha/disk/twin_writer.hpp"

#include <algorithm>
#include <utility>

#include "libha/core/check.hpp"

namespace wardom::disk {
namespace {

wire::Twin other(wire::Twin twin) { return twin == wire::kTwinA ? wire::kTwinB : wire::kTwinA; }

}  // namespace

void TwinWriter::recover(const wire::Extent& a, const wire::Extent& b, const Doubts& doubts,
                         Sequence used) {
  last_used_ = std::max(last_used_, used);
  for (std::size_t i = 0; i < doubts.size(); ++i) {
    extents_[i].doubt = doubts[i];
    if (doubts[i]) last_used_ = std::max(last_used_, doubts[i]->sequence);
  }
  judge(a, b);
}

bool TwinWriter::settle(const wire::Extent& a, const wire::Extent& b, Instant issued) {
  using wire::ExtentState;
  const auto readable = [](const wire::Extent& extent) {
    return extent.state == ExtentState::valid || extent.state == ExtentState::empty;
  };
  if (!readable(a) && !readable(b)) return false;
  for (auto& extent : extents_)
    if (extent.doubt && extent.doubt->until <= issued) extent.doubt.reset();
  judge(a, b);
  return true;
}

std::optional<Instant> TwinWriter::settles_at() const {
  std::optional<Instant> first;
  for (const auto& extent : extents_)
    if (extent.doubt && (!first || extent.doubt->until < *first)) first = extent.doubt->until;
  return first;
}

void TwinWriter::judge(const wire::Extent& a, const wire::Extent& b) {
  using wire::ExtentState;
  bool unknown = false;
  std::optional<wire::Twin> unjudged;
  if (wire::bars_writing(a, b)) refuses_ = true;
  for (const auto* extent : {&a, &b}) {
    // The head of a torn extent is whole, and so is one of another version: its sequence has been
    // used.
    const bool known = extent->state == ExtentState::valid || extent->state == ExtentState::torn ||
                       extent->state == ExtentState::unknown_version;
    if (known) last_used_ = std::max(last_used_, extent->head.sequence);
    if (known || extent->state == ExtentState::empty) continue;
    unknown = true;
    unjudged = extent == &a ? wire::kTwinA : wire::kTwinB;
  }
  if (a.state == ExtentState::valid) landed(wire::kTwinA, a.head.sequence);
  if (b.state == ExtentState::valid) landed(wire::kTwinB, b.head.sequence);
  // It may hold what was acknowledged last, and come back: the first write goes to its twin. So a
  // torn extent beside an empty one hides nothing (wire::first_write_torn).
  if (!newest_ && unjudged) landed(*unjudged, Sequence{});
  if (unknown) last_used_.value += kUnknownSequenceGap;
}

std::size_t TwinWriter::quarantined() const {
  std::size_t count = 0;
  for (std::uint8_t i = 0; i < 2; ++i) {
    const bool waited_for = awaited_ && awaited_->write.twin == wire::Twin{i};
    if (!extents_[i].free() && !waited_for) ++count;
  }
  return count;
}

std::optional<TwinWriter::Started> TwinWriter::begin(Instant now) {
  if (awaited_ || refuses_) return std::nullopt;
  wire::Twin twin = newest_ ? other(*newest_) : wire::kTwinA;
  if (!newest_ || tearing_ == Tearing::impossible) {
    const bool tired = extents_[twin.value].failures >= kFailuresBeforeSwitch &&
                       extents_[other(twin).value].failures < extents_[twin.value].failures;
    if (tired || !extents_[twin.value].free()) twin = other(twin);
    if (!extents_[twin.value].free()) twin = other(twin);
  }
  if (!extents_[twin.value].free()) return std::nullopt;
  last_used_ = last_used_.next();
  extents_[twin.value].in_flight = true;
  awaited_ = Awaited{{twin, last_used_}, now};
  return awaited_->write;
}

bool TwinWriter::expire(Instant now, Duration patience) {
  if (!awaited_ || now - awaited_->since < patience) return false;
  awaited_.reset();
  return true;
}

TwinWriter::Ended TwinWriter::finished(const Started& write, bool ok, Instant now) {
  Extent& extent = extents_[write.twin.value];
  WARDOM_CHECK(extent.in_flight);
  extent.in_flight = false;
  extent.failures = ok ? 0 : extent.failures + 1;
  if (ok)
    landed(write.twin, write.sequence);
  else
    extent.doubt = Doubt{write.sequence, now + late_};
  if (!awaited_ || awaited_->write.sequence != write.sequence) return Ended::late;
  awaited_.reset();
  return ok ? Ended::acknowledged : Ended::failed;
}

void TwinWriter::cancel(const Started& write) {
  WARDOM_CHECK(awaited_ && awaited_->write.sequence == write.sequence);
  extents_[write.twin.value].in_flight = false;
  awaited_.reset();
}

void TwinWriter::landed(wire::Twin twin, Sequence sequence) {
  if (newest_ && sequence < newest_sequence_) return;
  newest_ = twin;
  newest_sequence_ = sequence;
}

}  // namespace wardom::disk
