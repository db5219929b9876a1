// The files of the cluster's key: the present one, and beside it, with `.next` behind its name, the
// one that follows while the key is changed (runtime/key_change.hpp).
//
// Both have the key's 64 hex digits in their first line. One that a host has stored has a second
// line, "wardom: drawn|by-hand held|wanted|sending|given-up ATTEMPT"; without it the next key was
// put there by hand and nobody has asked for it. What is written here is 0600, and on stable
// storage before it counts.
#pragma once

#include <filesystem>
#include <string>

#include "libha/runtime/key_change.hpp"

namespace wardom::daemon {

class KeyFiles {
 public:
  // A link is followed: the file that it leads to is the one that is replaced.
  explicit KeyFiles(const std::filesystem::path& key_file);

  const std::filesystem::path& next_file() const { return next_; }
  // nullopt: there is none, or it is the present one, as a crash may leave it. Error: it cannot be
  // read or is no key; names the file.
  Result<std::optional<runtime::NextKey>> read() const;
  // Block until it is done. Error: names the file, and what to do.
  Result<void> keep(const runtime::NextKey& next) const;
  Result<void> adopt(const wire::Secret& secret) const;

 private:
  std::filesystem::path key_;
  std::filesystem::path next_;
};

// From the system's generator. Error: it gives none.
Result<wire::Secret> draw_key();

}  // namespace wardom::daemon
