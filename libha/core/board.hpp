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
  // The cell can be relied upon: what stands there is known.
  bool known() const { return health == CellHealth::valid || health == CellHealth::empty; }
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
  std::vector<Standing> standing;    // assignments under the highest lock version
  Generation top;                    // highest generation seen anywhere
  const Claim* newest() const;       // the claim of the highest generation; holding before others
};

class Board {
 public:
  explicit Board(std::vector<HostId> members);

  // Asks for the cell to be read by a read that is issued from now on.
  void want_decision(HostId host) { wanted_.insert({Region::decision, host.value}); }
  void want_table(HostId host) { wanted_.insert({Region::table, host.value}); }
  void want_all();
  std::vector<Cell> take_wanted();
  void on_read(const CellSeen& cell, Instant issued);

  const Kept<Decision>& decision(HostId host) const { return decisions_.at(host); }
  const Kept<HostTable>& table(HostId host) const { return tables_.at(host); }
  const std::vector<HostId>& members() const { return members_; }

  // Every cell has been read by a read issued at `since` or later.
  bool read_since(Instant since) const;
  // The first cell that cannot be relied upon, as a sentence; empty: all can.
  std::string unknown_cell() const;
  LockVersion highest_version() const;
  const Verdict* verdict_on(HostId host, const Incarnation& incarnation) const;
  std::map<GuestId, GuestFacts> guests() const;

 private:
  std::vector<HostId> members_;
  std::map<HostId, Kept<Decision>> decisions_;
  std::map<HostId, Kept<HostTable>> tables_;
  std::set<Cell> wanted_;
};

}  // namespace wardom::core
