// Barriers inside the core that a run of wardom-sim-planted can take away. The product knows
// nothing of this: only that program is built with copies of core files into which
// remove_barriers.py has written the questions below.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>

namespace wardom::sim {

enum class Barrier : std::uint8_t {
  own_proposal_kept,      // L4: phase 1 leaves the own bal and inp as they are
  others_proposals,       // phase 2 takes the value of the highest bal that others show
  others_looked_at,       // a ballot ends where others have gone further
  stops_before_released,  // L8: whoever submits RELEASED has ceased to act
  takeover_proof,         // L3: a lock that is not free is not balloted for
  last_read_late,         // a silence counts up to the issue of a read that still showed it
  observer_fit,           // who cannot read, or is past T_F/2, times nobody's silence
  d_long_enough,          // D holds W and the clocks' errors beside T_F
  left_is_no_expiry,      // a slot that says `left` never expires
  acts_in_time,           // nothing is decided later than T_F/2 after the own heartbeat
  acts_in_time_again,     // nor submitted, whenever it was decided
  reads_in_time,          // nothing is decided by a host whose reads do not end
  leaves_without_guests,  // (in the simulated keeper) a host leaves only once no guest is listed
  votes_waited_for,       // a ring casts once the votes outside it are withdrawn or forgotten
  vote_reads_fresh,       // each vote rests on a read that is at most one poll old
  lies_told,              // what others have seen of a BMC that lies counts as what this host saw
  guests_in_directory,    // guests go to hosts of the lock's directory alone
  stop_stands,            // a stop is answered once the guest's yield is on the volume
  asked_start_waits,      // a start that is asked for waits for what may still land
  sent_is_gone,           // a guest is yielded as sent once libvirt says that it is gone
  arrival_yielded,        // what has arrived runs by its source's word alone
  count
};

// Of the run under way.
inline std::bitset<static_cast<std::size_t>(Barrier::count)> removed_barriers;

inline bool removed(Barrier barrier) {
  return removed_barriers.test(static_cast<std::size_t>(barrier));
}

}  // namespace wardom::sim
