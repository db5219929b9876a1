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
                    "up to " + text(speaks->newest) + ", the domain is at " + text(level()),
                    host_text(host),
                    "install the release of the other hosts there, and restart wardom-keeper and "
                    "wardomd; guests run on"});
  }
}

}  // namespace wardom::core
