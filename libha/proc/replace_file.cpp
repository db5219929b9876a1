#include "libha/proc/replace_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace wardom::proc {

Result<void> replace_file(const std::string& path, const std::string& content, Flush flush) {
  const auto fresh = path + ".new";
  ::unlink(fresh.c_str());  // what a crash has left, with whatever mode
  const int fd =
      ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return failure("cannot create " + fresh + ": " + std::strerror(errno));
  const bool written =
      ::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()) &&
      (flush == Flush::no || ::fsync(fd) == 0);
  ::close(fd);
  if (!written || ::rename(fresh.c_str(), path.c_str()) != 0)
    return failure("cannot write " + path + ": " + std::strerror(errno));
  return flush == Flush::all ? flush_folder_of(path) : success();
}

Result<void> flush_folder_of(const std::string& path) {
  const auto folder = std::filesystem::path(path).parent_path();
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool flushed = fd >= 0 && ::fsync(fd) == 0;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (!flushed) return failure("cannot flush " + folder.string() + ": " + std::strerror(error));
  return success();
}

}  // namespace wardom::proc
