#include "agents/keeper/keeper.hpp"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "libha/core/check.hpp"
#include "libha/core/timing.hpp"
#include "libha/wire/guest_list.hpp"
#include "libha/wire/slot.hpp"

namespace wardom::keeper {

using disk::raw_now;

namespace {
constexpr Duration kRunDirLook = std::chrono::seconds{1};

std::string emptied(const std::string& run_dir) {
  return run_dir + " was emptied under the running wardom-keeper: one that starts anew is refused, "
                   "and then this host is reset";
}
}  // namespace

Keeper::Running::Running(const Joined& joined, const Options& options, const Identity& identity,
                         disk::Completions& completions, Instant before,
                         const std::map<Cell, Sequence>& used)
    : in_flight(options.run_dir + "/" + disk::kInFlightName, identity.boot_id,
                joined.volume->geometry().volume_uuid, joined.in_flight,
                before + counted_by_clock(
                             std::chrono::milliseconds{joined.volume->geometry().l_late_ms})),
      store(*joined.volume, options.self, joined.incarnation, completions,
            std::chrono::milliseconds{joined.volume->geometry().t_f_ms} / 4, &in_flight),
      incarnation(joined.incarnation),
      level(joined.level),
      patience(std::chrono::milliseconds{joined.volume->geometry().t_f_ms} / 4),
      pulse(2 * patience) {
  store.set_domain(options.domain);
  const auto recover = [&](const Cell& cell, const disk::CellExtents& extents) {
    const auto highest = used.find(cell);
    store.recover(cell, extents, highest == used.end() ? Sequence{} : highest->second);
  };
  recover(wire::slot_cell(options.self), joined.slot);
  recover(wire::ballot_cell(joined.volume->geometry(), options.domain, options.self),
          joined.ballot);
  recover(wire::decision_cell(options.self), joined.decision);
  recover(wire::table_cell(options.self), joined.table);
  for (const auto& extent : joined.slot.twins) found = std::max(found, extent.head.sequence);
  state = joined.volume->state();
  fresh = !joined.goes_on;
  next_beat = raw_now();
  next_read_back = next_beat + patience;
}

Keeper::Keeper(Options options, Identity identity)
    : options_(std::move(options)),
      identity_(identity),
      lease_(options_, identity_.boot_id, completions_),
      server_({[this](const wire::Hello& h, std::int32_t pid) { return hello(h, pid); },
               [this](Session s, wire::DaemonMessage m) { take(s, std::move(m)); },
               [this](Session s) {
                 tell_rights(s);
                 tell_troubles(s);
               },
               [this](Session) {
                 view_ = {};
                 renew_.reset();
                 daemon_.gone(raw_now());
               }}),
      daemon_({}),
      guests_(options_.run_dir + "/" + wire::kGuestListName) {
  if (!guests_.trouble().empty())
    log(Severity::error, guests_.trouble() + "; every start of an earlier wardomd counts as open");
  if (const auto kept = load_daemon(options_.run_dir, identity_.boot_id)) {
    daemon_ = DaemonLife({kept->epoch, kept->run});
    kept_daemon_ = daemon_.record();
    if (kept->run != 0) daemon_process_ = PeerProcess::open(kept->pid, kept->start_time);
    daemon_.begin(raw_now());
    keep_daemon();
  }
}

int Keeper::run() {
  open_signals();
  if (auto ok = server_.listen(options_.socket); !ok) {
    log(Severity::error, ok.error().message);
    return 1;
  }
  next_join_ = raw_now();
  while (!exit_code_) {
    wait(next_deadline());
    tick(raw_now());
  }
  stop_ = true;
  server_.stop();
  return *exit_code_;
}

void Keeper::open_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGTERM, SIGINT}) sigaddset(&set, number);
  // Before the first thread starts, so that all threads have them blocked.
  WARDOM_CHECK(::pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
  signals_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  WARDOM_CHECK(signals_ >= 0);
}

void Keeper::wait(Instant until) {
  std::vector<pollfd> fds{{signals_, POLLIN, 0}, {completions_.fd(), POLLIN, 0}};
  server_.add_to(fds);
  const auto left =
      std::clamp(until - raw_now(), Duration::zero(), Duration{std::chrono::hours{1}});
  const timespec timeout{static_cast<time_t>(left / std::chrono::seconds{1}),
                         static_cast<long>((left % std::chrono::seconds{1}).count())};
  if (::ppoll(fds.data(), fds.size(), &timeout, nullptr) <= 0) return;
  if (fds[0].revents != 0) take_signal();
  if (fds[1].revents != 0) completions_.run();
  server_.handle(fds, raw_now());
}

