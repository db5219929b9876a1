#include "libha/watchdog/suspend.hpp"

#include <filesystem>
#include <fstream>

namespace wardom::watchdog {
namespace {

// systemd.unit(5): a unit is masked by a link to /dev/null or by an empty file.
bool is_masked(const std::filesystem::path& unit) {
  std::error_code error;
  if (std::filesystem::is_symlink(unit, error))
    return std::filesystem::read_symlink(unit, error) == "/dev/null";
  return std::filesystem::is_regular_file(unit, error) &&
         std::filesystem::file_size(unit, error) == 0 && !error;
}

}  // namespace

bool suspend_is_excluded(const std::string& root) {
  std::ifstream states(root + "/sys/power/state");
  std::string state;
  if (!(states >> state)) return true;
  return is_masked(root + "/etc/systemd/system/sleep.target") ||
         is_masked(root + "/run/systemd/system/sleep.target");
}

}  // namespace wardom::watchdog
