// wardomd put together: adapters, loop, control socket, on one io_context.
#pragma once

#include <memory>
#include <string>

#include "libha/config/config.hpp"
#include "libha/core/result.hpp"

namespace wardom::daemon {

struct DaemonOptions {
  Config config;
  std::string host;           // own name in the configuration
  std::string keeper_socket;  // wardom-keeper's
  std::string control_socket;
  std::string alert_socket;  // for Pacemaker's alert agent; its folder is made
  std::string protected_list;  // the hook's fallback: core/local_formats.hpp
  std::string archive;         // recoveries' steps, one JSON object per line
  std::string libvirt_uri;
  std::string corosync_conf;   // changed when an operator sets up the quorum device
};

class Daemon {
 public:
  // Error: what is wrong with the configuration, the key or a socket, and what to do.
  static Result<std::unique_ptr<Daemon>> create(DaemonOptions options);
  ~Daemon();
  // Until SIGTERM or SIGINT. Guests, heartbeat and claims stay as they are.
  void run();

 private:
  class Impl;
  explicit Daemon(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace wardom::daemon
