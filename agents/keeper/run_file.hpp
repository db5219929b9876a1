// Small text files in the run directory: replaced as a whole, read as a whole (proc/process.hpp).
#pragma once

#include <string>

#include "libha/core/result.hpp"

namespace wardom::keeper {

// By rename(2): a reader, or a keeper that restarts, sees the old or the new file.
Result<void> replace_file(const std::string& path, const std::string& content);

}  // namespace wardom::keeper