void Keeper::take_signal() {
  signalfd_siginfo info{};
  [[maybe_unused]] const auto got = ::read(signals_, &info, sizeof info);
  // Its end could close the watchdog, and closing feeds: the hardware has the word now.
  if (lease_.ended())
    return log(Severity::error, "does not stop: the feed window has ended, the watchdog resets "
                                "this host");
  if (leaving_until_) return;
  if (may_leave()) {
    log(Severity::notice, "stopped by a signal; this host has no guest, and leaves");
    leaving_until_ = raw_now() + running_->patience;
    running_->next_beat = raw_now();
    return;
  }
  log(Severity::notice, "stopped by a signal; the slot stays as it is, guests are not touched");
  exit_code_ = 0;
}

// No guest, no start, no claim of this host: nothing depends on its lease. A claim of a daemon that
// is gone counts until its epoch is.
bool Keeper::may_leave() const {
  return running_ && !held() && !running_->contested_until &&
         running_->acknowledged != Sequence{} && !lease_.released() && !server_.session() &&
         !daemon_.owes_an_epoch() &&
         guests_.guests().empty() &&
         guests_.trouble().empty() && own_writes_settled();
}

Instant Keeper::next_deadline() const {
  Instant next = Instant::never();
  const auto consider = [&next](std::optional<Instant> at) {
    if (at && *at < next) next = *at;
  };
  consider(server_.next_deadline());
  for (const auto& read : open_reads_) consider(read.deadline);
  consider(lease_.next_deadline(raw_now()));
  consider(leaving_until_);
  if (running_) {
    if (renew_) {
      if (!lease_.ended()) consider(renew_);
    } else {
      consider(running_->next_beat);
      consider(running_->ask_at);
      consider(running_->next_read_back);
    }
    consider(running_->contested_until);
    consider(running_->store.next_deadline());
    if (const auto due = running_->store.next_due(); due && !running_->settling)
      consider(std::max(*due, running_->next_settle));
    consider(daemon_.next_deadline(4 * running_->patience, raw_now()));
  } else if (!joining_) {
    consider(next_join_);
  }
  return next;
}

void Keeper::look_at_run_dir(Instant now) {
  if (!running_ || now < next_run_dir_look_) return;
  next_run_dir_look_ = now + kRunDirLook;
  const bool before =
      std::exchange(run_dir_emptied_, !load_incarnation(options_.run_dir, identity_.boot_id));
  if (run_dir_emptied_ && !before) log(Severity::error, emptied(options_.run_dir));
}

void Keeper::tick(Instant now) {
  log_lines().flush();
  look_at_run_dir(now);
  server_.tick(now);
  expire_reads(now);
  lease_.tick(now, !guests_.guests().empty());
  if (lease_.may_release()) record_release(now);
  if (leaving_until_ && now >= *leaving_until_) exit_code_ = 0;
  if (const auto session = server_.session(); session && lease_.rights(now) != told_rights_)
    tell_rights(*session);
  if (const auto stamp = lease_.stamp(now); stamp && server_.session())
    server_.send(*server_.session(),
                 wire::AskStampMessage{static_cast<std::uint64_t>(stamp->since_boot.count())});
  if (const auto session = server_.session(); session && troubles() != told_troubles_)
    tell_troubles(*session);
  if (!running_) {
    if (!joining_ && now >= next_join_) begin_join(now);
    return;
  }
  running_->store.tick(now);
  if (running_->contested_until && now >= *running_->contested_until) exit_code_ = 1;
  settle_doubts(now);
  watch_daemon(now);
  if (reopen_if_due(now)) return;
  if (renew_ && begin_new_incarnation(now)) return;
  if (renew_) {  // what is under way is waited for
    if (now >= *renew_) lease_.lapse("its own I/O does not end, so no new incarnation can begin");
    return;
  }
  if (running_->reopen) return;  // nothing new is begun
  if (now >= running_->next_read_back) read_back(now);
  ask_if_open(now);
  if (now >= running_->next_beat) beat(now);
}

// In the run directory first: from then on it holds for every keeper and daemon of this boot.
void Keeper::record_release(Instant now) {
  const auto kept = load_incarnation(options_.run_dir, identity_.boot_id);
  const auto saved = kept ? save_released(options_.run_dir, identity_.boot_id, kept->incarnation)
                          : failure(options_.run_dir + "/incarnation cannot be read");
  if (!saved)
    return release_trouble_.present(saved.error().message + ": that this host holds no guest any "
                                    "more cannot be recorded, so it is not said", now);
  release_trouble_.gone("that this host holds no guest is recorded");
  lease_.released(kept->incarnation, now);
  if (running_) running_->next_beat = now;
}

// This incarnation is released.
bool Keeper::over() const { return running_ && lease_.released() == running_->incarnation; }

