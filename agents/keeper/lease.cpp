#include "agents/keeper/lease.hpp"

#include <algorithm>
#include <sstream>

#include "agents/keeper/drain.hpp"
#include "agents/keeper/identity.hpp"
#include "agents/keeper/run_versions.hpp"
#include "libha/disk/block_io.hpp"
#include "libha/proc/process.hpp"
#include "libha/proc/replace_file.hpp"
#include "libha/watchdog/descriptor_store.hpp"
#include "libha/watchdog/lab_watchdog.hpp"
#include "libha/watchdog/linux_watchdog.hpp"
#include "libha/watchdog/measurement.hpp"
#include "libha/watchdog/suspend.hpp"

namespace wardom::keeper {
namespace {

using disk::raw_now;

std::string ms_text(Duration d) { return std::to_string(whole_ms(d)) + " ms"; }

}  // namespace

std::string encode_window(const KeptWindow& w) {
  std::ostringstream text;
  text << kWindowLine << '\n'
       << to_uuid(w.boot_id) << ' ' << w.t_f.count() << ' '
       << w.ladder.submitted.since_boot.count() << ' '
       << w.ladder.granted.since_boot.count() << ' ' << w.ladder.lease << ' '
       << w.ladder.killing << ' ' << w.ladder.ended << ' ' << w.ladder.released << ' '
       << w.timeout.count() << ' '
       << w.disarmed << ' ' << w.ladder.rests << " end\n";
  return text.str();
}

std::optional<KeptWindow> decode_window(const std::string& text, const Bits128& boot_id) {
  std::istringstream in(text);
  std::string first, boot, end;
  std::int64_t t_f = 0, submitted = 0, granted = 0, timeout = 0;
  KeptWindow w;
  if (!std::getline(in, first) || first != kWindowLine) return std::nullopt;
  if (!(in >> boot >> t_f >> submitted >> granted >> w.ladder.lease >> w.ladder.killing >>
        w.ladder.ended >> w.ladder.released >> timeout >> w.disarmed >> w.ladder.rests >> end))
    return std::nullopt;
  const auto bits = parse_bits(boot);
  if (!bits || *bits != boot_id || t_f <= 0 || submitted < 0 || granted < 0 || timeout < 0 ||
      end != "end")
    return std::nullopt;
  w.boot_id = *bits;
  w.t_f = Duration{t_f};
  w.ladder.submitted = Instant{Duration{submitted}};
  w.ladder.granted = Instant{Duration{granted}};
  w.timeout = Duration{timeout};
  return w;
}

Lease::Lease(const Options& options, const Bits128& boot_id, disk::Completions& completions)
    : options_(options),
      boot_id_(boot_id),
      completions_(completions),
      held_(watchdog::kept_descriptor(kKeptWatchdog)) {
  resume(raw_now());
}

// A keeper that comes back in time goes on feeding before it has the volume again: its
// predecessor's window still runs. One that comes too late, or cannot say when the window ends,
// never feeds.
//
// The watchdog keeps the timeout that the lease was published with. A longer one would let this
// host live beyond what others have read in its slot, until they have read a new one; a shorter one
// would take from it, unasked, the time that it counts on.
void Lease::resume(Instant now) {
  const auto text = proc::read_file(options_.run_dir + "/window");
  auto kept = (text ? decode_window(*text, boot_id_) : std::nullopt).value_or(KeptWindow{});
  // One without the other is none: then the guests are looked for anew.
  if (const auto released = load_released(options_.run_dir, boot_id_); released && released.value())
    released_ = released.value();
  kept.ladder.released = kept.ladder.released && released_;
  if (!kept.ladder.lease && kept.disarmed && held_) return finish_leaving(kept.timeout);
  if (!kept.ladder.lease && !held_) return;
  if (!kept.ladder.lease) {
    ladder_.emplace(std::chrono::seconds{1});
    ladder_->hold_lease();
    ladder_->lapse();
    return log(Severity::error, "a watchdog is armed, but " + options_.run_dir +
                                    "/window does not say until when it may be fed: it is not fed "
                                    "and resets this host");
  }
  ladder_.emplace(kept.t_f);
  ladder_->resume(kept.ladder, now);
  rest_kept_ = kept.ladder.rests;
  const auto own = load_incarnation(options_.run_dir, boot_id_);
  stays_up_ = options_.stay_up && own && own->stays_up;
  if (ladder_->kept().killing && !ladder_->released())
    lingers_ = "an earlier keeper has begun to kill the guests, and what it saw is not known";
  timeout_ = kept.timeout;
  if (ladder_->rung(now) == Rung::ended) return;
  auto opened = open_watchdog();
  if (!opened) {
    ladder_->lapse();
    return log(Severity::error, "the watchdog of the running lease cannot be had again: " +
                                    opened.error().message);
  }
  take(std::move(opened).value(), false);
}

bool Lease::begin(Duration t_f, Duration late, const Incarnation& incarnation, bool stays_up) {
  late_ = late;
  stays_up_ = stays_up;
  t_f_ = t_f;
  if (ladder_ && ladder_->rests()) {
    ladder_->set_window(t_f);
    ride_.reset();
  }
  // Of a lease that has come to its end nothing is published any more, see published().
  if (ladder_ && ladder_->has_lease() && ladder_->window() != t_f && !ladder_->kept().killing)
    return ended();
  if (!ladder_ || !ladder_->has_lease()) ladder_.emplace(t_f);
  // Whatever became of the window: nothing is started under an incarnation that is over.
  if (released_ == incarnation && !ladder_->released()) ladder_->release(raw_now());
  if (ladder_->released() && released_ != incarnation) {
    ladder_->renew();
    *std::exchange(cancelled_, std::make_shared<std::atomic<bool>>(false)) = true;
    look_at_.reset();
    lingers_.clear();
    ride_.reset();  // what the old one has noted and named is over with it
  }
  if (!ride_) ride_.emplace(options_.ride_out, t_f);
  return true;
}

void Lease::submitted(Instant at, std::vector<HostId> unasked) {
  if (ride_) ride_->submitted(at, std::move(unasked));
}

std::optional<Instant> Lease::stamp(Instant now) {
  const auto from = ladder_ && ride_ && ride_->takes_part() ? ladder_->asks_from() : std::nullopt;
  if (!from || now < ride_->due(*from)) return std::nullopt;
  return ride_->stamp(now);
}

// Kept first, as with a heartbeat.
void Lease::extend(Instant stamp, const std::vector<HostId>& unasked, Instant now) {
  if (!ride_ || !ride_->allows(stamp, unasked) || !ladder_->extend_by_grants(stamp, now)) return;
  if (!std::exchange(on_grants_, true))
    log(Severity::warning, "no heartbeat is acknowledged, and the other hosts grant: lives on "
                           "beyond its window, keeps its guests, starts none");
  keep();
  if (feeder_ != nullptr && !feeder_->extend(ladder_->feed_until())) ladder_->lapse();
}

void Lease::acknowledged(Instant submitted, Instant now, bool may_begin) {
  if (ride_) ride_->acknowledged(submitted);
  const bool anew = ladder_ && ladder_->renewed();
  if (anew) ladder_->set_window(t_f_);
  if (!ladder_ || !ladder_->extend(submitted, now)) return;
  if (anew) {
    on_grants_ = false;
    killing_ = false;
    look_at_.reset();
    told_left_.clear();
    log(Severity::notice, "goes on under a new incarnation, with no guest");
  }
  if (std::exchange(on_grants_, false))
    log(Severity::notice, "heartbeats are acknowledged again: the window rests on them");
  // Kept first: a successor then never feeds longer than this, and never less by more than a beat.
  if (ladder_->has_lease()) keep();
  if (feeder_ != nullptr && !feeder_->extend(ladder_->feed_until())) ladder_->lapse();
  if (may_begin && feeder_ == nullptr && options_.watchdog_device && now >= arm_again_ &&
      ladder_->rung(now) == Rung::full)
    arm(now);
}

void Lease::read_back(bool good, Instant issued) {
  if (ladder_) ladder_->read_back(good, issued);
}

// Kept last: a keeper that starts in between takes the rungs, and rests again with its own slot.
void Lease::rest(Instant now) {
  if (!ladder_ || ladder_->rests() || !ladder_->rest(now)) return;
  rest_kept_ = true;
  keep();
  on_grants_ = false;
  log(Severity::notice, "the lease rests while the volume is held: guests run on, and this host's "
                        "silence proves nothing");
  if (feeder_ != nullptr && !feeder_->extend(ladder_->feed_until())) ladder_->lapse();
}

void Lease::wake(Instant now) {
  if (ladder_) ladder_->wake(now);
}

// The run directory says so first. A keeper that is killed in the midst of it leaves a successor
// that goes on leaving, and not one that feeds a watchdog which the next close would stop.
void Lease::leave() {
  if (!ladder_ || !ladder_->has_lease()) return;
  if (feeder_ != nullptr) feeder_->stop(Lapse::left);
  ladder_->release_lease();
  const auto keep_left = [&](bool disarmed) {
    return proc::replace_file(
        options_.run_dir + "/window",
        encode_window({boot_id_, ladder_->window(), ladder_->kept(), timeout_, disarmed}));
  };
  if (auto kept = keep_left(true); !kept)
    return log(Severity::error,
               kept.error().message + ": the watchdog stays armed, and resets this host");
  const auto disarmed = watchdog_ == nullptr ? success() : watchdog_->disarm();
  if (!disarmed) {
    log(Severity::error, "the watchdog cannot be disarmed, and resets this host: " +
                             disarmed.error().message);
    if (auto kept = keep_left(false); !kept) log(Severity::error, kept.error().message);
    return;
  }
  if (watchdog_ == nullptr || watchdog_->facts().lab) return;
  if (auto forgotten = watchdog::forget_descriptor(kKeptWatchdog); !forgotten)
    log(Severity::error,
        forgotten.error().message + ": the watchdog stays open there, and resets this host");
}

// An earlier keeper left, and its supervisor still has the watchdog, unfed. The slot has said
// `left` since; what was to disarm it may have been lost.
void Lease::finish_leaving(Duration timeout) {
  log(Severity::notice, "this host has left, and its watchdog is still open: disarms it");
  auto device = watchdog::LinuxWatchdog::adopt(*held_, "kept open", timeout);
  auto done = device ? device.value()->disarm() : Result<void>(device.error());
  if (done) done = watchdog::forget_descriptor(kKeptWatchdog);
  held_.reset();
  if (!done)
    log(Severity::error, "the watchdog cannot be disarmed, and resets this host: " +
                             done.error().message);
}

// --- the watchdog

// With the timeout that the lease stands on.
Result<std::unique_ptr<port::Watchdog>> Lease::open_watchdog() {
  if (!options_.watchdog_device && !held_)
    return failure("watchdog.device is not configured any more");
  const auto device = options_.watchdog_device.value_or("that is not configured any more");
  if (options_.watchdog_lab) {
    auto lab = watchdog::LabWatchdog::open(device, timeout_);
    if (!lab) return lab.error();
    return std::unique_ptr<port::Watchdog>(std::move(lab).value());
  }
  if (!held_ && !watchdog::has_descriptor_store())
    return failure("nobody keeps the watchdog open when this keeper ends, which would feed it: "
                   "run it under systemd with FileDescriptorStoreMax=1");
  auto real = held_ ? watchdog::LinuxWatchdog::adopt(*held_, device, timeout_)
                    : watchdog::LinuxWatchdog::open(device, timeout_);
  if (!real) return real.error();
  return std::unique_ptr<port::Watchdog>(std::move(real).value());
}

Result<Duration> Lease::worst_of(const port::WatchdogFacts& facts) const {
  if (facts.lab) return facts.timeout + watchdog::kLabLateness;
  auto measured = watchdog::load_measurement(options_.measurement);
  if (!measured) return measured.error();
  if (measured.value().fingerprint != facts.fingerprint)
    return failure(options_.measurement + ": was measured with another driver, BIOS, kernel or "
                   "timeout; measure again (`wardomctl host measure-watchdog`)");
  // A chip that was seen to reset early may take its whole time once.
  return std::max(measured.value().worst, facts.timeout);
}

// Only right after an acknowledged heartbeat, so well inside the window. The run directory says
// that there is a lease before the device is opened.
void Lease::arm(Instant now) {
  arm_again_ = now + kArmAgainAfter;
  if (!options_.watchdog_lab) {
    // Not even opened without a measurement: nothing would be gained by the risk of a reset.
    if (auto measured = watchdog::load_measurement(options_.measurement); !measured)
      return arm_trouble_.present("no lease is published, so only a power-off or a reboot can "
                                  "prove this host dead: " + measured.error().message, now);
  }
  if (!options_.watchdog_lab && !watchdog::suspend_is_excluded())
    return arm_trouble_.present("no lease is published: this machine can be put to sleep, which "
                                "stops its watchdog: `systemctl mask sleep.target`", now);
  timeout_ = options_.watchdog_timeout;
  ladder_->hold_lease();
  keep();
  auto opened = open_watchdog();
  auto worst = opened ? worst_of(opened.value()->facts()) : Result<Duration>(Duration{});
  if (opened && !worst && opened.value()->disarm()) opened = failure(worst.error().message);
  if (!opened) {
    ladder_->release_lease();
    keep();
    return arm_trouble_.present("no lease is published: " + opened.error().message, now);
  }
  arm_trouble_.gone("the watchdog can be used");
  take(std::move(opened).value(), true);
}

void Lease::take(std::unique_ptr<port::Watchdog> watchdog, bool fresh) {
  watchdog_ = watchdog.release();
  const auto& facts = watchdog_->facts();
  if (auto worst = worst_of(facts))
    worst_ = worst.value();
  else
    log(Severity::error, "this watchdog cannot be disarmed, so this host lives by its window, but "
                         "no lease is published: " + worst.error().message);
  if (facts.lab || held_) {
    // Nothing to hand over.
  } else if (auto kept = watchdog::keep_descriptor(kKeptWatchdog, watchdog_->descriptor()); !kept) {
    log(Severity::error, kept.error().message + ": no lease is published");
    worst_.reset();
  }
  feeder_ = new Feeder(*watchdog_);
  std::string warning;
  if (auto started = feeder_->start(ladder_->feed_until(), warning); !started) {
    ladder_->lapse();
    return log(Severity::error, started.error().message);
  }
  if (!warning.empty()) log(Severity::warning, warning);
  log(Severity::notice, std::string(fresh ? "feeds" : "goes on feeding") + " the watchdog \"" +
                            facts.driver + "\" (timeout " + ms_text(facts.timeout) + ", W " +
                            (worst_ ? ms_text(*worst_) : "not measured") +
                            (facts.nowayout ? ", nowayout" : "") + ")");
  if (facts.lab)
    log(Severity::warning, "this is the lab's watchdog: it protects no real guest");
  if (!facts.lab && facts.driver.find("Software") != std::string::npos)
    log(Severity::warning, "softdog is part of the kernel that it watches: a hung kernel is not "
                           "reset by it; use a hardware watchdog");
}

// --- time

void Lease::tick(Instant now, bool lists_guests) {
  lists_guests_ = lists_guests;
  if (!ladder_) return;
  if (feeder_ != nullptr && feeder_->lapse() != Lapse::none && !ended()) {
    ladder_->lapse();
    log(Severity::error, std::string("the lease has ended: ") + to_text(feeder_->lapse()));
  }
  if (feeder_ != nullptr && feeder_->failures() != told_failures_) {
    told_failures_ = feeder_->failures();
    feed_trouble_.present("the watchdog's driver refuses to be fed", now);
  }
  ladder_->stay_up(now);
  if (feeder_ != nullptr && !ended() &&
      (ladder_->quiet_since() || ladder_->released() || ladder_->rests()) &&
      !feeder_->extend(ladder_->feed_until()))
    ladder_->lapse();
  if (const auto rung = ladder_->rung(now); rung != told_rung_) {
    told_rung_ = rung;
    if (ladder_->has_lease()) keep();
    if (rung == Rung::ended && feeder_ != nullptr) feeder_->stop(Lapse::window_ended);
    tell(rung);
    if (rung == Rung::killing || rung == Rung::ended) kill(now);
  }
  if (look_at_ && now >= *look_at_ && !looking_ && !ladder_->renewed()) look(now);
}

void Lease::lapse(const std::string& why) {
  if (!ladder_ || ended()) return;
  log(Severity::error, why + ": the watchdog resets this host");
  ladder_->lapse();
}

void Lease::tell(Rung rung) {
  switch (rung) {
    case Rung::no_window:
    case Rung::rests: break;
    case Rung::full: log(Severity::info, "the lease is good"); break;
    case Rung::no_starts:
      log(Severity::warning, "no heartbeat was acknowledged for T_F/2: no guest is started here");
      break;
    case Rung::killing:
      log(Severity::error, "no heartbeat was acknowledged for 3/4 T_F: kills the protected guests");
      break;
    case Rung::ended:
      log(Severity::error, "the feed window has ended: the watchdog is not fed any more in this "
                           "boot, and resets this host");
      break;
  }
}

void Lease::kill(Instant now) {
  if (killing_) return;
  killing_ = true;
  look(now);
}

// Kills what there is, and sees whether anything is left.
void Lease::look(Instant now) {
  look_at_.reset();
  // At the window's end the hardware takes over; a window that lapsed leaves the watchdog's time.
  const auto until = std::max(ladder_->feed_until(), now + options_.watchdog_timeout);
  KillRules rules;
  rules.strict = stays_up_ || ladder_->released();
  rules.lab = options_.watchdog_lab;
  rules.expects_list = lists_guests_;
  // In the lab a host is a network namespace, and the keeper is in it.
  if (rules.lab) rules.host = "self";
  auto work = [this, list = options_.run_dir + "/" + wire::kGuestListName, until, begun = now,
               volume = options_.volume_path, rules, cancelled = cancelled_,
               // What was queued when it was released was waited for.
               drains = stays_up_ && !ladder_->released()]() mutable {
    rules.cancelled = cancelled.get();
    const auto report = kill_guests(list, until, raw_now, "/proc", "/sys/fs/cgroup", rules);
    const auto left =
        drains && report.gone ? undrained(volume, rules.host) : std::string();
    completions_.post([this, report, left, begun, cancelled] {
      if (*cancelled)
        looking_ = false;  // a new incarnation has begun
      else
        looked(report, left, begun, raw_now());
    });
  };
  looking_ = killer_.submit(std::move(work));
  if (!looking_) log(Severity::error, "no thread for killing guests");
}

void Lease::looked(const KillReport& report, const std::string& left, Instant begun, Instant now) {
  looking_ = false;
  if (!killing_) return;  // a new incarnation has begun
  // What one look has seen holds for all later ones: the process is gone, and what it began is not.
  if (lingers_.empty()) lingers_ = report.lingers;
  const std::string why = !lingers_.empty() && stays_up_ && !ladder_->released() ? lingers_ : left;
  const std::string found = "protected guests: " + std::to_string(report.listed) + " listed, " +
                            std::to_string(report.killed) + " processes killed, " +
                            std::to_string(report.remaining) + " still there" +
                            (report.open > 0 ? ", " + std::to_string(report.open) +
                                                   " starts not settled"
                                             : "") +
                            (why.empty() ? "" : "; " + why);
  if (found != told_left_) {
    if (!report.trouble.empty()) log(Severity::error, report.trouble);
    log(report.gone && why.empty() ? Severity::notice : Severity::error, found);
    told_left_ = found;
  }
  if (!stays_up_ && !ladder_->released()) return;  // the hardware has the word
  const bool none = report.gone && why.empty();
  if (!none || report.killed > 0) {
    may_release_ = false;
    if (ladder_->released())
      log(Severity::error, "a protected guest was started under an incarnation that is released: "
                           "the watchdog resets this host");
    ladder_->disturbed(now);
  }
  const bool fresh = !ladder_->quiet_since();
  if (!none || ladder_->released() || !ladder_->quiet(now)) {
    if (!ended()) look_at_ = now + (none ? kLookEvery : Duration{kKillAgainEvery});
    return;
  }
  if (fresh) log(Severity::notice, "no protected guest is left here: this host stays up");
  look_at_ = now + kLookEvery;
  if (!late_) return;
  const auto due = *ladder_->quiet_since() + counted_by_clock(*late_);
  may_release_ = begun >= due;
  if (now < due) look_at_ = std::min(*look_at_, due);
}

void Lease::released(const Incarnation& incarnation, Instant now) {
  released_ = incarnation;
  may_release_ = false;
  ladder_->release(now);
  keep();
  log(Severity::notice, "incarnation " + to_text(incarnation) + " is released: it holds no guest, "
                        "and starts none any more");
}

std::optional<Incarnation> Lease::released() const {
  return ladder_ && ladder_->released() ? released_ : std::nullopt;
}

std::optional<Instant> Lease::next_deadline(Instant now) const {
  if (!ladder_) return std::nullopt;
  auto next = ladder_->next_deadline(now);
  const auto asks = ride_ && ride_->takes_part() ? ladder_->asks_from() : std::nullopt;
  if (asks && (!next || ride_->due(*asks) < *next)) next = ride_->due(*asks);
  return look_at_ && !looking_ ? std::min(next.value_or(*look_at_), *look_at_) : next;
}

void Lease::keep() {
  const auto kept = proc::replace_file(
      options_.run_dir + "/window",
      encode_window({boot_id_, ladder_->window(), ladder_->kept(), timeout_, false}));
  if (!kept)
    return keep_trouble_.present(kept.error().message + ": a restarted keeper could not feed on",
                                 raw_now());
  rest_kept_ = ladder_->rests();
  keep_trouble_.gone("the window is kept again");
}

// --- what others see

Lease::Published Lease::published(Instant now) {
  if (rest_kept_ || (t_f_ != Duration{} && ladder_ && ladder_->window() != t_f_)) return {};
  if (feeder_ == nullptr || !worst_ || feeder_->lapse() != Lapse::none) return {};
  // A driver that refuses leaves it open when the host will be reset, and whether at all.
  if (now - feeder_->last_fed() > watchdog_->facts().timeout && feeder_->failures() != 0) return {};
  const auto w = std::chrono::ceil<std::chrono::milliseconds>(*worst_).count();
  return {static_cast<std::uint32_t>(w), watchdog_->facts().fingerprint};
}

wire::RightsMessage Lease::rights(Instant now) {
  if (!ladder_) return {};
  ladder_->rung(now);
  return {ladder_->state(),
          static_cast<std::uint64_t>(ladder_->act_until().since_boot.count()),
          static_cast<std::uint64_t>(ladder_->feed_until().since_boot.count()),
          ladder_->on_grants(), released().value_or(Incarnation{})};
}

std::vector<wire::KeeperTrouble> Lease::troubles() const {
  std::vector<wire::KeeperTrouble> found;
  if (!ladder_ || !ladder_->has_lease() || timeout_ == Duration::zero()) return found;
  const std::string remedy =
      "it counts when this host has left (no guest, wardomd and wardom-keeper stopped) or rebooted";
  if (!options_.watchdog_device)
    found.push_back({"watchdog.device was taken out of wardom.toml, and this host's lease still "
                     "stands on it: it is fed as before", remedy});
  else if (timeout_ != options_.watchdog_timeout)
    found.push_back({"watchdog.timeout is " + ms_text(options_.watchdog_timeout) +
                         " in wardom.toml, and this host's lease stands on " + ms_text(timeout_) +
                         ": the watchdog keeps that", remedy});
  return found;
}

}  // namespace wardom::keeper
