// Several domain locks over one disk whose writes are read or not while they are under way, land
// late or never, or lose their acknowledgement; hosts die at any step and come back as a new life.
// Schedules are drawn from seeds. What must hold is looked at in the disk and in who acts.
#include <catch2/catch.hpp>

#include <deque>
#include <map>
#include <memory>
#include <optional>

#include "core_samples.hpp"
#include "libha/core/domain_lock.hpp"

using namespace wardom;
using namespace wardom::core;
using namespace wardom::core::sample;

namespace {

constexpr std::uint16_t kHosts = 3;

// What is taken away from the machine, to show that the check can fail.
enum class Broken { nothing, robbed, forgets_proposals };

// A short feed window, so that unfit owners release often.
Timing timing() {
  Timing timing;
  timing.feed_window = seconds{6};
  return timing;
}

struct Write {
  Ballot ballot;
  Sequence sequence;
  Ticket ticket;
  bool seen{false};      // somebody has read it: it cannot fail to land
  bool answered{false};  // given up, or acknowledged
};

struct Pair {
  std::optional<Write> stands;
  std::optional<Write> flying;
  Sequence last;
};

struct Life {
  bool up{false};
  Incarnation incarnation;
  std::unique_ptr<Board> board;
  std::unique_ptr<DomainLock> lock;
  Ticket last_ticket;
  LockStanding standing;
  struct Read {
    Ticket ticket;
    Instant issued;
    std::vector<Cell> left;
    std::vector<CellSeen> seen;
  };
  std::deque<Read> reads;
};

class World {
 public:
  World(std::uint64_t seed, Broken broken) : random_(seed), noise_(seed ^ 77), broken_(broken) {
    for (std::uint16_t id = 1; id <= kHosts; ++id) members_.push_back(HostId{id});
    for (HostId host : members_) begin_life(host);
  }

  // false: an invariant broke.
  bool run(int steps) {
    for (int i = 0; i < steps && sound_; ++i) {
      now_ = now_ + Duration{static_cast<std::int64_t>(below(40)) * 1'000'000};
      step();
      check();
    }
    return sound_;
  }
  std::size_t versions() const { return owners_.size(); }

 private:
  std::uint64_t below(std::uint64_t limit) { return random_.next() % limit; }
  bool chance(std::uint64_t percent) { return below(100) < percent; }
  Life& life(HostId host) { return lives_[host]; }

  void begin_life(HostId host) {
    auto& one = life(host);
    if (pairs_[host].flying) settle(host, pairs_[host].flying->seen || chance(50));
    one.incarnation = boot(one.incarnation.number + 1);
    one.incarnation.id.bytes[1] = static_cast<std::uint8_t>(host.value);
    one.board = std::make_unique<Board>(members_);
    one.lock = std::make_unique<DomainLock>(host, members_, timing(), *one.board);
    one.reads.clear();
    one.up = true;
    VolumeReady ready;
    ready.incarnation = one.incarnation;
    ready.volume_hosts = kHosts;
    one.lock->on_ready(ready, now_);
    one.board->want_ballots();
  }

  void settle(HostId host, bool lands) {
    auto& pair = pairs_[host];
    if (lands) {
      note(pair.flying->ballot);
      pair.stands = pair.flying;
    }
    pair.flying.reset();
  }

  // A version decided twice, in whatever cell and at whatever time, is the error to find.
  void note(const Ballot& ballot) {
    if (ballot.decided == LockVersion{}) return;
    const auto [found, fresh] = owners_.try_emplace(ballot.decided, ballot.value);
    if (!fresh && found->second != ballot.value) sound_ = false;
  }

  void step() {
    const HostId host = members_[below(kHosts)];
    auto& one = life(host);
    auto& pair = pairs_[host];
    switch (below(12)) {
      case 0:
        if (one.up && chance(6)) return void(one.up = false);  // dies; its write stays in flight
        if (!one.up && chance(20)) begin_life(host);
        return;
      case 1:
        one.standing.fit = chance(85);
        return;
      case 2:
        if (pair.flying && !pair.flying->answered && one.up && chance(15)) give_up(host);
        return;
      case 3:
      case 4:
        if (pair.flying && (pair.flying->seen || chance(97))) land(host);
        return;
      default:
        return one.up ? act(host) : void();
    }
  }

