// A wardomd of one thread: a real unix stream socket that answers as told. Ends with the object.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace contract {

class DaemonDouble {
 public:
  // The answer to each line; an empty one means silence: the connection stays open.
  using Answer = std::function<std::string(const std::string& line)>;

  DaemonDouble(const std::string& path, Answer answer) : path_(path), answer_(std::move(answer)) {
    unlink(path.c_str());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    stop_ = eventfd(0, EFD_CLOEXEC);
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener_, 16) != 0)
      throw std::runtime_error("cannot listen at " + path);
    thread_ = std::thread([this] { serve(); });
  }
  ~DaemonDouble() {
    const std::uint64_t one = 1;
    if (write(stop_, &one, sizeof one) < 0) std::abort();
    thread_.join();
    for (int fd : open_) close(fd);
    close(listener_);
    close(stop_);
    unlink(path_.c_str());
  }
  std::vector<std::string> lines() {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  bool readable(int fd) {
    pollfd both[2] = {{fd, POLLIN, 0}, {stop_, POLLIN, 0}};
    return poll(both, 2, -1) > 0 && !(both[1].revents & POLLIN);
  }
  void serve() {
    while (readable(listener_)) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      std::string line;
      char c = 0;
      while (c != '\n' && readable(fd) && read(fd, &c, 1) == 1) line += c;
      {
        const std::lock_guard lock(mutex_);
        lines_.push_back(line);
      }
      const std::string answer = answer_(line);
      if (!answer.empty() && write(fd, answer.data(), answer.size()) < 0) std::abort();
      if (answer.empty()) {
        open_.push_back(fd);
      } else {
        close(fd);
      }
    }
  }

  std::string path_;
  Answer answer_;
  int listener_{-1};
  int stop_{-1};
  std::vector<int> open_;
  std::mutex mutex_;
  std::vector<std::string> lines_;
  std::thread thread_;
};

}  // namespace contract
