// How the cluster's key is changed while everything runs: `wardomctl key rotate`.
//
//   1. An operator asks one host. The next key is drawn there, or was put on every host by hand.
//   2. Every host stores the next key beside its present one, joins the attempt, and says so on
//      the ring. From then on it takes what comes under either; it sends under the present one.
//   3. Once every member of the domain has joined, one host says `change`. Whoever hears that
//      word, or anything under the next key, records it, and sends with the next key from then on.
//   4. Who has sent so for kOldKeyQuiet, and hears nobody under the old key any more, puts the
//      next key in the old one's place. A silent member does not hold that up: it has stored the
//      next key.
//
// What a host says and does follows from what its file says: a crash anywhere leaves it with one
// key or with both, it goes on where it stood, and it is understood with either. A change that
// waits, for a host that is down say, can be given up: the old key stands then. The ring's order
// of words settles a race of the two: `dropped` before `change` holds, after it does not; neither
// counts in a ring without most of the domain's daemons. A key that was given up stays stored and
// is taken from others, so that no host is ever deaf to one that went on with it; it is the next
// key again when somebody asks anew. Each time that somebody asks is an attempt with a number
// above all before it, so that what is said of an earlier one does not meet a later one.
//
// Says nothing and costs nothing while a host has one key only. One thread; files are written
// elsewhere (KeyStore).
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "libha/core/inputs.hpp"
#include "libha/core/result.hpp"
#include "libha/wire/ring_messages.hpp"

namespace wardom::runtime {

enum class KeyMark : std::uint8_t {
  held,      // stored, and nobody has asked for it
  wanted,    // this host has joined the attempt
  sending,   // `change` was said: this host sends with it
  given_up,  // the attempt, and all before it
};

// The next key as a host stores it.
struct NextKey {
  wire::Secret secret{};
  bool drawn{false};  // by a host, so that it may travel to others; else put there by hand
  KeyMark mark{KeyMark::held};
  std::uint64_t attempt{0};
  friend bool operator==(const NextKey&, const NextKey&) = default;
};

// Where a host keeps its keys. `keep` and `adopt` return at once; on_stored() tells how the one
// under way ended: only then is it on stable storage. There is one at a time.
struct KeyStore {
  std::function<Result<std::optional<NextKey>>()> read;
  std::function<void(const NextKey&)> keep;
  std::function<void(const wire::Secret&)> adopt;  // it becomes the present one
};

class KeyChange {
 public:
  enum class Stage : std::uint8_t {
    none,     // one key
    held,     // a next key is stored, and nobody wants it
    waiting,  // for members that have not joined
    sending,  // under the next key; waits for members that do not yet
  };

  // config: what hosts with the same members have in common (Beat::config_digest, its upper half).
  KeyChange(HostId self, std::vector<HostId> members, std::uint64_t config,
            const wire::Secret& present, std::optional<NextKey> next, KeyStore store);

  // What own messages are sealed with.
  const wire::Key& sends() const { return sending() ? *next_ : present_; }
  // What a message is tried with, in this order.
  const wire::Key& present() const { return present_; }
  const wire::Key* next() const { return next_ ? &*next_ : nullptr; }

  // An operator's wishes. Error: why not, and what to do. nullopt: the next key lies in the store.
  Result<void> begin(const std::optional<wire::Secret>& drawn, const std::string& by,
                     core::Now now);
  Result<void> give_up(const std::string& by, Instant now);

  void on_ring(const std::vector<HostId>& daemons, Instant now);
  // Own words as well: they come back in the ring's order.
  void on_word(const wire::KeyWord& word, Instant now);
  // Something authentic by another host came under that key, and is no replay.
  void on_heard(HostId from, bool under_next, Instant now) {
    if (next_) heard(from, under_next, now);
  }
  void on_stored(const Result<void>& result, Instant now);
  // What is to be said now. Call it after every other call, and at deadline() at the latest.
  std::vector<wire::KeyWord> tick(Instant now);
  Instant deadline() const { return wish_ || !to_say_.empty() ? due_ : Instant::never(); }
  // There may be something to say, on the ring or in the log.
  bool busy() const { return wish_ || !to_say_.empty() || !news_.empty(); }

  // For people.
  struct HostView {
    HostId host;
    bool in_ring{false};
    bool holds_next{false};
    bool sends_next{false};
  };
  Stage stage() const;
  // The next key, also while it is being stored.
  wire::KeyId wished() const { return wish_ ? wire::Key(wish_->secret).id() : wire::kNoKey; }
  std::vector<HostView> hosts() const;
  // Members that hold the change up, as far as is known here.
  std::vector<HostId> waits_for() const;
  bool most_in_ring() const;
  // Empty: none. A file that cannot be written, or another key that meets this one.
  const std::string& trouble() const { return trouble_; }
  // Words for the log since the last call.
  std::vector<std::string> take_news() { return std::exchange(news_, {}); }

 private:
  struct Peer {
    wire::KeyWord told;  // as it said last
    std::optional<Instant> under_next;  // heard last
    std::optional<Instant> under_present;
    bool in_ring{false};
  };
  bool sending() const { return next_ && stored_->mark == KeyMark::sending; }
  bool committed() const { return wish_ && wish_->mark == KeyMark::sending; }
  bool wanted() const { return wish_ && wish_->mark == KeyMark::wanted; }
  bool storing() const { return under_way_ || adopting_; }
  bool holds(const Peer& peer) const;
  bool joined(const Peer& peer) const;
  bool all_joined() const;
  void heard(HostId from, bool under_next, Instant now);
  void learn(const wire::KeyWord& word, Instant now);
  void wish(NextKey next, Instant now);
  void commit(const char* why, Instant now);
  void on_dropped(const wire::KeyWord& word, Instant now);
  void say_dropped(wire::KeyId key, std::uint64_t attempt, Instant now);
  void store_wish(Instant now);
  void try_to_end(Instant now);

  HostId self_;
  std::uint64_t config_;
  std::map<HostId, Peer> peers_;  // all members but this host
  KeyStore store_;
  wire::Key present_;
  std::optional<NextKey> stored_;  // what the file says for certain
  std::optional<wire::Key> next_;  // its key
  std::optional<NextKey> wish_;    // what it is to say, in the order of what was heard
  std::optional<NextKey> under_way_;  // what is being stored
  bool adopting_{false};              // or the next key is being put in the present one's place
  Instant store_again_{};             // after a failure
  std::uint64_t newest_attempt_{0};
  bool ring_up_{false};
  bool strangers_{false};  // a daemon that is no member is in the ring
  std::optional<std::uint64_t> giving_up_;  // an operator's wish that has not come back yet
  Instant sending_since_{};
  std::vector<HostId> not_changed_;  // as far as is known, while `sending`
  std::vector<wire::KeyWord> to_say_;  // besides what this host holds
  Instant due_{};
  std::string trouble_;
  std::vector<std::string> news_;
};

// Words are repeated so often while a next key is stored.
inline constexpr Duration kKeyWordInterval = std::chrono::seconds{1};
// A datagram sent under the old key is not on its way for longer.
inline constexpr Duration kOldKeyQuiet = std::chrono::seconds{3};
// A member that was not heard for so long does not hold up the end of a change. Also the pause
// after a file could not be written.
inline constexpr Duration kKeyPatience = std::chrono::seconds{10};

}  // namespace wardom::runtime
