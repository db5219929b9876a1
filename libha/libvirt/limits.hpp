// Every limit of the libvirt adapter.
#pragma once

#include <chrono>
#include <cstddef>

namespace wardom::libvirt {

// libvirtd serves five requests of one connection at a time (max_client_requests): these, and the
// one of the pool's thread for urgent calls.
inline constexpr std::size_t kWorkers = 4;
// libvirt's client code and our XML handling need about 200 KiB; a locked-memory process pays for
// whole stacks.
inline constexpr std::size_t kStackBytes = 768 * 1024;
inline constexpr std::size_t kMaxWaitingCalls = 4096;
// Events that arrive while the first listing is under way.
inline constexpr std::size_t kMaxEarlyEvents = 16384;
// A silent libvirtd is given up after interval * (count + 1) = 4 s.
inline constexpr int kKeepAliveSeconds = 1;
inline constexpr unsigned kKeepAliveCount = 3;
inline constexpr std::chrono::milliseconds kFirstBackOff{50};
inline constexpr std::chrono::milliseconds kLastBackOff{2000};

// Migrations, or their ends, that wait for others.
inline constexpr std::size_t kMaxWaitingMigrations = 256;
inline constexpr std::size_t kMigrationEnds = 8;  // under way at a time
// A migration that is told to stop may have to wait for TCP to give its target up (127 s).
inline constexpr std::chrono::seconds kMigrationEndsWithin{180};
inline constexpr std::chrono::milliseconds kMigrationEndAsked{100};  // how often

}  // namespace wardom::libvirt
