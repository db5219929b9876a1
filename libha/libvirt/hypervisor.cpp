#include "libha/libvirt/hypervisor.hpp"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "libha/libvirt/call_pool.hpp"
#include "libha/libvirt/guest_calls.hpp"
#include "libha/libvirt/limits.hpp"
#include "libha/libvirt/migration_calls.hpp"
#include "libha/libvirt/migrations.hpp"
#include "libha/libvirt/quiet_signals.hpp"
#include "libha/libvirt/session.hpp"
#include "libha/libvirt/states.hpp"
#include "libha/proc/process.hpp"

namespace wardom::libvirt {

using port::Act;
using port::ActDone;
using port::GuestState;
using port::RunState;
using Clock = std::chrono::steady_clock;

class LibvirtHypervisor::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(HypervisorOptions options, port::HypervisorEvents events)
      : options_(std::move(options)), events_(std::move(events)) {}

  void begin() {
    const QuietSignals quiet;
    start_event_loop();
    pool_ = std::make_unique<CallPool>(kWorkers, kStackBytes, kMaxWaitingCalls);
    migrations_ = std::make_shared<Migrations>(
        options_.migration, options_.uri,
        [weak = weak_from_this()] {
          const auto self = weak.lock();
          return self ? self->life() : 0;
        },
        events_.done);
    connector_ = std::thread([this] { keep_connected(); });
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      current_.reset();
    }
    wake_.notify_all();
    connector_.join();
    migrations_->stop();
    pool_.reset();
  }

  using Work = std::function<ActDone(virConnectPtr)>;
  void submit(Act act, Ticket ticket, const GuestId& guest, const std::string& key, Work work);
  void start(Ticket ticket, const GuestId& guest, std::string xml);
  void kill(Ticket ticket, const GuestId& guest);
  Migrations& migrations() { return *migrations_; }

 private:
  struct Early {
    GuestId guest;
    std::string name;
    int event;
    int detail;
  };

  // ---- connecting (connector thread)
  void keep_connected();
  Result<std::shared_ptr<Session>> connect(std::uint64_t number);
  std::string serve(const std::shared_ptr<Session>& session);
  void report_down(const std::string& reason);
  bool pause(std::chrono::milliseconds wait);

  // ---- events (libvirt's event thread)
  SessionEvents session_events(std::uint64_t number);
  void on_lifecycle(std::uint64_t number, Early event);
  void apply(const Early& event);
  void apply_definition(const Early& event);
  void emit(GuestState& state);
  void note_process(GuestState& state) const;
  void on_closed(std::uint64_t number, std::string reason);
  void on_file(const std::string& name);
  void refresh(const GuestId& guest);

  std::shared_ptr<Session> current() {
    const std::lock_guard lock(mutex_);
    return current_;
  }
  std::uint64_t life() {
    const std::lock_guard lock(mutex_);
    return current_ ? number_ : 0;
  }
  std::uint64_t kills_asked(const GuestId& guest) {
    const std::lock_guard lock(mutex_);
    const auto at = kills_.find(guest);
    return at == kills_.end() ? 0 : at->second;
  }

  const HypervisorOptions options_;
  const port::HypervisorEvents events_;

  std::mutex mutex_;  // guards what follows; held only for moments
  std::condition_variable wake_;
  bool stopping_{false};
  std::shared_ptr<Session> current_;   // null: calls are refused
  std::uint64_t number_{0};            // of the session that counts now
  std::optional<std::string> closed_;  // why that session is over
  std::set<GuestId> refreshing_;       // a refresh waits in the pool
  std::map<GuestId, std::uint64_t> kills_;
  std::set<GuestId> starting_;

  std::mutex emit_mutex_;  // guards what follows; held while up, down and changed are handed on
  bool listed_{false};
  std::vector<Early> early_;  // events that came before the listing was handed on
  std::map<GuestId, GuestState> known_;
  LifecycleTable lifecycle_;

  std::unique_ptr<CallPool> pool_;
  std::shared_ptr<Migrations> migrations_;
  std::thread connector_;
};

// ---------------------------------------------------------------- connecting

bool LibvirtHypervisor::Impl::pause(std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, wait, [&] { return stopping_; });
}

void LibvirtHypervisor::Impl::report_down(const std::string& reason) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
  }
  const std::lock_guard lock(emit_mutex_);
  listed_ = false;
  events_.down({reason});
}

