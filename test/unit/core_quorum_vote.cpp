// One host's quorum device beside a volume and a corosync made by hand. The device has a timeout of
// 4 s, so it is polled every second, and doubt keeps a vote for 3 s.
#include <catch2/catch.hpp>

#include <map>
#include <utility>

#include "core_samples.hpp"
#include "libha/core/quorum_vote.hpp"

using namespace wardom;
using namespace wardom::core;
using namespace wardom::core::sample;

namespace {

constexpr RingId kWhole{1, 4};
constexpr RingId kNext{1, 8};

Owner life(HostId host) { return {host, boot(5), DaemonEpoch{1}}; }

struct Host {
  std::vector<HostId> members{kSelf, kPeer, kThird};
  Board board{members};
  QuorumVote quorum{kSelf, members, Timing{}, board};
  std::map<HostId, Ballot> cells;
  std::map<HostId, std::uint64_t> sequences;
  VoteStanding standing;
  bool volume{true};      // reads complete
  Duration read_takes{milliseconds{10}};
  bool keeper{true};      // the slot is written every 250 ms, as the machine wants it
  bool corosync{true};    // takes the votes
  bool at_deadlines{false};  // runs only when something came, or when it said that it has to
  bool came{true};
  bool slots{false};      // the others' are read all the time
  LockVersion slot;
  Instant now{at(0)};
  Ticket last;
  Random random{1};
  std::vector<Note> notes;
  std::vector<std::pair<Instant, bool>> votes;  // as corosync took them
  RingId ring{kWhole};
  std::optional<Instant> reading;
  Instant next_slot{at(0)};

  Host() {
    standing.able = true;
    standing.others = {other(kPeer), other(kThird)};
    own(kSelf, 1);
    quorum.on_device({seconds{4}, seconds{8}, members});
  }

  static OtherVote other(HostId host) { return {host, false, std::nullopt, LockVersion{}}; }
  OtherVote& about(HostId host) { return standing.others.at(host == kPeer ? 0 : 1); }

  void own(HostId host, std::uint64_t version, bool released = false) {
    Ballot ballot;
    ballot.decided = LockVersion{version};
    ballot.value.owner = life(host);
    for (HostId member : members) ballot.value.directory.push_back({member, false, 1});
    ballot.released = released;
    cells[host] = ballot;
    ++sequences[host];
  }

  void form(RingId id, std::vector<HostId> nodes, bool syncing = true) {
    ring = id;
    quorum.on_ring({id, std::move(nodes), syncing}, now);
    came = true;
  }

  Orders lose_device(const DeviceLost& lost) {
    Orders orders;
    Turn turn{{now, {}}, orders, last, random};
    quorum.on_device_lost(lost, turn);
    return orders;
  }

  void read() {
    for (HostId host : members) {
      CellSeen cell;
      cell.cell = board.ballot_cell(host);
      cell.health = cells.contains(host) ? CellHealth::valid : CellHealth::empty;
      cell.writer = host;
      cell.incarnation = boot(5);
      cell.sequence = Sequence{sequences[host]};
      if (cells.contains(host)) cell.content = cells[host];
      board.on_read(cell, *reading);
    }
    reading.reset();
    came = true;
  }

  void step() {
    now = now + milliseconds{10};
    if (reading && volume && now - *reading >= read_takes) read();
    if (slots)
      for (auto& one : standing.others) one.read_issued = now;
    if (keeper && now >= next_slot) {
      came = came || slot != quorum.states().value_or(slot);
      slot = quorum.states().value_or(slot);
      quorum.on_stated(slot, now);
      next_slot = now + milliseconds{250};
    }
    if (at_deadlines && !std::exchange(came, false) && now < quorum.next_deadline()) return;
    Orders orders;
    Turn turn{{now, {}}, orders, last, random};
    for (const auto& vote : quorum.tick(standing, turn)) {
      const bool takes = corosync && vote.ring == ring && (!vote.cast || now < vote.until);
      if (takes) votes.emplace_back(now, vote.cast);
      quorum.on_taken({vote.ticket, takes, takes ? "" : "busy"}, now);
    }
    for (auto& note : orders.notes) notes.push_back(std::move(note));
    if (board.wants() && !reading) {
      board.take_wanted();
      reading = now;
    }
  }
  void run(Duration time) {
    for (const Instant end = now + time; now < end;) step();
  }

