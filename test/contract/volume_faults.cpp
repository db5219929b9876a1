// Preloaded into a keeper (LD_PRELOAD), makes its volume fail as the files in $WARDOM_FAULTS say:
//
//   fail-reads, fail-writes   direct I/O ends in EIO, and nothing is read or written
//   lose                      taken away by the next write, which lands, and whose end is not told
//                             before the file `tell` is there: then in an error
//   hang                      I/O does not begin while the file is there
//
// Only pread(2) and pwrite(2) of whole blocks are concerned, which nothing else in a keeper does.
#include <dlfcn.h>
#include <poll.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

namespace {

constexpr std::size_t kBlock = 4096;
constexpr int kPollMs = 2;

std::string file(const char* name) {
  const char* directory = std::getenv("WARDOM_FAULTS");
  return directory == nullptr ? std::string() : std::string(directory) + "/" + name;
}

bool there(const char* name) { return ::access(file(name).c_str(), F_OK) == 0; }

void wait_while(const char* name, bool is_there) {
  while (there(name) == is_there) ::poll(nullptr, 0, kPollMs);
}

template <class Function>
Function real(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

ssize_t fault() {
  errno = EIO;
  return -1;
}

ssize_t read_at(int fd, void* into, std::size_t bytes, off_t at) {
  static const auto function = real<ssize_t (*)(int, void*, std::size_t, off_t)>("pread");
  if (bytes % kBlock != 0) return function(fd, into, bytes, at);
  wait_while("hang", true);
  return there("fail-reads") ? fault() : function(fd, into, bytes, at);
}

ssize_t write_at(int fd, const void* from, std::size_t bytes, off_t at) {
  static const auto function = real<ssize_t (*)(int, const void*, std::size_t, off_t)>("pwrite");
  if (bytes % kBlock != 0) return function(fd, from, bytes, at);
  wait_while("hang", true);
  if (there("fail-writes")) return fault();
  const bool lost = ::rename(file("lose").c_str(), file("lost").c_str()) == 0;
  const auto put = function(fd, from, bytes, at);
  if (!lost) return put;
  wait_while("tell", false);
  return fault();
}

}  // namespace

extern "C" {
ssize_t pread(int fd, void* into, std::size_t bytes, off_t at) {
  return read_at(fd, into, bytes, at);
}
ssize_t pread64(int fd, void* into, std::size_t bytes, off_t at) {
  return read_at(fd, into, bytes, at);
}
ssize_t pwrite(int fd, const void* from, std::size_t bytes, off_t at) {
  return write_at(fd, from, bytes, at);
}
ssize_t pwrite64(int fd, const void* from, std::size_t bytes, off_t at) {
  return write_at(fd, from, bytes, at);
}
}
