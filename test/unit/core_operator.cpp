#include <catch2/catch.hpp>

#include "core_samples.hpp"
#include "libha/core/operator_desk.hpp"

using namespace wardom;
using namespace wardom::core;
using namespace wardom::core::sample;

namespace {

// A desk of host 1, whose decider does not decide, with what a turn of it ordered.
struct Desk {
  Evidence evidence{domain()};
  Board board{{kSelf, kPeer, kThird}};
  Decider decider{evidence, board, 512};
  OperatorDesk desk{evidence, board, decider};
  Orders orders;
  Ticket last;
  Random random{1};

  template <class Word>
  void take(const Word& word, Instant now) {
    orders = {};
    Turn turn{{now, {}}, orders, last, random};
    if constexpr (std::is_same_v<Word, OperatorAsk>)
      desk.on_ask(word, turn);
    else
      desk.on_answer(word, turn);
  }
  void tick(Instant now) {
    orders = {};
    Turn turn{{now, {}}, orders, last, random};
    desk.tick(turn);
  }
  // Host 2 as incarnation 5, whose slot stands still from `from` to `to`, read twice.
  void silent(Instant from, Instant to) {
    evidence.on_observer(true);
    evidence.on_slot(slot(kPeer, 7), from, from);
    evidence.on_slot(slot(kPeer, 7), to, to);
  }
};

OperatorAsk asked_here(Wish wish) {
  OperatorAsk ask;
  ask.from = kSelf;
  ask.request = Ticket{9};
  ask.wish = wish;
  return ask;
}

OperatorAsk dead(std::uint64_t number, HostId from = kSelf) {
  auto ask = asked_here(Wish::confirm_dead);
  ask.from = from;
  ask.host = kPeer;
  ask.incarnation = boot(number);
  ask.by = "root on host 1";
  return ask;
}

bool refused(const Desk& desk) {
  return desk.orders.replies.size() == 1 && !desk.orders.replies[0].ok &&
         desk.orders.replies[0].exit_code == 3 && desk.orders.operator_asks.empty();
}

}  // namespace

TEST_CASE("take_an_operators_word_about_a_silent_host", "[operator]") {
  Desk desk;
  desk.silent(at(0), at(5000));
  CHECK_FALSE(proof_about(desk.evidence, kPeer, boot(5), at(5000)).stands());
  desk.take(dead(5), at(5000));
  CHECK(desk.orders.replies.empty());
  REQUIRE(desk.orders.operator_asks.size() == 1);  // on to the decider
  const auto proof = proof_about(desk.evidence, kPeer, boot(5), at(5000));
  CHECK(proof.proof == Proof::operator_word);
  CHECK(proof.detail.find("root on host 1") != std::string::npos);
  CHECK(proof_about(desk.evidence, kPeer, boot(4), at(5000)).stands());
  CHECK_FALSE(proof_about(desk.evidence, kPeer, boot(6), at(5000)).stands());
}

TEST_CASE("refuse_an_operators_word_beside_a_life_sign", "[operator]") {
  Desk desk;
  SECTION("its beats arrive") {
    desk.silent(at(0), at(5000));
    desk.evidence.on_beat(beat(kPeer, Link::storage, 1), at(4900));
  }
  SECTION("another host hears it") {
    desk.silent(at(0), at(5000));
    auto third = beat(kThird, Link::mgmt, 1);
    third.sees_mgmt.set(1);
    desk.evidence.on_beat(third, at(4900));
  }
  SECTION("its slot has grown") {
    desk.silent(at(0), at(5000));
    desk.evidence.on_slot(slot(kPeer, 8), at(4990), at(4990));
  }
  SECTION("its slot has not been watched for long enough") { desk.silent(at(4500), at(5000)); }
  SECTION("this host cannot read the volume") {
    desk.silent(at(0), at(5000));
    desk.evidence.on_observer(false);
  }
  desk.take(dead(5), at(5000));
  CHECK(refused(desk));
  CHECK_FALSE(proof_about(desk.evidence, kPeer, boot(5), at(5000)).stands());
}

TEST_CASE("refuse_an_operators_word_about_another_boot", "[operator]") {
  Desk desk;
  desk.silent(at(0), at(5000));
  const auto number = GENERATE(4, 6);  // over, and holding nothing; not there yet
  desk.take(dead(static_cast<std::uint64_t>(number)), at(5000));
  CHECK(refused(desk));
}

TEST_CASE("a_life_sign_voids_an_operators_word", "[operator]") {
  Desk desk;
  desk.silent(at(0), at(5000));
  desk.take(dead(5), at(5000));
  SECTION("of the same boot") {
    desk.evidence.on_beat(beat(kPeer, Link::mgmt, 1), at(5100));
    CHECK_FALSE(proof_about(desk.evidence, kPeer, boot(5), at(9000)).stands());
  }
  SECTION("but not one of a later boot") {
    desk.evidence.on_beat(beat(kPeer, Link::mgmt, 1, 6), at(5100));
    CHECK(proof_about(desk.evidence, kPeer, boot(5), at(9000)).stands());
  }
}

TEST_CASE("a_peers_word_is_kept_and_not_passed_on", "[operator]") {
  Desk desk;
  desk.silent(at(0), at(5000));
  desk.take(dead(5, kThird), at(5000));
  CHECK(desk.orders.operator_asks.empty());
  CHECK(proof_about(desk.evidence, kPeer, boot(5), at(5000)).stands());
}

TEST_CASE("a_bmc_is_called_mended_where_it_is_distrusted", "[operator]") {
  Desk desk;
  auto ask = asked_here(Wish::trust_bmc);
  ask.host = GENERATE(kPeer, HostId{9});
  desk.take(ask, at(0));
  CHECK(refused(desk));
  ask.host = kPeer;
  desk.evidence.on_beat(beat(kPeer, Link::mgmt, 1), at(0));
  desk.evidence.on_lying_bmc({kPeer, 5});
  desk.take(ask, at(10));
  CHECK(desk.orders.operator_asks.size() == 1);
  CHECK(desk.evidence.of(kPeer).bmc_distrusted());  // until the decider has recorded it
}

TEST_CASE("an_operator_is_answered_once", "[operator]") {
  Desk desk;
  desk.take(asked_here(Wish::disarm), at(0));
  REQUIRE(desk.orders.operator_asks.size() == 1);
  SECTION("by the decider") {
    desk.take(OperatorAnswer{kThird, Ticket{9}, 0, ""}, at(10));  // another host's request
    CHECK(desk.orders.replies.empty());
    desk.take(OperatorAnswer{kSelf, Ticket{9}, 3, "no"}, at(10));
    REQUIRE(desk.orders.replies.size() == 1);
    CHECK(desk.orders.replies[0].exit_code == 3);
    desk.take(OperatorAnswer{kSelf, Ticket{9}, 0, ""}, at(20));
    CHECK(desk.orders.replies.empty());
  }
  SECTION("or told that nobody did") {
    desk.tick(at(0) + kOperatorPatience - milliseconds{1});
    CHECK(desk.orders.replies.empty());
    desk.tick(at(0) + kOperatorPatience);
    REQUIRE(desk.orders.replies.size() == 1);
    CHECK(desk.orders.replies[0].exit_code == 1);
    desk.tick(at(0) + 2 * kOperatorPatience);
    CHECK(desk.orders.replies.empty());
  }
}