  bool casts() const { return !votes.empty() && votes.back().second; }
  // Since `since`, no vote was withdrawn.
  bool held_since(Instant since) const {
    return std::none_of(votes.begin(), votes.end(),
                        [&](const auto& vote) { return vote.first >= since && !vote.second; });
  }
};

// From then on it casts in the whole ring, under version 1, which host 1 owns.
void begin(Host& host) {
  host.form(kWhole, host.members);
  host.run(seconds{1});
  REQUIRE(host.casts());
}

}  // namespace

TEST_CASE("read_again_in_time_when_nothing_else_happens", "[quorum]") {
  Host host;
  host.at_deadlines = true;
  host.next_slot = at(0) + milliseconds{150};  // sooner than a ballot read is repeated
  host.form(kWhole, host.members);
  host.run(milliseconds{500});
  CHECK(host.casts());
}

TEST_CASE("cast_where_the_owner_is", "[quorum]") {
  Host host;
  begin(host);
  CHECK(host.held_since(at(0)));
  CHECK(host.slot == LockVersion{1});
  CHECK(host.quorum.view().casts);
  CHECK(host.quorum.view().version == LockVersion{1});
  host.run(seconds{20});
  CHECK(host.held_since(at(0)));
  // One poll for each second, no more.
  CHECK(host.votes.size() >= 19);
  CHECK(host.votes.size() <= 22);
  REQUIRE(host.notes.size() == 1);
  CHECK(host.notes[0].text.find("ring 1.4") != std::string::npos);
}

TEST_CASE("cast_nothing_where_the_owner_is_not", "[quorum]") {
  Host host;
  host.own(kThird, 2);
  host.form(kWhole, {kSelf, kPeer});
  host.run(milliseconds{50});
  // A definite answer does not hold the ring up.
  REQUIRE(host.votes.size() == 1);
  CHECK_FALSE(host.casts());
  host.run(seconds{30});
  CHECK_FALSE(host.casts());
  CHECK(host.votes.size() >= 29);
  CHECK(host.slot == LockVersion{});
}

TEST_CASE("withdraw_at_once_when_an_outsider_owns", "[quorum]") {
  Host host;
  host.slots = true;
  begin(host);
  host.form(kNext, {kSelf, kPeer});
  host.run(seconds{2});
  REQUIRE(host.casts());
  host.own(kThird, 2);
  const Instant since = host.now;
  host.run(milliseconds{1100});  // the next poll's read shows it
  CHECK_FALSE(host.casts());
  CHECK(host.votes.back().first - since <= milliseconds{1050});
}

TEST_CASE("poll_rests_on_a_read_in_this_ring", "[quorum]") {
  Host host;
  begin(host);
  host.volume = false;
  host.form(kNext, host.members);
  const auto polls = host.votes.size();
  host.run(milliseconds{900});
  CHECK(host.votes.size() == polls);  // what was read in the ring before says nothing
  host.run(milliseconds{200});
  CHECK(host.votes.size() == polls + 1);
  CHECK_FALSE(host.casts());
  host.volume = true;
  host.run(milliseconds{800});
  CHECK(host.casts());
}

TEST_CASE("poll_rests_on_a_read_that_is_not_old", "[quorum]") {
  Host host;
  begin(host);
  host.volume = false;
  const Instant last = host.votes.back().first;
  host.run(seconds{6});
  REQUIRE_FALSE(host.casts());
  // Nothing was said while corosync kept the last vote; then it was withdrawn, before corosync
  // would have forgotten it.
  const auto first_no = std::find_if(host.votes.begin(), host.votes.end(),
                                     [](const auto& vote) { return !vote.second; });
  CHECK(first_no->first - last >= seconds{3});
  CHECK(first_no->first - last < seconds{4});
  CHECK(std::prev(first_no)->first == last);
}

