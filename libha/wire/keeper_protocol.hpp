// What wardomd and wardom-keeper say to each other over the keeper's stream socket.
//
// A frame is {u32 length of what follows, u8 type, u16 protocol version, body}. The daemon greets
// with Hello; the keeper answers Ready, or Refused and closes. Then the daemon asks, the keeper
// answers each ticket once. A frame that does not decode ends the connection.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "libha/core/records.hpp"
#include "libha/core/result.hpp"
#include "libha/wire/block.hpp"
#include "libha/wire/bytes.hpp"

namespace wardom::wire {

inline constexpr std::uint16_t kKeeperProtocolVersion = 5;
inline constexpr std::size_t kMaxFrameBytes = 4 * 1024 * 1024 + 64 * 1024;  // one largest cell
inline constexpr std::size_t kFrameHeadBytes = 7;
inline constexpr std::size_t kMaxReadCells = 256;  // port/volume.hpp
inline constexpr std::size_t kMaxErrorBytes = 1024;
inline constexpr std::size_t kMaxTroubles = 16;

// --- daemon to keeper
struct Hello {
  std::int32_t daemon_pid{0};
  std::uint64_t run{0};  // drawn at each daemon start
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

// Whole frames, ready to send. Texts above their limit are cut.
Bytes encode_frame(const DaemonMessage& message);
Bytes encode_frame(const KeeperMessage& message);
// `frame`: what FrameReader hands out. Error: unknown type, another protocol version, malformed.
Result<DaemonMessage> decode_daemon_frame(View frame);
Result<KeeperMessage> decode_keeper_frame(View frame);

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