// Its daemon has given up every guest on the volume. The number that follows is drawn and kept; the
// volume is joined with it as by a new boot. False: not yet.
bool Keeper::begin_new_incarnation(Instant now) {
  Running& r = *running_;
  if (!over()) {
    renew_.reset();
    return false;
  }
  if (r.store.in_flight() || r.read_backs != 0 || r.settling || !open_reads_.empty() ||
      !own_writes_settled())
    return false;
  const auto& uuid = r.store.volume().geometry().volume_uuid;
  const auto saved = save_incarnation(
      options_.run_dir, {identity_.boot_id, uuid, options_.self,
                         {r.incarnation.number + 1, random_bits()}, stays_up_});
  renew_.reset();
  if (!saved) {
    release_trouble_.present(saved.error().message + ": no new incarnation can begin", now);
    return false;
  }
  used_ = r.store.used();
  opened_ = now;
  running_.reset();
  not_running_why_ = "a new incarnation begins";
  server_.drop_daemon(not_running_why_);
  next_join_ = now;
  return true;
}

void Keeper::fatal(const std::string& why) {
  log(Severity::error, why);
  if (!exit_code_) exit_code_ = 1;
}

// --- joining

void Keeper::begin_join(Instant now) {
  next_join_ = now + join_backoff_;
  auto work = [this] {
    auto result = std::make_shared<JoinResult>(join(options_, identity_, stop_));
    completions_.post([this, result] { take(std::move(*result)); });
  };
  if (!joins_.submit(std::move(work))) return retry_join("no thread for joining the volume");
  joining_ = true;
}

void Keeper::take(JoinResult result) {
  joining_ = false;
  if (const auto* refused = std::get_if<JoinRefused>(&result)) return fatal(refused->why);
  if (const auto* later = std::get_if<JoinLater>(&result)) return retry_join(later->why);
  const auto& joined = std::get<Joined>(result);
  const auto& g = joined.volume->geometry();
  // A lease rests if the slot says so: an earlier keeper may have got no further than that.
  if (const auto own = wire::choose(joined.slot.twins[0], joined.slot.twins[1]); own.twin) {
    const auto& extent = joined.slot.twins[own.twin->value];
    const auto slot = wire::decode_slot(extent.payload, extent.head.level);
    if (slot && slot.value().held != 0 && extent.head.incarnation == joined.incarnation)
      lease_.rest(raw_now());
  }
  if (!lease_.begin(std::chrono::milliseconds{g.t_f_ms},
                    std::chrono::milliseconds{g.l_late_ms}, joined.incarnation,
                    joined.stays_up))
    return fatal(options_.volume_path + ": its T_F is another one than that of the lease that this "
                 "host holds; it was formatted or replaced under a living cluster");
  if (!votes_under_) votes_under_ = votes_found(joined.slot, identity_.boot_id);
  if (!daemon_speaks_) daemon_speaks_ = speaks_found(joined.slot, identity_.machine_id);
  stays_up_ = joined.stays_up;
  options_.volume_path = joined.path;
  options_.held_for.reset();
  running_ = std::make_unique<Running>(joined, options_, identity_, completions_, opened_, used_);
  if (!own_writes_settled())
    log(Severity::notice, "earlier writes of this host may still land: wardomd is served when "
                          "L_late has passed since they ended, or since this start");
  if (!held()) lease_.wake(raw_now());
  join_backoff_ = kJoinBackoffMin;
  join_trouble_.gone("the volume can be used again");
  if (told_ && *told_ != ready()) server_.drop_daemon("the volume is another one now");
  log(Severity::notice, "host " + std::to_string(options_.self.value) + " (" + options_.host_name +
                            ") " + joined.how + " on volume " + to_uuid(g.volume_uuid) +
                            " of cluster \"" + g.cluster + "\" at " + options_.volume_path);
  if (held()) take(running_->state);
}

void Keeper::retry_join(const std::string& why) {
  not_running_why_ = why;
  join_trouble_.present(why + "; tries again", raw_now());
  next_join_ = raw_now() + join_backoff_;
  // Where the volume was in use before, the window of a lease runs: what comes late costs guests.
  const bool again = !used_.empty();
  join_backoff_ =
      std::min(join_backoff_ * 2, again ? options_.disk_interval : kJoinBackoffMax);
}

// --- the heartbeat