TEST_CASE("slow_volume_costs_no_vote", "[quorum]") {
  const auto takes = GENERATE(milliseconds{1300}, milliseconds{1900});
  Host host;
  begin(host);
  host.read_takes = takes;
  host.run(seconds{20});
  CHECK(host.held_since(at(0)));
  CHECK(host.casts());
  // Within the time for which corosync keeps a vote, each time.
  for (std::size_t i = 1; i < host.votes.size(); ++i)
    CHECK(host.votes[i].first - host.votes[i - 1].first < seconds{4});
  // A definite no is heard of as late as that, and no later.
  host.own(kThird, 2);
  host.form(kNext, {kSelf, kPeer});
  host.run(seconds{3});
  CHECK_FALSE(host.casts());
}

TEST_CASE("status_tells_what_corosync_has_taken", "[quorum]") {
  Host host;
  host.corosync = false;
  host.form(kWhole, host.members);
  host.run(seconds{1});
  CHECK_FALSE(host.quorum.view().casts);
  CHECK(host.quorum.view().why == "corosync did not take the vote: busy");
  host.corosync = true;
  host.run(seconds{1});
  CHECK(host.quorum.view().casts);
  CHECK(host.quorum.view().why.find("busy") == std::string::npos);
}

TEST_CASE("what_corosync_conf_should_not_say_is_told", "[quorum]") {
  Host host;
  const auto told = [&](const std::string& words) {
    const auto troubles = host.quorum.troubles();
    return std::any_of(troubles.begin(), troubles.end(), [&](const auto& one) {
      return one.what.find(words) != std::string::npos;
    });
  };
  CHECK(host.quorum.troubles().empty());
  const auto alike = host.quorum.device_digest();
  DeviceSet device{seconds{4}, seconds{8}, host.members};
  SECTION("wait_for_all") {
    device.wait_for_all = true;
    host.quorum.on_device(device);
    CHECK(told("wait_for_all"));
  }
  SECTION("a member that is no node") {
    device.nodes = {kSelf, kPeer};
    host.quorum.on_device(device);
    CHECK(told("without host 3"));
  }
  SECTION("a node that is no member") {
    device.nodes.push_back(HostId{9});
    host.quorum.on_device(device);
    CHECK(told("not served"));
  }
  CHECK(host.quorum.troubles().size() == 1);
  CHECK(host.quorum.device_digest() != alike);
  host.form(kWhole, host.members);
  host.run(seconds{2});
  CHECK(host.casts() == !told("not served"));
}

TEST_CASE("hand_over_inside_a_ring_does_not_flap", "[quorum]") {
  Host host;
  begin(host);
  host.own(kSelf, 1, true);
  host.run(milliseconds{1800});
  host.own(kPeer, 2);
  host.run(seconds{5});
  CHECK(host.held_since(at(0)));
  CHECK(host.casts());
  CHECK(host.quorum.view().version == LockVersion{2});
  CHECK(host.slot == LockVersion{2});
}

TEST_CASE("owner_gone_in_a_standing_ring_is_doubt", "[quorum]") {
  Host host;
  begin(host);
  const Instant since = host.now;
  host.standing.owner_gone = true;
  host.run(milliseconds{1900});
  CHECK(host.held_since(at(0)));
  host.run(milliseconds{1300});
  CHECK_FALSE(host.casts());
  CHECK_FALSE(host.held_since(since));
  host.standing.owner_gone = false;
  host.run(milliseconds{800});
  CHECK(host.casts());
}

TEST_CASE("ring_without_its_owner_decides_within_a_second", "[quorum]") {
  Host host;
  host.own(kPeer, 2, true);  // given up, and nobody has taken it
  host.form(kWhole, host.members);
  host.run(milliseconds{980});
  CHECK(host.votes.empty());
  host.run(milliseconds{40});
  REQUIRE(host.votes.size() == 1);
  CHECK_FALSE(host.casts());
}

TEST_CASE("daemon_that_registers_in_a_standing_ring_has_more_time", "[quorum]") {
  Host host;
  host.own(kPeer, 2, true);
  host.form(kWhole, host.members, false);
  host.run(milliseconds{2300});
  CHECK(host.votes.empty());  // what the daemon before it said may still stand
  CHECK(host.quorum.states() == std::nullopt);
  host.own(kPeer, 3);
  host.run(milliseconds{600});
  CHECK(host.casts());
  CHECK(host.held_since(at(0)));
}

