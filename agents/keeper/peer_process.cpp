#include "agents/keeper/peer_process.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "libha/proc/process.hpp"

namespace wardom::keeper {

PeerProcess PeerProcess::open(std::int32_t pid, std::optional<std::uint64_t> start_time) {
  PeerProcess peer;
  if (pid <= 1) return peer;
  peer.pid_ = pid;
  peer.fd_ = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  peer.was_gone_ = peer.fd_ < 0 && errno == ESRCH;
  const auto found = proc::start_time_of(pid);
  if (start_time && found != start_time) peer.was_gone_ = true;
  peer.start_time_ = start_time.value_or(found.value_or(0));
  if (peer.was_gone_ && peer.fd_ >= 0) ::close(std::exchange(peer.fd_, -1));
  return peer;
}

PeerProcess::PeerProcess(PeerProcess&& other) noexcept
    : pid_(other.pid_), start_time_(other.start_time_), fd_(std::exchange(other.fd_, -1)),
      was_gone_(other.was_gone_) {}

PeerProcess& PeerProcess::operator=(PeerProcess&& other) noexcept {
  if (this == &other) return *this;
  if (fd_ >= 0) ::close(fd_);
  pid_ = other.pid_;
  start_time_ = other.start_time_;
  fd_ = std::exchange(other.fd_, -1);
  was_gone_ = other.was_gone_;
  return *this;
}

PeerProcess::~PeerProcess() {
  if (fd_ >= 0) ::close(fd_);
}

bool PeerProcess::ended() const {
  if (fd_ < 0) return was_gone_;
  pollfd one{fd_, POLLIN, 0};
  return ::poll(&one, 1, 0) == 1;
}

bool PeerProcess::kill() const {
  return fd_ >= 0 && ::syscall(SYS_pidfd_send_signal, fd_, SIGKILL, nullptr, 0) == 0;
}

}  // namespace wardom::keeper
