#include <catch2/catch.hpp>

#include "libha/wire/keeper_protocol.hpp"
#include "wire_samples.hpp"

using namespace wardom;
using namespace wardom::wire;

namespace {

std::vector<DaemonMessage> daemon_messages() {
  PublishRequest publish{44, samples::members({1}), samples::members({2}), samples::members({3}),
                         samples::load(), {HostId{4}}, LockVersion{12}, samples::incarnation(4),
                         Level{2}, {Level{1}, Level{2}}};
  return {Hello{1234, 99}, ReadRequest{Ticket{7}, {{Region::slot, 3}, {Region::table, 4}}},
          WriteRequest{Ticket{8}, {Region::decision, 3}, Bytes(5000, 6), Level{2}},
          publish, PublishRequest{},
          ListStartRequest{Ticket{9}, GuestId{samples::bits(5)}},
          SettleStartRequest{GuestId{samples::bits(6)}, {4711, 12345, "/machine-qemu"}},
          UnlistRequest{GuestId{samples::bits(7)}},
          ExtendRequest{1234567890123, {HostId{2}, HostId{2000}}}};
}

std::vector<KeeperMessage> keeper_messages() {
  CellView view;
  view.cell = {Region::slot, 3};
  view.state = ExtentState::valid;
  view.twin_damaged = true;
  view.writer = HostId{3};
  view.incarnation = samples::incarnation(2);
  view.sequence = Sequence{55};
  view.payload = Bytes(300, 1);
  view.level = Level{3};
  view.speaks = {Level{2}, Level{3}};
  CellView bad;
  bad.cell = {Region::table, 4};
  bad.error = "no answer within 2 s";
  return {ReadyMessage{HostId{3}, samples::incarnation(2), DaemonEpoch{1},
                       {{GuestId{samples::bits(5)}, {}, DaemonEpoch{1}},
                        {GuestId{samples::bits(6)}, {4711, 12345, "/machine-qemu"}, {}}},
                       samples::geometry()},
          ReadAnswer{Ticket{7}, false, {view, bad}},
          WriteAnswer{Ticket{8}, {Region::decision, 3}, true, Sequence{56}, ""},
          RightsMessage{LeaseState::ended, 1234567890123, 1234567890999, true, {}},
          RightsMessage{LeaseState::released, 0, 1234567890999, false, samples::incarnation(2)},
          AskStampMessage{1234567890111},
          HeartbeatMessage{Sequence{57}, 1234567890123, LockVersion{12}},
          StartListedMessage{Ticket{9}, GuestId{samples::bits(5)}, true, "why not"},
          TroublesMessage{{{"a list is malformed", "remove it"}, {"another", ""}}},
          TroublesMessage{},
          RefusedMessage{"another daemon, pid 12"}};
}

Bytes body_of(const Bytes& frame) { return Bytes(frame.begin() + 4, frame.end()); }

}  // namespace

TEST_CASE("keeper_protocol_round_trips_every_message") {
  for (const auto& message : daemon_messages()) {
    const auto back = decode_daemon_frame(body_of(encode_frame(message)));
    REQUIRE(back.has_value());
    CHECK(back.value() == message);
  }
  for (const auto& message : keeper_messages()) {
    const auto back = decode_keeper_frame(body_of(encode_frame(message)));
    REQUIRE(back.has_value());
    CHECK(back.value() == message);
  }
}

TEST_CASE("keeper_protocol_refuses_what_it_cannot_trust") {
  for (const auto& message : daemon_messages()) {
    auto frame = body_of(encode_frame(message));
    CHECK_FALSE(decode_keeper_frame(frame).has_value());
    for (std::size_t length = 0; length < std::min<std::size_t>(frame.size(), 100); ++length)
      REQUIRE_FALSE(decode_daemon_frame(View(frame).first(length)).has_value());
    if (std::holds_alternative<Hello>(message)) continue;
    frame[1] = 9;
    const auto other = decode_daemon_frame(frame);
    REQUIRE_FALSE(other.has_value());
    CHECK(other.error().message.find("version 9") != std::string::npos);
  }
  for (const auto& message : keeper_messages()) {
    auto frame = body_of(encode_frame(message));
    CHECK_FALSE(decode_daemon_frame(frame).has_value());
    for (std::size_t length = 0; length < frame.size(); ++length)
      REQUIRE_FALSE(decode_keeper_frame(View(frame).first(length)).has_value());
  }
}

TEST_CASE("keeper_protocol_agrees_on_the_highest_version_that_both_speak") {
  const auto with = [](std::uint16_t oldest, std::uint16_t newest) {
    return agreed({oldest, newest}, {5, 6});
  };
  CHECK(with(5, 6) == 6);
  CHECK(with(6, 7) == 6);
  CHECK(with(4, 5) == 5);
  CHECK_FALSE(with(7, 8));
  CHECK_FALSE(with(3, 4));
  // Who speaks another version must be understood so far that it can be told.
  auto hello = body_of(encode_frame(Hello{1234, 99, {98, 99}}, 99));
  CHECK(version_of(hello) == 99);
  const auto greeted = decode_daemon_frame(hello, 0);
  REQUIRE(greeted.has_value());
  CHECK(std::get<Hello>(greeted.value()).versions == ProtocolVersions{98, 99});
  CHECK(decode_keeper_frame(body_of(encode_frame(RefusedMessage{"no"}, 99)), 0).has_value());
  const auto newest = keeper_protocol().newest;
  const auto rights = body_of(encode_frame(RightsMessage{}));
  CHECK(decode_keeper_frame(rights, newest).has_value());
  CHECK(decode_keeper_frame(rights, 0).has_value());
  CHECK_FALSE(decode_keeper_frame(rights, static_cast<std::uint16_t>(newest - 1)).has_value());
}

TEST_CASE("frame_reader_cuts_a_stream_however_it_arrives") {
  Bytes stream;
  for (const auto& message : daemon_messages()) {
    const auto frame = encode_frame(message);
    stream.insert(stream.end(), frame.begin(), frame.end());
  }
  for (std::size_t step : {std::size_t{1}, std::size_t{3}, std::size_t{100}, stream.size()}) {
    FrameReader reader;
    std::vector<DaemonMessage> got;
    for (std::size_t at = 0; at < stream.size(); at += step) {
      reader.feed(View(stream).subspan(at, std::min(step, stream.size() - at)));
      while (auto frame = reader.next()) got.push_back(decode_daemon_frame(*frame).value());
    }
    REQUIRE(got == daemon_messages());
    REQUIRE_FALSE(reader.broken());
  }
}

TEST_CASE("frame_reader_gives_up_on_an_absurd_length") {
  FrameReader reader;
  reader.feed(Bytes{0xff, 0xff, 0xff, 0x7f, 1});
  CHECK_FALSE(reader.next().has_value());
  CHECK(reader.broken());
}
