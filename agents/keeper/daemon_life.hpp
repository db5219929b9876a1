// Which wardomd this keeper stands by, whether it still works, and its epoch: how often a daemon
// lost its standing on this host. Raising the epoch in the slot releases, for everyone to see, the
// domain lock and every unclaimed assignment that the daemon of the lower epoch held.
//
// A state machine: time and facts come in, an order comes out. The record outlives the keeper.
#pragma once

#include <algorithm>
#include <optional>
#include <string>

#include "libha/core/ids.hpp"
#include "libha/core/time.hpp"

namespace wardom::keeper {

// However short the profile, a daemon that is held up for less is no hung one.
inline constexpr Duration kDaemonPatienceLeast = std::chrono::seconds{3};

class DaemonLife {
 public:
  struct Record {
    DaemonEpoch epoch;
    std::uint64_t run{0};  // of the last daemon; 0: there was none in this epoch
    friend bool operator==(const Record&, const Record&) = default;
  };
  // What to do; the caller carries it out at once.
  enum class Order : std::uint8_t { none, kill, epoch_raised };

  explicit DaemonLife(Record kept) : record_(kept), owes_(kept.run != 0) {}

  static Duration patience(Duration t_f) { return std::max(t_f / 2, kDaemonPatienceLeast); }

  // A daemon of this run may be greeted: it is the same one again, or nothing of an earlier one is
  // left. After true it is the daemon of epoch().
  bool greet(std::uint64_t run, Instant now) {
    if (owes_ && record_.run != run) return false;
    acted_ = owes_;  // it is the same one again
    record_.run = run;
    owes_ = false;
    connected_ = true;
    killed_ = false;
    progress_ = 0;
    since_ = now;
    return true;
  }
  void published(std::uint64_t progress, Instant now) {
    if (progress == progress_) return;
    acted_ = true;
    progress_ = progress;
    since_ = now;
  }
  void wrote() { acted_ = true; }
  // The connection ended. Whoever published and wrote nothing cannot own anything.
  void gone(Instant now) {
    if (!connected_) return;
    connected_ = false;
    owes_ = acted_;
    since_ = now;
    if (!acted_) record_.run = 0;
  }

  struct Facts {
    bool process_ended{false};  // certainly; a process in another PID namespace never is
    bool settled{false};        // no write of the daemon's cells is in flight, given up or not
  };
  // A daemon whose process lives may come back on a new connection for as long as its last
  // heartbeat lets it act.
  Order tick(Instant now, Duration t_f, const Facts& facts) {
    if (connected_) {
      // One that has never published may still be starting.
      const bool starting = progress_ == 0 && !acted_;
      if (killed_ || starting || now < since_ + patience(t_f)) return Order::none;
      killed_ = true;
      return Order::kill;
    }
    if (!owes_ || !facts.settled) return Order::none;
    if (!killed_ && !facts.process_ended && now < since_ + t_f / 2) return Order::none;
    record_.epoch = record_.epoch.next();
    record_.run = 0;
    owes_ = false;
    return Order::epoch_raised;
  }
  // nullopt: nothing becomes due by time alone. What waits for writes to settle is not: their end
  // wakes the loop, and so does each heartbeat.
  std::optional<Instant> next_deadline(Duration t_f, Instant now) const {
    Instant at;
    if (connected_ && !killed_ && progress_ != 0) at = since_ + patience(t_f);
    if (!connected_ && owes_) at = since_ + t_f / 2;
    return at > now ? std::optional(at) : std::nullopt;
  }

  // What to keep: a daemon that has not acted yet need not be remembered.
  Record record() const { return {record_.epoch, acted_ || owes_ ? record_.run : 0}; }
  DaemonEpoch epoch() const { return record_.epoch; }
  // An earlier daemon's standing has not been ended yet.
  bool owes_an_epoch() const { return owes_; }
  void begin(Instant now) { since_ = now; }  // of this keeper, when a record was kept

 private:
  Record record_;
  bool owes_;
  bool connected_{false};
  bool acted_{false};
  bool killed_{false};
  std::uint64_t progress_{0};
  Instant since_;  // of the last progress, or of the connection's end
};

}  // namespace wardom::keeper
