// How hosts live through an outage of the state volume that all of them see (libha/doc/models.md,
// finding 8; decision 0010): a grant is a heartbeat seen.
//
// A grant names the directory of the highest DECIDED version that its giver knows, and counts only
// if that is the asker's own: else there may be a judge who was not asked. (Equal versions have
// equal directories. A version that one side has not read yet hinders only if it changed somebody.)
//
// A host whose heartbeats are not acknowledged asks every member of the highest directory that is
// not proved dead, heard or not. A member that cannot use the volume either grants: it times the
// asker anew first. Once all have, for a request, the keeper may feed until T_F after that request.
// A host with a working volume grants nothing: who is cut off alone is fenced as ever.
//
// Pure; one thread. Nothing here lengthens the right to decide or to start guests.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "libha/core/board.hpp"
#include "libha/core/evidence.hpp"
#include "libha/core/inputs.hpp"
#include "libha/core/timing.hpp"

namespace wardom::core {

class Outage {
 public:
  struct Settings {
    HostId self;
    bool takes_part{false};
    bool grants_always{false};  // also with a working volume: safety must not rest on that
  };
  Outage(Settings settings, const Timing& timing)
      : settings_(settings), window_(timing.feed_window), fresh_(timing.suspect_after) {}

  // A connection to the keeper begins: what an earlier one noted is not known to this one.
  void on_ready(const Incarnation& own);
  void on_stamp(const AskStamp& stamp);
  void on_rights(const Rights& rights, bool ready, Instant now);

  // Whether this host's own heartbeats are not acknowledged, now or a moment ago: only then does it
  // grant. A moment, since storage comes back to one host sooner than to another.
  bool grants(Instant now) const {
    return settings_.takes_part && !released_ &&
           (settings_.grants_always || (away_at_ && now - *away_at_ <= window_));
  }
  // A member's request came with a beat, and it was timed anew in this turn.
  void granted(const Beat& beat, Instant now);
  // What the next beat says of that to `host`; under: as this host knows it.
  void say(BeatWord& word, HostId host, const DirectoryWord& under, Instant now) const;

  // What this host itself has to know before it may outlive its window, and whom it must ask.
  struct Asking {
    DirectoryWord under;           // version 0: it may not ask
    std::vector<HostId> asked;     // all of them have to grant
    std::vector<HostId> unasked;   // of the directory, proved dead
  };
  // The own request for the next beat; 0: none.
  std::uint64_t request(const Asking& asking) const;
  // A member's beat may carry its grant.
  void on_beat(const Beat& beat, const Asking& asking);
  // The newest own request that all have granted, if that is news.
  std::optional<Instant> complete(const Asking& asking);

  // Who has not granted lately, of those who must.
  std::vector<HostId> missing(const Asking& asking, Instant now) const;
  // The keeper asks for grants now.
  bool asks() const { return asks_; }
  // Since when the window has rested on grants; none: it rests on a heartbeat.
  std::optional<Instant> riding_since() const { return riding_since_; }

 private:
  struct Request {
    Incarnation incarnation;
    std::uint64_t number{0};
    DirectoryWord under;
    Instant at;  // its newest beat's arrival
  };

  Settings settings_;
  Duration window_;
  Duration fresh_;
  Incarnation own_;
  std::optional<Instant> away_at_;  // when the own heartbeats were last seen not to be acknowledged
  bool asks_{false};
  bool released_{false};            // the incarnation is over: it has no word in this
  std::optional<Instant> stamp_;    // the newest of the keeper
  std::map<HostId, Request> others_;
  // The highest own request that each member has granted, under one directory.
  std::map<HostId, std::uint64_t> got_;
  std::uint64_t got_under_{0};
  std::optional<Instant> extended_;
  std::optional<Instant> riding_since_;
};

// Whether every other proposer would ask this host before it lives through an outage of the volume.
// Who may have left it out, since an earlier boot of it was proved dead, has to have said that it
// knows the present one. Else a member that this host takes in would judge a host that was never
// told to ask it (decision 0010).
bool asked_by_all(const Evidence& evidence, const Board& board);

}  // namespace wardom::core
