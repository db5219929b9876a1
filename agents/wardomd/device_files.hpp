// This host's part in setting up the quorum device: answers what operators ask of its corosync.conf
// (runtime/device_rounds.hpp). Nobody can have anything else written there than Wardom's device,
// with times within their limits, and nothing but after a trial of it that this host agreed to.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "libha/corosync_conf/device_file.hpp"
#include "libha/wire/ring_messages.hpp"

namespace wardom::daemon {

class DeviceFiles {
 public:
  // members: by wardom.toml. draw: numbers that nobody can guess, not 0.
  DeviceFiles(std::string path, HostId self, std::vector<HostId> members,
              std::function<std::uint64_t()> draw)
      : path_(std::move(path)),
        self_(self),
        members_(std::move(members)),
        draw_(std::move(draw)) {}

  // Blocks, for up to corosync_conf::kTurnPatience and as long as the file system does. `in_force`
  // is left open. One thread at a time.
  wire::DeviceAnswer answer(const wire::DeviceAsk& ask);

 private:
  struct Trial {
    HostId from;
    corosync_conf::Wish wish;
    corosync_conf::Plan plan;
    std::uint64_t pass{0};
  };
  Result<corosync_conf::Plan> plan(const corosync_conf::Wish& wish) const;
  Result<void> try_it(const wire::DeviceAsk& ask, wire::DeviceAnswer& answer);
  Result<void> write(const wire::DeviceAsk& ask, wire::DeviceAnswer& answer);

  std::string path_;
  HostId self_;
  std::vector<HostId> members_;
  std::function<std::uint64_t()> draw_;
  std::optional<Trial> tried_;
};

// For the log.
std::string device_news(const wire::DeviceAsk& ask, const wire::DeviceAnswer& answer);

}  // namespace wardom::daemon
