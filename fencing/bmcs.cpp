#include "fencing/bmcs.hpp"

#include <condition_variable>
#include <mutex>

#include "libha/ipmi/configured.hpp"
#include "libha/ipmi/ipmi_power.hpp"

namespace wardom::fencing {

class Bmcs::Impl {
 public:
  Result<void> open(IpmiOptions options) {
    auto power = IpmiPower::create(
        std::move(options), {[this](port::PowerReading one) { keep(readings_, std::move(one)); },
                             [this](port::PowerOffSent one) { keep(sent_, std::move(one)); }});
    if (!power) return power.error();
    power_ = std::move(power).value();
    return success();
  }
  std::map<HostId, port::PowerReading> read(const std::vector<HostId>& hosts) {
    std::vector<Ticket> tickets;
    for (const HostId host : hosts) power_->ask(tickets.emplace_back(ticket()), host);
    std::map<HostId, port::PowerReading> all;
    for (const auto one : tickets) {
      auto reading = wait(readings_, one);
      all.emplace(reading.host, std::move(reading));
    }
    return all;
  }
  port::PowerOffSent order(HostId host, bool on) {
    const auto one = ticket();
    if (on)
      power_->power_on(one, host);
    else
      power_->power_off(one, host);
    return wait(sent_, one);
  }

 private:
  Ticket ticket() { return last_ = last_.next(); }

  template <class Event>
  void keep(std::map<Ticket, Event>& into, Event event) {
    const std::lock_guard lock(mutex_);
    into.emplace(event.ticket, std::move(event));
    came_.notify_all();
  }
  // IpmiPower answers every request, whatever the BMC does.
  template <class Event>
  Event wait(std::map<Ticket, Event>& from, Ticket one) {
    std::unique_lock lock(mutex_);
    came_.wait(lock, [&] { return from.contains(one); });
    return std::move(from.extract(one).mapped());
  }

  std::mutex mutex_;
  std::condition_variable came_;
  std::map<Ticket, port::PowerReading> readings_;
  std::map<Ticket, port::PowerOffSent> sent_;
  Ticket last_;
  std::unique_ptr<IpmiPower> power_;  // the last: its threads use what is above
};

Result<std::unique_ptr<Bmcs>> Bmcs::create(const Timing& timing,
                                           const std::vector<const HostConfig*>& hosts) {
  auto options = configured_times(timing);
  std::string without;
  for (const auto* host : hosts) {
    if (!host->bmc) {
      without += (without.empty() ? "" : ", ") + host->name;
      continue;
    }
    auto access = configured_bmc(*host);
    if (!access) return access.error();
    options.bmcs.push_back(std::move(access).value());
  }
  if (options.bmcs.empty())
    return failure("wardom.toml names no BMC" + (without.empty() ? without : " of " + without));
  auto impl = std::make_unique<Impl>();
  if (auto opened = impl->open(std::move(options)); !opened) return opened.error();
  return std::unique_ptr<Bmcs>(new Bmcs(std::move(impl)));
}

Bmcs::Bmcs(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Bmcs::~Bmcs() = default;

std::map<HostId, port::PowerReading> Bmcs::read(const std::vector<HostId>& hosts) {
  return impl_->read(hosts);
}
port::PowerReading Bmcs::read(HostId host) {
  return std::move(impl_->read({host}).begin()->second);
}
port::PowerOffSent Bmcs::power_off(HostId host) { return impl_->order(host, false); }
port::PowerOffSent Bmcs::power_on(HostId host) { return impl_->order(host, true); }

}  // namespace wardom::fencing
