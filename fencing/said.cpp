#include "fencing/said.hpp"

#include <syslog.h>

#include <cstdio>

namespace wardom::fencing {
namespace {

void keep(int priority, const std::string& text) {
  ::openlog("fence_wardom", LOG_PID, LOG_DAEMON);
  ::syslog(priority, "%s", text.c_str());
}

}  // namespace

void said(const std::string& text) {
  keep(LOG_NOTICE, text);
  std::printf("%s\n", text.c_str());
}

void warned(const std::string& text) {
  keep(LOG_WARNING, text);
  std::fprintf(stderr, "fence_wardom: %s\n", text.c_str());
}

int failed(const std::string& text) {
  keep(LOG_ERR, text);
  std::fprintf(stderr, "fence_wardom: %s\n", text.c_str());
  return 1;
}

}  // namespace wardom::fencing