void LibvirtHypervisor::Impl::keep_connected() {
  auto back_off = kFirstBackOff;
  bool told = false;  // this outage has been reported
  for (std::uint64_t number = 1;; ++number) {
    const auto began = Clock::now();
    const auto session = connect(number);
    std::string reason;
    if (session.has_value()) {
      told = false;
      reason = serve(session.value());
    } else {
      reason = session.error().message;
    }
    if (!told) report_down(reason);
    told = true;
    // Only a connection that held for a while earns a quick retry.
    if (session.has_value() && Clock::now() - began > kLastBackOff) back_off = kFirstBackOff;
    if (!pause(back_off)) return;
    back_off = std::min(back_off * 2, kLastBackOff);
  }
}

Result<std::shared_ptr<Session>> LibvirtHypervisor::Impl::connect(std::uint64_t number) {
  {
    const std::lock_guard lock(mutex_);
    number_ = number;
    closed_.reset();
  }
  {
    const std::lock_guard lock(emit_mutex_);
    listed_ = false;
    early_.clear();
    lifecycle_.forget();
  }
  auto session = Session::open(options_.uri, options_.definitions_dir, session_events(number));
  if (session.has_error()) return session;
  auto guests = session.value()->list();
  if (guests.has_error()) return failure(guests.error().message);
  for (auto& guest : guests.value()) note_process(guest);
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return failure("stopping");
    current_ = session.value();
  }
  const std::lock_guard lock(emit_mutex_);
  known_.clear();
  for (const auto& guest : guests.value()) known_[guest.guest] = guest;
  events_.up({guests.value()});
  // Some of these are older than the listing; the last one of each guest is not.
  for (const auto& event : std::exchange(early_, {})) apply(event);
  listed_ = true;
  return session;
}

std::string LibvirtHypervisor::Impl::serve(const std::shared_ptr<Session>& session) {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [&] { return stopping_ || closed_.has_value(); });
  if (current_ == session) current_.reset();
  return closed_.value_or("stopping");
}

// ---------------------------------------------------------------- events

SessionEvents LibvirtHypervisor::Impl::session_events(std::uint64_t number) {
  const std::weak_ptr<Impl> weak = weak_from_this();
  SessionEvents events;
  events.lifecycle = [weak, number](const GuestId& guest, const std::string& name, int event,
                                    int detail) {
    if (const auto self = weak.lock()) self->on_lifecycle(number, {guest, name, event, detail});
  };
  events.definition_touched = [weak](const GuestId& guest) {
    if (const auto self = weak.lock()) self->refresh(guest);
  };
  events.file_touched = [weak](const std::string& name) {
    if (const auto self = weak.lock()) self->on_file(name);
  };
  events.closed = [weak, number](std::string reason) {
    if (const auto self = weak.lock()) self->on_closed(number, std::move(reason));
  };
  return events;
}

void LibvirtHypervisor::Impl::on_closed(std::uint64_t number, std::string reason) {
  const std::lock_guard lock(mutex_);
  if (number != number_ || closed_) return;
  closed_ = std::move(reason);
  current_.reset();
  wake_.notify_all();
}

void LibvirtHypervisor::Impl::on_lifecycle(std::uint64_t number, Early event) {
  {
    const std::lock_guard lock(mutex_);
    if (number != number_ || stopping_) return;
  }
  bool flooded = false;
  {
    const std::lock_guard lock(emit_mutex_);
    if (listed_) {
      apply(event);
    } else if (early_.size() < kMaxEarlyEvents) {
      early_.push_back(std::move(event));
    } else {
      flooded = true;
    }
  }
  if (flooded) on_closed(number, "more events than can be kept while the guests are listed");
}

void LibvirtHypervisor::Impl::emit(GuestState& state) {
  note_process(state);
  events_.changed({state});
}

void LibvirtHypervisor::Impl::note_process(GuestState& state) const {
  state.process = is_active(state.state)
                      ? proc::guest_process(options_.pid_dir + "/" + state.name + ".pid")
                      : GuestProcess{};
}

void LibvirtHypervisor::Impl::apply(const Early& event) {
  const auto meaning = lifecycle_.on_event(event.guest, event.event, event.detail);
  if (!meaning) return apply_definition(event);
  const auto [at, fresh] = known_.try_emplace(event.guest);
  GuestState& state = at->second;
  state.guest = event.guest;
  state.name = event.name;
  state.state = meaning->state;
  state.cause = meaning->cause;
  // A guest without a definition is gone when it stops.
  const bool gone = state.state == RunState::shut_off && !state.persistent;
  if (gone) state.state = RunState::absent;
  emit(state);
  if (gone) known_.erase(at);
}

