#include "agents/keeper/run_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace wardom::keeper {

Result<void> replace_file(const std::string& path, const std::string& content, Flush flush) {
  const auto fresh = path + ".new";
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return failure("cannot create " + fresh + ": " + std::strerror(errno));
  const bool written =
      ::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()) &&
      (flush == Flush::no || ::fsync(fd) == 0);
  ::close(fd);
  if (!written || ::rename(fresh.c_str(), path.c_str()) != 0)
    return failure("cannot write " + path + ": " + std::strerror(errno));
  return success();
}

}  // namespace wardom::keeper
