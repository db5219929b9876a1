#include "libha/ipmi/ipmi_power.hpp"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include "libha/ipmi/bmc_session.hpp"

namespace wardom {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// FreeIPMI puts several buffers of IPMI_MAX_PAYLOAD_LENGTH (64 KiB) on the stack at a time
// (assemble_ipmi_rmcpplus_pkt): 256 KiB overflow under a sanitizer. Virtual, so more costs nothing.
constexpr std::size_t kThreadStackBytes = 1024 * 1024;
// A signal that arrives just before the thread enters poll(2) has no effect, so it is repeated.
constexpr milliseconds kInterruptAgain{20};
constexpr milliseconds kCloseLimit{500};
constexpr milliseconds kSessionTimeoutMin{200};
constexpr milliseconds kSessionTimeoutMax{30'000};

int interrupt_signal() { return SIGRTMIN + 3; }
void on_interrupt(int) {}

void install_interrupt() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_handler = on_interrupt;  // no SA_RESTART: the call must fail
    sigemptyset(&action.sa_mask);
    sigaction(interrupt_signal(), &action, nullptr);
  });
}

enum class Want : std::uint8_t { read, power_down, power_up };

struct Request {
  Ticket ticket;
  HostId host;
  Want want{Want::read};
  Clock::time_point limit;  // the BMC is not bothered after this
};

// One answer, ready to be handed out: what the request was and how it ended.
struct Answer {
  Request request;
  port::PowerState state{port::PowerState::unknown};
  bool accepted{false};
  std::string error{};
};

pthread_t start_thread(void* (*body)(void*), void* argument) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kThreadStackBytes);
  sigset_t all, before;
  sigfillset(&all);
  sigdelset(&all, interrupt_signal());
  pthread_sigmask(SIG_SETMASK, &all, &before);  // the new thread inherits this mask
  pthread_t thread{};
  const int error = pthread_create(&thread, &attributes, body, argument);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (error != 0) std::abort();  // no thread, no fencing: better no daemon than half of one
  return thread;
}

}  // namespace

class IpmiPower::Impl {
 public:
  Impl(IpmiOptions options, port::PowerEvents events);
  ~Impl();
  void submit(Ticket ticket, HostId host, Want want);
  std::uint64_t sessions_opened(HostId host) const;

 private:
  // A BMC, its session and its thread. Fields below `shared` belong to mutex_, the others to the
  // worker's own thread; `access` never changes.
  struct Worker {
    Impl* owner{nullptr};
    BmcAccess access;
    std::unique_ptr<BmcSession> session;
    std::vector<std::unique_ptr<BmcSession>> spent;  // of no use any more, to be closed
    Clock::time_point tend_at;  // when the idle session wants attention
    milliseconds reopen_after{kPowerReopenMin};
    milliseconds hold_for{kPowerHoldMin};
    Clock::time_point held_until;
    std::string held_because;
    std::atomic<std::uint64_t> opened{0};
    // shared
    pthread_t thread{};
    std::condition_variable wake;
    std::deque<Request> waiting;
    std::optional<Request> current;  // in hand and not answered yet
    std::optional<Clock::time_point> cut_at;  // a FreeIPMI call is under way until then

    ~Worker() { explicit_bzero(access.password.data(), access.password.size()); }
  };

  // While it lives, the supervisor cuts the worker's FreeIPMI call short at the given time.
  class Cut {
   public:
    Cut(Impl& owner, Worker& worker, Clock::time_point at) : owner_(owner), worker_(worker) {
      const std::lock_guard lock(owner_.mutex_);
      const auto soon = Clock::now() + kCloseLimit;
      worker_.cut_at = owner_.stopping_ ? std::min(at, soon) : at;
      owner_.supervise_.notify_one();
    }
    ~Cut() {
      const std::lock_guard lock(owner_.mutex_);
      worker_.cut_at.reset();
    }
    Cut(const Cut&) = delete;
    Cut& operator=(const Cut&) = delete;

   private:
    Impl& owner_;
    Worker& worker_;
  };

