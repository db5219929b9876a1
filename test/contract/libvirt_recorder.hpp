// Collects what a hypervisor adapter reports, and waits for it with a deadline and no polling.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <variant>
#include <vector>

#include "libha/port/hypervisor.hpp"

namespace contract {

using namespace wardom;

class Recorder {
 public:
  static constexpr std::chrono::seconds kPatience{20};

  port::HypervisorEvents events() {
    port::HypervisorEvents e;
    e.up = [this](port::HypervisorUp v) { put(up_, std::move(v)); };
    e.down = [this](port::HypervisorDown v) { put(down_, std::move(v)); };
    e.changed = [this](port::GuestChanged v) { put(changed_, std::move(v.now)); };
    e.defined = [this](port::GuestDefined v) { put(defined_, std::move(v)); };
    e.done = [this](port::ActDone v) { put(done_, std::move(v)); };
    return e;
  }

  // Each takes the first one that fits out of the record; nullopt: it did not come in time.
  std::optional<port::HypervisorUp> up() {
    return take(up_, [](auto&) { return true; });
  }
  std::optional<port::HypervisorDown> down() {
    return take(down_, [](auto&) { return true; });
  }
  std::optional<port::GuestState> changed(GuestId guest, port::RunState state) {
    return take(changed_, [&](auto& s) { return s.guest == guest && s.state == state; });
  }
  // As changed() with shut_off, but not the one that only says that the guest is defined now.
  std::optional<port::GuestState> stopped(GuestId guest,
                                          std::chrono::milliseconds patience = kPatience) {
    return take(
        changed_,
        [&](auto& s) {
          return s.guest == guest && s.state == port::RunState::shut_off &&
                 s.cause != port::StopCause::none;
        },
        patience);
  }
  std::optional<port::GuestDefined> defined(
      GuestId guest, const std::function<bool(const port::GuestDefined&)>& fits) {
    return take(defined_, [&](auto& d) { return d.guest == guest && fits(d); });
  }
  std::optional<port::ActDone> done(std::uint64_t ticket) {
    return take(done_, [&](auto& d) { return d.ticket == Ticket{ticket}; });
  }
  std::vector<std::uint64_t> tickets_done() {
    const std::lock_guard lock(mutex_);
    std::vector<std::uint64_t> out;
    for (const auto& d : done_) out.push_back(d.ticket.value);
    return out;
  }

 private:
  template <class T>
  void put(std::list<T>& to, T value) {
    {
      const std::lock_guard lock(mutex_);
      to.push_back(std::move(value));
    }
    news_.notify_all();
  }
  template <class T, class Fits>
  std::optional<T> take(std::list<T>& from, Fits fits,
                        std::chrono::milliseconds patience = kPatience) {
    std::unique_lock lock(mutex_);
    std::optional<T> out;
    news_.wait_for(lock, patience, [&] {
      for (auto at = from.begin(); at != from.end(); ++at)
        if (fits(*at)) {
          out = std::move(*at);
          from.erase(at);
          return true;
        }
      return false;
    });
    return out;
  }

  std::mutex mutex_;
  std::condition_variable news_;
  std::list<port::HypervisorUp> up_;
  std::list<port::HypervisorDown> down_;
  std::list<port::GuestState> changed_;
  std::list<port::GuestDefined> defined_;
  std::list<port::ActDone> done_;
};

}  // namespace contract
