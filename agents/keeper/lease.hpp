// This host's lease: the ladder, the watchdog that it rests on, and the thread that feeds it; kept
// in the run directory over restarts of the keeper.
//
// Without a watchdog, or with one whose W nobody has measured, there is no lease: the slot says
// so, and the host's silence proves nothing. Lives on the loop's thread and never waits.
#pragma once

#include <atomic>
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
// Guests that are gone are looked for this often, for as long as that counts.
inline constexpr Duration kLookEvery = std::chrono::seconds{1};
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

  // The volume says how long the window is, and how long a write may be late; and this host is
  // `incarnation` on it. stays_up: it may outlive its lease without a reset. False where the window
  // differs from that of a lease that others count on.
  bool begin(Duration t_f, Duration late, const Incarnation& incarnation, bool stays_up);
  // The heartbeat submitted at `submitted` is acknowledged. may_begin: a lease may be had now.
  void acknowledged(Instant submitted, Instant now, bool may_begin = true);
  // A heartbeat that names these as not asked for grants is about to be submitted.
  void submitted(Instant at, std::vector<HostId> unasked);
  // A moment for the daemon to ask the others with, where that is due.
  std::optional<Instant> stamp(Instant now);
  // They have granted; ride.hpp.
  void extend(Instant stamp, const std::vector<HostId>& unasked, Instant now);
  void read_back(bool good, Instant issued);
  // The slot says, acknowledged, that no lease is published, and why: the window rests. The
  // watchdog is fed on. Once called, it need not be called again.
  void rest(Instant now);
  // What it rested for is over: the next acknowledged heartbeat begins the window anew.
  void wake(Instant now);
  bool rests() const { return ladder_ && ladder_->rests(); }
  // The slot says `left`, acknowledged: no lease stands any more, and no watchdog needs to.
  void leave();
  // lists_guests: guests have been listed, so there must be a list.
  void tick(Instant now, bool lists_guests = false);
  // Staying up has come to nothing: the watchdog is fed no more.
  void lapse(const std::string& why);
  // Killed guests have been quiet for L_late: the incarnation can be recorded as released, which
  // the run directory must say before released() is called and anybody is told.
  bool may_release() const { return may_release_; }
  void released(const Incarnation& incarnation, Instant now);
  // The incarnation that is over, until the first heartbeat of the next one is acknowledged.
  std::optional<Incarnation> released() const;
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
  void look(Instant now);
  void looked(const KillReport& report, const std::string& left, Instant begun, Instant now);

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
  bool on_grants_{false};
  // The run directory may say that it rests. A successor would rely on that: nothing is published.
  bool rest_kept_{false};
  Duration t_f_{};  // of the volume; while guests are being killed the ladder may have another one
  std::optional<Duration> late_;         // L_late; none: the volume has not said yet
  std::optional<Incarnation> released_;  // as the run directory says
  bool may_release_{false};
  bool stays_up_{false};   // else nothing of this is ever looked at
  bool lists_guests_{false};
  std::string lingers_;    // why the host must be reset all the same: true for this incarnation
  // The look that is under way kills nobody once this is set.
  std::shared_ptr<std::atomic<bool>> cancelled_{std::make_shared<std::atomic<bool>>(false)};
  bool killing_{false};    // the guests, with all that belongs to it
  bool looking_{false};    // a look at them is under way
  std::optional<Instant> look_at_;
  std::string told_left_;  // why they do not count as gone
  LastingTrouble arm_trouble_, keep_trouble_, feed_trouble_;
};

}  // namespace wardom::keeper
