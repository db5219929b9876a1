#include "agents/keeper/run_versions.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <string_view>
#include <utility>

#include "libha/disk/in_flight_list.hpp"
#include "libha/wire/guest_list.hpp"

namespace wardom::keeper {
namespace {

constexpr std::size_t kMaxFirstLine = 80;

bool is_number(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "wardom KIND VERSION" of the same kind, with another version.
bool another_version(std::string_view line, std::string_view known) {
  const auto kind = known.substr(0, known.rfind(' ') + 1);
  return line != known && line.starts_with(kind) && is_number(line.substr(kind.size()));
}

}  // namespace

Result<void> check_run_versions(const std::string& run_dir) {
  const std::array<std::pair<const char*, const char*>, 6> files{
      {{"incarnation", kIncarnationLine},
       {"released", kReleasedLine},
       {"daemon", kDaemonLine},
       {"window", kWindowLine},
       {disk::kInFlightName, disk::kInFlightLine},
       {wire::kGuestListName, wire::kGuestListLine}}};
  for (const auto& [name, known] : files) {
    const auto path = run_dir + "/" + name;
    std::ifstream file(path);
    std::array<char, kMaxFirstLine> line{};
    file.getline(line.data(), line.size());
    if (another_version(line.data(), known))
      return failure(path + ": is of another version of Wardom (\"" + line.data() +
                     "\", and this one knows \"" + known +
                     "\"); nothing is written. Start that version's wardom-keeper again: to "
                     "change to this one, move the guests away, then reboot this host");
  }
  return success();
}

}  // namespace wardom::keeper
