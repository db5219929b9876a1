// The board: this host's newest knowledge of every member's decision, ballot and table cells, and
// what follows from them about the lock and about guests. Knowledge only; nothing here decides. One
// thread.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "libha/core/inputs.hpp"
#include "libha/core/records.hpp"

namespace wardom::core {

template <class Record>
struct Kept {
  Record record;
  CellHealth health{CellHealth::unreadable};
  Incarnation writer;
  Sequence sequence;
  std::optional<Instant> read_issued;  // issue of the newest completed read
  std::string error;
  Level level{kFirstLevel};  // of what stands there
  Sequence promised;  // the newest write that its owner says was acknowledged
  // The cell can be relied upon: what stands there is known.
  bool known() const { return health == CellHealth::valid || health == CellHealth::empty; }
  // An acknowledged write cannot be read (yet): what it says is unknown.
  bool behind() const { return sequence < promised; }
};

// One host's entry about a guest.
struct Claim {
  HostId host;
  const GuestEntry* entry{nullptr};
};

// An assignment and the decider in whose cell it stands.
struct Standing {
  HostId decider;
  const Assignment* assignment{nullptr};
};

struct GuestFacts {
  std::vector<Claim> claims;         // every entry, of any phase, in host order
  std::vector<Standing> standing;    // the word of the leading decider: at most one
  Generation top;                    // highest generation seen anywhere
  // Whose guest it is: the highest generation among those who have it or gave it up, the active
  // one first. A refusal says only "not here": it counts where there is nothing else; and so does
  // what is on its way to a host: the one that it comes from knows it better until it is held.
  const Claim* newest() const;
  // The word of who sends what is on its way to a host (claimed_incoming); nullptr: it is gone.
  const Claim* comes_from(const Claim& incoming) const;
};

// The domain lock as the ballot cells show it: the highest version that is known to be decided.
struct LockWord {
  LockVersion version;   // 0: nobody ever owned the lock
  LockValue value;
  bool released{false};  // by its owner's own word
  // Two cells name different owners for this version: the volume is not to be trusted.
  bool conflict{false};
};

// Whose decisions count: the owner's of the highest version. What it wrote under an earlier one,
// and what another life of the same host wrote, does not.
struct Lead {
  LockVersion version;
  HostId host;  // kNoHost: nobody owns the lock
};

class Board {
 public:
  explicit Board(std::vector<HostId> members);

  // Asks for the cell to be read by a read that is issued from now on.
  void want_decision(HostId host) { wanted_.insert({Region::decision, host.value}); }
  // Of another domain's decider only the verdicts count: incarnations are nobody's of a domain.
  void set_domain(DomainId domain) { domain_ = domain; }
  void want_table(HostId host) { wanted_.insert({Region::table, host.value}); }
  void want_ballots();
  void want_words();  // decisions and ballots
  void want_all();
  bool wants() const { return !wanted_.empty(); }
  // In this order: decisions, ballots, tables. Who reads so learns of no decision that has been
  // overtaken without learning of the new owner.
  // At most so many at a time: the keeper has a time limit for one request.
  static constexpr std::size_t kReadAtMost = 64;
  std::vector<Cell> take_wanted();
  void on_read(const CellSeen& cell, Instant issued);
  // A member's beat names the newest acknowledged writes of its cells: what is behind is read, and
  // cannot be relied upon until it has been.
  void promise(HostId host, Sequence decision, Sequence ballot, Sequence table);
  // A life's own word, told by its beats, that it never acts under `version` again: as good as
  // RELEASED, should it own that version.
  void on_given_up(const Owner& life, LockVersion version);

