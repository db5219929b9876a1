// Asks the local wardomd over its control socket (control/control_server.hpp): one JSON object on
// one line there, one JSON value on one line back, then the end of the stream. Blocks the caller,
// within a deadline.
#pragma once

#include <boost/json.hpp>
#include <chrono>
#include <string>

namespace wardom::control {

inline constexpr const char* kDefaultSocket = "/run/wardom/wardomd.sock";
inline constexpr std::size_t kMaxReplyBytes = 16 * 1024 * 1024;

enum class Heard : std::uint8_t {
  silence,  // a daemon may be there, and has not answered in time or not to the end
  nobody,   // no daemon listens there
  answer,
};

// What the daemon said, or why it did not.
struct Answer {
  Heard heard{Heard::silence};
  int exit_code{1};           // 0: done; as every Wardom tool ends
  boost::json::value result;  // when exit_code is 0
  std::string error;          // otherwise: what is wrong, where, what to do
};

Answer ask(const std::string& socket, const boost::json::object& request,
           std::chrono::milliseconds patience);

}  // namespace wardom::control