TEST_CASE("lone_start_casts_nothing_for_a_silent_owner", "[quorum]") {
  Host host;
  host.own(kThird, 7);
  host.form(kWhole, {kSelf});
  host.run(seconds{60});
  CHECK_FALSE(host.casts());
}

TEST_CASE("first_owner_of_all_is_waited_for", "[quorum]") {
  Host host;
  host.cells.clear();
  host.form(kWhole, host.members);
  host.run(seconds{3});
  CHECK_FALSE(host.casts());
  host.own(kSelf, 1);
  host.run(milliseconds{1400});
  CHECK(host.casts());
}

TEST_CASE("unable_host_casts_nothing", "[quorum]") {
  Host host;
  host.standing.able = false;
  host.form(kWhole, host.members);
  host.run(seconds{5});
  CHECK_FALSE(host.casts());
  CHECK(host.votes.size() >= 4);  // it is polled all the same
}

TEST_CASE("condemned_host_withdraws_at_once", "[quorum]") {
  Host host;
  begin(host);
  host.standing.condemned = true;
  host.run(milliseconds{20});
  CHECK_FALSE(host.casts());
}

TEST_CASE("unreadable_ballot_is_doubt", "[quorum]") {
  Host host;
  begin(host);
  host.cells[kThird].decided = LockVersion{1};
  host.cells[kThird].value.owner = life(kThird);  // names another owner of version 1
  ++host.sequences[kThird];
  host.run(seconds{5});
  CHECK_FALSE(host.casts());
  CHECK(host.quorum.view().why.find("two owners") != std::string::npos);
}

TEST_CASE("cast_only_after_the_slot_says_so", "[quorum]") {
  Host host;
  host.keeper = false;
  host.form(kWhole, host.members);
  host.run(seconds{3});
  CHECK_FALSE(host.casts());
  CHECK(host.quorum.states() == LockVersion{1});
  // What was read before the statement stood may miss an owner who did not see it.
  host.own(kThird, 2);
  host.form(kNext, {kSelf, kPeer});
  host.volume = false;
  host.keeper = true;
  host.next_slot = host.now;
  host.run(milliseconds{300});
  CHECK_FALSE(host.casts());
  host.volume = true;
  host.run(seconds{10});
  CHECK_FALSE(host.casts());
}

TEST_CASE("read_follows_the_statement", "[quorum]") {
  Host host;
  host.keeper = false;
  host.quorum.on_stated({}, host.now);
  host.form(kWhole, {kSelf, kPeer});
  for (auto& one : host.standing.others) one.dead = true;
  host.run(milliseconds{500});  // all is known but that the slot says so
  REQUIRE(host.quorum.states() == LockVersion{1});
  host.volume = false;
  host.own(kThird, 2);          // decided by one who saw no statement
  host.quorum.on_stated(LockVersion{1}, host.now);
  host.run(milliseconds{400});
  CHECK(host.votes.empty());
  host.volume = true;
  host.run(milliseconds{100});
  REQUIRE(host.votes.size() == 1);
  CHECK_FALSE(host.casts());
}

TEST_CASE("vote_outside_is_waited_for_by_time", "[quorum]") {
  Host host;
  begin(host);
  host.about(kThird).under = LockVersion{1};
  host.form(kNext, {kSelf, kPeer});
  host.own(kThird, 2);
  host.run(seconds{1});
  REQUIRE_FALSE(host.casts());
  host.own(kPeer, 3);
  const Instant since = host.now;
  host.run(seconds{5});
  host.about(kThird).read_issued = host.now;  // its keeper lives, its wardomd does not
  CHECK(host.quorum.view().why.find("host 3") != std::string::npos);
  host.run(seconds{30});
  REQUIRE(host.casts());
  const auto first = std::find_if(host.votes.begin(), host.votes.end(), [&](const auto& vote) {
    return vote.first > since && vote.second;
  });
  // 2 s of a read, 4 s of the timeout and 8 s of a ring that waits, by two clocks.
  CHECK(first->first - since >= milliseconds{14280});
  CHECK(first->first - since <= milliseconds{16000});

}

