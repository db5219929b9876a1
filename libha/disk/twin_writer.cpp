#include "libha/disk/twin_writer.hpp"

#include <algorithm>
#include <utility>

#include "libha/core/check.hpp"

namespace wardom::disk {
namespace {

wire::Twin other(wire::Twin twin) { return twin == wire::kTwinA ? wire::kTwinB : wire::kTwinA; }

}  // namespace

void TwinWriter::recover(const wire::Extent& a, const wire::Extent& b,
                         const Inherited& inherited) {
  for (std::size_t i = 0; i < inherited.size(); ++i) {
    if (!inherited[i]) continue;
    extents_[i].in_flight = extents_[i].inherited = true;
    last_used_ = std::max(last_used_, *inherited[i]);
  }
  judge(a, b);
}

void TwinWriter::settle(const wire::Extent& a, const wire::Extent& b) {
  for (auto& extent : extents_)
    if (std::exchange(extent.inherited, false)) extent.in_flight = false;
  judge(a, b);
}

void TwinWriter::judge(const wire::Extent& a, const wire::Extent& b) {
  using wire::ExtentState;
  bool unknown = false;
  for (const auto* extent : {&a, &b}) {
    // A torn extent's head is whole: its sequence has been used.
    const bool known = extent->state == ExtentState::valid || extent->state == ExtentState::torn;
    if (known) last_used_ = std::max(last_used_, extent->head.sequence);
    if (!known && extent->state != ExtentState::empty) unknown = true;
  }
  if (a.state == ExtentState::valid) landed(wire::kTwinA, a.head.sequence);
  if (b.state == ExtentState::valid) landed(wire::kTwinB, b.head.sequence);
  if (unknown) last_used_.value += kUnknownSequenceGap;
}

std::size_t TwinWriter::quarantined() const {
  std::size_t count = 0;
  for (std::uint8_t i = 0; i < 2; ++i) {
    const bool waited_for = awaited_ && awaited_->write.twin == wire::Twin{i};
    if (extents_[i].in_flight && !waited_for) ++count;
  }
  return count;
}

std::optional<TwinWriter::Started> TwinWriter::begin(Instant now) {
  if (awaited_) return std::nullopt;
  wire::Twin twin = newest_ ? other(*newest_) : wire::kTwinA;
  if (!newest_ || tearing_ == Tearing::impossible) {
    const bool tired = extents_[twin.value].failures >= kFailuresBeforeSwitch &&
                       extents_[other(twin).value].failures < extents_[twin.value].failures;
    if (tired || extents_[twin.value].in_flight) twin = other(twin);
    if (extents_[twin.value].in_flight) twin = other(twin);
  }
  if (extents_[twin.value].in_flight) return std::nullopt;
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

TwinWriter::Ended TwinWriter::finished(const Started& write, bool ok) {
  Extent& extent = extents_[write.twin.value];
  WARDOM_CHECK(extent.in_flight);
  extent.in_flight = false;
  extent.failures = ok ? 0 : extent.failures + 1;
  if (ok) landed(write.twin, write.sequence);
  if (!awaited_ || awaited_->write.sequence != write.sequence) return Ended::late;
  awaited_.reset();
  return ok ? Ended::acknowledged : Ended::failed;
}

void TwinWriter::landed(wire::Twin twin, Sequence sequence) {
  if (newest_ && sequence < newest_sequence_) return;
  newest_ = twin;
  newest_sequence_ = sequence;
}

}  // namespace wardom::disk
