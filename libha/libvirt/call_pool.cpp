#include "libha/libvirt/call_pool.hpp"

#include <cstdio>
#include <cstdlib>

namespace wardom::libvirt {

CallPool::CallPool(std::size_t workers, std::size_t stack_bytes, std::size_t max_waiting)
    : max_waiting_(max_waiting) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack_bytes);
  for (std::size_t i = 0; i <= workers; ++i) workers_.push_back({this, i == workers});
  for (auto& worker : workers_) {
    pthread_t thread;
    if (pthread_create(&thread, &attributes, &CallPool::enter, &worker) != 0) {
      // Without its threads the adapter could never answer: a silent daemon would be worse.
      std::fputs("wardom: cannot create a thread for calls to libvirt\n", stderr);
      std::abort();
    }
    pthread_setname_np(thread, "libvirt-call");
    threads_.push_back(thread);
  }
  pthread_attr_destroy(&attributes);
}

CallPool::~CallPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (auto thread : threads_) pthread_join(thread, nullptr);
}

bool CallPool::add(const std::string& key, Job job, Urgency urgency) {
  const std::lock_guard lock(mutex_);
  if (count_ >= max_waiting_ || stopping_) return false;
  ++count_;
  const auto [at, fresh] = waiting_.try_emplace(key);
  at->second.push_back({std::move(job), urgency});
  if (fresh) make_ready(key, urgency);
  return true;
}

// All are woken, since the one that wakes might be the thread that may not take it.
void CallPool::make_ready(const std::string& key, Urgency urgency) {
  (urgency == Urgency::urgent ? urgent_ : ready_).push_back(key);
  wake_.notify_all();
}

bool CallPool::take(bool urgent_only, std::string& key) {
  auto& from = urgent_only || !urgent_.empty() ? urgent_ : ready_;
  if (from.empty()) return false;
  key = std::move(from.front());
  from.pop_front();
  return true;
}

void* CallPool::enter(void* worker) {
  const auto* self = static_cast<Worker*>(worker);
  self->pool->work(self->urgent_only);
  return nullptr;
}

void CallPool::work(bool urgent_only) {
  std::unique_lock lock(mutex_);
  for (;;) {
    std::string key;
    bool taken = false;
    wake_.wait(lock, [&] { return (taken = take(urgent_only && !stopping_, key)) || stopping_; });
    // A key whose job still runs is looked after by the thread that runs it.
    if (!taken) return;
    {
      auto& jobs = waiting_.at(key);
      Job job = std::move(jobs.front().job);
      jobs.pop_front();
      --count_;
      const bool stopping = stopping_;
      lock.unlock();
      job(stopping);
      // The job's own end may close a connection: it must come before the lock.
      job = nullptr;
      lock.lock();
    }
    const auto at = waiting_.find(key);
    if (at->second.empty()) {
      waiting_.erase(at);
    } else {
      make_ready(key, at->second.front().urgency);
    }
  }
}

}  // namespace wardom::libvirt
