#include "libha/core/board.hpp"

#include <algorithm>
#include <tuple>

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
  const auto rank = [this](const Claim& claim) {
    const auto phase = claim.entry->phase;
    const bool refused = phase == GuestPhase::refused || phase == GuestPhase::assigned ||
                         (phase == GuestPhase::claimed_incoming && comes_from(claim) != nullptr);
    return std::tuple(!refused, claim.entry->generation, is_active(phase));
  };
  const Claim* best = nullptr;
  for (const auto& claim : claims)
    if (best == nullptr || rank(claim) > rank(*best)) best = &claim;
  return best;
}

const Claim* GuestFacts::comes_from(const Claim& incoming) const {
  const auto& way = incoming.entry->hand_over;
  for (const auto& claim : claims)
    if (way && claim.host == way->other && claim.entry->generation == way->generation)
      return &claim;
  return nullptr;
}

Board::Board(std::vector<HostId> members) : members_(std::move(members)) {
  find_proposers();
  wanted_.clear();  // not before the volume can be read
}

void Board::want_words() {
  for (HostId host : proposers()) want_decision(host);
  want_ballots();
}

void Board::want_all() {
  for (HostId host : proposers()) want_table(host);
  want_words();
}

bool Board::has_last_word(HostId host) const {
  const auto& kept = table(host);
  if (!kept.known() || kept.behind()) return true;
  const auto& all = guests();
  return std::any_of(all.begin(), all.end(), [&](const auto& one) {
    const auto& claims = one.second.claims;
    return std::any_of(claims.begin(), claims.end(), [&](const Claim& claim) {
      return claim.host == host && (claim.entry->generation == one.second.top ||
                                    one.second.newest()->host == host);
    });
  });
}

bool Board::has(HostId host) const {
  return std::find(members_.begin(), members_.end(), host) != members_.end();
}

bool Board::in_directory(HostId host) const {
  const auto& directory = lock_.value.directory;
  return std::any_of(directory.begin(), directory.end(),
                     [&](const Proposer& one) { return one.host == host; });
}

const Kept<Decision>& Board::decision(HostId host) const {
  static const Kept<Decision> never_read;
  const auto found = decisions_.find(host);
  return found == decisions_.end() ? never_read : found->second;
}

const Kept<HostTable>& Board::table(HostId host) const {
  static const Kept<HostTable> never_read;
  const auto found = tables_.find(host);
  return found == tables_.end() ? never_read : found->second;
}

void Board::want_ballots() {
  for (HostId host : proposers()) wanted_.insert(ballot_cell(host));
}

std::vector<Cell> Board::take_wanted() {
  const auto rank = [](Region region) {
    return region == Region::decision ? 0 : region == Region::ballot ? 1 : 2;
  };
  std::vector<Cell> cells(wanted_.begin(), wanted_.end());
  std::stable_sort(cells.begin(), cells.end(), [&](const Cell& a, const Cell& b) {
    return rank(a.region) < rank(b.region);
  });
  if (cells.size() > kReadAtMost) cells.resize(kReadAtMost);
  for (const auto& cell : cells) wanted_.erase(cell);
  return cells;
}

const Kept<Ballot>& Board::ballot(HostId host) const {
  static const Kept<Ballot> never_read;
  const auto found = ballots_.find(host);
  return found == ballots_.end() ? never_read : found->second;
}

void Board::find_proposers() {
  std::set<HostId> hosts(members_.begin(), members_.end());
  for (const auto& one : lock_.value.directory) hosts.insert(one.host);
  proposers_.assign(hosts.begin(), hosts.end());
  for (HostId host : proposers_) {
    ballots_[host];
    if (decisions_.contains(host)) continue;
    decisions_[host];
    tables_[host];
    want_decision(host);
    want_table(host);
    wanted_.insert(ballot_cell(host));
  }
}

void Board::lock_changed() {
  lock_ = find_lock();
  find_proposers();
  ++revision_;
}

namespace {

// true: what stands there has changed.
template <class Record>
bool keep(Kept<Record>& kept, const CellSeen& cell, Instant issued) {
  const bool same = kept.health == cell.health && kept.writer == cell.incarnation &&
                    kept.sequence == cell.sequence;
  if (kept.read_issued && issued < *kept.read_issued) return false;  // a newer read has come before
  kept.read_issued = issued;
  kept.health = cell.health;
  kept.error = cell.error;
  kept.level = cell.level;
  if (cell.health == CellHealth::empty) {
    const bool first = !same || kept.sequence != Sequence{};
    kept.record = {};
    kept.sequence = {};
    return first;
  }
  const auto* record = std::get_if<Record>(&cell.content);
  if (cell.health != CellHealth::valid || record == nullptr) return true;  // the last known stays
  if (same) return false;
  if (cell.sequence < kept.sequence) {  // sequences never fall: the newer write cannot be read
    kept.health = CellHealth::damaged;
    kept.error = "an older write is read than was read before";
    return true;
  }
  kept.record = *record;
  kept.writer = cell.incarnation;
  kept.sequence = cell.sequence;
  return true;
}

}  // namespace

