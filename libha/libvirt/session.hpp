// One life of the connection to libvirtd: one connection for events and listing, one for calls.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "libha/core/result.hpp"
#include "libha/libvirt/definition_watch.hpp"
#include "libha/libvirt/handles.hpp"
#include "libha/port/hypervisor.hpp"

namespace wardom::libvirt {

// Called in libvirt's event thread, also a little after the session has been destroyed.
struct SessionEvents {
  std::function<void(const GuestId&, const std::string& name, int event, int detail)> lifecycle;
  std::function<void(const GuestId&)> definition_touched;
  std::function<void(const std::string& name)> file_touched;
  std::function<void(std::string reason)> closed;
};

// Starts libvirt's event loop in a thread of its own, once per process, and silences libvirt's
// habit of printing errors. Must come before the first connection (libvirt-event.h).
void start_event_loop();

class Session {
 public:
  // Blocks as long as libvirtd takes. Events may come before this returns.
  static Result<std::shared_ptr<Session>> open(const std::string& uri,
                                               const std::string& definitions_dir,
                                               SessionEvents events);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  virConnectPtr calls() const { return calls_.get(); }
  Result<std::vector<port::GuestState>> list() const;

 private:
  Session() = default;
  bool watch(virConnectPtr conn);
  bool subscribe();

  std::shared_ptr<const SessionEvents> events_;
  std::vector<int> subscriptions_;
  std::unique_ptr<DefinitionWatch> files_;
  Connect watcher_;  // events and listing
  Connect calls_;
};

}  // namespace wardom::libvirt
