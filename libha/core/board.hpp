// The board: this host's newest knowledge of every member's decision and table cells, and what
// follows from them about guests. Knowledge only; nothing here decides. One thread.
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
  // one first. A refusal says only "not here": it counts where there is nothing else.
  const Claim* newest() const;
};

// The decider whose word counts. Two hosts that took over at the same moment have drawn the same
// version: the lower id leads, for everybody.
struct Lead {
  LockVersion version;
  HostId host;  // kNoHost: nothing was ever decided
};

class Board {
 public:
  explicit Board(std::vector<HostId> members);

  // Asks for the cell to be read by a read that is issued from now on.
  void want_decision(HostId host) { wanted_.insert({Region::decision, host.value}); }
  void want_table(HostId host) { wanted_.insert({Region::table, host.value}); }
  void want_all();
  bool wants() const { return !wanted_.empty(); }
  std::vector<Cell> take_wanted();
  void on_read(const CellSeen& cell, Instant issued);
  // A member's beat names the newest acknowledged writes of its cells: what is behind is read, and
  // cannot be relied upon until it has been.
  void promise(HostId host, Sequence decision, Sequence table);

  const Kept<Decision>& decision(HostId host) const { return decisions_.at(host); }
  const Kept<HostTable>& table(HostId host) const { return tables_.at(host); }
  const std::vector<HostId>& members() const { return members_; }

  // Every cell has been read by a read issued at `since` or later.
  bool read_since(Instant since) const;
  // The first cell that cannot be relied upon, as a sentence; empty: all can.
  std::string unknown_cell() const;
  Lead lead() const;
  LockVersion highest_version() const { return lead().version; }
  // Grows when what stands on the board has changed.
  std::uint64_t revision() const { return revision_; }
  // The verdict that covers this incarnation: on itself, or on a later boot of the same host, since
  // a machine that was proved off has none of its earlier boots left. Once seen it is kept, also
  // when the cell in which it stood is overwritten.
  const Verdict* verdict_on(HostId host, const Incarnation& incarnation) const;
  // The newest verdict on each host, for the next decider to hand on.
  const std::map<HostId, Verdict>& verdicts() const { return verdicts_; }
  // Valid until the next on_read().
  const std::map<GuestId, GuestFacts>& guests() const;

 private:
  void note_verdicts(const Decision& decision);
  std::map<GuestId, GuestFacts> gather() const;

  std::vector<HostId> members_;
  std::map<HostId, Kept<Decision>> decisions_;
  std::map<HostId, Kept<HostTable>> tables_;
  std::map<HostId, Verdict> verdicts_;
  std::set<Cell> wanted_;
  std::uint64_t revision_{1};
  // Gathered anew only after a change: the guests are asked for on every beat.
  mutable std::map<GuestId, GuestFacts> guests_;
  mutable std::uint64_t gathered_{0};
};

}  // namespace wardom::core