void LibvirtHypervisor::Impl::apply_definition(const Early& event) {
  // A new name comes as UNDEFINED of the old and DEFINED of the new one: nothing was removed.
  if (event.event == VIR_DOMAIN_EVENT_UNDEFINED &&
      event.detail == VIR_DOMAIN_EVENT_UNDEFINED_RENAMED)
    return;
  refresh(event.guest);
  const bool defined = event.event == VIR_DOMAIN_EVENT_DEFINED;
  const auto at = known_.find(event.guest);
  if (at == known_.end()) {
    if (!defined) return;
    GuestState state;
    state.guest = event.guest;
    state.name = event.name;
    state.state = RunState::shut_off;
    state.persistent = true;
    emit(known_[event.guest] = state);
    return;
  }
  GuestState& state = at->second;
  if (state.persistent == defined && state.name == event.name) return;
  state.persistent = defined;
  state.name = event.name;
  const bool gone = !defined && state.state == RunState::shut_off;
  if (gone) state.state = RunState::absent;
  emit(state);
  if (gone) known_.erase(at);
}

// A file of a guest that is not known yet belongs to a DEFINED event.
void LibvirtHypervisor::Impl::on_file(const std::string& name) {
  std::optional<GuestId> guest;
  {
    const std::lock_guard lock(emit_mutex_);
    for (const auto& [id, state] : known_)
      if (state.name == name) guest = id;
  }
  if (guest) refresh(*guest);
}

// Reads the definition in the pool, where it keeps its place among the calls about this guest.
void LibvirtHypervisor::Impl::refresh(const GuestId& guest) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || !refreshing_.insert(guest).second) return;
  }
  const bool taken = pool_->add(to_hex(guest), [this, guest](bool stopping) {
    std::shared_ptr<Session> session;
    {
      const std::lock_guard lock(mutex_);
      refreshing_.erase(guest);  // first: a change from here on asks for another reading
      session = current_;
    }
    if (stopping || !session) return;
    const Definition definition = read_definition(session->calls(), guest);
    if (!definition.known) return;
    {
      const std::lock_guard lock(emit_mutex_);
      const auto at = known_.find(guest);
      if (at != known_.end() && at->second.autostart != definition.autostart) {
        at->second.autostart = definition.autostart;
        emit(at->second);
      }
    }
    events_.defined(definition.now);
  });
  if (taken) return;
  // Nothing may be missed silently: a new connection makes the caller look at everything again.
  std::uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    refreshing_.erase(guest);
    number = number_;
  }
  on_closed(number, "too many calls wait to follow the changes of definitions");
}

// ---------------------------------------------------------------- calls

void LibvirtHypervisor::Impl::submit(Act act, Ticket ticket, const GuestId& guest,
                                     const std::string& key, Work work) {
  const auto answer = [this, act, ticket](ActDone result) {
    result.act = act;
    result.ticket = ticket;
    events_.done(std::move(result));
  };
  const auto refuse = [answer, guest](const char* why) {
    ActDone result;
    result.guest = guest;
    result.error = why;
    answer(std::move(result));
  };
  const auto urgency = act == Act::kill ? Urgency::urgent : Urgency::normal;
  const auto session = current();
  const bool taken = pool_->add(
      key,
      [this, answer, refuse, session, work = std::move(work)](bool stopping) {
        if (!session) return refuse("libvirtd is away; nothing was done");
        if (stopping || current() != session)
          return refuse("the connection to libvirtd broke before the call began; nothing was done");
        answer(work(session->calls()));
      },
      urgency);
  if (!taken) refuse("too many calls to libvirt are waiting; nothing was done");
}

