// Wardom as the quorum device in the corosync.conf of every host: `wardomctl quorum setup|remove|
// status` asks one host's wardomd, which asks all of them, over the ring, in rounds.
//
//   1. `trial`: each host looks whether its own file could be changed so, and answers with a pass.
//   2. `write`: with all passes. Each host changes its own file, if nothing has changed since.
//   3. A reload of corosync, on one host, makes all of them read their files. That is the tool's.
//
// The ring's order of words settles a race of two operators: whoever tries last makes the earlier
// passes void on every host alike. A host that ends between 1 and 2 has the old file; nothing is in
// force before 3, and whoever asks again completes what is missing.
//
// Who has the file and who has not decides who may count as quorate where: see why_not().
// Says nothing and costs nothing while nobody asks. One thread, pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "libha/core/inputs.hpp"
#include "libha/core/result.hpp"
#include "libha/wire/ring_messages.hpp"

namespace wardom::runtime {

// A host looks at one small file, takes its turn for it (3 s), and answers.
inline constexpr Duration kDevicePatience = std::chrono::seconds{6};
inline constexpr std::size_t kMaxDeviceRounds = 8;

class DeviceRounds {
 public:
  DeviceRounds(HostId self, std::vector<HostId> members);

  struct Row {
    HostId host;
    bool in_ring{false};  // its wardomd was in the ring when it was asked, and did not leave since
    std::optional<wire::DeviceAnswer> answer{};
  };
  struct Ended {
    Ticket request;
    std::vector<Row> rows;  // by host id
  };

  // Error: why nothing is asked. `ask.from` is this host, `ask.request` like no other.
  Result<void> begin(wire::DeviceAsk ask, Instant now);
  void on_ring(const std::vector<HostId>& daemons);
  void on_answer(const wire::DeviceAnswer& answer);

  struct News {
    std::vector<wire::DeviceAsk> asks;  // to the ring
    std::vector<Ended> ended;
  };
  bool busy() const { return !rounds_.empty(); }
  News tick(Instant now);
  Instant deadline() const;

 private:
  struct Round {
    wire::DeviceAsk ask;
    bool said{false};
    std::map<HostId, Row> rows;
    Instant until;
  };
  std::string why_not(const wire::DeviceAsk& ask) const;
  static bool whole(const Round& round);

  HostId self_;
  std::vector<HostId> members_;
  std::vector<HostId> ring_;
  std::map<Ticket, Round> rounds_;
};

}  // namespace wardom::runtime
