// While one lives, threads that this thread creates start with all signals blocked. libvirt writes
// to sockets whose other end may be gone: SIGPIPE would end the process. All other signals belong
// to the program's own thread.
#pragma once

#include <pthread.h>
#include <signal.h>

namespace wardom::libvirt {

class QuietSignals {
 public:
  QuietSignals() {
    sigset_t all;
    sigfillset(&all);
    for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) sigdelset(&all, fault);
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~QuietSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  QuietSignals(const QuietSignals&) = delete;
  QuietSignals& operator=(const QuietSignals&) = delete;

 private:
  sigset_t before_;
};

}  // namespace wardom::libvirt