// A valid extent that was read before a torn one was seen may be stale. It counts only once it was
// read again, unchanged, after that.
bool Board::keep_ballot(HostId host, const CellSeen& cell, Instant issued) {
  auto& kept = ballots_[host];
  if (host == own_ && own_written_ && issued < *own_written_) return false;
  if (kept.read_issued && issued < *kept.read_issued) return false;  // a newer read has come before
  const auto half = half_read_.find(host);
  if (!cell.twin_damaged || cell.health != CellHealth::valid) {
    if (half != half_read_.end()) half_read_.erase(half);
    if (cell.health != CellHealth::empty || kept.sequence == Sequence{})
      return keep(kept, cell, issued);
    kept.read_issued = issued;
    kept.health = CellHealth::damaged;
    kept.error = "it is empty, and was written before";
    return true;
  }
  const bool again = half != half_read_.end() && half->second == cell.sequence;
  half_read_[host] = cell.sequence;
  if (again) return keep(kept, cell, issued);
  kept.read_issued = issued;
  kept.health = CellHealth::damaged;
  kept.error = "its other extent cannot be judged; it is read again";
  return true;
}

LockWord Board::find_lock() const {
  LockWord word;
  for (const auto& [host, kept] : ballots_) {
    const auto& said = kept.record;
    if (said.decided > word.version) word = {said.decided, said.value, said.released, false};
    if (said.decided != word.version) continue;
    word.released = word.released || said.released;
    word.conflict = word.conflict || said.value != word.value;
  }
  const auto gave = given_up_.find(word.value.owner.host);
  if (gave != given_up_.end() && gave->second.first == word.value.owner &&
      gave->second.second >= word.version)
    word.released = true;
  return word;
}

void Board::wrote_ballot(HostId self, const Ballot& ballot, Sequence sequence, Instant now) {
  auto& kept = ballots_[self];
  kept.record = ballot;
  kept.sequence = std::max(kept.sequence, sequence);
  kept.health = CellHealth::valid;
  kept.error.clear();
  half_read_.erase(self);
  own_ = self;
  own_written_ = now;
  lock_changed();
}

// A volume that was moved to one with more room has them elsewhere: where they were, others are.
void Board::set_ballot_base(std::uint32_t base) {
  if (base != ballot_base_)
    std::erase_if(wanted_, [](const Cell& cell) { return cell.region == Region::ballot; });
  ballot_base_ = base;
}

void Board::on_read(const CellSeen& cell, Instant issued) {
  bool changed = false;
  if (cell.cell.region == Region::ballot) {
    if (cell.cell.index <= ballot_base_) return;
    const HostId host{static_cast<std::uint16_t>(cell.cell.index - ballot_base_)};
    changed = keep_ballot(host, cell, issued);
    if (changed) lock_changed();
    return;
  }
  const HostId host{static_cast<std::uint16_t>(cell.cell.index)};
  if (cell.cell.region == Region::decision && decisions_.contains(host)) {
    auto& kept = decisions_.at(host);
    changed = keep(kept, cell, issued);
    if (changed) note_verdicts(kept.record);
    if (kept.record.domain != domain_) kept.record = {};
    level_ = std::max(level_, kept.record.level);
  }
  if (cell.cell.region == Region::table && tables_.contains(host))
    changed = keep(tables_.at(host), cell, issued);
  if (changed) ++revision_;
}

void Board::on_given_up(const Owner& life, LockVersion version) {
  if (version == LockVersion{}) return;
  auto& known = given_up_[life.host];
  if (known.first == life && known.second >= version) return;
  known = {life, version};
  if (!lock_.released && life == lock_.value.owner && version >= lock_.version) lock_changed();
}

void Board::promise(HostId host, Sequence decision, Sequence ballot, Sequence table) {
  if (!decisions_.contains(host)) return;
  auto& kept_ballot = ballots_[host];
  kept_ballot.promised = std::max(kept_ballot.promised, ballot);
  if (kept_ballot.behind()) wanted_.insert(ballot_cell(host));
  auto& kept_decision = decisions_.at(host);
  kept_decision.promised = std::max(kept_decision.promised, decision);
  if (kept_decision.behind()) {
    want_decision(host);
    want_ballots();  // it may be the first word of a new owner
  }
  auto& kept_table = tables_.at(host);
  kept_table.promised = std::max(kept_table.promised, table);
  if (kept_table.behind()) want_table(host);
}

void Board::note_verdicts(const Decision& decision) {
  for (const auto& verdict : decision.verdicts) {
    const auto [found, fresh] = verdicts_.try_emplace(verdict.host, verdict);
    if (!fresh && found->second.incarnation.number < verdict.incarnation.number)
      found->second = verdict;
  }
}

