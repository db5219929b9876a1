#include "agents/wardomd/device_files.hpp"

#include <algorithm>
#include <utility>

namespace wardom::daemon {
namespace {

using corosync_conf::Plan;
using corosync_conf::Wish;
using wire::DeviceAnswer;
using wire::DeviceAsk;
using wire::DeviceStep;

constexpr const char* kRemedy =
    "; wardomd writes there when the quorum device is set up (see ReadWritePaths of its unit)";

Wish wish_of(const DeviceAsk& ask) {
  if (ask.remove) return std::nullopt;
  return corosync_conf::DeviceTimes{ask.timeout_ms, ask.sync_timeout_ms};
}

bool within_limits(const Wish& wish) {
  using namespace corosync_conf;
  return !wish || (wish->timeout_ms >= kTimeoutMinMs && wish->timeout_ms <= kTimeoutMaxMs &&
                   wish->sync_timeout_ms >= kTimeoutMinMs &&
                   wish->sync_timeout_ms <= kSyncTimeoutMaxMs);
}

// As the file stands now.
Result<void> describe(const std::string& path, DeviceAnswer& answer) {
  const auto text = corosync_conf::read_text(path);
  if (!text) return text.error();
  answer.digest = corosync_conf::digest_of(text.value());
  const auto device = corosync_conf::device_section(text.value());
  if (!device) return failure(path + ": " + device.error().message);
  if (!device.value()) return success();
  answer.model = device.value()->model;
  answer.timeout_ms = device.value()->timeout_ms.value_or(0);
  answer.sync_timeout_ms = device.value()->sync_timeout_ms.value_or(0);
  return success();
}

}  // namespace

Result<Plan> DeviceFiles::plan(const Wish& wish) const {
  if (wish)
    if (auto other = corosync_conf::other_device(); !other.empty())
      return failure(std::move(other));
  auto found = corosync_conf::plan(path_, wish);
  if (!found || !wish) return found;
  const auto nodes = corosync_conf::node_ids(found.value().before);
  if (!nodes) return nodes.error();
  for (const auto id : nodes.value())
    if (std::none_of(members_.begin(), members_.end(),
                     [&](HostId member) { return member.value == id; }))
      return failure(path_ + ": names node " + std::to_string(id) + ", and this domain of "
                     "wardom.toml has no host of that id: no host would cast a vote");
  return found;
}

Result<void> DeviceFiles::try_it(const DeviceAsk& ask, DeviceAnswer& answer) {
  tried_.reset();
  const auto wish = wish_of(ask);
  if (!within_limits(wish)) return failure("the device's times are beyond their limits");
  const corosync_conf::Turn turn(path_);
  if (!turn.trouble().empty()) return failure(turn.trouble());
  auto planned = plan(wish);
  if (!planned) return planned.error();
  if (auto done = corosync_conf::rehearse(planned.value()); !done)
    return failure(done.error().message + kRemedy);
  answer.changes = planned.value().changes();
  answer.pass = draw_();
  if (wish) answer.text = corosync_conf::sbd_warning(*wish);
  tried_ = Trial{ask.from, wish, std::move(planned).value(), answer.pass};
  return success();
}

Result<void> DeviceFiles::write(const DeviceAsk& ask, DeviceAnswer& answer) {
  const auto tried = std::exchange(tried_, {});
  const bool passes =
      tried && tried->from == ask.from && tried->wish.has_value() != ask.remove &&
      std::find(ask.passes.begin(), ask.passes.end(), wire::DevicePass{self_, tried->pass}) !=
          ask.passes.end();
  if (!passes)
    return failure("this host was not tried for that last: its wardomd was started meanwhile, or "
                   "somebody else asked; run it again");
  const corosync_conf::Turn turn(path_);
  if (!turn.trouble().empty()) return failure(turn.trouble());
  if (!tried->plan.changes()) {
    const auto now = corosync_conf::read_text(tried->plan.path);
    if (!now) return now.error();
    if (now.value() == tried->plan.before) return success();
    return failure(tried->plan.path + " was changed by somebody else meanwhile; run it again");
  }
  if (const auto done = corosync_conf::carry_out(tried->plan); !done)
    return failure(done.error().message + kRemedy);
  answer.changes = true;
  return success();
}

DeviceAnswer DeviceFiles::answer(const DeviceAsk& ask) {
  DeviceAnswer answer;
  answer.from = self_;
  answer.to = ask.from;
  answer.request = ask.request;
  Result<void> done = success();
  switch (ask.step) {
    case DeviceStep::look: break;
    case DeviceStep::trial: done = try_it(ask, answer); break;
    case DeviceStep::write: done = write(ask, answer); break;
  }
  const auto described = describe(path_, answer);
  if (done && !described) done = described.error();
  answer.ok = done.has_value();
  if (!done) answer.text = done.error().message;
  return answer;
}

std::string device_news(const DeviceAsk& ask, const DeviceAnswer& answer) {
  const std::string what = ask.remove ? "Wardom is taken out of corosync.conf"
                                      : "Wardom is named in corosync.conf as the quorum device";
  if (!answer.ok) return "corosync.conf is not changed: " + answer.text + "; asked by " + ask.by;
  return what + (answer.changes ? "" : ", as it was already") + ", says " + ask.by;
}

}  // namespace wardom::daemon
