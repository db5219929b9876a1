// Small files that are replaced as a whole. Any thread; blocks for as long as the file system does.
#pragma once

#include <cstdint>
#include <string>

#include "libha/core/result.hpp"

namespace wardom::proc {

// What is on stable storage when the call returns, where the file system has any.
enum class Flush : std::uint8_t {
  no,       // nothing, maybe
  content,  // the new content, before it takes the old one's place: which of them is found after a
            // crash is open
  all,      // the new content, in its place
};

// By rename(2) of `path` with `.new` behind it, which is taken for a crash's leftover if it is
// there: a reader, or a program that starts again, sees the old or the new file. Mode 0600.
// Error: the file's name, and why it cannot be written; the old file is as it was, but for `all`,
// where the new one may be in its place.
Result<void> replace_file(const std::string& path, const std::string& content,
                          Flush flush = Flush::no);

// A change of names in the folder of `path` outlives a crash from now on.
Result<void> flush_folder_of(const std::string& path);

}  // namespace wardom::proc
