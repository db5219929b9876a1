#include "libha/wire/keeper_protocol.hpp"

#include <algorithm>
#include <span>
#include <string_view>

#include "libha/core/check.hpp"
#include "libha/wire/guest_list.hpp"
#include "libha/wire/superblock.hpp"

namespace wardom::wire {
namespace {

enum class Type : std::uint8_t {
  hello = 1,
  read = 2,
  write = 3,
  publish = 4,
  list_start = 5,
  settle_start = 6,
  unlist = 7,
  extend = 8,
  ready = 65,
  read_answer = 66,
  write_answer = 67,
  heartbeat = 68,
  refused = 69,
  rights = 70,
  start_listed = 71,
  troubles = 72,
  ask_stamp = 73,
};

constexpr ProtocolVersions kSpoken{6, 6};

constexpr std::size_t kCellBytes = 5;
constexpr std::size_t kListedLeast = 16 + 1 + 4 + 4 + 8 + 2;
constexpr std::size_t kCellViewLeast = kCellBytes + 1 + 1 + 2 + 24 + 8 + 4 + 2 + 3;

std::string_view cut(std::string_view text) { return text.substr(0, kMaxErrorBytes); }

void write(Writer& out, const Cell& cell) {
  out.u8(static_cast<std::uint8_t>(cell.region));
  out.u32(cell.index);
}

Cell read_cell(Reader& in) {
  Cell cell;
  cell.region = in.enumeration(Region::table);
  cell.index = in.u32();
  return cell;
}

void write_payload(Writer& out, View payload) {
  out.u32(static_cast<std::uint32_t>(payload.size()));
  out.bytes(payload);
}

Bytes read_payload(Reader& in) {
  const View raw = in.take(in.u32());
  return Bytes(raw.begin(), raw.end());
}

void write(Writer& out, const GuestProcess& process) {
  out.i32(process.pid);
  out.u64(process.start_time);
  out.text16(std::string_view(process.cgroup).substr(0, kMaxCgroupBytes));
}

GuestProcess read_process(Reader& in) {
  GuestProcess process;
  process.pid = in.i32();
  process.start_time = in.u64();
  process.cgroup = in.text16(kMaxCgroupBytes);
  return process;
}

void write(Writer& out, const std::vector<HostId>& hosts) {
  const auto count = std::min(hosts.size(), kMaxUnasked);
  out.u16(static_cast<std::uint16_t>(count));
  for (HostId host : std::span(hosts).first(count)) out.u16(host.value);
}

std::vector<HostId> read_hosts(Reader& in) {
  std::vector<HostId> hosts(in.count16(kMaxUnasked, 2));
  for (auto& host : hosts) host = HostId{in.u16()};
  return hosts;
}

void write(Writer& out, const Levels& levels) {
  out.u8(levels.oldest.value);
  out.u8(levels.newest.value);
}

Levels read_levels(Reader& in) {
  Levels levels;
  levels.oldest = Level{in.u8()};
  levels.newest = Level{in.u8()};
  if (levels.oldest > levels.newest) in.fail();
  return levels;
}

struct Body {
  Writer& out;
  [[maybe_unused]] std::uint16_t version;

