#include "agents/keeper/peer_process.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "libha/proc/process.hpp"

namespace wardom::keeper {

PeerProcess PeerProcess::open(std::int32_t pid, std::optional<std::uint64_t> start_time) {
  PeerProcess peer;
  if (pid <= 1) return peer;
  peer.pid_ = pid;
  peer.held_ = proc::Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  peer.was_gone_ = peer.held_.get() < 0 && errno == ESRCH;
  const auto found = proc::start_time_of(pid);
  if (start_time && found != start_time) peer.was_gone_ = true;
  peer.start_time_ = start_time.value_or(found.value_or(0));
  if (peer.was_gone_) peer.held_ = {};
  return peer;
}

bool PeerProcess::ended() const {
  if (held_.get() < 0) return was_gone_;
  pollfd one{held_.get(), POLLIN, 0};
  return ::poll(&one, 1, 0) == 1;
}

bool PeerProcess::kill() const {
  return held_.get() >= 0 &&
         ::syscall(SYS_pidfd_send_signal, held_.get(), SIGKILL, nullptr, 0) == 0;
}

}  // namespace wardom::keeper