void Keeper::beat(Instant now) {
  Running& r = *running_;
  // Keeps the rhythm; after a pause it starts a new one instead of catching up.
  r.next_beat = r.next_beat + options_.disk_interval;
  if (r.next_beat <= now) r.next_beat = now + options_.disk_interval;
  // The last moment before a beat is the best one for reading back: a second owner that beats as
  // often has written since our last beat. Reading early, within T_F/4, means that an owner reads
  // at least once before a newcomer's first look: both find out, and both stop.
  if (r.next_beat + options_.disk_interval > r.next_read_back)
    r.next_read_back = std::min(r.next_read_back, r.next_beat - options_.disk_interval / 8);
  const auto cell = wire::slot_cell(options_.self);
  // A host whose lease has ended is silent, whether or not its watchdog does what it should.
  if (lease_.ended()) return;
  if (!leaving_until_ && r.pulse.due(r.store.busy(cell), now) == Pulse::Step::ask) {
    r.overdue = true;
    return look_at_slot();
  }
  r.overdue = false;
  r.pulse.submitted();
  r.ask_at = now + options_.disk_interval / 2;
  Slot slot;
  slot.state = r.acknowledged == Sequence{} ? SlotState::joining : SlotState::up;
  slot.boot_id = identity_.boot_id;
  slot.machine_id = identity_.machine_id;
  slot.dmi_uuid = identity_.dmi_uuid;
  if (over()) slot.state = SlotState::released;
  slot.t_f_ms = r.store.volume().geometry().t_f_ms;
  // A new incarnation's window begins with its first acknowledged heartbeat.
  // Nor does a lease, before it is known that the volume was in use when the slot stood there.
  const bool none = lease_.released() || (r.fresh && !r.may_serve);
  const auto lease = none ? Lease::Published{} : lease_.published(now);
  slot.w_ms = lease.w_ms;
  slot.w_fingerprint = lease.fingerprint;
  slot.daemon_epoch = daemon_.epoch();
  slot.start_listed = guests_.start_open_before(daemon_.epoch());
  slot.daemon_progress = view_.progress;
  slot.votes_under = votes_under_.value_or(LockVersion{});
  slot.sees_mgmt = view_.sees_mgmt;
  slot.sees_storage = view_.sees_storage;
  slot.sees_disk = view_.sees_disk;
  slot.load = view_.load;
  slot.rides_out = options_.ride_out && !over();
  slot.unasked = view_.unasked;
  slot.host_name = options_.host_name;
  const auto submitted = raw_now();
  slot.raw_ns = static_cast<std::uint64_t>(submitted.since_boot.count());
  if (leaving_until_) {
    slot.state = SlotState::left;
    slot.w_ms = 0;
    slot.w_fingerprint = 0;
    r.next_beat = Instant::never();
    return write_slot(slot, [this](const auto& outcome) { left(outcome); });
  }
  if (holds()) hold(slot);
  lease_.submitted(submitted, slot.unasked);
  write_slot(slot, [this, submitted, votes = slot.votes_under, held = slot.held](const auto& done) {
    beaten(done, submitted, votes);
    if (done.acknowledged && held != 0) held_acknowledged(held, raw_now());
  });
}

// In the domain's level, as this host knows it. The head tells what keeper and daemon both speak:
// with another daemon than the last one, that is found out when it connects.
void Keeper::write_slot(const Slot& slot, disk::CellStore::Done done) {
  auto& store = running_->store;
  const auto& spoken = wire::spoken_levels();
  store.set_speaks(common(spoken, daemon_speaks_.value_or(spoken)));
  store.write(beats_, wire::slot_cell(options_.self), wire::encode_slot(slot, running_->level),
              std::move(done), running_->level);
}

void Keeper::beaten(const disk::CellStore::Outcome& outcome, Instant submitted,
                    LockVersion votes) {
  if (!running_) return;
  Running& r = *running_;
  const auto now = raw_now();
  const bool refused = outcome.sequence == Sequence{};  // was not submitted
  if (!refused) r.pulse.ended(outcome.acknowledged, now);
  if (!outcome.acknowledged) {
    beat_trouble_.present("heartbeat not written: " + outcome.error, now);
    if (refused) return;
    if (!r.failing_since) r.failing_since = submitted;
    r.overdue = true;
    return look_at_slot();
  }
  // Unless a later one has ended first: then this one adds nothing.
  if (outcome.sequence > r.acknowledged) {
    r.failing_since.reset();
    const bool first = r.acknowledged == Sequence{};
    r.acknowledged = outcome.sequence;
    if (first) look_at_slot();
    beat_trouble_.gone("heartbeats are written again");
    tell_heartbeat(submitted, votes);
  }
  beat_if_overdue();
}

void Keeper::tell_heartbeat(Instant submitted, LockVersion votes) {
  lease_.acknowledged(submitted, raw_now(), !running_->fresh || running_->may_serve);
  const auto session = server_.session();
  if (!session) return;
  server_.send(*session,
               wire::HeartbeatMessage{running_->acknowledged,
                                      static_cast<std::uint64_t>(submitted.since_boot.count()),
                                      votes});
  tell_rights(*session);
}

void Keeper::ask_if_open(Instant now) {
  Running& r = *running_;
  if (!r.ask_at || now < *r.ask_at) return;
  r.ask_at.reset();
  if (leaving_until_ || !r.store.busy(wire::slot_cell(options_.self))) return;
  r.pulse.open(now);
  look_at_slot();
}

// It has waited for this answer.
void Keeper::beat_if_overdue() {
  if (running_->overdue && !running_->pulse.asks()) beat(raw_now());
}

void Keeper::left(const disk::CellStore::Outcome& outcome) {
  exit_code_ = 0;
  if (!outcome.acknowledged)
    return log(Severity::warning, "could not leave: " + outcome.error);
  lease_.leave();
  log(Severity::notice, "this host has left");
}

