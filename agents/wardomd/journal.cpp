#include "agents/wardomd/journal.hpp"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace wardom::daemon {
namespace {

int level(core::Severity severity) {
  switch (severity) {
    case core::Severity::debug: return 7;
    case core::Severity::info: return 6;
    case core::Severity::notice: return 5;
    case core::Severity::warning: return 4;
    case core::Severity::error: return 3;
  }
  return 3;
}

const char* word(core::Severity severity) {
  switch (severity) {
    case core::Severity::debug: return "debug";
    case core::Severity::info: return "info";
    case core::Severity::notice: return "notice";
    case core::Severity::warning: return "warning";
    case core::Severity::error: return "error";
  }
  return "error";
}

std::string stamp() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  const std::time_t seconds = ms / 1000;
  std::tm split{};
  ::localtime_r(&seconds, &split);
  char text[32];
  const auto size = std::strftime(text, sizeof text, "%H:%M:%S", &split);
  char full[48];
  std::snprintf(full, sizeof full, "%.*s.%03d", static_cast<int>(size), text,
                static_cast<int>(ms % 1000));
  return full;
}

}  // namespace

// systemd names the journal's socket in JOURNAL_STREAM when stderr goes there (systemd.exec(5)).
Journal::Journal()
    : to_journal_(std::getenv("JOURNAL_STREAM") != nullptr), lines_(STDERR_FILENO) {}

void Journal::write(core::Severity severity, const std::string& text) {
  lines_.write(to_journal_ ? "<" + std::to_string(level(severity)) + ">" + text
                           : stamp() + " " + word(severity) + " " + text);
}

void Journal::write(const core::Note& note, const Names& names) {
  std::string text = note.source + ": ";
  if (note.host != kNoHost) text += names.host_text(note.host) + ": ";
  text += names.in_text(note.text);
  if (!note.guest.is_zero()) text += " guest=" + to_uuid(note.guest);
  if (!note.recovery.is_zero()) text += " recovery=" + to_hex(note.recovery).substr(0, 12);
  if (!note.step.empty()) text += " step=" + note.step;
  write(note.severity, text);
}

}  // namespace wardom::daemon