TEST_CASE("statement_is_raised_when_the_later_vote_was_taken", "[quorum]") {
  Host host;
  begin(host);
  REQUIRE(host.slot == LockVersion{1});
  host.corosync = false;  // what was cast under version 1 still counts
  host.own(kPeer, 2);
  host.run(seconds{3});
  CHECK(host.quorum.view().version == LockVersion{2});
  CHECK(host.slot == LockVersion{1});
  host.corosync = true;
  host.run(milliseconds{600});
  CHECK(host.slot == LockVersion{2});
  CHECK(host.held_since(at(0)));
}

TEST_CASE("statement_of_an_earlier_version_covers_a_later_vote", "[quorum]") {
  Host host;
  begin(host);
  host.keeper = false;
  host.own(kPeer, 2);
  host.run(milliseconds{1500});
  CHECK(host.casts());
  CHECK(host.quorum.view().version == LockVersion{2});
  CHECK(host.quorum.states() == LockVersion{2});
  CHECK(host.slot == LockVersion{1});
}

// Which vote corosync has taken last from the daemon before this one is not known.
TEST_CASE("daemon_that_has_begun_keeps_the_statement_until_its_vote_is_taken", "[quorum]") {
  Host host;
  host.slot = LockVersion{1};
  host.own(kPeer, 2);
  host.corosync = false;
  host.form(kWhole, host.members, false);
  host.run(seconds{2});
  CHECK(host.quorum.view().version == LockVersion{2});
  CHECK(host.slot == LockVersion{1});
  host.corosync = true;
  host.run(milliseconds{600});
  CHECK(host.casts());
  CHECK(host.slot == LockVersion{2});
}

TEST_CASE("vote_outside_is_withdrawn_by_slot_or_verdict", "[quorum]") {
  const auto says = GENERATE(0, 2, 7);  // 7: a later version than the one asked about
  Host host;
  host.own(kPeer, 2);
  host.about(kThird).under = LockVersion{1};
  host.form(kWhole, {kSelf, kPeer});
  host.run(seconds{2});
  REQUIRE_FALSE(host.casts());
  SECTION("the slot is read anew") {
    host.about(kThird).under = LockVersion{static_cast<std::uint64_t>(says)};
    host.run(seconds{1});
    CHECK_FALSE(host.casts());  // it was read before the version was seen
    host.about(kThird).read_issued = host.now;
    host.run(milliseconds{50});
    CHECK(host.casts());
  }
  SECTION("a verdict names it") {
    host.about(kThird).dead = true;
    host.run(milliseconds{50});
    CHECK(host.casts());
  }
}

TEST_CASE("vote_of_a_slot_that_stands_is_waited_for_once", "[quorum]") {
  // T_F/2 is 10 s, and a vote lasts 14 s: by two clocks 24.5 s.
  const bool enough = GENERATE(false, true);
  Host host;
  begin(host);
  host.slots = true;
  host.about(kThird).under = LockVersion{1};
  host.form(kNext, {kSelf, kPeer});
  host.run(seconds{1});
  REQUIRE(host.casts());
  const Instant handed = host.now;
  host.own(kPeer, 2);
  host.about(kThird).stands = enough ? milliseconds{24490} : milliseconds{24470};
  host.run(seconds{6});
  CHECK(host.casts() == enough);
  CHECK(host.held_since(handed) == enough);
  CHECK(host.quorum.cleared() == LockVersion{enough ? 2u : 0u});
  CHECK(host.quorum.waits_for_slots() == !enough);
}

TEST_CASE("slot_that_stands_is_read_after_the_version_was_seen", "[quorum]") {
  Host host;
  begin(host);
  host.about(kThird).under = LockVersion{1};
  host.about(kThird).stands = seconds{60};
  host.about(kThird).read_issued = host.now;
  host.form(kNext, {kSelf, kPeer});
  host.run(milliseconds{100});
  host.own(kPeer, 2);
  host.run(milliseconds{1500});
  CHECK(host.quorum.cleared() == LockVersion{});
  host.slots = true;
  host.run(milliseconds{300});
  CHECK(host.quorum.view().version == LockVersion{2});
}

