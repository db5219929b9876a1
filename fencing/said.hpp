// What a call leaves behind: for the fencer on standard output and error, for the record in syslog.
#pragma once

#include <string>

namespace wardom::fencing {

void said(const std::string& text);     // done, and how
void warned(const std::string& text);
int failed(const std::string& text);    // why not; returns the exit code

}  // namespace wardom::fencing
