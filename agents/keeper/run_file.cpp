#include "agents/keeper/run_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace wardom::keeper {

Result<void> replace_file(const std::string& path, const std::string& content) {
  const auto fresh = path + ".new";
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return failure("cannot create " + fresh + ": " + std::strerror(errno));
  const bool written =
      ::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size());
  ::close(fd);
  if (!written || ::rename(fresh.c_str(), path.c_str()) != 0)
    return failure("cannot write " + path + ": " + std::strerror(errno));
  return success();
}

std::optional<std::string> read_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  std::string content;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = ::read(fd, buffer, sizeof buffer)) > 0 && content.size() <= kMaxRunFileBytes)
    content.append(buffer, static_cast<std::size_t>(got));
  ::close(fd);
  if (got < 0 || content.size() > kMaxRunFileBytes) return std::nullopt;
  return content;
}

}  // namespace wardom::keeper
