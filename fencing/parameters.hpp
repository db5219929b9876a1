// What fence_wardom is asked for: by Pacemaker's fencer as lines of key=value on standard input, or
// by a person as options. Both know the same parameters, which stand in one table. Pure.
//
// The contract is that of FenceAgentAPI.md of the fence-agents: no arguments means standard input;
// keys that are not known are ignored; a key that comes twice counts as it came last.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libha/core/result.hpp"

namespace wardom::fencing {

inline constexpr std::size_t kMaxInputBytes = 64 * 1024;  // of all lines together
inline constexpr std::size_t kMaxValueBytes = 4096;
// The default ends before the fencer's own 60 s (stonith-timeout), which ends with a SIGKILL.
inline constexpr std::chrono::seconds kPowerTimeout{50};
inline constexpr std::chrono::seconds kPowerTimeoutMin{6};
inline constexpr std::chrono::seconds kPowerTimeoutMax{3600};

struct Parameter {
  enum class Type : std::uint8_t { flag, text, seconds, choice };
  std::string_view name;       // as a key on standard input
  char letter;                 // of its option; '\0': none
  std::string_view option;     // its long option, without the dashes
  std::string_view value;      // what stands for its value in help; empty: takes none
  Type type;
  std::string_view standard;   // the default; empty: none
  std::vector<std::string_view> choices;
  std::string_view obsoletes;  // the key that it replaces
  bool deprecated;
  bool required;
  std::string_view what;       // a sentence
};
std::span<const Parameter> parameters();

enum class Action : std::uint8_t {
  off, reboot, on, status, monitor, list, list_status, validate_all, metadata, manpage, help,
  version
};
const char* to_text(Action action);

enum class Split : std::uint8_t { off, wait };

struct Request {
  Action action{Action::reboot};
  std::string plug;  // a host's name; empty: none was given
  Split split{Split::off};
  std::chrono::seconds power_timeout{kPowerTimeout};  // of the whole call
  std::string config;                                 // wardom.toml
  std::string socket;                                 // of wardomd
};

// Errors name the parameter and what may stand there.
Result<Request> from_lines(std::string_view text);
Result<Request> from_options(const std::vector<std::string>& arguments);

}  // namespace wardom::fencing
