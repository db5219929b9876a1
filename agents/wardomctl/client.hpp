// Asks the local wardomd over its control socket: one JSON object on one line there, one JSON
// value on one line back, then the end of the stream. Blocks the caller, within a deadline.
#pragma once

#include <boost/json.hpp>
#include <chrono>
#include <string>

namespace wardom::ctl {

inline constexpr const char* kDefaultSocket = "/run/wardom/wardomd.sock";
inline constexpr std::chrono::seconds kAskPatience{5};
// `guest protect` waits for the volume and for libvirt.
inline constexpr std::chrono::seconds kProtectPatience{30};
inline constexpr std::size_t kMaxReplyBytes = 16 * 1024 * 1024;

// Exit codes of every Wardom tool.
inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;
inline constexpr int kRefused = 3;

// What the daemon said, or why it did not.
struct Answer {
  int exit_code{kFailed};
  boost::json::value result;  // when exit_code is kDone
  std::string error;          // otherwise: what is wrong, where, what to do
};

// Who asks, for the record: the person behind sudo, where there is one.
std::string who();

Answer ask(const std::string& socket, const boost::json::object& request,
           std::chrono::milliseconds patience);

}  // namespace wardom::ctl
