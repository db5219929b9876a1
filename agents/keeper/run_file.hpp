// Small text files in the run directory: replaced as a whole, read as a whole.
#pragma once

#include <optional>
#include <string>

#include "libha/core/result.hpp"

namespace wardom::keeper {

inline constexpr std::size_t kMaxRunFileBytes = 2 * 1024 * 1024;

// By rename(2): a reader, or a keeper that restarts, sees the old or the new file.
Result<void> replace_file(const std::string& path, const std::string& content);
// nullopt: cannot be read, or is longer than kMaxRunFileBytes.
std::optional<std::string> read_file(const std::string& path);

}  // namespace wardom::keeper
