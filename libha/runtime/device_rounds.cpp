#include "libha/runtime/device_rounds.hpp"

#include <algorithm>
#include <utility>

namespace wardom::runtime {
namespace {

bool has(const std::vector<HostId>& hosts, HostId host) {
  return std::find(hosts.begin(), hosts.end(), host) != hosts.end();
}

}  // namespace

DeviceRounds::DeviceRounds(HostId self, std::vector<HostId> members)
    : self_(self), members_(std::move(members)) {}

// Hosts whose file has no device are quorate by their number alone, and one whose file has it, with
// the lock, by itself. So those who have it must be too many to leave a majority to the others; and
// nobody may keep it where the others do without.
std::string DeviceRounds::why_not(const wire::DeviceAsk& ask) const {
  if (!has(ring_, self_)) return "this host's wardomd is in no ring; see `wardomctl status`";
  if (rounds_.size() >= kMaxDeviceRounds) return "too many such requests are waiting; try again";
  if (ask.step == wire::DeviceStep::look) return {};
  for (const HostId host : ring_)
    if (!has(members_, host))
      return "the ring has a wardomd of host " + std::to_string(host.value) +
             ", which this host's wardom.toml does not name; give all hosts the same file first";
  if (ask.step != wire::DeviceStep::write) return {};
  const auto passed = static_cast<std::size_t>(
      std::count_if(members_.begin(), members_.end(), [&](HostId host) {
        return std::any_of(ask.passes.begin(), ask.passes.end(),
                           [&](const auto& one) { return one.host == host; });
      }));
  if (ask.remove && passed < members_.size())
    return "the device is taken out on all hosts or on none: one that kept it could be quorate by "
           "itself, beside the others; start its wardomd, or take the host out of corosync.conf "
           "and wardom.toml first";
  if (2 * passed <= members_.size())
    return "most of the hosts must have it: those without could be quorate by their number, beside "
           "the others";
  return {};
}

Result<void> DeviceRounds::begin(wire::DeviceAsk ask, Instant now) {
  if (auto why = why_not(ask); !why.empty()) return failure(std::move(why));
  Round round;
  for (const HostId host : members_) round.rows[host] = {host, has(ring_, host), {}};
  for (const HostId host : ring_) round.rows[host] = {host, true, {}};
  round.until = now + kDevicePatience;
  const Ticket request = ask.request;
  round.ask = std::move(ask);
  rounds_.insert_or_assign(request, std::move(round));
  return success();
}

void DeviceRounds::on_ring(const std::vector<HostId>& daemons) {
  ring_ = daemons;
  for (auto& [request, round] : rounds_)
    for (auto& [host, row] : round.rows) row.in_ring = row.in_ring && has(ring_, host);
}

void DeviceRounds::on_answer(const wire::DeviceAnswer& answer) {
  const auto round = answer.to == self_ ? rounds_.find(answer.request) : rounds_.end();
  if (round == rounds_.end()) return;
  const auto row = round->second.rows.find(answer.from);
  if (row != round->second.rows.end()) row->second.answer = answer;
}

bool DeviceRounds::whole(const Round& round) {
  return round.said && std::all_of(round.rows.begin(), round.rows.end(), [](const auto& one) {
    return one.second.answer || !one.second.in_ring;
  });
}

DeviceRounds::News DeviceRounds::tick(Instant now) {
  News news;
  for (auto& [request, round] : rounds_)
    if (!std::exchange(round.said, true)) news.asks.push_back(std::move(round.ask));
  std::erase_if(rounds_, [&](auto& one) {
    auto& round = one.second;
    if (!whole(round) && now < round.until) return false;
    Ended ended{one.first, {}};
    for (auto& [host, row] : round.rows) ended.rows.push_back(std::move(row));
    news.ended.push_back(std::move(ended));
    return true;
  });
  return news;
}

Instant DeviceRounds::deadline() const {
  Instant next = Instant::never();
  for (const auto& [request, round] : rounds_)
    next = std::min(next, !round.said || whole(round) ? Instant{} : round.until);
  return next;
}

}  // namespace wardom::runtime