  Type operator()(const Hello& m) {
    out.i32(m.daemon_pid);
    out.u64(m.run);
    out.u16(m.versions.oldest);
    out.u16(m.versions.newest);
    return Type::hello;
  }
  Type operator()(const ReadRequest& m) {
    out.u64(m.ticket.value);
    out.u16(static_cast<std::uint16_t>(m.cells.size()));
    for (const auto& cell : m.cells) write(out, cell);
    return Type::read;
  }
  Type operator()(const WriteRequest& m) {
    out.u64(m.ticket.value);
    write(out, m.cell);
    write_payload(out, m.payload);
    out.u8(m.level.value);
    return Type::write;
  }
  Type operator()(const PublishRequest& m) {
    out.u64(m.progress);
    out.members(m.sees_mgmt);
    out.members(m.sees_storage);
    out.members(m.sees_disk);
    out.load(m.load);
    write(out, m.unasked);
    out.flag(m.votes_under.has_value());
    out.u64(m.votes_under.value_or(LockVersion{}).value);
    out.incarnation(m.yielded);
    out.u8(m.level.value);
    write(out, m.speaks);
    return Type::publish;
  }
  Type operator()(const ListStartRequest& m) {
    out.u64(m.ticket.value);
    out.bits(m.guest);
    return Type::list_start;
  }
  Type operator()(const SettleStartRequest& m) {
    out.bits(m.guest);
    write(out, m.process);
    return Type::settle_start;
  }
  Type operator()(const UnlistRequest& m) {
    out.bits(m.guest);
    return Type::unlist;
  }
  Type operator()(const ExtendRequest& m) {
    out.u64(m.stamp_ns);
    write(out, m.unasked);
    return Type::extend;
  }
  Type operator()(const AskStampMessage& m) {
    out.u64(m.stamp_ns);
    return Type::ask_stamp;
  }
  Type operator()(const ReadyMessage& m) {
    out.u16(m.self.value);
    out.incarnation(m.incarnation);
    out.u32(m.epoch.value);
    out.flag(m.stays_up);
    out.u8(m.level.value);
    out.u16(static_cast<std::uint16_t>(m.listed.size()));
    for (const auto& one : m.listed) {
      out.bits(one.guest);
      out.flag(one.start.has_value());
      out.u32(one.start.value_or(DaemonEpoch{}).value);
      write(out, one.process);
    }
    out.bytes(encode_superblock({m.geometry, {}}));
    return Type::ready;
  }
  Type operator()(const ReadAnswer& m) {
    out.u64(m.ticket.value);
    out.flag(m.last);
    out.u16(static_cast<std::uint16_t>(m.cells.size()));
    for (const auto& view : m.cells) {
      write(out, view.cell);
      out.u8(static_cast<std::uint8_t>(view.state));
      out.flag(view.twin_damaged);
      out.u16(view.writer.value);
      out.incarnation(view.incarnation);
      out.u64(view.sequence.value);
      write_payload(out, view.payload);
      out.text16(cut(view.error));
      out.u8(view.level.value);
      write(out, view.speaks);
      out.u16(view.domain.value);
    }
    return Type::read_answer;
  }
  Type operator()(const WriteAnswer& m) {
    out.u64(m.ticket.value);
    write(out, m.cell);
    out.flag(m.acknowledged);
    out.u64(m.sequence.value);
    out.text16(cut(m.error));
    return Type::write_answer;
  }
  Type operator()(const HeartbeatMessage& m) {
    out.u64(m.sequence.value);
    out.u64(m.raw_ns);
    out.u64(m.votes_under.value);
    return Type::heartbeat;
  }
  Type operator()(const RightsMessage& m) {
    out.u8(static_cast<std::uint8_t>(m.lease));
    out.u64(m.act_until_ns);
    out.u64(m.feed_until_ns);
    out.flag(m.granted);
    out.incarnation(m.released);
    return Type::rights;
  }
  Type operator()(const StartListedMessage& m) {
    out.u64(m.ticket.value);
    out.bits(m.guest);
    out.flag(m.listed);
    out.text16(cut(m.error));
    return Type::start_listed;
  }
  Type operator()(const TroublesMessage& m) {
    const auto count = std::min(m.troubles.size(), kMaxTroubles);
    out.u16(static_cast<std::uint16_t>(count));
    for (const auto& one : std::span(m.troubles).first(count)) {
      out.text16(cut(one.what));
      out.text16(cut(one.remedy));
    }
    return Type::troubles;
  }
  Type operator()(const RefusedMessage& m) {
    out.text16(cut(m.reason));
    return Type::refused;
  }
};

template <class Message>
Bytes encode(const Message& message, std::uint16_t version) {
  Writer body;
  const auto type = std::visit(Body{body, version}, message);
  Writer frame;
  frame.u32(static_cast<std::uint32_t>(body.size() + 3));
  frame.u8(static_cast<std::uint8_t>(type));
  frame.u16(version);
  frame.bytes(body.view());
  WARDOM_CHECK(frame.size() <= kMaxFrameBytes);
  return frame.take();
}

ReadRequest read_request(Reader& in) {
  ReadRequest m;
  m.ticket = Ticket{in.u64()};
  m.cells.resize(in.count16(kMaxReadCells, kCellBytes));
  for (auto& cell : m.cells) cell = read_cell(in);
  return m;
}

WriteRequest write_request(Reader& in) {
  WriteRequest m;
  m.ticket = Ticket{in.u64()};
  m.cell = read_cell(in);
  m.payload = read_payload(in);
  m.level = Level{in.u8()};
  return m;
}

PublishRequest publish_request(Reader& in, [[maybe_unused]] std::uint16_t version) {
  PublishRequest m;
  m.progress = in.u64();
  m.sees_mgmt = in.members();
  m.sees_storage = in.members();
  m.sees_disk = in.members();
  m.load = in.load();
  m.unasked = read_hosts(in);
  const bool states = in.flag();
  const LockVersion under{in.u64()};
  if (states)
    m.votes_under = under;
  else if (under != LockVersion{})
    in.fail();
  m.yielded = in.incarnation();
  m.level = Level{in.u8()};
  m.speaks = read_levels(in);
  return m;
}

SettleStartRequest settle_start_request(Reader& in) {
  SettleStartRequest m;
  m.guest = GuestId{in.bits()};
  m.process = read_process(in);
  return m;
}

ReadyMessage ready_message(Reader& in) {
  ReadyMessage m;
  m.self = HostId{in.u16()};
  m.incarnation = in.incarnation();
  m.epoch = DaemonEpoch{in.u32()};
  m.stays_up = in.flag();
  m.level = Level{in.u8()};
  m.listed.resize(in.count16(kMaxGuestsPerHost, kListedLeast));
  for (auto& one : m.listed) {
    one.guest = GuestId{in.bits()};
    const bool open = in.flag();
    const DaemonEpoch epoch{in.u32()};
    if (open) one.start = epoch;
    one.process = read_process(in);
  }
  if (auto superblock = decode_superblock(in.rest()))
    m.geometry = superblock.value().geometry;
  else
    in.fail();
  return m;
}

ReadAnswer read_answer(Reader& in) {
  ReadAnswer m;
  m.ticket = Ticket{in.u64()};
  m.last = in.flag();
  m.cells.resize(in.count16(kMaxReadCells, kCellViewLeast));
  for (auto& view : m.cells) {
    view.cell = read_cell(in);
    view.state = in.enumeration(ExtentState::unreadable);
    view.twin_damaged = in.flag();
    view.writer = HostId{in.u16()};
    view.incarnation = in.incarnation();
    view.sequence = Sequence{in.u64()};
    view.payload = read_payload(in);
    view.error = in.text16(kMaxErrorBytes);
    view.level = Level{in.u8()};
    view.speaks = read_levels(in);
    view.domain = DomainId{in.u16()};
  }
  return m;
}

TroublesMessage troubles_message(Reader& in) {
  TroublesMessage m;
  m.troubles.resize(in.count16(kMaxTroubles, 2 + 2));
  for (auto& one : m.troubles) {
    one.what = in.text16(kMaxErrorBytes);
    one.remedy = in.text16(kMaxErrorBytes);
  }
  return m;
}

WriteAnswer write_answer(Reader& in) {
  WriteAnswer m;
  m.ticket = Ticket{in.u64()};
  m.cell = read_cell(in);
  m.acknowledged = in.flag();
  m.sequence = Sequence{in.u64()};
  m.error = in.text16(kMaxErrorBytes);
  return m;
}

std::string to_text(const ProtocolVersions& versions) {
  return std::to_string(versions.oldest) + " to " + std::to_string(versions.newest);
}

// The type of a frame, once its version is the one agreed upon; 0: any that is spoken.
Result<Type> open_frame(Reader& in, std::uint16_t agreed) {
  const auto type = static_cast<Type>(in.u8());
  const auto version = in.u16();
  if (in.failed()) return failure("keeper protocol: short frame");
  if (type == Type::hello || type == Type::refused) return type;  // the same in every version
  const bool spoken = kSpoken.oldest <= version && version <= kSpoken.newest;
  if (!spoken || (agreed != 0 && version != agreed))
    return failure("keeper protocol: version " + std::to_string(version) + ", this one speaks " +
                   to_text(kSpoken) +
                   "; wardomd and wardom-keeper must be of the same release, or of adjacent ones");
  return type;
}

template <class Message>
Result<Message> close_frame(const Reader& in, Message message) {
  if (!in.complete()) return failure("keeper protocol: malformed frame");
  return message;
}

}  // namespace

const ProtocolVersions& keeper_protocol() { return kSpoken; }

std::optional<std::uint16_t> agreed(const ProtocolVersions& a, const ProtocolVersions& b) {
  const auto version = std::min(a.newest, b.newest);
  if (version < a.oldest || version < b.oldest) return std::nullopt;
  return version;
}

std::uint16_t version_of(View frame) {
  return frame.size() < 3 ? 0 : Reader(frame.subspan(1)).u16();
}

Bytes encode_frame(const DaemonMessage& message, std::uint16_t version) {
  return encode(message, version);
}
Bytes encode_frame(const KeeperMessage& message, std::uint16_t version) {
  return encode(message, version);
}

Result<DaemonMessage> decode_daemon_frame(View frame, std::uint16_t version) {
  Reader in(frame);
  const auto type = open_frame(in, version);
  if (!type) return failure(type.error().message);
  DaemonMessage message;
  if (type.value() == Type::hello) {
    Hello hello;
    hello.daemon_pid = in.i32();
    hello.run = in.u64();
    hello.versions.oldest = in.u16();
    hello.versions.newest = in.u16();
    message = hello;
  } else if (type.value() == Type::read) {
    message = read_request(in);
  } else if (type.value() == Type::write) {
    message = write_request(in);
  } else if (type.value() == Type::publish) {
    message = publish_request(in, version);
  } else if (type.value() == Type::list_start) {
    ListStartRequest m;
    m.ticket = Ticket{in.u64()};
    m.guest = GuestId{in.bits()};
    message = m;
  } else if (type.value() == Type::settle_start) {
    message = settle_start_request(in);
  } else if (type.value() == Type::unlist) {
    message = UnlistRequest{GuestId{in.bits()}};
  } else if (type.value() == Type::extend) {
    ExtendRequest m;
    m.stamp_ns = in.u64();
    m.unasked = read_hosts(in);
    message = std::move(m);
  } else {
    return failure("keeper protocol: not a daemon's message");
  }
  return close_frame(in, std::move(message));
}

Result<KeeperMessage> decode_keeper_frame(View frame, std::uint16_t version) {
  Reader in(frame);
  const auto type = open_frame(in, version);
  if (!type) return failure(type.error().message);
  KeeperMessage message;
  if (type.value() == Type::ready) {
    message = ready_message(in);
  } else if (type.value() == Type::read_answer) {
    message = read_answer(in);
  } else if (type.value() == Type::write_answer) {
    message = write_answer(in);
  } else if (type.value() == Type::heartbeat) {
    HeartbeatMessage m;
    m.sequence = Sequence{in.u64()};
    m.raw_ns = in.u64();
    m.votes_under = LockVersion{in.u64()};
    message = m;
  } else if (type.value() == Type::rights) {
    RightsMessage m;
    m.lease = in.enumeration(LeaseState::released);
    m.act_until_ns = in.u64();
    m.feed_until_ns = in.u64();
    m.granted = in.flag();
    m.released = in.incarnation();
    message = m;
  } else if (type.value() == Type::ask_stamp) {
    message = AskStampMessage{in.u64()};
  } else if (type.value() == Type::start_listed) {
    StartListedMessage m;
    m.ticket = Ticket{in.u64()};
    m.guest = GuestId{in.bits()};
    m.listed = in.flag();
    m.error = in.text16(kMaxErrorBytes);
    message = m;
  } else if (type.value() == Type::troubles) {
    message = troubles_message(in);
  } else if (type.value() == Type::refused) {
    message = RefusedMessage{in.text16(kMaxErrorBytes)};
  } else {
    return failure("keeper protocol: not a keeper's message");
  }
  return close_frame(in, std::move(message));
}

void FrameReader::feed(View bytes) {
  if (broken_) return;
  if (used_ > 0) {
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(used_));
    used_ = 0;
  }
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

std::optional<Bytes> FrameReader::next() {
  if (broken_) return std::nullopt;
  Reader in(View(buffer_).subspan(used_));
  const std::size_t length = in.u32();
  if (in.failed()) return std::nullopt;
  if (length + 4 > kMaxFrameBytes) {
    broken_ = true;
    return std::nullopt;
  }
  const View frame = in.take(length);
  if (in.failed()) return std::nullopt;
  used_ += 4 + length;
  Bytes out(frame.begin(), frame.end());
  if (used_ == buffer_.size()) {
    // A large table has passed: the keeper stays small between the rare large writes.
    buffer_ = Bytes();
    used_ = 0;
  }
  return out;
}

}  // namespace wardom::wire
