#include "libha/disk/cell_store.hpp"

#include <algorithm>
#include <utility>

#include "libha/core/check.hpp"
#include "libha/core/timing.hpp"

namespace wardom::disk {
namespace {

CellStore::Outcome refused(std::string why) { return {false, {}, std::move(why)}; }

// A heartbeat fits its head. Nothing else is written over the only good copy.
Tearing tearing_of(Region region) {
  return region == Region::slot ? Tearing::impossible : Tearing::possible;
}

}  // namespace

CellStore::CellStore(VolumeFile volume, HostId self, Incarnation incarnation,
                     Completions& completions, Duration patience, InFlightList* list)
    : volume_(std::move(volume)),
      self_(self),
      incarnation_(incarnation),
      completions_(completions),
      patience_(patience),
      late_(counted_by_clock(std::chrono::milliseconds{volume_.geometry().l_late_ms})),
      list_(list) {}

void CellStore::recover(const Cell& cell, const CellExtents& found, Sequence used) {
  WARDOM_CHECK(volume_.layout().offset(cell, wire::kTwinA).has_value());
  TwinWriter writer(late_, tearing_of(cell.region));
  writer.recover(found.twins[0], found.twins[1],
                 list_ == nullptr ? Doubts{} : list_->doubts(cell), used);
  cells_.insert_or_assign(cell, Care{writer, {}, {}, {}, {}, 0});
}

bool CellStore::settle(const Cell& cell, const CellExtents& found, Instant issued) {
  Care& care = cells_.at(cell);
  if (!care.writer.settle(found.twins[0], found.twins[1], issued)) return false;
  if (list_ != nullptr) list_->settle(cell, issued);
  start_next(cell, care);
  return true;
}

std::vector<Cell> CellStore::due(Instant now) const {
  std::vector<Cell> cells;
  for (const auto& [cell, care] : cells_)
    if (const auto at = care.writer.settles_at(); at && *at <= now) cells.push_back(cell);
  return cells;
}

std::optional<Instant> CellStore::next_due() const {
  std::optional<Instant> next;
  for (const auto& [cell, care] : cells_)
    if (const auto at = care.writer.settles_at(); at && (!next || *at < *next)) next = at;
  return next;
}

std::map<Cell, Sequence> CellStore::used() const {
  std::map<Cell, Sequence> used;
  for (const auto& [cell, care] : cells_) used[cell] = care.writer.last_used();
  return used;
}

void CellStore::write(Lane& lane, const Cell& cell, wire::Bytes payload, Done done, Level level) {
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
  Waiting job{&lane, std::move(payload), std::move(done), level};
  if (care.writer.awaited() && tearing_of(cell.region) == Tearing::impossible) {
    care.overtaken[care.writer.last_used()] = std::exchange(care.done, nullptr);
    care.writer.expire(raw_now(), Duration::zero());
  }
  if (care.writer.awaited())
    care.waiting.push_back(std::move(job));
  else
    start(cell, care, std::move(job));
}

void CellStore::start(const Cell& cell, Care& care, Waiting job) {
  const auto now = raw_now();
  if (care.writer.refuses())
    return job.done(refused(wire::to_text(cell) + ": another version of Wardom wrote it, and what "
                            "is not understood is not written over; use that version's programs"));
  const auto write = care.writer.begin(now);
  if (!write)
    return job.done(refused(wire::to_text(cell) +
                            ": an earlier write to it may still land, and " +
                            (tearing_of(cell.region) == Tearing::impossible
                                 ? "so may one to its other extent"
                                 : "its twin holds the last good one")));
  if (list_ != nullptr) {
    if (auto listed = list_->add({cell, write->twin, write->sequence, {}}); !listed) {
      care.writer.cancel(*write);
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
  head.level = job.level;
  head.speaks = speaks_;
  head.domain = domain_;
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
  if (job.lane->submit(std::move(work))) return;
  --care.in_flight;
  care.writer.cancel(*write);
  if (list_ != nullptr) list_->ended(cell, write->twin, std::nullopt);
  std::exchange(care.done, nullptr)(
      refused(wire::to_text(cell) + ": all I/O threads are stuck or busy"));
}

void CellStore::finish(const Cell& cell, const TwinWriter::Started& write,
                       const Result<void>& result) {
  const auto now = raw_now();
  const bool ok = result.has_value();
  Care& care = cells_.at(cell);
  --care.in_flight;
  const auto ended = care.writer.finished(write, ok, now);
  if (list_ != nullptr)
    list_->ended(cell, write.twin, ok ? std::nullopt : std::optional(now + late_));
  Done done;
  if (ended != TwinWriter::Ended::late) {
    done = std::exchange(care.done, nullptr);
  } else if (const auto late = care.overtaken.find(write.sequence); late != care.overtaken.end()) {
    done = std::move(late->second);
    care.overtaken.erase(late);
  }
  // What was given up by the clock has been answered.
  if (done) done({ok, write.sequence, ok ? std::string() : result.error().message});
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
    if (tearing_of(cell.region) == Tearing::impossible) continue;
    if (!care.writer.expire(now, patience_)) continue;
    std::exchange(care.done, nullptr)(
        refused(wire::to_text(cell) + ": the write does not end; its extent is quarantined"));
    start_next(cell, care);
  }
}

std::optional<Instant> CellStore::next_deadline() const {
  std::optional<Instant> next;
  for (const auto& [cell, care] : cells_) {
    if (!care.writer.awaited() || tearing_of(cell.region) == Tearing::impossible) continue;
    const auto due = care.since + patience_;
    if (!next || due < *next) next = due;
  }
  return next;
}

}  // namespace wardom::disk