  const Kept<Decision>& decision(HostId host) const;
  const Kept<HostTable>& table(HostId host) const;
  const Kept<Ballot>& ballot(HostId host) const;
  // Where the members' ballot cells of this domain lie (VolumeReady).
  void set_ballot_base(std::uint32_t base);
  Cell ballot_cell(HostId host) const { return {Region::ballot, ballot_base_ + host.value}; }
  // Every host whose cells count: the members, and the newest directory, in which a host stands
  // that wardom.toml names no more for as long as it may have a guest.
  const std::vector<HostId>& proposers() const { return proposers_; }
  const LockWord& lock() const { return lock_; }
  // The newest directory names it: whoever decides next reads its cells, whatever his wardom.toml
  // says. Only such a host is given guests.
  bool in_directory(HostId host) const;
  // An acknowledged write of the own ballot cell: it counts before it is read back, and reads that
  // were issued before `now` say nothing any more.
  void wrote_ballot(HostId self, const Ballot& ballot, Sequence sequence, Instant now);
  const std::vector<HostId>& members() const { return members_; }
  // The highest one that a decision of this domain was read in, by this daemon.
  Level level() const { return level_; }
  // The lowest one that any cell was read in that says something, or `most`.
  Level oldest_level(Level most) const;
  bool has(HostId host) const;  // a member

  // Every cell has been read by a read issued at `since` or later.
  bool read_since(Instant since) const;
  // The same for decisions and ballots alone.
  bool words_read_since(Instant since) const;
  // The ballot cells have all been read, by reads of which the oldest was issued then.
  std::optional<Instant> ballots_read_issued() const;
  // Why the ballot cells do not tell who owns the lock, as a sentence; empty: they do.
  std::string unknown_ballot() const;
  // The first cell that cannot be relied upon, as a sentence; empty: all can.
  std::string unknown_cell() const;
  // The same for decisions and ballots alone: what others have said, not what they have.
  std::string unknown_word() const;
  Lead lead() const { return {lock_.version, lock_.value.owner.host}; }
  LockVersion highest_version() const { return lock_.version; }
  // The leading decider's cell, once it carries the lead's version; else nullptr: the new owner has
  // decided nothing yet.
  const Decision* leading_decision() const;
  // Under which version and by whom the newest decision was written, whoever leads now.
  Lead newest_decision() const;
  // Grows when what stands on the board has changed.
  std::uint64_t revision() const { return revision_; }
  // The verdict that covers this incarnation: on itself, or on a later boot of the same host, since
  // a machine that was proved off has none of its earlier boots left. Once seen it is kept, also
  // when the cell in which it stood is overwritten.
  const Verdict* verdict_on(HostId host, const Incarnation& incarnation) const;
  // The newest verdict on each host, for the next decider to hand on.
  const std::map<HostId, Verdict>& verdicts() const { return verdicts_; }
  // The newest that is known of some guest stands in this host's table, or may stand there.
  bool has_last_word(HostId host) const;
  // Valid until the next on_read().
  const std::map<GuestId, GuestFacts>& guests() const;

 private:
  void note_verdicts(const Decision& decision);
  bool keep_ballot(HostId host, const CellSeen& cell, Instant issued);
  LockWord find_lock() const;
  std::string conflict() const;
  void find_proposers();
  void lock_changed();
  std::map<GuestId, GuestFacts> gather() const;

  std::vector<HostId> members_;
  std::map<HostId, Kept<Decision>> decisions_;
  std::map<HostId, Kept<HostTable>> tables_;
  std::map<HostId, Kept<Ballot>> ballots_;
  // Reads in a row that left the newer extent in doubt, and which sequence the other one showed.
  std::map<HostId, Sequence> half_read_;
  DomainId domain_;
  Level level_{kFirstLevel};
  std::uint32_t ballot_base_{0};
  HostId own_;                      // whose ballot cell this host writes, once it has
  std::optional<Instant> own_written_;
  std::map<HostId, std::pair<Owner, LockVersion>> given_up_;  // the newest word of each host
  LockWord lock_;
  std::vector<HostId> proposers_;
  std::map<HostId, Verdict> verdicts_;
  std::set<Cell> wanted_;
  std::uint64_t revision_{1};
  // Gathered anew only after a change: the guests are asked for on every beat.
  mutable std::map<GuestId, GuestFacts> guests_;
  mutable std::uint64_t gathered_{0};
};

}  // namespace wardom::core
