#include "libha/wire/ring_messages.hpp"

#include <algorithm>
#include <string_view>

namespace wardom::wire {
namespace {

std::string_view cut(std::string_view text, std::size_t limit) { return text.substr(0, limit); }

Bytes body(const core::PleaseAssign& please) {
  Writer out;
  out.u16(please.from.value);
  out.incarnation(please.incarnation);
  out.u32(please.epoch.value);
  out.bits(please.guest);
  out.i32(please.priority);
  out.flag(please.start);
  out.u16(please.to.value);
  return out.take();
}

Bytes body(const StepMessage& step) {
  Writer out;
  out.u16(step.teller.value);
  out.bits(step.recovery);
  out.i64(step.at.ms);
  out.u16(step.host.value);
  out.bits(step.guest);
  out.text8(cut(step.source, kMaxStepNameBytes));
  out.text8(cut(step.step, kMaxStepNameBytes));
  out.text16(cut(step.text, kMaxStepTextBytes));
  return out.take();
}

Bytes body(const core::OperatorAsk& ask) {
  Writer out;
  out.u16(ask.from.value);
  out.u64(ask.request.value);
  out.u8(static_cast<std::uint8_t>(ask.wish));
  out.u16(ask.host.value);
  out.incarnation(ask.incarnation);
  out.u64(static_cast<std::uint64_t>(ask.time.count()));
  out.text8(cut(ask.by, kMaxOperatorBytes));
  return out.take();
}

Bytes body(const core::OperatorAnswer& answer) {
  Writer out;
  out.u16(answer.to.value);
  out.u64(answer.request.value);
  out.i32(answer.exit_code);
  out.text16(cut(answer.text, kMaxAnswerBytes));
  return out.take();
}

Bytes body(const KeyWord& word) {
  Writer out;
  out.u16(word.from.value);
  out.u64(word.present.value);
  out.u64(word.next.value);
  out.u8(static_cast<std::uint8_t>(word.step));
  out.u64(word.attempt);
  out.u64(word.config);
  out.flag(word.offer.has_value());
  if (word.offer) out.bytes(*word.offer);
  return out.take();
}

Bytes body(const DeviceAsk& ask) {
  Writer out;
  out.u16(ask.from.value);
  out.u64(ask.request.value);
  out.u8(static_cast<std::uint8_t>(ask.step));
  out.flag(ask.remove);
  out.u32(ask.timeout_ms);
  out.u32(ask.sync_timeout_ms);
  out.text8(cut(ask.by, kMaxOperatorBytes));
  const auto count = std::min(ask.passes.size(), kMaxDomainHosts);
  out.u16(static_cast<std::uint16_t>(count));
  for (std::size_t i = 0; i < count; ++i) {
    out.u16(ask.passes[i].host.value);
    out.u64(ask.passes[i].pass);
  }
  return out.take();
}

Bytes body(const DeviceAnswer& answer) {
  Writer out;
  out.u16(answer.from.value);
  out.u16(answer.to.value);
  out.u64(answer.request.value);
  out.flag(answer.ok);
  out.flag(answer.changes);
  out.flag(answer.in_force);
  out.text8(cut(answer.model, kMaxModelBytes));
  out.u32(answer.timeout_ms);
  out.u32(answer.sync_timeout_ms);
  out.u64(answer.digest);
  out.u64(answer.pass);
  out.text16(cut(answer.text, kMaxAnswerBytes));
  return out.take();
}

MessageKind kind_of(const core::PleaseAssign&) { return kPleaseAssignKind; }
MessageKind kind_of(const StepMessage&) { return kStepKind; }
MessageKind kind_of(const core::OperatorAsk&) { return kOperatorAskKind; }
MessageKind kind_of(const core::OperatorAnswer&) { return kOperatorAnswerKind; }
MessageKind kind_of(const KeyWord&) { return kKeyWordKind; }
MessageKind kind_of(const DeviceAsk&) { return kDeviceAskKind; }
MessageKind kind_of(const DeviceAnswer&) { return kDeviceAnswerKind; }

core::PleaseAssign read_please(Reader& in) {
  core::PleaseAssign please;
  please.from = HostId{in.u16()};
  please.incarnation = in.incarnation();
  please.epoch = DaemonEpoch{in.u32()};
  please.guest = GuestId{in.bits()};
  please.priority = in.i32();
  please.start = in.flag();
  please.to = HostId{in.u16()};
  return please;
}

StepMessage read_step(Reader& in) {
  StepMessage step;
  step.teller = HostId{in.u16()};
  step.recovery = RecoveryId{in.bits()};
  step.at = WallTime{in.i64()};
  step.host = HostId{in.u16()};
  step.guest = GuestId{in.bits()};
  step.source = in.text8(kMaxStepNameBytes);
  step.step = in.text8(kMaxStepNameBytes);
  step.text = in.text16(kMaxStepTextBytes);
  return step;
}

core::OperatorAsk read_ask(Reader& in) {
  core::OperatorAsk ask;
  ask.from = HostId{in.u16()};
  ask.request = Ticket{in.u64()};
  ask.wish = in.enumeration(core::Wish::fence_unless_split);
  ask.host = HostId{in.u16()};
  ask.incarnation = in.incarnation();
  const auto time = in.u64();
  if (time > kMaxDisarmedMs) in.fail();
  ask.time = std::chrono::milliseconds{time};
  ask.by = in.text8(kMaxOperatorBytes);
  return ask;
}

core::OperatorAnswer read_answer(Reader& in) {
  core::OperatorAnswer answer;
  answer.to = HostId{in.u16()};
  answer.request = Ticket{in.u64()};
  answer.exit_code = in.i32();
  answer.text = in.text16(kMaxAnswerBytes);
  return answer;
}

KeyWord read_key_word(Reader& in) {
  KeyWord word;
  word.from = HostId{in.u16()};
  word.present = KeyId{in.u64()};
  word.next = KeyId{in.u64()};
  word.step = in.enumeration(KeyStep::dropped);
  word.attempt = in.u64();
  word.config = in.u64();
  if (in.flag()) {
    const View box = in.take(kBoxBytes);
    word.offer.emplace();
    std::copy(box.begin(), box.end(), word.offer->begin());
  }
  return word;
}

DeviceAsk read_device_ask(Reader& in) {
  constexpr std::size_t kPassBytes = 10;
  DeviceAsk ask;
  ask.from = HostId{in.u16()};
  ask.request = Ticket{in.u64()};
  ask.step = in.enumeration(DeviceStep::write);
  ask.remove = in.flag();
  ask.timeout_ms = in.u32();
  ask.sync_timeout_ms = in.u32();
  ask.by = in.text8(kMaxOperatorBytes);
  ask.passes.resize(in.count16(kMaxDomainHosts, kPassBytes));
  for (auto& one : ask.passes) {
    one.host = HostId{in.u16()};
    one.pass = in.u64();
  }
  return ask;
}

DeviceAnswer read_device_answer(Reader& in) {
  DeviceAnswer answer;
  answer.from = HostId{in.u16()};
  answer.to = HostId{in.u16()};
  answer.request = Ticket{in.u64()};
  answer.ok = in.flag();
  answer.changes = in.flag();
  answer.in_force = in.flag();
  answer.model = in.text8(kMaxModelBytes);
  answer.timeout_ms = in.u32();
  answer.sync_timeout_ms = in.u32();
  answer.digest = in.u64();
  answer.pass = in.u64();
  answer.text = in.text16(kMaxAnswerBytes);
  return answer;
}

}  // namespace

Bytes encode_ring_message(const Key& key, const RingMessage& message, Level level) {
  return std::visit([&](const auto& one) { return seal(key, level, kind_of(one), body(one)); },
                    message);
}

Result<RingMessage> decode_ring_message(const Key& key, View sealed) {
  const auto opened = open(key, sealed);
  if (!opened) return failure(std::string("ring message: ") + to_text(opened.error()));
  Reader in(opened.value().bytes);
  RingMessage message;
  if (opened.value().kind == kPleaseAssignKind)
    message = read_please(in);
  else if (opened.value().kind == kStepKind)
    message = read_step(in);
  else if (opened.value().kind == kOperatorAskKind)
    message = read_ask(in);
  else if (opened.value().kind == kOperatorAnswerKind)
    message = read_answer(in);
  else if (opened.value().kind == kKeyWordKind)
    message = read_key_word(in);
  else if (opened.value().kind == kDeviceAskKind)
    message = read_device_ask(in);
  else if (opened.value().kind == kDeviceAnswerKind)
    message = read_device_answer(in);
  else
    return failure("ring message: unknown kind " + std::to_string(opened.value().kind.value));
  if (!in.complete()) return failure("ring message: malformed");
  return message;
}

}  // namespace wardom::wire
