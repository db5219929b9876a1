// How wardomctl asks the local wardomd, and how it ends.
#pragma once

#include <chrono>
#include <string>

#include "libha/control_client/control_client.hpp"

namespace wardom::ctl {

using control::ask;
using control::kDefaultSocket;

inline constexpr std::chrono::seconds kAskPatience{5};
// `guest protect` waits for the volume and for libvirt.
inline constexpr std::chrono::seconds kProtectPatience{30};

// Exit codes of every Wardom tool.
inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;
inline constexpr int kRefused = 3;

// Who asks, for the record: the person behind sudo, where there is one.
std::string who();

}  // namespace wardom::ctl
