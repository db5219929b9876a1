#include "ocf/guest_note.hpp"

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <sstream>

#include "libha/proc/replace_file.hpp"

namespace wardom::ocf {
namespace {

constexpr const char* kAgent = "guest";
constexpr const char* kUnknown = "-";

}  // namespace

bool has_note(const Call& call) {
  return ::access(note_path(call, kAgent).c_str(), F_OK) == 0 || errno != ENOENT;
}

// "UUID PID START-TIME =GUEST".
std::optional<GuestNote> read_note(const Call& call, const std::optional<std::string>& guest) {
  const auto text = read_file(note_path(call, kAgent), 4096);
  if (!text) return std::nullopt;
  GuestNote note;
  std::istringstream fields(*text);
  if (!(fields >> note.uuid >> note.process.pid >> note.process.start_time) ||
      !std::getline(fields >> std::ws, note.guest) || !note.guest.starts_with('='))
    return std::nullopt;
  note.guest.erase(0, 1);
  if (guest && note.guest != *guest) return std::nullopt;
  if (note.uuid == kUnknown) note.uuid.clear();
  return note;
}

Result<void> write_note(const Call& call, const GuestNote& note) {
  std::error_code ignored;  // what is not there then is told by the write
  std::filesystem::create_directories(note_directory(), ignored);
  return proc::replace_file(note_path(call, kAgent),
                            (note.uuid.empty() ? kUnknown : note.uuid) + " " +
                                std::to_string(note.process.pid) + " " +
                                std::to_string(note.process.start_time) + " =" + note.guest +
                                "\n");
}

void remove_note(const Call& call) { ::unlink(note_path(call, kAgent).c_str()); }

}  // namespace wardom::ocf