  void land(HostId host) {
    const auto write = *pairs_[host].flying;
    settle(host, true);
    // A lost acknowledgement is told as a failure in the end.
    if (!write.answered && life(host).up) tell(host, write.ticket, chance(90));
  }

  void give_up(HostId host) {
    pairs_[host].flying->answered = true;
    tell(host, pairs_[host].flying->ticket, false);
  }

  void tell(HostId host, Ticket ticket, bool ok) {
    Orders orders;
    Turn turn{{now_, {}}, orders, life(host).last_ticket, noise_};
    life(host).lock->on_written({ticket, {}, ok, {}, ok ? "" : "no answer"}, turn);
    carry_out(host, orders);
  }

  void act(HostId host) {
    auto& one = life(host);
    if (!one.reads.empty() && chance(60)) return read_on(host);
    one.standing.owner_gone = owner_over(*one.board);
    one.standing.place = below(2);
    Orders orders;
    Turn turn{{now_, {}}, orders, one.last_ticket, noise_};
    one.lock->tick(one.standing, turn);
    if (auto cells = one.board->take_wanted(); !cells.empty())
      one.reads.push_back({turn.ticket(), now_, std::move(cells), {}});
    carry_out(host, orders);
  }

  // The truth, as a proof would find it: the life that owns the lock is over.
  bool owner_over(const Board& board) {
    if (broken_ == Broken::robbed) return true;
    const auto& owner = board.lock().value.owner;
    if (owner.host == kNoHost) return false;
    const auto& its = life(owner.host);
    return !its.up || its.incarnation != owner.incarnation;
  }

  void read_on(HostId host) {
    auto& one = life(host);
    auto& read = one.reads.front();
    if (!read.left.empty()) {
      read.seen.push_back(sample(read.left.back()));
      read.left.pop_back();
      return;
    }
    const auto done = std::move(read);
    one.reads.pop_front();
    for (const auto& cell : done.seen) one.board->on_read(cell, done.issued);
    Orders orders;
    Turn turn{{now_, {}}, orders, one.last_ticket, noise_};
    one.lock->on_read(done.ticket, turn);
    carry_out(host, orders);
  }

  CellSeen sample(const Cell& cell) {
    auto& pair = pairs_[HostId{static_cast<std::uint16_t>(cell.index)}];
    CellSeen seen;
    seen.cell = cell;
    if (chance(2)) {
      seen.error = "no answer";
      return seen;
    }
    seen.health = CellHealth::empty;
    auto write = pair.stands;
    // Once somebody has read a write, everybody does who reads later.
    if (pair.flying && (pair.flying->seen || chance(50))) {
      pair.flying->seen = true;
      write = pair.flying;
      note(write->ballot);
    }
    if (!write) return seen;
    if (broken_ == Broken::forgets_proposals) write->ballot.bal = {};
    seen.health = CellHealth::valid;
    seen.sequence = write->sequence;
    seen.content = write->ballot;
    return seen;
  }

  void carry_out(HostId host, const Orders& orders) {
    auto& one = life(host);
    for (const auto& read : orders.reads)
      one.reads.push_back({read.ticket, now_, read.cells, {}});
    for (const auto& write : orders.ballots) {
      auto& pair = pairs_[host];
      if (pair.flying) {  // an earlier one is quarantined: nothing is written
        tell(host, write.ticket, false);
        continue;
      }
      pair.last = pair.last.next();
      pair.flying = Write{write.ballot, pair.last, write.ticket, false, false};
    }
  }

  // OneActing, and nobody acts whose version is followed by another.
  void check() {
    int acting = 0;
    LockVersion newest;
    for (const auto& [version, value] : owners_) newest = version;
    for (HostId host : members_) {
      auto& one = life(host);
      if (!one.up || !one.lock->holds()) continue;
      ++acting;
      if (one.board->lock().version < newest) sound_ = false;
    }
    if (acting > 1) sound_ = false;
  }

