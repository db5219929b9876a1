#include <catch2/catch.hpp>

#include <random>
#include <tuple>

#include "libha/wire/ballot.hpp"
#include "libha/wire/ballot_head.hpp"
#include "libha/wire/decision.hpp"
#include "libha/wire/ring_messages.hpp"
#include "libha/wire/slot.hpp"
#include "libha/wire/table.hpp"
#include "wire_samples.hpp"

using namespace wardom;
using namespace wardom::wire;

namespace {

constexpr std::size_t kRoom = 256 * 1024;

// Every shorter input is refused, and so is one with a byte too many.
template <class Decode>
void refuses_other_lengths(Bytes bytes, Decode decode) {
  for (std::size_t length = 0; length < bytes.size(); ++length)
    REQUIRE_FALSE(decode(View(bytes).first(length)).has_value());
  bytes.push_back(0);
  REQUIRE_FALSE(decode(bytes).has_value());
}

}  // namespace

TEST_CASE("records_of_a_level_that_is_not_spoken_are_refused") {
  for (const Level level : {Level{0}, spoken_levels().newest.next(), Level{255}}) {
    CHECK_FALSE(decode_slot(encode_slot(samples::slot()), level));
    CHECK_FALSE(decode_ballot(encode_ballot(samples::ballot()).value(), level));
    CHECK_FALSE(encode_ballot(samples::ballot(), level));
    CHECK_FALSE(decode_table(encode_table(HostTable{}, kRoom).value(), level));
    CHECK_FALSE(encode_table(HostTable{}, kRoom, level));
    Decision decision;
    CHECK_FALSE(decode_decision(encode_decision(decision, kRoom).value(), level));
    decision.level = level;
    CHECK_FALSE(encode_decision(decision, kRoom));
  }
}

TEST_CASE("slot_round_trip_and_refusals") {
  const auto bytes = encode_slot(samples::slot());
  CHECK(bytes.size() <= kHeadPayload);
  const auto back = decode_slot(bytes);
  REQUIRE(back.has_value());
  CHECK(back.value() == samples::slot());
  refuses_other_lengths(bytes, [](View v) { return decode_slot(v); });
  auto bad = bytes;
  bad[0] = 4;  // a state that this version does not know
  CHECK_FALSE(decode_slot(bad));
  bad = bytes;
  bad[1] = 2;  // a flag is 0 or 1
  CHECK_FALSE(decode_slot(bad));
  bad = bytes;
  bad[2] = 2;
  CHECK_FALSE(decode_slot(bad));
  bad = bytes;
  bad[3] = 2;
  CHECK_FALSE(decode_slot(bad));
  bad = bytes;
  bad[3] = 1;  // reaches a new volume, and holds for none
  CHECK_FALSE(decode_slot(bad));
  bad = bytes;
  bad[176] = bad[177] = 0;  // of the hosts that are not asked, none before another
  CHECK_FALSE(decode_slot(bad));
}

TEST_CASE("slot_of_a_host_that_holds_publishes_no_lease") {
  auto slot = samples::slot();
  slot.held = 0x1122334455667788;
  slot.reaches = true;
  REQUIRE(slot.w_ms != 0);
  CHECK_FALSE(decode_slot(encode_slot(slot)));
  slot.w_ms = 0;
  CHECK(decode_slot(encode_slot(slot)).value() == slot);
}

TEST_CASE("slot_with_the_longest_name_fits_the_head_and_longer_is_cut") {
  auto slot = samples::slot();
  slot.host_name = std::string(200, 'n');
  const auto bytes = encode_slot(slot);
  CHECK(bytes.size() <= kHeadPayload);
  REQUIRE(decode_slot(bytes).has_value());
  CHECK(decode_slot(bytes).value().host_name.size() == kMaxHostNameBytes);
}

TEST_CASE("ballot_round_trip_and_refusals") {
  const auto bytes = encode_ballot(samples::ballot()).value();
  const auto back = decode_ballot(bytes);
  REQUIRE(back.has_value());
  CHECK(back.value() == samples::ballot());
  refuses_other_lengths(bytes, [](View v) { return decode_ballot(v); });
  CHECK(decode_ballot(encode_ballot(Ballot{}).value()).value() == Ballot{});
  auto change = samples::ballot();
  change.input.directory = {{HostId{7}, true, 3}};
  CHECK(decode_ballot(encode_ballot(change).value()).value() == change);
}

