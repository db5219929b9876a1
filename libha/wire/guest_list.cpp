#include "libha/wire/guest_list.hpp"

#include <charconv>
#include <limits>
#include <optional>

namespace wardom::wire {
namespace {

constexpr std::string_view kUnknown = "-";

// Takes what stands before `end` off the text; nullopt: there is no `end`.
std::optional<std::string_view> take_until(std::string_view& text, char end) {
  const auto length = text.find(end);
  if (length == std::string_view::npos) return std::nullopt;
  const auto taken = text.substr(0, length);
  text.remove_prefix(length + 1);
  return taken;
}

template <class Value>
std::optional<Value> number(std::optional<std::string_view> text) {
  Value value{};
  if (!text) return std::nullopt;
  const auto* end = text->data() + text->size();
  const auto parsed = std::from_chars(text->data(), end, value);
  if (parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
  return value;
}

std::optional<ListedGuest> decode_line(std::string_view line) {
  const auto uuid = take_until(line, ' ');
  const auto bits = uuid ? parse_bits(*uuid) : std::nullopt;
  const auto epoch = take_until(line, ' ');
  const auto start_of = epoch == kUnknown ? std::nullopt : number<std::uint32_t>(epoch);
  const auto pid = number<std::int32_t>(take_until(line, ' '));
  const auto start = number<std::uint64_t>(take_until(line, ' '));
  // A PID without its start time could be anybody's by now, and PID 1 is no guest.
  if (!bits || (!start_of && epoch != kUnknown) || !pid || !start || *pid < 0 || *pid == 1 ||
      (*pid == 0) != (*start == 0) || line.empty() || line.size() > kMaxCgroupBytes)
    return std::nullopt;
  ListedGuest guest{GuestId{*bits}, {*pid, *start, std::string(line == kUnknown ? "" : line)}, {}};
  if (start_of) guest.start = DaemonEpoch{*start_of};
  return guest;
}

}  // namespace

std::string encode_guest_list(const std::vector<ListedGuest>& guests) {
  std::string text(kGuestListLine);
  text += '\n';
  for (const auto& g : guests) {
    const auto& [pid, start_time, cgroup] = g.process;
    const bool known = !cgroup.empty() && cgroup.size() <= kMaxCgroupBytes &&
                       cgroup.find('\n') == std::string::npos;
    text += to_uuid(g.guest) + ' ' +
            (g.start ? std::to_string(g.start->value) : std::string(kUnknown)) + ' ' +
            std::to_string(pid) + ' ' + std::to_string(start_time) + ' ' +
            (known ? cgroup : std::string(kUnknown)) + '\n';
  }
  return text + "end " + std::to_string(guests.size()) + '\n';
}

Result<std::vector<ListedGuest>> decode_guest_list(std::string_view text) {
  std::vector<ListedGuest> guests;
  const auto fail = [&guests] {
    return failure("guest list: line " + std::to_string(guests.size() + 2) + " is malformed");
  };
  if (text.size() > kMaxGuestListBytes) return failure("guest list: too long");
  if (take_until(text, '\n') != kGuestListLine)
    return failure("guest list: not one of this version");
  while (true) {
    const auto line = take_until(text, '\n');
    if (!line) return fail();
    if (line->starts_with("end ")) {
      if (number<std::size_t>(line->substr(4)) != guests.size() || !text.empty()) return fail();
      return guests;
    }
    auto guest = decode_line(*line);
    if (!guest || guests.size() == kMaxGuestsPerHost) return fail();
    guests.push_back(std::move(*guest));
  }
}

}  // namespace wardom::wire