  void run(Worker& worker);
  Answer serve(Worker& worker, const Request& request);
  bool attempt(Worker& worker, const Request& request, Clock::time_point until, Answer* answer);
  bool open_session(Worker& worker, Clock::time_point until, std::string* error);
  void tend(Worker& worker);
  static void drop_session(Worker& worker);
  void close_spent(Worker& worker);
  void supervise();
  Clock::time_point look_after(Worker& worker, Clock::time_point now, std::vector<Answer>* late);
  void deliver(const Answer& answer);

  IpmiOptions options_;
  const port::PowerEvents events_;
  std::mutex mutex_;
  std::condition_variable supervise_;
  std::vector<std::unique_ptr<Worker>> workers_;  // fixed after construction
  std::vector<Answer> refused_;                   // waiting for the supervisor to hand them out
  bool stopping_{false};
  bool workers_ended_{false};
  pthread_t supervisor_{};
};

IpmiPower::Impl::Impl(IpmiOptions options, port::PowerEvents events)
    : options_(std::move(options)), events_(std::move(events)) {
  for (auto& access : std::exchange(options_.bmcs, {})) {
    auto worker = std::make_unique<Worker>();
    worker->owner = this;
    worker->access = std::move(access);
    worker->tend_at = Clock::now();
    workers_.push_back(std::move(worker));
  }
  const std::lock_guard lock(mutex_);  // until every thread's id is in its place
  supervisor_ = start_thread(
      [](void* self) -> void* {
        static_cast<Impl*>(self)->supervise();
        return nullptr;
      },
      this);
  for (auto& worker : workers_)
    worker->thread = start_thread(
        [](void* self) -> void* {
          auto& mine = *static_cast<Worker*>(self);
          mine.owner->run(mine);
          return nullptr;
        },
        worker.get());
}

IpmiPower::Impl::~Impl() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (auto& worker : workers_) {
      if (worker->cut_at) worker->cut_at = Clock::now();
      worker->wake.notify_one();
    }
    supervise_.notify_one();
  }
  for (auto& worker : workers_) pthread_join(worker->thread, nullptr);
  {
    const std::lock_guard lock(mutex_);
    workers_ended_ = true;
    supervise_.notify_one();
  }
  pthread_join(supervisor_, nullptr);
}

void IpmiPower::Impl::submit(Ticket ticket, HostId host, Want want) {
  const Request request{ticket, host, want, Clock::now() + options_.session_timeout};
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(workers_.begin(), workers_.end(),
                                  [&](const auto& worker) { return worker->access.host == host; });
  if (found == workers_.end() || (*found)->waiting.size() >= kMaxPowerQueue) {
    Answer answer{request};
    answer.error = found == workers_.end() ? "no BMC is configured for this host"
                                           : "too many requests wait for this BMC";
    refused_.push_back(std::move(answer));
  } else {
    (*found)->waiting.push_back(request);
    (*found)->wake.notify_one();
  }
  supervise_.notify_one();
}

std::uint64_t IpmiPower::Impl::sessions_opened(HostId host) const {
  for (const auto& worker : workers_)
    if (worker->access.host == host) return worker->opened;
  return 0;
}

void IpmiPower::Impl::run(Worker& worker) {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (!worker.waiting.empty()) {
      const Request request = worker.waiting.front();
      worker.waiting.pop_front();
      worker.current = request;
      lock.unlock();
      const Answer answer = serve(worker, request);
      lock.lock();
      const bool mine = worker.current.has_value();  // else the supervisor was first
      worker.current.reset();
      lock.unlock();
      if (mine) deliver(answer);
      close_spent(worker);
      lock.lock();
    } else if (Clock::now() >= worker.tend_at) {
      lock.unlock();
      tend(worker);
      lock.lock();
    } else {
      worker.wake.wait_until(lock, worker.tend_at);
    }
  }
  lock.unlock();
  drop_session(worker);
  close_spent(worker);
}