void LibvirtHypervisor::Impl::start(Ticket ticket, const GuestId& guest, std::string xml) {
  const auto latest = Clock::now() + options_.start_within;
  const auto kills = kills_asked(guest);
  const auto refusal = [this, guest, latest, kills]() -> std::optional<std::string> {
    if (Clock::now() > latest) return "the start waited too long and was not made";
    if (kills_asked(guest) != kills) return "the guest is to be killed; the start was not made";
    return std::nullopt;
  };
  submit(Act::start, ticket, guest, to_hex(guest),
         [this, guest, xml = std::move(xml), refusal](virConnectPtr conn) {
           {
             const std::lock_guard lock(mutex_);
             starting_.insert(guest);
           }
           ActDone result = start_guest(conn, guest, xml, refusal);
           const std::lock_guard lock(mutex_);
           starting_.erase(guest);
           return result;
         });
}

void LibvirtHypervisor::Impl::kill(Ticket ticket, const GuestId& guest) {
  bool starting = false;
  std::shared_ptr<Session> session;
  {
    const std::lock_guard lock(mutex_);
    ++kills_[guest];
    starting = starting_.contains(guest);
    session = current_;
  }
  migrations_->call_off(guest);
  // A start can hang for minutes in storage that does not answer, and a call about a guest that is
  // being migrated waits for it. Killing its QEMU ends both; the kill that answers follows in its
  // place behind such a call, and makes sure.
  if ((starting || migrations_->busy(guest)) && session)
    pool_->add(
        to_hex(guest) + "/now",
        [session, guest](bool stopping) {
          if (!stopping) kill_guest(session->calls(), guest);
        },
        Urgency::urgent);
  submit(Act::kill, ticket, guest, to_hex(guest),
         [guest](virConnectPtr conn) { return kill_guest(conn, guest); });
}

// ---------------------------------------------------------------- the port

LibvirtHypervisor::LibvirtHypervisor(HypervisorOptions options, port::HypervisorEvents events)
    : impl_(std::make_shared<Impl>(std::move(options), std::move(events))) {
  impl_->begin();
}
LibvirtHypervisor::~LibvirtHypervisor() { impl_->stop(); }

void LibvirtHypervisor::define(Ticket ticket, GuestId guest, std::string xml) {
  impl_->submit(Act::define, ticket, guest, to_hex(guest),
                [guest, xml = std::move(xml)](virConnectPtr conn) {
                  return define_guest(conn, guest, xml);
                });
}
void LibvirtHypervisor::start(Ticket ticket, GuestId guest, std::string xml) {
  impl_->start(ticket, guest, std::move(xml));
}
void LibvirtHypervisor::shutdown(Ticket ticket, GuestId guest) {
  impl_->submit(Act::shutdown, ticket, guest, to_hex(guest),
                [guest](virConnectPtr conn) { return shut_down_guest(conn, guest); });
}
void LibvirtHypervisor::kill(Ticket ticket, GuestId guest) { impl_->kill(ticket, guest); }
void LibvirtHypervisor::undefine(Ticket ticket, GuestId guest) {
  impl_->submit(Act::undefine, ticket, guest, to_hex(guest),
                [guest](virConnectPtr conn) { return undefine_guest(conn, guest); });
}
void LibvirtHypervisor::describe(Ticket ticket, std::string name_or_uuid) {
  const auto bits = parse_bits(name_or_uuid);
  const std::string key = bits ? to_hex(*bits) : "name/" + name_or_uuid;
  impl_->submit(Act::describe, ticket, GuestId{bits.value_or(Bits128{})}, key,
                [name_or_uuid](virConnectPtr conn) { return describe_guest(conn, name_or_uuid); });
}
void LibvirtHypervisor::mark(Ticket ticket, GuestId guest, Generation generation) {
  impl_->submit(Act::mark, ticket, guest, to_hex(guest),
                [guest, generation](virConnectPtr conn) {
                  return mark_guest(conn, guest, generation);
                });
}
void LibvirtHypervisor::unmark(Ticket ticket, GuestId guest) {
  impl_->submit(Act::unmark, ticket, guest, to_hex(guest),
                [guest](virConnectPtr conn) { return unmark_guest(conn, guest); });
}
void LibvirtHypervisor::migrate(Ticket ticket, GuestId guest, HostId to) {
  impl_->migrations().migrate(ticket, guest, to);
}
void LibvirtHypervisor::abort_migration(Ticket ticket, GuestId guest) {
  impl_->migrations().abort(ticket, guest);
}
void LibvirtHypervisor::resume(Ticket ticket, GuestId guest) {
  impl_->submit(Act::resume, ticket, guest, to_hex(guest),
                [guest](virConnectPtr conn) { return resume_guest(conn, guest); });
}

}  // namespace wardom::libvirt
