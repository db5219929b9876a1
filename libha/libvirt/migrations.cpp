#include "libha/libvirt/migrations.hpp"

#include <chrono>
#include <utility>

#include "libha/libvirt/limits.hpp"

namespace wardom::libvirt {

using port::Act;
using port::ActDone;
using Clock = std::chrono::steady_clock;

namespace {

ActDone not_done(const GuestId& guest, std::string why) {
  ActDone answer;
  answer.guest = guest;
  answer.error = std::move(why);
  return answer;
}

}  // namespace

Migrations::Migrations(MigrationOptions options, std::string uri,
                       std::function<std::uint64_t()> life, std::function<void(ActDone)> done)
    : options_(std::move(options)),
      uri_(std::move(uri)),
      life_(std::move(life)),
      done_(std::move(done)),
      outgoing_(std::make_shared<JobLane>(options_.most, kMaxWaitingMigrations)),
      ends_(std::make_shared<JobLane>(kMigrationEnds, kMaxWaitingMigrations)) {}

void Migrations::stop() {
  outgoing_->end();
  ends_->end();
  std::unique_lock lock(mutex_);
  stopped_ = true;
  wake_.notify_all();
  wake_.wait(lock, [&] { return answering_ == 0; });
}

void Migrations::answer(ActDone done) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    ++answering_;
  }
  done_(std::move(done));
  const std::lock_guard lock(mutex_);
  --answering_;
  wake_.notify_all();
}

// False: there is no time left to wait, since this object ends.
bool Migrations::pause() {
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, kMigrationEndAsked, [&] { return stopped_; });
}

ActDone Migrations::carry_out(const GuestId& guest, std::uint64_t life, const Work& work) const {
  const Connect own(virConnectOpen(uri_.c_str()));
  if (!own) return not_done(guest, "cannot connect to " + uri_ + ": " + last_fault().text);
  if (virConnectSetKeepAlive(own.get(), kKeepAliveSeconds, kKeepAliveCount) < 0 &&
      last_fault().code != VIR_ERR_NO_SUPPORT)
    return not_done(guest, "cannot watch the connection to " + uri_ + ": " + last_fault().text);
  if (life_() != life)
    return not_done(guest, "the connection to libvirtd broke before it began; nothing was done");
  return work(own.get());
}

void Migrations::submit(const std::shared_ptr<JobLane>& lane, Act act, Ticket ticket,
                        const GuestId& guest, Work work) {
  const auto tell = [self = shared_from_this(), act, ticket](ActDone done) {
    done.act = act;
    done.ticket = ticket;
    self->answer(std::move(done));
  };
  const auto life = life_();
  if (life == 0) return tell(not_done(guest, "libvirtd is away; nothing was done"));
  const bool taken = lane->add(guest, [self = shared_from_this(), tell, guest, life,
                                       work = std::move(work)](bool now) {
    tell(now ? self->carry_out(guest, life, work)
             : not_done(guest, "it was called off before it began; nothing was done"));
  });
  if (!taken) tell(not_done(guest, "too many migrations are waiting; nothing was done"));
}

void Migrations::migrate(Ticket ticket, const GuestId& guest, HostId to) {
  const auto way = options_.ways.find(to);
  if (way == options_.ways.end()) {
    ActDone refusal = not_done(guest, "wardom.toml has no [migration] for that host");
    refusal.act = Act::migrate;
    refusal.ticket = ticket;
    return answer(std::move(refusal));
  }
  submit(outgoing_, Act::migrate, ticket, guest, [guest, way = way->second](virConnectPtr conn) {
    return migrate_guest(conn, guest, way);
  });
}

void Migrations::abort(Ticket ticket, const GuestId& guest) {
  outgoing_->drop(guest);
  submit(ends_, Act::abort_migration, ticket, guest,
         [self = shared_from_this(), guest](virConnectPtr conn) {
           const auto latest = Clock::now() + kMigrationEndsWithin;
           return abort_migration(
               conn, guest, [&] { return self->busy(guest); },
               [&] { return self->pause() && Clock::now() < latest; });
         });
}

}  // namespace wardom::libvirt
