#include "libha/core/domain_lock.hpp"

#include <algorithm>
#include <utility>

#include "libha/core/check.hpp"
#include "libha/core/host_text.hpp"

namespace wardom::core {
namespace {

// Own numbers differ from everybody else's: the host id is their remainder.
constexpr std::uint64_t kNumberStride = 2048;

BallotNumber above(BallotNumber seen, HostId self) {
  return BallotNumber{(seen.value / kNumberStride + 1) * kNumberStride + self.value};
}

std::string version_text(LockVersion version) {
  return "lock version " + std::to_string(version.value);
}

Note note_of(Severity severity, HostId host, std::string text) {
  return {severity, "lock", host, {}, {}, "", std::move(text), {}};
}

}  // namespace

void DomainLock::on_ready(const VolumeReady& ready, Instant now) {
  const bool same_life = me_.incarnation == ready.incarnation && me_.epoch == ready.epoch;
  me_ = ready;
  ready_ = true;
  reading_.reset();
  writing_.reset();
  ready_at_ = now;
  const bool held =
      std::holds_alternative<Holding>(state_) || std::holds_alternative<Releasing>(state_);
  if (same_life && own_ && held) return;
  if (!same_life) given_up_ = begun_ = {};
  // A ballot under way has ended. What this process had submitted is settled by now, and is
  // honoured as it is read.
  state_ = Idle{};
  own_.reset();
  free_since_.reset();
  board_.want_ballots();
}

void DomainLock::on_lost() {
  ready_ = false;
  reading_.reset();
}

std::vector<Proposer> DomainLock::members_as_proposers() const {
  std::vector<Proposer> all;
  for (HostId host : members_) all.push_back({host, false, 1});
  return all;
}

// Whose cells a ballot reads. Before there is a directory, that is everybody's: two hosts whose
// wardom.toml name other members would else decide the first version twice.
std::vector<HostId> DomainLock::acceptors() const {
  std::vector<HostId> hosts;
  if (board_.lock().version == LockVersion{})
    for (std::uint16_t id = 1; id <= me_.volume_hosts; ++id) hosts.push_back(HostId{id});
  else
    for (const auto& one : board_.lock().value.directory) hosts.push_back(one.host);
  return hosts;
}

// This very life owns the highest version.
bool DomainLock::own_word() const {
  const auto& word = board_.lock();
  return word.version != LockVersion{} && word.value.owner == self();
}

// What an earlier life of this host left in the own cell is where this one begins.
bool DomainLock::load_own() {
  if (own_) return true;
  const auto& kept = board_.ballot(self_);
  if (!kept.read_issued || *kept.read_issued < ready_at_) return false;
  if (!kept.known()) {
    board_.want_ballots();  // fails closed until it can be read
    return false;
  }
  own_ = kept.record;
  own_level_ = kept.level;
  sequence_ = std::max(sequence_, kept.sequence);
  return true;
}

// The own cell says what it said, in the level that the domain has gone on to: no release that
// follows reads the old one. While a ballot is under way its own writes do that.
void DomainLock::rewrite(Turn& turn) {
  const bool at_rest =
      std::holds_alternative<Idle>(state_) || std::holds_alternative<Holding>(state_);
  if (!at_rest || writing_ || own_level_ >= level_ || sequence_ == Sequence{} ||
      turn.now.at < next_rewrite_)
    return;
  write(turn);
  rewriting_ = true;
}

bool DomainLock::free(const LockStanding& standing) const {
  const auto& word = board_.lock();
  if (word.version == LockVersion{} || word.released || standing.owner_gone) return true;
  const auto& owner = word.value.owner;
  return owner.host == self_ &&
         (owner.incarnation.number < me_.incarnation.number ||
          (owner.incarnation == me_.incarnation && owner.epoch < me_.epoch));
}

bool DomainLock::holds() const {
  const auto* holding = std::get_if<Holding>(&state_);
  const auto& word = board_.lock();
  return ready_ && holding != nullptr && holding->version == word.version &&
         given_up_ < word.version && !word.released &&
         !word.conflict && word.value.owner == self();
}

bool DomainLock::left() const {
  return !std::holds_alternative<Holding>(state_) && !std::holds_alternative<Releasing>(state_) &&
         !std::holds_alternative<Recording>(state_);
}

void DomainLock::write(Turn& turn) {
  WARDOM_CHECK(!writing_ && own_ && own_->mbal >= own_->bal);
  WARDOM_CHECK(own_->version == LockVersion{} || own_->version > own_->decided);
  writing_ = turn.ticket();
  rewriting_ = false;
  writing_level_ = level_;
  turn.orders.ballots.push_back({*writing_, *own_});
}

std::vector<Cell> DomainLock::others() const {
  std::vector<Cell> cells;
  for (HostId host : acceptors())
    if (host != self_) cells.push_back(board_.ballot_cell(host));
  return cells;
}

void DomainLock::read_next(std::vector<Cell>& rest, Turn& turn) {
  const auto count = static_cast<std::ptrdiff_t>(std::min(rest.size(), Board::kReadAtMost));
  ReadCells read{turn.ticket(), {rest.begin(), rest.begin() + count}};
  rest.erase(rest.begin(), rest.begin() + count);
  reading_ = Reading{read.ticket, turn.now.at};
  turn.orders.reads.push_back(std::move(read));
}

std::optional<Instant> DomainLock::reading_since(Ticket ticket) const {
  if (!reading_ || reading_->ticket != ticket) return std::nullopt;
  return reading_->issued;
}

// Why this attempt must end; empty: all others were read since, and none has gone further.
DomainLock::Objection DomainLock::objection(const Attempt& attempt, Instant since) const {
  if (board_.lock().conflict) return {"the ballot cells name two owners of one version"};
  if (board_.lock().version >= attempt.version)
    return {version_text(board_.lock().version) + " is decided already"};
  for (HostId host : acceptors()) {
    if (host == self_) continue;
    const auto& kept = board_.ballot(host);
    if (!kept.known() || !kept.read_issued || *kept.read_issued < since)
      return {"the ballot cell of " + host_text(host) + " cannot be read: " + kept.error};
    const auto& said = kept.record;
    if (said.version > attempt.version ||
        (said.version == attempt.version && said.mbal > attempt.number))
      return {host_text(host) + " has a higher ballot", true};
  }
  return {};
}

void DomainLock::abort(const Attempt& attempt, const std::string& why, Turn& turn, bool duel) {
  turn.note(note_of(Severity::info, self_, "ballot ended: " + why));
  board_.want_ballots();
  state_ = Idle{};
  if (attempt.held) {
    // DECIDED of the own version still stands in the own cell.
    next_directory_ = turn.now.at + directory_pause_;
    directory_pause_ = std::min(2 * directory_pause_, kDirectoryPauseMost);
    if (own_word() && own_->decided == board_.lock().version && !own_->released)
      state_ = Holding{own_->decided};
    return;
  }
  ++tries_;
  // The first retry comes at once, except after a duel, in which both would lose again: then the
  // places in the line count once more, and chance, the more the longer it lasts.
  Duration pause{0};
  if (duel || tries_ > 1) {
    const auto most = std::min(kBallotBackOff * (std::int64_t{1} << std::min(tries_ - 1, 10)),
                               timing_.feed_window / 2);
    pause = Duration{static_cast<std::int64_t>(turn.random.next() %
                                               static_cast<std::uint64_t>(most.count()))};
    if (duel) pause += static_cast<std::int64_t>(place_.value_or(0)) * kRankPause;
  }
  not_before_ = turn.now.at + pause;
}

// What is decided goes into the own cell; a ballot for a later version stays as it is.
void DomainLock::know_decided(LockVersion version, const LockValue& value, bool released) {
  WARDOM_CHECK(version >= own_->decided);
  released = released || (own_->decided == version && own_->released);
  if (own_->version <= version)
    *own_ = Ballot{version, value, released, {}, {}, {}, {}};
  else
    own_->decided = version, own_->value = value, own_->released = released;
}

// Phase 1: the own cell says which version is balloted for, and under which number.
void DomainLock::begin(std::vector<Proposer> directory, Turn& turn) {
  const auto& word = board_.lock();
  const LockVersion version = word.version.next();
  BallotNumber highest;
  for (HostId host : acceptors()) {
    const auto& said = host == self_ ? *own_ : board_.ballot(host).record;
    if (said.version == version) highest = std::max(highest, said.mbal);
  }
  if (word.version != LockVersion{}) know_decided(word.version, word.value, word.released);
  if (own_->version != version) {
    WARDOM_CHECK(own_->version < version);
    own_->bal = {};
    own_->input = {};
  }
  own_->version = version;
  own_->mbal = above(highest, self_);
  begun_ = std::max(begun_, version);
  state_ = Promising{{version, own_->mbal, std::move(directory), own_word() && !word.released}};
  write(turn);
}

// Phase 2: the value of the highest number that was ever proposed for this version, or an own one.
void DomainLock::propose(const Attempt& attempt, Turn& turn) {
  const Ballot* best = own_->bal != BallotNumber{} ? &*own_ : nullptr;
  for (HostId host : acceptors()) {
    if (host == self_) continue;
    const auto& said = board_.ballot(host).record;
    if (said.version != attempt.version || said.bal == BallotNumber{}) continue;
    if (best == nullptr || said.bal > best->bal) best = &said;
  }
  const LockValue value = best != nullptr ? best->input : LockValue{self(), attempt.directory};
  own_->input = value;
  own_->bal = attempt.number;
  state_ = Proposing{attempt};
  write(turn);
}

// DECIDED stands in the own cell before this host acts, or before it leaves the matter.
void DomainLock::record(LockVersion version, const LockValue& value, Turn& turn) {
  know_decided(version, value, false);
  begun_ = std::max(begun_, version);
  state_ = Recording{version};
  write(turn);
}

// From now on this life never acts under `version` again, whatever becomes of the write.
void DomainLock::release(LockVersion version, const std::string& why, Turn& turn) {
  given_up_ = std::max({given_up_, version, begun_});
  // The own cell's word is this life's own, where it has that version.
  const LockValue value = own_->decided == version ? own_->value : board_.lock().value;
  know_decided(version, value, true);
  state_ = Releasing{version};
  turn.note(note_of(Severity::notice, self_, "gives up " + version_text(version) + ": " + why));
  if (!writing_ && ready_) write(turn);
}

void DomainLock::on_written(const CellWritten& written, Turn& turn) {
  if (writing_ != written.ticket) return;
  writing_.reset();
  const bool ok = written.acknowledged;
  if (ok) own_level_ = writing_level_;
  // It changes nothing: the own word may be another one by now, and follows.
  if (std::exchange(rewriting_, false)) {
    if (ok)
      sequence_ = std::max(sequence_, written.sequence);
    else
      next_rewrite_ = turn.now.at + inquiry_interval(timing_);
    return;
  }
  if (ok) {
    sequence_ = std::max(sequence_, written.sequence);
    board_.wrote_ballot(self_, *own_, written.sequence, turn.now.at);
  }
  if (const auto* promising = std::get_if<Promising>(&state_)) {
    auto attempt = promising->attempt;
    if (!ok) return abort(attempt, "its first write failed: " + written.error, turn);
    state_ = Asking{std::move(attempt), turn.now.at, others()};
    read_on(turn);
  } else if (const auto* proposing = std::get_if<Proposing>(&state_)) {
    auto attempt = proposing->attempt;
    if (!ok) return abort(attempt, "its second write failed: " + written.error, turn);
    state_ = Confirming{std::move(attempt), turn.now.at, others()};
    read_on(turn);
  } else if (const auto* recording = std::get_if<Recording>(&state_)) {
    if (!ok) return void(not_before_ = turn.now.at + inquiry_interval(timing_));
    const auto version = recording->version;
    state_ = Idle{};
    if (own_->value.owner == self() && !own_->released && given_up_ < version)
      state_ = Holding{version};
    directory_pause_ = kDirectoryPause;
  } else if (const auto* releasing = std::get_if<Releasing>(&state_)) {
    if (!ok) return void(not_before_ = turn.now.at + inquiry_interval(timing_));
    turn.note(note_of(Severity::notice, self_, version_text(releasing->version) + " is released"));
    state_ = Idle{};
  }
}

// Reads what is still to be read of this phase; then the phase ends.
void DomainLock::read_on(Turn& turn) {
  if (auto* asking = std::get_if<Asking>(&state_)) {
    if (!asking->rest.empty()) return read_next(asking->rest, turn);
    const auto attempt = asking->attempt;
    const auto [why, duel] = objection(attempt, asking->since);
    return why.empty() ? propose(attempt, turn) : abort(attempt, why, turn, duel);
  }
  if (auto* confirming = std::get_if<Confirming>(&state_)) {
    if (!confirming->rest.empty()) return read_next(confirming->rest, turn);
    const auto attempt = confirming->attempt;
    const auto [why, duel] = objection(attempt, confirming->since);
    if (!why.empty()) return abort(attempt, why, turn, duel);
    const LockValue value = own_->input;
    record(attempt.version, value, turn);
  }
}

bool DomainLock::on_read(Ticket ticket, Turn& turn) {
  if (!reading_ || reading_->ticket != ticket) return false;
  reading_.reset();
  read_on(turn);
  return true;
}

void DomainLock::tick(const LockStanding& standing, Turn& turn) {
  place_ = std::nullopt;
  level_ = standing.level;
  if (standing.fit)
    unfit_since_.reset();
  else if (!unfit_since_)
    unfit_since_ = turn.now.at;
  const bool long_unfit =
      unfit_since_ && turn.now.at - *unfit_since_ >= timing_.feed_window / 2;
  if (standing.over || long_unfit) give_up();
  if (!ready_ || me_.incarnation.is_none() || !load_own()) return;
  if (reading_ && turn.now.at - reading_->issued > volume_patience(timing_)) {
    reading_.reset();
    if (const auto* asking = std::get_if<Asking>(&state_))
      abort(Attempt{asking->attempt}, "a read does not end", turn);
    else if (const auto* confirming = std::get_if<Confirming>(&state_))
      abort(Attempt{confirming->attempt}, "a read does not end", turn);
  }
  advance(standing, turn);
  if (standing.fit) rewrite(turn);
}

// What this life owns, and what it may yet come to own by its ballot, if others complete that.
void DomainLock::give_up() {
  given_up_ = std::max(given_up_, begun_);
  if (own_word()) given_up_ = std::max(given_up_, board_.lock().version);
}

void DomainLock::advance(const LockStanding& standing, Turn& turn) {
  const auto& word = board_.lock();
  if (std::holds_alternative<Idle>(state_)) return idle(standing, turn);
  if (const auto* holding = std::get_if<Holding>(&state_)) return hold(*holding, standing, turn);
  if (const auto* recording = std::get_if<Recording>(&state_)) {
    if (word.version > recording->version)
      state_ = Idle{};
    else if (!writing_ && turn.now.at >= not_before_)
      write(turn);
  } else if (const auto* releasing = std::get_if<Releasing>(&state_)) {
    if (word.version > releasing->version && !writing_)
      state_ = Idle{};
    else if (!writing_ && turn.now.at >= not_before_)
      write(turn);
  }
}

void DomainLock::idle(const LockStanding& standing, Turn& turn) {
  const auto& word = board_.lock();
  if (writing_ || word.conflict) return;
  if (own_word() && !word.released) {
    // Others completed this host's ballot, or an own RELEASED never reached the volume.
    if (leaving_ || given_up_ >= word.version)
      return release(word.version, leaving_ ? "wardomd stops" : "it was given up", turn);
    return record(word.version, word.value, turn);
  }
  if (!free(standing)) {
    free_since_.reset();
    return;
  }
  if (!free_since_ || free_version_ != word.version) {
    free_since_ = turn.now.at;
    free_version_ = word.version;
    not_before_ = turn.now.at;
    tries_ = 0;
    board_.want_ballots();  // who stands before this host in the line may take it meanwhile
  }
  if (!standing.fit) not_before_ = free_since_.emplace(turn.now.at);  // the line begins anew
  if (leaving_ || !standing.fit || !may_propose()) return;
  place_ = standing.place;
  const auto comes = turn_comes();
  if (!comes || turn.now.at < *comes) return;
  begin(word.version == LockVersion{} ? members_as_proposers() : word.value.directory, turn);
}

bool DomainLock::may_propose() const {
  const auto hosts = acceptors();
  return std::find(hosts.begin(), hosts.end(), self_) != hosts.end();
}

// When the own turn to take the free lock comes.
std::optional<Instant> DomainLock::turn_comes() const {
  if (!free_since_ || !place_) return std::nullopt;
  return std::max(not_before_, *free_since_ + static_cast<std::int64_t>(*place_) * kRankPause);
}

void DomainLock::hold(const Holding& holding, const LockStanding& standing, Turn& turn) {
  const auto& word = board_.lock();
  const auto version = holding.version;
  if (word.version > version || word.released || word.conflict) {
    given_up_ = std::max(given_up_, version);
    state_ = Idle{};
    turn.note(note_of(Severity::error, self_,
                      version_text(version) + " is this host's no more: " +
                          (word.conflict ? "the cells contradict one another"
                                         : "others have proof that it was over")));
    return;
  }
  if (leaving_) return release(version, "wardomd stops", turn);
  if (!standing.give_up.empty()) return release(version, standing.give_up, turn);
  if (given_up_ >= version)
    return release(version,
                   standing.over ? std::string("this host's incarnation is released")
                                 : "it could not act for " +
                                       wardom::to_text(timing_.feed_window / 2),
                   turn);
  if (standing.fit) {
    const bool change = !standing.directory.empty() && standing.directory != word.value.directory;
    if (!change || writing_ || turn.now.at < next_directory_) return;
    turn.note(note_of(Severity::notice, self_, "decides anew who may own the domain lock"));
    return begin(standing.directory, turn);
  }
}

bool DomainLock::quiet() const {
  const bool at_rest = std::holds_alternative<Idle>(state_) ||
                       std::holds_alternative<Holding>(state_) ||
                       std::holds_alternative<Releasing>(state_);
  if (!ready_ || !own_ || !at_rest) return false;
  const auto& word = board_.lock();
  return own_->version <= word.version || own_->bal == BallotNumber{} ||
         own_->input.directory == word.value.directory;
}

Instant DomainLock::next_deadline() const {
  if (!ready_ || !own_) return Instant::never();
  if (reading_) return reading_->issued + volume_patience(timing_);
  const bool repeats =
      std::holds_alternative<Recording>(state_) || std::holds_alternative<Releasing>(state_);
  if (repeats && !writing_) return not_before_;
  if (std::holds_alternative<Idle>(state_) && !writing_)
    if (const auto comes = turn_comes()) return *comes;
  return Instant::never();
}

std::string DomainLock::why_idle(const LockStanding& standing) const {
  const auto& word = board_.lock();
  if (word.conflict)
    return "ballot cells name two owners of " + version_text(word.version) +
           ": the volume has lost or mixed up writes";
  if (!own_) return "the own ballot cell cannot be read: " + board_.ballot(self_).error;
  if (!standing.fit)
    return "this host cannot use the state volume";
  if (!free(standing))
    return "the domain lock, version " + std::to_string(word.version.value) + ", is of " +
           host_text(word.value.owner.host) +
           (board_.has(word.value.owner.host)
                ? ", which is silent and not proved to be gone"
                : ", which wardom.toml names no more: name it again on every host, until it has "
                  "stopped in order or is proved dead; then remove it");
  if (!may_propose()) return "the lock is free, and this host is not in its directory";
  return "the lock is free and is being taken";
}

}  // namespace wardom::core