// Makes the request over the standing session, if there is one; if that gives nothing, once more
// over a new one.
Answer IpmiPower::Impl::serve(Worker& worker, const Request& request) {
  Answer answer{request};
  if (worker.session) {
    const auto patience = Clock::now() + options_.session_timeout / 2;
    if (attempt(worker, request, std::min(patience, request.limit), &answer)) return answer;
  }
  if (!open_session(worker, request.limit, &answer.error)) return answer;
  attempt(worker, request, request.limit, &answer);
  return answer;
}

// true: the BMC answered, if only to refuse. false: the session is of no use and was dropped.
bool IpmiPower::Impl::attempt(Worker& worker, const Request& request, Clock::time_point until,
                              Answer* answer) {
  if (Clock::now() >= request.limit) {
    answer->error = "no time was left to ask the BMC";
    return true;
  }
  BmcFailure failure;
  bool answered = false;
  {
    const Cut cut(*this, worker, until);
    if (request.want == Want::read) {
      answer->state = worker.session->read(&failure);
      answered = answer->state != port::PowerState::unknown;
    } else {
      auto& session = *worker.session;
      answered = answer->accepted = request.want == Want::power_down
                                        ? session.power_down(&failure)
                                        : session.power_up(&failure);
    }
  }
  worker.tend_at = Clock::now() + options_.keep_alive;
  answer->error = answered ? std::string() : failure.message;
  if (answered || failure.kind == BmcFailure::Kind::refused) return true;
  drop_session(worker);
  return false;
}

bool IpmiPower::Impl::open_session(Worker& worker, Clock::time_point until, std::string* error) {
  const auto now = Clock::now();
  if (now < worker.held_until) {
    const auto left = std::chrono::ceil<std::chrono::seconds>(worker.held_until - now);
    *error = worker.held_because + "; left alone for " + std::to_string(left.count()) + " s more";
    return false;
  }
  if (now >= until) {
    *error = "no time was left to open a session with the BMC";
    return false;
  }
  BmcFailure failure;
  {
    const Cut cut(*this, worker, until);
    // Idle time counts as silence (bmc_session.hpp), so the longest idle time is added.
    const SessionTimes times{options_.keep_alive + 2 * options_.session_timeout,
                             options_.retransmission};
    worker.session = BmcSession::open(worker.access, times, &failure);
  }
  if (worker.session) {
    ++worker.opened;
    worker.reopen_after = kPowerReopenMin;
    worker.hold_for = kPowerHoldMin;
    worker.tend_at = Clock::now() + options_.keep_alive;
    return true;
  }
  *error = failure.message;
  if (failure.kind == BmcFailure::Kind::credentials) {
    worker.held_because = failure.message;
    worker.held_until = Clock::now() + worker.hold_for;
    worker.hold_for = std::min(2 * worker.hold_for, kPowerHoldMax);
  }
  worker.tend_at = std::max(Clock::now() + worker.reopen_after, worker.held_until);
  worker.reopen_after = std::min(2 * worker.reopen_after, kPowerReopenMax);
  return false;
}

// While nobody asks: keeps the session known to the BMC, or opens one, so that the request that
// matters finds it standing.
void IpmiPower::Impl::tend(Worker& worker) {
  const auto until = Clock::now() + options_.session_timeout / 2;
  std::string error;
  if (!worker.session) {
    open_session(worker, until, &error);
  } else {
    Answer unasked;
    unasked.request.limit = until;
    attempt(worker, unasked.request, until, &unasked);
    if (!worker.session) worker.tend_at = Clock::now();  // open another at once
  }
  close_spent(worker);
}

void IpmiPower::Impl::drop_session(Worker& worker) {
  if (worker.session) worker.spent.push_back(std::move(worker.session));
}

// Ending a session waits for the BMC's word, up to one retransmission time, so it comes after the
// answer that somebody waits for.
void IpmiPower::Impl::close_spent(Worker& worker) {
  while (!worker.spent.empty()) {
    const Cut cut(*this, worker, Clock::now() + kCloseLimit);
    worker.spent.pop_back();
  }
}

