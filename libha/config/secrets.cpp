// The cluster's key and the BMCs' passwords.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "libha/config/config.hpp"
#include "libha/proc/descriptor.hpp"

namespace wardom {
namespace {

using proc::Descriptor;

constexpr std::size_t kMaxSecretBytes = 256;  // of a file; both kinds are far shorter

std::string octal(mode_t mode) {
  std::string text = "0000";
  for (std::size_t i = 4; i-- > 0; mode >>= 3) text[i] = static_cast<char>('0' + (mode & 7));
  return text;
}

// The first line of a file that only its owner may read. Checks the open file, not its name, so
// that nobody can swap it in between; does not wait for a FIFO's writer.
Result<std::string> read_secret(const std::filesystem::path& path) {
  const auto& name = path.native();
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.get() < 0) return failure(name + ": cannot be opened: " + std::strerror(errno));
  struct stat status {};
  if (fstat(file.get(), &status) != 0) return failure(name + ": " + std::strerror(errno));
  if (!S_ISREG(status.st_mode)) return failure(name + ": is not a regular file");
  if ((status.st_mode & 07177) != 0)
    return failure(name + ": has mode " + octal(status.st_mode & 07777) +
                   ", so that others may use it; run `chmod 0600 " + name + "`");
  if (status.st_uid != 0 && status.st_uid != geteuid())
    return failure(name + ": belongs to user " + std::to_string(status.st_uid) +
                   "; run `chown root:root " + name + "`");
  std::string text(kMaxSecretBytes, '\0');
  const auto got = read(file.get(), text.data(), text.size());
  if (got < 0) return failure(name + ": cannot be read: " + std::strerror(errno));
  text.resize(std::min(static_cast<std::size_t>(got), text.find('\n')));
  return text;
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

Result<ClusterKey> load_key(const std::filesystem::path& path) {
  const auto text = read_secret(path);
  if (!text) return failure(text.error().message);
  ClusterKey key{};
  const auto& digits = text.value();
  bool valid = digits.size() == 2 * key.size();
  for (std::size_t i = 0; valid && i < key.size(); ++i) {
    const int high = hex_value(digits[2 * i]);
    const int low = hex_value(digits[2 * i + 1]);
    valid = high >= 0 && low >= 0;
    if (valid) key[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  if (!valid)
    return failure(path.native() + ": is not a key of 64 hex digits on one line; make one with " +
                   "`openssl rand -hex 32` and copy it to every host");
  return key;
}

Result<std::string> load_password(const std::filesystem::path& path) {
  auto text = read_secret(path);
  if (!text) return failure(text.error().message);
  auto password = std::move(text.value());
  if (password.empty() || password.size() > kMaxBmcPasswordBytes ||
      password.find('\0') != std::string::npos)
    return failure(path.native() + ": its first line has " + std::to_string(password.size()) +
                   " bytes; a BMC password has 1 to " + std::to_string(kMaxBmcPasswordBytes));
  return password;
}

}  // namespace wardom
