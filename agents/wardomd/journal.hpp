// The daemon's log: one line per fact on stderr, with the severity in front as sd-daemon(3) has it
// when stderr goes to the journal, so that `journalctl -p` sorts it; structured fields follow the
// text as key=value. Nobody waits for whoever reads it.
#pragma once

#include <string>

#include "agents/wardomd/views.hpp"
#include "libha/proc/line_sink.hpp"

namespace wardom::daemon {

class Journal {
 public:
  Journal();
  void write(core::Severity severity, const std::string& text);
  void write(const core::Note& note, const Names& names);
  // What the log's reader has not taken yet is offered again.
  void flush() { lines_.flush(); }

 private:
  bool to_journal_{false};
  proc::LineSink lines_;
};

}  // namespace wardom::daemon
