#include "agents/wardomd/key_files.hpp"

#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>

#include "libha/config/config.hpp"
#include "libha/proc/replace_file.hpp"

namespace wardom::daemon {
namespace {

using runtime::KeyMark;
using runtime::NextKey;

constexpr const char* kDrawn = "drawn";
constexpr const char* kByHand = "by-hand";
// By KeyMark.
constexpr std::array<const char*, 4> kMarks{"held", "wanted", "sending", "given-up"};

std::string hex_line(const wire::Secret& secret) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string line;
  for (const auto byte : secret) {
    line += kDigits[byte >> 4];
    line += kDigits[byte & 15];
  }
  return line + "\n";
}

std::string mark_line(const NextKey& next) {
  return std::string("wardom: ") + (next.drawn ? kDrawn : kByHand) + " " +
         kMarks[static_cast<std::size_t>(next.mark)] + " " + std::to_string(next.attempt) + "\n";
}

// Anything else than a line of ours is what a person wrote, and says nothing.
void read_marks(const std::filesystem::path& path, NextKey& next) {
  std::ifstream in(path);
  std::string line, lead, origin, mark;
  std::uint64_t attempt = 0;
  if (!std::getline(in, line) || !std::getline(in, line)) return;
  std::istringstream words(line);
  if (!(words >> lead >> origin >> mark >> attempt) || lead != "wardom:") return;
  for (std::size_t at = 0; at < kMarks.size(); ++at)
    if (mark == kMarks[at])
      next = {next.secret, origin == kDrawn, static_cast<KeyMark>(at), attempt};
}

Error with_remedy(const std::string& what) {
  return {what +
          "; wardomd writes there while the key is changed (see ReadWritePaths of its unit)"};
}

}  // namespace

KeyFiles::KeyFiles(const std::filesystem::path& key_file) {
  std::error_code failed;
  key_ = std::filesystem::canonical(key_file, failed);
  if (failed) key_ = key_file;
  next_ = key_.native() + ".next";
}

Result<std::optional<NextKey>> KeyFiles::read() const {
  if (::access(next_.c_str(), F_OK) != 0 && errno == ENOENT) return std::optional<NextKey>{};
  auto secret = load_key(next_);
  if (!secret) return secret.error();
  if (const auto present = load_key(key_); present && present.value() == secret.value())
    return std::optional<NextKey>{};
  NextKey next;
  next.secret = secret.value();
  read_marks(next_, next);
  return std::optional<NextKey>(next);
}

Result<void> KeyFiles::keep(const NextKey& next) const {
  const auto kept =
      proc::replace_file(next_, hex_line(next.secret) + mark_line(next), proc::Flush::all);
  if (!kept) return with_remedy(kept.error().message);
  return success();
}

// Written anew first: without the marks, and should somebody have removed it meanwhile.
Result<void> KeyFiles::adopt(const wire::Secret& secret) const {
  auto done = proc::replace_file(next_, hex_line(secret), proc::Flush::all);
  if (done && std::rename(next_.c_str(), key_.c_str()) != 0)
    done = failure("cannot put " + next_.string() + " in the place of " + key_.string() + ": " +
                   std::strerror(errno));
  if (done) done = proc::flush_folder_of(key_);
  if (!done) return with_remedy(done.error().message);
  return success();
}

Result<wire::Secret> draw_key() {
  wire::Secret secret{};
  if (::getrandom(secret.data(), secret.size(), 0) != static_cast<ssize_t>(secret.size()))
    return failure(std::string("the system gives no random bytes: ") + std::strerror(errno));
  return secret;
}

}  // namespace wardom::daemon