  Random random_;
  Random noise_;  // the machines' own, so that their draws move no fault
  Broken broken_;
  std::vector<HostId> members_;
  std::map<HostId, Pair> pairs_;
  std::map<HostId, Life> lives_;
  std::map<LockVersion, LockValue> owners_;
  Instant now_{std::chrono::seconds{100}};
  bool sound_{true};
};

constexpr int kSchedules = 600;
constexpr int kSteps = 800;

// The first seed at which an invariant breaks.
std::optional<std::uint64_t> first_failure(Broken broken, std::uint64_t seeds) {
  for (std::uint64_t seed = 1; seed <= seeds; ++seed)
    if (World world(seed, broken); !world.run(kSteps)) return seed;
  return std::nullopt;
}

}  // namespace

TEST_CASE("no_version_is_decided_twice_over_random_schedules", "[domain_lock]") {
  std::size_t versions = 0;
  for (std::uint64_t seed = 1; seed <= kSchedules; ++seed) {
    World world(seed, Broken::nothing);
    INFO("seed " << seed);
    REQUIRE(world.run(kSteps));
    versions += world.versions();
  }
  CHECK(versions > std::size_t{kSchedules});  // the schedules reach what they are to test
}

TEST_CASE("each_rule_taken_away_is_found_out", "[domain_lock]") {
  CHECK(first_failure(Broken::robbed, 200));
  CHECK(first_failure(Broken::forgets_proposals, 1000));
}

// One host alone with its cell, step by step.
namespace {

struct Alone {
  Alone() {
    VolumeReady ready;
    ready.incarnation = boot(5);
    ready.volume_hosts = 3;
    lock.on_ready(ready, now);
    standing.fit = true;
    standing.place = 0;
  }
  // Runs until nothing is ordered any more; every write and read succeeds at once.
  void settle(bool writes_succeed = true) {
    for (int i = 0; i < 50; ++i) {
      Orders orders;
      Turn turn{{now, {}}, orders, last, random};
      lock.tick(standing, turn);
      if (auto cells = board.take_wanted(); !cells.empty()) answer(cells);
      work(orders, writes_succeed);
      now = now + milliseconds{10};
    }
  }
  void work(const Orders& orders, bool writes_succeed) {
    for (const auto& write : orders.ballots) {
      if (writes_succeed) {
        stands = write.ballot;
        sequence = sequence.next();
      }
      step([&](Turn& turn) {
        lock.on_written({write.ticket, {}, writes_succeed, sequence, "no answer"}, turn);
      }, writes_succeed);
    }
    for (const auto& read : orders.reads) {
      answer(read.cells);
      step([&](Turn& turn) { lock.on_read(read.ticket, turn); }, writes_succeed);
    }
  }
  template <class Step>
  void step(const Step& one, bool writes_succeed) {
    Orders orders;
    Turn turn{{now, {}}, orders, last, random};
    one(turn);
    work(orders, writes_succeed);
  }
  void answer(const std::vector<Cell>& cells) {
    for (const auto& cell : cells) {
      CellSeen seen;
      seen.cell = cell;
      seen.health = CellHealth::empty;
      if (cell.region == Region::ballot && cell.index == 1 && sequence != Sequence{}) {
        seen.health = CellHealth::valid;
        seen.sequence = sequence;
        seen.content = stands;
      }
      board.on_read(seen, now);
    }
  }

  std::vector<HostId> members{HostId{1}, HostId{2}};
  Board board{members};
  DomainLock lock{HostId{1}, members, timing(), board};
  LockStanding standing;
  Instant now{seconds{100}};
  Ticket last;
  Random random{7};
  Ballot stands;
  Sequence sequence;
};

const std::vector<Proposer> kGrown{{HostId{1}, false, 1}, {HostId{2}, false, 1},
                                   {HostId{3}, false, 1}};

}  // namespace

