// Where operators' words to the whole domain arrive: from this host's own socket, and from other
// hosts over the ring. Refuses what is not safe, keeps the word as evidence, passes it on, and sees
// to it that the asker gets an answer. One thread, pure.
#pragma once

#include <map>
#include <vector>

#include "libha/core/board.hpp"
#include "libha/core/decider.hpp"
#include "libha/core/evidence.hpp"
#include "libha/core/turn.hpp"

namespace wardom::core {

class OperatorDesk {
 public:
  OperatorDesk(Evidence& evidence, const Board& board, Decider& decider)
      : evidence_(evidence), board_(board), decider_(decider) {}

  // `ask.from` is this host: an operator's word at its own socket; else it came over the ring.
  void on_ask(const OperatorAsk& ask, Turn& turn);
  void on_answer(const OperatorAnswer& answer, Turn& turn);
  // Ends what nobody has answered.
  void tick(Turn& turn);
  // The orders of this turn that are for this host itself need no ring.
  void keep_own(Turn& turn);

  // The boots of a host that a person may confirm dead: the newest, and earlier ones that hold
  // guests by the tables.
  std::vector<Incarnation> boots(HostId host) const;

 private:
  struct Waiting {
    Instant until;
    Duration patience{0};
  };
  std::string why_not_to_fence(HostId host) const;
  std::string objection(const OperatorAsk& ask, Instant now) const;
  bool about_silent_owner(const OperatorAsk& ask) const;
  bool disarmed() const;

  Evidence& evidence_;
  const Board& board_;
  Decider& decider_;
  std::map<Ticket, Waiting> waiting_;  // own operators' requests
};

}  // namespace wardom::core
