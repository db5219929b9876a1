#include "libha/corosync/adapter_thread.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>

namespace wardom {
namespace {

constexpr std::size_t kThreadStackBytes = 4 * 1024 * 1024;  // virtual

}  // namespace

AdapterThread::AdapterThread() : wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
AdapterThread::~AdapterThread() { ::close(wake_); }

void AdapterThread::start(std::function<void()> body) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kThreadStackBytes);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are the main thread's
  auto run = [this, body = std::move(body)] {
    body();
    const std::lock_guard lock(mutex_);
    ended_ = true;
    ended_changed_.notify_all();
  };
  const int error = pthread_create(
      &thread_, &attributes,
      [](void* argument) -> void* {
        const std::unique_ptr<std::function<void()>> mine(
            static_cast<std::function<void()>*>(argument));
        (*mine)();
        return nullptr;
      },
      new std::function<void()>(std::move(run)));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (error != 0) std::abort();
}

void AdapterThread::stop(std::chrono::milliseconds limit) {
  {
    const std::lock_guard lock(emitting_);
    stopping_ = true;
  }
  wake();
  std::unique_lock lock(mutex_);
  const bool ended = ended_changed_.wait_for(lock, limit, [this] { return ended_; });
  lock.unlock();
  // A corosync that does not run holds its callers for ever, and nothing can wake them.
  if (ended)
    pthread_join(thread_, nullptr);
  else
    pthread_detach(thread_);
}

void AdapterThread::wake() const {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_, &one, sizeof one);  // full is awake enough
}

void AdapterThread::drain_wake() const {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = ::read(wake_, &count, sizeof count);
}

void AdapterThread::sleep_until_woken(std::chrono::milliseconds limit) const {
  pollfd waiting{wake_, POLLIN, 0};
  ::poll(&waiting, 1, static_cast<int>(limit.count()));
  drain_wake();
}

}  // namespace wardom
