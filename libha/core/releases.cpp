// A member beside hosts of other releases: what they speak, and what becomes of this one if the
// domain has gone on in a format level that it does not.
#include "libha/core/host_text.hpp"
#include "libha/core/member.hpp"

namespace wardom::core {

// The domain has gone on in a level that this daemon cannot read: all hosts spoke it then, so an
// older release was installed here since. What this host has written stands; nothing is added. The
// level never falls, so this holds for as long as the daemon lives.
bool Member::outdated_by(Level level, Turn& turn) {
  if (level <= settings_.speaks.newest) return false;
  if (outdated_ && *outdated_ >= level) return true;
  outdated_ = level;
  take(VolumeLost{"the domain is at format level " + std::to_string(level.value) +
                  ", and this wardomd speaks up to " +
                  std::to_string(settings_.speaks.newest.value) +
                  ": it is of an older release, and takes no part. Install the release of the "
                  "other hosts here"},
       turn);
  return true;
}

// What this host cannot read, though the domain has not gone on without it; empty: nothing of the
// kind. It takes no part until another keeper answers, or this wardomd starts anew.
std::string Member::unfit_for(const CellSeen& cell) const {
  const auto level = std::to_string(cell.level.value);
  if (cell.cell.region == Region::decision && cell.domain == settings_.domain &&
      settings_.speaks.has(cell.level))
    return "wardom-keeper here is of an older release, and does not read format level " + level +
           ": install the release of wardomd, and restart it";
  // A slot hides its own host alone.
  if (cell.cell.region != Region::slot && cell.level < settings_.speaks.oldest)
    return "a cell of the domain is of format level " + level + ", and this wardomd reads no older "
           "ones than " + std::to_string(settings_.speaks.oldest.value) +
           ": a release in between was left out here. Install that one, until `wardomctl status` "
           "shows no cell of that level any more";
  return {};
}

Level Member::oldest_level() const {
  Level oldest = board_.oldest_level(level());
  for (HostId host : settings_.members) {
    const auto& disk = evidence_.of(host).disk;
    if (disk.slot) oldest = std::min(oldest, disk.level);
  }
  return oldest;
}

// An unreadable beat is no sign of life: only what its sender speaks is taken from it. Whether the
// domain has gone on without this host is what the decisions say: one member of a release that is
// too new must not silence all others.
void Member::take(const OtherLevel& seen, Turn&) {
  if (!evidence_.has(seen.from) || seen.from == settings_.self) return;
  evidence_.on_other_level(seen.from, seen.speaks);
  if (seen.level > settings_.speaks.newest) board_.want_words();
}

std::optional<Levels> Member::speaks_of(HostId host) const {
  if (host == settings_.self) return settings_.speaks;
  const auto& member = evidence_.of(host);
  std::optional<Levels> known = member.foreign_speaks;
  if (!known && member.beats.newest) known = member.beats.newest->speaks;
  if (member.disk.slot) known = known ? common(*known, member.disk.speaks) : member.disk.speaks;
  return known;
}

void Member::add_levels(std::vector<Problem>& list) const {
  const auto text = [](Level level) { return std::to_string(level.value); };
  if (outdated_)
    list.push_back({"wardomd here is of an older release than the domain and takes no part: it "
                    "speaks format levels up to " + text(settings_.speaks.newest) +
                    ", the domain is at " + text(*outdated_),
                    host_text(settings_.self),
                    "install the release of the other hosts here, and restart wardom-keeper and "
                    "wardomd; guests run on"});
  for (HostId host : settings_.members) {
    const auto speaks = speaks_of(host);
    if (host == settings_.self || !speaks || speaks->newest >= level()) continue;
    list.push_back({"runs an older release of Wardom, which takes no part: it speaks format levels "
                    "up to " + text(speaks->newest) + ", the domain is at " + text(level()) +
                        (settings_.ride_out ? "; it grants nothing, so no outage of the state "
                                              "volume is lived through"
                                            : ""),
                    host_text(host),
                    "install the release of the other hosts there, and restart wardom-keeper and "
                    "wardomd; guests run on"});
  }
}

}  // namespace wardom::core