// The thread that keeps the promise about time: cuts calls short and answers for workers that do
// not come back.
void IpmiPower::Impl::supervise() {
  std::unique_lock lock(mutex_);
  while (true) {
    const auto now = Clock::now();
    auto next = Clock::time_point::max();
    std::vector<Answer> answers = std::exchange(refused_, {});
    for (auto& worker : workers_) next = std::min(next, look_after(*worker, now, &answers));
    if (!answers.empty()) {
      lock.unlock();
      for (const auto& answer : answers) deliver(answer);
      lock.lock();
      continue;
    }
    if (workers_ended_) return;
    if (next == Clock::time_point::max())
      supervise_.wait(lock);
    else
      supervise_.wait_until(lock, next);
  }
}

// With mutex_ held. Returns when this worker wants to be looked after again.
Clock::time_point IpmiPower::Impl::look_after(Worker& worker, Clock::time_point now,
                                              std::vector<Answer>* late) {
  auto next = Clock::time_point::max();
  const auto overdue = [&](const Request& request) {
    const auto at = request.limit + kPowerAnswerSlack;
    if (now < at && !workers_ended_) {
      next = std::min(next, at);
      return false;
    }
    Answer answer{request};
    answer.error = workers_ended_ ? "the power adapter was stopped" : "no answer in time";
    late->push_back(std::move(answer));
    return true;
  };
  if (worker.current && overdue(*worker.current)) worker.current.reset();
  while (!worker.waiting.empty() && overdue(worker.waiting.front())) worker.waiting.pop_front();
  if (worker.cut_at) {
    const bool due = now >= *worker.cut_at;
    if (due) pthread_kill(worker.thread, interrupt_signal());
    next = std::min(next, due ? now + kInterruptAgain : *worker.cut_at);
  }
  return next;
}

void IpmiPower::Impl::deliver(const Answer& answer) {
  const Request& request = answer.request;
  if (request.want == Want::read)
    events_.reading({request.ticket, request.host, answer.state, answer.error});
  else
    events_.off_sent({request.ticket, request.host, answer.accepted, answer.error});
}

Result<std::unique_ptr<IpmiPower>> IpmiPower::create(IpmiOptions options,
                                                     port::PowerEvents events) {
  if (options.session_timeout < kSessionTimeoutMin || options.session_timeout > kSessionTimeoutMax)
    return failure("the BMC session timeout must be between 200 ms and 30 s");
  if (options.retransmission <= milliseconds{0} ||
      2 * options.retransmission >= options.session_timeout)
    return failure("the BMC retransmission time must be less than half of the session timeout");
  if (options.keep_alive < milliseconds{1000} || options.keep_alive > kPowerKeepAliveMax)
    return failure("the BMC keep-alive time must be between 1 s and 50 s");
  std::vector<HostId> seen;
  for (const auto& bmc : options.bmcs) {
    auto checked = check(bmc);
    if (!checked) return failure(checked.error().message);
    if (std::find(seen.begin(), seen.end(), bmc.host) != seen.end())
      return failure("host " + std::to_string(bmc.host.value) + " has two BMCs");
    seen.push_back(bmc.host);
  }
  auto ready = BmcSession::initialise();
  if (!ready) return failure(ready.error().message);
  install_interrupt();
  return std::unique_ptr<IpmiPower>(
      new IpmiPower(std::make_unique<Impl>(std::move(options), std::move(events))));
}

IpmiPower::IpmiPower(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
IpmiPower::~IpmiPower() = default;
void IpmiPower::ask(Ticket ticket, HostId host) { impl_->submit(ticket, host, Want::read); }
void IpmiPower::power_off(Ticket ticket, HostId host) {
  impl_->submit(ticket, host, Want::power_down);
}
void IpmiPower::power_on(Ticket ticket, HostId host) {
  impl_->submit(ticket, host, Want::power_up);
}
std::uint64_t IpmiPower::sessions_opened(HostId host) const {
  return impl_->sessions_opened(host);
}

}  // namespace wardom
