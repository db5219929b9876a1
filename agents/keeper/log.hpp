// One line per event on stderr, with the priority in front as sd-daemon(3) reads it. Nobody waits
// for whoever reads them.
#pragma once

#include <unistd.h>

#include <optional>
#include <string>

#include "libha/core/time.hpp"
#include "libha/proc/line_sink.hpp"

namespace wardom::keeper {

enum class Severity : int { error = 3, warning = 4, notice = 5, info = 6 };

inline proc::LineSink& log_lines() {
  static proc::LineSink lines(STDERR_FILENO);
  return lines;
}

inline void log(Severity severity, const std::string& text) {
  log_lines().write("<" + std::to_string(static_cast<int>(severity)) + ">" + text);
}

// A trouble that lasts is told when it begins, every kRepeat while it lasts, and when it ends.
class LastingTrouble {
 public:
  static constexpr Duration kRepeat = std::chrono::seconds{60};

  void present(const std::string& text, Instant now) {
    if (told_ && now - *told_ < kRepeat) return;
    log(Severity::warning, text);
    told_ = now;
  }
  void gone(const std::string& text) {
    if (!told_) return;
    log(Severity::notice, text);
    told_.reset();
  }

 private:
  std::optional<Instant> told_;
};

}  // namespace wardom::keeper
