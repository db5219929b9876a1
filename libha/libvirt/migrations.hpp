// Carries out migrate and abort_migration: beside the pool of short calls, each on a connection and
// in a thread of its own, so that neither a kill nor another guest's call waits for minutes.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "libha/libvirt/job_lane.hpp"
#include "libha/libvirt/migration_calls.hpp"
#include "libha/port/hypervisor.hpp"

namespace wardom::libvirt {

struct MigrationOptions {
  std::map<HostId, MigrationWay> ways;  // by target; empty: no guest is migrated
  std::size_t most{2};                  // at a time
};

class Migrations : public std::enable_shared_from_this<Migrations> {
 public:
  // life: a number of the connection to libvirtd that counts now, 0 where there is none.
  Migrations(MigrationOptions options, std::string uri, std::function<std::uint64_t()> life,
             std::function<void(port::ActDone)> done);

  void migrate(Ticket ticket, const GuestId& guest, HostId to);
  void abort(Ticket ticket, const GuestId& guest);
  bool busy(const GuestId& guest) const { return outgoing_->busy(guest); }
  // What of the guest's has not begun is answered, and not made.
  void call_off(const GuestId& guest) { outgoing_->drop(guest); }
  // What waits is answered. What runs goes on in libvirtd, and is not answered any more.
  void stop();

 private:
  using Work = std::function<port::ActDone(virConnectPtr)>;
  void submit(const std::shared_ptr<JobLane>& lane, port::Act act, Ticket ticket,
              const GuestId& guest, Work work);
  port::ActDone carry_out(const GuestId& guest, std::uint64_t life, const Work& work) const;
  void answer(port::ActDone done);
  bool pause();

  const MigrationOptions options_;
  const std::string uri_;
  const std::function<std::uint64_t()> life_;
  const std::function<void(port::ActDone)> done_;
  const std::shared_ptr<JobLane> outgoing_;
  const std::shared_ptr<JobLane> ends_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  bool stopped_{false};
  int answering_{0};  // threads that are in done_ now
};

}  // namespace wardom::libvirt
