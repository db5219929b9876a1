// What the calls of a Guest resource leave each other on a host, in a file: that its start was
// asked for in this boot, which guest that is, and the process that ran it when it was seen last.
// Gone with the boot, as the guest is, and once a stop has succeeded.
#pragma once

#include <optional>
#include <string>

#include "libha/core/ids.hpp"
#include "libha/core/records.hpp"
#include "libha/core/result.hpp"
#include "ocf/agent.hpp"

namespace wardom::ocf {

struct GuestNote {
  std::string uuid;         // empty: not known
  GuestProcess process{};   // pid 0: it was not seen
  std::string guest;        // the resource's parameter; empty: it has none
};

// False only where there is none for certain.
bool has_note(const Call& call);
// nullopt: none that can be read, or one of another guest than the resource's parameter `guest`
// says, which is empty where it has none. Without `guest` any is taken.
std::optional<GuestNote> read_note(const Call& call, const std::optional<std::string>& guest);
// In place of what is there. Error: the file's name, and why not.
Result<void> write_note(const Call& call, const GuestNote& note);
void remove_note(const Call& call);

}  // namespace wardom::ocf
