#include "libha/disk/in_flight_list.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <sstream>

namespace wardom::disk {
namespace {

constexpr const char* kFirstLine = "wardom in-flight 1";

Result<void> replace_file(const std::string& path, const std::string& content) {
  const auto fresh = path + ".new";
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const bool written = fd >= 0 && ::write(fd, content.data(), content.size()) ==
                                      static_cast<ssize_t>(content.size());
  if (fd >= 0) ::close(fd);
  if (!written || ::rename(fresh.c_str(), path.c_str()) != 0)
    return failure("cannot write " + path + ": " + std::strerror(errno) +
                   "; nothing is written to the volume without it");
  return success();
}

}  // namespace

std::string encode_in_flight(const Bits128& boot_id, const Bits128& volume,
                             const std::vector<InFlight>& writes) {
  std::ostringstream text;
  text << kFirstLine << '\n' << to_uuid(boot_id) << ' ' << to_uuid(volume) << '\n';
  for (const auto& w : writes)
    text << static_cast<unsigned>(w.cell.region) << ' ' << w.cell.index << ' '
         << static_cast<unsigned>(w.twin.value) << ' ' << w.sequence.value << '\n';
  text << "end " << writes.size() << '\n';
  return text.str();
}

Result<std::vector<InFlight>> decode_in_flight(const std::string& text, const Bits128& boot_id,
                                               const Bits128& volume) {
  std::istringstream lines(text);
  std::string line, boot, uuid;
  if (!std::getline(lines, line) || line != kFirstLine)
    return failure("in-flight list: not one of this version");
  if (!std::getline(lines, line) || !(std::istringstream(line) >> boot >> uuid) ||
      parse_bits(boot) != boot_id || parse_bits(uuid) != volume)
    return failure("in-flight list: of another boot or volume");
  std::vector<InFlight> writes;
  while (std::getline(lines, line)) {
    if (line == "end " + std::to_string(writes.size())) return writes;
    std::istringstream words(line);
    unsigned region = 0, twin = 0;
    InFlight w{};
    const bool whole = static_cast<bool>(words >> region >> w.cell.index >> twin >>
                                         w.sequence.value);
    if (!whole || region > static_cast<unsigned>(Region::table) || twin > 1 ||
        writes.size() == kMaxInFlight)
      break;
    w.cell.region = static_cast<Region>(region);
    w.twin = wire::Twin{static_cast<std::uint8_t>(twin)};
    writes.push_back(w);
  }
  return failure("in-flight list: line " + std::to_string(writes.size() + 3) + " is malformed");
}

InFlightList::InFlightList(std::string path, Bits128 boot_id, Bits128 volume,
                           std::vector<InFlight> before)
    : path_(std::move(path)), boot_id_(boot_id), volume_(volume), before_(std::move(before)) {}

Inherited InFlightList::inherited(const Cell& cell) const {
  Inherited found;
  for (const auto& w : before_)
    if (w.cell == cell) found[w.twin.value] = w.sequence;
  return found;
}

Result<void> InFlightList::add(const InFlight& write) {
  own_.push_back(write);
  auto kept = keep();
  if (!kept) own_.pop_back();
  return kept;
}

// A list that says too much only makes the next process wait: a failure to keep it is no harm.
void InFlightList::remove(const Cell& cell, wire::Twin twin) {
  std::erase_if(own_, [&](const InFlight& w) { return w.cell == cell && w.twin == twin; });
  [[maybe_unused]] const auto kept = keep();
}

void InFlightList::settle(const Cell& cell) {
  std::erase_if(before_, [&](const InFlight& w) { return w.cell == cell; });
  [[maybe_unused]] const auto kept = keep();
}

Result<void> InFlightList::keep() const {
  auto all = before_;
  all.insert(all.end(), own_.begin(), own_.end());
  return replace_file(path_, encode_in_flight(boot_id_, volume_, all));
}

}  // namespace wardom::disk
