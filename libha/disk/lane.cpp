#include "libha/disk/lane.hpp"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include "libha/core/check.hpp"

namespace wardom::disk {

// A worker may post after the loop is gone: it finds `open` false and its task is dropped.
struct Completions::State {
  std::mutex mutex;
  std::deque<std::function<void()>> tasks;
  int fd{-1};
  bool open{true};
};

Completions::Completions() : state_(std::make_shared<State>()) {
  fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  WARDOM_CHECK(fd_ >= 0);
  state_->fd = fd_;
}

Completions::~Completions() {
  const std::lock_guard lock(state_->mutex);
  state_->open = false;
  state_->tasks.clear();
  ::close(fd_);
}

void Completions::post(std::function<void()> task) {
  const auto state = state_;
  const std::lock_guard lock(state->mutex);
  if (!state->open) return;
  state->tasks.push_back(std::move(task));
  const std::uint64_t one = 1;
  // Fails only when the counter is full; then it is readable anyway.
  [[maybe_unused]] const auto put = ::write(state->fd, &one, sizeof one);
}

void Completions::run() {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = ::read(fd_, &count, sizeof count);
  std::deque<std::function<void()>> tasks;
  {
    const std::lock_guard lock(state_->mutex);
    tasks.swap(state_->tasks);
  }
  for (auto& task : tasks) task();
}

struct Lane::State {
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<std::function<void()>> queue;
  std::string name;
  unsigned most{1};
  unsigned threads{0};
  unsigned idle{0};
  std::size_t limit{0};
  bool stop{false};

  static void* serve(void* raw) {
    const std::unique_ptr<std::shared_ptr<State>> handed(static_cast<std::shared_ptr<State>*>(raw));
    const std::shared_ptr<State> self = *handed;
    std::unique_lock lock(self->mutex);
    while (true) {
      ++self->idle;
      self->wake.wait(lock, [&] { return self->stop || !self->queue.empty(); });
      --self->idle;
      if (self->stop) return nullptr;
      auto work = std::move(self->queue.front());
      self->queue.pop_front();
      lock.unlock();
      work();
      work = nullptr;
      lock.lock();
    }
  }
};

Lane::Lane(std::string name, unsigned most, std::size_t queue_limit)
    : state_(std::make_shared<State>()) {
  state_->name = std::move(name);
  state_->most = most;
  state_->limit = queue_limit;
}

Lane::~Lane() {
  const std::lock_guard lock(state_->mutex);
  state_->stop = true;
  state_->queue.clear();
  state_->wake.notify_all();
}

bool Lane::submit(std::function<void()> work) {
  const std::lock_guard lock(state_->mutex);
  if (state_->queue.size() >= state_->limit) return false;
  state_->queue.push_back(std::move(work));
  if (state_->idle >= state_->queue.size() || state_->threads >= state_->most) {
    state_->wake.notify_one();
    return true;
  }
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kLaneStackBytes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  auto handed = std::make_unique<std::shared_ptr<State>>(state_);
  pthread_t thread{};
  const int error = pthread_create(&thread, &attributes, &State::serve, handed.get());
  pthread_attr_destroy(&attributes);
  if (error != 0) {
    if (state_->threads > 0) return true;  // the others will come to it
    state_->queue.pop_back();
    return false;
  }
  handed.release();
  pthread_setname_np(thread, state_->name.substr(0, 15).c_str());
  ++state_->threads;
  return true;
}

}  // namespace wardom::disk
