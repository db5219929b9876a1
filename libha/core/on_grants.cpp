// The member's part in an outage of the state volume (outage.hpp): what it must know and do before
// it grants, and before it outlives its own window.
#include <algorithm>

#include "libha/core/host_text.hpp"
#include "libha/core/member.hpp"

namespace wardom::core {

// Whoever is asked under a version is asked under the next one too, if that names it as well. A
// version that was not seen may not have named it: then it has to time everybody anew.
void Member::look_at_directory(Instant now) {
  const auto& word = board_.lock();
  const auto& directory = word.value.directory;
  const bool named = std::any_of(directory.begin(), directory.end(), [&](const Proposer& one) {
    return one.host == settings_.self && !one.guardian;
  });
  if (!named || word.conflict || word.version == LockVersion{}) {
    evidence_.set_asked_since(std::nullopt);
  } else if (word.version != directory_seen_) {
    const bool next = word.version == directory_seen_.next() && directory_seen_ != LockVersion{};
    if (!next || !evidence_.asked_since()) evidence_.set_asked_since(now);
  }
  directory_seen_ = word.version;
}

// Of the directory: the boot that is known as its newest is proved dead.
std::vector<HostId> Member::dead_proposers() const {
  std::vector<HostId> dead;
  if (!settings_.ride_out) return dead;
  for (const auto& one : board_.lock().value.directory)
    if (one.host != settings_.self && evidence_.has(one.host) && verdict_on(one.host) &&
        dead.size() < kMaxUnasked)
      dead.push_back(one.host);
  return dead;
}

DirectoryWord Member::directory_known() const {
  const auto& word = board_.lock();
  if (word.version == LockVersion{}) return {};
  return {word.version, directory_digest(word.value.directory)};
}

Outage::Asking Member::asking() const {
  Outage::Asking asking;
  const auto& word = board_.lock();
  if (!outage_.asks() || word.conflict || !domain_lock_.quiet() || verdict_on(settings_.self))
    return asking;
  asking.under = directory_known();
  // A verdict may have been read before the ballot that made its author the owner. It may name one
  // who has changed the directory since, and has nothing to say any more: it is asked all the same.
  if (board_.newest_decision().version <= word.version) asking.unasked = dead_proposers();
  for (const auto& one : word.value.directory) {
    const auto& dead = asking.unasked;
    if (one.host != settings_.self && std::find(dead.begin(), dead.end(), one.host) == dead.end())
      asking.asked.push_back(one.host);
  }
  return asking;
}

// The asker is timed anew before it can have the grant: beats leave at the turn's end.
void Member::take_grants(const Beat& beat, Turn& turn) {
  outage_.on_rights(rights_, ready_, turn.now.at);
  outage_.on_beat(beat, asking());
  if (beat.request == 0 || !outage_.grants(turn.now.at)) return;
  evidence_.grant(beat.from);
  outage_.granted(beat, turn.now.at);
}

std::vector<BeatWord> Member::words(Instant now) const {
  std::vector<BeatWord> words;
  words.reserve(settings_.members.size());
  const auto under = directory_known();
  const bool may_grant = ready_ && !board_.lock().conflict && domain_lock_.quiet();
  for (HostId host : settings_.members) {
    if (host == settings_.self) continue;
    BeatWord word;
    word.to = host;
    word.knows = evidence_.of(host).incarnation().number;
    if (may_grant && !verdict_on(host)) outage_.say(word, host, under, now);
    words.push_back(word);
  }
  return words;
}

void Member::live_on_grants(Turn& turn) {
  outage_.on_rights(rights_, ready_, turn.now.at);
  const auto asks = asking();
  if (const auto stamp = outage_.complete(asks))
    turn.orders.extends.push_back({*stamp, asks.unasked});
  const auto riding = outage_.riding_since();
  if (riding.has_value() == told_riding_.has_value()) return;
  if (riding)
    turn.note({Severity::warning, "disk", settings_.self, {}, {}, "",
               "the state volume is away for every host: this one lives on by the grants of the "
               "others, keeps its guests, starts and decides nothing"});
  else if (rights_.lease == LeaseState::held)
    turn.note({Severity::notice, "disk", settings_.self, {}, {}, "",
               "heartbeats are written again, after " +
                   std::to_string(whole_ms(turn.now.at - *told_riding_) / 1000) +
                   " s on the grants of the others"});
  told_riding_ = riding;
}

void Member::add_outage(std::vector<Problem>& list, Instant now) const {
  const auto since = outage_.riding_since();
  const auto where = host_text(settings_.self);
  if (since)
    list.push_back({"the state volume is away for every host: the domain has lived on grants for " +
                        std::to_string(whole_ms(now - *since) / 1000) +
                        " s; guests run on, nothing is started or decided",
                    "state volume",
                    "bring the volume's store back; until then a host that loses its links, its "
                    "wardomd or its wardom-keeper is reset"});
  if (!outage_.asks()) return;
  const auto asks = asking();
  const auto missing = outage_.missing(asks, now);
  if (asks.under.version == LockVersion{})
    list.push_back({"heartbeats are not written, and this host cannot ask the others to live on: "
                    "it does not know for certain who owns the domain lock",
                    where, "look at this host's path to the state volume: it is reset soon"});
  else if (!missing.empty())
    list.push_back({"heartbeats are not written, and no grant to live on comes from " +
                        hosts_text(missing),
                    where,
                    "look at this host's path to the state volume, and at its links: it is reset "
                    "soon. A host that can use the volume grants nothing"});
}

}  // namespace wardom::core
