#include "libha/wire/ring_messages.hpp"

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

core::PleaseAssign read_please(Reader& in) {
  core::PleaseAssign please;
  please.from = HostId{in.u16()};
  please.incarnation = in.incarnation();
  please.epoch = DaemonEpoch{in.u32()};
  please.guest = GuestId{in.bits()};
  please.priority = in.i32();
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

}  // namespace

Bytes encode_ring_message(const Key& key, const RingMessage& message) {
  const bool please = std::holds_alternative<core::PleaseAssign>(message);
  const Bytes bytes = std::visit([](const auto& one) { return body(one); }, message);
  return seal(key, please ? kPleaseAssignKind : kStepKind, bytes);
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
  else
    return failure("ring message: unknown kind " + std::to_string(opened.value().kind.value));
  if (!in.complete()) return failure("ring message: malformed");
  return message;
}

}  // namespace wardom::wire