void Keeper::read_back(Instant now) {
  Running& r = *running_;
  r.next_read_back = now + r.patience;
  if (r.read_backs == 0 && r.acknowledged != Sequence{}) look_at_slot();
}

void Keeper::look_at_slot() {
  Running& r = *running_;
  if (r.read_backs >= kMaxReadBacks) return;
  const auto issued = raw_now();
  auto work = [this, io = r.store.volume().io(), uuid = r.store.volume().geometry().volume_uuid,
               layout = r.store.volume().layout(), cell = wire::slot_cell(options_.self),
               acknowledged = r.acknowledged, issued] {
    const ReadBack back{disk::read_extents(*io, uuid, layout, cell), disk::read_volume_now(*io),
                        acknowledged, issued};
    completions_.post([this, back] { take(back); });
  };
  if (read_backs_.submit(std::move(work))) ++r.read_backs;
}

void Keeper::take(const ReadBack& back) {
  if (!running_) return;
  Running& r = *running_;
  --r.read_backs;
  const auto& twins = back.slot.twins;
  const bool answered =
      back.volume.answered || std::any_of(twins, twins + 2, [](const auto& extent) {
        return extent.state != wire::ExtentState::unreadable;
      });
  r.pulse.read(answered, back.issued, raw_now());
  judge_read_back(back);
  beat_if_overdue();
}

void Keeper::judge_read_back(const ReadBack& back) {
  Running& r = *running_;
  const auto slot = "slot " + std::to_string(options_.self.value);
  const auto& own = r.store.volume().geometry().volume_uuid;
  // What is not understood is not written over, also where it came under the running keeper.
  const bool other_version = back.volume.unknown_version ||
                             wire::bars_writing(back.slot.twins[0], back.slot.twins[1]);
  if (other_version)
    return fatal(options_.volume_path + ": another version of Wardom has written " +
                 (back.volume.unknown_version ? "its superblock" : slot) +
                 " under the running wardom-keeper; stops writing. Use that version's programs");
  const auto& said = back.volume.said;
  if (said && said->geometry.volume_uuid != own)
    return fatal(options_.volume_path + ": is volume " + to_uuid(said->geometry.volume_uuid) +
                 " now and was " + to_uuid(own) +
                 ": it was formatted or replaced under a living cluster; stops writing");
  const auto choice = wire::choose(back.slot.twins[0], back.slot.twins[1]);
  if (choice.twin) heed_own(back.slot.twins[choice.twin->value]);
  if (back.volume.answered) heed(back.volume, back.acknowledged != Sequence{});
  if (back.acknowledged == Sequence{}) return;  // it was only to be seen whether it is answered
  for (const auto& extent : back.slot.twins) judge_foreign(extent);
  const bool good = choice.twin && !r.contested_until && r.state.use != VolumeUse::moved &&
                    back.slot.twins[choice.twin->value].head.incarnation == r.incarnation &&
                    back.slot.twins[choice.twin->value].head.sequence >= back.acknowledged;
  const auto due = read_back_due(4 * r.patience, back.issued, raw_now(), choice.twin.has_value(),
                                 options_.disk_interval);
  r.next_read_back = std::min(r.next_read_back, held() ? raw_now() + options_.disk_interval : due);
  // A read that fails is none: the next one is still owed. One that shows another word than ours
  // says that our acknowledged writes are not what others read.
  if (good || choice.twin) lease_.read_back(good, back.issued);
  if (!choice.twin)
    return read_back_trouble_.present(
        slot + " cannot be read back: it is " + wire::to_text(choice.state), raw_now());
  const auto newest = back.slot.twins[choice.twin->value].head.sequence;
  if (newest < back.acknowledged)
    return read_back_trouble_.present(
        slot + " reads back older (" + std::to_string(newest.value) +
            ") than its last acknowledged write (" + std::to_string(back.acknowledged.value) +
            "): the storage loses writes or has been rolled back",
        raw_now());
  read_back_trouble_.gone(slot + " reads back as written");
}

// Both extents are looked at, not only the newer one: two owners that beat in step would each find
// its own write on top for ever.
//
// An earlier incarnation's write may be the last one of this machine's previous boot, landing late:
// it counts when it is followed by another.
void Keeper::judge_foreign(const wire::Extent& extent) {
  if (extent.state != wire::ExtentState::valid || extent.head.sequence <= running_->found ||
      extent.head.incarnation == running_->incarnation || running_->contested_until)
    return;
  Running& r = *running_;
  const auto seen = std::exchange(r.stranger, extent.head.sequence);
  const bool earlier = extent.head.incarnation.number < r.incarnation.number;
  if (earlier && (seen == Sequence{} || seen == extent.head.sequence)) return;
  const auto other = wire::decode_slot(extent.payload, extent.head.level);
  const auto id = std::to_string(options_.self.value);
  const auto name = other ? other.value().host_name : std::string("?");
  log(Severity::error, "slot " + id + " changed under its owner: incarnation " +
                           to_text(extent.head.incarnation) + " of \"" + name +
                           "\" writes it too; two machines have host id " + id +
                           ", or one image was cloned with its machine id: give each its own; "
                           "stops");
  server_.drop_daemon("another machine writes this host's slot");
  // Whoever finds out first must not leave the field to the other, who may not know yet: it beats
  // on until the other's next two read-backs have come.
  r.contested_until = raw_now() + 2 * r.patience + 2 * options_.disk_interval;
}