TEST_CASE("ballot_with_the_largest_directory_fits_the_head") {
  auto ballot = samples::ballot();
  ballot.value.directory.clear();
  for (std::uint16_t id = 1; id <= kMaxProposers; ++id)
    ballot.value.directory.push_back({HostId{static_cast<std::uint16_t>(id * 15)}, id % 2 == 0, 9});
  ballot.input.directory = ballot.value.directory;
  const auto bytes = encode_ballot(ballot).value();
  CHECK(bytes.size() <= kHeadPayload);
  CHECK(decode_ballot(bytes).value() == ballot);
  ballot.value.directory.push_back({HostId{2000}, false, 1});
  CHECK_FALSE(encode_ballot(ballot));
}

TEST_CASE("ballot_head_keeps_what_was_decided_and_promised") {
  // The largest of both directories: the second one is in the body.
  auto ballot = samples::ballot();
  ballot.value.directory.clear();
  for (std::uint16_t id = 1; id <= kMaxProposers; ++id)
    ballot.value.directory.push_back({HostId{id}, false, 1});
  ballot.input.directory = ballot.value.directory;
  ballot.input.directory.pop_back();
  REQUIRE(ballot.bal != BallotNumber{});
  auto bytes = encode_ballot(ballot).value();
  REQUIRE(bytes.size() > kHeadPayload);
  bytes.resize(kHeadPayload);
  auto without = ballot;
  without.bal = {};
  without.input = {};
  CHECK(decode_ballot_head(bytes).value() == without);
  CHECK_FALSE(decode_ballot_head(View(bytes).first(100)));
  bytes[93] = 0xff;  // a directory that goes on beyond the head
  CHECK_FALSE(decode_ballot_head(bytes));
  // One that fits is asked for as a whole.
  auto whole = encode_ballot(samples::ballot()).value();
  whole.resize(kHeadPayload);
  whole[0] = 0;
  CHECK_FALSE(decode_ballot_head(whole));
}

TEST_CASE("ballot_at_odds_with_itself_is_refused") {
  const auto refused = [](auto change) {
    auto ballot = samples::ballot();
    change(ballot);
    return !encode_ballot(ballot).has_value();
  };
  CHECK(refused([](Ballot& b) { b.bal = BallotNumber{b.mbal.value + 1}; }));
  CHECK(refused([](Ballot& b) { b.version = b.decided; }));
  CHECK(refused([](Ballot& b) { b.decided = {}; }));
  CHECK(refused([](Ballot& b) { b.version = {}; }));
  CHECK(refused([](Ballot& b) { b.input = {}; }));
  CHECK(refused([](Ballot& b) { b.value.owner.host = kNoHost; }));
  CHECK(refused([](Ballot& b) { b.value.directory.clear(); }));
  CHECK(refused([](Ballot& b) { std::swap(b.value.directory[0], b.value.directory[1]); }));
  CHECK(refused([](Ballot& b) { b.value.directory[0].weight = 16; }));
  auto bytes = encode_ballot(samples::ballot()).value();
  bytes[0] = static_cast<std::uint8_t>(bytes[0] | 0x80);  // a flag that this version does not know
  CHECK_FALSE(decode_ballot(bytes));
}

TEST_CASE("decision_round_trip_and_refusals") {
  Decision decision;
  decision.version = LockVersion{9};
  decision.verdicts = {samples::verdict()};
  decision.assignments = {samples::assignment(), samples::assignment()};
  const auto bytes = encode_decision(decision, kRoom);
  REQUIRE(bytes.has_value());
  const auto back = decode_decision(bytes.value());
  REQUIRE(back.has_value());
  CHECK(back.value() == decision);
  refuses_other_lengths(bytes.value(), [](View v) { return decode_decision(v); });
}

