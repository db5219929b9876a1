// The member's part in a change of wardom.toml's hosts. Each host's daemon takes the file when it
// is restarted, so hosts with different files live together for a while, or for long. Only who
// stands in the domain lock's directory owns the lock or a guest, and the directory follows the
// files once all hosts agree on them.
#include <algorithm>

#include "libha/core/guest_life.hpp"
#include "libha/core/host_text.hpp"
#include "libha/core/member.hpp"

namespace wardom::core {
namespace {

constexpr const char* kNamesOthers =
    "its wardom.toml names other hosts or addresses than this host's";
constexpr const char* kOtherFile =
    "its wardom.toml is not the same file as this host's, though both name the same hosts";

}  // namespace

// As its newest beat has said.
bool Member::has_other_file(HostId host) const {
  const auto said = digests_.find(host);
  return said != digests_.end() && said->second != settings_.config_digest;
}

bool Member::names_others(HostId host) const {
  const auto said = digests_.find(host);
  return said != digests_.end() && !same_members(said->second, settings_.config_digest);
}

void Member::note_file(const Beat& beat, Turn& turn) {
  const auto known = digests_.find(beat.from);
  const auto before = known == digests_.end() ? settings_.config_digest : known->second;
  digests_[beat.from] = beat.config_digest;
  if (before == beat.config_digest) return;
  const bool others = names_others(beat.from);
  turn.note({others ? Severity::error : Severity::notice, "beats", beat.from, {}, {}, "",
             others                      ? kNamesOthers
             : has_other_file(beat.from) ? kOtherFile
                                         : "its wardom.toml is the same file as this host's"});
}

// Proved dead, or it has left: it need not be heard.
bool Member::gone(HostId host) const {
  const auto& slot = evidence_.of(host).disk.slot;
  return verdict_on(host) || (slot && slot->state == SlotState::left);
}

// The hosts of which it is not known that they agree on the members.
std::vector<HostId> Member::in_the_way(Instant now) const {
  std::vector<HostId> hosts;
  for (HostId host : settings_.members) {
    if (host == settings_.self) continue;
    const bool heard = evidence_.of(host).heard(now, settings_.timing);
    // Who is not heard and owns nothing yet is taken in once it is.
    const bool silent = !heard && !gone(host) && board_.in_directory(host);
    if (silent || (heard && names_others(host))) hosts.push_back(host);
  }
  return hosts;
}

// The members as configured that are heard or stand there already, once they agree on them.
std::vector<Proposer> Member::wanted_directory(Instant now) const {
  if (!domain_lock_.holds() || !in_the_way(now).empty() || !asked_by_all(evidence_, board_))
    return {};
  // What a host that is left out has said and has must have been read first: nobody reads it later.
  if (!decider_.knows_all(board_.lock().version)) return {};
  const auto& present = board_.lock().value.directory;
  std::vector<Proposer> wanted;
  for (HostId host : settings_.members) {
    const auto found = std::find_if(present.begin(), present.end(),
                                    [&](const Proposer& one) { return one.host == host; });
    if (found != present.end())
      wanted.push_back(*found);
    else if (host == settings_.self || evidence_.of(host).heard(now, settings_.timing))
      wanted.push_back({host, false, 1});
  }
  // Whoever is named no more stays for as long as its table has the last word on some guest: that
  // it runs there, that it is protected no more, or the only copy of its definition; and for as
  // long as it may still claim one.
  for (const auto& one : present)
    if (!evidence_.has(one.host) &&
        (board_.has_last_word(one.host) || decider_.awaits_claims_of(one.host)))
      wanted.push_back(one);
  std::sort(wanted.begin(), wanted.end(),
            [](const Proposer& a, const Proposer& b) { return a.host < b.host; });
  return wanted;
}

void Member::add_membership(std::vector<Problem>& list, Instant now) const {
  constexpr auto kSameFile =
      "put the right wardom.toml on both hosts, and restart wardomd where it was changed";
  for (HostId host : settings_.members)
    if (has_other_file(host))
      list.push_back({names_others(host) ? kNamesOthers : kOtherFile, host_text(host), kSameFile});
  const auto& word = board_.lock();
  if (word.version == LockVersion{} || !ready_) return;
  const auto waits_for = in_the_way(now);
  for (HostId host : settings_.members) {
    if (board_.in_directory(host)) continue;
    const bool heard = host == settings_.self || evidence_.of(host).heard(now, settings_.timing);
    const std::string what = "may not own the domain lock yet, and is given no guest: ";
    if (!heard)
      list.push_back({what + "it is not heard", host_text(host),
                      "start wardom-keeper and wardomd there, with the same wardom.toml and key"});
    else if (!waits_for.empty())
      list.push_back({what + "silent, or with another wardom.toml: " + hosts_text(waits_for),
                      host_text(host),
                      "put the same wardom.toml on all hosts and restart wardomd where it was "
                      "changed; start the silent ones, or remove them"});
  }
  for (const auto& one : word.value.directory) {
    if (evidence_.has(one.host)) continue;
    std::string names;
    for (const auto& entry : board_.table(one.host).record.guests)
      if (is_active(entry.phase) && board_.verdict_on(one.host, entry.holder) == nullptr)
        names += (names.empty() ? "" : ", ") + entry.name;
    if (!names.empty())
      list.push_back({"wardom.toml here names it no more, and it owns " + names +
                          ": should it die, nobody here starts them",
                      host_text(one.host),
                      "name it in wardom.toml on every host again, until its guests are elsewhere "
                      "or unprotected; then remove it"});
  }
}

}  // namespace wardom::core