bool Keeper::reopen_if_due(Instant now) {
  Running& r = *running_;
  const bool dead = r.failing_since && now - *r.failing_since >= std::min(kReopenAfter, r.patience);
  if ((!dead && !r.reopen) || r.asking || r.store.in_flight() || r.read_backs != 0 ||
      r.settling || !open_reads_.empty())
    return false;
  log(Severity::notice, "opens the volume anew");
  used_ = r.store.used();
  opened_ = now;
  running_.reset();
  not_running_why_ = "the volume is being opened anew";
  next_join_ = now;
  return true;
}

// L_late after a write has failed, or after this keeper's start for one of an earlier keeper's, it
// has landed or never will. What stands then is read anew: it says which extent holds the newest
// write.
void Keeper::settle_doubts(Instant now) {
  Running& r = *running_;
  if (r.settling || now < r.next_settle) return;
  const auto cells = r.store.due(now);
  if (cells.empty()) return;
  r.next_settle = now + options_.disk_interval;
  const auto issued = raw_now();
  auto work = [this, cells, issued, io = r.store.volume().io(),
               uuid = r.store.volume().geometry().volume_uuid,
               layout = r.store.volume().layout()] {
    std::vector<std::pair<Cell, disk::CellExtents>> read;
    for (const auto& cell : cells)
      read.emplace_back(cell, disk::read_extents(*io, uuid, layout, cell));
    completions_.post([this, issued, read = std::move(read)] { take_settled(read, issued); });
  };
  r.settling = reads_.submit(std::move(work));
}

void Keeper::take_settled(const std::vector<std::pair<Cell, disk::CellExtents>>& read,
                          Instant issued) {
  if (!running_) return;
  running_->settling = false;
  for (const auto& [cell, extents] : read)
    if (!running_->store.settle(cell, extents, issued))
      settle_trouble_.present(wire::to_text(cell) + ": neither extent can be read, so nothing is "
                              "written to it and no new wardomd is served; see `wardomctl volume "
                              "check`", raw_now());
  if (running_->store.next_due()) return;
  settle_trouble_.gone("every cell of this host can be read again");
  log(Severity::notice, "no earlier write of this host can land any more");
}

// --- the daemon

wire::KeeperMessage Keeper::hello(const wire::Hello& hello, std::int32_t pid) {
  if (!running_) return wire::RefusedMessage{"no volume yet: " + not_running_why_};
  if (leaving_until_) return wire::RefusedMessage{"this keeper stops"};
  if (running_->contested_until)
    return wire::RefusedMessage{"another machine writes this host's slot"};
  if (running_->state.use == VolumeUse::moved)
    return wire::RefusedMessage{options_.volume_path + ": was moved without this host"};
  if (held()) return wire::RefusedMessage{options_.volume_path + ": " + held_text(running_->state)};
  if (!running_->may_serve || running_->reopen)
    return wire::RefusedMessage{"no volume yet: the first heartbeat is being written"};
  const auto now = raw_now();
  watch_daemon(now);
  // The new daemon must not read the volume before the last word of the old one stands on it.
  if (!own_writes_settled())
    return wire::RefusedMessage{"an earlier daemon's writes are still in flight"};
  if (!daemon_.greet(hello.run, now))
    return wire::RefusedMessage{"an earlier wardomd (pid " +
                                std::to_string(daemon_process_.pid()) +
                                ") has not ended, and may still act on its last heartbeat"};
  daemon_process_ = PeerProcess::open(pid, std::nullopt);
  view_ = {};
  told_ = ready();
  told_rights_.reset();
  auto answer = *told_;
  answer.listed = guests_.guests();
  return answer;
}

wire::ReadyMessage Keeper::ready() const {
  return {options_.self, running_->incarnation, daemon_.epoch(), {},
          running_->store.volume().geometry(), stays_up_, running_->level};
}

void Keeper::tell_rights(Session session) {
  told_rights_ = lease_.rights(raw_now());
  server_.send(session, *told_rights_);
}