TEST_CASE("disarmed_decision_round_trip") {
  Decision decision;
  decision.disarmed = Disarmed{std::chrono::milliseconds{GENERATE(0, 7'200'000)}, WallTime{123},
                               "alice as root on n1"};
  const auto bytes = encode_decision(decision, kRoom);
  REQUIRE(bytes);
  const auto back = decode_decision(bytes.value());
  REQUIRE(back);
  CHECK(back.value() == decision);
  refuses_other_lengths(bytes.value(), [](View v) { return decode_decision(v); });
}

TEST_CASE("decision_names_lying_bmcs_at_its_end") {
  Decision decision;
  decision.assignments = {samples::assignment()};
  const auto without = encode_decision(decision, kRoom).value();
  decision.lying_bmcs = {{HostId{2}, 7}, {HostId{2000}, 1ULL << 63, 2}};
  const auto bytes = encode_decision(decision, kRoom).value();
  CHECK(decode_decision(bytes).value() == decision);
  CHECK_FALSE(decode_decision(bytes).value().lying_bmcs.back().lies());
  for (std::size_t length = 0; length < bytes.size(); ++length)
    REQUIRE_FALSE(decode_decision(View(bytes).first(length)).has_value());
  auto bad = bytes;
  bad.push_back(0);
  CHECK_FALSE(decode_decision(bad));
  const auto list = without.size();  // the first of them, behind their number
  bad = bytes;
  bad[list] = bad[list + 12];  // two of one host, or out of order
  bad[list + 1] = bad[list + 13];
  CHECK_FALSE(decode_decision(bad));
  bad = bytes;
  bad[list + 2] = 0;  // of no boot
  CHECK_FALSE(decode_decision(bad));
  bad = bytes;
  bad[list + 10] = 0;  // of no turn
  CHECK_FALSE(decode_decision(bad));
}

TEST_CASE("decision_with_lying_bmcs_out_of_bounds_is_not_written") {
  Decision decision;
  decision.lying_bmcs = {{HostId{3}, 1}, {HostId{2}, 1}};
  CHECK_FALSE(encode_decision(decision, kRoom));
  decision.lying_bmcs = {{HostId{3}, 0}};
  CHECK_FALSE(encode_decision(decision, kRoom));
  decision.lying_bmcs = {{HostId{3}, 1, 0}};
  CHECK_FALSE(encode_decision(decision, kRoom));
  decision.lying_bmcs.clear();
  for (std::uint16_t id = 1; id <= kMaxDomainHosts; ++id)
    decision.lying_bmcs.push_back({HostId{id}, id});
  CHECK(decode_decision(encode_decision(decision, kRoom).value()).value() == decision);
  decision.lying_bmcs.push_back({HostId{2000}, 1});
  CHECK_FALSE(encode_decision(decision, kRoom));
}

TEST_CASE("operators_words_round_trip") {
  const Key key(std::array<std::uint8_t, kKeyBytes>{7, 7});
  core::OperatorAsk ask;
  ask.from = HostId{2};
  ask.request = Ticket{1ULL << 63};
  ask.wish = GENERATE(core::Wish::confirm_dead, core::Wish::arm, core::Wish::disarm,
                      core::Wish::trust_bmc, core::Wish::fence,
                      core::Wish::fence_unless_split);
  ask.host = HostId{3};
  ask.incarnation.number = 5;
  ask.time = std::chrono::hours{2};
  ask.by = "alice";
  const auto asked = decode_ring_message(key, encode_ring_message(key, ask));
  REQUIRE(asked);
  const auto& back = std::get<core::OperatorAsk>(asked.value());
  CHECK(std::tie(back.from, back.request, back.wish, back.host, back.incarnation, back.time,
                 back.by) ==
        std::tie(ask.from, ask.request, ask.wish, ask.host, ask.incarnation, ask.time, ask.by));
  const core::OperatorAnswer answer{HostId{2}, ask.request, 3, "it lives"};
  const auto answered = decode_ring_message(key, encode_ring_message(key, answer));
  REQUIRE(answered);
  const auto& said = std::get<core::OperatorAnswer>(answered.value());
  CHECK(std::tie(said.to, said.request, said.exit_code, said.text) ==
        std::tie(answer.to, answer.request, answer.exit_code, answer.text));
  ask.time = std::chrono::hours{25};  // more than a decider would count down
  CHECK_FALSE(decode_ring_message(key, encode_ring_message(key, ask)));
}

