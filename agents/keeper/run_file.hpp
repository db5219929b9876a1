// Small text files in the run directory: replaced as a whole, read as a whole (proc/process.hpp).
#pragma once

#include <cstdint>
#include <string>

#include "libha/core/result.hpp"

namespace wardom::keeper {

// `yes`: on stable storage where the run directory has any, before it takes the old one's place.
enum class Flush : std::uint8_t { no, yes };

// By rename(2): a reader, or a keeper that restarts, sees the old or the new file. Mode 0600.
Result<void> replace_file(const std::string& path, const std::string& content,
                          Flush flush = Flush::no);

}  // namespace wardom::keeper