TEST_CASE("daemon_that_has_begun_takes_the_ring's_word", "[quorum]") {
  Host host;
  host.own(kPeer, 2);
  host.slots = true;
  host.about(kThird).under = LockVersion{1};
  host.form(kWhole, {kSelf, kPeer}, false);
  host.run(seconds{2});
  REQUIRE_FALSE(host.casts());
  host.standing.cleared = LockVersion{1};
  host.run(milliseconds{500});
  CHECK_FALSE(host.casts());
  host.standing.cleared = LockVersion{2};
  host.run(milliseconds{400});
  CHECK(host.casts());
  CHECK(host.held_since(at(0)));
  CHECK(host.quorum.cleared() == LockVersion{2});
  host.standing.cleared = {};
  host.form(kNext, {kSelf, kPeer});
  host.run(milliseconds{100});
  CHECK(host.quorum.cleared() == LockVersion{2});
  host.about(kPeer).under = LockVersion{1};
  host.own(kSelf, 3);
  host.form({1, 12}, {kSelf, kPeer});
  host.run(milliseconds{100});
  CHECK(host.quorum.cleared() == LockVersion{});  // it was said of the version before
}

TEST_CASE("host_that_leaves_after_its_withdrawal_is_not_waited_for", "[quorum]") {
  // 2: it casts under the present version too, as a host does in the same ring.
  const auto says = GENERATE(0, 2);
  Host host;
  begin(host);
  host.slots = true;
  host.own(kSelf, 2);
  host.about(kThird).under = LockVersion{static_cast<std::uint64_t>(says)};
  host.run(seconds{2});
  REQUIRE(host.quorum.view().version == LockVersion{2});
  host.slots = false;  // it dies with that
  host.about(kThird).read_issued = std::nullopt;
  host.form(kNext, {kSelf, kPeer});
  host.run(milliseconds{100});
  CHECK(host.casts());
  CHECK(host.held_since(at(0)));
  CHECK(host.quorum.cleared() == LockVersion{2});
}

// The lock has passed on inside a ring, which parts before all of its hosts know of it.
TEST_CASE("host_that_leaves_with_its_vote_is_waited_for", "[quorum]") {
  Host host;
  begin(host);
  host.slots = true;
  for (HostId other : {kPeer, kThird}) host.about(other).under = LockVersion{1};
  host.own(kSelf, 2);
  host.standing.cleared = LockVersion{2};  // of those outside, who are none
  host.run(milliseconds{1500});
  REQUIRE(host.quorum.view().version == LockVersion{2});
  REQUIRE(host.casts());
  const bool casts_on = GENERATE(true, false);
  host.standing.cleared = {};
  host.form(kNext, {kSelf, kPeer});
  host.run(milliseconds{1100});
  CHECK_FALSE(host.casts());
  CHECK(host.quorum.view().why.find("host 3") != std::string::npos);
  if (casts_on) {  // its daemon is dead, and corosync has its vote for a while
    host.run(seconds{10});
    CHECK_FALSE(host.casts());
    host.run(seconds{6});
  } else {
    host.about(kThird).under = LockVersion{};
    host.run(milliseconds{50});
  }
  CHECK(host.casts());
}

// What is known of a host holds for as long as the version does: nothing was said there since.
TEST_CASE("host_outside_is_not_waited_for_anew_in_the_next_ring", "[quorum]") {
  Host host;
  host.own(kPeer, 2);
  host.slots = true;
  host.form(kWhole, {kSelf, kPeer});
  host.run(seconds{2});
  REQUIRE(host.casts());
  host.slots = false;
  host.standing.able = false;
  host.form(kNext, {kSelf, kPeer});
  host.run(milliseconds{1100});
  REQUIRE_FALSE(host.casts());
  host.about(kThird).read_issued = std::nullopt;
  host.standing.able = true;
  host.run(seconds{1});
  CHECK(host.casts());
}

TEST_CASE("statement_ends_after_corosync_took_the_withdrawal", "[quorum]") {
  Host host;
  begin(host);
  host.corosync = false;
  host.own(kThird, 2);
  host.form(kNext, {kSelf, kPeer});
  host.run(seconds{60});
  CHECK(host.slot == LockVersion{1});
  host.corosync = true;
  host.run(milliseconds{600});
  CHECK_FALSE(host.casts());
  CHECK(host.slot == LockVersion{});
}

