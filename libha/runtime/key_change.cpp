#include "libha/runtime/key_change.hpp"

#include <algorithm>
#include <utility>

namespace wardom::runtime {

using wire::KeyId;
using wire::KeyStep;
using wire::KeyWord;

KeyChange::KeyChange(HostId self, std::vector<HostId> members, std::uint64_t config,
                     const wire::Secret& present, std::optional<NextKey> next, KeyStore store)
    : self_(self), config_(config), store_(std::move(store)), present_(present) {
  for (const HostId member : members)
    if (member != self) peers_.try_emplace(member);
  if (!next) return;
  stored_ = wish_ = next;
  next_.emplace(next->secret);
  newest_attempt_ = next->attempt;
}

bool KeyChange::most_in_ring() const {
  const auto inside = std::count_if(peers_.begin(), peers_.end(),
                                    [](const auto& peer) { return peer.second.in_ring; });
  return ring_up_ && 2 * (static_cast<std::size_t>(inside) + 1) > peers_.size() + 1;
}

// While this host sends with it, every member was heard to have stored it.
bool KeyChange::holds(const Peer& peer) const {
  return next_ && (sending() || peer.under_next || peer.told.next == next_->id());
}

// Nothing that is said of an earlier attempt concerns it any more; and it has the same members.
bool KeyChange::joined(const Peer& peer) const {
  const auto& told = peer.told;
  const bool same = next_ && told.next == next_->id() && told.step != KeyStep::holds &&
                    told.attempt == stored_->attempt && told.config == config_;
  return same || peer.under_next;
}

bool KeyChange::all_joined() const {
  return next_ && std::all_of(peers_.begin(), peers_.end(),
                              [&](const auto& peer) { return joined(peer.second); });
}

void KeyChange::wish(NextKey next, Instant now) {
  newest_attempt_ = std::max(newest_attempt_, next.attempt);
  if (wish_ != next) store_again_ = Instant{};
  wish_ = next;
  trouble_.clear();
  due_ = now;
}

Result<void> KeyChange::begin(const std::optional<wire::Secret>& drawn, const std::string& by,
                              core::Now now) {
  if (committed())
    return failure("the key is being changed already; `wardomctl key status` says how far it is");
  if (!most_in_ring())
    return failure("this host's wardomd is in no ring with most of the others; see `wardomctl "
                   "status`");
  if (strangers_)
    return failure("the ring has a wardomd of a host that this host's wardom.toml does not name; "
                   "give all hosts the same file first");
  auto lies = store_.read();
  if (!lies) return lies.error();
  auto found = lies.value();
  if (!found && drawn && stored_ && stored_->drawn) found = stored_;  // removed by hand
  if (!drawn && !found)
    return failure("no next key lies on this host; put the same one on every host, beside the "
                   "present one, under the same name with `.next` behind it");
  if (found && wanted() && found->secret != wish_->secret)
    return failure("a change to another key is under way, than the one that lies on this host; "
                   "give it up first, with --give-up");
  if (drawn && found && !found->drawn)
    return failure("a next key that was put on this host by hand lies beside the present one: "
                   "change to it with --prepared, or remove it from every host");
  NextKey next = found.value_or(NextKey{});
  if (!found) {
    for (const auto& [host, peer] : peers_)
      if (peer.in_ring && peer.told.next != wire::kNoKey && peer.told.next != present_.id())
        return failure("host " + std::to_string(host.value) + " has a next key already: ask " +
                       "there, with --prepared if it was put there by hand");
    next = {*drawn, true, KeyMark::wanted, 0};
  }
  if (wire::Key(next.secret).id() == present_.id())
    return failure("the next key is the present one; make a new one with `openssl rand -hex 32`");
  const auto by_clock = static_cast<std::uint64_t>(std::max<std::int64_t>(now.wall.ms, 0));
  if (!wanted()) next.attempt = std::max(newest_attempt_ + 1, by_clock);
  next.mark = KeyMark::wanted;
  giving_up_.reset();
  wish(next, now.at);
  news_.push_back("a change of the cluster's key is asked for by " + by);
  return success();
}

Result<void> KeyChange::give_up(const std::string& by, Instant now) {
  if (committed())
    return failure("every host holds the next key and sends with it: the change ends by itself, "
                   "and cannot be given up any more");
  if (!wanted()) return failure("no change of the key is under way");
  if (!most_in_ring())
    return failure("this host's wardomd is in no ring with most of the others, which must agree");
  giving_up_ = wish_->attempt;
  say_dropped(wished(), wish_->attempt, now);
  news_.push_back("the change of the cluster's key is to be given up, says " + by);
  return success();
}

void KeyChange::on_ring(const std::vector<HostId>& daemons, Instant now) {
  ring_up_ = !daemons.empty();
  strangers_ = false;
  for (const HostId host : daemons)
    strangers_ = strangers_ || (host != self_ && !peers_.contains(host));
  for (auto& [host, peer] : peers_) {
    const bool inside = std::find(daemons.begin(), daemons.end(), host) != daemons.end();
    if (inside && !peer.in_ring) peer.told = {};  // it may be anew, and will say what it holds
    peer.in_ring = inside;
  }
  due_ = now;
}

void KeyChange::on_word(const KeyWord& word, Instant now) {
  const auto peer = peers_.find(word.from);
  const bool own = word.from == self_;
  if (!own && peer == peers_.end()) return;
  newest_attempt_ = std::max(newest_attempt_, word.attempt);
  if (word.step == KeyStep::dropped) return on_dropped(word, now);
  if (!own) peer->second.told = word;
  if (!own && word.step != KeyStep::holds && !committed()) learn(word, now);
  const bool given_up =
      wish_ && wish_->mark == KeyMark::given_up && word.attempt <= wish_->attempt;
  if (word.step == KeyStep::change && wished() == word.next && most_in_ring() && !given_up &&
      !committed())
    commit("every host holds it", now);
}

void KeyChange::on_dropped(const KeyWord& word, Instant now) {
  if (!most_in_ring()) return;
  giving_up_.reset();
  if (wished() != word.next) {
    if (!wish_) trouble_.clear();
    return;
  }
  if (committed() || word.attempt < wish_->attempt) return;
  const bool was_wanted = wanted();
  auto next = *wish_;
  next.mark = KeyMark::given_up;
  next.attempt = word.attempt;
  wish(next, now);
  if (was_wanted)
    news_.push_back("the change of the cluster's key is given up: the present key stays");
}

// Another host wants a key to be the next one.
void KeyChange::learn(const KeyWord& word, Instant now) {
  if (word.present != present_.id() || word.next == wire::kNoKey) return;
  if (wish_ && wished() == word.next) {
    if (wish_->mark == KeyMark::given_up && word.attempt <= wish_->attempt)
      return say_dropped(word.next, word.attempt, now);
    auto next = *wish_;
    next.mark = KeyMark::wanted;
    next.attempt = std::max(next.attempt, word.attempt);
    if (next != *wish_) wish(next, now);
    return;
  }
  // Two operators at once: none of the two keys is held by all, so no host has changed yet.
  if (wanted() && word.next < wished()) return;
  auto lies = store_.read();
  if (!lies) {
    trouble_ = lies.error().message;
    return;
  }
  const auto& found = lies.value();
  NextKey next{{}, true, KeyMark::wanted, word.attempt};
  if (found && wire::Key(found->secret).id() == word.next) {
    next.secret = found->secret;
    next.drawn = found->drawn;
  } else if ((found && !found->drawn) || (wish_ && !wish_->drawn)) {
    trouble_ = "the key is to be changed to another one than the next key that was put on this "
               "host by hand: put the same one on every host";
    return;
  } else if (const auto offered = word.offer ? present_.unbox(*word.offer) : std::nullopt;
             offered && wire::Key(*offered).id() == word.next) {
    next.secret = *offered;
  } else {
    trouble_ = "the key is to be changed to one that this host does not hold: put the same next "
               "key on every host";
    return;
  }
  for (auto& [host, peer] : peers_) peer.under_next = peer.under_present = {};
  wish(next, now);
}

void KeyChange::commit(const char* why, Instant now) {
  auto next = *wish_;
  next.mark = KeyMark::sending;
  giving_up_.reset();
  wish(next, now);
  news_.push_back(std::string("sends with the cluster's next key: ") + why);
}

void KeyChange::heard(HostId from, bool under_next, Instant now) {
  const auto found = peers_.find(from);
  if (found == peers_.end()) return;
  (under_next ? found->second.under_next : found->second.under_present) = now;
  if (!under_next || committed()) return;
  wish_ = stored_;  // whatever else was wished: somebody sends with this one
  commit("another host does", now);
}

void KeyChange::store_wish(Instant now) {
  if (storing() || !wish_ || wish_ == stored_ || now < store_again_) return;
  under_way_ = wish_;
  store_.keep(*under_way_);
}

void KeyChange::on_stored(const Result<void>& result, Instant now) {
  due_ = now;
  const auto kept = std::exchange(under_way_, {});
  const bool adopted = std::exchange(adopting_, false);
  if (!result) {
    trouble_ = result.error().message;
    store_again_ = now + kKeyPatience;
    due_ = store_again_;
    return;
  }
  trouble_.clear();
  if (!adopted) {
    if (!next_ || stored_->secret != kept->secret)
      news_.push_back("the cluster's next key is stored here");
    stored_ = kept;
    next_.emplace(kept->secret);
    sending_since_ = now;
    not_changed_.clear();
    return;
  }
  present_ = *next_;
  next_.reset();
  stored_.reset();
  wish_.reset();
  for (auto& [host, peer] : peers_) peer = {{}, {}, {}, peer.in_ring};
  news_.push_back("the cluster's key is changed");
}

void KeyChange::try_to_end(Instant now) {
  if (!sending() || storing() || now < store_again_) return;
  not_changed_.clear();
  for (const auto& [host, peer] : peers_) {
    const auto within = [&](const std::optional<Instant>& at, Duration time) {
      return at && now - *at <= time;
    };
    // Heard under the old key last: it is silent since, or it has not changed yet.
    const bool old = peer.under_present && !(peer.under_next > peer.under_present);
    if (within(peer.under_present, old ? kKeyPatience : kOldKeyQuiet)) not_changed_.push_back(host);
  }
  if (!not_changed_.empty() || now - sending_since_ <= kOldKeyQuiet) return;
  adopting_ = true;
  store_.adopt(stored_->secret);
}

void KeyChange::say_dropped(KeyId key, std::uint64_t attempt, Instant now) {
  const KeyWord word{self_, present_.id(), key, KeyStep::dropped, attempt, config_, {}};
  if (std::find(to_say_.begin(), to_say_.end(), word) == to_say_.end()) to_say_.push_back(word);
  due_ = now;
}

std::vector<KeyWord> KeyChange::tick(Instant now) {
  store_wish(now);
  std::vector<KeyWord> words;
  if (!(wish_ || !to_say_.empty()) || now < due_) return words;
  due_ = now + kKeyWordInterval;
  words = std::exchange(to_say_, {});
  if (!wanted()) giving_up_.reset();
  if (giving_up_ && words.empty()) say_dropped(wished(), *giving_up_, due_);
  try_to_end(now);
  if (!next_) return words;
  KeyWord word{self_, present_.id(), next_->id(), KeyStep::holds, stored_->attempt, config_, {}};
  const bool stays = wish_ == stored_;  // else the next word tells
  if (sending()) {
    word.step = KeyStep::change;
  } else if (stays && wanted()) {
    const bool change = all_joined() && most_in_ring() && !strangers_;
    word.step = change ? KeyStep::change : KeyStep::wanted;
  }
  if (word.step != KeyStep::holds && stored_->drawn) word.offer = present_.box(stored_->secret);
  words.push_back(word);
  return words;
}

KeyChange::Stage KeyChange::stage() const {
  if (!wish_) return Stage::none;
  if (committed()) return Stage::sending;
  return wanted() ? Stage::waiting : Stage::held;
}

std::vector<KeyChange::HostView> KeyChange::hosts() const {
  std::vector<HostView> views;
  const auto under_next = [](const Peer& peer) {
    return peer.under_next && (!peer.under_present || *peer.under_present < *peer.under_next);
  };
  for (const auto& [host, peer] : peers_)
    views.push_back({host, peer.in_ring, holds(peer), next_ && under_next(peer)});
  views.push_back({self_, ring_up_, next_.has_value(), sending()});
  std::sort(views.begin(), views.end(),
            [](const HostView& a, const HostView& b) { return a.host < b.host; });
  return views;
}

std::vector<HostId> KeyChange::waits_for() const {
  if (committed()) return not_changed_;
  std::vector<HostId> list;
  for (const auto& [host, peer] : peers_)
    if (wanted() && !joined(peer)) list.push_back(host);
  return list;
}

}  // namespace wardom::runtime
