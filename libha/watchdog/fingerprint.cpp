#include "libha/watchdog/fingerprint.hpp"

#include <sys/utsname.h>

#include <fstream>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace wardom::watchdog {
namespace {

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace

Platform read_platform() {
  Platform platform;
  for (const char* name : {"bios_vendor", "bios_version", "bios_date"})
    platform.bios += first_line((std::string("/sys/class/dmi/id/") + name).c_str()) + '\n';
  utsname kernel{};
  if (::uname(&kernel) == 0)
    platform.kernel = std::string(kernel.release) + '\n' + kernel.version;
  return platform;
}

std::uint64_t fingerprint(const std::string& driver, std::uint32_t firmware,
                          const Platform& platform, Duration timeout) {
  std::string text = "wardom watchdog 1";
  // With its length in front, so that no two lists of fields read alike.
  for (const auto& field : {driver, std::to_string(firmware), platform.bios, platform.kernel,
                            std::to_string(whole_ms(timeout))})
    text += '\n' + std::to_string(field.size()) + ':' + field;
  const std::uint64_t hash = XXH3_64bits(text.data(), text.size());
  return hash == 0 ? 1 : hash;
}

}  // namespace wardom::watchdog