TEST_CASE("statement_outlives_the_device_as_long_as_the_vote_may", "[quorum]") {
  Host host;
  begin(host);
  CHECK(host.lose_device({"corosync is gone"}).notes.size() == 1);
  CHECK_FALSE(host.quorum.view().set_up);
  host.run(milliseconds{12000});
  CHECK(host.slot == LockVersion{1});
  host.run(milliseconds{2500});
  CHECK(host.slot == LockVersion{});
}

TEST_CASE("statement_ends_with_corosync", "[quorum]") {
  Host host;
  begin(host);
  host.lose_device({"corosync is gone", true});
  host.run(milliseconds{300});
  CHECK(host.slot == LockVersion{});
}

TEST_CASE("daemon_without_a_device_ends_an_old_statement", "[quorum]") {
  Host host;
  host.lose_device({"corosync.conf names no quorum device"});
  host.slot = LockVersion{1};  // of a daemon before this one
  host.run(seconds{100});
  CHECK(host.slot == LockVersion{1});
  host.run(seconds{100});
  CHECK(host.slot == LockVersion{});
}

TEST_CASE("next_statement_is_not_taken_for_the_last", "[quorum]") {
  Host host;
  begin(host);
  host.keeper = false;
  host.own(kSelf, 1, true);
  host.run(seconds{4});
  REQUIRE_FALSE(host.casts());
  REQUIRE(host.quorum.states() == LockVersion{});
  // The same owner's word again, as far as this host can tell: the release was another life's.
  host.cells[kSelf].released = false;
  host.cells[kSelf].value.owner = life(kSelf);
  ++host.sequences[kSelf];
  host.quorum.on_stated(LockVersion{1}, host.now);  // an answer that was on its way
  host.run(seconds{2});
  CHECK(host.quorum.states() == LockVersion{});
  CHECK_FALSE(host.casts());
  host.keeper = true;
  host.next_slot = host.now;
  host.run(seconds{2});
  CHECK(host.casts());
}

TEST_CASE("stated_volume_loss_forgets_the_statement", "[quorum]") {
  Host host;
  begin(host);
  host.quorum.on_volume_lost();
  host.keeper = false;
  host.run(seconds{5});
  CHECK_FALSE(host.casts());
}

TEST_CASE("leaving_host_withdraws", "[quorum]") {
  Host host;
  begin(host);
  CHECK_FALSE(host.quorum.leaves());
  host.quorum.leave();
  host.run(milliseconds{20});
  CHECK_FALSE(host.casts());
  CHECK(host.quorum.leaves());
  host.run(milliseconds{300});
  CHECK(host.slot == LockVersion{});
  CHECK_FALSE(host.quorum.leaves());
}

TEST_CASE("device_out_of_bounds_is_refused", "[quorum]") {
  Host host;
  SECTION("timeout") { host.quorum.on_device({seconds{1}, seconds{8}, host.members}); }
  SECTION("sync timeout") { host.quorum.on_device({seconds{4}, seconds{1}, host.members}); }
  SECTION("votes") { host.quorum.on_device({seconds{4}, seconds{8}, host.members, 1}); }
  SECTION("another domain's host") {
    host.quorum.on_device({seconds{4}, seconds{8}, {kSelf, kPeer, HostId{9}}});
  }
  host.form(kWhole, host.members);
  host.run(seconds{2});
  CHECK_FALSE(host.casts());
  CHECK_FALSE(host.votes.empty());
  CHECK(host.quorum.view().refused);
}

TEST_CASE("device_may_name_the_votes_that_it_has_anyway", "[quorum]") {
  Host host;
  host.quorum.on_device({seconds{4}, seconds{8}, host.members, 2});
  begin(host);
}

TEST_CASE("vote_that_was_not_taken_is_given_again", "[quorum]") {
  Host host;
  host.corosync = false;
  host.form(kWhole, host.members);
  host.run(seconds{1});
  host.corosync = true;
  host.run(milliseconds{250});
  CHECK(host.casts());
}
