// The formats of what the keeper leaves in the run directory for the next keeper of the same boot.
//
// Each file begins with a line "wardom KIND VERSION". A keeper of another release may have written
// it. What is not understood is not guessed at, put aside or written over: it may name guests that
// run here, writes that may still land, or epochs that are spent.
#pragma once

#include <string>

#include "libha/core/result.hpp"

namespace wardom::keeper {

inline constexpr const char* kIncarnationLine = "wardom incarnation 1";
inline constexpr const char* kReleasedLine = "wardom released 1";
inline constexpr const char* kDaemonLine = "wardom daemon 1";
inline constexpr const char* kWindowLine = "wardom window 4";

// Before anything of the directory is believed or written. Error: a file there is of a version that
// this keeper does not know; the message names it and says what to do. A missing file, or one that
// names no version, is for its own reader to judge.
Result<void> check_run_versions(const std::string& run_dir);

}  // namespace wardom::keeper
