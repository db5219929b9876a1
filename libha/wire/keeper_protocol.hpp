// What wardomd and wardom-keeper say to each other over the keeper's stream socket.
//
// A frame is {u32 length of what follows, u8 type, u16 protocol version, body}. The daemon greets
// with Hello; the keeper answers Ready, or Refused and closes. Then the daemon asks, the keeper
// answers each ticket once. A frame that does not decode ends the connection.
//
// Hello and Refused are the same in every version of the protocol. Hello says which versions the
// daemon speaks; all other frames are of the highest one that both do, so that a daemon works with
// the keeper of the release before and after its own.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "libha/core/records.hpp"
#include "libha/core/result.hpp"
#include "libha/wire/block.hpp"
#include "libha/wire/bytes.hpp"
#include "libha/wire/level.hpp"

namespace wardom::wire {

struct ProtocolVersions {
  std::uint16_t oldest{0};
  std::uint16_t newest{0};
  friend bool operator==(const ProtocolVersions&, const ProtocolVersions&) = default;
};
const ProtocolVersions& keeper_protocol();  // that this code speaks
// The version that both speak; nullopt: there is none.
std::optional<std::uint16_t> agreed(const ProtocolVersions& a, const ProtocolVersions& b);
inline constexpr std::size_t kMaxFrameBytes = 4 * 1024 * 1024 + 64 * 1024;  // one largest cell
inline constexpr std::size_t kFrameHeadBytes = 7;
inline constexpr std::size_t kMaxReadCells = 256;  // port/volume.hpp
inline constexpr std::size_t kMaxErrorBytes = 1024;
inline constexpr std::size_t kMaxTroubles = 16;

// --- daemon to keeper
struct Hello {
  std::int32_t daemon_pid{0};
  std::uint64_t run{0};  // drawn at each daemon start
  ProtocolVersions versions{keeper_protocol()};
  friend bool operator==(const Hello&, const Hello&) = default;
};
struct ReadRequest {
  Ticket ticket;
  std::vector<Cell> cells;
  friend bool operator==(const ReadRequest&, const ReadRequest&) = default;
};
struct WriteRequest {
  Ticket ticket;
  Cell cell;
  Bytes payload;
  Level level{kFirstLevel};  // of the payload
  friend bool operator==(const WriteRequest&, const WriteRequest&) = default;
};
// port::SelfView's fields.
struct PublishRequest {
  std::uint64_t progress{0};
  MemberSet sees_mgmt;
  MemberSet sees_storage;
  MemberSet sees_disk;
  Load load;
  std::vector<HostId> unasked;  // at most kMaxUnasked
  std::optional<LockVersion> votes_under;  // none: as the slot states it already
  Incarnation yielded;
  Level level{kFirstLevel};  // the domain's, as the daemon knows it
  Levels speaks;             // what the daemon speaks
  friend bool operator==(const PublishRequest&, const PublishRequest&) = default;
};

// The guest list's three requests, port/volume.hpp. Only the first is answered.
struct ListStartRequest {
  Ticket ticket;
  GuestId guest;
  friend bool operator==(const ListStartRequest&, const ListStartRequest&) = default;
};
struct SettleStartRequest {
  GuestId guest;
  GuestProcess process;
  friend bool operator==(const SettleStartRequest&, const SettleStartRequest&) = default;
};
struct UnlistRequest {
  GuestId guest;
  friend bool operator==(const UnlistRequest&, const UnlistRequest&) = default;
};

// port::Volume::extend(). The answer, if it is taken, is a RightsMessage.
struct ExtendRequest {
  std::uint64_t stamp_ns{0};
  std::vector<HostId> unasked;  // at most kMaxUnasked
  friend bool operator==(const ExtendRequest&, const ExtendRequest&) = default;
};

// --- keeper to daemon
struct ReadyMessage {
  HostId self;
  Incarnation incarnation;
  DaemonEpoch epoch;
  std::vector<ListedGuest> listed;  // as it stands at the greeting
  Geometry geometry;
  bool stays_up{false};  // port::VolumeReady
  Level level{kFirstLevel};  // the highest one that the host's own cells were found in
  friend bool operator==(const ReadyMessage&, const ReadyMessage&) = default;
};
// One cell as read: both twins judged.
struct CellView {
  Cell cell;
  ExtentState state{ExtentState::unreadable};
  bool twin_damaged{false};
  HostId writer;
  Incarnation incarnation;
  Sequence sequence;
  Bytes payload;
  std::string error;
  Level level{kFirstLevel};  // also of one of an unknown version
  Levels speaks;             // its writer
  DomainId domain;           // its writer's
  friend bool operator==(const CellView&, const CellView&) = default;
};
// The answer to one ReadRequest comes in one or more of these, in the order asked; `last` ends it.
struct ReadAnswer {
  Ticket ticket;
  bool last{true};
  std::vector<CellView> cells;
  friend bool operator==(const ReadAnswer&, const ReadAnswer&) = default;
};
struct WriteAnswer {
  Ticket ticket;
  Cell cell;
  bool acknowledged{false};
  Sequence sequence;
  std::string error;
  friend bool operator==(const WriteAnswer&, const WriteAnswer&) = default;
};
struct HeartbeatMessage {
  Sequence sequence;
  std::uint64_t raw_ns{0};
  LockVersion votes_under;  // as it states
  friend bool operator==(const HeartbeatMessage&, const HeartbeatMessage&) = default;
};
// What the host's own lease allows. Sent after Ready, after each heartbeat, and when it changes.
// The instants are CLOCK_MONOTONIC_RAW of this host, so a message that comes late grants nothing.
struct RightsMessage {
  LeaseState lease{LeaseState::none};
  std::uint64_t act_until_ns{0};   // no guest start and no decision at or after this; 0: none now
  std::uint64_t feed_until_ns{0};  // the window's end; 0: no window yet
  bool granted{false};             // the window rests on others' grants, and not on a heartbeat
  Incarnation released;            // recorded as released; none: no such word
  friend bool operator==(const RightsMessage&, const RightsMessage&) = default;
};
// port::AskStamp.
struct AskStampMessage {
  std::uint64_t stamp_ns{0};
  friend bool operator==(const AskStampMessage&, const AskStampMessage&) = default;
};
struct StartListedMessage {
  Ticket ticket;
  GuestId guest;
  bool listed{false};  // false: not to be started; see error
  std::string error;
  friend bool operator==(const StartListedMessage&, const StartListedMessage&) = default;
};
// What an operator has to know, and to do: all there is. Sent after Ready, and when it changes.
struct KeeperTrouble {
  std::string what;
  std::string remedy;
  friend bool operator==(const KeeperTrouble&, const KeeperTrouble&) = default;
};
struct TroublesMessage {
  std::vector<KeeperTrouble> troubles;
  friend bool operator==(const TroublesMessage&, const TroublesMessage&) = default;
};
// The keeper cannot serve this connection, and closes it.
struct RefusedMessage {
  std::string reason;
  friend bool operator==(const RefusedMessage&, const RefusedMessage&) = default;
};

using DaemonMessage = std::variant<Hello, ReadRequest, WriteRequest, PublishRequest,
                                   ListStartRequest, SettleStartRequest, UnlistRequest,
                                   ExtendRequest>;
using KeeperMessage = std::variant<ReadyMessage, ReadAnswer, WriteAnswer, HeartbeatMessage,
                                   RightsMessage, AskStampMessage, StartListedMessage,
                                   TroublesMessage, RefusedMessage>;

// Whole frames, ready to send. Texts above their limit are cut. `version`: as agreed.
Bytes encode_frame(const DaemonMessage& message, std::uint16_t version = keeper_protocol().newest);
Bytes encode_frame(const KeeperMessage& message, std::uint16_t version = keeper_protocol().newest);
// `frame`: what FrameReader hands out. Error: unknown type, another version than the one agreed
// upon, malformed. 0: none was agreed upon yet; then the keeper takes Hello alone, and the daemon
// what is of a version that it speaks, the agreed one from then on.
Result<DaemonMessage> decode_daemon_frame(View frame,
                                          std::uint16_t version = keeper_protocol().newest);
Result<KeeperMessage> decode_keeper_frame(View frame,
                                          std::uint16_t version = keeper_protocol().newest);
std::uint16_t version_of(View frame);  // 0: too short

// Cuts a byte stream into frames.
class FrameReader {
 public:
  void feed(View bytes);
  // The next whole frame without its length; nullopt: more bytes are needed, or broken().
  std::optional<Bytes> next();
  // A length beyond kMaxFrameBytes was announced: the stream cannot be followed any more.
  bool broken() const { return broken_; }

 private:
  Bytes buffer_;
  std::size_t used_{0};
  bool broken_{false};
};

}  // namespace wardom::wire
