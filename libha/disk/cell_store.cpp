#include "libha/disk/cell_store.hpp"

#include <algorithm>
#include <utility>

#include "libha/core/check.hpp"

namespace wardom::disk {
namespace {

CellStore::Outcome refused(std::string why) { return {false, {}, std::move(why)}; }

}  // namespace

CellStore::CellStore(VolumeFile volume, HostId self, Incarnation incarnation,
                     Completions& completions, Duration patience, InFlightList* list)
    : volume_(std::move(volume)),
      self_(self),
      incarnation_(incarnation),
      completions_(completions),
      patience_(patience),
      list_(list) {}

void CellStore::recover(const Cell& cell, const CellExtents& found) {
  WARDOM_CHECK(volume_.layout().offset(cell, wire::kTwinA).has_value());
  const auto inherited = list_ == nullptr ? Inherited{} : list_->inherited(cell);
  // A heartbeat fits its head. Nothing else is written over the only good copy.
  const auto tearing =
      cell.region == Region::slot ? Tearing::impossible : Tearing::possible;
  Care& care = cells_[cell] = Care{TwinWriter(tearing), {}, {}, {}, 0, false};
  care.writer.recover(found.twins[0], found.twins[1], inherited);
  care.inherited = inherited[0] || inherited[1];
}

bool CellStore::settle(const Cell& cell, const CellExtents& found) {
  using wire::ExtentState;
  const auto readable = [](const wire::Extent& extent) {
    return extent.state == ExtentState::valid || extent.state == ExtentState::empty;
  };
  if (!readable(found.twins[0]) && !readable(found.twins[1])) return false;
  Care& care = cells_.at(cell);
  if (!std::exchange(care.inherited, false)) return true;
  care.writer.settle(found.twins[0], found.twins[1]);
  list_->settle(cell);
  start_next(cell, care);
  return true;
}

std::vector<Cell> CellStore::inherited() const {
  std::vector<Cell> cells;
  for (const auto& [cell, care] : cells_)
    if (care.inherited) cells.push_back(cell);
  return cells;
}

void CellStore::write(Lane& lane, const Cell& cell, wire::Bytes payload, Done done) {
  const auto found = cells_.find(cell);
  if (found == cells_.end())
    return done(refused(wire::to_text(cell) +
                        ": not a cell of this host; every cell has one writer"));
  Care& care = found->second;
  const auto room = wire::extent_payload(volume_.layout().blocks(cell.region));
  if (payload.size() > room)
    return done(refused(wire::to_text(cell) + ": " + std::to_string(payload.size()) +
                        " bytes; its extent has room for " + std::to_string(room)));
  if (care.waiting.size() >= kMaxWaitingWrites)
    return done(refused(wire::to_text(cell) + ": too many writes are waiting"));
  Waiting job{&lane, std::move(payload), std::move(done)};
  if (care.writer.awaited())
    care.waiting.push_back(std::move(job));
  else
    start(cell, care, std::move(job));
}

void CellStore::start(const Cell& cell, Care& care, Waiting job) {
  const auto now = raw_now();
  const auto write = care.writer.begin(now);
  if (!write)
    return job.done(refused(wire::to_text(cell) +
                            ": an earlier write to it does not end, and its twin holds the last "
                            "good one"));
  if (list_ != nullptr) {
    if (auto listed = list_->add({cell, write->twin, write->sequence}); !listed) {
      care.writer.finished(*write, false);
      return job.done(refused(listed.error().message));
    }
  }
  wire::Head head;
  head.volume = volume_.geometry().volume_uuid;
  head.cell = cell;
  head.twin = write->twin;
  head.writer = self_;
  head.incarnation = incarnation_;
  head.sequence = write->sequence;
  const auto image = wire::encode_extent(head, job.payload);
  auto buffer = std::make_shared<Buffer>(image.size());
  std::copy(image.begin(), image.end(), buffer->bytes().begin());
  care.since = now;
  care.done = std::move(job.done);
  ++care.in_flight;
  const auto at = *volume_.layout().offset(cell, write->twin);
  auto work = [this, io = volume_.io(), buffer, at, cell, write = *write,
               completions = &completions_] {
    auto result = io->write(at, std::as_const(*buffer).bytes());
    completions->post([this, cell, write, result = std::move(result)] {
      finish(cell, write, result);
    });
  };
  if (!job.lane->submit(std::move(work)))
    finish(cell, *write, failure(wire::to_text(cell) + ": all I/O threads are stuck or busy"));
}

void CellStore::finish(const Cell& cell, const TwinWriter::Started& write,
                       const Result<void>& result) {
  Care& care = cells_.at(cell);
  --care.in_flight;
  if (list_ != nullptr) list_->remove(cell, write.twin);
  switch (care.writer.finished(write, result.has_value())) {
    case TwinWriter::Ended::late: break;  // answered when it was given up
    case TwinWriter::Ended::acknowledged:
      std::exchange(care.done, nullptr)({true, write.sequence, {}});
      break;
    case TwinWriter::Ended::failed:
      std::exchange(care.done, nullptr)({false, write.sequence, result.error().message});
      break;
  }
  start_next(cell, care);
}

void CellStore::start_next(const Cell& cell, Care& care) {
  while (!care.writer.awaited() && !care.waiting.empty()) {
    auto job = std::move(care.waiting.front());
    care.waiting.pop_front();
    start(cell, care, std::move(job));
  }
}

bool CellStore::busy(const Cell& cell) const {
  const auto found = cells_.find(cell);
  return found != cells_.end() &&
         (found->second.writer.awaited() || !found->second.waiting.empty());
}

std::size_t CellStore::quarantined(const Cell& cell) const {
  const auto found = cells_.find(cell);
  return found == cells_.end() ? 0 : found->second.writer.quarantined();
}

bool CellStore::in_flight() const {
  return std::any_of(cells_.begin(), cells_.end(),
                     [](const auto& entry) { return entry.second.in_flight > 0; });
}

void CellStore::tick(Instant now) {
  for (auto& [cell, care] : cells_) {
    if (!care.writer.expire(now, patience_)) continue;
    std::exchange(care.done, nullptr)(
        refused(wire::to_text(cell) + ": the write does not end; its extent is quarantined"));
    start_next(cell, care);
  }
}

std::optional<Instant> CellStore::next_deadline() const {
  std::optional<Instant> next;
  for (const auto& [cell, care] : cells_) {
    if (!care.writer.awaited()) continue;
    const auto due = care.since + patience_;
    if (!next || due < *next) next = due;
  }
  return next;
}

}  // namespace wardom::disk
