// The daemon's log: one line per fact on stderr, with the severity in front as sd-daemon(3) has it
// when stderr goes to the journal, so that `journalctl -p` sorts it; structured fields follow the
// text as key=value.
#pragma once

#include <string>

#include "agents/wardomd/views.hpp"

namespace wardom::daemon {

class Journal {
 public:
  Journal();
  void write(core::Severity severity, const std::string& text) const;
  void write(const core::Note& note, const Names& names) const;

 private:
  bool to_journal_{false};
};

}  // namespace wardom::daemon