std::vector<wire::KeeperTrouble> Keeper::troubles() const {
  auto found = lease_.troubles();
  if (running_ && !running_->in_flight.trouble().empty())
    found.push_back({running_->in_flight.trouble() +
                         ": a keeper that starts anew waits for L_late, and may lose its lease",
                     "make room in " + options_.run_dir});
  if (options_.volume_path != configured_path_)
    found.push_back({"volume.path in wardom.toml is " + configured_path_ + ", and that volume was "
                         "moved to " + options_.volume_path,
                     "change volume.path on this host while the old volume can still be read"});
  if (running_ && 4 * running_->patience != options_.feed_window)
    found.push_back({"timing.profile in wardom.toml stands for T_F = " +
                         wardom::to_text(options_.feed_window) + ", and the state volume for " +
                         wardom::to_text(4 * running_->patience) +
                         ": no silence proves another host dead here",
                     "make them agree: timing.profile on every host with a restart of wardomd and "
                     "wardom-keeper, or `wardomctl volume profile`"});
  if (run_dir_emptied_)
    found.push_back({emptied(options_.run_dir), "move its guests away, then reboot it"});
  if (auto guests = guests_.for_operator()) found.push_back(std::move(*guests));
  return found;
}

void Keeper::tell_troubles(Session session) {
  told_troubles_ = troubles();
  server_.send(session, wire::TroublesMessage{told_troubles_});
}

bool Keeper::own_writes_settled() const {
  const auto& geometry = running_->store.volume().geometry();
  for (const auto& cell : {wire::ballot_cell(geometry, options_.domain, options_.self),
                           wire::decision_cell(options_.self), wire::table_cell(options_.self)})
    if (!running_->store.settled(cell)) return false;
  return true;
}

void Keeper::watch_daemon(Instant now) {
  const auto t_f = 4 * running_->patience;
  const auto epoch = daemon_.epoch();
  switch (daemon_.tick(now, t_f, {daemon_process_.ended(), own_writes_settled()})) {
    case DaemonLife::Order::none: break;
    case DaemonLife::Order::kill:
      log(Severity::error, "wardomd (pid " + std::to_string(daemon_process_.pid()) +
                               ") has not turned for " +
                               std::to_string(whole_ms(DaemonLife::patience(t_f))) +
                               " ms: it hangs, and is killed");
      daemon_process_.kill();
      // Its exit may hang in the kernel and is not waited for: without this connection it can do
      // nothing on the volume any more.
      server_.drop_daemon("it hung");
      break;
    case DaemonLife::Order::epoch_raised:
      log(Severity::notice, "daemon epoch " + std::to_string(daemon_.epoch().value) +
                                ": what an earlier wardomd held and had not claimed is released");
      running_->next_beat = now;
      break;
  }
  if (daemon_.epoch() != epoch || daemon_.record() != kept_daemon_) keep_daemon();
}

void Keeper::keep_daemon() {
  kept_daemon_ = daemon_.record();
  const auto kept = save_daemon(
      options_.run_dir, {identity_.boot_id, kept_daemon_.epoch, kept_daemon_.run,
                         daemon_process_.pid(), daemon_process_.start_time()});
  // A keeper that could not tell its successor which epochs were used must not go on.
  if (!kept) fatal(kept.error().message);
}

void Keeper::take(Session session, wire::DaemonMessage message) {
  if (auto* publish = std::get_if<wire::PublishRequest>(&message)) {
    daemon_.published(publish->progress, raw_now());
    view_ = *publish;
    if (view_.votes_under) votes_under_ = view_.votes_under;
    daemon_speaks_ = view_.speaks;
    if (wire::spoken_levels().has(view_.level) && view_.level > running_->level) {
      running_->level = view_.level;
      if (told_) told_->level = view_.level;
    }
    if (!over() || view_.yielded != running_->incarnation)
      renew_.reset();
    else if (!renew_ && !lease_.ended())
      renew_ = raw_now() + 4 * running_->patience;
  }
  if (const auto* list = std::get_if<wire::ListStartRequest>(&message)) list_start(session, *list);
  if (const auto* settled = std::get_if<wire::SettleStartRequest>(&message))
    note_list(guests_.settle_start(settled->guest, settled->process));
  if (const auto* extend = std::get_if<wire::ExtendRequest>(&message)) {
    lease_.extend(Instant{Duration{static_cast<std::int64_t>(extend->stamp_ns)}}, extend->unasked,
                  raw_now());
    tell_rights(session);
  }
  if (const auto* unlist = std::get_if<wire::UnlistRequest>(&message))
    note_list(guests_.unlist(unlist->guest));
  if (auto* read = std::get_if<wire::ReadRequest>(&message))
    start_read(session, std::move(*read));
  else if (auto* write = std::get_if<wire::WriteRequest>(&message))
    start_write(session, std::move(*write));
}

