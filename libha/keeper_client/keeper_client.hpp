// port::Volume through wardom-keeper's socket (wire/keeper_protocol.hpp).
//
// One thread of its own does everything; events come from it. It connects at once, reconnects with
// a growing pause, and keeps port/volume.hpp's promise: every ticket is answered exactly once, by
// the keeper, by the loss of the connection, or by the end of its time (half of T_F). Calls before
// `ready` and after `lost` are answered at once.
#pragma once

#include <memory>
#include <string>

#include "libha/port/volume.hpp"

namespace wardom::keeper_client {

inline constexpr const char* kDefaultSocket = "/run/wardom/keeper.sock";
inline constexpr Duration kReconnectMin = std::chrono::milliseconds{50};
inline constexpr Duration kReconnectMax = std::chrono::seconds{2};
inline constexpr std::size_t kMaxTickets = 1024;  // unanswered at a time
inline constexpr std::size_t kMaxOutboxBytes = 16 * 1024 * 1024;

class KeeperClient final : public port::Volume {
 public:
  // Starts the thread. `lost` comes whenever the reason changes, also before the first `ready`.
  KeeperClient(std::string socket, port::VolumeEvents events);
  // Stops the thread; no event comes after this.
  ~KeeperClient();
  KeeperClient(const KeeperClient&) = delete;
  KeeperClient& operator=(const KeeperClient&) = delete;

  // Any thread; return at once.
  void read(Ticket ticket, std::vector<Cell> cells) override;
  void write(Ticket ticket, Cell cell, std::vector<std::uint8_t> payload, Level level) override;
  void publish(const port::SelfView& view) override;
  void list_start(Ticket ticket, GuestId guest) override;
  void settle_start(GuestId guest, const GuestProcess& process) override;
  void unlist(GuestId guest) override;
  void extend(Instant stamp, std::vector<HostId> unasked) override;

 private:
  class Worker;
  std::unique_ptr<Worker> worker_;
};

}  // namespace wardom::keeper_client
