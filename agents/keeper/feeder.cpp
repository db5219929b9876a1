#include "agents/keeper/feeder.hpp"

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace wardom::keeper {
namespace {

Duration read(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return std::chrono::seconds{now.tv_sec} + std::chrono::nanoseconds{now.tv_nsec};
}
Instant raw() { return Instant{read(CLOCK_MONOTONIC_RAW)}; }

// A tenth of the timeout: several feeds may fail before the host is lost by that.
Duration pause_of(const port::Watchdog& watchdog) {
  return std::min(watchdog.facts().timeout / 10, kFeedEveryMost);
}

}  // namespace

const char* to_text(Lapse lapse) {
  switch (lapse) {
    case Lapse::none: return "it is fed";
    case Lapse::window_ended: return "no heartbeat was acknowledged within T_F";
    case Lapse::stalled: return "the feeding thread was held up for longer than G while feeding";
    case Lapse::left: return "this host has left its domain";
    case Lapse::suspended: return "the machine was suspended, and its watchdog with it";
  }
  return "?";
}

bool was_suspended(const Clocks& before, const Clocks& now) {
  const auto by_raw = now.raw - before.raw;
  return now.boot - before.boot > by_raw + by_raw * kSlewPercent / 100 + kSuspendJump;
}

Result<void> Feeder::start(Instant feed_until, std::string& warning) {
  feed_until_ = feed_until.since_boot.count();
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kFeederStackBytes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
  pthread_attr_setschedpolicy(&attributes, SCHED_RR);
  const sched_param priority{kFeederPriority};
  pthread_attr_setschedparam(&attributes, &priority);
  int error = pthread_create(&thread_, &attributes, &Feeder::serve, this);
  if (error == EPERM) {
    warning = "the feeding thread may not run in real time (CAP_SYS_NICE, and under cgroup v1 "
              "cpu.rt_runtime_us): a busy host may be reset";
    pthread_attr_setinheritsched(&attributes, PTHREAD_INHERIT_SCHED);
    error = pthread_create(&thread_, &attributes, &Feeder::serve, this);
  }
  pthread_attr_destroy(&attributes);
  if (error != 0) return failure(std::string("no thread to feed the watchdog: ") +
                                 std::strerror(error));
  pthread_setname_np(thread_, "watchdog");
  return success();
}

// The end is moved first and looked at afterwards: had it come before the move, or while this
// thread was held up around it, the window has ended, whatever the feeder has seen meanwhile.
bool Feeder::extend(Instant feed_until) {
  const Instant old{Duration{feed_until_.load()}};
  if (lapse_ != Lapse::none) return false;
  if (feed_until > old) feed_until_ = feed_until.since_boot.count();
  if (raw() < old) return true;
  stop(Lapse::window_ended);
  return false;
}

void Feeder::stop(Lapse why) {
  auto none = Lapse::none;
  lapse_.compare_exchange_strong(none, why);  // the first reason stays
}

void* Feeder::serve(void* raw_self) {
  auto* const self = static_cast<Feeder*>(raw_self);
  const auto pause = pause_of(self->watchdog_);
  const timespec nap{static_cast<time_t>(pause / std::chrono::seconds{1}),
                     static_cast<long>((pause % std::chrono::seconds{1}).count())};
  Clocks before{raw(), read(CLOCK_BOOTTIME)};
  while (self->lapse_.load() == Lapse::none) {
    self->cycle(before);
    ::clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, nullptr);
  }
  return nullptr;
}

void Feeder::cycle(Clocks& before) {
  const Clocks now{raw(), read(CLOCK_BOOTTIME)};
  if (was_suspended(before, now)) return stop(Lapse::suspended);
  before = now;
  // Read anew just before the call, and again after it: what lies between the two is the only time
  // by which a feed can come too late.
  const auto ahead = raw();
  if (ahead.since_boot.count() >= feed_until_.load()) return stop(Lapse::window_ended);
  if (lapse_.load() != Lapse::none) return;
  const bool fed = watchdog_.feed();
  const auto after = raw();
  if (fed)
    last_fed_ = ahead.since_boot.count();
  else
    ++failures_;
  if (after - ahead > kClockGranularity) stop(Lapse::stalled);
}

}  // namespace wardom::keeper