TEST_CASE("words_about_keys_round_trip") {
  const Key key(std::array<std::uint8_t, kKeyBytes>{7, 7});
  KeyWord word{HostId{2}, key.id(), KeyId{9}, KeyStep::wanted, 12, 13, {}};
  word.step = GENERATE(KeyStep::holds, KeyStep::wanted, KeyStep::change, KeyStep::dropped);
  if (GENERATE(false, true)) word.offer = key.box({3});
  const auto sealed = encode_ring_message(key, word);
  const auto back = decode_ring_message(key, sealed);
  REQUIRE(back);
  CHECK(std::get<KeyWord>(back.value()) == word);
  Bytes body(sealed.begin() + 12, sealed.end() - kMessageHashBytes);
  body[18] = static_cast<std::uint8_t>(KeyStep::dropped) + 1;
  CHECK_FALSE(decode_ring_message(key, seal(key, kFirstLevel, kKeyWordKind, body)));
  body.resize(body.size() - 1);
  CHECK_FALSE(decode_ring_message(key, seal(key, kFirstLevel, kKeyWordKind, body)));
}

TEST_CASE("words_about_the_quorum_device_round_trip") {
  const Key key(std::array<std::uint8_t, kKeyBytes>{7, 7});
  DeviceAsk ask{HostId{2}, Ticket{1ULL << 63}, DeviceStep::look, false, 8000, 4000, "alice", {}};
  ask.step = GENERATE(DeviceStep::look, DeviceStep::trial, DeviceStep::write);
  ask.remove = GENERATE(false, true);
  if (ask.step == DeviceStep::write) ask.passes = {{HostId{1}, 9}, {HostId{3}, ~0ULL}};
  const auto sealed = encode_ring_message(key, ask);
  const auto asked = decode_ring_message(key, sealed);
  REQUIRE(asked);
  CHECK(std::get<DeviceAsk>(asked.value()) == ask);
  Bytes body(sealed.begin() + 12, sealed.end() - kMessageHashBytes);
  body[10] = static_cast<std::uint8_t>(DeviceStep::write) + 1;
  CHECK_FALSE(decode_ring_message(key, seal(key, kFirstLevel, kDeviceAskKind, body)));
  body[10] = 0;
  body.resize(body.size() - 1);
  CHECK_FALSE(decode_ring_message(key, seal(key, kFirstLevel, kDeviceAskKind, body)));

  const DeviceAnswer answer{HostId{3}, HostId{2}, ask.request, true, ask.remove, true,
                            "wardom",  8000,      4000,        5,    6,          "as it was"};
  const auto answered = decode_ring_message(key, encode_ring_message(key, answer));
  REQUIRE(answered);
  CHECK(std::get<DeviceAnswer>(answered.value()) == answer);
  DeviceAnswer wordy = answer;  // texts are cut to what is read
  wordy.text.assign(2 * kMaxAnswerBytes, 'x');
  wordy.model.assign(2 * kMaxModelBytes, 'y');
  const auto cut = decode_ring_message(key, encode_ring_message(key, wordy));
  REQUIRE(cut);
  CHECK(std::get<DeviceAnswer>(cut.value()).text.size() == kMaxAnswerBytes);
  CHECK(std::get<DeviceAnswer>(cut.value()).model.size() == kMaxModelBytes);
}

TEST_CASE("decision_that_says_nothing_certain_is_refused") {
  Decision decision;
  decision.verdicts = {samples::verdict()};
  decision.verdicts[0].proof = Proof::none;
  CHECK_FALSE(decode_decision(encode_decision(decision, kRoom).value()));
  decision.verdicts = {samples::verdict()};
  decision.verdicts[0].host = kNoHost;
  CHECK_FALSE(decode_decision(encode_decision(decision, kRoom).value()));
  decision.verdicts.clear();
  decision.assignments = {samples::assignment()};
  decision.assignments[0].target = kNoHost;
  CHECK_FALSE(decode_decision(encode_decision(decision, kRoom).value()));
  decision.assignments = {samples::assignment()};
  decision.assignments[0].guest = {};
  CHECK_FALSE(decode_decision(encode_decision(decision, kRoom).value()));
}

