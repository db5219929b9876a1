// What the keeper itself knows before it lets this host outlive its window by the grants of others
// (libha/core/outage.hpp): which moments it has noted, and what its heartbeats have said about
// whom it asks. A state machine without I/O.
//
// The daemon collects the grants, and is believed about them; it can name no moment that the keeper
// has not handed out, and so gains no more than T_F beyond the newest of them.
#pragma once

#include <algorithm>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "libha/core/ids.hpp"
#include "libha/core/time.hpp"

namespace wardom::keeper {

class Ride {
 public:
  // takes_part: every heartbeat of this keeper says that its host may do this.
  Ride(bool takes_part, Duration t_f) : takes_part_(takes_part), every_(t_f / 16) {}

  // A heartbeat that names these is submitted at `at`. From now on it may land, whatever is heard
  // of it.
  void submitted(Instant at, std::vector<HostId> unasked) {
    if (!newer_.empty() && newer_.size() >= kMost) {
      newer_.back().unasked = common(newer_.back().unasked, unasked);
      newer_.back().at = at;
    } else {
      newer_.push_back({at, std::move(unasked)});
    }
  }
  // The one submitted at `at` stands in the slot, or a newer one.
  void acknowledged(Instant at) {
    while (!newer_.empty() && newer_.front().at <= at) {
      shown_ = std::move(newer_.front().unasked);
      newer_.pop_front();
    }
  }

  // When the next moment is to be noted: at `from`, or some time after the last one.
  Instant due(Instant from) const {
    return stamps_.empty() ? from : std::max(from, stamps_.back() + every_);
  }
  bool takes_part() const { return takes_part_ && shown_; }
  // Notes now, to be told to the daemon before it asks anybody.
  Instant stamp(Instant now) {
    if (stamps_.size() >= kMost) stamps_.pop_front();
    stamps_.push_back(now);
    return now;
  }
  // All that may judge this host have granted since `stamp`, apart from these.
  bool allows(Instant stamp, std::span<const HostId> unasked) const {
    if (!takes_part() || std::find(stamps_.begin(), stamps_.end(), stamp) == stamps_.end())
      return false;
    return std::all_of(unasked.begin(), unasked.end(), [&](HostId host) {
      return has(*shown_, host) &&
             std::all_of(newer_.begin(), newer_.end(),
                         [&](const Words& words) { return has(words.unasked, host); });
    });
  }

 private:
  static constexpr std::size_t kMost = 32;
  struct Words {
    Instant at;
    std::vector<HostId> unasked;
  };
  static bool has(const std::vector<HostId>& hosts, HostId host) {
    return std::find(hosts.begin(), hosts.end(), host) != hosts.end();
  }
  static std::vector<HostId> common(std::vector<HostId> a, const std::vector<HostId>& b) {
    std::erase_if(a, [&](HostId host) { return !has(b, host); });
    return a;
  }

  bool takes_part_;
  Duration every_;
  std::deque<Instant> stamps_;
  std::optional<std::vector<HostId>> shown_;  // by the newest acknowledged heartbeat
  std::deque<Words> newer_;                   // by those submitted since, in their order
};

}  // namespace wardom::keeper