Level Board::oldest_level(Level most) const {
  Level oldest = most;
  const auto consider = [&](const auto& kept) {
    const bool says = kept.health == CellHealth::unknown_version ||
                      (kept.health == CellHealth::valid && kept.sequence != Sequence{});
    if (says) oldest = std::min(oldest, kept.level);
  };
  for (HostId host : proposers_) {
    consider(decisions_.at(host));
    consider(ballots_.at(host));
    consider(tables_.at(host));
  }
  return oldest;
}

bool Board::read_since(Instant since) const {
  return std::all_of(proposers_.begin(), proposers_.end(), [&](HostId host) {
    const auto& table = tables_.at(host);
    return table.read_issued && *table.read_issued >= since;
  }) && words_read_since(since);
}

bool Board::words_read_since(Instant since) const {
  return std::all_of(proposers_.begin(), proposers_.end(), [&](HostId host) {
    const auto& decision = decisions_.at(host);
    const auto& kept = ballots_.at(host);
    // The own ballot cell is known without being read.
    const bool own = host == own_ && own_written_.has_value();
    return decision.read_issued && *decision.read_issued >= since &&
           (own || (kept.read_issued && *kept.read_issued >= since));
  });
}

namespace {

template <class Record>
std::string doubt_about(const char* what, HostId host, const Kept<Record>& kept) {
  const std::string name = what + std::to_string(host.value) + ": ";
  if (!kept.known()) return name + kept.error;
  if (kept.behind())
    return name + "its owner has written sequence " + std::to_string(kept.promised.value) +
           ", the newest that can be read is " + std::to_string(kept.sequence.value);
  return {};
}

}  // namespace

std::string Board::unknown_cell() const {
  if (auto doubt = unknown_word(); !doubt.empty()) return doubt;
  for (HostId host : proposers())
    if (auto doubt = doubt_about("host table of host ", host, tables_.at(host)); !doubt.empty())
      return doubt;
  return {};
}

std::string Board::unknown_word() const {
  for (HostId host : proposers())
    if (auto doubt = doubt_about("decision cell of host ", host, decisions_.at(host));
        !doubt.empty())
      return doubt;
  for (HostId host : proposers())
    if (!ballot(host).known())
      return "ballot cell of host " + std::to_string(host.value) + ": " + ballot(host).error;
  return conflict();
}

std::string Board::unknown_ballot() const {
  for (HostId host : proposers())
    if (auto doubt = doubt_about("ballot cell of host ", host, ballot(host)); !doubt.empty())
      return doubt;
  return conflict();
}

std::optional<Instant> Board::ballots_read_issued() const {
  Instant oldest = Instant::never();
  for (HostId host : proposers_) {
    const auto& kept = ballots_.at(host);
    if (host == own_ && own_written_) continue;  // known without being read
    if (!kept.read_issued) return std::nullopt;
    oldest = std::min(oldest, *kept.read_issued);
  }
  return oldest;
}

std::string Board::conflict() const {
  if (lock_.conflict)
    return "ballot cells name two owners of lock version " + std::to_string(lock_.version.value);
  return {};
}

const Decision* Board::leading_decision() const {
  const auto found = decisions_.find(lock_.value.owner.host);
  if (lock_.conflict || found == decisions_.end()) return nullptr;
  const auto& kept = found->second;
  const bool same_life = kept.writer == lock_.value.owner.incarnation;
  return kept.record.version == lock_.version && same_life ? &kept.record : nullptr;
}

Lead Board::newest_decision() const {
  Lead lead;
  for (const auto& [host, kept] : decisions_)
    if (kept.record.version > lead.version) lead = {kept.record.version, host};
  return lead;
}

const Verdict* Board::verdict_on(HostId host, const Incarnation& incarnation) const {
  const auto found = verdicts_.find(host);
  if (found == verdicts_.end()) return nullptr;
  const auto& dead = found->second.incarnation;
  return dead == incarnation || dead.number > incarnation.number ? &found->second : nullptr;
}

const std::map<GuestId, GuestFacts>& Board::guests() const {
  if (gathered_ != revision_) {
    guests_ = gather();
    gathered_ = revision_;
  }
  return guests_;
}

std::map<GuestId, GuestFacts> Board::gather() const {
  std::map<GuestId, GuestFacts> all;
  for (const auto& [host, kept] : tables_) {
    for (const auto& entry : kept.record.guests) {
      auto& facts = all[entry.guest];
      facts.claims.push_back({host, &entry});
      facts.top = std::max(facts.top, entry.generation);
    }
  }
  const auto* leading = leading_decision();
  for (const auto& [decider, kept] : decisions_) {
    for (const auto& assignment : kept.record.assignments) {
      auto& facts = all[assignment.guest];
      facts.top = std::max(facts.top, assignment.generation);
      if (&kept.record == leading) facts.standing.push_back({decider, &assignment});
    }
  }
  return all;
}

}  // namespace wardom::core
