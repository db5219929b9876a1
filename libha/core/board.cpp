#include "libha/core/board.hpp"

#include <algorithm>

#include "libha/core/guest_life.hpp"

namespace wardom::core {

const char* to_text(GuestPhase phase) {
  switch (phase) {
    case GuestPhase::assigned: return "assigned";
    case GuestPhase::claimed: return "claimed";
    case GuestPhase::starting: return "starting";
    case GuestPhase::holding: return "holding";
    case GuestPhase::yielded: return "yielded";
    case GuestPhase::refused: return "refused";
    case GuestPhase::claimed_incoming: return "incoming";
  }
  return "?";
}

const Claim* GuestFacts::newest() const {
  const Claim* best = nullptr;
  for (const auto& claim : claims) {
    if (best == nullptr || claim.entry->generation > best->entry->generation ||
        (claim.entry->generation == best->entry->generation && is_active(claim.entry->phase) &&
         !is_active(best->entry->phase)))
      best = &claim;
  }
  return best;
}

Board::Board(std::vector<HostId> members) : members_(std::move(members)) {
  for (HostId host : members_) {
    decisions_[host];
    tables_[host];
  }
}

void Board::want_all() {
  for (HostId host : members_) {
    want_decision(host);
    want_table(host);
  }
}

std::vector<Cell> Board::take_wanted() {
  std::vector<Cell> cells(wanted_.begin(), wanted_.end());
  wanted_.clear();
  return cells;
}

namespace {

template <class Record>
void keep(Kept<Record>& kept, const CellSeen& cell, Instant issued) {
  kept.read_issued = issued;
  kept.health = cell.health;
  kept.error = cell.error;
  if (cell.health == CellHealth::empty) {
    kept.record = {};
    kept.sequence = {};
    return;
  }
  const auto* record = std::get_if<Record>(&cell.content);
  if (cell.health != CellHealth::valid || record == nullptr) return;  // the last known stays
  kept.record = *record;
  kept.writer = cell.incarnation;
  kept.sequence = cell.sequence;
}

}  // namespace

void Board::on_read(const CellSeen& cell, Instant issued) {
  const HostId host{static_cast<std::uint16_t>(cell.cell.index)};
  if (cell.cell.region == Region::decision && decisions_.contains(host))
    keep(decisions_.at(host), cell, issued);
  if (cell.cell.region == Region::table && tables_.contains(host))
    keep(tables_.at(host), cell, issued);
}

bool Board::read_since(Instant since) const {
  for (HostId host : members_) {
    const auto& decision = decisions_.at(host);
    const auto& table = tables_.at(host);
    if (!decision.read_issued || *decision.read_issued < since) return false;
    if (!table.read_issued || *table.read_issued < since) return false;
  }
  return true;
}

std::string Board::unknown_cell() const {
  for (HostId host : members_) {
    if (!decisions_.at(host).known())
      return "decision cell of host " + std::to_string(host.value) + ": " +
             decisions_.at(host).error;
    if (!tables_.at(host).known())
      return "host table of host " + std::to_string(host.value) + ": " + tables_.at(host).error;
  }
  return {};
}

LockVersion Board::highest_version() const {
  LockVersion highest;
  for (const auto& [host, kept] : decisions_) highest = std::max(highest, kept.record.version);
  return highest;
}

const Verdict* Board::verdict_on(HostId host, const Incarnation& incarnation) const {
  for (const auto& [decider, kept] : decisions_)
    for (const auto& verdict : kept.record.verdicts)
      if (verdict.host == host && verdict.incarnation == incarnation) return &verdict;
  return nullptr;
}

std::map<GuestId, GuestFacts> Board::guests() const {
  std::map<GuestId, GuestFacts> all;
  for (const auto& [host, kept] : tables_) {
    for (const auto& entry : kept.record.guests) {
      auto& facts = all[entry.guest];
      facts.claims.push_back({host, &entry});
      facts.top = std::max(facts.top, entry.generation);
    }
  }
  const auto version = highest_version();
  for (const auto& [decider, kept] : decisions_) {
    for (const auto& assignment : kept.record.assignments) {
      auto& facts = all[assignment.guest];
      facts.top = std::max(facts.top, assignment.generation);
      if (kept.record.version == version) facts.standing.push_back({decider, &assignment});
    }
  }
  return all;
}

}  // namespace wardom::core
