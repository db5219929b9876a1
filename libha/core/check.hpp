// Assertions that stay on in every build: an impossible state ends the process, so that a bug
// becomes a missed heartbeat and never a wrong start.
#pragma once

// glibc's own failure path: prints the expression and its place, then aborts.
extern "C" [[noreturn]] void __assert_fail(const char* expression, const char* file,
                                           unsigned int line, const char* function) noexcept;

#define WARDOM_CHECK(condition) \
  ((condition) ? void(0) : __assert_fail(#condition, __FILE__, __LINE__, __func__))
