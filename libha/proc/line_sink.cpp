#include "libha/proc/line_sink.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace wardom::proc {
namespace {

constexpr char kCut[] = "...";
constexpr char kWarning[] = "<4>";  // as sd-daemon(3) has it

bool is_socket(int descriptor) {
  struct stat seen {};
  return ::fstat(descriptor, &seen) == 0 && S_ISSOCK(seen.st_mode);
}

bool takes_a_line(int descriptor) {
  pollfd ready{descriptor, POLLOUT, 0};
  return ::poll(&ready, 1, 0) > 0;
}

}  // namespace

LineSink::LineSink(int descriptor) : descriptor_(descriptor), socket_(is_socket(descriptor)) {}

void LineSink::write(std::string line) {
  if (line.size() >= kMaxLineBytes) {
    line.resize(kMaxLineBytes - sizeof kCut);
    line += kCut;
  }
  line += '\n';
  const std::scoped_lock lock(mutex_);
  write_waiting();
  if (waiting_bytes_ + line.size() > kMaxWaitingBytes) {
    ++lost_;
    return;
  }
  if (lost_ > 0 && waiting_.empty()) {
    waiting_.push_back(kWarning + std::to_string(std::exchange(lost_, 0)) +
                       " lines are lost: the log took none\n");
    waiting_bytes_ += waiting_.back().size();
  }
  waiting_bytes_ += line.size();
  waiting_.push_back(std::move(line));
  write_waiting();
}

void LineSink::flush() {
  const std::scoped_lock lock(mutex_);
  write_waiting();
}

void LineSink::write_waiting() {
  while (!waiting_.empty() && write_front()) {
  }
}

// false: the reader takes no more now.
bool LineSink::write_front() {
  auto& line = waiting_.front();
  ssize_t written = -1;
  if (socket_) {
    written = ::send(descriptor_, line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  } else {
    if (!takes_a_line(descriptor_)) return false;
    written = ::write(descriptor_, line.data(), line.size());
  }
  if (written < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  // A reader that is gone, or a full disk: whoever writes goes on without its log.
  const auto taken = written < 0 ? line.size() : static_cast<std::size_t>(written);
  waiting_bytes_ -= taken;
  line.erase(0, taken);
  if (line.empty()) waiting_.pop_front();
  return true;
}

}  // namespace wardom::proc