TEST_CASE("an_owner_changes_the_directory_under_a_new_version", "[domain_lock]") {
  Alone alone;
  alone.settle();
  REQUIRE(alone.lock.holds());
  CHECK(alone.board.lock().value.directory.size() == 2);
  alone.standing.directory = kGrown;
  alone.settle();
  CHECK(alone.lock.holds());
  CHECK(alone.board.lock().version == LockVersion{2});
  CHECK(alone.board.lock().value.directory == kGrown);
}

TEST_CASE("a_failed_directory_change_leaves_the_owner_what_it_had", "[domain_lock]") {
  Alone alone;
  alone.settle();
  alone.standing.directory = kGrown;
  alone.settle(false);
  CHECK(alone.lock.holds());
  CHECK(alone.board.lock().version == LockVersion{1});
  CHECK(alone.lock.given_up() == LockVersion{});
}

TEST_CASE("who_cannot_act_for_long_gives_up_all_that_it_may_own", "[domain_lock]") {
  Alone alone;
  alone.settle();
  alone.standing.directory = kGrown;
  alone.settle(false);  // version 2 was begun, and may be completed by others
  alone.standing.fit = false;
  for (int i = 0; i < 8; ++i) alone.settle(false);
  CHECK_FALSE(alone.lock.holds());
  CHECK(alone.lock.given_up() == LockVersion{2});
  alone.standing.fit = true;
  alone.standing.directory.clear();
  alone.settle();  // writes succeed again: RELEASED is told on the volume, too
  CHECK(alone.stands.decided >= LockVersion{1});
  CHECK(alone.lock.given_up() == LockVersion{2});
}

// Others take it as soon as they hear of that.
TEST_CASE("whose_incarnation_is_released_holds_no_lock", "[domain_lock]") {
  Alone alone;
  alone.settle();
  REQUIRE(alone.lock.holds());
  alone.standing.fit = false;
  alone.standing.over = true;
  alone.settle(false);
  CHECK_FALSE(alone.lock.holds());
  CHECK(alone.lock.given_up() == LockVersion{1});
}

TEST_CASE("told_to_give_up_it_releases_at_once", "[domain_lock]") {
  Alone alone;
  alone.settle();
  alone.standing.give_up = "a test says so";
  alone.standing.place.reset();
  alone.settle();
  CHECK_FALSE(alone.lock.holds());
  CHECK(alone.stands.released);
  CHECK(alone.stands.value.owner.host == HostId{1});
}

TEST_CASE("the_first_version_is_balloted_for_over_every_cell", "[domain_lock]") {
  Alone alone;  // host 3 is no member here, and has decided version 1 with others
  alone.standing.fit = false;
  alone.settle();
  CellSeen foreign;
  foreign.cell = {Region::ballot, 3};
  foreign.health = CellHealth::valid;
  foreign.sequence = Sequence{1};
  Ballot ballot;
  ballot.decided = LockVersion{1};
  ballot.value = {{HostId{3}, boot(5), {}}, {{HostId{3}, false, 1}}};
  foreign.content = ballot;
  alone.standing.fit = true;
  Orders orders;
  Turn turn{{alone.now, {}}, orders, alone.last, alone.random};
  alone.lock.tick(alone.standing, turn);
  REQUIRE(orders.ballots.size() == 1);
  Orders after;
  Turn next{{alone.now, {}}, after, alone.last, alone.random};
  alone.lock.on_written({orders.ballots[0].ticket, {}, true, Sequence{1}, ""}, next);
  REQUIRE(after.reads.size() == 1);
  CHECK(after.reads[0].cells == std::vector{Cell{Region::ballot, 2}, Cell{Region::ballot, 3}});
  foreign.cell.index = 3;
  alone.answer({Cell{Region::ballot, 2}});
  alone.board.on_read(foreign, alone.now);
  Orders last;
  Turn end{{alone.now, {}}, last, alone.last, alone.random};
  alone.lock.on_read(after.reads[0].ticket, end);
  CHECK(last.ballots.empty());  // nothing is proposed beside what others have decided
  CHECK_FALSE(alone.lock.holds());
}
