#include "ocf/agent.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace wardom::ocf {
namespace {

using std::chrono::milliseconds;

// Kept back of every timeout: to say why, and to be gone.
constexpr milliseconds kReserve{3000};

std::optional<long long> number_of(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return std::nullopt;
  char* end = nullptr;
  errno = 0;
  const long long value = std::strtoll(text, &end, 10);
  if (errno != 0 || end == text || value < 0) return std::nullopt;
  return value;
}

}  // namespace

Clock::time_point Call::deadline() const {
  return began + timeout - std::min(kReserve, timeout / 4);
}

milliseconds Call::left() const {
  return std::max(std::chrono::floor<milliseconds>(deadline() - Clock::now()), milliseconds{0});
}

Call call_from(const char* action, Clock::time_point began, milliseconds standard) {
  Call call;
  call.action = action;
  const char* instance = std::getenv("OCF_RESOURCE_INSTANCE");
  call.instance = instance == nullptr ? "" : instance;
  call.began = began;
  call.timeout = standard;
  if (const auto ms = number_of("OCF_RESKEY_CRM_meta_timeout"); ms && *ms > 0)
    call.timeout = milliseconds{*ms};
  call.probe = number_of("OCF_RESKEY_CRM_meta_interval").value_or(0) == 0;
  return call;
}

std::optional<std::string> parameter(const char* name) {
  const char* text = std::getenv((std::string("OCF_RESKEY_") + name).c_str());
  if (text == nullptr || *text == '\0') return std::nullopt;
  return std::string(text);
}

std::optional<bool> flag(const char* name, bool otherwise) {
  const auto text = parameter(name);
  if (!text) return otherwise;
  for (const std::string_view yes : {"1", "true", "yes", "y", "on", "True", "TRUE", "YES", "ON"})
    if (*text == yes) return true;
  for (const std::string_view no : {"0", "false", "no", "n", "off", "False", "FALSE", "NO", "OFF"})
    if (*text == no) return false;
  return std::nullopt;
}

int fail(Code code, const std::string& reason) {
  std::string line = reason;
  std::replace(line.begin(), line.end(), '\n', ' ');
  std::fprintf(stderr, "ocf-exit-reason:%s\n", line.c_str());
  return code;
}

std::string note_directory() {
  const char* set = std::getenv("HA_RSCTMP");
  return set == nullptr || *set == '\0' ? "/run/resource-agents" : set;
}

std::string note_path(const Call& call, const char* agent) {
  std::string name = call.instance;
  std::replace(name.begin(), name.end(), '/', '_');
  return note_directory() + "/wardom-" + agent + "-" + name;
}

std::optional<std::string> read_file(const std::string& path, std::size_t most) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return std::nullopt;
  std::string text;
  std::array<char, 16384> buffer;
  ssize_t got = 0;
  while (text.size() <= most && (got = read(fd, buffer.data(), buffer.size())) > 0)
    text.append(buffer.data(), static_cast<std::size_t>(got));
  const int error = got < 0 ? errno : 0;
  close(fd);
  errno = text.size() > most ? EFBIG : error;
  if (errno != 0) return std::nullopt;
  return text;
}

}  // namespace wardom::ocf
