#include "libha/disk/in_flight_list.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <sstream>

#include "libha/proc/replace_file.hpp"

namespace wardom::disk {
namespace {

// false: neither "-" nor a number.
bool parse_until(const std::string& text, std::optional<Instant>& until) {
  if (text == "-") return true;
  std::int64_t ns = 0;
  const auto* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, ns);
  until = Instant{Duration{ns}};
  return parsed.ec == std::errc{} && parsed.ptr == end && ns >= 0;
}

}  // namespace

std::string encode_in_flight(const Bits128& boot_id, const Bits128& volume,
                             const std::vector<InFlight>& writes) {
  std::ostringstream text;
  text << kInFlightLine << '\n' << to_uuid(boot_id) << ' ' << to_uuid(volume) << '\n';
  for (const auto& w : writes) {
    text << static_cast<unsigned>(w.cell.region) << ' ' << w.cell.index << ' '
         << static_cast<unsigned>(w.twin.value) << ' ' << w.sequence.value << ' ';
    if (w.until)
      text << w.until->since_boot.count() << '\n';
    else
      text << "-\n";
  }
  text << "end " << writes.size() << '\n';
  return text.str();
}

Result<std::vector<InFlight>> decode_in_flight(const std::string& text, const Bits128& boot_id,
                                               const Bits128& volume) {
  std::istringstream lines(text);
  std::string line, boot, uuid;
  if (!std::getline(lines, line) || line != kInFlightLine)
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
    std::string until;
    const bool whole = static_cast<bool>(words >> region >> w.cell.index >> twin >>
                                         w.sequence.value >> until) &&
                       parse_until(until, w.until);
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
                           std::vector<InFlight> before, Instant unended)
    : path_(std::move(path)), boot_id_(boot_id), volume_(volume), writes_(std::move(before)) {
  for (auto& w : writes_)
    if (!w.until) w.until = unended;
}

Doubts InFlightList::doubts(const Cell& cell) const {
  Doubts found;
  for (const auto& w : writes_)
    if (w.cell == cell && w.until) found[w.twin.value] = Doubt{w.sequence, *w.until};
  return found;
}

Result<void> InFlightList::add(const InFlight& write) {
  writes_.push_back(write);
  auto kept = keep();
  if (!kept) writes_.pop_back();
  return kept;
}

// A list that says too much only makes the next process wait: a failure to keep it is no harm. It
// says "until" too early at no time, since what is not kept stays as it was: not ended.
void InFlightList::ended(const Cell& cell, wire::Twin twin, std::optional<Instant> until) {
  const auto write = std::find_if(writes_.begin(), writes_.end(), [&](const InFlight& w) {
    return w.cell == cell && w.twin == twin && !w.until;
  });
  if (write == writes_.end()) return;
  if (until)
    write->until = until;
  else
    writes_.erase(write);
  [[maybe_unused]] const auto kept = keep();
}

void InFlightList::settle(const Cell& cell, Instant issued) {
  std::erase_if(writes_, [&](const InFlight& w) {
    return w.cell == cell && w.until && *w.until <= issued;
  });
  [[maybe_unused]] const auto kept = keep();
}

// A full run directory takes nothing new, and one that was emptied may be gone itself: neither
// stops heartbeats. Only a list that says too little would be wrong, and no list says everything.
Result<void> InFlightList::keep() {
  const auto kept = proc::replace_file(path_, encode_in_flight(boot_id_, volume_, writes_));
  trouble_ = kept ? std::string() : kept.error().message;
  if (kept) return kept;
  ::unlink((path_ + ".new").c_str());
  if (::unlink(path_.c_str()) == 0 || errno == ENOENT) return success();
  return failure(trouble_ + ", nor remove it: " + std::strerror(errno) +
                 "; nothing is written to the volume beside a list that says too little");
}

}  // namespace wardom::disk