TEST_CASE("decision_above_a_limit_is_refused_before_it_is_written") {
  Decision decision;
  decision.assignments.resize(kMaxAssignments, samples::assignment());
  CHECK(encode_decision(decision, 1 << 20).has_value());
  CHECK_FALSE(encode_decision(decision, kRoom).has_value());
  decision.assignments.push_back(samples::assignment());
  CHECK_FALSE(encode_decision(decision, 1 << 20).has_value());
  decision.assignments.clear();
  decision.verdicts.resize(kMaxVerdicts + 1, samples::verdict());
  CHECK_FALSE(encode_decision(decision, 1 << 20).has_value());
}

TEST_CASE("table_round_trip_and_refusals") {
  HostTable table;
  table.guests = {samples::guest(1), samples::guest(2)};
  const auto bytes = encode_table(table, kRoom);
  REQUIRE(bytes.has_value());
  const auto back = decode_table(bytes.value());
  REQUIRE(back.has_value());
  CHECK(back.value() == table);
  refuses_other_lengths(bytes.value(), [](View v) { return decode_table(v); });
  REQUIRE(decode_table(encode_table(HostTable{}, kRoom).value()).has_value());
}

TEST_CASE("table_keeps_every_isolation_response") {
  for (auto response : {std::optional<IsolationResponse>{}, std::optional{IsolationResponse::leave},
                        std::optional{IsolationResponse::shutdown},
                        std::optional{IsolationResponse::kill}})
    for (bool parting : {false, true}) {
      HostTable table;
      table.guests = {samples::guest(1)};
      table.guests[0].isolation = response;
      table.guests[0].parting = parting;
      const auto back = decode_table(encode_table(table, kRoom).value());
      REQUIRE(back.has_value());
      CHECK(back.value() == table);
    }
}

TEST_CASE("table_keeps_where_a_guest_goes_and_comes_from") {
  for (auto phase :
       {GuestPhase::holding, GuestPhase::yielded, GuestPhase::claimed_incoming})
    for (bool done : {false, true}) {
      HostTable table;
      table.guests = {samples::guest(1), samples::guest(2)};
      table.guests[0].phase = phase;
      table.guests[0].hand_over = HandOver{HostId{7}, Generation{12}, done};
      const auto back = decode_table(encode_table(table, kRoom).value());
      REQUIRE(back.has_value());
      CHECK(back.value() == table);
    }
}

TEST_CASE("table_above_a_limit_is_refused_with_the_guest_named") {
  HostTable table;
  table.guests = {samples::guest(1)};
  const auto says = [&](const char* what) {
    const auto result = encode_table(table, kRoom);
    REQUIRE_FALSE(result.has_value());
    INFO(result.error().message);
    CHECK(result.error().message.find(what) != std::string::npos);
  };
  table.guests[0].xml.assign(kMaxGuestXmlBytes + 1, 'x');
  says("guest g1 has an XML");
  table.guests[0] = samples::guest(1);
  table.guests[0].priority = 1001;
  says("guest g1 has a priority");
  table.guests[0] = samples::guest(1);
  table.guests[0].guest = {};
  says("no UUID");
  table.guests[0] = samples::guest(1);
  table.guests[0].xml.clear();
  std::mt19937_64 random(1);
  while (table.guests[0].xml.size() < kMaxGuestXmlBytes)
    table.guests[0].xml.push_back(static_cast<char>(random()));
  table.guests.push_back(table.guests[0]);
  says("--table-size");
  table.guests.assign(kMaxGuestsPerHost + 1, samples::guest(1));
  says("limit is 1024");
}

TEST_CASE("table_of_many_like_guests_packs_well") {
  HostTable table;
  for (int i = 0; i < 200; ++i) {
    auto guest = samples::guest(static_cast<std::uint8_t>(i + 1));
    guest.xml.clear();
    for (int line = 0; line < 60; ++line)
      guest.xml += "<disk type='file'><source file='/vm/" + std::to_string(i * line) +
                   "'/></disk>\n";
    table.guests.push_back(guest);
  }
  CHECK(encode_table(table, kRoom).has_value());
}
