// A bounded pool of threads with small stacks. Jobs of one key run in the order in which they were
// given, one at a time; jobs of different keys run in parallel. So a guest whose calls hang holds
// one thread and no more. One further thread takes urgent jobs only, so that they find a way when
// all the others hang; where an urgent job waits behind another of its key, it keeps its place.
#pragma once

#include <pthread.h>

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace wardom::libvirt {

enum class Urgency { normal, urgent };

class CallPool {
 public:
  // `stopping`: the pool is going away, and the job should only answer.
  using Job = std::function<void(bool stopping)>;

  CallPool(std::size_t workers, std::size_t stack_bytes, std::size_t max_waiting);
  ~CallPool();  // runs what waits with stopping = true, then joins
  CallPool(const CallPool&) = delete;
  CallPool& operator=(const CallPool&) = delete;

  // False: too many jobs wait; the job was not taken.
  bool add(const std::string& key, Job job, Urgency urgency = Urgency::normal);

 private:
  struct Waiting {
    Job job;
    Urgency urgency;
  };
  struct Worker {
    CallPool* pool;
    bool urgent_only;
  };
  static void* enter(void* worker);
  void work(bool urgent_only);
  void make_ready(const std::string& key, Urgency urgency);
  bool take(bool urgent_only, std::string& key);

  const std::size_t max_waiting_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::map<std::string, std::deque<Waiting>> waiting_;  // a key stays here while its job runs
  // Keys with jobs, none of them running, by the urgency of their first job.
  std::deque<std::string> ready_;
  std::deque<std::string> urgent_;
  std::size_t count_{0};
  bool stopping_{false};
  std::vector<Worker> workers_;
  std::vector<pthread_t> threads_;
};

}  // namespace wardom::libvirt
