// This host's lease: the ladder, the watchdog that it rests on, and the thread that feeds it; kept
// in the run directory over restarts of the keeper.
//
// Without a watchdog, or with one whose W nobody has measured, there is no lease: the slot says
// so, and the host's silence proves nothing. Lives on the loop's thread and never waits.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agents/keeper/feeder.hpp"
#include "agents/keeper/guest_killer.hpp"
#include "agents/keeper/ladder.hpp"
#include "agents/keeper/log.hpp"
#include "agents/keeper/options.hpp"
#include "agents/keeper/ride.hpp"
#include "libha/disk/lane.hpp"
#include "libha/wire/keeper_protocol.hpp"

namespace wardom::keeper {

inline constexpr const char* kKeptWatchdog = "wardom-watchdog";  // its name in the store
// A watchdog that cannot be had is tried again this often.
inline constexpr Duration kArmAgainAfter = std::chrono::seconds{10};

// The window as kept in RUN-DIR/window.
struct KeptWindow {
  Bits128 boot_id;
  Duration t_f{};
  Ladder::Kept ladder;
  // What the watchdog was asked for, at most; W was published for that. Zero: none was opened.
  Duration timeout{};
  bool disarmed{false};  // by a keeper that left: the watchdog resets nobody
};
std::string encode_window(const KeptWindow& window);
// nullopt: malformed, or another boot's.
std::optional<KeptWindow> decode_window(const std::string& text, const Bits128& boot_id);

class Lease {
 public:
  Lease(const Options& options, const Bits128& boot_id, disk::Completions& completions);

  // The volume says how long the window is. False where that differs from a lease that is held.
  bool begin(Duration t_f);
  // The heartbeat submitted at `submitted` is acknowledged.
  void acknowledged(Instant submitted, Instant now);
  // A heartbeat that names these as not asked for grants is about to be submitted.
  void submitted(Instant at, std::vector<HostId> unasked);
  // A moment for the daemon to ask the others with, where that is due.
  std::optional<Instant> stamp(Instant now);
  // They have granted; ride.hpp.
  void extend(Instant stamp, const std::vector<HostId>& unasked, Instant now);
  void read_back(bool good, Instant issued);
  // The slot says `left`, acknowledged: no lease stands any more, and no watchdog needs to.
  void leave();
  void tick(Instant now);
  std::optional<Instant> next_deadline(Instant now) const;

  // For the slot. Zeroes: no lease.
  struct Published {
    std::uint32_t w_ms{0};
    std::uint64_t fingerprint{0};
  };
  Published published(Instant now);
  wire::RightsMessage rights(Instant now);
  // What an operator has to know, and to do; empty: nothing.
  std::vector<wire::KeeperTrouble> troubles() const;
  // The window has ended for this boot. The keeper then neither beats nor ends by itself: where
  // nobody keeps the descriptor, its end would feed the watchdog once more.
  bool ended() const { return ladder_ && ladder_->state() == LeaseState::ended; }

 private:
  void resume(Instant now);
  void arm(Instant now);
  Result<std::unique_ptr<port::Watchdog>> open_watchdog();
  void finish_leaving(Duration timeout);
  Result<Duration> worst_of(const port::WatchdogFacts& facts) const;
  void take(std::unique_ptr<port::Watchdog> watchdog, bool fresh);
  void keep();
  void tell(Rung rung);
  void kill(Instant now);

  const Options& options_;
  Bits128 boot_id_;
  disk::Completions& completions_;
  disk::Lane killer_{"kill-guests", 1, 1};
  std::optional<Ladder> ladder_;
  std::optional<Ride> ride_;
  // Both live until the process ends: the feeding thread uses them.
  port::Watchdog* watchdog_{nullptr};
  Feeder* feeder_{nullptr};
  // The descriptor that a supervisor kept over this keeper's start.
  std::optional<int> held_;
  Duration timeout_{};             // that the lease stands on, and not the configuration's
  std::optional<Duration> worst_;  // W, measured
  Instant arm_again_;
  std::uint64_t told_failures_{0};
  Rung told_rung_{Rung::no_window};
  bool killing_{false};
  bool on_grants_{false};
  LastingTrouble arm_trouble_, keep_trouble_, feed_trouble_;
};

}  // namespace wardom::keeper
