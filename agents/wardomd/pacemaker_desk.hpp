// What Pacemaker has to tell: its alerts, and the comings and goings of ocf:wardom:HostGuard. For
// people alone. Nothing of it reaches the core, so that no word of Pacemaker's, a fencing least of
// all, takes part in a decision. Bounded: oldest words go first.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "libha/config/config.hpp"
#include "libha/control/control_server.hpp"
#include "libha/core/inputs.hpp"
#include "libha/wire/ring_messages.hpp"

namespace wardom::daemon {

inline constexpr std::size_t kMaxAlerts = 100;       // kept about one host
inline constexpr std::size_t kMaxAlertField = 256;   // bytes of a name or a sentence
// An alert's own time is taken when it is so close to this host's.
inline constexpr Duration kAlertClockError = std::chrono::minutes{10};

struct Alert {
  WallTime at;
  HostId host;
  bool fenced{false};  // Pacemaker calls that host fenced: evidence, and no proof
  std::string text;
};

// Error: what is wrong with the request.
Result<Alert> alert_of(const boost::json::object& request, const Config& config, WallTime now);

class PacemakerDesk {
 public:
  // What was said last of a host's HostGuard.
  struct Guard {
    WallTime at;
    bool runs{false};
  };

  // tell: to all hosts of the domain, and on record. heard: for the log.
  PacemakerDesk(const Config& config, HostId self, std::function<WallTime()> now,
                std::function<void(const core::Note&)> tell,
                std::function<void(const Alert&)> heard)
      : config_(config),
        self_(self),
        now_(std::move(now)),
        tell_(std::move(tell)),
        heard_(std::move(heard)) {}

  // What Pacemaker's alert agent may ask, who is not root: its alerts, and nothing else.
  void handle_alert(const boost::json::object& request, const control::Answer& answer);
  // false: the request is none of this desk's.
  bool handle(const boost::json::object& request, const control::Answer& answer);
  // One that this host or another has taken, now or before this daemon's start.
  void on_step(const wire::StepMessage& step);

  const std::deque<Alert>& alerts(HostId host) const;  // in the order of their times
  const Alert* last_fencing(HostId host) const;
  std::optional<Guard> guard(HostId host) const;

 private:
  void take_guard(const boost::json::object& request, const control::Answer& answer);

  const Config& config_;
  HostId self_;
  std::function<WallTime()> now_;
  std::function<void(const core::Note&)> tell_;
  std::function<void(const Alert&)> heard_;
  std::map<HostId, std::deque<Alert>> alerts_;
  std::map<HostId, Guard> guards_;
};

}  // namespace wardom::daemon