// Answered only on the connection of the daemon whose epoch counts now, and only while this host
// may start guests: whatever is started from here on is on the ladder's list.
void Keeper::list_start(Session session, const wire::ListStartRequest& request) {
  const auto answer = [&](bool listed, std::string why) {
    server_.send(session, wire::StartListedMessage{request.ticket, request.guest, listed,
                                                   std::move(why)});
  };
  const auto now = raw_now();
  const auto until = Duration{static_cast<std::int64_t>(lease_.rights(now).act_until_ns)};
  if (now.since_boot >= until)
    return answer(false, "no heartbeat of this host was acknowledged for T_F/2: nothing is "
                         "started here");
  daemon_.wrote();
  if (daemon_.record() != kept_daemon_) keep_daemon();
  const auto listed = guests_.list_start(request.guest, daemon_.epoch());
  note_list(listed);
  answer(listed.has_value(), listed ? "" : listed.error().message);
}

void Keeper::note_list(const Result<void>& kept) {
  if (!kept)
    list_trouble_.present(kept.error().message, raw_now());
  else
    list_trouble_.gone(guests_.path() + " is kept again");
}

namespace {

std::vector<wire::CellView> unreadable(std::span<const Cell> cells, const std::string& why) {
  std::vector<wire::CellView> views(cells.size());
  for (std::size_t i = 0; i < cells.size(); ++i) {
    views[i].cell = cells[i];
    views[i].error = wire::to_text(cells[i]) + ": " + why;
  }
  return views;
}

// How many of the cells to read and answer in one step: as many single blocks as follow one
// another, or one large cell, so that an answer always fits a frame.
std::size_t step_of(std::span<const Cell> cells, const wire::Layout& layout) {
  std::size_t count = 0;
  while (count < cells.size() && layout.blocks(cells[count].region) == 1) ++count;
  return std::max<std::size_t>(count, 1);
}

}  // namespace

void Keeper::start_read(Session session, wire::ReadRequest request) {
  const auto refuse = [&](const std::string& why) {
    server_.send(session, wire::ReadAnswer{request.ticket, true, unreadable(request.cells, why)});
  };
  if (!running_) return refuse("no volume: " + not_running_why_);
  if (request.cells.empty() || open_reads_.size() >= kMaxReads)
    return refuse("too many reads at a time");
  const auto number = ++last_read_;
  auto work = [this, number, io = running_->store.volume().io(), cells = request.cells,
               uuid = running_->store.volume().geometry().volume_uuid,
               layout = running_->store.volume().layout()] {
    std::span<const Cell> left(cells);
    while (!left.empty()) {
      const auto step = step_of(left, layout);
      auto views = disk::read_cells(*io, uuid, layout, left.first(step));
      completions_.post([this, number, views = std::move(views)]() mutable {
        take_read(number, std::move(views));
      });
      left = left.subspan(step);
    }
  };
  if (!reads_.submit(std::move(work))) return refuse("all I/O threads are stuck or busy");
  open_reads_.push_back({session, std::move(request), 0, raw_now() + running_->patience, number});
}

void Keeper::take_read(std::uint64_t number, std::vector<wire::CellView> cells) {
  const auto found = std::find_if(open_reads_.begin(), open_reads_.end(),
                                  [&](const Read& read) { return read.number == number; });
  if (found == open_reads_.end()) return;  // was given up
  found->answered += cells.size();
  const bool last = found->answered == found->request.cells.size();
  server_.send(found->session, wire::ReadAnswer{found->request.ticket, last, std::move(cells)});
  if (last) open_reads_.erase(found);
}

void Keeper::expire_reads(Instant now) {
  std::erase_if(open_reads_, [&](const Read& read) {
    if (now < read.deadline) return false;
    const auto left = std::span(read.request.cells).subspan(read.answered);
    server_.send(read.session, wire::ReadAnswer{read.request.ticket, true,
                                                unreadable(left, "the read does not end")});
    return true;
  });
}

void Keeper::start_write(Session session, wire::WriteRequest request) {
  auto answer = [this, session, ticket = request.ticket,
                 cell = request.cell](const disk::CellStore::Outcome& outcome) {
    server_.send(session, wire::WriteAnswer{ticket, cell, outcome.acknowledged, outcome.sequence,
                                            outcome.error});
  };
  if (!running_) return answer({false, {}, "no volume: " + not_running_why_});
  const auto& geometry = running_->store.volume().geometry();
  const bool own =
      request.cell == wire::ballot_cell(geometry, options_.domain, options_.self) ||
      request.cell == wire::decision_cell(options_.self) ||
      request.cell == wire::table_cell(options_.self);
  if (!own)
    return answer({false, {}, wire::to_text(request.cell) + ": not this host's to write"});
  if (!wire::spoken_levels().has(request.level))
    return answer({false, {}, wire::to_text(request.cell) + ": of format level " +
                                  std::to_string(request.level.value) +
                                  ", which this wardom-keeper does not speak"});
  daemon_.wrote();
  if (daemon_.record() != kept_daemon_) keep_daemon();
  running_->store.write(writes_, request.cell, std::move(request.payload), std::move(answer),
                        request.level);
}

}  // namespace wardom::keeper
